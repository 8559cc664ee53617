"""Caseload report: the numbers of one organization's case managers as of a date, or over a period.

Limits are compared in integers. What is above one is a breach only while that limit is in force.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

from server.coordination import period, stored
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.caseload import breach, census
from server.coordination.caseload.breach import Breach
from server.coordination.caseload.census import Census, Served
from server.coordination.communication import demographics
from server.coordination.facts import BASE, Assignment, Role
from server.coordination.period import Interval, Step
from server.coordination.program.program import Program
from server.coordination.program.programs import Programs
from server.ledger import Resource, View

CAREER_START = f"{BASE}/StructureDefinition/cm-career-start"


class Held(NamedTuple):
    """One member of a manager, since when and for how many days, without a break; None where that is not known."""

    patient: str
    days: int | None
    since: int | None
    teams: tuple[str, ...]


@dataclass(slots=True)
class Line:
    """One case manager. `individuals` are all whom the person serves at the organization, in whatever program."""

    practitioner: str
    roles: list[str] = field(default_factory=list)
    name: str = ""
    held: list[Held] = field(default_factory=list)
    individuals: list[str] = field(default_factory=list)
    service_days: int | None = None  # since the start in the profession
    employment_days: int | None = None  # since the start at the organization
    peak: int = 0  # of the window
    breaches: list[Breach] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)  # how many members, over time
    serving: Callable[[], Iterable[list[Interval]]] = tuple  # when each individual is served, for who asks

    def individual_steps(self) -> list[Step]:
        """How many individuals, over time."""
        return period.steps(self.serving())


@dataclass(slots=True)
class Report:
    """What one organization's report says as of an instant; breaches and peaks are of the window."""

    program: Program
    organization: str
    at: int
    window: Interval
    counted: Census
    members: int = 0
    lines: list[Line] = field(default_factory=list)
    unassigned: list[str] = field(default_factory=list)
    breaches: list[Breach] = field(default_factory=list)

    @property
    def managers(self) -> int:
        """Those with a member who counts on the date; a line may also be of one who had members before."""
        return sum(bool(line.held) for line in self.lines)


class Total(NamedTuple):
    """The distinct members with a case manager, and their case managers, of several organizations together."""

    members: int
    managers: int


class Reports(NamedTuple):
    """The reports of some organizations, and the total of all that were counted."""

    every: list[Report]
    total: Total
    counted: list[Census]

    def let_go(self) -> None:
        for one in self.counted:
            one.let_go()


async def reports(
    view: View,
    organizations: Iterable[str],
    programs: Programs,
    wanted: Program,
    at: int,
    window: Interval,
    beside: Iterable[str] = (),
) -> Reports:
    """Gather the facts in a handful of queries, whatever the number of members, and count.

    Organizations `beside` these are only in the total.
    """
    reported = set(organizations)
    found, members = await census.census(view, reported.union(beside), programs, wanted)
    own = [one for organization, one in sorted(found.items()) if organization in reported]
    staff = await _staff(view, {person for one in own for person in one.managers}, members, wanted)
    known = _Known(staff, await stored.read_many(view, staff))
    every = [await _report(view, one, programs, wanted, at, window, known) for one in own]
    return Reports(every, _total(found.values(), at), list(found.values()))


def _total(found: Iterable[Census], at: int) -> Total:
    """Who is in two organizations, or works for two, is one person."""
    members: set[int] = set()
    persons: set[str] = set()
    for counted in found:
        members.update(id(one.member) for one in counted.members if period.holds(one.served, at))
        for person, served in counted.managers.items():
            if any(period.holds(one.times, at) for one in served):
                persons.add(person)
    return Total(len(members), len(persons))


class _Known(NamedTuple):
    """What the reports of one answer share: each person's roles and whom they serve, and the Practitioners read."""

    staff: Mapping[str, _Staff]
    persons: Mapping[str, Resource]


async def _report(
    view: View, counted: Census, programs: Programs, wanted: Program, at: int, window: Interval, known: _Known
) -> Report:
    made = Report(wanted, counted.organization, at, window, counted)
    for one in counted.members:
        if period.holds(one.served, at):
            made.members += 1
        elif period.holds(one.enrolled, at):
            made.unassigned.append(one.member.patient)
    made.unassigned.sort()
    loads = counted.loads()
    breached = await breach.of_managers(view, counted.organization, programs, wanted.url, loads, window)
    for person, steps in loads.items():
        served, breaches = counted.managers[person], breached[person]
        peak = max(step.number for step in period.within(steps, window))
        there = [each for each in served if period.holds(each.times, at)]
        if peak or breaches or there:
            line = _line(person, served, there, made, known)
            line.steps, line.peak, line.breaches = steps, peak, breaches
            made.lines.append(line)
    averages = breach.caps(programs, wanted.url, "average")
    made.breaches = breach.of_average(averages, counted.member_steps(), counted.manager_steps(), window)
    return made


