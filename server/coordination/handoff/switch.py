"""Switch: the member is with the next case manager: the former's period ends at the instant at which the next's begins.

Both ends are one commit, with the Task that completes the step, so that there is no instant without a case manager or
with two.
"""

from __future__ import annotations

from collections.abc import Mapping

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assign import Wanted, assign
from server.coordination.assignment.assignment import Member, held
from server.coordination.facts import Assignment, Transfer
from server.coordination.handoff.party import Parties
from server.coordination.handoff.protocol import Protocol
from server.coordination.handoff.transfer import conflict, text
from server.coordination.program.program import Program
from server.coordination.program.programs import active
from server.ledger import Change, Context, Resource, View, micros


async def switched(
    context: Context,
    before: View,
    after: View,
    protocol: Protocol,
    parties: Parties,
    transfer: Transfer,
    task: Resource,
) -> list[Change]:
    """The CareTeams that say so; none where they do already."""
    now = micros(context.now)
    was = (await assignment.members(before, [transfer.patient]))[transfer.patient]
    at = instant(protocol.program, transfer, was, now)
    member = (await assignment.members(after, [transfer.patient]))[transfer.patient]
    persons = await assignment.practitioners(after, [one.manager for one in member.assignments])
    serving = _serving(member, protocol.program, persons, at)
    next_one = parties.person(transfer.receiver)
    if serving == {next_one}:
        return []
    former = {parties.person(transfer.sender)} if transfer.sender else set()
    if others := sorted(serving - former - {next_one}):
        raise conflict(
            protocol,
            f"{' and '.join(others)} is {transfer.patient}'s case manager now, not {transfer.sender} any more: cancel "
            f"{transfer.task}, and open another transfer from there.",
            transfer.task,
            "Task.status",
        )
    if protocol.program.url not in await active(after):
        raise conflict(
            protocol,
            f"{protocol.program.url} is in force no more, so that nobody becomes a case manager in it: make it active "
            f"again, or cancel {transfer.task}.",
            transfer.task,
            "Task.status",
        )
    wanted = Wanted(
        transfer.patient, protocol.program.url, transfer.receiver, text(at, protocol), None, task.get("reasonCode")
    )
    plan = await assign(after, wanted, now, context.derive(f"{transfer.task} team"), is_handoff=True)
    return plan.changes


def instant(program: Program, transfer: Transfer, member: Member, now: int) -> int:
    """`effective` where it comes after the former's start; now where it went by before the steps were done."""
    if transfer.effective is None:
        return now
    wanted, zone = period.starts(transfer.effective, program.zone), program.zone
    starts = [period.starts(one.start, zone) for one in member.assignments if one.manager == transfer.sender]
    today, opened = (period.midnight(period.day(at, zone), zone) for at in (now, period.starts(transfer.opened, zone)))
    went_by = opened <= wanted < today
    return now if went_by or wanted <= max(starts, default=period.ALWAYS) else wanted


def _serving(member: Member, program: Program, persons: Mapping[str, str | None], at: int) -> set[str]:
    return {
        persons[one.manager] or one.manager
        for one in member.assignments
        if program.role in one.roles and _holds(one, program, at)
    }


def _holds(one: Assignment, program: Program, at: int) -> bool:
    return period.holds(held(one, program.zone), at)
