"""RiskAssessment: a member's level.

https://hl7.org/fhir/R4/riskassessment.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, tokens
from server.ledger import Fact, FactRow, Resource


class Need(NamedTuple):
    """What a member needs: continuity, while a Flag says so; a level, as a RiskAssessment found it."""

    source: str
    levels: list[str]  # tokens; none: continuity
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Need:
        return cls(fact.source, *fact.data)


def rows(found: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one RiskAssessment."""
    member = literal(found.get("subject"), base_url, ("Patient",))
    levels = tokens([one["qualitativeRisk"] for one in found.get("prediction", ()) if "qualitativeRisk" in one])
    if member and levels and found.get("status") in {"final", "amended", "corrected"}:
        occurrence = found.get("occurrenceDateTime") or found.get("occurrencePeriod", {}).get("start")
        yield "need", member, [levels, occurrence, None]
