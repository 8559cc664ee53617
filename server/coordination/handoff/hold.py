"""Hold: while a transfer is open nobody becomes the member's case manager beside it.

Without one, a CareTeam can be written as it is known: by a load, a correction, another system.
"""

from __future__ import annotations

from collections.abc import Mapping

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member, serving
from server.coordination.facts import Transfer
from server.coordination.period import Interval
from server.coordination.program.program import Program
from server.coordination.write import AS_RECORDED, Write, refusal
from server.outcome import Issue


async def kept(write: Write) -> list[Issue]:
    """Refuse what brings a member in transfer another case manager than before."""
    moving = [member for member in write.distinct() if member.transfers]
    if not moving or write.context.override is AS_RECORDED:
        return []
    earlier = await write.earlier()
    formers = {id(member): _formers(member, earlier) for member in moving}
    roles = {one.manager for found in formers.values() for former in found for one in former.assignments}
    was, now = await assignment.practitioners(write.before, roles), await write.persons()
    issues, is_switched = [], _is_switched(write)
    for member in moving:
        for transfer in member.transfers:
            program = _program(write, transfer)
            if program is None:
                continue
            had = {person for former in formers[id(member)] for person in _from_now_on(write, former, was, program)}
            new = _from_now_on(write, member, now, program) - had
            if is_switched:
                new.discard(str(now[transfer.receiver]))
            if new:
                issues.append(_beside(write, member, transfer, program, new, now))
    return issues


def _formers(member: Member, earlier: Mapping[str, Member]) -> list[Member]:
    """The member as before; several, where records are merged now."""
    return list({id(earlier[one]): earlier[one] for one in member.patients if one in earlier}.values())


def _program(write: Write, transfer: Transfer) -> Program | None:
    return write.programs.near(transfer.program, write.now) if transfer.program in write.programs else None


def _from_now_on(write: Write, member: Member, persons: Mapping[str, str | None], program: Program) -> set[str]:
    window = [Interval(write.now, period.NEVER)]
    found = serving(member, persons, write.programs, program)
    return {person for person, times in found.items() if period.intersection(times, window)}


def _is_switched(write: Write) -> bool:
    """True where the transfer's own step brings the next case manager: that is what it is for."""
    return any(change.is_derived for change in write.of_type("CareTeam"))


def _beside(
    write: Write,
    member: Member,
    transfer: Transfer,
    program: Program,
    new: set[str],
    persons: Mapping[str, str | None],
) -> Issue:
    text = (
        f"{member.patient} is in transfer to {transfer.receiver}; {' and '.join(sorted(new))} would become the case "
        f"manager beside it. Complete {transfer.task} by its steps (Task/$advance), or cancel it first."
    )
    there = [one for one in member.assignments if persons[one.manager] in new]
    rule = next(program.of_kind("transfer"), program.rules[0])
    return refusal(program, rule, text, *write.places(there))
