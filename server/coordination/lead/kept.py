"""Kept: who leads is what both organizations agreed on: nobody else's write says so, and it ends where they part.

A CareTeam's lead is changed by an accepted designation alone. Where the enrolment at one of the two organizations ends
(disenrollment, transfer to another Health Home, death), the lead lapses at that instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import Assignment, Designation, Team, literal, tokens
from server.coordination.lead import renewal
from server.coordination.lead.agency import closed as closed_at
from server.coordination.lead.form import refused, wrong
from server.coordination.lead.naming import notices, reaching, written
from server.coordination.lead.renewal import parties
from server.coordination.lead.terms import (
    SINGLE,
    Terms,
    alike,
    every,
    is_enrolled,
    lasting,
    leading,
    leads,
    pairs,
    together,
)
from server.coordination.period import Interval
from server.coordination.program.programs import Programs
from server.coordination.stored import read
from server.coordination.write import AS_RECORDED, Place, Write, refusal
from server.ledger import Change, Context, Resource, View, micros
from server.outcome import Issue, Problem

Said = dict[tuple[str, str, Interval], Assignment]  # what a team says about leads: of whom, who, when
MOST = 2000  # members of an organization that closes, whose leads end in one commit


async def kept(write: Write) -> list[Issue]:
    """Refuse what a CareTeam's writer says about leads, unless it was said before."""
    if write.context.override is AS_RECORDED or not write.programs.leads:
        return []
    issues: list[Issue] = []
    own = [change for change in write.of_type("CareTeam") if not change.is_derived]
    earlier = {id(one): one for one in (await write.earlier()).values()}.values() if own and write.stored else ()
    for terms in every(write.programs, write.now):
        was, now = _said(earlier, terms), _said(write.distinct() if own else (), terms)
        for change in own:
            team = change.reference
            issues += await _changed(write, terms, change, was.get(team, {}), now.get(team, {}))
        issues += _together(write, terms)
    return list({(one.resources, one.expression): one for one in issues}.values())


async def _changed(write: Write, terms: Terms, change: Change, was: Said, now: Said) -> list[Issue]:
    if unnamed := _unnamed(write, terms, change):
        return unnamed
    if was == now:
        return await _taken_away(write, terms, change, [one for who, one in now.items() if who[2].high > write.now])
    why = (
        f"{change.reference} changes who leads. A lead is named by both organizations (Patient/$propose-lead, "
        "Task/$respond), whose CareTeams then say so, and ends as the next one is named or the member leaves one of "
        "them; leave its participants of this role as they are."
    )
    places = [one for one in (*now.values(), *was.values()) if one.team == change.reference][:1]
    path = f"CareTeam.participant[{places[0].place}]" if places[0] in now.values() else "CareTeam.participant"
    return [refusal(terms.program, terms.rule, why, Place(change.reference, path))]


async def _taken_away(write: Write, terms: Terms, change: Change, coming: Sequence[Assignment]) -> list[Issue]:
    """A team by which somebody leads stays of the organizations whose it is: each of both has one."""
    if not coming:
        return []
    rows = (await write.before.facts("team", {one.member for one in coming})).values()
    was = {of for some in rows for row in some if row.source == change.reference for of in Team.of(row).organizations}
    now = {of for kind, _, data in change.facts or () if kind == "team" for of in data[1]}
    both = {of for one in coming for pair in pairs(write.members[one.member], terms) for of in pair.organizations}
    if not (lost := sorted(both & was - now)):
        return []
    why = (
        f"{change.reference} says that {coming[0].manager} leads, as {' and '.join(lost)} has it: both organizations "
        "have a team that says so. It stays theirs as long as somebody leads."
    )
    return [refusal(terms.program, terms.rule, why, Place(change.reference, "CareTeam.managingOrganization"))]


def _unnamed(write: Write, terms: Terms, change: Change) -> list[Issue]:
    """A lead who is no PractitionerRole of this server: nobody could say whom both have named."""
    member = next((write.members.get(str(data)) for kind, _, data in change.facts or () if kind == "subject"), None)
    if member is None or change.resource is None or not is_enrolled(member, terms):
        return []
    why = f"{change.reference}: a lead is a PractitionerRole, as a literal reference, whom both organizations named."
    return [
        refusal(terms.program, terms.rule, why, Place(change.reference, f"CareTeam.participant[{index}].member"))
        for index, one in enumerate(change.resource.get("participant", ()))
        if terms.role in tokens(one.get("role")) and not literal(one.get("member"), types=("PractitionerRole",))
    ]


