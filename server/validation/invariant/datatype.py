"""Invariants of the data types: https://hl7.org/fhir/R4/datatypes.html"""

from __future__ import annotations

from collections.abc import Mapping

from server.validation.invariant.condition import (
    Invariant,
    Json,
    excludes,
    has,
    has_any,
    one_of,
    precede,
    requires,
)

UCUM = "http://unitsofmeasure.org"


def _extension(value: Json) -> bool:
    """Beside id and url stands one thing: extensions, or one value (which may have extensions of its own)."""
    return len(value) == 2 or len({name.lstrip("_") for name in value} - {"id", "url"}) == 1


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


PROFILES: Mapping[str, Invariant] = {
    "SimpleQuantity": Invariant("sqty-1", lambda it: not has(it, "comparator"), "a SimpleQuantity has no comparator"),
}

INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "Age": (Invariant("age-1", _age, "an age is above 0 and has UCUM's code of a time"),),
    "Attachment": (Invariant("att-1", requires("data", "contentType"), "data needs its contentType"),),
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
    "Period": (Invariant("per-1", lambda it: precede(it, "start", "end"), "a period's start is not after its end"),),
    "Quantity": (Invariant("qty-3", requires("code", "system"), "a unit's code needs its system"),),
    "Range": (Invariant("rng-2", _range, "a range's low is not above its high"),),
    "Ratio": (Invariant("rat-1", _ratio, "numerator and denominator stand together"),),
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
