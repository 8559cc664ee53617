"""Assigning a case manager: one CareTeam.participant with a role and a period.

Changing it means to close it and to add another. https://hl7.org/fhir/R4/careteam.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member, held, in_program
from server.coordination.facts import BASE, PROGRAM_EXTENSION, Assignment, Role, Team
from server.coordination.period import Interval
from server.coordination.program.program import Program, Rule
from server.coordination.program.programs import Programs, active
from server.coordination.write import Place, refusal
from server.fhir import body
from server.fhir.body import Body
from server.ledger import Change, Plan, Resource, View
from server.outcome import Issue, Problem

ASSIGNMENT_REASON = f"{BASE}/StructureDefinition/assignment-reason"
STANDS = "stands"  # the output where nothing changes


@dataclass(frozen=True, slots=True)
class Wanted:
    """What $assign-care-manager is asked for; references are local, dates as the client wrote them."""

    patient: str
    program: str
    manager: str
    start: str | None = None
    end: str | None = None
    reason: Resource | None = None


class _Place(NamedTuple):
    """Where an assignment goes: the member, the rule that it is made under, and when it holds."""

    member: Member
    program: Program
    rule: Rule
    when: Interval
    persons: Mapping[str, str | None]


async def assign(view: View, wanted: Wanted, now: int, new_id: str, *, is_handoff: bool = False) -> Plan:
    """One commit that makes the manager the member's; its first change is the team that says so.

    At the end of a handoff whoever is in place is replaced; else only where the program lets that be done directly.
    """
    place = await _place(view, wanted, now)
    others, own = _in_place(wanted, place)
    ended = list(others)
    if others and not is_handoff:
        _check_change(wanted, place, others)
    for one in own:
        if one.manager == wanted.manager and _period(one, place).low <= place.when.low:
            return await _until(view, one, place)
        if _period(one, place).low >= place.when.low:
            raise Problem.conflict(
                f"{wanted.patient} is to be with {one.manager} from {one.start} on, as {one.team} says. Let this one "
                "end there, or change that one first."
            )
        ended.append(one)
    teams: dict[str, Resource] = {}
    for one in sorted(ended, key=lambda one: one.place, reverse=True):  # what is dropped moves those after it
        if _period(one, place).low >= place.when.low:
            await _drop(view, teams, one)
        else:
            await _end(view, teams, one, _text(place.when.low, place))
    team = await _team(view, teams, wanted, place, new_id)
    team["participant"] = [*team.get("participant", ()), _participant(wanted, place)]
    rest = [other for reference, other in teams.items() if reference != f"CareTeam/{team['id']}"]
    return Plan([_put(changed) for changed in (team, *rest)])


async def _place(view: View, wanted: Wanted, now: int) -> _Place:
    programs = await active(view)
    chosen, when = _when(wanted, programs, now)
    found = await assignment.members(view, [wanted.patient])
    member = found[wanted.patient]
    rule = chosen.assignment
    if rule is None:
        raise _unprocessable(f"{chosen.canonical} has no case managers", "program")
    if not period.intersection(in_program(member, chosen), [when]):
        text = f"{wanted.patient} has no episode of {chosen.title} in that time; enrol the member by an EpisodeOfCare."
        raise Problem.with_issues("business_rule", [refusal(chosen, rule, text, Place("", _parameter("program")))])
    named = [one.manager for one in member.assignments]
    roles = await view.facts("role", {wanted.manager, *named})
    _check_role(wanted, [Role.of(fact) for fact in roles[wanted.manager]], chosen, when)
    persons = {role: Role.of(rows[0]).practitioner if rows else None for role, rows in roles.items()}
    place = _Place(member, chosen, rule, when, persons)
    return place._replace(when=_after_former(wanted, place, now))


def _when(wanted: Wanted, programs: Programs, now: int) -> tuple[Program, Interval]:
    """The program in force at the start, and the time asked for."""
    zone = programs.near(programs.meant(wanted.program), now).zone
    low = period.starts(wanted.start, zone) if wanted.start else period.midnight(period.day(now, zone), zone)
    chosen = programs.chosen(wanted.program, low)
    when = Interval(low, period.ends(wanted.end, chosen.zone))
    if when.high <= when.low:
        raise Problem.invalid("The assignment ends before it starts", _parameter("end"))
    return chosen, when


def _check_role(wanted: Wanted, roles: Sequence[Role], chosen: Program, when: Interval) -> None:
    if not roles:
        raise _unprocessable(f"There is no {wanted.manager}", "manager")
    role = roles[0]
    if role.practitioner is None:
        raise _unprocessable(f"{wanted.manager} names no Practitioner of this server", "manager")
    if not role.active or not period.holds([period.between(role.start, role.end, chosen.zone)], when.low):
        raise _unprocessable(f"{wanted.manager} is not active at that time", "manager")


def _after_former(wanted: Wanted, place: _Place, now: int) -> Interval:
    """A day as the start is that day's first instant, or where somebody else's time ended on it, that instant."""
    if wanted.start is not None and len(wanted.start) > 10:
        return place.when
    low, high = place.when
    next_day = period.ends(period.day(low, place.program.zone).isoformat(), place.program.zone)
    ends = [_period(one, place).high for one in _in_place(wanted, place)[0]]
    latest = max(ends, default=low)
    return Interval(latest, high) if low < latest <= min(now, next_day) and latest < high else place.when


def _in_place(wanted: Wanted, place: _Place) -> tuple[list[Assignment], list[Assignment]]:
    """Who has the member at some time of it: (others, the same person)."""
    there = [
        one
        for one in place.member.assignments
        if place.program.role in one.roles and period.intersection(held(one, place.program.zone), [place.when])
    ]
    person = place.persons[wanted.manager]
    own = [one for one in there if place.persons[one.manager] == person]
    return [one for one in there if one not in own], own


def _check_change(wanted: Wanted, place: _Place, others: Sequence[Assignment]) -> None:
    """Another manager is replaced by $handoff, unless the program says that it can be done directly."""
    other = others[0]
    who = f"{other.manager} has {wanted.patient} from {other.start or 'the beginning'} on, as {other.team} says"
    if not place.rule.parameters["direct-change"]:
        raise Problem.conflict(f"{who}; a change of case managers is Patient/$handoff", _parameter("manager"))
    if wanted.reason is None:
        raise Problem.of("required", f"{who}; a change of case managers needs a reason", _parameter("reason"))
    if any(_period(one, place).low >= place.when.low for one in others):
        raise Problem.conflict(f"{who}; let this one end there, or change that one first", _parameter("end"))


async def _until(view: View, one: Assignment, place: _Place) -> Plan:
    """The same assignment, with the end that is asked for; nothing changes where it has that already."""
    if _period(one, place).high == place.when.high:
        stored = await _stored(view, one.team)
        id = stored.resource["id"]
        return Plan([Change("PUT", "CareTeam", id, stored.resource, stored.text(id))], STANDS)
    teams: dict[str, Resource] = {}
    await _end(view, teams, one, None if place.when.high == period.NEVER else _text(place.when.high, place))
    return Plan([_put(teams[one.team])])


async def _end(view: View, teams: dict[str, Resource], one: Assignment, end: str | None) -> None:
    """Set or take away the end of one participant."""
    team = teams[one.team] if one.team in teams else await _read(view, one.team)
    participants = list(team["participant"])
    changed = dict(participants[one.place])
    changed["period"] = {name: at for name, at in (*changed.get("period", {}).items(), ("end", end)) if at is not None}
    if end is None:
        changed["period"].pop("end", None)
    participants[one.place] = changed
    teams[one.team] = {**team, "participant": participants}


async def _drop(view: View, teams: dict[str, Resource], one: Assignment) -> None:
    """Take out a participant who was to begin later, and now never does."""
    team = teams[one.team] if one.team in teams else await _read(view, one.team)
    left = [other for place, other in enumerate(team["participant"]) if place != one.place]
    rest = {name: value for name, value in team.items() if name != "participant"}
    teams[one.team] = rest | ({"participant": left} if left else {})


async def _team(view: View, teams: dict[str, Resource], wanted: Wanted, place: _Place, new_id: str) -> Resource:
    """The member's team for the program: the one that had the last assignment, or is for it; else a new one."""
    url = place.program.url
    organizations = [
        one.organization
        for one in place.member.enrolments
        if one.organization and not place.program.types.isdisjoint(one.types)
    ]
    latest = {one.team: _period(one, place).low for one in place.member.assignments if place.program.role in one.roles}
    suitable = [
        team
        for team in await _teams(view, place.member)
        if team.status in {None, "active"}
        and (not team.programs or url in team.programs)
        and (team.reference in latest or url in team.programs or set(organizations) & set(team.organizations))
    ]
    if not suitable:
        return _new_team(wanted, place, organizations, new_id)
    best = max(
        suitable, key=lambda team: (latest.get(team.reference, period.ALWAYS), url in team.programs, team.reference)
    )
    return teams[best.reference] if best.reference in teams else await _read(view, best.reference)


