"""Invariants of the resources of care: conditions, plans, teams, goals, observations, medications."""

from __future__ import annotations

from collections.abc import Mapping

from server.validation.invariant.condition import (
    Invariant,
    Json,
    either,
    excludes,
    has,
    has_any,
    one_of,
    precede,
    requires,
)
from server.validation.invariant.datatype import UCUM


def _codes(value: Json, name: str) -> set[str | None]:
    return {coding.get("code") for coding in value.get(name, {}).get("coding", ())}


def _in_error(value: Json) -> bool:
    return "entered-in-error" in _codes(value, "verificationStatus")


def _sequence(it: Json) -> bool:
    named = ("genomeBuild", "referenceSeqId", "referenceSeqPointer", "referenceSeqString")
    return sum(has(it, name) for name in named) == 1


def _on_behalf_of(value: Json) -> bool:
    kind, slash, _ = value.get("member", {}).get("reference", "").partition("/")
    return "onBehalfOf" not in value or not slash or kind == "Practitioner" or ":" in kind


def _abated(value: Json) -> bool:
    return not has_any(value, "abatement") or bool(
        _codes(value, "clinicalStatus") & {"inactive", "remission", "resolved"}
    )


def _codings(concept: Json) -> set[tuple[str | None, str | None]]:
    return {(coding.get("system"), coding.get("code")) for coding in concept.get("coding", ())}


def _absent_value(value: Json) -> bool:
    return "dataAbsentReason" not in value or not has_any(value, "value")


def _component(value: Json) -> bool:
    codes = _codings(value.get("code", {}))
    components = value.get("component", ())
    return not has_any(value, "value") or not any(codes & _codings(part.get("code", {})) for part in components)


def _percentage(value: Json) -> bool:
    bounds = (value.get("probabilityRange", {}).get(name, {}) for name in ("low", "high"))
    return all((bound.get("system"), bound.get("code")) == (UCUM, "%") for bound in bounds if bound)


INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "AllergyIntolerance": (
        Invariant(
            "ait-1", lambda it: _in_error(it) or "clinicalStatus" in it, "there is a clinicalStatus, but for errors"
        ),
        Invariant(
            "ait-2", lambda it: not _in_error(it) or "clinicalStatus" not in it, "an error has no clinicalStatus"
        ),
    ),
    "CarePlan.activity": (
        Invariant("cpl-3", excludes("detail", "reference"), "an activity has a reference or a detail, not both"),
    ),
    "CareTeam.participant": (
        Invariant("ctm-1", _on_behalf_of, "onBehalfOf stands only beside a member that is a Practitioner"),
    ),
    "Condition": (
        Invariant("con-4", _abated, "an abated condition's clinicalStatus is inactive, remission or resolved"),
        Invariant(
            "con-5",
            lambda it: not _in_error(it) or "clinicalStatus" not in it,
            "a condition that was entered in error has no clinicalStatus",
        ),
    ),
    "Condition.evidence": (Invariant("con-2", one_of("code", "detail"), "evidence has a code or a detail"),),
    "Condition.stage": (Invariant("con-1", one_of("summary", "assessment"), "a stage has a summary or an assessment"),),
    "FamilyMemberHistory": (
        Invariant(
            "fhs-1", lambda it: not (has_any(it, "age") and has_any(it, "born")), "there is an age or a birth, not both"
        ),
        Invariant("fhs-2", lambda it: not has(it, "estimatedAge") or has_any(it, "age"), "estimatedAge needs an age"),
    ),
    "Goal.target": (
        Invariant("gol-1", lambda it: not has_any(it, "detail") or "measure" in it, "detail[x] needs its measure"),
    ),
    "Immunization.education": (
        Invariant("imm-1", one_of("documentType", "reference"), "there is a documentType or a reference"),
    ),
    "ImmunizationRecommendation.recommendation": (
        Invariant("imr-1", one_of("vaccineCode", "targetDisease"), "there is a vaccineCode or a targetDisease"),
    ),
    "MedicationAdministration.dosage": (
        Invariant("mad-1", lambda it: has(it, "dose") or has_any(it, "rate"), "there is a dose or a rate"),
    ),
    "MedicationDispense": (
        Invariant(
            "mdd-1",
            lambda it: precede(it, "whenPrepared", "whenHandedOver"),
            "whenHandedOver is not before whenPrepared",
        ),
    ),
    "MolecularSequence": (
        Invariant("msq-3", lambda it: it.get("coordinateSystem", 0) in (0, 1), "coordinateSystem is 0 or 1"),
    ),
    "MolecularSequence.referenceSeq": (
        Invariant(
            "msq-5",
            lambda it: has(it, "chromosome") == has(it, "genomeBuild"),
            "chromosome and genomeBuild stand together",
        ),
        Invariant("msq-6", _sequence, "one of genomeBuild, referenceSeqId, referenceSeqPointer, referenceSeqString"),
    ),
    "Observation": (
        Invariant("obs-6", _absent_value, "dataAbsentReason stands only where there is no value[x]"),
        Invariant("obs-7", _component, "a component with the observation's own code takes the place of value[x]"),
    ),
    "Observation.referenceRange": (
        Invariant("obs-3", one_of("low", "high", "text"), "a referenceRange has a low, a high or a text"),
    ),
    "QuestionnaireResponse.item": (
        Invariant("qrs-1", excludes("answer", "item"), "items stand under the item or under its answer, not both"),
    ),
    "RequestGroup.action": (Invariant("rqg-1", either("resource", "action"), "an action has a resource or actions"),),
    "RiskAssessment.prediction": (
        Invariant("ras-1", _percentage, "a range of probability is in percent (UCUM's %)"),
        Invariant("ras-2", lambda it: it.get("probabilityDecimal", 0) <= 100, "a probability is at most 100"),
    ),
    "ServiceRequest": (Invariant("prr-1", requires("orderDetail", "code"), "orderDetail needs a code"),),
}
