"""Who: the member's lead at an instant, from when on, on what form and agreement."""

from __future__ import annotations

from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import Assignment, Role
from server.coordination.lead.kept import accepted
from server.coordination.lead.terms import Terms, every, is_enrolled, leading, leads
from server.coordination.program.programs import active
from server.ledger import View


class Lead(NamedTuple):
    """The lead; `since` is when the time began in which it has been the same one, without a gap."""

    role: str
    organization: str | None
    since: str | None
    form: str | None
    agreement: str | None


async def lead(view: View, patient: str, as_of: str | None, now: int) -> Lead | None:
    """None where nobody leads then. `as_of` is a date or dateTime, now where it is not given."""
    programs = await active(view)
    member = (await assignment.members(view, [patient]))[patient]
    for terms in every(programs, now):
        at = programs.instant(terms.program.url, as_of, now)
        found = _at(member, terms, at) if is_enrolled(member, terms) else None
        if found:
            return await _told(view, member, terms, found, at)
    return None


def _at(member: Member, terms: Terms, at: int) -> Assignment | None:
    holding = [one for one in leads(member, terms) if period.holds([leading(one, terms.zone)], at)]
    return min(holding, key=lambda one: (one.team, one.place), default=None)


async def _told(view: View, member: Member, terms: Terms, found: Assignment, at: int) -> Lead:
    named = [
        one
        for one in await accepted(view, member)
        if one.lead == found.manager and period.starts(one.since, terms.zone) <= at
    ]
    latest = max(named, key=lambda one: (period.starts(one.since, terms.zone), one.task), default=None)
    role = next((Role.of(row) for row in (await view.facts("role", [found.manager]))[found.manager]), None)
    organization = latest.organization if latest else role.organization if role else None
    return Lead(
        found.manager,
        organization,
        _since(member, terms, found, at),
        latest.form if latest else None,
        latest.agreement if latest else None,
    )


def _since(member: Member, terms: Terms, found: Assignment, at: int) -> str | None:
    times = [leading(one, terms.zone) for one in leads(member, terms) if one.manager == found.manager]
    low = next(one.low for one in period.union(times) if period.holds([one], at))
    return None if low == period.ALWAYS else period.text(low, terms.zone)
