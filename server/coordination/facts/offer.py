"""Offer: a Task by which a program is offered to a member, and what became of it.

https://hl7.org/fhir/R4/task.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, tokens
from server.ledger import Fact, FactRow, Resource


class Offer(NamedTuple):
    """A Task that offers a program. `program` is the url, without the version, of the one whose rule asks for it."""

    task: str
    program: str
    patient: str
    status: str
    state: list[str]  # Task.businessStatus, tokens
    consents: list[str]  # that Task.output names
    is_reasoned: bool  # says why it was declined
    reasons: list[str]  # tokens

    @classmethod
    def of(cls, fact: Fact) -> Offer:
        return cls(fact.source, *fact.data)


def offer(task: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of a Task that offers a program: by itself, and by the member."""
    own, member = f"Task/{task['id']}", literal(task.get("for"), base_url, ("Patient",))
    if member is None:
        return
    given = (literal(one.get("valueReference"), base_url, ("Consent",)) for one in task.get("output", ()))
    reason = task.get("statusReason", {})
    data = [
        task.get("instantiatesCanonical", "").partition("|")[0],
        member,
        task.get("status", ""),
        tokens([task.get("businessStatus", {})]),
        [one for one in given if one],
        bool(reason),
        tokens([reason]),
    ]
    yield "subject", own, member
    for key in (own, member):
        yield "offer", key, data
