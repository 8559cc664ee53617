"""Coverage: of which kind of plan a member is, from when to when.

https://hl7.org/fhir/R4/coverage.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, period, tokens
from server.coordination.facts.vocabulary import BASE
from server.ledger import Fact, FactRow, Resource


class Cover(NamedTuple):
    """An active Coverage of a kind that this server's own code systems name."""

    coverage: str
    types: list[str]  # tokens
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Cover:
        return cls(fact.source, *fact.data)


def rows(coverage: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Coverage."""
    kinds = tokens([coverage["type"]]) if "type" in coverage else []
    member = literal(coverage.get("beneficiary"), base_url, ("Patient",))
    types = [token for token in kinds if token.startswith(f"{BASE}/")]
    if member and types and coverage.get("status") == "active":
        yield "coverage", member, [types, *period(coverage)]
