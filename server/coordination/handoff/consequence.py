"""Consequence: what follows from the steps of a transfer, in the same commit.

Its status and businessStatus (the current step, and the state that the evidence has brought it to), the access to the
file from the acceptance on, and with the step that switches the next case manager and a notice to both.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from server.coordination.assignment import assignment
from server.coordination.communication import notice
from server.coordination.communication.letter import CATEGORY
from server.coordination.facts import OPEN
from server.coordination.handoff import switch
from server.coordination.handoff.made import words
from server.coordination.handoff.transfer import BY_WORD, coding, put, text
from server.coordination.member_file import access as file_access
from server.coordination.program.program import Part
from server.ledger import Change, Resource

if TYPE_CHECKING:
    from server.coordination.handoff.progress import Progress

RANK = {status: rank for rank, status in enumerate(("requested", "received", "accepted", "in-progress", "completed"))}
NOTICE = {
    "coding": [{"system": CATEGORY, "code": "notification"}],
    "text": "Notice to a case manager",
}  # Task.output.type
BEGUN = frozenset({"in-progress", "completed"})


async def of(progress: Progress, completing: Sequence[Part]) -> list[Change]:
    """Further changes; none where the commit has them already."""
    parent = await progress.now.there(progress.reference)
    status = await _status(progress)
    changes = await _whole(progress, parent, status)
    if RANK[status] >= RANK["accepted"] > RANK.get(progress.transfer.status, 0):
        changes += await _missing(progress, [_access(progress)])
    for step in completing:
        if step.parameters["switches"]:
            changes += await _switch(progress, parent, step)
    return changes


async def _missing(progress: Progress, made: Sequence[Change]) -> list[Change]:
    """Those that are not there yet."""
    known = await progress.after.read_many([change.reference for change in made])
    return [change for change in made if change.reference not in known]


# The transfer


async def _whole(progress: Progress, parent: Resource, status: str) -> list[Change]:
    made = {
        **parent,
        "status": status,
        "businessStatus": {"coding": await _business_status(progress)},
        "executionPeriod": execution(progress, parent, has_ended=status == "completed"),
    }
    if not made["executionPeriod"]:
        del made["executionPeriod"]
    return [] if made == parent else [put(made)]


async def _status(progress: Progress) -> str:
    """What follows from the steps, or what somebody says who may."""
    derived = _derived(progress)
    was, now = progress.transfer.status, progress.now.transfers[progress.reference].status
    if now not in (was, derived) or RANK.get(now, 0) < RANK.get(was, 0):
        origins, _ = BY_WORD.get(now, ((), ()))
        if was not in origins or now not in OPEN:
            legal = ", ".join(one for one, (origin, _) in BY_WORD.items() if was in origin)
            raise progress.conflict(
                f"A transfer that is {was} does not become {now} so. Legal are {legal}; all else comes by the "
                "completion of its steps ($advance).",
                "Task.status",
            )
        await progress.check_who(now)
    return max(derived, was, now, key=lambda status: RANK.get(status, 0))


def _derived(progress: Progress) -> str:
    """in-progress once work goes on after the acceptance; where no step accepts, once a step is begun."""
    steps = progress.protocol.steps
    statuses = [progress.status_of(step) for step in steps]
    accepting = max((index for index, step in enumerate(steps) if step.parameters["accepts"]), default=-1)
    if all(status == "completed" for status in statuses):
        return "completed"
    if any(status in BEGUN for status in statuses[accepting + 1 :]):
        return "in-progress"
    return "accepted" if accepting >= 0 and statuses[accepting] == "completed" else "requested"


async def _business_status(progress: Progress) -> list[dict[str, str]]:
    steps, parameters = progress.protocol.steps, progress.protocol.rule.parameters
    current = next((step for step in steps if progress.status_of(step) != "completed"), None)
    if current is None:
        return [coding(steps[-1].code), *_coding(parameters["completed"])]
    state = parameters["opened"]
    for step in steps[: steps.index(current)]:
        states = [part.parameters["state"] for part in (*step.parts, step) if part.parameters["state"]]
        state = states[-1] if states else state
    return [coding(current.code), *_coding(await _reached(progress, current) or state)]


def _coding(token: str | None) -> list[dict[str, str]]:
    return [coding(token)] if token else []


async def _reached(progress: Progress, step: Part) -> str | None:
    """The state that the evidence of the current step has brought it to: each follows the one before."""
    task = await progress.now.there(progress.steps[step.code].task)
    if not task.get("output"):
        return None
    missing = {lack.item.code for lack in await progress.lacking(step)}
    state = None
    for item in step.parts:
        is_given = item.parameters["resource"] or item.parameters["code"]
        if item.code in missing or not is_given:
            break
        state = item.parameters["state"] or state
    return state


def execution(progress: Progress, parent: Resource, *, has_ended: bool) -> dict[str, str]:
    """Task.executionPeriod: from the first step that is begun until the transfer has ended."""
    now = text(progress.at, progress.protocol)
    is_begun = any(progress.status_of(step) in BEGUN for step in progress.protocol.steps)
    found = {name: at for name, at in parent.get("executionPeriod", {}).items() if name == "start"}
    if is_begun or has_ended:
        found.setdefault("start", now)
    return found | ({"end": now} if has_ended else {})


# Beside it


def _access(progress: Progress) -> Change:
    """The next case manager may read the member's file."""
    context, transfer = progress.context, progress.transfer
    id = context.derive(f"{progress.reference} file access")
    return file_access.granted(progress.reference, transfer.patient, transfer.receiver, context.actor, id, context.now)


async def _switch(progress: Progress, parent: Resource, step: Part) -> list[Change]:
    changes = await switch.switched(
        progress.context,
        progress.before,
        progress.after,
        progress.protocol,
        progress.parties,
        progress.transfer,
        parent,
    )
    if step.parameters["notice-text"]:
        notices = await _notices(progress, step)
        changes += [*await _missing(progress, notices), *await _listed(progress, step, notices)]
    return changes


async def _listed(progress: Progress, step: Part, notices: Sequence[Change]) -> list[Change]:
    """The step with the notices in its output."""
    task = await progress.now.there(progress.steps[step.code].task)
    output = [*task.get("output", ())]
    listed = {one.get("valueReference", {}).get("reference") for one in output}
    output += [
        {"type": NOTICE, "valueReference": {"reference": one.reference}}
        for one in notices
        if one.reference not in listed
    ]
    return [put({**task, "output": output})] if len(output) > len(task.get("output", ())) else []


async def _notices(progress: Progress, step: Part) -> list[Change]:
    """To both case managers: who has the member from when on."""
    context, transfer, parties = progress.context, progress.transfer, progress.parties
    ids = {one: context.derive(f"{progress.reference} notice to {one}") for one in (transfer.sender, transfer.receiver)}
    was = (await assignment.members(progress.before, [transfer.patient]))[transfer.patient]
    effective = switch.instant(progress.protocol.program, transfer, was, progress.at)
    told = await words(progress.after, progress.protocol, transfer, step, effective, progress.at)
    sender = next(iter(parties.of["requester"]), transfer.organization or transfer.receiver)
    return [
        notice.notice(transfer.patient, progress.reference, sender, one, told, id, context.now)
        for one, id in ids.items()
        if one
    ]
