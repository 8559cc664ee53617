"""Panel: the members of an organization in a program, whom each has as case manager, and what is known of them.

Who may be moved: members whose assignment is in force and has no end, who are in no open transfer, and whom no Flag
keeps. A member in transfer counts at the receiver, as the rules hold that place, and takes room at the sender until the
switch. Who is enrolled and has nobody needs a place: a placement, no move.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import Assignment, Need, Role
from server.coordination.period import NEVER, Interval
from server.coordination.program.programs import Programs
from server.coordination.rebalance.situation import UNKNOWN
from server.coordination.rebalance.terms import Terms
from server.coordination.rebalance.whereabouts import Whereabouts
from server.ledger import View

CHUNK = 5_000  # members that are read at a time
MONTH = 30.4375  # days


class Row(NamedTuple):
    """A member, before the case managers have their numbers."""

    patient: str
    point: int
    area: int
    providers: list[int]
    load: int
    person: str | None = None  # who has the member, or gets it by a transfer
    here: str | None = None  # who has the member now
    role: str = ""
    team: str = ""
    months: int = 0
    pinned: bool = False
    continuity: bool = False


class _Held(NamedTuple):
    """Who has a member now, by which assignments, and until when."""

    person: str
    assignments: list[Assignment]
    until: int


class Panel:
    """Reads the members, in few queries for each chunk of them."""

    def __init__(self, view: View, programs: Programs, terms: Terms, where: Whereabouts) -> None:
        self.view, self.programs, self.terms, self.where = view, programs, terms, where
        rule, self.given = terms.rule, terms.given
        self.loads = {part.code: part.parameters["workload"] for part in rule.parts} if rule else {}
        self.holders: dict[str, Role | None] = {}  # by PractitionerRole
        self.rows: list[Row] = []
        self.reserved: Counter[str] = Counter()  # by person: places that begin later
        self.uses: dict[str, Counter[str]] = {}  # person -> how many members are held in each role

    async def read(self) -> None:
        facts = await self.view.facts("organization", [self.terms.asked.organization])
        patients = sorted({fact.data for fact in facts[self.terms.asked.organization]})
        seen: set[str] = set()
        for chunk in _chunks(patients, CHUNK):
            found = await assignment.members(self.view, chunk)
            distinct = {member.patient: member for member in found.values() if member.patient not in seen}
            seen |= distinct.keys()
            await self._chunk([distinct[patient] for patient in sorted(distinct)])
        self.rows.sort(key=lambda row: row.patient)

    async def _chunk(self, members: Sequence[Member]) -> None:
        await self._read_holders(members)
        patients = {patient for member in members for patient in member.patients}
        homes = await self.where.homes(self.view, patients, self.terms.at)
        services = await self.where.services(self.view, patients, self.terms.at, self.terms.program.zone)
        needs = await self.view.facts("need", patients)
        for member in members:
            records = [member.patient, *(one for one in member.patients if one != member.patient)]
            point, area = next((homes[one] for one in records if homes[one][0] != UNKNOWN), homes[member.patient])
            providers = [place for one in records for place in services[one]]
            needing = [Need.of(fact) for one in records for fact in needs[one]]
            self._add(member, Row(member.patient, point, area, providers, self._load(needing)), needing)

    async def _read_holders(self, members: Sequence[Member]) -> None:
        role = self.terms.program.role
        named = {one.manager for member in members for one in member.assignments if role in one.roles}
        named |= {transfer.receiver for member in members for transfer in member.transfers}
        if missing := named - self.holders.keys():
            for reference, rows in (await self.view.facts("role", missing)).items():
                self.holders[reference] = Role.of(rows[0]) if rows else None

    def _add(self, member: Member, row: Row, needs: Sequence[Need]) -> None:
        terms = self.terms
        enrolled = assignment.enrolled_at(member, terms.program).get(terms.asked.organization)
        if not enrolled:
            return
        held, later = self._held(member, enrolled)
        if not period.holds(enrolled, terms.at):
            return
        if held is not None:
            self.rows.append(self._with_holder(member, row, held, later, self._needs_continuity(needs)))
        elif not later:
            self.rows.append(row)

    def _held(self, member: Member, enrolled: list[Interval]) -> tuple[_Held | None, bool]:
        """Who has the member now; and whether somebody will have, whose place is kept."""
        found, later, at = None, False, self.terms.at
        for person, assignments in self._by_person(member).items():
            holding = assignment.holding(member, assignments, self.programs, self.terms.program)
            for low, high in period.intersection(holding, enrolled):
                if low <= at < high:
                    found = _Held(person, assignments, high)
                elif low > at:
                    later = True
                    self.reserved[person] += 1
        return found, later

    def _with_holder(self, member: Member, row: Row, held: _Held, later: bool, continuity: bool) -> Row:
        program, at = self.terms.program, self.terms.at
        now = next(one for one in held.assignments if period.holds(assignment.held(one, program.zone), at))
        moving = next((one for one in member.transfers if one.program == program.url), None)
        receiver = self._person(moving.receiver) if moving else None
        is_kept = continuity and not self.terms.asked.released.intersection(member.patients)
        self.uses.setdefault(held.person, Counter())[now.manager] += 1
        return row._replace(
            person=receiver or held.person,
            here=held.person,
            role=now.manager,
            team=now.team,
            months=self._months(held.assignments),
            pinned=is_kept or moving is not None or later or held.until < NEVER,
            continuity=continuity,
        )

    def _by_person(self, member: Member) -> dict[str, list[Assignment]]:
        found: dict[str, list[Assignment]] = {}
        for one in member.assignments:
            person = self._person(one.manager)
            if person and self.terms.program.role in one.roles:
                found.setdefault(person, []).append(one)
        return found

    def _person(self, role: str) -> str | None:
        holder = self.holders.get(role)
        return holder.practitioner if holder else None

    def _months(self, assignments: Sequence[Assignment]) -> int:
        """How long a person has a member now, as the report counts it."""
        at, zone = self.terms.at, self.terms.program.zone
        starts = {one.manager: holder.start for one in assignments if (holder := self.holders[one.manager])}
        low = next(low for low, high in assignment.together(assignments, zone) if low <= at < high)
        low = assignment.since(low, assignments, starts, at, zone)
        return 0 if low == period.ALWAYS else int(period.days(low, at, zone) / MONTH)

    def _needs_continuity(self, needs: Sequence[Need]) -> bool:
        zone = self.terms.program.zone
        flags = (period.between(need.start, need.end, zone) for need in needs if not need.levels)
        return period.holds(list(flags), self.terms.at)

    def _load(self, needs: Sequence[Need]) -> int:
        """The weighted workload by the latest level that the program's file weighs."""
        zone = self.terms.program.zone
        weighed = [
            (period.starts(need.start, zone), need.source, self.loads[level])
            for need in needs
            for level in need.levels
            if level in self.loads and period.starts(need.start, zone) <= self.terms.at
        ]
        return int(max(weighed)[2]) if weighed else int(self.given["workload"])


def _chunks(found: Sequence[str], size: int) -> Iterator[list[str]]:
    rest = iter(found)
    while chunk := list(islice(rest, size)):
        yield chunk
