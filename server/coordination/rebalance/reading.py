"""Reading: the Situation of an organization at one ledger position, from facts, in few queries for each 5,000 members.

Who may be moved: members whose assignment is in force and has no end, who are in no open transfer, and whom no Flag
keeps. A member in transfer counts at the receiver, as the rules hold that place, and takes room at the sender until the
switch. Who is enrolled and has nobody, and who is said to be enrolling, needs a place: a placement, no move.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

from server.coordination import assignment, caseload, period, stored
from server.coordination.assignment import Member
from server.coordination.facts import Assignment, Need, Role
from server.coordination.kind import KINDS
from server.coordination.period import NEVER, Interval
from server.coordination.program import Program, Rule
from server.coordination.programs import Programs
from server.coordination.rebalance.situation import NOBODY, UNKNOWN, Manager, Situation, Weights
from server.coordination.rebalance.whereabouts import Whereabouts
from server.ledger import Resource, View

CHUNK = 5_000  # members that are read at a time
MONTH = 30.4375  # days
LIMITLESS = 1_000_000


class Hire(NamedTuple):
    """Case managers who are only supposed: how many, where, from when on (microseconds since the epoch)."""

    number: int = 1
    location: str | None = None
    start: int | None = None


class Enrolling(NamedTuple):
    """Members who are to come: how many, and where they live."""

    number: int = 1
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rebalancing is asked for, beyond what is."""

    organization: str
    limit: int | None = None
    average: int | None = None
    hires: Sequence[Hire] = ()
    leaving: frozenset[str] = frozenset()  # PractitionerRoles
    enrolling: Sequence[Enrolling] = ()
    released: frozenset[str] = frozenset()  # Patients who may be moved though a Flag keeps them


@dataclass(slots=True)
class Reading:
    """A Situation, and what its answer is worded with."""

    program: Program
    rule: Rule | None
    asked: Asked
    at: int
    limit: int
    ceiling: int  # the least limit from now on: nobody gets more than it allows
    average: int | None
    situation: Situation = field(default_factory=Situation)
    roles: list[str] = field(default_factory=list)  # by member: the PractitionerRole of now, or ""
    teams: list[str] = field(default_factory=list)  # by member: the CareTeam of now, or ""
    held: Counter[int] = field(default_factory=Counter)  # by manager, as of now
    notes: list[str] = field(default_factory=list)


class _Row(NamedTuple):
    """A member as one is read, before the managers have their numbers."""

    patient: str
    person: str | None  # who has the member, or gets it by a transfer
    here: str | None  # who has the member now
    role: str
    team: str
    months: int
    pinned: bool
    continuity: bool
    point: int
    area: int
    providers: list[int]
    load: int


async def read(view: View, programs: Programs, program: Program, asked: Asked, at: int) -> Reading:
    """The Situation as of an instant."""
    rule = next((one for one in program.rules if one.kind == "rebalance"), None)
    average = _least(programs, program, at, "average") if asked.average is None else asked.average
    limit = asked.limit if asked.limit is not None else _least(programs, program, at, "manager")
    limit = LIMITLESS if limit is None else limit
    ceiling = limit if asked.limit is not None else min([limit, *_to_come(programs, program, at)])
    made = Reading(program, rule, asked, at, limit, ceiling, average)
    reader = _Reader(view, programs, made)
    await reader.members()
    await reader.managers()
    reader.assemble()
    return made


def parameters(rule: Rule | None) -> Mapping[str, Any]:
    """The rule's parameters; the defaults where the program has no such rule."""
    if rule is not None:
        return rule.parameters
    return {name: one.default for name, one in KINDS["rebalance"].parameters.items()}


def _least(programs: Programs, program: Program, at: int, level: str) -> int | None:
    limits = [rule.parameters["limit"] for _, rule in caseload.limits(programs, program.url, at, level)]
    return min(limits, default=None)


def _to_come(programs: Programs, program: Program, at: int) -> Iterator[int]:
    for _, version, rule in programs.in_force("caseload-cap", at):
        if version.url == program.url and rule.parameters["level"] == "manager" and rule.severity == "block":
            yield rule.parameters["limit"]


