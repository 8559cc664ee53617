"""Unassigned: what waits for a supervisor: members nobody manages, transfers that hang, managers above their limit.

A finding is no fault of a write: who leaves, what becomes due and a limit that comes into force leave it behind.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.caseload import breach
from server.coordination.caseload.census import Census, Enrolled, Served, census
from server.coordination.facts import Role, Transfer
from server.coordination.period import Interval
from server.coordination.program.program import Program
from server.coordination.program.programs import Programs
from server.ledger import View

# CodeSystem/attention, the most urgent first.
NO_MANAGER = "no-manager"
NO_LEAD = "no-lead"
MANAGER_LEFT = "manager-left"
LEAD_LEFT = "lead-left"
MANAGER_ELSEWHERE = "manager-elsewhere"
TRANSFER_OF_LEAVER = "transfer-of-leaver"
TRANSFER_OVERDUE = "transfer-overdue"
TRANSFER_LATE = "transfer-late"
ABOVE_LIMIT = "manager-above-limit"
ORDER = (
    NO_MANAGER,
    NO_LEAD,
    MANAGER_LEFT,
    LEAD_LEFT,
    MANAGER_ELSEWHERE,
    TRANSFER_OF_LEAVER,
    TRANSFER_OVERDUE,
    TRANSFER_LATE,
    ABOVE_LIMIT,
)


class Finding(NamedTuple):
    """Why a Patient, a Task or a PractitionerRole waits, and since when, in microseconds since the epoch."""

    why: str
    reference: str
    since: int | None = None
    about: str | None = None  # who has left
    number: int | None = None
    limit: int | None = None


class _Asked(NamedTuple):
    organization: str
    program: Program
    at: int
    now: int


async def findings(
    view: View, organization: str, programs: Programs, wanted: Program, at: int, now: int
) -> list[Finding]:
    """Everything that waits at an organization in a program as of an instant: by ORDER, and since longest first."""
    asked = _Asked(organization, wanted, at, now)
    counted = (await census(view, [organization], programs, wanted))[0][organization]
    held = [(person, each) for person, served in counted.managers.items() for each in served if _counts(each, at)]
    transfers = await _open_transfers(view, asked)
    roles = await _roles(view, [each for _, each in held], transfers)
    found = [
        *_without(counted.members, at),
        *_of_leavers([each for _, each in held], roles, asked),
        *_hanging(transfers, roles, asked),
        *_above(counted, programs, asked),
    ]
    return sorted(found, key=urgency)


def urgency(one: Finding) -> tuple[int, int, int, str]:
    """By ORDER, and since longest first."""
    since = period.ALWAYS if one.since is None else one.since
    return ORDER.index(one.why), -(one.number or 0), since, one.reference


def _counts(served: Served, at: int) -> bool:
    return period.holds(served.times, at)


async def _roles(view: View, held: Sequence[Served], transfers: Sequence[Transfer]) -> dict[str, Role]:
    named = {one.manager for each in held for one in each.assignments}
    named |= {role for one in transfers for role in (one.sender, one.receiver) if role}
    return {role: Role.of(rows[0]) for role, rows in (await view.facts("role", named)).items() if rows}


# Members


def _without(members: Sequence[Enrolled], at: int) -> Iterator[Finding]:
    """Enrolled members without a case manager, each since the last one, or since the enrolment."""
    for one in members:
        if period.holds(one.enrolled, at) and not period.holds(one.served, at):
            low = next(low for low, high in period.difference(one.enrolled, one.served) if low <= at < high)
            yield Finding(NO_MANAGER, one.member.patient, None if low == period.ALWAYS else low)


def _of_leavers(held: Sequence[Served], roles: Mapping[str, Role], asked: _Asked) -> Iterator[Finding]:
    """Members whose manager is in the role no more, or in it at another organization."""
    gone = {role.reference: found for role in roles.values() if (found := _gone(role, asked))}
    for each in held:
        if not any(one.manager in gone for one in each.assignments):
            continue
        there = [one.manager for one in each.assignments if _holds(one.manager, each, asked)]
        if there and all(role in gone for role in there):
            why, since = gone[there[0]]
            yield Finding(why, each.member.patient, since, there[0])


def _gone(role: Role, asked: _Asked) -> tuple[str, int | None] | None:
    if assignment.left(role, asked.at, asked.now, asked.program.zone):
        return MANAGER_LEFT, _left_at(role, asked)
    return (MANAGER_ELSEWHERE, None) if role.organization not in {None, asked.organization} else None


def _left_at(role: Role, asked: _Asked) -> int | None:
    """When the role ended; not known of one that is only inactive."""
    end = period.ends(role.end, asked.program.zone)
    return end if end <= asked.at else None


def _holds(role: str, served: Served, asked: _Asked) -> bool:
    return any(
        one.manager == role and period.holds(assignment.held(one, asked.program.zone), asked.at)
        for one in served.assignments
    )


# Transfers


async def _open_transfers(view: View, asked: _Asked) -> list[Transfer]:
    rows = (await view.facts("transfer", [asked.organization]))[asked.organization]
    found = map(Transfer.of, rows)
    return [one for one in found if one.program == asked.program.url and _is_open(one, asked)]


def _is_open(one: Transfer, asked: _Asked) -> bool:
    zone = asked.program.zone
    if period.starts(one.opened, zone) > asked.at:
        return False
    return one.is_open or (one.ended is not None and period.ends(one.ended, zone) > asked.at)


def _hanging(transfers: Sequence[Transfer], roles: Mapping[str, Role], asked: _Asked) -> Iterator[Finding]:
    """Open transfers from or to somebody who has left, overdue, or past the day on which they were to take effect."""
    zone = asked.program.zone
    for one in transfers:
        for role in (one.sender, one.receiver):
            known = roles.get(role) if role else None
            if known and assignment.left(known, asked.at, asked.now, zone):
                yield Finding(TRANSFER_OF_LEAVER, one.task, _left_at(known, asked), known.reference)
        for why, date in ((TRANSFER_OVERDUE, one.due), (TRANSFER_LATE, one.effective)):
            passed = period.ends(date, zone)
            if passed <= asked.at:
                yield Finding(why, one.task, passed)


# Managers


def _above(counted: Census, programs: Programs, asked: _Asked) -> Iterator[Finding]:
    """Managers above a limit in force, each as the role in which most of the members are held."""
    caps = breach.caps(programs, asked.program.url, "manager")
    for served in counted.managers.values():
        steps = period.steps(each.times for each in served)
        for one in breach.of_manager(caps, steps, Interval(asked.at, asked.at + 1)):
            yield Finding(ABOVE_LIMIT, _role(served, asked), one.since, None, one.number, one.limit)


def _role(served: Sequence[Served], asked: _Asked) -> str:
    named = Counter(
        one.manager
        for each in served
        if _counts(each, asked.at)
        for one in each.assignments
        if _holds(one.manager, each, asked)
    )
    return min(named, key=lambda role: (-named[role], role))
