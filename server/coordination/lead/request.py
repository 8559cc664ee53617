"""Request: the Tasks that $propose-lead and $respond write. What they lack the judgement of designations adds."""

from __future__ import annotations

from dataclasses import dataclass

from server.coordination import facts
from server.coordination.facts import Designation
from server.coordination.handoff.transfer import concept, put
from server.coordination.lead.opening import conflict, term
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
    return put(
        {
            "resourceType": "Task",
            "id": id,
            **({"instantiatesCanonical": wanted.program} if wanted.program else {}),
            **({"basedOn": [{"reference": wanted.counters}]} if wanted.counters else {}),
            "status": "requested",
            "intent": "proposal",
            "code": concept(facts.DESIGNATION),
            "for": {"reference": wanted.patient},
            **({"requester": {"reference": wanted.requester}} if wanted.requester else {}),
            "input": given,
        }
    )


async def open_proposal(view: View, task: str) -> tuple[Resource, Designation]:
    """What is to be answered. Problem unprocessable where it is no proposal, conflict where it is answered."""
    rows = (await view.facts("designation", [task]))[task]
    found = next((one for one in map(Designation.of, rows) if one.task == task), None)
    stored = await read(view, task)
    if found is None or stored is None:
        raise Problem.with_issues(
            "unprocessable", [Issue("not-supported", f"{task} is no proposal of a member's lead")]
        )
    if not found.is_open:
        raise conflict(f"{task} is {found.status} already.", task)
    return stored, found


def answered(task: Resource, response: str, reason: Resource | None) -> Change:
    """The proposal's Task with the answer."""
    return put({**task, "status": RESPONSES[response], **({"statusReason": reason} if reason else {})})
