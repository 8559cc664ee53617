"""Terms: what of a transfer stays as it was opened: whom, from whom, to whom, why, by which steps; and what was done.

Another transfer is another Task. A mistake is given up by its status (cancelled, entered-in-error), not deleted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from server.coordination.facts import literal

if TYPE_CHECKING:
    from server.coordination.handoff.progress import Progress


async def check(progress: Progress) -> None:
    """Problem conflict where a commit changes what stays."""
    _check_facts(progress)
    await _check_task(progress)
    _check_steps(progress)
    await _check_evidence(progress)
    if not progress.transfer.is_open:
        _check_ended(progress)


def _check_facts(progress: Progress) -> None:
    was, now = progress.transfer, progress.now.transfers.get(progress.reference)
    if now is None:
        raise progress.conflict("A transfer is kept: give it up by its status (cancelled, entered-in-error).", "Task")
    changed = [
        path
        for path, before, after in (
            ("Task.instantiatesCanonical", was.program, now.program),
            ("Task.for", was.patient, now.patient),
            ("Task.owner", was.receiver, now.receiver),
            ("Task.authoredOn", was.opened, now.opened),
            ("Task.reasonCode", was.reasons, now.reasons),
            ("Task.input", was.sender, now.sender),
            ("Task.input", was.organization, now.organization),
            ("Task.input", was.effective, now.effective),
        )
        if before != after
    ]
    if changed:
        raise progress.conflict(f"{' and '.join(changed)} of a transfer stays as it was opened.", changed[0])


async def _check_task(progress: Progress) -> None:
    if progress.reference not in progress.now.written:
        return
    was, now = [await side.there(progress.reference) for side in (progress.was, progress.now)]
    if was.get("instantiatesUri") != now.get("instantiatesUri"):
        raise progress.conflict("A transfer goes by the program that it began under.", "Task.instantiatesUri")
    if literal(was.get("requester")) != literal(now.get("requester")):
        raise progress.conflict("Who asked for a transfer stays.", "Task.requester")


def _check_steps(progress: Progress) -> None:
    was, now = progress.was.steps[progress.reference], progress.now.steps[progress.reference]
    for code, step in was.items():
        if code not in now or now[code].task != step.task:
            why = f"{step.task} is a step of {progress.reference}, and stays it."
            raise progress.conflict(why, "Task", step.task)
    for code, step in now.items():
        if code not in was:
            why = "The steps of a transfer are the program's; there is no other."
            raise progress.conflict(why, "Task.partOf", step.task)


async def _check_evidence(progress: Progress) -> None:
    """A step stays the member's, and what a completed one was completed by stays with it."""
    for step in progress.was.steps[progress.reference].values():
        if step.task not in progress.now.written:
            continue
        was, now = [await side.there(step.task) for side in (progress.was, progress.now)]
        if literal(was.get("for")) != literal(now.get("for")):
            raise progress.conflict("A step stays the member's.", "Task.for", step.task)
        if step.status == "completed" and was.get("output") != now.get("output"):
            raise progress.conflict("The evidence of a completed step stays.", "Task.output", step.task)


def _check_ended(progress: Progress) -> None:
    was = progress.transfer.status
    pairs = [(progress.reference, was, progress.now.transfers[progress.reference].status)]
    now = progress.now.steps[progress.reference]
    pairs += [(one.task, one.status, now[code].status) for code, one in progress.was.steps[progress.reference].items()]
    for task, before, after in pairs:
        if before != after:
            raise progress.conflict(f"The transfer is {was}: its Tasks stay as they are.", "Task.status", task)
