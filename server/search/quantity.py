"""quantity: numbers with a unit: `5.4|http://unitsofmeasure.org|mg`, `5.4||mg` or `5.4`.

https://hl7.org/fhir/R4/search.html#quantity

Three indexes: the number alone; ":unit", behind a digest of the code or of the unit as people read it; ":system",
behind a digest of system and code. A comparator makes an interval of a value: "< 5" is all below 5. Units are not
converted.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from server.fhir.datatype import decimal
from server.ledger import IndexRow
from server.outcome import Problem
from server.search.digest import digest6
from server.search.escaping import split, unescape
from server.search.filter import NAMELESS, Filter, Range, either
from server.search.number import ANY_SIZE, keys, spans
from server.search.number import asked as asked_number
from server.search.number import bounds as range_bounds
from server.search.parameter import Parameter, Path, Test, Write, has_value, not_supported

CURRENCIES = "urn:iso:std:iso:4217"  # the system of Money.currency
_EXAMPLES = "5.4|http://unitsofmeasure.org|mg, 5.4||mg (code or unit) or 5.4, after a prefix or not"

Ends = tuple[Decimal | int | None, Decimal | int | None]


def write(parameter: Parameter, path: Path) -> Write:
    """Rows of one path's values."""
    index = parameter.index

    def rows_of(value: Mapping[str, Any], rows: list[IndexRow], base_url: str) -> None:
        found = forms(path, value)
        rows.extend((index + suffix, head + key) for suffix, head, key in found)
        if not found and has_value(value):
            rows.append((index, NAMELESS))

    return rows_of


def forms(path: Path, value: Mapping[str, Any]) -> list[tuple[str, bytes, bytes]]:
    """(the index's suffix, the unit's digest, the number's key) for each way to ask for it."""
    ends, unit = _BOUNDS.get(path.type, _quantity)(value)
    if ends is None:
        return []
    found: list[tuple[str, bytes, bytes]] = []
    system, code = unit.get("system"), unit.get("code")
    if "currency" in unit:
        system, code = CURRENCIES, unit["currency"]
    for key in keys(*ends):
        found.append(("", b"", key))
        found.extend((":unit", digest6(name), key) for name in dict.fromkeys((code, unit.get("unit"))) if name)
        if system and code:
            found.append((":system", _of_system(system, code), key))
    return found


def test(parameter: Parameter, modifier: str | None) -> Test:
    """How one value is matched."""
    if modifier:
        raise not_supported(parameter, modifier)

    def matched(value: str, base_url: str) -> Filter:
        suffix, head, prefix, number = asked(value)
        sought = [span.under(head) for span in spans(prefix, number)]
        return either([Range(index + suffix, *span) for index in parameter.indexes for span in sought])

    return matched


def asked(value: str) -> tuple[str, bytes, str, Decimal]:
    """(the index's suffix, the unit's digest, the prefix, the number) that a value asks for."""
    number, *unit = split(value, "|")
    system, code = ("", "") if not unit else (unescape(unit[0]), unescape(unit[-1]))
    if len(unit) not in (0, 2) or (system and not code):
        raise Problem.invalid(f"{value!r} is no quantity; accepted are {_EXAMPLES}")
    prefix, found = asked_number(number)
    if not code:
        return "", b"", prefix, found
    if not system:
        return ":unit", digest6(code), prefix, found
    return ":system", _of_system(system, code), prefix, found


def _of_system(system: str, code: str) -> bytes:
    return digest6(f"{system}|{code}")


def _quantity(quantity: Mapping[str, Any]) -> tuple[Ends | None, Mapping[str, Any]]:
    value = quantity.get("value")
    if value is None:
        return None, quantity
    comparator = quantity.get("comparator", "")
    return (None if "<" in comparator else value, None if ">" in comparator else value), quantity


def _range(range_: Mapping[str, Any]) -> tuple[Ends | None, Mapping[str, Any]]:
    return range_bounds(range_), range_.get("low") or range_.get("high") or {}


def _sampled_data(sampled: Mapping[str, Any]) -> tuple[Ends | None, Mapping[str, Any]]:
    """The bounds of the values, as the specification says of Observation's value-quantity."""
    origin = sampled.get("origin", {})
    zero, factor = Decimal(origin.get("value", 0)), Decimal(sampled.get("factor", 1))
    points = [point for text in sampled.get("data", "").split() if (point := decimal(text)) is not None]
    if not points:
        return None, origin
    ends = [ANY_SIZE.fma(factor, point, zero) for point in (min(points), max(points))]
    return (min(ends), max(ends)), origin


_BOUNDS = {"Range": _range, "SampledData": _sampled_data}
