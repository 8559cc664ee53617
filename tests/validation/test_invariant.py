"""Each invariant broken and kept, and the table beside HL7's own."""

import runpy
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from server.fhir.definition import elements
from server.validation.element import validate
from server.validation.invariant import INVARIANTS, precede

Json = dict[str, Any]
UCUM = "http://unitsofmeasure.org"
MAKE = runpy.run_path(str(Path(__file__).parents[2] / "scripts/make_r4.py"))


def broken(type_name: str, value: Json) -> set[str]:
    return {invariant.key for invariant in INVARIANTS[type_name] if not invariant.holds(value)}


CASES: list[tuple[str, str, Json, Json]] = [  # key, type, broken, kept
    ("age-1", "Age", {"value": 0, "code": "a", "system": UCUM}, {"value": 7, "code": "a", "system": UCUM}),
    ("age-1", "Age", {"value": 7}, {"_value": {"id": "a"}, "code": "a"}),
    ("att-1", "Attachment", {"data": "QQ=="}, {"data": "QQ==", "contentType": "text/plain"}),
    ("sev-1", "AuditEvent.entity", {"name": "a", "query": "QQ=="}, {"name": "a"}),
    ("cpl-3", "CarePlan.activity", {"reference": {}, "detail": {}}, {"detail": {}}),
    (
        "ctm-1",
        "CareTeam.participant",
        {"onBehalfOf": {}, "member": {"reference": "Patient/1"}},
        {"onBehalfOf": {}, "member": {"reference": "Practitioner/1"}},
    ),
    (
        "con-4",
        "Condition",
        {"abatementString": "a", "clinicalStatus": {"coding": [{"code": "active"}]}},
        {"abatementString": "a", "clinicalStatus": {"coding": [{"code": "resolved"}]}},
    ),
    (
        "con-5",
        "Condition",
        {"clinicalStatus": {}, "verificationStatus": {"coding": [{"code": "entered-in-error"}]}},
        {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}},
    ),
    ("con-2", "Condition.evidence", {"id": "a"}, {"detail": []}),
    ("con-1", "Condition.stage", {"type": {}}, {"summary": {}}),
    ("cpt-2", "ContactPoint", {"value": "1"}, {"value": "1", "system": "phone"}),
    ("cnt-3", "Count", {"value": Decimal("1.5"), "code": "1"}, {"value": 2, "code": "1", "system": UCUM}),
    ("drq-1", "DataRequirement.codeFilter", {"path": "a", "searchParam": "b"}, {"path": "a"}),
    ("drq-2", "DataRequirement.dateFilter", {"id": "a"}, {"searchParam": "b"}),
    ("dis-1", "Distance", {"value": 1, "code": "m", "system": "urn:a"}, {"value": 1, "code": "m", "system": UCUM}),
    ("drt-1", "Duration", {"value": 1, "code": "d"}, {"value": 1, "code": "d", "system": UCUM}),
    ("exp-1", "Expression", {"language": "a"}, {"language": "a", "expression": "b"}),
    ("ext-1", "Extension", {"url": "a", "valueCode": "b", "extension": []}, {"url": "a", "id": "b", "valueCode": "c"}),
    ("ext-1", "Extension", {"url": "a"}, {"url": "a", "valueCode": "b", "_valueCode": {}}),
    ("gol-1", "Goal.target", {"detailString": "a"}, {"detailString": "a", "measure": {}}),
    ("mrp-1", "MeasureReport", {"type": "data-collection", "group": []}, {"type": "summary", "group": []}),
    ("mrp-2", "MeasureReport.group.stratifier.stratum", {"value": {}, "component": []}, {"value": {}}),
    ("obs-6", "Observation", {"dataAbsentReason": {}, "valueString": "a"}, {"dataAbsentReason": {}}),
    (
        "obs-7",
        "Observation",
        {
            "valueString": "a",
            "code": {"coding": [{"system": "s", "code": "c"}]},
            "component": [{"code": {"coding": [{"system": "s", "code": "c"}]}}],
        },
        {
            "valueString": "a",
            "code": {"coding": [{"system": "s", "code": "c"}]},
            "component": [{"code": {"coding": [{"system": "t", "code": "c"}]}}],
        },
    ),
    ("obs-3", "Observation.referenceRange", {"age": {}}, {"low": {}}),
    ("org-1", "Organization", {"active": True}, {"name": "a"}),
    ("org-2", "Organization", {"name": "a", "address": [{"use": "home"}]}, {"name": "a", "address": [{"use": "work"}]}),
    ("org-3", "Organization", {"name": "a", "telecom": [{}, {"use": "home"}]}, {"name": "a", "telecom": [{}]}),
    ("pat-1", "Patient.contact", {"gender": "female"}, {"organization": {}}),
    ("per-1", "Period", {"start": "2026-02-01", "end": "2026-01-31"}, {"start": "2026-01-31", "end": "2026-01"}),
    ("qty-3", "Quantity", {"value": 1, "code": "kg"}, {"value": 1, "code": "kg", "system": UCUM}),
    ("qrs-1", "QuestionnaireResponse.item", {"item": [], "answer": []}, {"answer": []}),
    ("rng-2", "Range", {"low": {"value": 2}, "high": {"value": 1}}, {"low": {"value": 2}, "high": {"unit": "a"}}),
    ("rat-1", "Ratio", {"numerator": {}}, {"numerator": {}, "denominator": {}}),
    ("rat-1", "Ratio", {"id": "a"}, {"extension": []}),
    (
        "ras-1",
        "RiskAssessment.prediction",
        {"probabilityRange": {"low": {"value": 1, "code": "1", "system": UCUM}}},
        {"probabilityRange": {"low": {"value": 1, "code": "%", "system": UCUM}}},
    ),
    ("ras-2", "RiskAssessment.prediction", {"probabilityDecimal": 101}, {"probabilityDecimal": Decimal("99.5")}),
    ("prr-1", "ServiceRequest", {"orderDetail": []}, {"orderDetail": [], "code": {}}),
    (
        "inv-1",
        "Task",
        {"authoredOn": "2026-01-02", "lastModified": "2026-01-01"},
        {"authoredOn": "2026-01-01", "lastModified": "2026-01-01T10:00:00Z"},
    ),
    ("tim-1", "Timing.repeat", {"duration": 1}, {"duration": 1, "durationUnit": "d"}),
    ("tim-2", "Timing.repeat", {"period": 1}, {"period": 1, "periodUnit": "d"}),
    ("tim-4", "Timing.repeat", {"duration": -1, "durationUnit": "d"}, {"duration": 0, "durationUnit": "d"}),
    ("tim-5", "Timing.repeat", {"period": -1, "periodUnit": "d"}, {"period": 1, "periodUnit": "d"}),
    ("tim-6", "Timing.repeat", {"periodMax": 1}, {"periodMax": 1, "period": 1, "periodUnit": "d"}),
    ("tim-7", "Timing.repeat", {"durationMax": 1}, {"durationMax": 1, "duration": 1, "durationUnit": "d"}),
    ("tim-8", "Timing.repeat", {"countMax": 2}, {"countMax": 2, "count": 1}),
    ("tim-9", "Timing.repeat", {"offset": 1, "when": ["C"]}, {"offset": 1, "when": ["AC"]}),
    ("tim-10", "Timing.repeat", {"timeOfDay": ["10:00:00"], "when": ["AC"]}, {"when": ["AC"]}),
    ("trd-1", "TriggerDefinition", {"timingDate": "2026", "data": []}, {"data": []}),
    ("trd-2", "TriggerDefinition", {"name": "a", "condition": {}}, {"data": [], "condition": {}}),
    ("trd-3", "TriggerDefinition", {"type": "named-event"}, {"type": "named-event", "name": "a"}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "type_name", "wrong", "right"), CASES)
