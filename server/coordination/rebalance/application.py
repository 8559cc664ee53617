"""Application: moves of a proposal become transfers, as far as they still fit the head of the ledger.

A move says whom, from whom and to whom; nothing else of the proposal is trusted. The rules judge each opening as they
judge every other one; here is what they cannot know: that the member is still with whom the proposal saw.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member, held
from server.coordination.caseload import caseload
from server.coordination.facts import Role, Transfer
from server.coordination.handoff.request import Wanted
from server.coordination.program.program import Program
from server.coordination.program.programs import Programs
from server.coordination.rebalance.proposal import Chosen
from server.ledger import View
from server.outcome import Issue, Problem

PLACE = "Parameters.parameter.where(name='move' and value='{}')"


@dataclass(frozen=True, slots=True)
class Opening:
    """A move that is to be opened, as the Task of this id."""

    move: Chosen
    wanted: Wanted
    id: str

    @classmethod
    def of(cls, move: Chosen, wanted: Wanted, organization: str, position: int) -> Opening:
        return cls(move, wanted, move.task(organization, wanted.program, position))


async def pending(
    view: View, programs: Programs, program: Program, organization: str, openings: Sequence[Opening], now: int
) -> list[Opening]:
    """Those that are not open yet. Problem conflict with every one that does not fit any more."""
    known = await view.facts("transfer", [f"Task/{opening.id}" for opening in openings])
    new = [opening for opening in openings if not known[f"Task/{opening.id}"]]
    given_up = [
        opening
        for opening in openings
        for fact in known[f"Task/{opening.id}"]
        if not (transfer := Transfer.of(fact)).is_open and transfer.status != "completed"
    ]
    issues = [
        _misfit(one, "was opened by this proposal and given up since: ask for a new proposal") for one in given_up
    ]
    members = await assignment.members(view, [opening.move.patient for opening in new])
    named = {opening.move.receiver for opening in new} | {opening.move.sender for opening in new}
    named |= {one.manager for member in members.values() for one in member.assignments}
    roles = {role: [Role.of(fact) for fact in rows] for role, rows in (await view.facts("role", named)).items()}
    for opening in new:
        why = _why_not(members[opening.move.patient], opening.move, roles, program, organization, now)
        if why:
            issues.append(_misfit(opening, why))
    misfits = {issue.expression[0] for issue in issues}
    fitting = [opening for opening in new if place(opening) not in misfits]
    issues += await _above(view, programs, program, organization, fitting, roles, now)
    if issues:
        raise Problem.with_issues("conflict", issues)
    return new


def _why_not(
    member: Member,
    move: Chosen,
    roles: Mapping[str, Collection[Role]],
    program: Program,
    organization: str,
    now: int,
) -> str | None:
    """Why a move does not fit, in words; None where it does."""
    receiver = next((role for role in roles[move.receiver] if role.reference == move.receiver), None)
    if receiver is None or receiver.practitioner is None:
        return f"goes to {move.receiver}, who is not there"
    if receiver.organization != organization or program.role not in receiver.codes:
        return f"goes to {move.receiver}, who is no case manager of {organization}"
    if not receiver.active or not period.holds([period.between(receiver.start, receiver.end, program.zone)], now):
        return f"goes to {move.receiver}, who is not active any more"
    if not period.holds(assignment.enrolled_at(member, program).get(organization, []), now):
        return f"is of nobody who is enrolled at {organization} now"
    moving = next((one for one in member.transfers if one.program == program.url), None)
    if moving:
        return f"is of a member who is in transfer to {moving.receiver} already ({moving.task})"
    there = [
        one.manager
        for one in member.assignments
        if program.role in one.roles and period.holds(held(one, program.zone), now)
    ]
    if move.sender not in there:
        return f"is of a member who is with {' and '.join(sorted(there)) or 'nobody'} now"
    return None


async def _above(
    view: View,
    programs: Programs,
    program: Program,
    organization: str,
    openings: Sequence[Opening],
    roles: Mapping[str, Collection[Role]],
    now: int,
) -> list[Issue]:
    """The moves for which there is no place any more, of each receiver the last ones."""
    person = {opening.move.receiver: next(iter(roles[opening.move.receiver])).practitioner for opening in openings}
    loads = await caseload.caseloads(view, [one for one in person.values() if one])
    left = {one: caseload.remaining(programs, program, load, organization, now) for one, load in loads.items()}
    taken = Counter[str]()
    issues = []
    for opening in openings:
        receiver = person[opening.move.receiver] or ""
        taken[receiver] += 1
        room = left[receiver]
        if room is not None and taken[receiver] > room:
            issues.append(_misfit(opening, f"finds no place: {opening.move.receiver} has room for {room} more"))
    return issues


def _misfit(opening: Opening, why: str) -> Issue:
    text = f"The move {opening.move.id!r} {why}. Leave it out, or ask for a new proposal."
    return Issue("conflict", text, (place(opening),))


def place(opening: Opening) -> str:
    return PLACE.format(opening.move.id)
