"""Transfer: a Task that moves a member from one case manager to another, and its steps, which are part of it.

https://hl7.org/fhir/R4/task.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from server.coordination.facts.element import literal, literals, tokens
from server.coordination.facts.vocabulary import MOVE, TRANSFER_INPUT
from server.ledger import Fact, FactRow, Resource

OPEN = frozenset({"requested", "received", "accepted", "ready", "in-progress", "on-hold"})  # Task.status


class Transfer(NamedTuple):
    """A Task that moves a member from one case manager (`sender`) to another (`receiver`): PractitionerRoles both.

    `program` is the url without the version. Dates are as they were written; `ended` is when it was completed or given
    up, `due` when it should have been.
    """

    task: str
    program: str
    patient: str
    organization: str | None
    sender: str | None
    receiver: str
    status: str
    opened: str | None
    effective: str | None
    ended: str | None
    due: str | None
    reasons: list[str]  # tokens

    @property
    def is_open(self) -> bool:
        """True from the opening until it is completed or given up; a draft is none yet."""
        return self.status in OPEN

    @classmethod
    def of(cls, fact: Fact) -> Transfer:
        return cls(fact.source, *fact.data)


class Step(NamedTuple):
    """A Task that is one step of a transfer."""

    task: str
    transfer: str
    code: str | None  # a token
    status: str

    @classmethod
    def of(cls, fact: Fact) -> Step:
        return cls(fact.source, *fact.data)


def transfer(task: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of a Task that transfers a member: by itself, by the member, and by who gives and takes."""
    own = f"Task/{task['id']}"
    member = literal(task.get("for"), base_url, ("Patient",))
    receiver = literal(task.get("owner"), base_url, ("PractitionerRole",))
    given = transfer_inputs(task)
    sender, organization = (literal(given.get(name), base_url) for name in ("from", "organization"))
    data = [
        task.get("instantiatesCanonical", "").partition("|")[0],
        member,
        organization,
        sender,
        receiver,
        task.get("status", ""),
        task.get("authoredOn"),
        given.get("effective"),
        task.get("executionPeriod", {}).get("end"),
        task.get("restriction", {}).get("period", {}).get("end"),
        tokens([task["reasonCode"]]) if "reasonCode" in task else [],
    ]
    if member is None or receiver is None:
        yield "transfer", own, data
        return
    yield "subject", own, member
    for key in dict.fromkeys((own, member, sender, receiver, organization)):
        if key:
            yield "transfer", key, data
    if data[5] in OPEN:
        yield "member", member, [MOVE, *data]
        yield "reservation", receiver, data


def transfer_inputs(task: Resource) -> dict[str, Any]:
    """What a transfer is given (Task.input), by the codes of cm-transfer-input; the last of several."""
    return {
        coding["code"]: next((value for name, value in given.items() if name.startswith("value")), None)
        for given in task.get("input", ())
        for coding in given.get("type", {}).get("coding", ())
        if coding.get("system") == TRANSFER_INPUT and "code" in coding
    }


def step(task: Resource, base_url: str) -> Iterator[FactRow]:
    own = f"Task/{task['id']}"
    wholes = literals(task.get("partOf", ()), base_url, ("Task",))
    if member := literal(task.get("for"), base_url, ("Patient",)):
        yield "subject", own, member
    code = next(iter(tokens([task["businessStatus"]])), None) if "businessStatus" in task else None
    for key in dict.fromkeys((own, *wholes)):
        yield "step", key, [wholes[0] if wholes else "", code, task.get("status", "")]
