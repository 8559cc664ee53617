"""DetectedIssue: what a coordination check found of a member, and whether it is over.

https://hl7.org/fhir/R4/detectedissue.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, tokens
from server.coordination.facts.vocabulary import ISSUE_RULE, RESOLVED
from server.fhir import body
from server.ledger import Fact, FactRow, Resource

OPEN, OVER, SETTLED = "open", "over", "settled"  # to be resolved; found no more; resolved by somebody


class Found(NamedTuple):
    """What a check found and kept; `digest` tells one content from another."""

    issue: str
    state: str
    digest: str

    @classmethod
    def of(cls, fact: Fact) -> Found:
        return cls(fact.source, *fact.data)


def rows(issue: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one DetectedIssue: none of one that no check made."""
    member = literal(issue.get("patient"), base_url, ("Patient",))
    if member and any(one["url"] == ISSUE_RULE for one in issue.get("extension", ())):
        yield "issue", member, [state(issue), digest(issue)]


def state(issue: Resource) -> str:
    """What the last mitigation says; somebody may have called it an error, too."""
    if mitigations := issue.get("mitigation"):
        return OVER if RESOLVED in tokens([mitigations[-1].get("action", {})]) else SETTLED
    return SETTLED if issue.get("status") in {"cancelled", "entered-in-error"} else OPEN


def digest(issue: Resource) -> str:
    """What tells one finding from another: what, of which items, by which rule, whose it is."""
    content = [issue.get(name) for name in ("extension", "code", "implicated", "evidence", "detail", "reference")]
    return hashlib.blake2b(body.dumps(content, sorted=True), digest_size=12).hexdigest()
