"""Patient: where the member lives, and which other records are of the same person.

https://hl7.org/fhir/R4/patient.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.address import address_parts, geolocation
from server.coordination.facts.element import literal, period
from server.coordination.facts.vocabulary import LINK
from server.ledger import Fact, FactRow, Resource


class Home(NamedTuple):
    """A Patient's home address, its parts as ADDRESS names them."""

    patient: str
    address: tuple[str, ...]
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Home:
        return cls(fact.source, tuple(fact.data[0]), *fact.data[1:])


def rows(patient: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Patient."""
    own = f"Patient/{patient['id']}"
    for address in patient.get("address", ()):
        if address.get("use", "home") == "home" and any(parts := address_parts(address)):
            yield "home", own, [parts, *period(address)]
            if "end" not in address.get("period", {}) and (where := geolocation(address)):
                yield "place", own, [*where, [], []]
    for link in patient.get("link", ()):
        other = literal(link.get("other"), base_url, ("Patient",))
        if other is None or other == own or link.get("type") not in _INVERSE:
            continue
        yield "member", own, [LINK, other, link["type"]]
        yield "member", other, [LINK, own, _INVERSE[link["type"]]]


_INVERSE = {"replaced-by": "replaces", "replaces": "replaced-by"}
