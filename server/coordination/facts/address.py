"""Address: where somebody lives and something is, in parts that can be compared.

https://hl7.org/fhir/R4/datatypes.html#Address
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from server.ledger import Fact, Resource


class Place(NamedTuple):
    """Where a Patient, an Organization or a HealthcareService is, as far as it says."""

    source: str
    latitude: float | None
    longitude: float | None
    address: list[str]  # as ADDRESS names its parts
    locations: list[str]

    @classmethod
    def of(cls, fact: Fact) -> Place:
        return cls(fact.source, *fact.data)


ADDRESS = ("postalCode", "city", "district", "state")  # what tells most first
_ZIP_PLUS_4 = re.compile(r"([0-9]{5})-?[0-9]{4}", re.ASCII)


def address_parts(address: Resource) -> list[str]:
    """What ADDRESS names of an address, as it is compared: "Polk County" is polk, "50309-1234" is 50309."""
    parts = {name: " ".join(address.get(name, "").casefold().split()) for name in ADDRESS}
    parts["district"] = parts["district"].removesuffix(" county")
    if plus := _ZIP_PLUS_4.fullmatch(parts["postalCode"]):
        parts["postalCode"] = plus[1]
    return list(parts.values())


def address_keys(parts: Iterable[str]) -> list[str]:
    """The keys under which an area with one of these parts may be found."""
    return [f"{name}|{part}" for name, part in zip(ADDRESS, parts, strict=True) if part]


GEOLOCATION = "http://hl7.org/fhir/StructureDefinition/geolocation"


def geolocation(element: Resource) -> tuple[float, float] | None:
    """The position that R4's extension gives an address: (latitude, longitude)."""
    for extension in element.get("extension", ()):
        if extension.get("url") == GEOLOCATION:
            parts = {part.get("url"): part.get("valueDecimal") for part in extension.get("extension", ())}
            if parts.get("latitude") is not None and parts.get("longitude") is not None:
                return float(parts["latitude"]), float(parts["longitude"])
    return None
