from __future__ import annotations

from typing import Any

import pytest

from tests.search.asked import finds, places, refused

MRN = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": "MR"}], "text": "Medical record"}
PATIENT: dict[str, Any] = {
    "resourceType": "Patient",
    "active": True,
    "gender": "female",
    "identifier": [{"system": "urn:a", "value": "M1", "type": MRN}, {"value": "bare"}, {"system": "urn:only"}],
    "telecom": [
        {"system": "phone", "value": "+1 (515) 555-0100"},
        {"system": "email", "value": "Ada@Example.org"},
        {"system": "phone", "_value": {"extension": []}},
    ],
    "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "en"}], "text": "English"}}],
    "meta": {
        "tag": [{"system": "urn:t", "code": "x", "display": "An X"}],
        "security": [{"system": "urn:s", "code": "R"}],
    },
}
CONDITION: dict[str, Any] = {
    "resourceType": "Condition",
    "code": {
        "coding": [{"system": "urn:sct", "code": "38341003", "display": "Hypertensive disorder"}, {"display": "bare"}],
        "text": "Hochdruck",
    },
    "clinicalStatus": {"text": "who knows"},
    "severity": {"extension": [{"url": "http://a.org/why-not", "valueCode": "unknown"}]},
}


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        # code, system|code, |code, system|
        ("identifier", "M1", True),
        ("identifier", "m1", False),
        ("identifier", "urn:a|M1", True),
        ("identifier", "urn:b|M1", False),
        ("identifier", "|M1", False),
        ("identifier", "|bare", True),
        ("identifier", "bare", True),
        ("identifier", "urn:a|", True),
        ("identifier", "urn:only|", True),
        ("identifier", "urn:b|", False),
        ("identifier", "urn:b|M1,urn:a|M1", True),
        # by type, and by text
        ("identifier:of-type", "http://terminology.hl7.org/CodeSystem/v2-0203|MR|M1", True),
        ("identifier:of-type", "http://terminology.hl7.org/CodeSystem/v2-0203|MR|M2", False),
        ("identifier:of-type", "http://terminology.hl7.org/CodeSystem/v2-0203|SS|M1", False),
        ("identifier:text", "medical", True),
        ("identifier:text", "record", False),
        # not: also where there is no value
        ("gender:not", "male", True),
        ("gender:not", "female", False),
        ("gender:not", "male,female", False),
        ("language:not", "de", True),
        ("language:not", "en", False),
        # the type code implies its system
        ("gender", "female", True),
        ("gender", "Female", False),
        ("gender", "http://hl7.org/fhir/administrative-gender|female", True),
        ("gender", "http://hl7.org/fhir/administrative-gender|", True),
        ("gender", "urn:other|female", False),
        ("gender", "urn:other|", False),
        # boolean, and the one that is computed
        ("active", "true", True),
        ("active", "false", False),
        ("active", "http://terminology.hl7.org/CodeSystem/special-values|true", True),
        ("deceased", "false", True),
        ("deceased", "true", False),
        # contact points
        ("telecom", "15155550100", True),
        ("telecom", "+1-515-555-0100", True),
        ("phone", "1.515.555.0100", True),
        ("phone", "ada@example.org", False),
        ("email", "ADA@example.ORG", True),
        ("email:missing", "false", True),
        # coded elements in depth
        ("language", "en", True),
        ("language", "urn:ietf:bcp:47|en", True),
        ("language:text", "engl", True),
        ("_tag", "urn:t|x", True),
        ("_tag:text", "an x", True),
        ("_tag:not", "x", False),
        ("_security", "R", True),
        ("_security", "urn:s|", True),
    ],
)
def test_token_finds_a_patient(name: str, value: str, expected: bool) -> None:
    assert expected == finds(PATIENT, (name, value))


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("code", "38341003", True),
        ("code:text", "hypert", True),
        ("code:text", "hoch", True),
        ("code:text", "bare", True),
        ("code:text", "disorder", False),
        ("code:missing", "false", True),
        ("clinical-status:missing", "false", True),  # it is there, though no code can find it
        ("clinical-status:text", "who", True),
        ("clinical-status:not", "active", True),
        ("severity:missing", "true", True),  # only an extension that says why there is none
        ("verification-status:missing", "true", True),
    ],
)
def test_token_finds_a_condition(name: str, value: str, expected: bool) -> None:
    assert expected == finds(CONDITION, (name, value))


@pytest.mark.parametrize(
    ("deceased", "expected"),
    [
        ({}, "false"),
        ({"deceasedBoolean": False}, "false"),
        ({"deceasedBoolean": True}, "true"),
        ({"deceasedDateTime": "2020"}, "true"),
    ],
)
def test_token_of_deceased(deceased: dict[str, Any], expected: str) -> None:
    assert finds({"resourceType": "Patient", **deceased}, ("deceased", expected))


def test_token_of_a_string_ignores_case() -> None:
    definition = {"resourceType": "ActivityDefinition", "version": "1.0-Beta", "status": "draft"}
    assert finds(definition, ("version", "1.0-beta"))
    assert not finds(definition, ("version", "1.0"))
    assert finds(definition, ("version:not", "2.0"))


def test_token_of_an_open_value_set_takes_any_system() -> None:
    document = {"resourceType": "DocumentReference", "content": [{"attachment": {"contentType": "application/pdf"}}]}
    assert finds(document, ("contenttype", "application/pdf"))
    assert finds(document, ("contenttype", "urn:ietf:bcp:13|application/pdf"))


def test_token_escapes() -> None:
    patient = {"resourceType": "Patient", "identifier": [{"system": "urn:a,b", "value": "1|2$3\\4"}]}
    assert finds(patient, ("identifier", "urn:a\\,b|1\\|2\\$3\\\\4"))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("identifier", "a|b|c", "invalid"),
        ("identifier", "|", "invalid"),
        ("identifier:of-type", "a|b", "invalid"),
        ("identifier:of-type", "a||c", "invalid"),
        ("gender:of-type", "a|b|c", "not-supported"),
        ("phone", "urn:a|1", "invalid"),
        ("identifier:in", "http://a.org/ValueSet/1", "not-supported"),
        ("active:not-in", "http://a.org/ValueSet/1", "not-supported"),
        ("phone:below", "a|b", "not-supported"),
        ("language:above", "b", "invalid"),
        ("language:below", "a|", "invalid"),
        ("gender:exact", "male", "not-supported"),
    ],
)
def test_token_refuses(name: str, value: str, code: str) -> None:
    problem = refused("Patient", (name, value))
    assert 400 == problem.status
    assert [(code, f"http.{name}")] == places(problem)
