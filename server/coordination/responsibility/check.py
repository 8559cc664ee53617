"""Check: by what a member is checked: between which two organizations, by which table, over which time.

So many members are checked at a few questions, whether a write concerns one or a roster has a hundred thousand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import NamedTuple

from server.coordination import period
from server.coordination.agreement import agreement
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.lead.terms import Pair, Terms, of, pairs
from server.coordination.lead.who import organizations
from server.coordination.period import Interval
from server.coordination.program.program import Program, Rule
from server.coordination.program.programs import Programs, active
from server.coordination.responsibility.item import DAY, Item, Span, Times, acting_for
from server.coordination.responsibility.responsibility import Allocation, Table, named, table
from server.coordination.stored import read, renamed
from server.ledger import Resource, View

KINDS = frozenset({"responsibility", "duplication", "shared-plan"})  # of rule, that a check goes by


class When(NamedTuple):
    """The time that is asked about: `period` a Period, `as_of` a date or dateTime; now where neither is given."""

    now: int
    as_of: str | None = None
    period: Resource | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """One member's check."""

    member: Member
    terms: Terms
    pair: Pair
    table: Table
    duplication: Rule | None
    times: Times
    others: frozenset[str]  # that have the member together with one of the two
    is_period: bool  # a period is asked about, and not what is so at an instant
    lead: str | None = None  # the organization of the member's lead

    @property
    def patient(self) -> str:
        return self.member.patient

    @property
    def default(self) -> Table:
        """The program's own table, whatever an agreement says."""
        return table(self.terms, self.pair, None, {})

    @property
    def window(self) -> Interval:
        """The time that is asked about."""
        return self.times.services

    @property
    def at(self) -> int:
        """The last instant that is asked about."""
        return self.times.at

    @property
    def span(self) -> Span:
        return Span(self.member, self.pair, self.times, self.terms.zone, self.others, self.terms.role)

    def row(self, one: Item) -> Allocation | None:
        """Where the table has a service, at its end or at that of the time that is asked about."""
        return self.table.find(min(one.when.high, self.window.high) - 1, one.codes, one.categories)

    def rows(self, one: Item) -> list[Allocation | None]:
        """The same; of a period that is asked about, wherever the table has it in the course of that."""
        if not self.is_period:
            return [self.row(one)]
        low, high = max(one.when.low, self.window.low), min(one.when.high, self.window.high)
        edges = sorted({edge for row in self.table.rows for edge in row.when if low < edge < high})
        found = (self.table.find(at - 1, one.codes, one.categories) for at in (*edges, high))
        return list(dict.fromkeys(found))

    def organization(self, party: str | None) -> str | None:
        return {"plan": self.pair.plan, "partner": self.pair.partner}.get(party or "")


async def check(view: View, patient: str, when: When) -> Check | None:
    """What a member is to be checked by; None where no two organizations have the member together then."""
    return next(iter(await checks(view, [patient], when)), None)


async def checks(view: View, patients: Collection[str], when: When) -> list[Check]:
    """The checks of each member, one for each two organizations that have the member in a program."""
    programs = await active(view)
    dated = [found for url in programs if (found := _dated(programs, url, when))]
    if not dated:
        return []
    members = await assignment.members(view, patients)
    distinct = {id(members[one]): members[one] for one in patients}.values()
    tables = _Tables(view)
    made = [
        Check(
            member,
            terms,
            pair,
            await tables.of(terms, pair, own.at),
            _duplication(terms.program),
            own,
            frozenset(one for each, _ in together for one in each.organizations).difference(pair.organizations),
            when.period is not None,
        )
        for member in distinct
        for terms, times in dated
        for together in ([*_together(member, terms, times, when)],)
        for pair, own in together
    ]
    leading = await organizations(view, [(one.member, one.terms, one.at) for one in made])
    return [replace(one, lead=lead) for one, lead in zip(made, leading, strict=True)]


def are_checked(programs: Programs) -> bool:
    """True where one of the programs has anything that a check goes by."""
    return any(is_checked(dated.program) for dated in programs.versions())


def is_checked(program: Program) -> bool:
    """True where a program has anything that a check goes by."""
    return any(rule.kind in KINDS for rule in program.rules)


def _together(member: Member, terms: Terms, times: Times, when: When) -> Iterator[tuple[Pair, Times]]:
    """Who has the member together at the last instant; of a period, in the course of it, and in which part of that."""
    for pair in pairs(member, terms):
        if when.period is None:
            if period.holds(pair.times, times.at):
                yield pair, times
        elif both := period.intersection(pair.times, [times.services]):
            yield pair, _throughout(Interval(both[0].low, both[-1].high))


def _throughout(when: Interval) -> Times:
    return Times(when, when, when)


def _dated(programs: Programs, url: str, when: When) -> tuple[Terms, Times] | None:
    """A program as it is at the time that is asked about, and that time."""
    at = programs.instant(url, when.as_of, when.now)
    terms = of(programs.near(url, at))
    return (terms, _times(terms, when, at)) if terms and is_checked(terms.program) else None


def _times(terms: Terms, when: When, at: int) -> Times:
    """The time that is asked about, to its end or that of what is known then; else the days of the file until then.

    A contact of those days may be close to one that was before them, and a place on a team is one that is held now.
    """
    if when.period is not None:
        low, high = period.between(when.period.get("start"), when.period.get("end"), terms.zone)
        is_open = when.as_of or "end" not in when.period
        return _throughout(Interval(low, min(high, max(at, low) + 1) if is_open else high))
    duplication = _duplication(terms.program)
    days = duplication.parameters["window-days"] if duplication else 0
    services, contacts = (Interval(_before(at, days * times, terms.zone), at + 1) for times in (1, 2))
    return Times(services, contacts, Interval(at, at + 1))


def _before(at: int, days: int, zone: str) -> int:
    """The same time of the day so many days before: in between the clocks may have been changed."""
    low = at - days * DAY
    offsets = [period.moment(instant, zone).utcoffset() or timedelta() for instant in (at, low)]
    return low + (offsets[0] - offsets[1]) // timedelta(microseconds=1)


def _duplication(program: Program) -> Rule | None:
    return next(program.of_kind("duplication"), None)


class _Tables:
    """The tables of so many pairs, each read once."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.known: dict[tuple[str, str, str, int], Table] = {}

    async def of(self, terms: Terms, pair: Pair, at: int) -> Table:
        key = (terms.program.url, *pair.organizations, at)
        if key not in self.known:
            contract = await agreement.in_force(self.view, terms.program, pair.organizations, at)
            found = await self._read(contract) if contract else None
            acting = await acting_for(self.view, (), named(found)) if found else {}
            self.known[key] = table(terms, pair, found, acting)
        return self.known[key]

    async def _read(self, contract: str) -> Resource | None:
        """The agreement, whose appendices may name organizations by URLs under our base."""
        found, rows = await read(self.view, contract), (await self.view.facts("responsible", [contract]))[contract]
        links: dict[str, str] = dict(row.data for row in rows)
        return renamed(found, lambda link: links.get(link, link)) if found and links else found


async def dual(view: View, patients: Collection[str]) -> list[str]:
    """Those of the patients whom two organizations have, or had, enrolled: nobody else is looked at further."""
    members = await assignment.members(view, patients)
    return [one for one in patients if len({found.organization for found in members[one].enrolments}) > 1]