def _said(members: Iterable[Member], terms: Terms) -> dict[str, Said]:
    """What each team says about the leads of members of the program."""
    found: dict[str, Said] = {}
    for member in members:
        for one in leads(member, terms) if is_enrolled(member, terms) else ():
            found.setdefault(one.team, {})[one.member, one.manager, leading(one, terms.zone)] = one
    return found


def _together(write: Write, terms: Terms) -> list[Issue]:
    """One lead at a time from now on, whatever was merged."""
    issues = []
    for member in write.distinct():
        found = leads(member, terms) if is_enrolled(member, terms) else []
        both = _two(found, terms, write.now)
        if both:
            why = (
                f"{member.patient} would have two leads: {both[0].manager} and {both[1].manager}. Name one for both "
                "records first (Patient/$propose-lead)."
            )
            places = write.places(both)
            issues.append(refusal(terms.program, terms.rule, why, *places, part=terms.demand(SINGLE)))
    return issues


def _two(found: Sequence[Assignment], terms: Terms, now: int) -> tuple[Assignment, Assignment] | None:
    for index, one in enumerate(found):
        for other in found[index + 1 :]:
            low = max(leading(one, terms.zone).low, leading(other, terms.zone).low, now)
            high = min(leading(one, terms.zone).high, leading(other, terms.zone).high)
            if one.manager != other.manager and low < high:
                return one, other
    return None


# Where they part


async def lapses(write: Write) -> list[Change]:
    """Leads end where one of the two organizations has the member no more, or is closed, and both are told.

    Problem for a lead whom nobody named.
    """
    if write.context.override is AS_RECORDED or not (write.of_type("EpisodeOfCare") or write.of_type("Organization")):
        return []
    await _asked(write)
    teams: dict[str, Resource] = {}
    told: dict[str, Told] = {}
    for terms in every(write.programs, write.now):
        for member in write.distinct():
            coming = [one for one in leads(member, terms) if leading(one, terms.zone).high > write.now]
            if coming and is_enrolled(member, terms):
                named = await accepted(write.after, member)
                await _lapsed(write, terms, member, coming, named, teams, told)
                await _renewed(write, terms, member, coming, named, teams, told)
    changes = [written(team) for team in teams.values()]
    for terms, found, at, text in told.values():
        both, texts = [str(found.proposer), str(found.answerer)], terms.rule.parameters[text]
        changes += await notices(write.context, write.after, terms, found, both, texts, at)
    for change in changes:
        change.is_derived = True
    return changes


async def _asked(write: Write) -> None:
    """By whom the members' leads were named, and the teams that say so: all at one question, for a view remembers."""
    leads = [
        one
        for member in write.distinct()
        for one in member.assignments
        if not write.programs.leads.isdisjoint(one.roles)
    ]
    if leads:
        members = [write.members[one.member] for one in leads]
        await write.after.facts("designation", {patient for member in members for patient in member.patients})
        await write.after.read_many({one.team for one in leads})


async def closures(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Change]:
    """The leads of every member of organizations that close, which end now. Problem too_costly of more than MOST."""
    there = set(await closed_at(before, [change.reference for change in changes]))
    closing = [change for change in changes if change.reference not in there]
    rows = (await after.facts("organization", [change.reference for change in closing])).values() if closing else ()
    patients = {str(row.data) for found in rows for row in found}
    if len(patients) > MOST:
        why = f"{closing[0].reference} has had more than {MOST} members: end their episodes first, in smaller commits"
        raise Problem.of("too_costly", why)
    members = await assignment.members(after, patients) if patients else {}
    return await lapses(Write(context, before, closing, after, programs, members, frozenset(), micros(context.now)))


class Told(NamedTuple):
    """A designation that lapses, or that does not: both are told, in that parameter's words."""

    terms: Terms
    found: Designation
    at: int
    text: str


