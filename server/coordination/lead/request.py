"""Request: the Tasks that $propose-lead and $respond write. What they lack the judgement of designations adds."""

from __future__ import annotations

from dataclasses import dataclass

from server.coordination.facts import DESIGNATION, Designation
from server.coordination.handoff.transfer import put
from server.coordination.lead.designation import LEAD
from server.coordination.lead.opening import term
from server.coordination.proposal import waiting, written
from server.coordination.stored import read
from server.ledger import Change, Resource, View
from server.outcome import Issue, Problem

RESPONSES = {"accept": "completed", "decline": "rejected", "counter": "rejected", "withdraw": "cancelled"}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A proposal; references are local, `effective` as the client wrote it."""

    patient: str
    lead: str
    needs: tuple[Resource, ...]
    form: str
    effective: str | None = None
    program: str | None = None
    requester: str | None = None
    counters: str | None = None  # the Task that this one answers


def proposed(wanted: Wanted, id: str) -> Change:
    """The proposal's Task."""
    given = [term("lead", {"reference": wanted.lead}), term("form", {"reference": wanted.form})]
    given += [term("primary-need", need, "valueCodeableConcept") for need in wanted.needs]
    if wanted.effective:
        given.append(
            term("effective", wanted.effective, "valueDate" if len(wanted.effective) <= 10 else "valueDateTime")
        )
    task = written(id, DESIGNATION, wanted.patient, wanted.program, wanted.requester, wanted.counters)
    return put({**task, "input": given})


async def open_proposal(view: View, task: str) -> tuple[Resource, Designation]:
    """What is to be answered. Problem unprocessable where it is no proposal, conflict where it is answered."""
    found, stored = await waiting(LEAD, view, task), await read(view, task)
    if found is None or stored is None:
        raise Problem.with_issues(
            "unprocessable", [Issue("not-supported", f"{task} is no proposal of a member's lead")]
        )
    return stored, found


def answered(task: Resource, response: str, reason: Resource | None) -> Change:
    """The proposal's Task with the answer."""
    return put({**task, "status": RESPONSES[response], **({"statusReason": reason} if reason else {})})
