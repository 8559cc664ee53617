"""Review: a member's lead is there no more, or the member is: a Task for each of both organizations to settle it.

https://hl7.org/fhir/R4/task.html

Whoever was named leads until both name another, since there is exactly one lead once one was named (NY-20), and until
the enrolment ends. So nothing ends here: both are asked to name the next lead, or to end the enrolment. The commit that
ends the lead's role makes the Tasks, as far as the lead has a bounded number of members; the background look makes what
comes with time. They are completed as another lead is accepted or the lead lapses, and cancelled where what they are
about is not so any more.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from server.coordination import facts, period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.escalation import liaisons
from server.coordination.facts import ASSIGNMENT, OPEN, Assignment, Designation, Role, literal
from server.coordination.handoff.transfer import concept, put
from server.coordination.lead import agency
from server.coordination.lead.kept import agreed
from server.coordination.lead.terms import Terms, every, is_enrolled, leading, leads, pair_at
from server.coordination.program.programs import Programs, active
from server.coordination.stored import read_many
from server.coordination.write import AS_RECORDED
from server.fhir import body
from server.ledger import Change, Context, Fact, Resource, View, micros

REVIEW = f"{facts.TASK}|lead-review"
REASON = f"{facts.BASE}/CodeSystem/cm-lead-review"
MANY = 200  # members whom one person leads: of more, the background look sees to them
ASKED = {  # for each reason, what both are asked for
    "role-inactive": "{}, who leads, is in that role no more (it is inactive): name the next lead",
    "role-ended": "{}, who leads, is in that role no more (its period is over): name the next lead",
    "practitioner-inactive": "{}, who leads, is there no more (the Practitioner is inactive): name the next lead",
    "agency-ended": "{}, who leads, is at an agency that works for neither any more: name the next lead",
    "member-deceased": "The member whom {} leads has died: end the enrolment, with which the lead ends",
}
LEFT, DIED = "left", "died"  # what is settled by a Task of its own


class Leading(NamedTuple):
    """Whoever leads a member, led or is to lead, and the two organizations that named them."""

    member: Member
    terms: Terms
    lead: Assignment
    parties: tuple[str, str]
    key: str  # of this designation: its Task
    is_open: bool  # it is not over, and nobody is named to follow

    def id(self, what: str, organization: str) -> str:
        """Of the Task for one of both: the same, whenever it is made."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{REVIEW} {what} {self.key} {organization}"))

    @property
    def ids(self) -> list[str]:
        return [self.id(what, organization) for what in (LEFT, DIED) for organization in self.parties]


class Cause(NamedTuple):
    """What is to be settled of a lead, why, and the resources that say so."""

    of: Leading
    what: str
    reason: str
    said_by: frozenset[str]


# What is so


async def due(
    view: View, patients: Collection[str], programs: Programs, now: int, anew: Collection[str] = ()
) -> list[Change]:
    """What is to be written so that the Tasks about these members' leads say what is so.

    What somebody settled stays so, unless one of `anew`, the resources that say so, says it anew.
    """
    found = await _leading(view, patients, programs, now)
    if not found:
        return []
    causes = {
        cause.of.id(cause.what, one): cause for cause in await _causes(view, found, now) for one in cause.of.parties
    }
    known = {id: one for one in found for id in one.ids}
    stored = await read_many(view, [f"Task/{id}" for id in known])
    tasks = {task["id"]: task for task in stored.values()}
    over = [_over(task, known[id]) for id, task in tasks.items() if id not in causes and task["status"] in OPEN]
    made = {id: cause for id, cause in causes.items() if _is_to_be_made(tasks.get(id), cause, anew)}
    return [put(task) for task in (*over, *await _tasks(view, made, now))]


def _is_to_be_made(task: Resource | None, cause: Cause, anew: Collection[str]) -> bool:
    if task is None:
        return True
    return task["status"] not in OPEN and ("statusReason" in task or not cause.said_by.isdisjoint(anew))


async def _leading(view: View, patients: Collection[str], programs: Programs, now: int) -> list[Leading]:
    """Every designation of these members, each once."""
    members = await assignment.members(view, patients)
    rows = await view.facts("designation", members) if members else {}
    found: dict[str, Leading] = {}
    for member in {id(one): one for one in members.values()}.values():
        named = [one for patient in member.patients for one in map(Designation.of, rows[patient])]
        completed = [one for one in named if one.status == "completed"]
        for terms in every(programs, now):
            for one in _named(member, terms, completed, programs, now) if is_enrolled(member, terms) else ():
                found.setdefault(one.key, one)
    return list(found.values())


