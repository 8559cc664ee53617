"""Judgement: what a commit does to designations, whatever door it came through: refused, or with what follows."""

from __future__ import annotations

from collections.abc import Sequence

from server.coordination.facts import Designation, tokens
from server.coordination.handoff.transfer import concept, put
from server.coordination.lead import opening
from server.coordination.lead.naming import named
from server.coordination.lead.opening import STATE, conflict, opened, organizations, refused, terms_of
from server.coordination.lead.terms import Terms
from server.coordination.program.programs import Programs
from server.coordination.write import AS_RECORDED
from server.ledger import Change, Context, Fact, Resource, View, micros

ACCEPTING = frozenset({"accepted", "completed"})
ANSWERS = {  # what an open proposal may become -> whose word that is
    "received": "answerer",
    "accepted": "answerer",
    "completed": "answerer",
    "rejected": "answerer",
    "cancelled": "proposer",
    "entered-in-error": "proposer",
}
GIVEN_UP = frozenset({"cancelled", "entered-in-error"})
LEGAL = "accepted or rejected (by who is asked), cancelled (by who proposed it)"


async def told_apart(before: View, changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """(the Tasks that are designations or were, the others)."""
    loose = [change.reference for change in changes if change.method != "POST" and not _kinds(change)]
    found = await before.facts("designation", loose) if loose else {}
    own = {one for one, rows in found.items() if rows} | {one.reference for one in changes if _of(one)}
    return [one for one in changes if one.reference in own], [one for one in changes if one.reference not in own]


def _kinds(change: Change) -> set[str]:
    return {kind for kind, _, _ in change.facts or ()} & {"transfer", "step", "designation", "acceptance"}


def _of(change: Change) -> Designation | None:
    rows = (Fact(*row, change.reference) for row in change.facts or () if row[:2] == ("designation", change.reference))
    return next(map(Designation.of, rows), None)


async def judged(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Change]:
    """Further changes of the Tasks that stand apart. What a load takes over as recorded is let be."""
    if context.override is AS_RECORDED:
        return []
    waiting = [change for change in changes if not change.is_derived]
    stored = [change.reference for change in waiting if change.method != "POST"]
    rows = await before.facts("designation", stored) if stored else {}
    further: list[Change] = []
    for change in waiting:
        own = [Designation.of(row) for row in rows.get(change.reference, ()) if row.source == change.reference]
        was = next(iter(own), None)
        further += await _judged(context, after, programs, change, was, _of(change))
    for change in further:
        change.is_derived = True
    return further


async def _judged(
    context: Context, after: View, programs: Programs, change: Change, was: Designation | None, now: Designation | None
) -> list[Change]:
    task = change.resource
    if was is None or was.status == "draft":
        if task is None or now is None or now.status == "draft" or (was and now.status in GIVEN_UP):
            return []
        return await opened(context, after, programs, task, now)
    _check_kept(was, now)
    if task is None or now is None or was.status == now.status:
        return []
    if not was.is_open:
        raise conflict(f"{was.task} is {was.status}, and stays so: propose a lead anew.", was.task)
    if now.status not in ANSWERS:
        raise conflict(f"A proposal does not become {now.status}. Legal are {LEGAL}.", was.task)
    await _check_who(context, after, programs, was, now.status)
    if now.status in ACCEPTING:
        return await named(context, after, task, await opening.judged(context, after, programs, was))
    return await _put_down(context, after, programs, task, was, now.status)


def _check_kept(was: Designation, now: Designation | None) -> None:
    """What was proposed stays as it was, for whoever reads it later."""
    if now is None:
        raise conflict(f"{was.task} is kept: to withdraw a proposal set it to cancelled.", was.task, "Task")
    if was.terms != now.terms or (not was.is_open and (was.agreement, was.since) != (now.agreement, now.since)):
        raise conflict(
            f"What {was.task} proposes stays as it was: counter it, or withdraw it and propose anew.", was.task, "Task"
        )


async def _check_who(context: Context, after: View, programs: Programs, was: Designation, status: str) -> None:
    whose = was.answerer if ANSWERS[status] == "answerer" else was.proposer
    if context.actor is None or whose in await organizations(after, context.actor):
        return
    why = f"{context.actor} does not act for {whose}, whose word that is."
    raise refused(terms_of(programs, was, micros(context.now)), why, was.task, "Task.status")


async def _put_down(
    context: Context, after: View, programs: Programs, task: Resource, was: Designation, status: str
) -> list[Change]:
    """Declined with a reason, or countered by another proposal in the same commit; withdrawn; received is no answer."""
    if status == "received":
        return []
    state = "withdrawn"
    if status == "rejected":
        state = "countered" if await _is_countered(after, was) else "declined"
    if state == "declined":
        _check_reason(terms_of(programs, was, micros(context.now)), task, was)
    whole = {**task, "businessStatus": concept(f"{STATE}|{state}")}
    return [] if whole == task else [put(whole)]


async def _is_countered(after: View, was: Designation) -> bool:
    found = (await after.facts("designation", [was.patient]))[was.patient]
    return any(one.is_open and one.proposer == was.answerer for one in map(Designation.of, found))


def _check_reason(found: Terms, task: Resource, was: Designation) -> None:
    accepted = set(found.rule.parameters["reason"])
    reason = task.get("statusReason", {})
    if not reason or (accepted and accepted.isdisjoint(tokens([reason]))):
        known = ", ".join(sorted(accepted)) or "any, coded or in words"
        why = f"A proposal is declined for a reason (statusReason); accepted are {known}."
        raise refused(found, why, was.task, "Task.statusReason")
