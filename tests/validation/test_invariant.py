"""Each invariant broken and kept, and the table beside HL7's own."""

import runpy
import zipfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from server.fhir.definition import elements
from server.validation.element import validate
from server.validation.invariant import INVARIANTS
from server.validation.invariant.condition import precede

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

# Of what defines, exchanges, asks and tests
_SD: Json = {"type": "Goal", "baseDefinition": "a", "differential": {"element": [{"id": "Goal", "path": "Goal"}]}}
_DOCUMENT: Json = {
    "type": "document",
    "identifier": {"system": "a", "value": "b"},
    "timestamp": "2026",
    "entry": [{"resource": {"resourceType": "Composition"}}],
}


def _sd(name: str = "differential", *elements: Json, **more: Any) -> Json:
    root = {"id": "Goal", "path": "Goal"}
    return _SD | {name: {"element": [root, *elements]}} | more


def _rooted(name: str, **more: Any) -> Json:
    return _SD | {name: {"element": [{"id": "Goal", "path": "Goal", **more}]}}


def _without(value: Json, name: str) -> Json:
    return {key: item for key, item in value.items() if key != name}


_NOTE = {"id": "Goal.note", "path": "Goal.note"}
DEFINITIONAL_CASES: list[tuple[str, str, Json, Json]] = [
    ("ait-1", "AllergyIntolerance", {}, {"clinicalStatus": {}}),
    ("ait-2", "AllergyIntolerance",
     {"clinicalStatus": {}, "verificationStatus": {"coding": [{"code": "entered-in-error"}]}},
     {"verificationStatus": {"coding": [{"code": "entered-in-error"}]}}),
    ("app-2", "Appointment", {"status": "proposed", "start": "a"}, {"status": "booked", "start": "a", "end": "b"}),
    ("app-3", "Appointment", {"status": "booked"}, {"status": "waitlist"}),
    ("app-4", "Appointment", {"status": "proposed", "cancelationReason": {}},
     {"status": "cancelled", "cancelationReason": {}}),
    ("app-1", "Appointment.participant", {"status": "a"}, {"actor": {}}),
    ("apr-1", "AppointmentResponse", {}, {"actor": {}}),
    ("bdl-1", "Bundle", {"type": "collection", "total": 1}, {"type": "searchset", "total": 1}),
    ("bdl-2", "Bundle", {"type": "collection", "entry": [{"search": {}}]},
     {"type": "searchset", "entry": [{"search": {}}]}),
    ("bdl-3", "Bundle", {"type": "batch", "entry": [{}]}, {"type": "batch", "entry": [{"request": {}}]}),
    ("bdl-4", "Bundle", {"type": "collection", "entry": [{"response": {}}]},
     {"type": "batch-response", "entry": [{"response": {}}]}),
    ("bdl-7", "Bundle", {"type": "collection", "entry": [{"fullUrl": "a"}, {"fullUrl": "a"}]},
     {"type": "collection",
      "entry": [{"fullUrl": "a"}, {"fullUrl": "a", "resource": {"meta": {"versionId": "1"}}}, {}, {}]}),
    ("bdl-9", "Bundle", _DOCUMENT | {"identifier": {"value": "b"}}, _DOCUMENT),
    ("bdl-10", "Bundle", _without(_DOCUMENT, "timestamp"), _DOCUMENT),
    ("bdl-11", "Bundle", _DOCUMENT | {"entry": [{"resource": {"resourceType": "Patient"}}]}, _DOCUMENT),
    ("bdl-12", "Bundle", {"type": "message"},
     {"type": "message", "entry": [{"resource": {"resourceType": "MessageHeader"}}]}),
    ("bdl-5", "Bundle.entry", {"fullUrl": "a"}, {"resource": {}}),
    ("bdl-8", "Bundle.entry", {"resource": {}, "fullUrl": "a/_history/1"}, {"resource": {}, "fullUrl": "a/1"}),
    ("cpb-1", "CapabilityStatement", {"description": "a"}, {"description": "a", "rest": []}),
    ("cpb-2", "CapabilityStatement", {"rest": []}, {"rest": [], "description": "a"}),
    ("cpb-14", "CapabilityStatement", {"rest": [], "description": "a", "kind": "instance"},
     {"rest": [], "kind": "instance", "implementation": {}}),
    ("cpb-15", "CapabilityStatement", {"rest": [], "description": "a", "kind": "capability"},
     {"rest": [], "kind": "capability", "software": {}}),
    ("cpb-16", "CapabilityStatement", {"rest": [], "software": {}, "kind": "requirements"},
     {"rest": [], "kind": "requirements", "description": "a"}),
    ("cpb-3", "CapabilityStatement",
     {"description": "a", "kind": "requirements", "messaging": [{"endpoint": []}]},
     {"implementation": {}, "kind": "instance", "messaging": [{"endpoint": []}]}),
    ("cpb-7", "CapabilityStatement",
     {"description": "a", "document": [{"mode": "a", "profile": "b"}, {"mode": "a", "profile": "b"}]},
     {"description": "a", "document": [{"mode": "a", "profile": "b"}, {"mode": "c", "profile": "b"}]}),
    ("cpb-9", "CapabilityStatement.rest", {"resource": [{"type": "a"}, {"type": "a"}]},
     {"resource": [{"type": "a"}, {"type": "b"}]}),
    ("cpb-12", "CapabilityStatement.rest.resource", {"searchParam": [{"name": "a"}, {"name": "a"}]},
     {"searchParam": [{"name": "a"}, {"name": "b"}]}),
    ("csd-1", "CodeSystem", {"concept": [{"code": "a", "concept": [{"code": "a"}]}]},
     {"concept": [{"code": "a", "concept": [{"code": "b"}]}]}),
    ("cmp-1", "Composition.section", {"title": "a"}, {"entry": []}),
    ("cmp-2", "Composition.section", {"entry": [], "emptyReason": {}}, {"section": [], "emptyReason": {}}),
    ("cmd-1", "ConceptMap.group.element.target", {"equivalence": "inexact"}, {"equivalence": "wider"}),
    ("cmd-2", "ConceptMap.group.unmapped", {"mode": "fixed"}, {"mode": "fixed", "code": "a"}),
    ("cmd-3", "ConceptMap.group.unmapped", {"mode": "other-map"}, {"mode": "other-map", "url": "a"}),
    ("ppc-1", "Consent", {}, {"policyRule": {}}),
    ("ces-1", "CoverageEligibilityResponse.insurance.item", {"category": {}, "productOrService": {}}, {"category": {}}),
    ("eld-2", "ElementDefinition", {"path": "a", "min": 2, "max": "1"}, {"path": "a", "min": 2, "max": "*"}),
    ("eld-3", "ElementDefinition", {"path": "a", "max": "many"}, {"path": "a", "max": "3"}),
    ("eld-5", "ElementDefinition", {"path": "a", "contentReference": "#a", "fixedCode": "b"},
     {"path": "a", "contentReference": "#a"}),
    ("eld-6", "ElementDefinition", {"path": "a", "fixedCode": "a", "type": [{"code": "a"}, {"code": "b"}]},
     {"path": "a", "fixedCode": "a", "type": [{"code": "a"}]}),
    ("eld-7", "ElementDefinition", {"path": "a", "patternCode": "a", "type": [{"code": "a"}, {"code": "b"}]},
     {"path": "a", "patternCode": "a", "type": [{"code": "a"}]}),
    ("eld-8", "ElementDefinition", {"path": "a", "patternCode": "a", "fixedCode": "a"},
     {"path": "a", "patternCode": "a"}),
    ("eld-13", "ElementDefinition", {"path": "a", "type": [{"code": "a"}, {"code": "a"}]},
     {"path": "a", "type": [{"code": "a"}, {"code": "b"}]}),
    ("eld-14", "ElementDefinition", {"path": "a", "constraint": [{"key": "a"}, {"key": "a"}]},
     {"path": "a", "constraint": [{"key": "a"}, {"key": "b"}]}),
    ("eld-15", "ElementDefinition", {"path": "a", "defaultValueCode": "a", "meaningWhenMissing": "b"},
     {"path": "a", "meaningWhenMissing": "b"}),
    ("eld-16", "ElementDefinition", {"path": "a", "sliceName": "a b"}, {"path": "a", "sliceName": "a/b-c[x]"}),
    ("eld-18", "ElementDefinition", {"path": "a", "isModifier": True}, {"path": "a", "isModifier": False}),
    ("eld-19", "ElementDefinition", {"path": "a..b"}, {"path": "Goal.start[x]"}),
    ("eld-22", "ElementDefinition", {"path": "a", "sliceIsConstraining": True},
     {"path": "a", "sliceIsConstraining": True, "sliceName": "b"}),
    ("eld-12", "ElementDefinition.binding", {"valueSet": "#a"}, {"valueSet": "http://a"}),
    ("eld-1", "ElementDefinition.slicing", {"rules": "open"}, {"description": "a"}),
    ("eld-4", "ElementDefinition.type", {"code": "code", "aggregation": []}, {"code": "Reference", "aggregation": []}),
    ("eld-17", "ElementDefinition.type", {"code": "code", "targetProfile": []},
     {"code": "canonical", "targetProfile": []}),
    ("fhs-1", "FamilyMemberHistory", {"ageString": "a", "bornDate": "b"}, {"ageString": "a"}),
    ("fhs-2", "FamilyMemberHistory", {"estimatedAge": True}, {"estimatedAge": True, "ageString": "a"}),
    ("grp-1", "Group", {"actual": False, "member": []}, {"actual": True, "member": []}),
    ("imm-1", "Immunization.education", {"id": "a"}, {"reference": "a"}),
    ("imr-1", "ImmunizationRecommendation.recommendation", {"id": "a"}, {"targetDisease": {}}),
    ("ig-2", "ImplementationGuide",
     {"fhirVersion": ["4.0.1"], "definition": {"resource": [{"fhirVersion": ["3.0.2"]}]}},
     {"fhirVersion": ["4.0.1"], "definition": {"resource": [{"fhirVersion": ["4.0.1"]}, {}]}}),
    ("ig-1", "ImplementationGuide.definition", {"resource": [{"groupingId": "a"}]},
     {"resource": [{"groupingId": "a"}, {}], "grouping": [{"id": "a"}]}),
    ("ipn-1", "InsurancePlan", {}, {"name": "a"}),
    ("lnk-1", "Linkage", {"item": [{}]}, {"item": [{}, {}]}),
    ("lst-1", "List", {"emptyReason": {}, "entry": [{}]}, {"emptyReason": {}}),
    ("lst-2", "List", {"mode": "working", "entry": [{"deleted": True}]},
     {"mode": "changes", "entry": [{"deleted": True}]}),
    ("lst-3", "List", {"mode": "changes", "entry": [{"date": "a"}]}, {"mode": "working", "entry": [{"date": "a"}]}),
    ("mea-1", "Measure", {"group": [{"stratifier": [{"code": {}, "component": []}]}]},
     {"group": [{"stratifier": [{"code": {}}, {"component": []}]}]}),
    ("mad-1", "MedicationAdministration.dosage", {"text": "a"}, {"rateRatio": {}}),
    ("mdd-1", "MedicationDispense", {"whenPrepared": "2026-01-02", "whenHandedOver": "2026-01-01"},
     {"whenPrepared": "2026-01-02", "whenHandedOver": "2026-01-02"}),
    ("md-1", "MessageDefinition.focus", {"max": "0"}, {"max": "*"}),
    ("msq-3", "MolecularSequence", {"coordinateSystem": 2}, {"coordinateSystem": 1}),
    ("msq-5", "MolecularSequence.referenceSeq", {"genomeBuild": "a"}, {"genomeBuild": "a", "chromosome": {}}),
    ("msq-6", "MolecularSequence.referenceSeq", {"referenceSeqString": "a", "referenceSeqId": {}},
     {"referenceSeqString": "a"}),
    ("nsd-1", "NamingSystem", {"kind": "root", "uniqueId": [{"type": "uuid"}]},
     {"kind": "codesystem", "uniqueId": [{"type": "uuid"}]}),
    ("nsd-2", "NamingSystem", {"uniqueId": [{"type": "a", "preferred": True}, {"type": "a", "preferred": True}]},
     {"uniqueId": [{"type": "a", "preferred": True}, {"type": "a"}]}),
    ("opd-1", "OperationDefinition.parameter", {"name": "a"}, {"part": []}),
    ("opd-2", "OperationDefinition.parameter", {"type": "code", "searchType": "a"},
     {"type": "string", "searchType": "a"}),
    ("opd-3", "OperationDefinition.parameter", {"type": "code", "targetProfile": []},
     {"type": "Reference", "targetProfile": []}),
    ("inv-1", "Parameters.parameter", {"name": "a"}, {"name": "a", "valueCode": "b"}),
    ("inv-1", "Parameters.parameter", {"name": "a", "part": [], "resource": {}}, {"name": "a", "part": []}),
    ("que-2", "Questionnaire", {"item": [{"linkId": "1", "item": [{"linkId": "1"}]}]},
     {"item": [{"linkId": "1", "item": [{"linkId": "1.1"}]}]}),
    ("que-1", "Questionnaire.item", {"type": "group"}, {"type": "group", "item": []}),
    ("que-1", "Questionnaire.item", {"type": "display", "item": []}, {"type": "string", "item": []}),
    ("que-3", "Questionnaire.item", {"type": "display", "code": []}, {"type": "string", "code": []}),
    ("que-4", "Questionnaire.item", {"type": "choice", "answerOption": [], "answerValueSet": "a"},
     {"type": "choice", "answerOption": []}),
    ("que-5", "Questionnaire.item", {"type": "boolean", "answerOption": []}, {"type": "integer", "answerOption": []}),
    ("que-6", "Questionnaire.item", {"type": "display", "required": False}, {"type": "string", "required": True}),
    ("que-8", "Questionnaire.item", {"type": "display", "initial": [{}]}, {"type": "string", "initial": [{}]}),
    ("que-9", "Questionnaire.item", {"type": "display", "readOnly": True}, {"type": "string", "readOnly": True}),
    ("que-10", "Questionnaire.item", {"type": "date", "maxLength": 1}, {"type": "string", "maxLength": 1}),
    ("que-11", "Questionnaire.item", {"type": "choice", "answerOption": [], "initial": [{}]},
     {"type": "choice", "answerOption": []}),
    ("que-12", "Questionnaire.item", {"type": "string", "enableWhen": [{}, {}, {}]},
     {"type": "string", "enableWhen": [{}, {}]}),
    ("que-13", "Questionnaire.item", {"type": "string", "initial": [{}, {}]},
     {"type": "string", "initial": [{}, {}], "repeats": True}),
    ("que-7", "Questionnaire.item.enableWhen", {"operator": "exists", "answerString": "a"},
     {"operator": "exists", "answerBoolean": True}),
    ("rqg-1", "RequestGroup.action", {"title": "a"}, {"resource": {}}),
    ("spd-1", "SearchParameter", {"xpath": "a"}, {"xpath": "a", "xpathUsage": "b"}),
    ("spd-2", "SearchParameter", {"type": "token", "chain": []}, {"type": "reference", "chain": []}),
    ("sdf-1", "StructureDefinition", _sd("snapshot", _NOTE, _NOTE | {"id": "b"}),
     _sd("snapshot", _NOTE, _NOTE | {"id": "b"}, derivation="constraint")),
    ("sdf-4", "StructureDefinition", _without(_SD, "baseDefinition"),
     _without(_SD, "baseDefinition") | {"abstract": True}),
    ("sdf-5", "StructureDefinition",
     {"type": "Extension", "baseDefinition": "a", "snapshot": {"element": []}},
     {"type": "Extension", "baseDefinition": "a", "snapshot": {"element": []}, "context": []}),
    ("sdf-6", "StructureDefinition", _without(_SD, "differential"), _SD),
    ("sdf-8", "StructureDefinition", _sd("snapshot", {"id": "a", "path": "Patient.name"}), _sd("snapshot", _NOTE)),
    ("sdf-8a", "StructureDefinition", _sd("differential", {"id": "a", "path": "Patient.name"}),
     _sd("differential", _NOTE)),
    ("sdf-9", "StructureDefinition", _rooted("differential", label="a"), _sd("differential", _NOTE | {"label": "a"})),
    ("sdf-14", "StructureDefinition", _sd("differential", {"path": "Goal.note"}), _sd("differential", _NOTE)),
    ("sdf-15", "StructureDefinition", _rooted("snapshot", type=[]), _rooted("snapshot", type=[]) | {"kind": "logical"}),
    ("sdf-15a", "StructureDefinition", _rooted("differential", type=[]), _sd("differential", _NOTE | {"type": []})),
    ("sdf-16", "StructureDefinition", _sd("snapshot", _NOTE, {"id": "Goal.note", "path": "Goal.a"}),
     _sd("snapshot", _NOTE)),
    ("sdf-17", "StructureDefinition", _sd("differential", _NOTE, _NOTE), _sd("differential", _NOTE)),
    ("sdf-18", "StructureDefinition", _SD | {"contextInvariant": []}, _SD),
    ("sdf-19", "StructureDefinition",
     _sd("differential", _NOTE | {"type": [{"code": "a-b"}]}, url="http://hl7.org/fhir/StructureDefinition/a"),
     _sd("differential", _NOTE | {"type": [{"code": "a-b"}]})),
    ("sdf-21", "StructureDefinition", _sd("differential", _NOTE | {"defaultValueCode": "a"}),
     _sd("differential", _NOTE | {"defaultValueCode": "a"}, derivation="specialization")),
    ("sdf-22", "StructureDefinition",
     _sd("snapshot", _NOTE | {"defaultValueCode": "a"}, url="http://hl7.org/fhir/StructureDefinition/a"),
     _sd("snapshot", _NOTE | {"defaultValueCode": "a"})),
    ("sdf-23", "StructureDefinition", _rooted("differential", sliceName="a"),
     _sd("differential", _NOTE | {"sliceName": "a"})),
    ("sdf-20", "StructureDefinition.differential", {"element": [{"path": "Goal", "slicing": {}}]},
     {"element": [{"path": "Goal.note", "slicing": {}}]}),
    ("sdf-2", "StructureDefinition.mapping", {"identity": "a"}, {"uri": "a"}),
    ("sdf-3", "StructureDefinition.snapshot", {"element": [{"min": 0, "max": "1", "base": {}}]},
     {"element": [{"min": 0, "max": "1", "definition": "a", "base": {}}]}),
    ("sdf-8b", "StructureDefinition.snapshot", {"element": [{"min": 0, "max": "1", "definition": "a"}]},
     {"element": []}),
    ("sdf-10", "StructureDefinition.snapshot",
     {"element": [{"min": 0, "max": "1", "definition": "a", "base": {}, "binding": {"strength": "example"}}]},
     {"element": [{"min": 0, "max": "1", "definition": "a", "base": {}, "binding": {"description": "a"}}]}),
    ("smp-1", "StructureMap.group.rule.target", {"element": "a"}, {"element": "a", "context": "b", "contextType": "c"}),
    ("smp-2", "StructureMap.group.rule.target", {"context": "b"}, {"context": "b", "contextType": "c"}),
    ("tcp-2", "TerminologyCapabilities", {"kind": "requirements"}, {"kind": "requirements", "description": "a"}),
    ("tcp-3", "TerminologyCapabilities", {"kind": "instance", "description": "a"},
     {"kind": "instance", "implementation": {}}),
    ("tcp-4", "TerminologyCapabilities", {"kind": "capability", "description": "a"},
     {"kind": "capability", "software": {}}),
    ("tcp-5", "TerminologyCapabilities", {"kind": "requirements", "software": {}},
     {"kind": "requirements", "description": "a"}),
    ("tcp-1", "TerminologyCapabilities.codeSystem", {"version": [{"code": "a"}, {}]}, {"version": [{}]}),
    ("inv-1", "TestReport.setup.action", {"id": "a"}, {"assert": {}}),
    ("inv-2", "TestReport.test.action", {"operation": {}, "assert": {}}, {"operation": {}}),
    ("tst-4", "TestScript.metadata", {"capability": [{"description": "a"}]}, {"capability": [{"required": False}]}),
    ("tst-1", "TestScript.setup.action", {"id": "a"}, {"assert": {}}),
    ("tst-5", "TestScript.setup.action.assert", {"path": "a", "resource": "b"}, {"path": "a"}),
    ("tst-10", "TestScript.setup.action.assert", {"compareToSourceId": "a"},
     {"compareToSourceId": "a", "compareToSourcePath": "b"}),
    ("tst-12", "TestScript.setup.action.assert", {"direction": "request", "response": "a"},
     {"direction": "response", "response": "a"}),
    ("tst-7", "TestScript.setup.action.operation", {"targetId": "a", "url": "b"}, {"url": "b"}),
    ("tst-2", "TestScript.test.action", {"id": "a"}, {"operation": {}}),
    ("tst-3", "TestScript.variable", {"expression": "a", "headerField": "b", "path": "c"},
     {"expression": "a", "path": "c"}),
    ("vsd-1", "ValueSet.compose.include", {"id": "a"}, {"valueSet": []}),
    ("vsd-2", "ValueSet.compose.include", {"valueSet": [], "concept": []}, {"system": "a", "concept": []}),
    ("vsd-3", "ValueSet.compose.include", {"system": "a", "concept": [], "filter": []}, {"system": "a", "filter": []}),
    ("vsd-6", "ValueSet.expansion.contains", {"abstract": True}, {"abstract": True, "display": "a"}),
    ("vsd-9", "ValueSet.expansion.contains", {"display": "a"}, {"code": "a", "system": "b"}),
    ("vsd-10", "ValueSet.expansion.contains", {"code": "a"}, {"code": "a", "system": "b"}),
]  # fmt: skip


