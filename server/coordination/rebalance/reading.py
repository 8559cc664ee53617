"""Reading: the Situation of an organization at one ledger position, from facts, in few queries for each 5,000 members.

Members come from the Panel, case managers from the Staffing; who is said to be enrolling needs a place too.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field

from server.coordination.program.program import Program
from server.coordination.program.programs import Programs
from server.coordination.rebalance.panel import Panel, Row
from server.coordination.rebalance.situation import NOBODY, UNKNOWN, Situation, Weights
from server.coordination.rebalance.staffing import Staffing
from server.coordination.rebalance.terms import Asked, Enrolling, Terms
from server.coordination.rebalance.whereabouts import Whereabouts
from server.ledger import View

WEIGHTS = ("move", "month", "months", "continuity", "mile", "provider-mile", "new-manager")


@dataclass(slots=True)
class Reading:
    """A Situation, and what its answer is worded with."""

    terms: Terms
    situation: Situation = field(default_factory=Situation)
    roles: list[str] = field(default_factory=list)  # by member: the PractitionerRole of now, or ""
    teams: list[str] = field(default_factory=list)  # by member: the CareTeam of now, or ""
    held: Counter[int] = field(default_factory=Counter)  # by manager, as of now
    notes: list[str] = field(default_factory=list)


async def read(view: View, programs: Programs, program: Program, asked: Asked, at: int) -> Reading:
    """The Situation as of an instant."""
    made = Reading(Terms.of(programs, program, asked, at))
    where = Whereabouts(made.situation.points, made.situation.areas)
    panel = Panel(view, programs, made.terms, where)
    await panel.read()
    staffing = Staffing(view, programs, made.terms, where, panel)
    await staffing.read()
    _Assembly(made, where, panel, staffing).assemble()
    return made


@dataclass(slots=True)
class _Assembly:
    """Puts both together, where everybody has a number."""

    made: Reading
    where: Whereabouts
    panel: Panel
    staffing: Staffing
    number: dict[str, int] = field(default_factory=dict)  # of each person

    def assemble(self) -> None:
        terms, situation, given = self.made.terms, self.made.situation, self.made.terms.given
        situation.weights = Weights(*(int(given[name]) for name in WEIGHTS))
        situation.weighted = given["workload-limit"] is not None
        situation.full, situation.full_load = terms.limit, given["workload-limit"] or 0
        self._managers()
        for row in self.panel.rows:
            self._add(row, self._manager(row))
        for number, one in enumerate(terms.asked.enrolling, 1):
            self._add_enrolling(number, one)
        if terms.average:
            situation.least = math.ceil(len(situation.members) / terms.average)
        self._note()

    def _managers(self) -> None:
        """Each with the members and the load of who is here, and of who comes."""
        here, taken, load = Counter[str](), Counter[str](), Counter[str]()
        for row in self.panel.rows:
            if row.here and row.person:
                here[row.here] += 1
                for person in {row.here, row.person}:
                    taken[person] += 1
                    load[person] += row.load
        for index, person in enumerate(sorted(self.staffing.roles)):
            self.number[person] = index
            self.made.situation.managers.append(self.staffing.manager(person, taken[person], load[person]))
            self.made.held[index] = here[person]
        self.made.situation.managers += self.staffing.hires()

    def _manager(self, row: Row) -> int:
        """Who has a member, or gets it by an open transfer."""
        if row.person is None:
            return NOBODY
        index = self.number[row.person]
        if row.here is None or row.here == row.person or not self.made.situation.managers[index].leaves:
            return index
        self.made.notes.append(f"{row.patient} is in transfer to {row.person}, who leaves: cancel that transfer.")
        return self.number[row.here]

    def _add(self, row: Row, manager: int) -> None:
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
        at = [one.location] if one.location else []
        point = next(iter(self.where.at(at)), UNKNOWN)
        area = self.where.area(self.where.area_of(at) or None)
        load = int(self.made.terms.given["workload"])
        for index in range(one.number):
            self._add(Row(f"enrolling {number}.{index + 1}", point, area, [], load), NOBODY)

    def _note(self) -> None:
        members, managers, notes = self.made.situation.members, self.made.situation.managers, self.made.notes
        if nowhere := sum(point == UNKNOWN for point in members.point):
            notes.append(f"Of {nowhere} members no position is known: their distances cost nothing.")
        here = {role.reference for roles in self.staffing.roles.values() for role in roles}
        for role in sorted(self.made.terms.asked.leaving - here):
            notes.append(f"{role} is no case manager here: that somebody leaves it changes nothing.")
        if lost := sum(not manager.points for manager in managers):
            notes.append(f"Of {lost} case managers no location has a position: distances to them cost nothing.")
