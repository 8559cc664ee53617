from __future__ import annotations

from typing import Any

import pytest

from server.search import query
from server.search.extract import rows
from server.search.filter import Filter, Hierarchy, Or
from server.search.parameter import parameters
from server.search.reference import PARENTS
from tests.search.asked import BASE, finds, places, refused

UUID = "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"


def plan(**subject: Any) -> dict[str, Any]:
    return {"resourceType": "CarePlan", "subject": subject}


@pytest.mark.parametrize(
    ("reference", "name", "value", "expected"),
    [
        # a reference of this server, however it is written and asked for
        ("Patient/1", "subject", "Patient/1", True),
        ("Patient/1", "subject", "1", True),
        ("Patient/1", "subject", "Patient/2", False),
        ("Patient/1", "subject", "Group/1", False),
        ("Patient/1", "subject", f"{BASE}/Patient/1", True),
        (f"{BASE}/Patient/1", "subject", "Patient/1", True),
        (f"{BASE}/Patient/1", "subject", "1", True),
        ("Patient/1", "subject:Patient", "1", True),
        ("Patient/1", "subject:Patient", "Patient/1", True),
        ("Patient/1", "subject:Group", "1", False),
        ("Patient/1", "subject", "Patient/2,Patient/1", True),
        ("Patient/1", "patient", "1", True),
        ("Patient/1", "patient", "Patient/1", True),
        ("Group/1", "patient", "1", False),
        ("Group/1", "patient:missing", "true", True),
        ("Group/1", "subject", "1", True),
        # versions
        ("Patient/1/_history/3", "subject", "Patient/1", True),
        ("Patient/1", "subject", "Patient/1/_history/3", True),
        # elsewhere
        ("https://other.org/fhir/Patient/1", "subject", "https://other.org/fhir/Patient/1", True),
        ("https://other.org/fhir/Patient/1", "subject", "Patient/1", False),
        ("https://other.org/fhir/Patient/1", "patient", "https://other.org/fhir/Patient/1", True),
        ("https://other.org/fhir/Group/1", "patient:missing", "true", True),
        (
            "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
            "subject",
            "urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
            True,
        ),
        # within
        ("#p", "subject:missing", "false", True),
        ("#p", "subject", "p", False),
    ],
)
def test_reference_finds(reference: str, name: str, value: str, expected: bool) -> None:
    assert expected == finds(plan(reference=reference), (name, value))


@pytest.mark.parametrize(
    ("subject", "name", "value", "expected"),
    [
        ({"identifier": {"system": "urn:mrn", "value": "7"}}, "subject:identifier", "urn:mrn|7", True),
        ({"identifier": {"system": "urn:mrn", "value": "7"}}, "subject:identifier", "7", True),
        ({"identifier": {"system": "urn:mrn", "value": "7"}}, "subject:identifier", "|7", False),
        ({"identifier": {"system": "urn:mrn", "value": "7"}}, "subject:identifier", "urn:mrn|", True),
        ({"identifier": {"system": "urn:mrn", "value": "7"}}, "subject:missing", "false", True),
        ({"identifier": {"value": "7"}, "type": "Patient"}, "patient:identifier", "7", True),
        ({"identifier": {"value": "7"}, "type": "Group"}, "patient:identifier", "7", False),
        ({"identifier": {"value": "7"}, "reference": "Patient/1"}, "patient:identifier", "7", True),
        ({"reference": "Patient/1"}, "subject:identifier", "1", False),
        ({"display": "a member"}, "subject:missing", "false", True),
        ({"extension": []}, "subject:missing", "true", True),
    ],
)
def test_reference_finds_by_identifier(subject: dict[str, Any], name: str, value: str, expected: bool) -> None:
    assert expected == finds(plan(**subject), (name, value))


@pytest.mark.parametrize(
    ("canonical", "value", "expected"),
    [
        ("http://a.org/q|1.0", "http://a.org/q", True),
        ("http://a.org/q|1.0", "http://a.org/q|1.0", True),
        ("http://a.org/q|1.0", "http://a.org/q|2.0", False),
        ("http://a.org/q", "http://a.org/q", True),
        ("http://a.org/q", "http://a.org/q|1.0", False),
        (f"{BASE}/Questionnaire/1", "Questionnaire/1", True),
        (f"{BASE}/Questionnaire/1", f"{BASE}/Questionnaire/1", True),
        ("Questionnaire/1", "1", True),
    ],
)
def test_reference_finds_a_canonical(canonical: str, value: str, expected: bool) -> None:
    response = {"resourceType": "QuestionnaireResponse", "questionnaire": canonical}
    assert expected == finds(response, ("questionnaire", value))