async def _lapsed(
    write: Write,
    terms: Terms,
    member: Member,
    coming: Sequence[Assignment],
    named: Sequence[Designation],
    teams: dict[str, Resource],
    told: dict[str, Told],
) -> None:
    for one in coming:
        low, high = leading(one, terms.zone)
        found = agreed(one, named, terms)
        if found and found.program != terms.program.url and found.program in write.programs:
            continue  # which is looked at by the program in which both agreed on it
        if found is None and not write.of_type("EpisodeOfCare"):
            continue  # taken over as recorded: a closing organization does not wait for it
        if found is None:
            why = (
                f"{one.team} names {one.manager} as {one.member}'s lead, whom nobody named together: end that first; a "
                "lead is named by both organizations (Patient/$propose-lead)."
            )
            place = Place(one.team, f"CareTeam.participant[{one.place}]")
            raise Problem.with_issues("business_rule", [refusal(terms.program, terms.rule, why, place)])
        types = alike(terms, write.programs, write.now)
        held = lasting(together(member, terms, parties(found), types), low, write.now)
        end = held.high if held else max(low, write.now)
        if await closed_at(write.after, parties(found)):
            end = min(end, max(low, write.now))
        if end < high:
            team = teams.get(one.team) or await read(write.after, one.team) or {}
            teams[one.team] = reaching(team, one.place, period.text(end, terms.zone))
            told[found.task] = Told(terms, found, end, "lapse-text")


async def _renewed(
    write: Write,
    terms: Terms,
    member: Member,
    coming: Sequence[Assignment],
    named: Sequence[Designation],
    teams: dict[str, Resource],
    told: dict[str, Told],
) -> None:
    """Leads go on whose end was put off before it came."""
    was = (await write.earlier()).get(member.patient)
    types = alike(terms, write.programs, write.now)
    own = [one for one in named if one.program == terms.program.url or one.program not in write.programs]
    found = [(one, by) for one in coming if (by := agreed(one, own, terms)) and by.task not in told]
    shut = set(await closed_at(write.after, {party for _, by in found for party in parties(by)})) if found else set()
    given = [
        renewal.held(one, by, was, member, terms, types) for one, by in found if was and shut.isdisjoint(parties(by))
    ]
    until = renewal.renewed(given, coming, named, terms, write.now)
    for one, by, _, after in given:
        low, high = leading(one, terms.zone)
        end = until.get((one.team, one.place), high)
        if end > high:
            team = teams.get(one.team) or await read(write.after, one.team) or {}
            teams[one.team] = reaching(team, one.place, period.text(end, terms.zone) if end < period.NEVER else None)
            lapses = end < period.NEVER and any(end == each.high for each in after)
            told[by.task] = Told(terms, by, end, "lapse-text") if lapses else Told(terms, by, low, "notice-text")


async def accepted(view: View, member: Member) -> list[Designation]:
    """The designations by which the member's leads were named."""
    found = (await view.facts("designation", member.patients)).values()
    return [one for rows in found for one in map(Designation.of, rows) if one.status == "completed"]


def agreed(one: Assignment, named: Sequence[Designation], terms: Terms) -> Designation | None:
    """What the two organizations agreed on, by which somebody leads."""
    low = leading(one, terms.zone).low
    since = (found for found in named if found.lead == one.manager)
    return next((found for found in since if period.starts(found.since, terms.zone) == low), None)


# The form


async def forms(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Issue]:
    """Refuse to let a form say otherwise than the designation that stands on it."""
    if context.override is AS_RECORDED or not changes:
        return []
    found = await before.facts("designation", [change.reference for change in changes])
    issues: list[Issue] = []
    for change in changes:
        for one in map(Designation.of, found[change.reference]):
            if one.is_open or one.status == "completed":
                persons = await assignment.practitioners(after, [str(one.lead)])
                issues += await _form(after, one, change, programs, context, persons[str(one.lead)])
    return issues


async def _form(
    after: View, found: Designation, change: Change, programs: Programs, context: Context, person: str | None
) -> list[Issue]:
    terms = next((one for one in every(programs, micros(context.now)) if one.program.url == found.program), None)
    if terms is None:
        return []
    issues = await wrong(after, change.resource, found, terms, [str(found.patient)], person, context.base_url)
    hint = f" {found.task} stands on it; write down another decision on another form."
    return [refused(terms, why + hint, Place(change.reference, path)) for path, why in issues]
