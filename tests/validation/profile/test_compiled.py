"""What a profile asks of elements: how often, which value, which type, which code, which invariant."""

from __future__ import annotations

from typing import Any

import pytest

from tests.validation.loaded import BASE, Loaded, codes, found, profile

Json = dict[str, Any]
GOAL: Json = {
    "resourceType": "Goal",
    "lifecycleStatus": "active",
    "description": {"text": "Walk"},
    "subject": {"reference": "Patient/1"},
}
LOINC = {"system": "http://loinc.org", "code": "1-8"}


def goal(**more: Any) -> Json:
    return {name: value for name, value in (GOAL | more).items() if value is not None}


@pytest.mark.parametrize(
    ("element", "right", "wrong", "code", "place"),
    [
        ({"id": "Goal.note", "min": 1}, {"note": [{"text": "a"}]}, {}, "required", "Goal.note"),
        (
            {"id": "Goal.note", "max": "1"},
            {"note": [{"text": "a"}]},
            {"note": [{"text": "a"}] * 2},
            "structure",
            "Goal.note",
        ),
        ({"id": "Goal.note", "max": "0"}, {}, {"note": [{"text": "a"}]}, "structure", "Goal.note"),
        (
            {"id": "Goal.note.author[x]", "min": 1},
            {"note": [{"authorString": "b", "text": "a"}]},
            {"note": [{"text": "a"}]},
            "required",
            "Goal.note[0].author",
        ),
        (
            {"id": "Goal.lifecycleStatus", "fixedCode": "active"},
            {},
            {"lifecycleStatus": "planned"},
            "value",
            "Goal.lifecycleStatus",
        ),
        (
            {"id": "Goal.description", "patternCodeableConcept": {"coding": [LOINC]}},
            {"description": {"coding": [{"system": "urn:a", "code": "b"}, LOINC | {"display": "x"}]}},
            {"description": {"coding": [LOINC | {"system": "urn:a"}]}},
            "value",
            "Goal.description",
        ),
        (
            {"id": "Goal.description", "fixedCodeableConcept": {"text": "Walk"}},
            {},
            {"description": {"text": "Walk", "coding": [LOINC]}},
            "value",
            "Goal.description",
        ),
        (
            {"id": "Goal.start[x]", "type": [{"code": "date"}]},
            {"startDate": "2026-01-01"},
            {"startCodeableConcept": {"text": "now"}},
            "structure",
            "Goal.start",
        ),
        (
            {"id": "Goal.statusReason", "maxLength": 3},
            {"statusReason": "abc"},
            {"statusReason": "abcd"},
            "too-long",
            "Goal.statusReason",
        ),
        (
            {"id": "Goal.startDate", "minValueDate": "2026-01-01"},
            {"startDate": "2026"},
            {"startDate": "2025-12-31"},
            "value",
            "Goal.start",
        ),
        (
            {
                "id": "Goal.subject",
                "type": [{"code": "Reference", "targetProfile": ["http://hl7.org/fhir/StructureDefinition/Patient"]}],
            },
            {},
            {"subject": {"reference": "Group/1"}},
            "structure",
            "Goal.subject",
        ),
        (
            {
                "id": "Goal.target",
                "constraint": [{"key": "x-1", "severity": "error", "human": "due", "expression": "due.exists()"}],
            },
            {"target": [{"dueDate": "2026-01-01"}]},
            {"target": [{"measure": {"text": "m"}}]},
            "invariant",
            "Goal.target[0]",
        ),
        (
            {
                "id": "Goal.category",
                "binding": {"strength": "required", "valueSet": "http://hl7.org/fhir/ValueSet/goal-category"},
            },
            {
                "category": [
                    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/goal-category", "code": "dietary"}]}
                ]
            },
            {
                "category": [
                    {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/goal-category", "code": "x"}]}
                ]
            },
            "code-invalid",
            "Goal.category[0]",
        ),
    ],
)
def test_rule_of_an_element(element: Json, right: Json, wrong: Json, code: str, place: str) -> None:
    of = profile("Goal", element)
    assert [] == codes(goal(**right), of)
    assert [(code, (place,))] == codes(goal(**wrong), of)


def test_element_in_a_primitives_place_may_be_its_extension() -> None:
    of = profile("Goal", {"id": "Goal.statusDate", "min": 1}, {"id": "Goal.statusDate.extension", "min": 1})
    absent = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    assert [] == codes(goal(_statusDate={"extension": [absent]}), of)
    assert [("required", ("Goal.statusDate.extension",))] == codes(goal(statusDate="2026-01-01"), of)


def test_value_set_that_is_not_loaded_is_told_and_not_guessed() -> None:
    bound = {"strength": "required", "valueSet": f"{BASE}/ValueSet/none"}
    of = profile("Goal", {"id": "Goal.category", "binding": bound})
    resource = goal(category=[{"coding": [LOINC]}, {"coding": [LOINC]}])
    assert [] == codes(resource, of)
    told = [one for one in judged(resource, of) if one.code == "not-found"]
    assert [("Goal.category[0]", "Goal.category[1]")] == [one.expression for one in told]
    assert {"information"} == {one.severity for one in told}


def judged(resource: Json, of: Json) -> list[Any]:
    from server.validation.profile.judgement import Claim, judge

    return judge(Loaded([of]), resource, [Claim(of["url"], "profile")])


def test_extensible_binding_warns_of_another_code_and_lets_a_text_stand() -> None:
    bound = {"strength": "extensible", "valueSet": "http://hl7.org/fhir/ValueSet/goal-category"}
    of = profile("Goal", {"id": "Goal.category", "binding": bound})
    assert ["warning"] == [one.severity for one in found(goal(category=[{"coding": [LOINC]}]), of)]
    assert [] == found(goal(category=[{"text": "a"}]), of)


def test_profile_that_is_not_loaded_says_nothing() -> None:
    resource = goal(meta={"profile": [f"{BASE}/StructureDefinition/none"]})
    issues = judged(resource, profile("Goal"))
    assert [("not-found", "information", ("Goal.meta.profile[0]",))] == [
        (one.code, one.severity, one.expression) for one in issues if "none" in one.diagnostics
    ]


def test_profile_of_another_type_is_refused() -> None:
    assert [("structure", ("Goal",))] == codes(GOAL, profile("Patient"))


def test_imposed_profile_is_asked_as_well() -> None:
    imposing = profile(
        "Goal",
        url=f"{BASE}/StructureDefinition/imposing",
        extension=[
            {
                "url": "http://hl7.org/fhir/StructureDefinition/structuredefinition-imposeProfile",
                "valueCanonical": f"{BASE}/StructureDefinition/goal",
            }
        ],
    )
    assert [("required", ("Goal.note",))] == codes(GOAL, imposing, profile("Goal", {"id": "Goal.note", "min": 1}))


def test_content_reference_leads_to_the_same_rules_below() -> None:
    of = profile("Questionnaire", {"id": "Questionnaire.item.text", "min": 1})
    nested = {"linkId": "1", "type": "group", "text": "a", "item": [{"linkId": "2", "type": "string"}]}
    resource = {"resourceType": "Questionnaire", "status": "draft", "item": [nested]}
    assert [("required", ("Questionnaire.item[0].item[0].text",))] == codes(resource, of)


def test_reference_to_what_is_contained_is_followed() -> None:
    named = profile("Patient", {"id": "Patient.name", "min": 1})
    of = profile("Goal", {"id": "Goal.subject", "type": [{"code": "Reference", "targetProfile": [named["url"]]}]})
    patient = {"resourceType": "Patient", "id": "p", "active": True}
    resource = goal(contained=[patient], subject={"reference": "#p"})
    assert [("structure", ("Goal.subject",))] == codes(resource, of, named)
    assert [] == codes(goal(contained=[patient | {"name": [{"text": "a"}]}], subject={"reference": "#p"}), of, named)


def test_reference_within_a_bundle_is_followed() -> None:
    named = profile("Patient", {"id": "Patient.name", "min": 1})
    of = profile("Goal", {"id": "Goal.subject", "type": [{"code": "Reference", "targetProfile": [named["url"]]}]})
    resource = goal(subject={"reference": "urn:uuid:1"}, meta={"profile": [of["url"]]})
    bundle = {
        "resourceType": "Bundle",
        "type": "collection",
        "entry": [{"resource": resource}, {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient"}}],
    }
    loaded = Loaded([of, named])
    assert [("Bundle.entry[0].resource.subject",)] == [one.expression for one in found(bundle, loaded=loaded)]


def test_invariant_that_cannot_be_evaluated_is_told() -> None:
    broken = {"key": "x-1", "severity": "error", "human": "x", "expression": "memberOf('urn:a')"}
    of = profile("Goal", {"id": "Goal.description", "constraint": [broken]})
    assert [] == found(GOAL, of)
    assert "not-supported" in [one.code for one in judged(GOAL, of)]
