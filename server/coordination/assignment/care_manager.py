"""Care manager: who serves a member, as of a date, and where there is nobody, whom to call.

In a program whose two organizations name one lead, that is who leads.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.assignment.contact import Without, contacts, organization_of
from server.coordination.facts import BASE, Role
from server.coordination.lead import terms, who
from server.coordination.program.program import Program
from server.coordination.program.programs import Programs, active
from server.ledger import View

LEAD = f"{BASE}/CodeSystem/cm-role|lead-care-manager"
ENROLLED = frozenset({"planned", "waitlist", "active", "onhold"})


class Serving(NamedTuple):
    """Who manages a member in a program at an instant."""

    program: str
    manager: str
    practitioner: str
    team: str
    since: str | None
    lead: bool


class Answer(NamedTuple):
    """Who manages a member, and for each program without anybody, the resources that say whom to call."""

    serving: list[Serving]
    contacts: list[str]


async def care_managers(view: View, patient: str, wanted: str | None, as_of: str | None, now: int) -> Answer:
    """Who manages a member as of a date, in one program or in each that the member is enrolled in."""
    programs = await active(view)
    urls = list(programs) if wanted is None else [programs.meant(wanted)]
    member = (await assignment.members(view, [patient]))[patient]
    rows = await view.facts("role", {one.manager for one in member.assignments})
    roles = {role: Role.of(found[0]) for role, found in rows.items() if found}
    found: list[Serving] = []
    without: list[Without] = []
    for url in urls:
        at = programs.instant(url, as_of, now)
        chosen = programs.chosen(wanted or url, at)
        organizations = _organizations(member, chosen, at)
        if not organizations:
            continue
        serving = [
            one
            for one in (*_serving(member, programs, chosen, roles, at), *_leading(member, chosen, roles, at))
            if not assignment.left(roles[one.manager], at, now, chosen.zone)
        ]
        found += serving
        if not serving:
            without.append(Without(chosen, organizations, at))
    if len(found) == 1:
        found = [found[0]._replace(lead=True)]
    if without:
        return Answer(found, await contacts(view, patient, without))
    return Answer(found, [] if found else await organization_of(view, patient))


def _organizations(member: Member, chosen: Program, at: int) -> list[str]:
    """Where a member is enrolled in a program at an instant."""
    return [
        one.organization
        for one in member.enrolments
        if one.organization
        and not chosen.types.isdisjoint(one.types)
        and period.holds(assignment.enrolled(one, chosen.zone, ENROLLED), at)
    ]


def _leading(member: Member, chosen: Program, roles: Mapping[str, Role], at: int) -> list[Serving]:
    """Whom the two organizations of a program have named, whichever of both the lead is at."""
    meant = terms.of(chosen)
    found = who.leading_at(member, meant, at) if meant else None
    if meant is None or found is None or found.manager not in roles:
        return []
    role, since = roles[found.manager], who.since(member, meant, found, at)
    return [Serving(chosen.url, role.reference, str(role.practitioner), found.team, since, lead=True)]


def _serving(member: Member, programs: Programs, chosen: Program, roles: Mapping[str, Role], at: int) -> list[Serving]:
    persons = {role: found.practitioner for role, found in roles.items()}
    there = [one for one in member.assignments if chosen.role in one.roles and persons.get(one.manager)]
    found = []
    for one in there:
        counting = assignment.counted(member, [one], programs, chosen, ENROLLED)
        if not any(period.holds(intervals, at) for intervals in counting.values()):
            continue
        person = str(persons[one.manager])
        own = [other for other in there if persons[other.manager] == person]
        times = assignment.together(own, chosen.zone)
        low = next(interval.low for interval in times if interval.low <= at < interval.high)
        low = assignment.since(low, own, {role: found.start for role, found in roles.items()}, at, chosen.zone)
        since = None if low == period.ALWAYS else period.text(low, chosen.zone)
        found.append(Serving(chosen.url, one.manager, person, one.team, since, LEAD in one.roles))
    return found
