"""RelatedPerson: who stands by the member.

https://hl7.org/fhir/R4/relatedperson.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, period, tokens
from server.ledger import Fact, FactRow, Resource


class Related(NamedTuple):
    """A RelatedPerson of a member."""

    source: str
    relationships: list[str]
    active: bool
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Related:
        return cls(fact.source, *fact.data)


def rows(related: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one RelatedPerson."""
    member = literal(related.get("patient"), base_url, ("Patient",))
    if member:
        active = related.get("active", True)
        yield "related", member, [tokens(related.get("relationship")), active, *period(related)]
