"""Slices: told by a value, a pattern, a type, a profile or by existence; open, closed, ordered; and sliced again."""

from __future__ import annotations

from typing import Any

import pytest

from tests.validation.loaded import BASE, codes, found, profile

Json = dict[str, Any]
A = {"coding": [{"system": "urn:s", "code": "a"}]}
B = {"coding": [{"system": "urn:s", "code": "b"}]}
C = {"coding": [{"system": "urn:s", "code": "c"}]}


def observation(**more: Any) -> Json:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "x"}, **more}


def sliced(type: str, path: str, rules: str = "open", **more: Any) -> Json:
    return {"discriminator": [{"type": type, "path": path}], "rules": rules, **more}


def categories(slicing: Json, **b: Any) -> Json:
    """Observation.category in the slices a and b."""
    return profile(
        "Observation",
        {"id": "Observation.category", "slicing": slicing},
        {"id": "Observation.category:a", "sliceName": "a", "max": "1", "patternCodeableConcept": A},
        {"id": "Observation.category:b", "sliceName": "b", "patternCodeableConcept": B, **b},
    )


@pytest.mark.parametrize("kind", ["value", "pattern"])
def test_slice_by_pattern_is_counted(kind: str) -> None:
    of = categories(sliced(kind, "$this"), min=1)
    assert [] == codes(observation(category=[C, A, B]), of)
    assert [("required", ("Observation.category",))] == codes(observation(category=[A, C]), of)
    assert [("structure", ("Observation.category",))] == codes(observation(category=[A, A, B]), of)


def test_slice_by_a_value_further_down() -> None:
    of = categories(sliced("value", "coding.code"), min=1)
    assert [] == codes(observation(category=[{"coding": [{"system": "urn:other", "code": "c"}]}, B]), of)
    assert [("required", ("Observation.category",))] == codes(observation(category=[A]), of)


def test_closed_slices_refuse_what_is_in_none() -> None:
    of = categories(sliced("pattern", "$this", "closed"))
    assert [] == codes(observation(category=[B, A]), of)
    assert [("structure", ("Observation.category[1]",))] == codes(observation(category=[B, C]), of)


def test_ordered_slices_stand_in_their_order() -> None:
    of = categories(sliced("pattern", "$this", ordered=True))
    assert [] == codes(observation(category=[C, A, B]), of)
    assert [("structure", ("Observation.category",))] == codes(observation(category=[B, A]), of)


def test_slices_open_at_the_end_come_first() -> None:
    of = categories(sliced("pattern", "$this", "openAtEnd"))
    assert [] == codes(observation(category=[B, A, C]), of)
    assert [("structure", ("Observation.category",))] == codes(observation(category=[A, C, B]), of)


def test_default_slice_takes_the_rest() -> None:
    of = categories(sliced("pattern", "$this", "closed"))
    of["differential"]["element"] += [
        {"id": "Observation.category:@default", "path": "Observation.category", "sliceName": "@default"},
        {"id": "Observation.category:@default.text", "path": "Observation.category.text", "min": 1},
    ]
    assert [] == codes(observation(category=[A, C | {"text": "c"}]), of)
    assert [("required", ("Observation.category[1].text",))] == codes(observation(category=[A, C]), of)


def test_slice_of_a_slice() -> None:
    of = profile(
        "Observation",
        {"id": "Observation.category", "slicing": sliced("value", "coding.system")},
        {"id": "Observation.category:s", "sliceName": "s", "slicing": sliced("value", "coding.code", "closed")},
        {"id": "Observation.category:s.coding.system", "fixedUri": "urn:s"},
        {"id": "Observation.category:s/a", "sliceName": "s/a", "min": 1},
        {"id": "Observation.category:s/a.coding.code", "fixedCode": "a"},
    )
    other = {"coding": [{"system": "urn:t", "code": "b"}]}
    assert [] == codes(observation(category=[A, other]), of)
    assert {("required", ("Observation.category",)), ("structure", ("Observation.category[0]",))} == set(
        codes(observation(category=[B, other]), of)
    )


def test_slice_by_type() -> None:
    of = profile(
        "Observation",
        {"id": "Observation.value[x]", "slicing": sliced("type", "$this", "closed")},
        {
            "id": "Observation.value[x]:valueQuantity",
            "sliceName": "valueQuantity",
            "type": [{"code": "Quantity"}],
        },
        {"id": "Observation.value[x]:valueQuantity.code", "min": 1},
    )
    assert [] == codes(observation(valueQuantity={"value": 1, "code": "kg"}), of)
    assert [("required", ("Observation.value.code",))] == codes(observation(valueQuantity={"value": 1}), of)
    assert [("structure", ("Observation.value",))] == codes(observation(valueString="1"), of)


