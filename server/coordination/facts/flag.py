"""Flag: the breach of a limit; a member's need of continuity.

https://hl7.org/fhir/R4/flag.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from server.coordination.facts.element import literal, period, tokens
from server.coordination.facts.vocabulary import BREACH, CONTINUITY
from server.ledger import Fact, FactRow, Resource


class Flag(NamedTuple):
    """A Flag on the breach of a limit: whose number is above which rule of which program, since when."""

    flag: str
    status: str
    subject: str
    program: str  # its url
    rule: str
    limit: int | None
    start: str | None

    @classmethod
    def of(cls, fact: Fact) -> Flag:
        return cls(fact.source, *fact.data)


def rows(flag: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Flag."""
    member = literal(flag.get("subject"), base_url, ("Patient",))
    if member and flag.get("status") == "active" and CONTINUITY in tokens([flag.get("code", {})]):
        yield "need", member, [[], *period(flag)]
    for extension in flag.get("extension", ()):
        if extension["url"] == BREACH:
            yield from _breach(flag, {part["url"]: part for part in extension.get("extension", ())}, base_url)


def _breach(flag: Resource, parts: Mapping[str, Resource], base_url: str) -> Iterator[FactRow]:
    organization = literal(parts.get("organization", {}).get("valueReference"), base_url)
    subject = literal(flag.get("subject"), base_url)
    canonical, _, rule = parts.get("rule", {}).get("valueCanonical", "").partition("#")
    if organization and subject:
        limit, (began, _) = parts.get("limit", {}).get("valueInteger"), period(flag)
        data = [flag.get("status", ""), subject, canonical.partition("|")[0], rule, limit, began]
        yield "flag", organization, data
