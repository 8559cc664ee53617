"""Task: a transfer, a step of one, a review of the service plan, a proposal of a member's lead or plan, an offer.

https://hl7.org/fhir/R4/task.html
"""

from __future__ import annotations

from collections.abc import Iterator

from server.coordination.facts.acceptance import acceptance
from server.coordination.facts.designation import designation
from server.coordination.facts.element import literal, tokens
from server.coordination.facts.offer import offer
from server.coordination.facts.transfer import step, transfer
from server.coordination.facts.vocabulary import ACCEPTANCE, DESIGNATION, OFFER, REVIEW, STEP, TRANSFER
from server.ledger import FactRow, Resource


def rows(task: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Task."""
    codes = tokens([task["code"]]) if "code" in task else ()
    if TRANSFER in codes:
        yield from transfer(task, base_url)
    elif STEP in codes:
        yield from step(task, base_url)
    elif REVIEW in codes:
        yield from _review(task, base_url)
    elif DESIGNATION in codes:
        yield from designation(task, base_url)
    elif OFFER in codes:
        yield from offer(task, base_url)
    elif ACCEPTANCE in codes:
        yield from acceptance(task, base_url)


def _review(task: Resource, base_url: str) -> Iterator[FactRow]:
    member, ended = literal(task.get("for"), base_url, ("Patient",)), task.get("executionPeriod", {}).get("end")
    if member and ended and task.get("status") == "completed":
        yield "review", member, ended