def test_reference_of_a_bundle_is_to_the_resource_in_it() -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Composition", "id": "1"}}, {}]}
    assert finds(bundle, ("composition", "Composition/1"))
    assert finds(bundle, ("composition", "1"))
    assert finds(bundle, ("message:missing", "true"))


def test_reference_rows_are_local_references() -> None:
    assert {("CarePlan.subject", "Patient/1"), ("CarePlan.patient", "Patient/1")} == set(
        rows(plan(reference=f"{BASE}/Patient/1/_history/2"), BASE)
    )


@pytest.mark.parametrize(
    ("canonical", "value", "expected"),
    [
        ("http://a.org/q", "http://a.org/q", True),
        ("http://a.org/q|1.0", "http://a.org/q", True),
        ("http://a.org/q|1.0", "http://a.org/q|1", True),
        ("http://a.org/q|1.1.2", "http://a.org/q|1.1", True),
        ("http://a.org/q|1.1.2", "http://a.org/q|1.1.2", True),
        ("http://a.org/q|2.0", "http://a.org/q|1", False),
        ("http://a.org/q|10.0", "http://a.org/q|1", False),
        ("http://a.org/q|1.0", "http://a.org/q|1.0.2", False),
        ("http://a.org/q", "http://a.org/q|1", False),
        ("http://a.org/q/r|1.0", "http://a.org/q", False),
        (f"{BASE}/Questionnaire/1", "1", True),
    ],
)
def test_reference_finds_the_versions_below_one(canonical: str, value: str, expected: bool) -> None:
    response = {"resourceType": "QuestionnaireResponse", "questionnaire": canonical}
    assert expected == finds(response, ("questionnaire:below", value))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("location:below", "Location/1", Hierarchy("Encounter.location", "Location.partof", ("Location/1",))),
        ("location:above", "1", Hierarchy("Encounter.location", "Location.partof", ("Location/1",), upward=True)),
        (
            "location:below",
            f"{BASE}/Location/1",
            Hierarchy("Encounter.location", "Location.partof", ("Location/1",)),
        ),
        (
            "part-of:below",
            "1,Encounter/2",
            Or(
                (
                    Hierarchy("Encounter.part-of", "Encounter.part-of", ("Encounter/1",)),
                    Hierarchy("Encounter.part-of", "Encounter.part-of", ("Encounter/2",)),
                )
            ),
        ),
    ],
)
def test_reference_goes_along_a_hierarchy(name: str, value: str, expected: Filter) -> None:
    assert expected == query.parse("Encounter", [(name, value)], base_url=BASE, lenient=False).filter


def test_parents_are_parameters_that_name_the_same_type() -> None:
    for type, code in PARENTS.items():
        assert type in parameters(type)[code].targets


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("location:below", "https://other.org/fhir/Location/1", "invalid"),
        ("location:below", "Patient/1", "invalid"),
        ("subject:below", "1", "not-supported"),
        ("location:below.name", "x", "invalid"),
    ],
)
def test_reference_refuses_what_stands_in_no_hierarchy(name: str, value: str, code: str) -> None:
    assert [(code, f"http.{name}")] == places(refused("Encounter", (name, value)))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("subject", "Patient/", "invalid"),
        ("subject", "Patient/1/2", "invalid"),
        ("subject", "a b", "invalid"),
        ("subject", "Person7/1", "invalid"),
        ("subject:Patient", "Group/1", "invalid"),
        ("subject:Practitioner", "1", "not-supported"),
        ("subject:below", "Patient/1", "not-supported"),
        ("instantiates-canonical:identifier", "1", "not-supported"),
        ("instantiates-canonical:above", "http://a.org/q|1.0", "not-supported"),
        ("subject:identifier", "a|b|c", "invalid"),
    ],
)
def test_reference_refuses(name: str, value: str, code: str) -> None:
    assert [(code, f"http.{name}")] == places(refused("CarePlan", (name, value)))