def _named(
    member: Member, terms: Terms, named: Sequence[Designation], programs: Programs, now: int
) -> Iterator[Leading]:
    times = [(leading(one, terms.zone), one) for one in leads(member, terms)]
    held = [(when, one) for when, one in times if when.low < when.high]
    last = max((when.low for when, _ in held), default=0)
    pair = pair_at(member, terms, now)
    for when, one in held:
        found = agreed(one, named, terms)
        if found and found.program != terms.program.url and found.program in programs:
            continue  # it is of the program in which both agreed on it
        is_open = when.low == last and when.high > now
        if found and found.proposer and found.answerer:
            yield Leading(member, terms, one, (found.proposer, found.answerer), found.task, is_open)
        elif pair:
            key = f"{member.patient} {one.manager} {one.start}"
            yield Leading(member, terms, one, pair.organizations, key, is_open)


async def _causes(view: View, found: Sequence[Leading], now: int) -> list[Cause]:
    """Why these leads, as far as they are the last, are to be settled."""
    standing = [one for one in found if one.is_open]
    rows = await view.facts("role", {one.lead.manager for one in standing}) if standing else {}
    roles = {role: Role.of(some[0]) for role, some in rows.items() if some}
    persons = {role.practitioner for role in roles.values() if role.practitioner}
    records = {record for one in standing for record in one.member.patients}
    there = await read_many(view, persons | records) if standing else {}
    causes = [cause for one in standing for cause in _of(one, roles.get(one.lead.manager), there, now)]
    gone = {cause.of.key for cause in causes if cause.what == LEFT}
    return [*causes, *await _parted(view, [one for one in standing if one.key not in gone], roles, now)]


async def _parted(view: View, standing: Sequence[Leading], roles: Mapping[str, Role], now: int) -> list[Cause]:
    """Leads at an agency that is closed, or works for neither of the two any more."""
    places = [(one, one.terms.zone, role) for one in standing if (role := roles.get(one.lead.manager))]
    away = [(one, str(role.organization), zone) for one, zone, role in places if role.organization not in one.parties]
    if not away:
        return []
    agencies = {organization for _, organization, _ in away}
    works, shut = await agency.working(view, agencies, now, away[0][2]), set(await agency.closed(view, agencies))
    return [
        Cause(one, LEFT, "agency-ended", frozenset({organization}))
        for one, organization, _ in away
        if organization in shut or works[organization].isdisjoint(one.parties)
    ]


def _of(one: Leading, role: Role | None, there: Mapping[str, Resource], now: int) -> Iterator[Cause]:
    zone = one.terms.zone
    at = max(now, leading(one.lead, zone).low)
    person = there.get(role.practitioner or "") if role else None
    if role and (reason := left(role, person, at, now, zone)):
        yield Cause(one, LEFT, reason, frozenset({role.reference, str(role.practitioner)}))
    if any(_has_died(there.get(record, {}), now, zone) for record in one.member.patients):
        yield Cause(one, DIED, "member-deceased", frozenset(one.member.patients))


def left(role: Role, person: Resource | None, at: int, now: int, zone: str) -> str | None:
    """Why somebody is not in the role any more at an instant; None where they are.

    What is inactive says since today, and no earlier.
    """
    if at >= period.ends(role.end, zone):
        return "role-ended"
    if assignment.left(role, at, now, zone):
        return "role-inactive"
    is_today = at >= period.midnight(period.day(now, zone), zone)
    return "practitioner-inactive" if person and _is_inactive(person) and is_today else None


def _has_died(patient: Resource, now: int, zone: str) -> bool:
    return _is_deceased(patient) and period.starts(patient.get("deceasedDateTime"), zone) <= now


def _is_deceased(patient: Resource) -> bool:
    return patient.get("deceasedBoolean") is True or "deceasedDateTime" in patient


def _is_inactive(person: Resource) -> bool:
    return person.get("active") is False


# The Tasks


async def _tasks(view: View, made: Mapping[str, Cause], now: int) -> list[Resource]:
    """One for each of both, for its liaison where it has one."""
    parties = {party for cause in made.values() for party in cause.of.parties}
    owners = await liaisons(view, parties, now) if parties else {}
    return [_task(id, cause, owners, now) for id, cause in made.items()]


def _task(id: str, cause: Cause, owners: Mapping[str, str], now: int) -> Resource:
    one, (first, second) = cause.of, cause.of.parties
    organization, other = (first, second) if id == one.id(cause.what, first) else (second, first)
    return {
        "resourceType": "Task",
        "id": id,
        "instantiatesCanonical": one.terms.program.canonical,
        **({"basedOn": [{"reference": one.key}]} if one.key.startswith("Task/") else {}),
        "status": "requested",
        "intent": "order",
        "code": concept(REVIEW),
        "description": f"{ASKED[cause.reason].format(one.lead.manager)}, with {other}",
        "focus": {"reference": one.lead.manager},
        "for": {"reference": one.lead.member},
        "authoredOn": period.text(now, one.terms.zone),
        "owner": {"reference": owners[organization]},
        "reasonCode": concept(f"{REASON}|{cause.reason}"),
    }


