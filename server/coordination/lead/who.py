"""Who: the member's lead at an instant, from when on, on what form and agreement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import Assignment, Designation, Role
from server.coordination.lead.kept import accepted
from server.coordination.lead.review import left
from server.coordination.lead.terms import Terms, every, is_enrolled, leading, leads
from server.coordination.program.programs import active
from server.coordination.stored import read
from server.ledger import Fact, View


class Lead(NamedTuple):
    """The lead; `since` is when the time began in which it has been the same one, without a gap."""

    role: str
    organization: str | None
    since: str | None
    form: str | None
    agreement: str | None
    has_left: bool  # is in the role no more, and leads until both name the next one


async def lead(view: View, patient: str, as_of: str | None, now: int) -> Lead | None:
    """None where nobody leads then. `as_of` is a date or dateTime, now where it is not given."""
    programs = await active(view)
    member = (await assignment.members(view, [patient]))[patient]
    for terms in every(programs, now):
        at = programs.instant(terms.program.url, as_of, now)
        found = leading_at(member, terms, at) if is_enrolled(member, terms) else None
        if found:
            return await _told(view, member, terms, found, at, now)
    return None


async def is_led_by(view: View, patient: str, actor: str, now: int) -> bool:
    """True where whoever acts, a PractitionerRole or the person in it, leads the member's care now."""
    found = await lead(view, patient, None, now)
    return found is not None and not found.has_left and found.role in await _roles(view, actor)


async def _roles(view: View, actor: str) -> set[str]:
    if not actor.startswith(("Practitioner/", "PractitionerRole/")):
        return set()
    return {Role.of(row).reference for row in (await view.facts("role", [actor]))[actor]}


async def organizations(view: View, asked: Sequence[tuple[Member, Terms, int]]) -> list[str | None]:
    """At which organization the lead of each member is at an instant: so many at two questions."""
    holding = [leading_at(member, terms, at) if is_enrolled(member, terms) else None for member, terms, at in asked]
    patients = {one for (member, _, _), found in zip(asked, holding, strict=True) if found for one in member.patients}
    if not patients:
        return [None] * len(asked)
    roles = await view.facts("role", {found.manager for found in holding if found})
    rows = await view.facts("designation", patients)
    told = []
    for (member, terms, at), found in zip(asked, holding, strict=True):
        named = [Designation.of(row) for patient in member.patients for row in rows.get(patient, ())]
        completed = [one for one in named if one.status == "completed"]
        told.append(_organization(_latest(completed, found, terms, at), roles[found.manager]) if found else None)
    return told


def leading_at(member: Member, terms: Terms, at: int) -> Assignment | None:
    """Who leads at an instant."""
    holding = [one for one in leads(member, terms) if period.holds([leading(one, terms.zone)], at)]
    return min(holding, key=lambda one: (one.team, one.place), default=None)


async def _told(view: View, member: Member, terms: Terms, found: Assignment, at: int, now: int) -> Lead:
    latest = _latest(await accepted(view, member), found, terms, at)
    roles = (await view.facts("role", [found.manager]))[found.manager]
    return Lead(
        found.manager,
        _organization(latest, roles),
        since(member, terms, found, at),
        latest.form if latest else None,
        latest.agreement if latest else None,
        await _has_left(view, [Role.of(row) for row in roles], at, now, terms.zone),
    )


async def _has_left(view: View, roles: Sequence[Role], at: int, now: int, zone: str) -> bool:
    persons = [await read(view, role.practitioner) if role.practitioner else None for role in roles]
    return any(left(role, person, at, now, zone) for role, person in zip(roles, persons, strict=True))


def _latest(named: Sequence[Designation], found: Assignment, terms: Terms, at: int) -> Designation | None:
    """By which designation somebody leads at an instant."""
    own = [one for one in named if one.lead == found.manager and period.starts(one.since, terms.zone) <= at]
    return max(own, key=lambda one: (period.starts(one.since, terms.zone), one.task), default=None)


def _organization(latest: Designation | None, roles: Sequence[Fact]) -> str | None:
    """The one that both agreed on; without that, the role's own."""
    return latest.organization if latest else next((Role.of(row).organization for row in roles), None)


def since(member: Member, terms: Terms, found: Assignment, at: int) -> str | None:
    """From when on somebody who leads at an instant has led without a gap; None where nobody says."""
    times = [leading(one, terms.zone) for one in leads(member, terms) if one.manager == found.manager]
    low = next(one.low for one in period.union(times) if period.holds([one], at))
    return None if low == period.ALWAYS else period.text(low, terms.zone)
