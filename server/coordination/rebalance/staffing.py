"""Staffing: the case managers of an organization, who has room, who is new, who leaves, and the hires supposed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence

from server.coordination import period, stored
from server.coordination.caseload import caseload
from server.coordination.communication import demographics
from server.coordination.facts import Role
from server.coordination.period import NEVER, Interval
from server.coordination.program.programs import Programs
from server.coordination.rebalance.panel import Panel
from server.coordination.rebalance.situation import Manager
from server.coordination.rebalance.terms import Terms
from server.coordination.rebalance.whereabouts import Whereabouts
from server.ledger import View


class Staffing:
    """Reads whoever has members of a Panel, or may get some."""

    def __init__(self, view: View, programs: Programs, terms: Terms, where: Whereabouts, panel: Panel) -> None:
        self.view, self.programs, self.terms, self.where, self.panel = view, programs, terms, where, panel
        self.given = terms.given
        self.load_limit: int = self.given["workload-limit"] or 0
        self.reserved = panel.reserved.copy()  # places of other programs too
        self.roles: dict[str, list[Role]] = {}  # by person
        self.names: dict[str, str] = {}

    async def read(self) -> None:
        organization = self.terms.asked.organization
        staff = [Role.of(fact) for fact in (await self.view.facts("staff", [organization]))[organization]]
        fit = [role for role in staff if role.practitioner and self.terms.program.role in role.codes]
        persons = {role.practitioner for role in fit if role.practitioner} | self.reserved.keys()
        persons |= {one for row in self.panel.rows for one in (row.here, row.person) if one}
        for person, rows in (await self.view.facts("role", persons)).items():
            self.roles[person] = sorted(map(Role.of, rows))
        await self._elsewhere(persons)
        locations = {one for roles in self.roles.values() for role in roles for one in role.locations}
        locations |= {hire.location for hire in self.terms.asked.hires if hire.location}
        locations |= {one.location for one in self.terms.asked.enrolling if one.location}
        await self.where.locations(self.view, locations)
        for person, one in (await stored.read_many(self.view, persons)).items():
            self.names[person] = demographics.name(one.get("name"), self.terms.at, self.terms.program.zone)

    async def _elsewhere(self, persons: Collection[str]) -> None:
        """Where a cap counts the members of every program, those of the others keep their places."""
        terms, known = self.terms, self.programs
        caps = caseload.limits(known, terms.program.url, terms.at, "manager")
        rule = next((rule for _, rule in caps if rule.parameters["counted"] == "all"), None)
        if rule is None:
            return
        own = Counter(row.here for row in self.panel.rows)
        coming = Counter(row.person for row in self.panel.rows if row.person != row.here)
        for person, held in (await caseload.caseloads(self.view, persons)).items():
            lists = caseload.counts(held, known, terms.program, rule, terms.at).get(terms.asked.organization, [])
            steps = period.within(period.steps(lists), Interval(terms.at, NEVER))
            most = max((step.number for step in steps), default=0)
            self.reserved[person] = max(self.reserved[person], most - own[person] - coming[person])

    def _is_here(self, role: Role) -> bool:
        return role.organization == self.terms.asked.organization and self.terms.program.role in role.codes

    def _is_fit(self, role: Role) -> bool:
        """May get members: at the organization, as the program's case manager, active, and not about to leave."""
        return self._is_here(role) and self._is_active(role)

    def _own(self, roles: Sequence[Role], used: Mapping[str, int]) -> list[Role]:
        """In which a person has members here, or may: who goes on elsewhere, or as something else, leaves."""
        return [role for role in roles if role.reference in used or self._is_here(role)]

    def _is_active(self, role: Role) -> bool:
        held = [period.between(role.start, role.end, self.terms.program.zone)]
        return role.active and role.reference not in self.terms.asked.leaving and period.holds(held, self.terms.at)

    def manager(self, person: str, taken: int, taken_load: int) -> Manager:
        """A person with the places that are left. `taken` are all who are or come here, who may still go included."""
        terms, roles, others = self.terms, self.roles[person], self.reserved[person]
        fit = [role for role in roles if self._is_fit(role)]
        used = self.panel.uses.get(person, Counter())
        leaves = not any(self._is_active(role) for role in self._own(roles, used) or roles)
        role = min(fit or roles, key=lambda one: (-used[one.reference], one.reference), default=None)
        is_new = bool(fit) and self._is_new(min(period.starts(one.start, terms.program.zone) for one in fit))
        limit = self._limit(is_new)
        locations = role.locations if role else []
        return Manager(
            role.reference if role else person,
            person,
            self.names.get(person) or person,
            keeps=0 if leaves else max(0, limit - others),
            room=max(0, min(limit, terms.ceiling) - others - taken) if fit and not leaves else 0,
            points=self.where.at(locations),
            is_new=is_new,
            leaves=leaves,
            others=others,
            load_keeps=0 if leaves else max(0, self.load_limit - others),
            load_room=max(0, self.load_limit - others - taken_load) if fit and not leaves else 0,
            area=self.where.area_of(locations),
        )

    def _is_new(self, start: int) -> bool:
        days = self.given["new-manager-days"]
        return start != period.ALWAYS and period.days(start, self.terms.at, self.terms.program.zone) < days

    def _limit(self, is_new: bool) -> int:
        least = self.given["new-manager-limit"] if is_new else None
        return self.terms.limit if least is None else min(self.terms.limit, int(least))

    def hires(self) -> Iterator[Manager]:
        """Those who are only supposed, each a manager with all places."""
        load = self.load_limit
        for number, hire in enumerate(self.terms.asked.hires, 1):
            is_new = hire.start is None or self._is_new(hire.start)
            at = [hire.location] if hire.location else []
            points, area = self.where.at(at), self.where.area_of(at)
            limit = self._limit(is_new)
            for index in range(hire.number):
                name = f"hire {number}.{index + 1}"
                yield Manager(
                    name, name, name, limit, limit, points, is_new, load_keeps=load, load_room=load, area=area
                )
