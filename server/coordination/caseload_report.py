"""Caseload report: the numbers of one organization's case managers as of a date, or over a period.

Members / managers is the statewide average; only managers with a member who counts are counted. Limits are compared in
integers. What is above one is a breach only while that limit is in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from server.coordination import assignment, demographics, period
from server.coordination.assignment import Member
from server.coordination.facts import BASE, Assignment, Role
from server.coordination.period import Interval, Step
from server.coordination.program import Program, Rule
from server.coordination.programs import Programs
from server.fhir import body
from server.ledger import Resource, View

CAREER_START = f"{BASE}/StructureDefinition/cm-career-start"


class Breach(NamedTuple):
    """A limit that a number is above, and the first instant of the window at which it is."""

    program: Program
    rule: Rule
    number: int
    at: int
    managers: int | None = None  # of an average


class Held(NamedTuple):
    """One member of a manager, and for how many days, without a break; None where the start is not known."""

    patient: str
    days: int | None
    teams: tuple[str, ...]


@dataclass(slots=True)
class Line:
    """One case manager."""

    practitioner: str
    roles: list[str] = field(default_factory=list)
    name: str = ""
    held: list[Held] = field(default_factory=list)
    individuals: int = 0
    service_days: int | None = None
    peak: int = 0
    breaches: list[Breach] = field(default_factory=list)


@dataclass(slots=True)
class Report:
    """What one organization's report says as of an instant. `peak` numbers are of the window."""

    program: Program
    organization: str
    at: int
    members: int = 0
    lines: list[Line] = field(default_factory=list)
    unassigned: list[str] = field(default_factory=list)
    breaches: list[Breach] = field(default_factory=list)

    @property
    def managers(self) -> int:
        """Those with a member who counts on the date; a line may also be of one who was above a limit before."""
        return sum(bool(line.held) for line in self.lines)


@dataclass(slots=True)
class _Tally:
    """One person's members while they are gathered: when each counts, and those who do as of the date."""

    times: list[list[Interval]] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    roles: set[str] = field(default_factory=set)


async def report(
    view: View, organization: str, programs: Programs, wanted: Program, at: int, window: Interval
) -> Report:
    """Gather the facts in a handful of queries, whatever the number of members, and count."""
    patients = {fact.data for fact in (await view.facts("organization", [organization]))[organization]}
    found = await assignment.members(view, patients)
    members = list({id(member): member for member in found.values()}.values())
    roles = {one.manager for member in members for one in member.assignments if wanted.role in one.roles}
    persons = await assignment.practitioners(view, roles)
    made = Report(wanted, organization, at)
    tallies: dict[str, _Tally] = {}
    served: list[list[Interval]] = []
    for member in members:
        enrolled = assignment.enrolled_at(member, wanted).get(organization)
        if not enrolled:
            continue
        times = _tally(member, enrolled, persons, programs, wanted, at, tallies)
        served.append(times)
        if period.holds(times, at):
            made.members += 1
        elif period.holds(enrolled, at):
            made.unassigned.append(member.patient)
    made.unassigned.sort()
    staff = await _staff(view, tallies, found, wanted, organization, at)
    for person in sorted(tallies):
        line = await _line(view, person, tallies[person], staff[person], wanted, at)
        steps = period.steps(tallies[person].times)
        line.peak = max(step.number for step in period.within(steps, window))
        line.breaches = list(_breaches(programs, wanted, steps, window))
        if line.held or line.breaches:
            made.lines.append(line)
    holding = [period.union(interval for times in tally.times for interval in times) for tally in tallies.values()]
    made.breaches = list(_average_breaches(programs, wanted, period.steps(served), period.steps(holding), window))
    return made


class Total(NamedTuple):
    """The distinct members with a case manager, and their case managers, of several organizations together."""

    members: int
    managers: int


async def total(view: View, organizations: Iterable[str], programs: Programs, wanted: Program, at: int) -> Total:
    """Count as `report` does, whatever the organization; who works for two of them is one person."""
    enrolled = await view.facts("organization", organizations)
    found = await assignment.members(view, {fact.data for facts in enrolled.values() for fact in facts})
    members = list({id(member): member for member in found.values()}.values())
    roles = {one.manager for member in members for one in member.assignments if wanted.role in one.roles}
    persons = await assignment.practitioners(view, roles)
    number = 0
    managers: set[str] = set()
    for member in members:
        serving = assignment.serving(member, persons, programs, wanted)
        now = {person for person, intervals in serving.items() if period.holds(intervals, at)}
        number += bool(now)
        managers |= now
    return Total(number, len(managers))