def _line(person: str, served: list[Served], there: list[Served], made: Report, known: _Known) -> Line:
    wanted, at = made.program, made.at
    staff = known.staff[person]
    own = [role for role in staff.roles if role.organization in {None, made.organization}]
    starts = {role.reference: role.start for role in staff.roles}
    used = {one.manager for each in there for one in each.assignments}
    others = [each for role in own for each in staff.served.get(role.reference, ())]
    line = Line(
        person,
        sorted(used.union(role.reference for role in own)),
        held=sorted(_held(each, starts, wanted, at) for each in there),
        individuals=_individuals(there, others, wanted, at),
        serving=partial(_serving, served, others, wanted),
    )
    resource = known.persons.get(person, {})
    line.name = _name(resource)
    employed = min((role.start for role in own if role.start), default=None)
    line.employment_days = _days(employed, wanted, at)
    line.service_days = _days(career_start(resource) or employed, wanted, at)
    return line


_Others = list[tuple[str, Assignment]]  # individuals, and the assignments that make them so


def _individuals(there: list[Served], others: _Others, wanted: Program, at: int) -> list[str]:
    """Whom a person serves at an instant: the members who count, and who else has them in a role that makes it so."""
    found = {each.member.patient for each in there}
    for patient, one in others:
        if patient not in found and period.holds(assignment.held(one, wanted.zone), at):
            found.add(patient)
    return sorted(found)


def _serving(served: list[Served], others: _Others, wanted: Program) -> Iterable[list[Interval]]:
    """When a person serves each individual."""
    found = {each.member.patient: list(each.times) for each in served}
    for patient, one in others:
        found.setdefault(patient, []).extend(assignment.held(one, wanted.zone))
    return map(period.union, found.values())


def _days(start: str | None, wanted: Program, at: int) -> int | None:
    return period.days(period.starts(start, wanted.zone), at, wanted.zone) if start else None


def _held(served: Served, starts: Mapping[str, str | None], wanted: Program, at: int) -> Held:
    low = next(low for low, high in served.held if low <= at < high)
    low = assignment.since(low, served.assignments, starts, at, wanted.zone)
    teams = {one.team for one in served.assignments}
    if len(teams) > 1:
        teams = {one.team for one in served.assignments if period.holds(assignment.held(one, wanted.zone), at)}
    if low == period.ALWAYS:
        return Held(served.member.patient, None, None, tuple(teams))
    return Held(served.member.patient, period.days(low, at, wanted.zone), low, tuple(sorted(teams)))


class _Staff(NamedTuple):
    """A person's roles, and by role each assignment that makes somebody an individual whom the person serves."""

    roles: list[Role]
    served: dict[str, list[tuple[str, Assignment]]]


async def _staff(
    view: View, persons: Iterable[str], members: Mapping[str, Member], wanted: Program
) -> dict[str, _Staff]:
    rule = wanted.assignment
    serving = set(rule.parameters["individual-role"]) if rule else set()
    found = {person: list(map(Role.of, rows)) for person, rows in (await view.facts("role", persons)).items()}
    held = await view.facts("manager", [role.reference for roles in found.values() for role in roles])
    served: dict[str, list[tuple[str, Assignment]]] = {}
    for role, rows in held.items():
        for one in map(Assignment.of, rows):
            if not serving.isdisjoint(one.roles):
                patient = members[one.member].patient if one.member in members else one.member
                served.setdefault(role, []).append((patient, one))
    return {person: _Staff(roles, served) for person, roles in found.items()}


def career_start(person: Resource) -> str | None:
    """When somebody became a case manager: as an extension says it, else the earliest qualification."""
    said = [one.get("valueDate") for one in person.get("extension", ()) if one["url"] == CAREER_START]
    if said and said[0]:
        return str(said[0])
    starts = [one["period"]["start"] for one in person.get("qualification", ()) if one.get("period", {}).get("start")]
    return min(starts, default=None)


def _name(person: Resource) -> str:
    return next(map(demographics.name_text, person.get("name", ())), "")
