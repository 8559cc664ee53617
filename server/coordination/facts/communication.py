"""Communication: who told whom of the member, or was told by the member.

https://hl7.org/fhir/R4/communication.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts import item
from server.coordination.facts.element import literal
from server.ledger import Fact, FactRow, Resource


class Message(NamedTuple):
    """A Communication about a member, or by one, that took place. A recipient or answered one elsewhere is None."""

    communication: str
    sender: str | None
    recipients: list[str | None]
    sent: str | None
    received: str | None
    answers: list[str | None]  # Communication.inResponseTo

    @classmethod
    def of(cls, fact: Fact) -> Message:
        return cls(fact.source, *fact.data)


def rows(communication: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Communication."""
    if communication.get("status") not in {"completed", "in-progress"}:
        return
    sender = literal(communication.get("sender"), base_url)
    about = literal(communication.get("subject"), base_url, ("Patient",))
    member = about or (sender if sender and sender.startswith("Patient/") else None)
    if member is None:
        return
    recipients = [literal(link, base_url) for link in communication.get("recipient", ())]
    answered = [literal(link, base_url, ("Communication",)) for link in communication.get("inResponseTo", ())]
    yield (
        "communication",
        member,
        [sender, recipients, communication.get("sent"), communication.get("received"), answered],
    )
    if about:
        yield from item.communication(communication, about, base_url)
