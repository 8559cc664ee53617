"""Invariants: what R4 demands of one element as a whole, beyond its parts.

https://hl7.org/fhir/R4/conformance-rules.html#constraints

The table holds those of the data types and of the resources that care coordination writes; `definitional` has the rest.
Those that look across a whole resource (dom-2 to dom-5, ref-1) are in `contained`, and those of a narrative in
`narrative`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from server.validation.condition import Invariant, Json, excludes, has, has_any, one_of, precede, requires
from server.validation.definitional import DEFINITIONAL

UCUM = "http://unitsofmeasure.org"


def _extension(value: Json) -> bool:
    """Beside id and url stands one thing: extensions, or one value (which may have extensions of its own)."""
    return len(value) == 2 or len({name.lstrip("_") for name in value} - {"id", "url"}) == 1


def _none_at_home(name: str) -> Callable[[Json], bool]:
    return lambda value: all(part.get("use") != "home" for part in value.get(name, ()))


def _filter(value: Json) -> bool:
    return has(value, "path") != has(value, "searchParam")


def _ucum(value: Json) -> bool:
    """A quantity of a dimension: a code if there is a value, and UCUM's if there is a system."""
    return (has(value, "code") or not has(value, "value")) and value.get("system", UCUM) == UCUM


def _age(value: Json) -> bool:
    return _ucum(value) and bool(value.get("value", 1) > 0)


def _count(value: Json) -> bool:
    return _ucum(value) and value.get("code", "1") == "1" and "." not in str(value.get("value", 1))


def _duration(value: Json) -> bool:
    return not has(value, "code") or (value.get("system") == UCUM and has(value, "value"))


def _range(value: Json) -> bool:
    low, high = value.get("low", {}), value.get("high", {})
    if "value" not in low or "value" not in high or low.get("code") != high.get("code"):
        return True
    return bool(low["value"] <= high["value"])


def _ratio(value: Json) -> bool:
    return ("numerator" in value) == ("denominator" in value) and ("numerator" in value or "extension" in value)


def _offset(value: Json) -> bool:
    return not has(value, "offset") or ("when" in value and not {"C", "CM", "CD", "CV"} & set(value["when"]))


def _trigger(value: Json) -> bool:
    kind = value.get("type", "")
    needed = "data" if kind.startswith("data-") else {"named-event": "name", "periodic": "timing"}.get(kind)
    return needed is None or has_any(value, needed)


def _on_behalf_of(value: Json) -> bool:
    kind, slash, _ = value.get("member", {}).get("reference", "").partition("/")
    return "onBehalfOf" not in value or not slash or kind == "Practitioner" or ":" in kind


def _abated(value: Json) -> bool:
    status = {code for _, code in _codings(value.get("clinicalStatus", {}))}
    return not has_any(value, "abatement") or bool(status & {"inactive", "remission", "resolved"})


def _in_error(value: Json) -> bool:
    status = {code for _, code in _codings(value.get("verificationStatus", {}))}
    return "clinicalStatus" not in value or "entered-in-error" not in status


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


# The table

PROFILES: Mapping[str, Invariant] = {
    "SimpleQuantity": Invariant("sqty-1", lambda it: not has(it, "comparator"), "a SimpleQuantity has no comparator"),
}

