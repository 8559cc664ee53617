"""Stored SearchParameters: which become searchable, and what they find."""

from __future__ import annotations

from typing import Any

import pytest

from server.outcome import Problem
from server.search import match
from server.search.custom import Definitions, definitions, late_indexes
from server.search.query import Query, parse
from tests import us_core
from tests.search.asked import BASE, places

RACE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "id": "p1",
    "extension": [
        {"url": "http://a.org/eye-color", "valueCodeableConcept": {"coding": [{"system": "urn:c", "code": "green"}]}},
        {"url": "http://a.org/weight", "valueDecimal": 80.5},
        {"url": "http://a.org/sponsor", "valueReference": {"reference": "Organization/1"}},
    ],
    "birthDate": "1950-01-31",
    "maritalStatus": {"text": "Widowed"},
}


def parameter(code: str, expression: str, type: str = "token", **members: Any) -> dict[str, Any]:
    return {
        "resourceType": "SearchParameter",
        "id": code,
        "url": f"http://a.org/SearchParameter/{code}",
        "status": "active",
        "code": code,
        "base": ["Patient"],
        "type": type,
        "expression": expression,
        **members,
    }


def asked(custom: Definitions, *parameters: tuple[str, str]) -> Query:
    return parse("Patient", parameters, base_url=BASE, lenient=False, custom=custom)


def finds(defined: dict[str, Any], name: str, value: str) -> bool:
    (index,) = late_indexes([defined], BASE)
    filter = asked(definitions([defined]), (name, value)).filter
    return match.matches(filter, "Patient", "p1", 0, index.rows(PATIENT))


@pytest.mark.parametrize(
    ("expression", "type", "value", "expected"),
    [
        ("Patient.extension.where(url='http://a.org/eye-color').value", "token", "urn:c|green", True),
        ("Patient.extension.where(url = 'http://a.org/eye-color').value", "token", "blue", False),
        ("Patient.extension('http://a.org/eye-color').value.ofType(CodeableConcept)", "token", "green", True),
        ("(Patient.extension('http://a.org/eye-color').value as CodeableConcept)", "token", "green", True),
        ("Patient.extension('http://a.org/eye-color').value as CodeableConcept", "token", "green", True),
        ("Observation.code | Patient.extension('http://a.org/eye-color').value", "token", "green", True),
        ("Patient.extension('http://a.org/weight').value", "number", "gt80", True),
        ("Patient.extension('http://a.org/sponsor').value", "reference", "Organization/1", True),
        ("Patient.maritalStatus.text", "string", "wid", True),
        ("Patient.birthDate", "date", "1950", True),
        ("Resource.id", "token", "p1", True),
    ],
)
def test_stored_parameter_finds(expression: str, type: str, value: str, expected: bool) -> None:
    assert expected == finds(parameter("mine", expression, type), "mine", value)


@pytest.mark.parametrize(
    "expression", ["Patient.name.given.first()", "Patient.nothing", "Group.member", "", "Patient."]
)
def test_parameter_that_cannot_be_followed_is_told_to_who_asks(expression: str) -> None:
    custom = definitions([parameter("mine", expression)])
    assert ({}, {("Patient", "mine")}) == (dict(custom.parameters), set(custom.refused))
    with pytest.raises(Problem) as refused:
        asked(custom, ("mine", "x"))
    assert [("invalid", "http.mine")] == places(refused.value)
    assert "SearchParameter/mine" in refused.value.issues[0].diagnostics


def test_only_active_ones_stand_and_never_over_r4s_own() -> None:
    expression = "Patient.maritalStatus"
    retired = parameter("retired", expression, status="retired")
    own = parameter("gender", expression)
    first, second = parameter("twice", expression, id="a"), parameter("twice", "Patient.contact.gender", id="b")
    custom = definitions([second, retired, own, first])
    assert [("Patient", "twice")] == list(custom.parameters)
    assert custom.parameters["Patient", "twice"].index == definitions([first]).parameters["Patient", "twice"].index


def test_another_content_is_another_index() -> None:
    indexes = {
        index.name
        for defined in (
            parameter("mine", "Patient.maritalStatus"),
            parameter("mine", "Patient.maritalStatus", description="Said otherwise"),
            parameter("mine", "Patient.contact.gender"),
            parameter("mine", "Patient.maritalStatus.text", "string"),
        )
        for index in late_indexes([defined], BASE)
    }
    assert 3 == len(indexes)


def test_parameter_of_every_type_is_of_each() -> None:
    custom = definitions([parameter("lang", "Resource.language", base=["Resource"])])
    assert {"lang"} == set(custom.of("Goal")) == set(custom.of("Patient"))


def test_composite_of_r4s_own_parts() -> None:
    parts = [
        {"definition": "http://hl7.org/fhir/SearchParameter/Patient-identifier", "expression": "identifier"},
        {"definition": "http://hl7.org/fhir/SearchParameter/individual-gender", "expression": "gender"},
    ]
    assert not definitions([parameter("both", "Patient", "composite", component=parts)]).refused


def test_us_cores_own_parameters_are_all_searchable() -> None:
    stored = us_core.definitions("SearchParameter")
    custom = definitions(stored)
    assert {} == dict(custom.refused)
    assert {("Patient", "race"), ("Goal", "description"), ("CareTeam", "role")} <= set(custom.parameters)
    value = [{"url": "ombCategory", "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"}}]
    patient = {"resourceType": "Patient", "extension": [{"url": RACE, "extension": value}]}
    race = custom.parameters["Patient", "race"]
    (rows,) = [index.rows(patient) for index in late_indexes(stored, BASE) if index.name == race.index]
    filter = asked(custom, ("race", "2106-3")).filter
    assert match.matches(filter, "Patient", "p", 0, rows)