@pytest.mark.parametrize(("key", "type_name", "wrong", "right"), [*CASES, *DEFINITIONAL_CASES])
def test_invariant_is_broken_and_kept(key: str, type_name: str, wrong: Json, right: Json) -> None:
    assert {key} == broken(type_name, wrong)
    assert set() == broken(type_name, right)


def test_each_invariant_has_a_case() -> None:
    table = {(invariant.key, type_name) for type_name, rows in INVARIANTS.items() for invariant in rows}
    assert table == {(key, type_name) for key, type_name, _, _ in [*CASES, *DEFINITIONAL_CASES]}


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
    ours = {(row.key, name.partition(".")[0]) for name, rows in INVARIANTS.items() for row in rows}
    assert set() == ours - errors
    # an element's type is that of another, where its invariants are; mqty-1 and sqty-1 are of profiles
    left = {key for key, type in errors - ours if not any(key == other for other, _ in ours)}
    assert VACUOUS | ELSEWHERE | {"mqty-1", "sdf-11", "sqty-1", "tst-6", "tst-8", "tst-9", "tst-11", "tst-13"} == left


VACUOUS = {"ppc-2", "ppc-3", "ppc-4", "ppc-5", "eld-11"}
ELSEWHERE = {"dom-2", "dom-3", "dom-4", "dom-5", "ele-1", "ref-1", "txt-1", "txt-2"}  # contained, element, narrative


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
