"""Census: who counts as whose member at an organization, over all time.

Gathered once, in a handful of queries whatever the number of members; every number of a report, as of whatever instant,
is read off it. Members / managers is the statewide average; a manager counts while a member of theirs does.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import Assignment
from server.coordination.period import Interval, Step
from server.coordination.program.program import Program
from server.coordination.program.programs import Programs
from server.ledger import View


class Served(NamedTuple):
    """A member of one manager: the assignments that this manager has, when they hold, and when the member counts."""

    member: Member
    assignments: list[Assignment]
    held: list[Interval]
    times: list[Interval]


class Enrolled(NamedTuple):
    """A member of the organization: when enrolled there, and when with a case manager too."""

    member: Member
    enrolled: list[Interval]
    served: list[Interval]


@dataclass(slots=True)
class Census:
    """One organization's members and managers in a program."""

    organization: str
    members: list[Enrolled] = field(default_factory=list)
    managers: dict[str, list[Served]] = field(default_factory=dict)  # by Practitioner

    def loads(self) -> dict[str, list[Step]]:
        """How many members each case manager has, over time."""
        return {person: period.steps(one.times for one in served) for person, served in sorted(self.managers.items())}

    def member_steps(self) -> list[Step]:
        """How many members have a case manager, over time."""
        return period.steps(one.served for one in self.members)

    def manager_steps(self) -> list[Step]:
        """How many case managers have a member, over time."""
        return period.steps(
            period.union(interval for one in served for interval in one.times) for served in self.managers.values()
        )

    def unassigned_steps(self) -> list[Step]:
        """How many members have no case manager, over time."""
        return period.steps(period.difference(one.enrolled, one.served) for one in self.members)

    def let_go(self) -> None:
        """Forget everybody, one by one: to free 30,000 members at once stops all threads for a quarter of a second."""
        for served in self.managers.values():
            while served:
                served.pop()
        while self.members:
            member = self.members.pop().member
            member.assignments.clear()
            member.enrolments.clear()


async def census(
    view: View, organizations: Iterable[str], programs: Programs, wanted: Program
) -> tuple[dict[str, Census], dict[str, Member]]:
    """The census of each organization, and the Member of each Patient in one of them."""
    enrolled = await view.facts("organization", organizations)
    found = await assignment.members(view, {fact.data for facts in enrolled.values() for fact in facts})
    members = list({id(member): member for member in found.values()}.values())
    roles = {one.manager for member in members for one in member.assignments if wanted.role in one.roles}
    persons = await assignment.practitioners(view, roles)
    made = {organization: Census(organization) for organization in enrolled}
    for member in members:
        at = assignment.enrolled_at(member, wanted)
        held = _held(member, persons, programs, wanted) if at else {}
        for organization, times in at.items():
            if organization in made:
                _count(made[organization], member, times, held)
    return made, found


class _Holding(NamedTuple):
    assignments: list[Assignment]
    held: list[Interval]
    times: list[Interval]  # as far as they are ones of the program


_Held = dict[str, _Holding]


def _held(member: Member, persons: Mapping[str, str | None], programs: Programs, wanted: Program) -> _Held:
    """Each person's assignments of the member in the program, and when they hold."""
    by_person: dict[str, list[Assignment]] = {}
    for one in member.assignments:
        person = persons.get(one.manager)
        if person and wanted.role in one.roles:
            by_person.setdefault(person, []).append(one)
    found: _Held = {}
    for person, assignments in by_person.items():
        first, *rest = assignments
        held = assignment.held(first, wanted.zone)
        if rest:
            others = (interval for one in rest for interval in assignment.held(one, wanted.zone))
            held = period.union([*held, *others])
        is_named = any(one.programs for one in assignments)
        times = assignment.holding(member, assignments, programs, wanted) if is_named else held
        found[person] = _Holding(assignments, held, times)
    return found


def _count(made: Census, member: Member, enrolled: list[Interval], held: _Held) -> None:
    served: list[Interval] = []
    for person, holding in held.items():
        counting = period.intersection(holding.times, enrolled)
        if counting:
            of_manager = made.managers.setdefault(person, [])
            of_manager.append(Served(member, holding.assignments, holding.held, counting))
            served += counting
    made.members.append(Enrolled(member, enrolled, served if len(served) == 1 else period.union(served)))
