"""Caseload report: the numbers of one organization's case managers as of a date, or over a period.

Members / managers is the statewide average; only managers with a member who counts are counted. Limits are compared in
integers. What is above one is a breach only while that limit is in force.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from server.coordination import assignment, period, program
from server.coordination.assignment import COUNTED, Manager, Member, counted, enrolled
from server.coordination.care_manager import together
from server.coordination.facts import BASE, Assignment
from server.coordination.period import Interval, Step
from server.coordination.program import Program, Programs, Rule
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
    """One person's members while they are gathered."""

    members: dict[int, list[Assignment]] = field(default_factory=dict)  # by id(Member)
    times: list[list[Interval]] = field(default_factory=list)
    now: list[Member] = field(default_factory=list)


async def report(
    view: View, organization: str, programs: Programs, wanted: Program, at: int, window: Interval
) -> Report:
    """Gather the facts in a handful of queries, whatever the number of members, and count."""
    patients = {fact.data for fact in (await view.facts("organization", [organization]))[organization]}
    found = await assignment.members(view, patients)
    members = {id(member): member for member in found.values()}
    roles = {one.manager for member in members.values() for one in member.assignments if wanted.role in one.roles}
    persons = await assignment.practitioners(view, roles)
    made = Report(wanted, organization, at)
    tallies: dict[str, _Tally] = {}
    served: list[list[Interval]] = []
    for member in members.values():
        times = _tally(member, persons, programs, wanted, organization, at, tallies)
        if times:
            served.append(times)
        if period.holds(times, at):
            made.members += 1
        elif _is_enrolled(member, wanted, organization, at):
            made.unassigned.append(member.patient)
    made.unassigned.sort()
    managers = await assignment.managers(view, tallies)
    for person in sorted(tallies):
        line = await _line(view, managers[person], tallies[person], found, wanted, organization, at)
        steps = period.steps(tallies[person].times)
        line.peak = max(step.number for step in period.within(steps, window))
        line.breaches = list(_breaches(programs, wanted, steps, window))
        if line.held or line.breaches:
            made.lines.append(line)
    holding = [period.union(interval for times in tally.times for interval in times) for tally in tallies.values()]
    made.breaches = list(_average_breaches(programs, wanted, period.steps(served), period.steps(holding), window))
    return made


def _tally(
    member: Member,
    persons: Mapping[str, str | None],
    programs: Programs,
    wanted: Program,
    organization: str,
    at: int,
    tallies: dict[str, _Tally],
) -> list[Interval]:
    """Add one member to each manager's tally; when the member counts for anybody."""
    by_person: dict[str, list[Assignment]] = {}
    for one in member.assignments:
        person = persons.get(one.manager)
        if person:
            by_person.setdefault(person, []).append(one)
    times: list[Interval] = []
    for person, assignments in by_person.items():
        counting = counted(member, assignments, programs, wanted).get(organization)
        if not counting:
            continue
        tally = tallies.setdefault(person, _Tally())
        tally.times.append(counting)
        if period.holds(counting, at):
            tally.now.append(member)
            tally.members[id(member)] = assignments
        times += counting
    return period.union(times)


def _is_enrolled(member: Member, wanted: Program, organization: str, at: int) -> bool:
    return any(
        one.organization == organization
        and not wanted.types.isdisjoint(one.types)
        and period.holds(enrolled(one, wanted.zone, COUNTED), at)
        for one in member.enrolments
    )


async def _line(
    view: View,
    manager: Manager,
    tally: _Tally,
    members: Mapping[str, Member],
    wanted: Program,
    organization: str,
    at: int,
) -> Line:
    line = Line(manager.practitioner)
    here = [role for role in manager.roles.values() if role.organization in {None, organization}]
    used = {one.manager for assignments in tally.members.values() for one in assignments}
    line.roles = sorted(used | {role.reference for role in here})
    line.held = sorted(_held(member, tally.members[id(member)], wanted, at) for member in tally.now)
    line.individuals = len(
        _individuals(manager, members, wanted, {role.reference for role in here}, at).union(
            member.patient for member in tally.now
        )
    )
    person = await _read(view, manager.practitioner)
    line.name = _name(person)
    start = career_start(person) or min((role.start for role in here if role.start), default=None)
    line.service_days = period.days(period.starts(start, wanted.zone), at, wanted.zone) if start else None
    return line


def _held(member: Member, assignments: list[Assignment], wanted: Program, at: int) -> Held:
    there = [one for one in assignments if wanted.role in one.roles]
    low = next(interval.low for interval in together(there, wanted.zone) if interval.low <= at < interval.high)
    days = None if low == period.ALWAYS else period.days(low, at, wanted.zone)
    teams = {one.team for one in there if period.holds(assignment.held(one, wanted.zone), at)}
    return Held(member.patient, days, tuple(sorted(teams)))


def _individuals(manager: Manager, members: Mapping[str, Member], wanted: Program, here: set[str], at: int) -> set[str]:
    """Everybody whom a person serves at the organization, in whatever program."""
    rule = wanted.assignment
    serving = set(rule.parameters["individual-role"]) if rule else set()
    return {
        members[one.member].patient if one.member in members else one.member
        for one in manager.assignments
        if one.manager in here
        and not serving.isdisjoint(one.roles)
        and period.holds(assignment.held(one, wanted.zone), at)
    }


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
    for name in person.get("name", ()):
        parts: list[Any] = [*name.get("prefix", ()), *name.get("given", ()), name.get("family", "")]
        return str(name.get("text") or " ".join(filter(None, parts)))
    return ""


async def named(view: View, canonical: str, at: int) -> tuple[Programs, Program | None]:
    """The programs, and the one that is meant: in force at the instant, or the next to be."""
    programs = await program.programs(view)
    url = programs.named(canonical)
    return programs, programs.near(url, at) if url else None
