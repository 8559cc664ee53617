"""Extensions: those that are known are checked, one that modifies and is not known is refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.validation.loaded import BASE, Loaded, found, profile

Json = dict[str, Any]
URL = f"{BASE}/StructureDefinition/weight"
WEIGHT = profile(
    "Extension",
    {"id": "Extension.url", "fixedUri": URL},
    {"id": "Extension.value[x]", "min": 1, "type": [{"code": "Quantity"}]},
    url=URL,
    kind="complex-type",
    context=[{"type": "element", "expression": "Patient"}, {"type": "element", "expression": "HumanName"}],
)
MODIFYING = profile(
    "Extension",
    {"id": "Extension", "isModifier": True, "isModifierReason": "It turns the meaning around"},
    {"id": "Extension.url", "fixedUri": URL},
    url=URL,
    kind="complex-type",
    context=[{"type": "element", "expression": "Patient"}],
)
RIGHT = {"url": URL, "valueQuantity": {"value": 1}}


def codes(resource: Json, *definitions: Json) -> list[tuple[str, tuple[str, ...]]]:
    return [(issue.code, issue.expression) for issue in found(resource, loaded=Loaded(definitions))]


def test_known_extension_is_checked_wherever_it_may_stand() -> None:
    wrong = {"url": URL, "valueString": "1"}
    assert [] == codes({"resourceType": "Patient", "extension": [RIGHT], "name": [{"extension": [RIGHT]}]}, WEIGHT)
    assert [("structure", ("Patient.name[0].extension[0].value",))] == codes(
        {"resourceType": "Patient", "name": [{"extension": [wrong]}]}, WEIGHT
    )


def test_extension_beside_a_primitive_and_in_an_extension_is_found() -> None:
    wrong = {"url": URL}
    holding = {"url": "urn:other", "extension": [{"url": "part", "extension": [wrong]}]}
    patient = {"resourceType": "Patient", "name": [{"given": ["a"], "_given": [{"extension": [wrong]}]}]}
    assert ("required", ("Patient.name[0].given[0].extension[0].value",)) in codes(patient, WEIGHT)
    nested = {"resourceType": "Patient", "extension": [holding]}
    assert ("required", ("Patient.extension[0].extension[0].extension[0].value",)) in codes(nested, WEIGHT)


def test_extension_where_it_may_not_stand_is_refused() -> None:
    misplaced = {"resourceType": "Patient", "address": [{"extension": [RIGHT]}]}
    assert [("extension", ("Patient.address[0].extension[0]",))] == codes(misplaced, WEIGHT)


@pytest.mark.parametrize("context", ["Patient", "DomainResource", "Resource", "Element"])
def test_extension_of_what_a_resource_is_may_stand_in_it(context: str) -> None:
    weight = WEIGHT | {"context": [{"type": "element", "expression": context}]}
    assert [] == codes({"resourceType": "Patient", "extension": [RIGHT]}, weight)
    in_a_name = codes({"resourceType": "Patient", "name": [{"extension": [RIGHT]}]}, weight)
    assert (context == "Element") == (in_a_name == [])


def test_unknown_extension_may_stand() -> None:
    assert [] == codes({"resourceType": "Patient", "extension": [{"url": "urn:x", "valueString": "1"}]})


def test_unknown_modifier_extension_is_refused() -> None:
    patient = {"resourceType": "Patient", "modifierExtension": [{"url": "urn:x", "valueString": "1"}]}
    assert [("extension", ("Patient.modifierExtension[0]",))] == codes(patient)
    assert [] == codes(patient | {"modifierExtension": [RIGHT]}, MODIFYING)


def test_extension_stands_under_the_name_that_its_definition_says() -> None:
    patient = {"resourceType": "Patient"}
    place = "Patient.modifierExtension[0]"
    assert [("extension", (place,))] == codes(patient | {"modifierExtension": [RIGHT]}, WEIGHT)
    assert [("extension", ("Patient.extension[0]",))] == codes(patient | {"extension": [RIGHT]}, MODIFYING)
