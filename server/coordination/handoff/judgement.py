"""Judgement: what a commit does to transfers, whatever door it came through: refused, or with what follows from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from server.coordination.facts import OPEN, Transfer
from server.coordination.handoff import party
from server.coordination.handoff.opening import opened
from server.coordination.handoff.party import People
from server.coordination.handoff.progress import Progress
from server.coordination.handoff.protocol import begun_under
from server.coordination.handoff.transfer import Side, sides
from server.coordination.program.programs import Programs
from server.coordination.write import AS_RECORDED
from server.ledger import Change, Context, View, micros
from server.outcome import Issue, Problem


class Judged(NamedTuple):
    """What transfers call for: further changes; and those of the commit's that open one, which holds a place."""

    further: list[Change]
    opened: list[Change]


async def judged(context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs) -> Judged:
    """Judge the Tasks of a commit. What a load takes over as recorded is counted, and else let be."""
    settled = {_transfer(change) for change in changes if change.is_derived}
    opened = await _opened(before, changes)
    if context.override is AS_RECORDED or settled.issuperset(map(_transfer, changes)):
        return Judged([], opened)
    references, was, now = await sides(before, after, changes)
    if not references:
        return Judged([], opened)
    people = await party.people(after, [*was.transfers.values(), *now.transfers.values()], context.actor)
    further: list[Change] = []
    for reference in references:
        stored = was.transfers.get(reference)
        if reference in settled:
            continue
        if stored is None or stored.status == "draft":
            further += await _begun(context, after, programs, people, now, reference)
        else:
            further += await _going_on(context, before, after, programs, people, was, now, stored)
    for change in further:
        change.is_derived = True
    return Judged(further, opened)


async def _opened(before: View, changes: Sequence[Change]) -> list[Change]:
    """The transfers that are open now, and were not."""
    holding = [change for change in changes if any(kind == "reservation" for kind, _, _ in change.facts or ())]
    stored = await before.facts("transfer", [change.reference for change in holding]) if holding else {}
    return [
        change
        for change in holding
        if not any(Transfer.of(row).is_open for row in stored[change.reference] if row.source == change.reference)
    ]


def _transfer(change: Change) -> str:
    """Which transfer a Task that was made here is, or is a step of: it is judged already."""
    return next((str(data[0]) for kind, _, data in change.facts or () if kind == "step"), change.reference)


async def _begun(
    context: Context, after: View, programs: Programs, people: People, now: Side, reference: str
) -> list[Change]:
    transfer = now.transfers.get(reference)
    if transfer is None:
        step = next(iter(now.steps[reference].values()), None)
        if step is None:
            return []
        raise _unprocessable(f"{reference}, which this step is part of, is no transfer", "Task.partOf", step.task)
    if transfer.status == "draft":
        return []
    if transfer.status not in OPEN:
        raise _unprocessable(f"A transfer begins as requested, not as {transfer.status}", "Task.status", reference)
    task = await now.there(reference)
    return await opened(context, after, programs, people, task, transfer, now.steps[reference])


async def _going_on(
    context: Context,
    before: View,
    after: View,
    programs: Programs,
    people: People,
    was: Side,
    now: Side,
    transfer: Transfer,
) -> list[Change]:
    task, at = await was.there(transfer.task), micros(context.now)
    protocol = await begun_under(before, task, programs, at)
    if protocol is None or not was.steps[transfer.task]:
        return []
    parties = await party.taking_part(after, protocol, people, transfer, task, at)
    member = people.members[transfer.patient]
    return await Progress(context, before, after, protocol, transfer.task, was, now, member, parties).judged()


def _unprocessable(diagnostics: str, path: str, task: str) -> Problem:
    return Problem.with_issues("unprocessable", [Issue("business-rule", diagnostics, (path,), resources=(task,))])
