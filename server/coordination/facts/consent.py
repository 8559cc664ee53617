"""Consent: what a member, or who stands for them, agreed to or declined.

https://hl7.org/fhir/R4/consent.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, literals, period, tokens
from server.ledger import Fact, FactRow, Resource


class Decision(NamedTuple):
    """A Consent of a member: `type` is permit or deny, `performers` who decided, for the time from `start` to `end`."""

    consent: str
    patient: str
    categories: list[str]  # tokens
    status: str
    type: str | None
    when: str | None
    performers: list[str]
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Decision:
        return cls(fact.source, *fact.data)

    @property
    def counts(self) -> bool:
        """False of what is a draft, is over, or was a mistake."""
        return self.status in {"active", "rejected"} and self.type is not None

    @property
    def is_declined(self) -> bool:
        return self.type == "deny" or self.status == "rejected"


def rows(consent: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Consent."""
    member = literal(consent.get("patient"), base_url, ("Patient",))
    categories = tokens(consent.get("category"))
    if member is None or not categories:
        return
    data = [
        member,
        categories,
        consent.get("status", ""),
        consent.get("provision", {}).get("type"),
        consent.get("dateTime"),
        literals(consent.get("performer", ()), base_url),
        *period(consent.get("provision", {})),
    ]
    for key in (member, f"Consent/{consent['id']}"):
        yield "consent", key, data
