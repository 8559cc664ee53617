"""near: places within a distance of a point: `near=41.59|-93.62|25|km`.

https://hl7.org/fhir/R4/location.html#search

Key: latitude and longitude, each 8 bytes of ten-millionths of a degree, so that a search looks through one band of
latitudes. The distance is along a great circle of a sphere as large as the earth.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from server.fhir.datatype import decimal
from server.ledger import IndexRow
from server.outcome import Problem
from server.search.escaping import split, unescape
from server.search.filter import NAMELESS, Filter, Near
from server.search.parameter import Parameter, Path, Test, Write, has_value, not_supported

RADIUS = 6_371_008.8  # metres, the earth's mean
DISTANCE = ("50", "km")  # where the search gives none
METRES: Mapping[str, float] = {
    "km": 1000.0, "m": 1.0, "mi": 1609.344, "[mi_i]": 1609.344, "[mi_us]": 1609.347, "[ft_i]": 0.3048
}  # fmt: skip
_SCALE = 10_000_000
_ZERO = 1 << 63
_EXAMPLES = "latitude|longitude, latitude|longitude|distance or …|distance|unit, such as 41.59|-93.62|25|km"


def key(latitude: Decimal | float, longitude: Decimal | float) -> bytes:
    return _bytes(latitude) + _bytes(longitude)


def band(near: Near) -> tuple[bytes, bytes]:
    """The keys between these are of all latitudes that are near enough."""
    degrees = math.degrees(near.metres / RADIUS) + 2 / _SCALE
    low, high = max(near.latitude - degrees, -91.0), min(near.latitude + degrees, 91.0)
    return _bytes(low), _bytes(high)


def distance(key: bytes, latitude: float, longitude: float) -> float:
    """Metres from a key's place to a point; no place is infinitely far."""
    if len(key) != 16:
        return math.inf
    north, east = (_degrees(part) for part in (key[:8], key[8:]))
    first, second = math.radians(north), math.radians(latitude)
    across = math.sin((second - first) / 2) ** 2
    along = math.cos(first) * math.cos(second) * math.sin(math.radians(longitude - east) / 2) ** 2
    return 2 * RADIUS * math.asin(math.sqrt(min(1.0, across + along)))


def write(parameter: Parameter, path: Path) -> Write:
    """Rows of one path's values."""
    index = parameter.index

    def position(value: Any, rows: list[IndexRow], base_url: str) -> None:
        latitude, longitude = value.get("latitude"), value.get("longitude")
        if latitude is not None and longitude is not None:
            rows.append((index, key(latitude, longitude)))
        elif has_value(value):
            rows.append((index, NAMELESS))

    return position


def test(parameter: Parameter, modifier: str | None) -> Test:
    """How one value is matched."""
    if modifier:
        raise not_supported(parameter, modifier)

    def matched(value: str, base_url: str) -> Filter:
        parts = [unescape(part) for part in split(value, "|")]
        if not 2 <= len(parts) <= 4:
            raise Problem.invalid(f"{value!r} is no place; accepted are {_EXAMPLES}")
        latitude, longitude, far = (_number(part, value) for part in [*parts, *DISTANCE[:1]][:3])
        unit = parts[3] if len(parts) == 4 else DISTANCE[1]
        if abs(latitude) > 90 or abs(longitude) > 180 or far < 0:
            raise Problem.invalid(f"{value!r}: a latitude is within 90 degrees, a longitude within 180; {_EXAMPLES}")
        if unit not in METRES:
            raise Problem.invalid(f"{unit!r} is no unit of distance here; {', '.join(METRES)} are")
        return Near(parameter.index, latitude, longitude, far * METRES[unit])

    return matched


def _number(text: str, value: str) -> float:
    found = decimal(text)
    if found is None:
        raise Problem.invalid(f"{text!r} in {value!r} is no number; accepted are {_EXAMPLES}")
    return float(found)


def _bytes(degrees: Decimal | float) -> bytes:
    scaled = round(min(max(float(degrees), -1000.0), 1000.0) * _SCALE)
    return (scaled + _ZERO).to_bytes(8, "big")


def _degrees(part: bytes) -> float:
    return (int.from_bytes(part, "big") - _ZERO) / _SCALE