def _tally(
    member: Member,
    enrolled: list[Interval],
    persons: Mapping[str, str | None],
    programs: Programs,
    wanted: Program,
    at: int,
    tallies: dict[str, _Tally],
) -> list[Interval]:
    """Add one member to each manager's tally; when the member counts for anybody."""
    by_person: dict[str, list[Assignment]] = {}
    for one in member.assignments:
        person = persons.get(one.manager)
        if person and wanted.role in one.roles:
            by_person.setdefault(person, []).append(one)
    times: list[Interval] = []
    for person, assignments in by_person.items():
        holding = assignment.holding(member, assignments, programs, wanted)
        counting = period.intersection(holding, enrolled)
        if not counting:
            continue
        tally = tallies.setdefault(person, _Tally())
        tally.times.append(counting)
        if period.holds(counting, at):
            tally.held.append(_held(member, assignments, wanted, at))
            tally.roles.update(one.manager for one in assignments)
        times += counting
    return period.union(times)


def _held(member: Member, assignments: list[Assignment], wanted: Program, at: int) -> Held:
    times = [(one, assignment.held(one, wanted.zone)) for one in assignments]
    together = period.union(interval for _, intervals in times for interval in intervals)
    low = next(interval.low for interval in together if interval.low <= at < interval.high)
    days = None if low == period.ALWAYS else period.days(low, at, wanted.zone)
    return Held(member.patient, days, tuple(sorted({one.team for one, held in times if period.holds(held, at)})))


class _Staff(NamedTuple):
    """A person's roles at the organization, and whom the person serves in them in whatever program."""

    roles: list[Role]
    individuals: set[str]


async def _staff(
    view: View,
    persons: Iterable[str],
    members: Mapping[str, Member],
    wanted: Program,
    organization: str,
    at: int,
) -> dict[str, _Staff]:
    rule = wanted.assignment
    serving = set(rule.parameters["individual-role"]) if rule else set()
    found = {
        person: [role for role in map(Role.of, rows) if role.organization in {None, organization}]
        for person, rows in (await view.facts("role", persons)).items()
    }
    held = await view.facts("manager", [role.reference for roles in found.values() for role in roles])
    staff = {}
    for person, roles in found.items():
        served = [
            one.member
            for role in roles
            for one in map(Assignment.of, held[role.reference])
            if not serving.isdisjoint(one.roles) and period.holds(assignment.held(one, wanted.zone), at)
        ]
        individuals = {members[member].patient if member in members else member for member in served}
        staff[person] = _Staff(roles, individuals)
    return staff


async def _line(view: View, person: str, tally: _Tally, staff: _Staff, wanted: Program, at: int) -> Line:
    line = Line(person, sorted(tally.roles.union(role.reference for role in staff.roles)), held=sorted(tally.held))
    line.individuals = len(staff.individuals.union(held.patient for held in line.held))
    resource = await _read(view, person)
    line.name = _name(resource)
    start = career_start(resource) or min((role.start for role in staff.roles if role.start), default=None)
    line.service_days = period.days(period.starts(start, wanted.zone), at, wanted.zone) if start else None
    return line


def _breaches(programs: Programs, wanted: Program, steps: list[Step], window: Interval) -> Iterable[Breach]:
    for in_force, version, rule in _caps(programs, wanted, window, "manager"):
        limit = rule.parameters["limit"]
        above = next((step for step in period.within(steps, in_force) if step.number > limit), None)
        if above:
            yield Breach(version, rule, above.number, above.at)


def _average_breaches(
    programs: Programs, wanted: Program, members: list[Step], managers: list[Step], window: Interval
) -> Iterable[Breach]:
    for in_force, version, rule in _caps(programs, wanted, window, "average"):
        limit = rule.parameters["limit"]
        for at in sorted({step.at for steps in (members, managers) for step in period.within(steps, in_force)}):
            number, of = period.count_at(members, at), period.count_at(managers, at)
            if number > limit * of:
                yield Breach(version, rule, number, at, of)
                break


def _caps(
    programs: Programs, wanted: Program, window: Interval, level: str
) -> Iterable[tuple[Interval, Program, Rule]]:
    for in_force, version, rule in programs.in_force("caseload-cap", window.low):
        limited = Interval(in_force.low, min(in_force.high, window.high))
        if version.url == wanted.url and rule.parameters["level"] == level and limited.low < limited.high:
            yield limited, version, rule


async def _read(view: View, reference: str) -> Resource:
    version = await view.read(*reference.split("/"))
    return body.parse(version.body).resource if version and version.body else {}


def career_start(person: Resource) -> str | None:
    """When somebody became a case manager: as an extension says it, else the earliest qualification."""
    said = [one.get("valueDate") for one in person.get("extension", ()) if one["url"] == CAREER_START]
    if said and said[0]:
        return str(said[0])
    starts = [one["period"]["start"] for one in person.get("qualification", ()) if one.get("period", {}).get("start")]
    return min(starts, default=None)


def _name(person: Resource) -> str:
    return next(map(demographics.name_text, person.get("name", ())), "")
