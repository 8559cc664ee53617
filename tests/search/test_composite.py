from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from server.search.extract import rows
from tests.search.asked import finds, places, refused


def quantity(value: str, code: str = "mm[Hg]") -> dict[str, Any]:
    return {"value": Decimal(value), "unit": code, "system": "http://unitsofmeasure.org", "code": code}


def code(text: str) -> dict[str, Any]:
    return {"coding": [{"system": "http://loinc.org", "code": text}, {"system": "urn:x", "code": f"x{text}"}]}


PRESSURE: dict[str, Any] = {
    "resourceType": "Observation",
    "code": code("85354-9"),
    "component": [
        {"code": code("8480-6"), "valueQuantity": quantity("140")},
        {"code": code("8462-4"), "valueQuantity": quantity("90")},
    ],
}
SODIUM: dict[str, Any] = {
    "resourceType": "Observation",
    "code": code("2951-2"),
    "valueQuantity": quantity("140", "mmol/L"),
}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("8480-6$gt135", True),
        ("8480-6$lt100", False),  # the other component is
        ("8462-4$lt100", True),
        ("x8480-6$140", True),
        ("http://loinc.org|8480-6$140", True),
        ("urn:x|8480-6$140", False),
        ("|8480-6$140", False),
        ("8480-6$140||mm[Hg]", True),
        ("8480-6$140||kPa", False),
        ("http://loinc.org|8480-6$ge140|http://unitsofmeasure.org|mm[Hg]", True),
        ("http://loinc.org|8480-6$ne140|http://unitsofmeasure.org|mm[Hg]", False),
        ("8480-6$lt100,8462-4$lt100", True),
        ("8480-6$ap130", True),
    ],
)
def test_composite_holds_within_one_element(value: str, expected: bool) -> None:
    assert expected == finds(PRESSURE, ("component-code-value-quantity", value))
    assert expected == finds(PRESSURE, ("combo-code-value-quantity", value))
    assert not finds(PRESSURE, ("code-value-quantity", value))


def test_composite_of_the_resource_itself() -> None:
    assert finds(SODIUM, ("code-value-quantity", "2951-2$gt135|http://unitsofmeasure.org|mmol/L"))
    assert finds(SODIUM, ("combo-code-value-quantity", "2951-2$gt135|http://unitsofmeasure.org|mmol/L"))
    assert not finds(SODIUM, ("component-code-value-quantity", "2951-2$gt135"))


@pytest.mark.parametrize(
    ("name", "value", "parameter", "sought", "expected"),
    [
        ("valueCodeableConcept", code("a"), "code-value-concept", "1$a", True),
        ("valueCodeableConcept", code("a"), "code-value-concept", "1$urn:x|xa", True),
        ("valueCodeableConcept", code("a"), "code-value-concept", "1$b", False),
        ("valueString", "Très bien", "code-value-string", "1$tres", True),
        ("valueString", "Très bien", "code-value-string", "2$tres", False),
        ("valueString", "Très bien", "code-value-string", "1$bien", False),
        ("valueDateTime", "2020-05-01", "code-value-date", "1$2020", True),
        ("valueDateTime", "2020-05-01", "code-value-date", "1$gt2020-05", False),
        ("valuePeriod", {"start": "2010"}, "code-value-date", "1$gt2030", True),
        ("valuePeriod", {"start": "2010"}, "code-value-date", "x1$ge2030", True),
        ("valuePeriod", {"start": "2010"}, "code-value-date", "1$lt2009", False),
        ("valuePeriod", {"start": "2010"}, "code-value-date", "1$ne2010", True),
        ("valuePeriod", {"start": "2010"}, "code-value-date", "1$ap2015", True),
    ],
)
def test_composite_of_other_values(name: str, value: Any, parameter: str, sought: str, expected: bool) -> None:
    observation = {"resourceType": "Observation", "code": code("1"), name: value}
    assert expected == finds(observation, (parameter, sought))


