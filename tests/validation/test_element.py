"""Each rule of structure, one broken at a time: the issue's code and its expression."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir.definition import RESOURCE_TYPES, elements
from server.outcome import Issue
from server.validation.element import MOST, _compiled, validate
from tests.steps import LINEAR, growth

Json = dict[str, Any]


def plan(**members: Any) -> Json:
    return {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient/1"},
    } | members


def patient(**members: Any) -> Json:
    return {"resourceType": "Patient"} | members


def observation(**members: Any) -> Json:
    return {"resourceType": "Observation", "status": "final", "code": {"text": "weight"}} | members


def found(resource: Json) -> list[tuple[str, str]]:
    return [(issue.code, issue.expression[0]) for issue in validate(resource)]


VALID = [
    plan(),
    plan(id="a-1", meta={"versionId": "7", "lastUpdated": "2026-01-01T00:00:00.000Z", "profile": ["http://a.org/p"]}),
    plan(text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">a</div>'}),
    plan(subject={"reference": "Group/1/_history/3"}),
    plan(subject={"reference": "https://other.org/fhir/Patient/1"}),
    plan(subject={"reference": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"}),
    plan(subject={"reference": "Patient?identifier=urn:a|1"}),
    plan(subject={"identifier": {"system": "urn:a", "value": "1"}}),
    plan(subject={"display": "a member"}),
    plan(subject={"reference": "#p"}, contained=[patient(id="p")]),
    plan(supportingInfo=[{"reference": "Binary/1"}]),
    plan(activity=[{"reference": {"reference": "Task/1"}}, {"detail": {"status": "scheduled", "kind": "Task"}}]),
    plan(extension=[{"url": "http://a.org/x", "valueDecimal": Decimal("1.10")}]),
    plan(extension=[{"url": "http://a.org/x", "extension": [{"url": "y", "valueInteger": 1}]}]),
    plan(extension=[{"url": "http://a.org/x", "_valueString": {"extension": [{"url": "y", "valueCode": "z"}]}}]),
    plan(_title={"extension": [{"url": "http://a.org/x", "valueBoolean": False}]}),
    plan(title="a", _title={"id": "t"}),
    plan(period={"start": "2026-01-01", "end": "2026-01"}),
    plan(period={"start": "2026-01-01T20:00:00-05:00", "end": "2026-01-01"}),
    patient(name=[{"given": ["a", None], "_given": [None, {"extension": [{"url": "u", "valueCode": "unknown"}]}]}]),
    patient(name=[{"_given": [{"extension": [{"url": "u", "valueCode": "unknown"}]}]}]),
    patient(_birthDate={"extension": [{"url": "u", "valueCode": "unknown"}]}),
    patient(deceasedBoolean=False, multipleBirthInteger=2),
    observation(valueQuantity={"value": 1, "unit": "kg"}),
    observation(valueDateTime="2026-01-01T10:00:00Z"),
    {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": plan()}]},
    {"resourceType": "Parameters", "parameter": [{"name": "a", "resource": plan()}, {"name": "b", "valueId": "x"}]},
    {"resourceType": "Binary", "contentType": "application/pdf", "data": "QQ=="},
    {
        "resourceType": "Questionnaire",
        "status": "draft",
        "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "1.1", "type": "string"}]}],
    },
    {
        "resourceType": "Condition",
        "subject": {"reference": "Patient/1"},
        "clinicalStatus": {
            "coding": [
                {"system": "http://a.org", "code": "x"},
                {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"},
            ]
        },
    },
]


@pytest.mark.parametrize("resource", VALID)
def test_validate_accepts(resource: Json) -> None:
    assert [] == validate(resource)


BROKEN: list[tuple[Json, list[tuple[str, str]]]] = [
    # names
    (plan(titel="a"), [("structure", "CarePlan.titel")]),
    (plan(_subject={"id": "a"}), [("structure", "CarePlan._subject")]),
    (plan(subject={"reference": "Patient/1", "_id": {"id": "x"}}), [("structure", "CarePlan.subject._id")]),
    (plan(extension=[{"_url": {"id": "a"}, "valueCode": "x"}]), [
        ("structure", "CarePlan.extension[0]._url"), ("required", "CarePlan.extension[0].url"),
    ]),
    (plan(subject={"resourceType": "Reference", "display": "a"}), [("structure", "CarePlan.subject.resourceType")]),
    (plan(contributor=[{"name": "a"}]), [("structure", "CarePlan.contributor[0].name")]),
    (observation(value="a"), [("structure", "Observation.value")]),
    (observation(valueAddress={"city": "a"}), [("structure", "Observation.valueAddress")]),
    # cardinality
    ({"resourceType": "CarePlan"}, [
        ("required", "CarePlan.status"), ("required", "CarePlan.intent"), ("required", "CarePlan.subject"),
    ]),
    (plan(activity=[{"detail": {"kind": "Task"}}]), [("required", "CarePlan.activity[0].detail.status")]),
    (plan(status=["active"]), [("structure", "CarePlan.status")]),
    (plan(subject=[{"reference": "Patient/1"}]), [("structure", "CarePlan.subject")]),
    (plan(goal={"reference": "Goal/1"}), [("structure", "CarePlan.goal")]),
    (plan(goal=[]), [("structure", "CarePlan.goal")]),
    (plan(instantiatesUri="http://a.org"), [("structure", "CarePlan.instantiatesUri")]),
    (plan(instantiatesUri=[]), [("structure", "CarePlan.instantiatesUri")]),
    # kinds and formats
    (plan(title=1), [("structure", "CarePlan.title")]),
    (plan(title=None), [("structure", "CarePlan.title")]),
    (plan(title=""), [("value", "CarePlan.title")]),
    (plan(title={}), [("structure", "CarePlan.title")]),
    (plan(subject={}), [("structure", "CarePlan.subject")]),
    (plan(subject={"id": "a"}), [("invariant", "CarePlan.subject")]),
    (plan(subject=None), [("structure", "CarePlan.subject")]),
    (plan(subject="Patient/1"), [("structure", "CarePlan.subject")]),
    (plan(goal=[None]), [("structure", "CarePlan.goal[0]")]),
    (plan(created="2026-02-30"), [("value", "CarePlan.created")]),
    (plan(created="2026-01-01T10:00:00"), [("value", "CarePlan.created")]),
    (plan(id="a_b"), [("value", "CarePlan.id")]),
    (plan(meta={"lastUpdated": "2026-01-01"}), [("value", "CarePlan.meta.lastUpdated")]),
    (plan(instantiatesUri=["a", "a b", 1]), [
        ("value", "CarePlan.instantiatesUri[1]"), ("structure", "CarePlan.instantiatesUri[2]"),
    ]),
    (patient(active="true"), [("structure", "Patient.active")]),
    (patient(active=1), [("structure", "Patient.active")]),
    (patient(multipleBirthInteger=True), [("structure", "Patient.multipleBirth")]),
    (patient(multipleBirthInteger=Decimal("1.5")), [("value", "Patient.multipleBirth")]),
    (patient(contact=[{"period": {"start": "yesterday"}, "name": {"text": "a"}}]), [
        ("value", "Patient.contact[0].period.start"),
    ]),
    (plan(text={"status": "generated", "div": "a"}), [("value", "CarePlan.text.div")]),
    (plan(text={"status": "generated"}), [("required", "CarePlan.text.div")]),
    # beside primitives
    (plan(_title={}), [("structure", "CarePlan.title")]),
    (plan(_title={"id": "t"}), [("invariant", "CarePlan.title")]),
    (plan(_title="a"), [("structure", "CarePlan.title")]),
    (plan(_title=None), [("structure", "CarePlan.title")]),
    (plan(_title={"extension": [{"url": "u"}]}), [("invariant", "CarePlan.title.extension[0]")]),
    (patient(name=[{"given": ["a", None]}]), [("structure", "Patient.name[0].given[1]")]),
    (patient(name=[{"given": ["a"], "_given": [None, {"id": "x"}]}]), [("structure", "Patient.name[0].given")]),
    (patient(name=[{"given": [None], "_given": [None]}]), [
        ("structure", "Patient.name[0].given[0]"), ("structure", "Patient.name[0].given[0]"),
    ]),
    (patient(name=[{"_given": {"id": "x"}}]), [("structure", "Patient.name[0].given")]),
    (patient(name=[{"_given": [{"id": "x"}]}]), [("invariant", "Patient.name[0].given[0]")]),
    # choices
    (observation(valueString="a", valueBoolean=True), [("structure", "Observation.value")]),
    (observation(valueString="a", _valueBoolean={"extension": [{"url": "u", "valueCode": "x"}]}), [
        ("structure", "Observation.value"),
    ]),
    ({"resourceType": "MedicationRequest", "status": "active", "intent": "order", "subject": {"display": "a"}}, [
        ("required", "MedicationRequest.medication"),
    ]),
    # codes
    (plan(status="activ"), [("code-invalid", "CarePlan.status")]),
    (plan(status=7), [("structure", "CarePlan.status")]),
    (plan(status={"code": "active"}), [("structure", "CarePlan.status")]),
    (patient(gender="F"), [("code-invalid", "Patient.gender")]),
    (plan(language=" en"), [("value", "CarePlan.language")]),
    (plan(activity=[{"detail": {"status": "done"}}]), [("code-invalid", "CarePlan.activity[0].detail.status")]),
    # references
    (plan(subject={"reference": "Practitioner/1"}), [("value", "CarePlan.subject.reference")]),
    (plan(subject={"reference": "Practitioner?identifier=1"}), [("value", "CarePlan.subject.reference")]),
    (plan(subject={"reference": "patient/1"}), [("value", "CarePlan.subject.reference")]),
    (plan(subject={"reference": ""}), [("value", "CarePlan.subject.reference")]),
    (plan(subject={"reference": "Patient"}), [("value", "CarePlan.subject.reference")]),
    (plan(subject={"reference": "Patient/"}), [("value", "CarePlan.subject.reference")]),
    (plan(subject={"reference": "Patient/a b"}), [("value", "CarePlan.subject.reference")]),
    (plan(subject={"reference": "Patient/1/history/2"}), [("value", "CarePlan.subject.reference")]),
    (plan(subject={"reference": "Patient/1/_history/"}), [("value", "CarePlan.subject.reference")]),
    (plan(supportingInfo=[{"reference": "HumanName/1"}]), [("value", "CarePlan.supportingInfo[0].reference")]),
    (plan(subject={"reference": "Practitioner/1", "type": 1}), [
        ("structure", "CarePlan.subject.type"), ("value", "CarePlan.subject.reference"),
    ]),
    # resources in resources
    (plan(contained=[{"resourceType": "Nothing", "id": "a"}]), [
        ("structure", "CarePlan.contained[0].resourceType"), ("invariant", "CarePlan.contained[0]"),
    ]),
    (plan(contained=["a"]), [("structure", "CarePlan.contained[0]")]),
    (plan(subject={"reference": "#p"}, contained=[patient(id="p", gender="F")]), [
        ("code-invalid", "CarePlan.contained[0].gender"),
    ]),
    ({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": plan(status="x")}]}, [
        ("code-invalid", "Bundle.entry[0].resource.status"),
    ]),
    ({"resourceType": "Bundle", "type": "collection", "entry": [{"resource": {"resourceType": "HumanName"}}]}, [
        ("structure", "Bundle.entry[0].resource.resourceType"),
    ]),
    ({"resourceType": "HumanName", "text": "a"}, [("structure", "Resource.resourceType")]),
    ({"resourceType": "CarePlan.activity"}, [("structure", "Resource.resourceType")]),
    ({"id": "a"}, [("structure", "Resource.resourceType")]),
    ({"resourceType": ["CarePlan"]}, [("structure", "Resource.resourceType")]),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "issues"), BROKEN)
def test_validate_finds(resource: Json, issues: list[tuple[str, str]]) -> None:
    assert issues == found(resource)


def test_validate_finds_every_problem_at_once() -> None:
    broken = plan(status="x", titel="a", created="no", activity=[{}, {"detail": {"status": 1}}])
    expected = [
        ("code-invalid", "CarePlan.status"),
        ("structure", "CarePlan.titel"),
        ("value", "CarePlan.created"),
        ("structure", "CarePlan.activity[0]"),
        ("structure", "CarePlan.activity[1].detail.status"),
    ]
    assert expected == found(broken)


def test_validate_says_what_would_be_accepted() -> None:
    [code] = validate(plan(status="actve"))
    assert "did you mean active?" in code.diagnostics
    assert "on-hold" in code.diagnostics
    assert "https://hl7.org/fhir/R4/careplan-definitions.html#CarePlan.status" in code.diagnostics
    [name] = validate(plan(intentt="plan"))
    assert "did you mean intent?" in name.diagnostics
    [choice] = validate(observation(value=1))
    assert "valueQuantity" in choice.diagnostics
    [reference] = validate(plan(subject={"reference": "Practitioner/1"}))
    assert "Group, Patient" in reference.diagnostics


def test_validate_stops_at_a_hundred() -> None:
    issues = validate(plan(instantiatesUri=[1] * 5000, supportingInfo=[{}] * 5000))
    assert MOST + 1 == len(issues)
    assert Issue("incomplete", issues[-1].diagnostics, ("CarePlan",), "information") == issues[-1]


def nested(depth: int) -> Json:
    """A question within questions, wrong at every level."""
    within: Json = {"linkId": 1}
    for _ in range(depth):
        within = {"linkId": 1, "type": "x", "item": [within]}
    return within


@pytest.mark.parametrize(
    ("of", "most"),
    [
        (lambda n: {"resourceType": "Questionnaire", "status": "draft", "item": [nested(45)] * n}, 1_000),
        (lambda n: plan(instantiatesUri=[None] * n), 200_000),
        (lambda n: plan(supportingInfo=[{"reference": "#x"}] * n), 50_000),
        (lambda n: plan(**{f"{'x' * 10_000}{k}": 1 for k in range(n)}), 200),
    ],
    ids=["levels", "items", "references", "names"],
)
def test_validate_of_a_hostile_body_is_one_pass(of: Callable[[int], Json], most: int) -> None:
    assert growth(of, validate, most // 10) < LINEAR


@pytest.mark.parametrize("type_name", sorted(RESOURCE_TYPES))
def test_validate_compiles_every_type(type_name: str) -> None:
    _compiled(type_name)
    codes = {code for code, _ in found({"resourceType": type_name, "nothing": 1})}
    assert {"structure"} <= codes <= {"structure", "required", "invariant"}  # org-1


CONTAINED: list[tuple[Json, list[tuple[str, str]]]] = [
    # ref-1
    (plan(subject={"reference": "#p"}), [("invariant", "CarePlan.subject.reference")]),
    (plan(activity=[{"progress": [{"text": "a", "authorReference": {"reference": "#p"}}]}]), [
        ("invariant", "CarePlan.activity[0].progress[0].author.reference"),
    ]),
    (plan(subject={"reference": "#p"}, contained=[patient(id="q")]), [
        ("invariant", "CarePlan.subject.reference"), ("invariant", "CarePlan.contained[0]"),
    ]),
    (plan(subject={"reference": "#p"}, contained=[{"resourceType": []}, "a", patient(id=["p"])]), [
        ("structure", "CarePlan.contained[0].resourceType"),
        ("structure", "CarePlan.contained[1]"),
        ("structure", "CarePlan.contained[2].id"),
        ("invariant", "CarePlan.subject.reference"),
        ("invariant", "CarePlan.contained[0]"),
        ("invariant", "CarePlan.contained[2]"),
    ]),
    # each resource of a Bundle has its own fragments
    ({"resourceType": "Bundle", "type": "collection", "entry": [
        {"resource": plan(subject={"reference": "#p"}, contained=[patient(id="p")])},
        {"resource": plan(subject={"reference": "#p"})},
    ]}, [("invariant", "Bundle.entry[1].resource.subject.reference")]),
    # dom-2, dom-4, dom-5
    (plan(subject={"reference": "#p"}, contained=[patient(id="p", contained=[patient(id="q", link=[])])]), [
        ("structure", "CarePlan.contained[0].contained[0].link"), ("invariant", "CarePlan.contained[0].contained"),
    ]),
    (plan(subject={"reference": "#p"}, contained=[patient(id="p", meta={"versionId": "1"})]), [
        ("invariant", "CarePlan.contained[0].meta"),
    ]),
    (plan(subject={"reference": "#p"}, contained=[patient(id="p", meta={"security": [{"code": "R"}]})]), [
        ("invariant", "CarePlan.contained[0].meta.security"),
    ]),
    # dom-3
    (plan(contained=[patient(id="p")]), [("invariant", "CarePlan.contained[0]")]),
    (plan(contained=[patient(gender="female")]), [("invariant", "CarePlan.contained[0]")]),
    (plan(contained=[patient(id="p", generalPractitioner=[{"reference": "#"}])]), []),
    (plan(instantiatesCanonical=["#d"], contained=[
        {"resourceType": "PlanDefinition", "id": "d", "status": "draft"},
    ]), []),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "issues"), CONTAINED)
def test_validate_of_contained_resources(resource: Json, issues: list[tuple[str, str]]) -> None:
    assert issues == found(resource)


NAMES = sorted({*elements("CarePlan"), *elements("CarePlan.activity.detail"), *elements("Extension"), "resourceType"})
NAMES += [f"_{name}" for name in NAMES] + [*elements("Reference"), *elements("Period"), "kind", "x"]
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5)
    | st.sampled_from(["CarePlan", "Patient/1", "#a", "a", "2026-01-01", "active", "http://example.org"])
)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.sampled_from(NAMES), JSON, max_size=6))
def test_validate_answers_whatever_it_gets(members: Json) -> None:
    """Nothing that JSON can say makes it fall over, and each issue says where and why."""
    for resource in (plan() | members, members):
        for issue in validate(resource):
            assert issue.diagnostics
            assert issue.expression[0].startswith(("CarePlan", "Resource"))
