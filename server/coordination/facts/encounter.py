"""Encounter: a contact with the member.

https://hl7.org/fhir/R4/encounter.html
"""

from __future__ import annotations

from collections.abc import Iterator

from server.coordination.facts import item
from server.coordination.facts.element import literal
from server.ledger import FactRow, Resource


def rows(encounter: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Encounter."""
    if member := literal(encounter.get("subject"), base_url, ("Patient",)):
        yield from item.encounter(encounter, member, base_url)
