"""Acceptance: a Task by which one organization asks another to accept a plan of care as the one of both.

https://hl7.org/fhir/R4/task.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal
from server.coordination.facts.transfer import OPEN
from server.coordination.facts.vocabulary import ACCEPTANCE_TERM
from server.ledger import Fact, FactRow, Resource


class Acceptance(NamedTuple):
    """A Task by which one organization (`proposer`) proposes a plan of care to another (`answerer`).

    `content` tells what was proposed from what the plan may say later.
    """

    task: str
    program: str
    patient: str
    plan: str | None
    proposer: str | None
    answerer: str | None
    status: str
    content: str | None

    @property
    def is_open(self) -> bool:
        """True until it is answered or withdrawn; a draft is none yet."""
        return self.status in OPEN

    @property
    def terms(self) -> tuple[str | None, ...]:
        """What was proposed, to whom."""
        return (*self[1:6], self.content)

    def is_kept(self, later: Acceptance) -> bool:
        """True where a later version of the Task proposes the same."""
        return self.terms == later.terms

    @classmethod
    def of(cls, fact: Fact) -> Acceptance:
        return cls(fact.source, *fact.data)


def acceptance(task: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of a Task that proposes a plan: by itself, by the member, and by the plan."""
    own, member = f"Task/{task['id']}", literal(task.get("for"), base_url, ("Patient",))
    plan = literal(task.get("focus"), base_url, ("CarePlan",))
    data = [
        task.get("instantiatesCanonical", "").partition("|")[0],
        member,
        plan,
        literal(task.get("requester"), base_url, ("Organization",)),
        literal(task.get("owner"), base_url, ("Organization",)),
        task.get("status", ""),
        _content(task),
    ]
    if member:
        yield "subject", own, member
    for key in (own, member, plan):
        if key:
            yield "acceptance", key, data


def _content(task: Resource) -> str | None:
    """Task.input of the code content."""
    for given in task.get("input", ()):
        if any(one.get("system") == ACCEPTANCE_TERM for one in given["type"].get("coding", ())):
            found: str | None = given.get("valueString")
            return found
    return None
