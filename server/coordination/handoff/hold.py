"""Hold: while a transfer is open nobody becomes the member's case manager beside it.

Without one, a CareTeam can be written as it is known: by a load, a correction, another system.
"""

from __future__ import annotations

from server.coordination import assignment, period
from server.coordination.assignment import Member, serving
from server.coordination.facts import Transfer
from server.coordination.period import Interval
from server.coordination.program import Program
from server.coordination.write import AS_RECORDED, Write, refusal
from server.outcome import Issue


async def kept(write: Write) -> list[Issue]:
    """Refuse what brings a member in transfer another case manager than before."""
    if write.context.override is AS_RECORDED:
        return []
    issues = []
    for member in write.distinct():
        for transfer in member.transfers:
            issues += await _beside(write, member, transfer)
    return issues


async def _beside(write: Write, member: Member, transfer: Transfer) -> list[Issue]:
    if transfer.program not in write.programs:
        return []
    program = write.programs.near(transfer.program, write.now)
    if program.assignment is None:
        return []
    earlier = await write.earlier()
    formers = {id(earlier[one]): earlier[one] for one in member.patients if one in earlier}.values()
    roles = [one.manager for former in formers for one in former.assignments]
    was = await assignment.practitioners(write.before, roles)
    had = {person for former in formers for person in _from_now_on(write, former, was, program)}
    new = sorted(_from_now_on(write, member, await write.persons(), program) - had - await _switched(write, transfer))
    if not new:
        return []
    text = (
        f"{member.patient} is in transfer to {transfer.receiver}; {' and '.join(new)} would become the case manager "
        f"beside it. Complete {transfer.task} by its steps (Task/$advance), or cancel it first."
    )
    there = [one for one in member.assignments if (await write.persons())[one.manager] in new]
    return [refusal(program, program.assignment, text, *write.places(there))]


async def _switched(write: Write, transfer: Transfer) -> set[str | None]:
    """The next case manager, where the transfer's own step brings the member: that is what it is for."""
    is_switch = any(change.is_derived for change in write.of_type("CareTeam"))
    return {(await write.persons())[transfer.receiver]} if is_switch else set()


def _from_now_on(write: Write, member: Member, persons: dict[str, str | None], program: Program) -> set[str]:
    window = [Interval(write.now, period.NEVER)]
    found = serving(member, persons, write.programs, program)
    return {person for person, times in found.items() if period.intersection(times, window)}