def _over(task: Resource, one: Leading) -> Resource:
    """Completed as another one is named or the lead's time is over; else what it was about is not so."""
    if not one.is_open:
        return {**task, "status": "completed"}
    return {**task, "status": "cancelled", "statusReason": concept(f"{REASON}|not-so")}


# In the commit that makes it so


async def reviewed(context: Context, before: View, changes: Sequence[Change], after: View) -> list[Change]:
    """Further changes: the Tasks of those members whose leads, or who themselves, these changes are about."""
    if context.override is AS_RECORDED:
        return []
    stored = [one for one in changes if one.method != "POST" and not one.is_derived]
    roles = [one.reference for one in stored if one.type == "PractitionerRole"]
    persons = await _turned(before, stored, "Practitioner", _is_inactive)
    died = await _turned(before, stored, "Patient", _is_deceased)
    teams = [one for one in changes if one.type == "CareTeam" and one.is_derived]
    agencies = await _agencies(context, before, changes)
    if not (roles or persons or died or teams or agencies):
        return []
    programs, now = await active(after), micros(context.now)
    if not programs.leads:
        return []
    turned = await _left(before, roles, after, programs, now)
    there = await staff(after, agencies)
    patients = died | _led(teams, programs) | await led_by(after, {*turned, *there}, persons, programs)
    if not patients or len(patients) > MANY:
        return []
    found = await due(after, sorted(patients), programs, now, turned | persons | died | agencies)
    for change in found:
        change.is_derived = True
    return found


_MAYBE = re.compile(rb'"deceased|"active"\s*:\s*false')


async def _turned(before: View, stored: Sequence[Change], type: str, is_so: Callable[[Resource], bool]) -> set[str]:
    """Those resources of a type of which something is so that was not, or the other way around."""
    given = {one.reference: one.resource for one in stored if one.type == type and one.resource is not None}
    versions = await before.read_many(given) if given else {}
    was = {one: body.loads(found.body) for one, found in versions.items() if found.body and _MAYBE.search(found.body)}
    return {one for one, resource in given.items() if is_so(resource) != is_so(was.get(one, {}))}


async def _left(before: View, roles: Sequence[str], after: View, programs: Programs, now: int) -> set[str]:
    """Those of the roles which somebody leaves, or comes back to."""
    zone = next((terms.zone for terms in every(programs, now)), "UTC")
    sides = [await view.facts("role", roles) if roles else {} for view in (before, after)]
    was, are = (
        {role: left(Role.of(some[0]), None, now, now, zone) for role, some in side.items() if some} for side in sides
    )
    return {role for role in roles if role in was and role in are and bool(was[role]) != bool(are[role])}


async def _agencies(context: Context, before: View, changes: Sequence[Change]) -> set[str]:
    """Those of which these changes may say otherwise for whom they work."""
    given = [one for one in changes if one.type in {"Organization", "OrganizationAffiliation"} and not one.is_derived]
    found = {key for one in given for kind, key, _ in one.facts or () if kind == "affiliation"}
    stored = [one.reference for one in given if one.method != "POST"]
    engaged = [one for one in stored if one.startswith("OrganizationAffiliation/")]
    were = await read_many(before, engaged) if engaged else {}
    links = (literal(one.get("participatingOrganization"), context.base_url) for one in were.values())
    parts = [one for one in stored if one.startswith("Organization/")]
    rows = await before.facts("affiliation", parts) if parts else {}
    return found | {one for one in links if one} | {one for one, some in rows.items() if some}


async def staff(view: View, organizations: Collection[str]) -> set[str]:
    """The roles at these organizations."""
    rows = (await view.facts("staff", organizations)).values() if organizations else ()
    return {row.source for some in rows for row in some}


def _led(teams: Iterable[Change], programs: Programs) -> set[str]:
    """The members of whom these teams say who leads."""
    rows = (Fact(*row, one.reference) for one in teams for row in one.facts or () if row[0] == "member")
    found = (Assignment.of(row) for row in rows if row.data[0] == ASSIGNMENT)
    return {one.member for one in found if not programs.leads.isdisjoint(one.roles)}


async def led_by(view: View, roles: Collection[str], persons: Collection[str], programs: Programs) -> set[str]:
    """The members whom somebody leads, led or is to lead in one of these roles, or who is one of these persons."""
    rows = (await view.facts("role", persons)).values() if persons else ()
    own = {*roles, *(row.source for some in rows for row in some)}
    held = (await view.facts("manager", own)).values() if own else ()
    found = (Assignment.of(row) for some in held for row in some)
    return {one.member for one in found if not one.error and not programs.leads.isdisjoint(one.roles)}
