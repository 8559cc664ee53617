"""Caseload: how many members one case manager holds, and the caps on it.

What counts: distinct members for one Practitioner (all PractitionerRoles of that person) x the organization that
manages the episode x program. A commit is refused only where, at some instant from the request's on, it raises
somebody's count and the result exceeds a limit in force then.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import ACTIVE, Manager, Member, counted, held, in_program, reserved
from server.coordination.facts import Assignment, Role, Transfer
from server.coordination.period import Interval, Step
from server.coordination.program.program import Program, Rule
from server.coordination.program.programs import Programs
from server.coordination.write import Write, refusal
from server.ledger import View
from server.outcome import Issue


@dataclass(slots=True)
class Caseload:
    """A case manager, and each member with the assignments that this manager holds."""

    manager: Manager
    members: list[tuple[Member, list[Assignment]]]
    reserved: list[tuple[Member, Transfer]] = field(default_factory=list)  # by transfers that are open


async def caseloads(view: View, practitioners: Iterable[str]) -> dict[str, Caseload]:
    """Everything that counts for these persons."""
    return await _with_members(view, await assignment.managers(view, practitioners))


async def _with_members(view: View, managers: Mapping[str, Manager]) -> dict[str, Caseload]:
    patients = {one.member for manager in managers.values() for one in manager.assignments}
    patients |= {one.patient for manager in managers.values() for one in manager.transfers}
    members = await assignment.members(view, patients)
    return {
        person: Caseload(
            manager,
            grouped(manager.assignments, members),
            [(members[one.patient], one) for one in manager.transfers],
        )
        for person, manager in managers.items()
    }


def grouped(assignments: Iterable[Assignment], members: Mapping[str, Member]) -> list[tuple[Member, list[Assignment]]]:
    """Assignments by whom they are of; merged records are one member."""
    found: dict[int, tuple[Member, list[Assignment]]] = {}
    for one in assignments:
        member = members[one.member]
        found.setdefault(id(member), (member, []))[1].append(one)
    return list(found.values())


def counts(
    caseload: Caseload, programs: Programs, program: Program, rule: Rule, at: int
) -> dict[str, list[list[Interval]]]:
    """For each organization, when each member counts under a cap."""
    counting = [program]
    if rule.parameters["counted"] == "all":
        counting += [programs.near(url, at) for url in programs if url != program.url]
    times: dict[int, dict[str, list[Interval]]] = {}
    for one in counting:
        for member, assignments in caseload.members:
            _add(times, member, counted(member, assignments, programs, one))
        for member, transfer in caseload.reserved:
            _add(times, member, reserved(member, transfer, one))
    found: dict[str, list[list[Interval]]] = {}
    for when in times.values():
        for organization, intervals in when.items():
            found.setdefault(organization, []).append(period.union(intervals))
    return found


def _add(times: dict[int, dict[str, list[Interval]]], member: Member, counting: Mapping[str, list[Interval]]) -> None:
    when = times.setdefault(id(member), {})
    for organization, intervals in counting.items():
        when.setdefault(organization, []).extend(intervals)


# The cap


class Cap(NamedTuple):
    """A limit, and when it is in force."""

    window: Interval
    program: Program
    rule: Rule

    @property
    def limit(self) -> int:
        return int(self.rule.parameters["limit"])


class _Load(NamedTuple):
    """One person's members at one organization, over time."""

    person: str
    organization: str
    steps: list[Step]


