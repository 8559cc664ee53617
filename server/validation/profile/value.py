"""fixed[x], pattern[x], minValue[x], maxValue[x]: what a value must be, contain, or lie between.

https://hl7.org/fhir/R4/elementdefinition-definitions.html#ElementDefinition.pattern_x_
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from server.fhir import datatype


def given(definition: Mapping[str, Any], prefix: str) -> Any:
    """The value of a `fixed…`, `pattern…`, `minValue…`; None where there is none."""
    return next((value for name, value in definition.items() if name.startswith(prefix)), None)


def contains(value: Any, pattern: Any) -> bool:
    """Whether a value has all that a pattern has; each item of a pattern's array is met by one of the value's."""
    if type(pattern) is dict:
        return type(value) is dict and all(name in value and contains(value[name], pattern[name]) for name in pattern)
    if type(pattern) is list:
        return type(value) is list and all(any(contains(one, part) for one in value) for part in pattern)
    return bool(value == pattern and type(value) is not bool) or value is pattern


def lies(value: Any, least: Any, most: Any) -> bool:
    """Between two bounds, each None where there is none. What cannot be compared is not judged."""
    if type(value) is str:
        return _lies_in_time(value, least, most)
    if type(value) is dict:  # a Quantity: of one unit
        bounds = [bound for bound in (least, most) if type(bound) is dict]
        if any(bound.get("code") != value.get("code") for bound in bounds) or "value" not in value:
            return True
        value, least, most = value["value"], (least or {}).get("value"), (most or {}).get("value")
    if not isinstance(value, int | Decimal):
        return True
    return (least is None or value >= least) and (most is None or value <= most)


def _lies_in_time(value: str, least: Any, most: Any) -> bool:
    at = datatype.date_time(value)
    low = datatype.date_time(least) if type(least) is str else None
    high = datatype.date_time(most) if type(most) is str else None
    if at is None:
        return True
    return (low is None or at.high > low.low) and (high is None or at.low < high.high)
