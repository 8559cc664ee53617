"""Location: a place, or an area by its physicalType or its address.

https://hl7.org/fhir/R4/location.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.address import address_keys, address_parts
from server.coordination.facts.element import literal, tokens
from server.ledger import Fact, FactRow, Resource


class Location(NamedTuple):
    """A Location: whether it is an area, what it is part of, and where it is."""

    reference: str
    is_area: bool
    whole: str | None
    latitude: float | None
    longitude: float | None

    @classmethod
    def of(cls, fact: Fact) -> Location:
        return cls(fact.source, *fact.data)


_AREAS = {
    "http://terminology.hl7.org/CodeSystem/location-physical-type|area",
    "http://terminology.hl7.org/CodeSystem/location-physical-type|jdn",
}


def rows(location: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Location."""
    is_area = _is_area(location)
    position = location.get("position", {})
    where = [float(position[name]) if name in position else None for name in ("latitude", "longitude")]
    whole = literal(location.get("partOf"), base_url, ("Location",))
    yield "location", f"Location/{location['id']}", [is_area, whole, *where]
    keys = address_keys(parts := address_parts(location.get("address", {})))
    if is_area and keys and location.get("status", "active") == "active":
        yield "area", keys[0], parts


def _is_area(location: Resource) -> bool:
    """True of an area by its physicalType; of what has none, where its address is a whole county or state."""
    if "physicalType" in location:
        return not _AREAS.isdisjoint(tokens([location["physicalType"]]))
    given = {name for name, value in location.get("address", {}).items() if value}
    return given.isdisjoint({"line", "text", "city", "postalCode"}) and not given.isdisjoint({"district", "state"})