def test_composite_of_a_use_context() -> None:
    ages = {"low": {"value": 18, "code": "a"}, "high": {"value": 64, "code": "a"}}
    questionnaire = {
        "resourceType": "Questionnaire",
        "useContext": [
            {"code": {"system": "urn:u", "code": "age"}, "valueRange": ages},
            {"code": {"system": "urn:u", "code": "focus"}, "valueCodeableConcept": code("7")},
        ],
    }
    assert finds(questionnaire, ("context-type-quantity", "age$gt60||a"))
    assert finds(questionnaire, ("context-type-quantity", "urn:u|age$lt20"))
    assert not finds(questionnaire, ("context-type-quantity", "age$gt64"))
    assert not finds(questionnaire, ("context-type-quantity", "focus$gt60"))
    assert finds(questionnaire, ("context-type-value", "focus$http://loinc.org|7"))
    assert not finds(questionnaire, ("context-type-value", "age$7"))


def test_composite_of_a_group_takes_codes_and_booleans() -> None:
    group = {
        "resourceType": "Group",
        "characteristic": [
            {"code": code("g"), "valueBoolean": True},
            {"code": code("h"), "valueCodeableConcept": code("i")},
        ],
    }
    assert finds(group, ("characteristic-value", "g$true"))
    assert finds(group, ("characteristic-value", "h$i"))
    assert not finds(group, ("characteristic-value", "h$true"))


def test_composite_of_a_document_takes_the_reference_first() -> None:
    document = {
        "resourceType": "DocumentReference",
        "relatesTo": [
            {"code": "replaces", "target": {"reference": "DocumentReference/1"}},
            {"code": "appends", "target": {"reference": "DocumentReference/2"}},
        ],
    }
    assert finds(document, ("relationship", "DocumentReference/1$replaces"))
    assert finds(document, ("relationship", "2$http://hl7.org/fhir/document-relationship-type|appends"))
    assert not finds(document, ("relationship", "DocumentReference/1$appends"))


def test_composite_joins_no_more_than_some_codings() -> None:
    many = {"coding": [{"system": "urn:x", "code": str(number)} for number in range(1000)]}
    group = {"resourceType": "Group", "characteristic": [{"code": many, "valueCodeableConcept": many}]}
    assert 16 * 16 == sum(index == "Group.characteristic-value" for index, _ in rows(group, ""))
    assert finds(group, ("characteristic-value", "0$urn:x|7"))
    assert finds(group, ("characteristic", "999"), ("value", "999"))


@pytest.mark.parametrize(
    ("parameter", "value", "expected"),
    [
        ("chromosome-window-coordinate", "7$100$200", True),
        ("chromosome-window-coordinate", "7$ge100$le200", True),
        ("chromosome-window-coordinate", "7$lt100$200", False),
        ("chromosome-window-coordinate", "7$100$gt200", False),
        ("chromosome-window-coordinate", "7$ap105$ap190", True),
        ("chromosome-window-coordinate", "8$100$200", False),
        ("chromosome-variant-coordinate", "7$110$ne112", True),
        ("chromosome-variant-coordinate", "7$110$sa112", True),
        ("chromosome-variant-coordinate", "7$110$lt113", False),
        ("chromosome-variant-coordinate", "7$120$eb130", True),
        ("chromosome-variant-coordinate", "7$110$125", False),  # the start of one variant, the end of another
        ("chromosome-variant-coordinate", "7$110$113", True),
    ],
)
def test_composite_of_two_numbers(parameter: str, value: str, expected: bool) -> None:
    sequence = {
        "resourceType": "MolecularSequence",
        "referenceSeq": {"chromosome": code("7"), "windowStart": 100, "windowEnd": 200},
        "variant": [{"start": 110, "end": 113}, {"start": 120, "end": 125}],
    }
    assert expected == finds(sequence, (parameter, value))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("code-value-quantity", "a", "invalid"),
        ("code-value-quantity", "a$", "invalid"),
        ("code-value-quantity", "a$5$6", "invalid"),
        ("code-value-quantity", "a$x", "invalid"),
        ("code-value-quantity", "urn:a|$5", "invalid"),
        ("code-value-quantity:missing", "true", "not-supported"),
    ],
)
def test_composite_refuses(name: str, value: str, code: str) -> None:
    assert [(code, f"http.{name}")] == places(refused("Observation", (name, value)))