def test_invariant_is_broken_and_kept(key: str, type_name: str, wrong: Json, right: Json) -> None:
    assert {key} == broken(type_name, wrong)
    assert set() == broken(type_name, right)


def test_each_invariant_has_a_case() -> None:
    table = {(invariant.key, type_name) for type_name, rows in INVARIANTS.items() for invariant in rows}
    assert table == {(key, type_name) for key, type_name, _, _ in CASES}


def test_invariants_are_of_known_types() -> None:
    assert all(elements(type_name) for type_name in INVARIANTS)


@pytest.mark.skipif(not MAKE["JAR"].exists(), reason="HL7's definitions are not in the local Maven repository")
def test_invariants_are_hl7s_by_key_and_type() -> None:
    with zipfile.ZipFile(MAKE["jar"]()) as archive:
        bundles = [MAKE["read"](archive, f"profile/profiles-{name}.xml") for name in ("types", "resources")]
    errors = {
        (MAKE["value"](constraint, "key"), MAKE["value"](definition, "type"))
        for definition in MAKE["of_type"](bundles, "StructureDefinition")
        for node in MAKE["each"](definition, "snapshot/element")
        for constraint in MAKE["each"](node, "constraint")
        if MAKE["value"](constraint, "severity") == "error"
    }
    assert set() == {(row.key, name.partition(".")[0]) for name, rows in INVARIANTS.items() for row in rows} - errors


@pytest.mark.parametrize(
    ("start", "end", "kept"),
    [
        ("2026", "2026-01-01", True),
        ("2026-02", "2026-01-31", False),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z", True),
        ("2026-01-01T10:00:00Z", "2026-01-01T09:59:59Z", False),
        ("2026-01-01T10:00:00+02:00", "2026-01-01T09:00:00Z", True),
        ("2026-01-01T23:00:00-05:00", "2026-01-01", True),
        ("2026-01-02T00:00:00-05:00", "2026-01-01", False),
    ],
)
def test_precede_compares_instants_or_local_dates(start: str, end: str, kept: bool) -> None:
    assert kept == precede({"start": start, "end": end}, "start", "end")


def test_simple_quantity_has_no_comparator() -> None:
    plan: Json = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"display": "a"},
        "activity": [{"detail": {"status": "scheduled", "quantity": {"value": 1, "comparator": "<"}}}],
    }
    [issue] = validate(plan)
    assert ("invariant", ("CarePlan.activity[0].detail.quantity",)) == (issue.code, issue.expression)


def test_specializations_keep_their_base_s_invariants() -> None:
    """A Duration is a Quantity: its code needs a system twice over."""
    request: Json = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "subject": {"display": "a"},
        "medicationCodeableConcept": {"text": "a"},
        "dispenseRequest": {"expectedSupplyDuration": {"value": 1, "code": "d"}},
    }
    assert ["drt-1", "qty-3"] == [issue.diagnostics.partition(":")[0] for issue in validate(request)]
