"""Words: what a CodeableConcept, a Quantity, a Timing or another value says, as a person reads it.

https://hl7.org/fhir/R4/datatypes.html
"""

from __future__ import annotations

from typing import Any

from server.ledger import Resource

UNITS = {"s": "second", "min": "minute", "h": "hour", "d": "day", "wk": "week", "mo": "month", "a": "year"}


def concept(coded: Resource) -> str:
    """Its text, else what a coding displays, else a code."""
    codings = coded.get("coding", ())
    shown = (one.get(name) for name in ("display", "code") for one in codings)
    return str(coded.get("text") or next(filter(None, shown), ""))


def quantity(given: Resource) -> str:
    unit = given.get("unit") or given.get("code") or ""
    return f"{given.get('comparator', '')}{given['value']} {unit}".strip() if "value" in given else ""


def timing(given: Resource) -> str:
    """ "3 times per week, 2 hours each"."""
    repeat = given.get("repeat", {})
    often = ""
    if "periodUnit" in repeat:
        times, period, unit = repeat.get("frequency", 1), repeat.get("period", 1), UNITS[repeat["periodUnit"]]
        every = unit if str(period) == "1" else f"{period} {unit}s"
        often = f"{times} {'time' if times == 1 else 'times'} per {every}"
    days = ", ".join(repeat.get("dayOfWeek", ()))
    each = f"{repeat['duration']} {UNITS[repeat['durationUnit']]}s each" if "durationUnit" in repeat else ""
    return ", ".join(filter(None, (concept(given.get("code", {})), often, days, each)))


def value(given: Any) -> str:
    """Whatever a value[x] holds."""
    if not isinstance(given, dict):
        return str(given)
    if "low" in given or "high" in given:
        return " to ".join(filter(None, (quantity(given.get("low", {})), quantity(given.get("high", {})))))
    if "numerator" in given:
        return " per ".join(quantity(given.get(name, {})) for name in ("numerator", "denominator"))
    return quantity(given) or concept(given)