class _Reader:
    """Reads members first, then whoever has them or may get them, and puts both together."""

    def __init__(self, view: View, programs: Programs, made: Reading) -> None:
        self.view, self.programs, self.made = view, programs, made
        self.where = Whereabouts(made.situation.points, made.situation.areas)
        self.given = parameters(made.rule)
        self.loads = {part.code: part.parameters["workload"] for part in made.rule.parts} if made.rule else {}
        self.holders: dict[str, Role | None] = {}  # by PractitionerRole
        self.rows: list[_Row] = []
        self.reserved: Counter[str] = Counter()  # by person: places that begin later, or are of other programs
        self.uses: dict[str, Counter[str]] = {}  # person -> how many members are held in each role
        self.roles: dict[str, list[Role]] = {}
        self.names: dict[str, str] = {}

    # -- members

    async def members(self) -> None:
        facts = await self.view.facts("organization", [self.made.asked.organization])
        patients = sorted({fact.data for fact in facts[self.made.asked.organization]})
        seen: set[str] = set()
        for chunk in _chunks(patients, CHUNK):
            found = await assignment.members(self.view, chunk)
            distinct = {member.patient: member for member in found.values() if member.patient not in seen}
            seen |= distinct.keys()
            await self._chunk([distinct[patient] for patient in sorted(distinct)])
        self.rows.sort(key=lambda row: row.patient)

    async def _chunk(self, members: Sequence[Member]) -> None:
        role = self.made.program.role
        named = {one.manager for member in members for one in member.assignments if role in one.roles}
        named |= {transfer.receiver for member in members for transfer in member.transfers}
        if missing := named - self.holders.keys():
            for reference, rows in (await self.view.facts("role", missing)).items():
                self.holders[reference] = Role.of(rows[0]) if rows else None
        patients = {patient for member in members for patient in member.patients}
        homes = await self.where.homes(self.view, patients, self.made.at)
        services = await self.where.services(self.view, patients, self.made.at, self.made.program.zone)
        needs = await self.view.facts("need", patients)
        for member in members:
            records = [member.patient, *(one for one in member.patients if one != member.patient)]
            home = next((homes[one] for one in records if homes[one][0] != UNKNOWN), homes[member.patient])
            providers = [point for one in records for point in services[one]]
            needing = [Need.of(fact) for one in records for fact in needs[one]]
            self._member(member, home, providers, needing)

    def _member(self, member: Member, home: tuple[int, int], providers: list[int], needs: Sequence[Need]) -> None:
        made = self.made
        at, program = made.at, made.program
        enrolled = assignment.enrolled_at(member, program).get(made.asked.organization)
        if not enrolled:
            return
        now: tuple[str, list[Assignment], int] | None = None
        later = False
        for person, assignments in self._by_person(member).items():
            holding = assignment.holding(member, assignments, self.programs, program)
            for low, high in period.intersection(holding, enrolled):
                if low <= at < high:
                    now = person, assignments, high
                elif low > at:
                    later = True
                    self.reserved[person] += 1
        if not period.holds(enrolled, at):
            return
        continuity = self._needs_continuity(needs)
        load = self._load(needs)
        common = (*home, providers, load)
        if now is None:
            if not later:
                self.rows.append(_Row(member.patient, None, None, "", "", 0, False, False, *common))
            return
        person, assignments, high = now
        current = next(one for one in assignments if period.holds(assignment.held(one, program.zone), at))
        moving = next((one for one in member.transfers if one.program == program.url), None)
        is_kept = continuity and not made.asked.released.intersection(member.patients)
        receiver = self._person(moving.receiver) if moving else None
        pinned = is_kept or moving is not None or later or high < NEVER
        holder = receiver or person
        months = self._months(assignments)
        self.rows.append(
            _Row(member.patient, holder, person, current.manager, current.team, months, pinned, continuity, *common)
        )
        self.uses.setdefault(person, Counter())[current.manager] += 1

    def _by_person(self, member: Member) -> dict[str, list[Assignment]]:
        found: dict[str, list[Assignment]] = {}
        for one in member.assignments:
            person = self._person(one.manager)
            if person and self.made.program.role in one.roles:
                found.setdefault(person, []).append(one)
        return found

    def _person(self, role: str) -> str | None:
        holder = self.holders.get(role)
        return holder.practitioner if holder else None

    def _months(self, assignments: Sequence[Assignment]) -> int:
        """How long a person has a member now, as the report counts it."""
        at, zone = self.made.at, self.made.program.zone
        starts = {one.manager: holder.start for one in assignments if (holder := self.holders[one.manager])}
        low = next(low for low, high in assignment.together(assignments, zone) if low <= at < high)
        low = assignment.since(low, assignments, starts, at, zone)
        return 0 if low == period.ALWAYS else int(period.days(low, at, zone) / MONTH)

    def _needs_continuity(self, needs: Sequence[Need]) -> bool:
        zone = self.made.program.zone
        flags = (period.between(need.start, need.end, zone) for need in needs if not need.levels)
        return period.holds(list(flags), self.made.at)

    def _load(self, needs: Sequence[Need]) -> int:
        """The weighted workload by the latest level that the program's file weighs."""
        zone = self.made.program.zone
        weighed = [
            (period.starts(need.start, zone), need.source, self.loads[level])
            for need in needs
            for level in need.levels
            if level in self.loads and period.starts(need.start, zone) <= self.made.at
        ]
        return int(max(weighed)[2]) if weighed else int(self.given["workload"])

    # -- managers

    async def managers(self) -> None:
        organization = self.made.asked.organization
        staff = [Role.of(fact) for fact in (await self.view.facts("staff", [organization]))[organization]]
        fit = [role for role in staff if role.practitioner and self.made.program.role in role.codes]
        persons = {role.practitioner for role in fit if role.practitioner} | self.reserved.keys()
        persons |= {row.person for row in self.rows if row.person} | {row.here for row in self.rows if row.here}
        for person, rows in (await self.view.facts("role", persons)).items():
            self.roles[person] = sorted(map(Role.of, rows))
        await self._elsewhere(persons)
        locations = {one for roles in self.roles.values() for role in roles for one in role.locations}
        locations |= {hire.location for hire in self.made.asked.hires if hire.location}
        locations |= {one.location for one in self.made.asked.enrolling if one.location}
        await self.where.locations(self.view, locations)
        self.names = {person: _name(one) for person, one in (await stored.read_many(self.view, persons)).items()}

    async def _elsewhere(self, persons: Collection[str]) -> None:
        """Where a cap counts the members of every program, those of the others keep their places."""
        made, known = self.made, self.programs
        caps = caseload.limits(known, made.program.url, made.at, "manager")
        rule = next((rule for _, rule in caps if rule.parameters["counted"] == "all"), None)
        if rule is None:
            return
        own = Counter(row.here for row in self.rows)
        coming = Counter(row.person for row in self.rows if row.person != row.here)
        for person, held in (await caseload.caseloads(self.view, persons)).items():
            lists = caseload.counts(held, known, made.program, rule, made.at).get(made.asked.organization, [])
            most = max(
                (step.number for step in period.within(period.steps(lists), Interval(made.at, NEVER))), default=0
            )
            self.reserved[person] = max(self.reserved[person], most - own[person] - coming[person])

    def _is_fit(self, role: Role) -> bool:
        """May get members: at the organization, as the program's case manager, active, and not about to leave."""
        made = self.made
        return (
            role.organization == made.asked.organization and made.program.role in role.codes and self._is_active(role)
        )

    def _own(self, roles: Sequence[Role], used: Mapping[str, int]) -> list[Role]:
        """In which a person has members here, or may: who goes on elsewhere, or as something else, leaves."""
        made = self.made
        return [
            role
            for role in roles
            if role.reference in used
            or (role.organization == made.asked.organization and made.program.role in role.codes)
        ]

    def _is_active(self, role: Role) -> bool:
        held = [period.between(role.start, role.end, self.made.program.zone)]
        return role.active and role.reference not in self.made.asked.leaving and period.holds(held, self.made.at)

    # -- together

    def assemble(self) -> None:
        made, situation = self.made, self.made.situation
        names = ("move", "month", "months", "continuity", "mile", "provider-mile", "new-manager")
        situation.weights = Weights(*(int(self.given[name]) for name in names))
        situation.weighted = self.given["workload-limit"] is not None
        situation.full, situation.full_load = made.limit, self.given["workload-limit"] or 0
        persons = sorted(self.roles)
        number = {person: index for index, person in enumerate(persons)}
        here = Counter(row.here for row in self.rows if row.here)
        here_load = Counter[str]()
        coming = Counter(row.person for row in self.rows if row.person and row.person != row.here)
        coming_load = Counter[str]()
        for row in self.rows:
            if row.here:
                here_load[row.here] += row.load
            if row.person and row.person != row.here:
                coming_load[row.person] += row.load
        for person in persons:
            taken = here[person] + coming[person], here_load[person] + coming_load[person]
            situation.managers.append(self._manager(person, *taken))
            made.held[number[person]] = here[person]
        situation.managers += self._hires()
        for row in self.rows:
            manager = NOBODY if row.person is None else number[row.person]
            if row.pinned and manager != NOBODY and situation.managers[manager].leaves and row.here != row.person:
                manager = number[row.here] if row.here else manager
                made.notes.append(f"{row.patient} is in transfer to {row.person}, who leaves: cancel that transfer.")
            self._add(row, manager)
        for number_of, one in enumerate(made.asked.enrolling, 1):
            self._add_enrolling(number_of, one)
        if made.average:
            situation.least = math.ceil(len(situation.members) / made.average)
        self._note()

    def _add(self, row: _Row, manager: int) -> None:
        self.made.situation.members.add(
            row.patient,
            manager,
            months=row.months,
            pinned=row.pinned,
            continuity=row.continuity,
            point=row.point,
            providers=row.providers,
            load=row.load,
            area=row.area,
        )
        self.made.roles.append(row.role)
        self.made.teams.append(row.team)

    def _add_enrolling(self, number: int, one: Enrolling) -> None:
        points = self.where.at([one.location]) if one.location else ()
        area = self.where.area(self.where.area_of([one.location]) or None) if one.location else UNKNOWN
        for index in range(one.number):
            patient = f"enrolling {number}.{index + 1}"
            point = points[0] if points else UNKNOWN
            load = int(self.given["workload"])
            self._add(_Row(patient, None, None, "", "", 0, False, False, point, area, [], load), NOBODY)

    def _manager(self, person: str, taken: int, taken_load: int) -> Manager:
        """A person with the places that are left. `taken` are all who are or come here, who may still go included."""
        made, roles, others = self.made, self.roles[person], self.reserved[person]
        fit = [role for role in roles if self._is_fit(role)]
        used = self.uses.get(person, Counter())
        leaves = not any(self._is_active(role) for role in self._own(roles, used) or roles)
        role = min(fit or roles, key=lambda one: (-used[one.reference], one.reference), default=None)
        is_new = bool(fit) and self._is_new(min(period.starts(one.start, made.program.zone) for one in fit))
        limit = self._limit(is_new)
        load_limit = made.situation.full_load
        locations = role.locations if role else []
        return Manager(
            role.reference if role else person,
            person,
            self.names.get(person, person),
            keeps=0 if leaves else max(0, limit - others),
            room=max(0, min(limit, made.ceiling) - others - taken) if fit and not leaves else 0,
            points=self.where.at(locations),
            is_new=is_new,
            leaves=leaves,
            others=others,
            load_keeps=0 if leaves else max(0, load_limit - others),
            load_room=max(0, load_limit - others - taken_load) if fit and not leaves else 0,
            area=self.where.area_of(locations),
        )

    def _is_new(self, start: int) -> bool:
        days = self.given["new-manager-days"]
        return start != period.ALWAYS and period.days(start, self.made.at, self.made.program.zone) < days

    def _limit(self, is_new: bool) -> int:
        least = self.given["new-manager-limit"] if is_new else None
        return self.made.limit if least is None else min(self.made.limit, int(least))

    def _hires(self) -> Iterator[Manager]:
        made, load = self.made, self.made.situation.full_load
        for number, hire in enumerate(made.asked.hires, 1):
            is_new = hire.start is None or self._is_new(hire.start)
            points = self.where.at([hire.location]) if hire.location else ()
            area = self.where.area_of([hire.location]) if hire.location else ""
            limit = self._limit(is_new)
            for index in range(hire.number):
                name = f"hire {number}.{index + 1}"
                yield Manager(
                    name, name, name, limit, limit, points, is_new, load_keeps=load, load_room=load, area=area
                )

    def _note(self) -> None:
        members, managers = self.made.situation.members, self.made.situation.managers
        nowhere = sum(point == UNKNOWN for point in members.point)
        if nowhere:
            self.made.notes.append(f"Of {nowhere} members no position is known: their distances cost nothing.")
        here = {role.reference for roles in self.roles.values() for role in roles}
        for role in sorted(self.made.asked.leaving - here):
            self.made.notes.append(f"{role} is no case manager here: that somebody leaves it changes nothing.")
        lost = sum(not manager.points for manager in managers)
        if lost:
            self.made.notes.append(
                f"Of {lost} case managers no location has a position: distances to them cost nothing."
            )


def _chunks(found: Sequence[str], size: int) -> Iterator[list[str]]:
    rest = iter(found)
    while chunk := list(islice(rest, size)):
        yield chunk


def _name(person: Resource) -> str:
    for name in person.get("name", ()):
        parts = [*name.get("prefix", ()), *name.get("given", ()), name.get("family", "")]
        return str(name.get("text") or " ".join(filter(None, parts)))
    return f"Practitioner/{person['id']}"