async def _teams(view: View, member: Member) -> list[Team]:
    found = await view.facts("team", member.patients)
    return [Team.of(fact) for facts in found.values() for fact in facts]


def _new_team(wanted: Wanted, place: _Place, organizations: Sequence[str], new_id: str) -> Resource:
    team: Resource = {
        "resourceType": "CareTeam",
        "id": new_id,
        "extension": [{"url": PROGRAM_EXTENSION, "valueCanonical": place.program.url}],
        "status": "active",
        "subject": {"reference": place.member.patient},
    }
    if organizations:
        team["managingOrganization"] = [{"reference": organizations[0]}]
    return team


def _participant(wanted: Wanted, place: _Place) -> Resource:
    system, _, code = (place.program.role or "").partition("|")
    when = {"start": _text(place.when.low, place)}
    if place.when.high != period.NEVER:
        when["end"] = _text(place.when.high, place)
    participant: dict[str, Any] = {
        "role": [{"coding": [{"system": system, "code": code}]}],
        "member": {"reference": wanted.manager},
        "period": when,
    }
    if wanted.reason is not None:
        participant["extension"] = [{"url": ASSIGNMENT_REASON, "valueCodeableConcept": wanted.reason}]
    return participant


async def _read(view: View, reference: str) -> Resource:
    return (await _stored(view, reference)).resource


async def _stored(view: View, reference: str) -> Body:
    version = await view.read(*reference.split("/"))
    assert version, "a fact is of a current resource"
    assert version.body, "a fact is of a resource that is there"
    return body.parse(version.body)


def _put(team: Resource) -> Change:
    return Change("PUT", "CareTeam", team["id"], team, Body.of(team).text(team["id"]))


def _period(one: Assignment, place: _Place) -> Interval:
    return period.between(one.start, one.end, place.program.zone)


def _text(at: int, place: _Place) -> str:
    return period.text(at, place.program.zone)


def _parameter(name: str) -> str:
    return f"Parameters.parameter.where(name='{name}')"


def _unprocessable(diagnostics: str, name: str) -> Problem:
    return Problem.with_issues("unprocessable", [Issue("not-found", diagnostics, (_parameter(name),))])