_CARE: Mapping[str, tuple[Invariant, ...]] = {
    "Age": (Invariant("age-1", _age, "an age is above 0 and has UCUM's code of a time"),),
    "Attachment": (Invariant("att-1", requires("data", "contentType"), "data needs its contentType"),),
    "AuditEvent.entity": (Invariant("sev-1", excludes("name", "query"), "an entity has a name or a query, not both"),),
    "CarePlan.activity": (
        Invariant("cpl-3", excludes("detail", "reference"), "an activity has a reference or a detail, not both"),
    ),
    "CareTeam.participant": (
        Invariant("ctm-1", _on_behalf_of, "onBehalfOf stands only beside a member that is a Practitioner"),
    ),
    "Condition": (
        Invariant("con-4", _abated, "an abated condition's clinicalStatus is inactive, remission or resolved"),
        Invariant("con-5", _in_error, "a condition that was entered in error has no clinicalStatus"),
    ),
    "Condition.evidence": (Invariant("con-2", one_of("code", "detail"), "evidence has a code or a detail"),),
    "Condition.stage": (Invariant("con-1", one_of("summary", "assessment"), "a stage has a summary or an assessment"),),
    "ContactPoint": (Invariant("cpt-2", requires("value", "system"), "a value needs its system (phone, email …)"),),
    "Count": (Invariant("cnt-3", _count, "a count is a whole number with UCUM's code 1"),),
    "DataRequirement.codeFilter": (Invariant("drq-1", _filter, "a codeFilter has a path or a searchParam, not both"),),
    "DataRequirement.dateFilter": (Invariant("drq-2", _filter, "a dateFilter has a path or a searchParam, not both"),),
    "Distance": (Invariant("dis-1", _ucum, "a distance has UCUM's code of a length"),),
    "Duration": (Invariant("drt-1", _duration, "a duration's code is UCUM's, beside a value"),),
    "Expression": (
        Invariant("exp-1", one_of("expression", "reference"), "an Expression has an expression or a reference"),
    ),
    "Extension": (Invariant("ext-1", _extension, "an extension has either one value[x] or extensions"),),
    "Goal.target": (
        Invariant("gol-1", lambda it: not has_any(it, "detail") or "measure" in it, "detail[x] needs its measure"),
    ),
    "MeasureReport": (
        Invariant(
            "mrp-1",
            lambda it: it.get("type") != "data-collection" or "group" not in it,
            "a report of type data-collection has no group",
        ),
    ),
    "MeasureReport.group.stratifier.stratum": (
        Invariant("mrp-2", lambda it: ("value" in it) != ("component" in it), "a stratum has a value or components"),
    ),
    "Observation": (
        Invariant("obs-6", _absent_value, "dataAbsentReason stands only where there is no value[x]"),
        Invariant("obs-7", _component, "a component with the observation's own code takes the place of value[x]"),
    ),
    "Observation.referenceRange": (
        Invariant("obs-3", one_of("low", "high", "text"), "a referenceRange has a low, a high or a text"),
    ),
    "Organization": (
        Invariant("org-1", one_of("identifier", "name"), "an organization has an identifier or a name"),
        Invariant("org-2", _none_at_home("address"), "an organization's address is not of use home"),
        Invariant("org-3", _none_at_home("telecom"), "an organization's telecom is not of use home"),
    ),
    "Patient.contact": (
        Invariant(
            "pat-1",
            one_of("name", "telecom", "address", "organization"),
            "a contact has a name, telecom, address or organization",
        ),
    ),
    "Period": (Invariant("per-1", lambda it: precede(it, "start", "end"), "a period's start is not after its end"),),
    "Quantity": (Invariant("qty-3", requires("code", "system"), "a unit's code needs its system"),),
    "QuestionnaireResponse.item": (
        Invariant("qrs-1", excludes("answer", "item"), "items stand under the item or under its answer, not both"),
    ),
    "Range": (Invariant("rng-2", _range, "a range's low is not above its high"),),
    "Ratio": (Invariant("rat-1", _ratio, "numerator and denominator stand together"),),
    "RiskAssessment.prediction": (
        Invariant("ras-1", _percentage, "a range of probability is in percent (UCUM's %)"),
        Invariant("ras-2", lambda it: it.get("probabilityDecimal", 0) <= 100, "a probability is at most 100"),
    ),
    "ServiceRequest": (Invariant("prr-1", requires("orderDetail", "code"), "orderDetail needs a code"),),
    "Task": (
        Invariant("inv-1", lambda it: precede(it, "authoredOn", "lastModified"), "lastModified is after authoredOn"),
    ),
    "Timing.repeat": (
        Invariant("tim-1", requires("duration", "durationUnit"), "a duration needs its durationUnit"),
        Invariant("tim-2", requires("period", "periodUnit"), "a period needs its periodUnit"),
        Invariant("tim-4", lambda it: it.get("duration", 0) >= 0, "a duration is not negative"),
        Invariant("tim-5", lambda it: it.get("period", 0) >= 0, "a period is not negative"),
        Invariant("tim-6", requires("periodMax", "period"), "periodMax needs a period"),
        Invariant("tim-7", requires("durationMax", "duration"), "durationMax needs a duration"),
        Invariant("tim-8", requires("countMax", "count"), "countMax needs a count"),
        Invariant("tim-9", _offset, "an offset needs a when, other than C, CM, CD and CV"),
        Invariant("tim-10", excludes("timeOfDay", "when"), "timeOfDay and when do not stand together"),
    ),
    "TriggerDefinition": (
        Invariant(
            "trd-1", lambda it: not (has_any(it, "data") and has_any(it, "timing")), "a trigger has timing or data"
        ),
        Invariant("trd-2", lambda it: "condition" not in it or "data" in it, "a trigger's condition needs data"),
        Invariant("trd-3", _trigger, "a trigger has what its type names: a name, a timing or data"),
    ),
}

INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {**_CARE, **DEFINITIONAL}