async def capped(write: Write) -> list[Issue]:
    """Refuse what raises somebody's count above a limit."""
    caps = [
        Cap(*found)
        for found in write.programs.in_force("caseload-cap", write.now)
        if found[2].severity == "block" and (write.of_type("Task") or found[2].is_triggered(write.changes))
    ]
    if not caps:
        return []
    managers = await assignment.managers(write.after, await _concerned(write))
    least = min(cap.limit for cap in caps)
    near = {person: one for person, one in managers.items() if _most(write, one) > least}
    if not near:
        return []
    after = await _with_members(write.after, near)
    above = [(cap, load) for cap in caps for load in _loads(after, write, cap) if _is_above(load, cap)]
    if not above:
        return []
    before = await caseloads(write.before, near)
    issues = []
    for cap, load in above:
        was = next((one.steps for one in _loads(before, write, cap) if one[:2] == load[:2]), [])
        breach = _first_breach(load.steps, was, cap)
        if breach and not await write.overrides(cap.rule):
            issues.append(
                _refused(write, cap, load, after[load.person].manager, breach, period.count_at(was, breach.at))
            )
    return issues


def _loads(caseloads: Mapping[str, Caseload], write: Write, cap: Cap) -> Iterator[_Load]:
    for person, caseload in caseloads.items():
        found = counts(caseload, write.programs, cap.program, cap.rule, cap.window.low)
        for organization, lists in found.items():
            yield _Load(person, organization, period.steps(lists))


def _is_above(load: _Load, cap: Cap) -> bool:
    return any(step.number > cap.limit for step in period.within(load.steps, cap.window))


async def _concerned(write: Write) -> set[str]:
    """The persons whose count the commit may raise: those who now hold one of its members."""
    persons = await write.persons()
    concerned = set()
    for member in write.distinct():
        for one in member.assignments:
            person = persons[one.manager]
            if person and _may_count(write, one):
                concerned.add(person)
        concerned |= {person for one in member.transfers if (person := persons[one.receiver])}
    return concerned


def _may_count(write: Write, one: Assignment) -> bool:
    """False only where the assignment counts in no program from now on. A day ends last at Baker Island, UTC-12."""
    if one.error or write.programs.roles.isdisjoint(one.roles):
        return False
    return one.end is None or period.ends(one.end, "Etc/GMT+12") > write.now


def _most(write: Write, manager: Manager) -> int:
    """No fewer members than can count from now on."""
    members = {one.member for one in manager.assignments if _may_count(write, one)}
    return len(members.union(one.patient for one in manager.transfers))


def _first_breach(after: list[Step], before: list[Step], cap: Cap) -> Step | None:
    """The first instant at which the count is above the limit, and above what it was."""
    instants = sorted({step.at for steps in (after, before) for step in period.within(steps, cap.window)})
    for at in instants:
        number = period.count_at(after, at)
        if number > cap.limit and number > period.count_at(before, at):
            return Step(at, number)
    return None


def _refused(write: Write, cap: Cap, load: _Load, manager: Manager, breach: Step, was: int) -> Issue:
    zone = cap.program.zone
    there = _holding(manager, breach.at, cap.program)
    teams = sorted({one.team for one in there}.intersection(change.reference for change in write.changes))
    by = f" by {' and '.join(teams)}" if teams else ""
    text = (
        f"{load.person} would have {breach.number} members of {load.organization} in {cap.program.title} on "
        f"{period.day(breach.at, zone)}{by}; the limit is {cap.limit}, and {was} are there without this change. "
        f"{_accepted(write, load, cap, breach)}{write.hint(cap.rule)}"
    )
    return refusal(cap.program, cap.rule, text, *write.places(there))


def _accepted(write: Write, load: _Load, cap: Cap, breach: Step) -> str:
    """What would be accepted in the place of what is refused."""
    steps = [step for step in period.within(load.steps, cap.window) if step.at >= breach.at]
    last = max((index for index, step in enumerate(steps) if step.number > cap.limit), default=0)
    found = ["another case manager", "one member fewer for this one"]
    if last + 1 < len(steps):
        found.append(f"a start from {period.text(steps[last + 1].at, cap.program.zone)} on")
    if breach.at > write.now:
        found.append(f"an end by {period.text(breach.at, cap.program.zone)}")
    return f"Accepted: {' or '.join(found)}."