def test_slice_by_the_type_of_what_a_reference_leads_to() -> None:
    of = profile(
        "Observation",
        {"id": "Observation.performer", "slicing": sliced("type", "resolve()", "closed")},
        {
            "id": "Observation.performer:who",
            "sliceName": "who",
            "min": 1,
            "type": [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Practitioner"]}],
        },
    )
    assert [] == codes(observation(performer=[{"reference": "Practitioner/1"}]), of)
    wrong = observation(performer=[{"reference": "Practitioner/1"}, {"reference": "Patient/1"}])
    assert ("structure", ("Observation.performer[1]",)) in codes(wrong, of)


def test_slice_by_existence() -> None:
    of = profile(
        "Observation",
        {"id": "Observation.component", "slicing": sliced("exists", "dataAbsentReason")},
        {"id": "Observation.component:absent", "sliceName": "absent", "max": "1"},
        {"id": "Observation.component:absent.dataAbsentReason", "min": 1},
        {"id": "Observation.component:present", "sliceName": "present"},
        {"id": "Observation.component:present.dataAbsentReason", "max": "0"},
        {"id": "Observation.component:present.value[x]", "min": 1},
    )
    code = {"code": {"text": "y"}}
    absent, present = code | {"dataAbsentReason": {"text": "z"}}, code | {"valueString": "1"}
    assert [] == codes(observation(component=[absent, present, present]), of)
    assert [("structure", ("Observation.component",))] == codes(observation(component=[absent, absent]), of)
    assert [("required", ("Observation.component[0].value",))] == codes(observation(component=[code]), of)


def test_slice_by_profile() -> None:
    named = profile("Patient", {"id": "Patient.name", "min": 1})
    of = profile(
        "Bundle",
        {"id": "Bundle.entry", "slicing": sliced("profile", "resource", "closed")},
        {"id": "Bundle.entry:named", "sliceName": "named"},
        {"id": "Bundle.entry:named.resource", "type": [{"code": "Patient", "profile": [named["url"]]}]},
    )

    def bundle(*patients: Json) -> Json:
        return {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": one} for one in patients]}

    patient = {"resourceType": "Patient", "name": [{"text": "a"}]}
    assert [] == codes(bundle(patient), of, named)
    assert [("structure", ("Bundle.entry[1]",))] == codes(bundle(patient, {"resourceType": "Patient"}), of, named)


def test_slice_by_a_value_set_that_is_not_loaded_cannot_be_told() -> None:
    of = profile(
        "Observation",
        {"id": "Observation.category", "slicing": sliced("pattern", "$this", "closed")},
        {
            "id": "Observation.category:a",
            "sliceName": "a",
            "min": 1,
            "binding": {"strength": "required", "valueSet": f"{BASE}/ValueSet/none"},
        },
    )
    assert [] == found(observation(category=[A]), of)
    assert [("required", ("Observation.category",))] == codes(observation(), of)


def test_several_discriminators_hold_together() -> None:
    slicing = {
        "discriminator": [{"type": "value", "path": "coding.system"}, {"type": "value", "path": "coding.code"}],
        "rules": "open",
    }
    of = categories(slicing, min=1)
    assert [("required", ("Observation.category",))] == codes(
        observation(category=[{"coding": [{"system": "urn:t", "code": "b"}]}]), of
    )


@pytest.mark.parametrize(
    ("type", "expected"), [("Practitioner", []), ("Organization", [("required", ("Observation.performer",))])]
)
def test_slice_by_r4s_own_definition_as_a_profile(type: str, expected: list[Any]) -> None:
    target = "http://hl7.org/fhir/StructureDefinition/Practitioner"
    of = profile(
        "Observation",
        {"id": "Observation.performer", "slicing": sliced("profile", "resolve()", "open")},
        {
            "id": "Observation.performer:person",
            "min": 1,
            "type": [{"code": "Reference", "targetProfile": [target]}],
        },
    )
    performed = {"contained": [{"resourceType": type, "id": "p"}], "performer": [{"reference": "#p"}]}
    assert expected == codes(observation() | performed, of)