def _holding(manager: Manager, at: int, program: Program) -> list[Assignment]:
    return [
        one for one in manager.assignments if program.role in one.roles and period.holds(held(one, program.zone), at)
    ]


def limits(programs: Programs, url: str, at: int, level: str) -> Iterator[tuple[Program, Rule]]:
    """The caps of a program that are in force at an instant."""
    for window, program, rule in programs.in_force("caseload-cap", at):
        if program.url == url and window.low == at and rule.parameters["level"] == level:
            yield program, rule


# What one manager has


class Holding(NamedTuple):
    """A manager's caseload as of an instant."""

    members: list[str]  # Patients
    reserved: int  # places of planned episodes, of assignments that begin later, and of transfers to this manager
    limit: int | None
    remaining: int | None


async def holding(view: View, role: str, programs: Programs, program: Program, at: int) -> Holding:
    """What the person in a role has at the role's organization, or where most of the person's members are."""
    person = (await assignment.practitioners(view, [role]))[role]
    caseload = (await caseloads(view, [person]))[person] if person else Caseload(Manager(role), [])
    times: dict[str, list[tuple[Member, list[Interval]]]] = {}
    for member, assignments in caseload.members:
        for organization, intervals in counted(member, assignments, programs, program).items():
            times.setdefault(organization, []).append((member, intervals))
    coming: dict[str, set[str]] = {}
    for member, transfer in caseload.reserved:
        for organization in reserved(member, transfer, program):
            coming.setdefault(organization, set()).add(member.patient)
    own = caseload.manager.roles[role].organization if role in caseload.manager.roles else None
    organization = own if own in times or own in coming else max(times, key=lambda one: len(times[one]), default="")
    there = times.get(organization, [])
    active = {
        member.patient
        for member, intervals in there
        if period.holds(intervals, at) and period.holds(in_program(member, program, ACTIVE), at)
    }
    later = {member.patient for member, intervals in there if intervals[-1].high > at}
    later = (later | coming.get(organization, set())) - active
    caps = [rule.parameters["limit"] for _, rule in limits(programs, program.url, at, "manager")]
    limit = min(caps, default=None)
    return Holding(sorted(active), len(later), limit, remaining(programs, program, caseload, organization, at))


def remaining(programs: Programs, program: Program, caseload: Caseload, organization: str, at: int) -> int | None:
    """How many more would be accepted, open-ended, from an instant on: the least room at any time from then."""
    rooms = []
    for window, version, rule in programs.in_force("caseload-cap", at):
        if version.url == program.url and rule.parameters["level"] == "manager" and rule.severity == "block":
            lists = counts(caseload, programs, version, rule, window.low).get(organization, [])
            rooms += [rule.parameters["limit"] - step.number for step in period.within(period.steps(lists), window)]
    return max(0, min(rooms)) if rooms else None


async def programs_of(view: View, role: str, programs: Programs) -> list[str]:
    """The programs in which the person in a role has members, or is to get some."""
    person = (await assignment.practitioners(view, [role]))[role]
    caseload = (await caseloads(view, [person])).get(person) if person else None
    if caseload is None:
        return []
    return [url for url in programs if any(_is_in(caseload, programs, dated.program) for dated in programs.by_url[url])]


def _is_in(caseload: Caseload, programs: Programs, program: Program) -> bool:
    return any(counted(member, assignments, programs, program) for member, assignments in caseload.members) or any(
        reserved(member, transfer, program) for member, transfer in caseload.reserved
    )


async def programs_open_to(view: View, role: str, programs: Programs) -> list[str]:
    """The programs whose case managers have a code of the role; of a role without such a code, all with managers."""
    found = [Role.of(fact) for fact in (await view.facts("role", [role]))[role]]
    codes = {code for one in found for code in one.codes}
    managers = {url: {dated.program.role for dated in programs.by_url[url]} - {None} for url in programs}
    fitting = [url for url, roles in managers.items() if roles & codes]
    return fitting or [url for url, roles in managers.items() if roles]
