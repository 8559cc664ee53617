"""Coordination check: what two organizations do for a member, held against who is responsible for what.

Nothing is refused: both may bill for their own. What is done twice, by the wrong one or by nobody, and what nobody has
been given, is found, and said whose it is to resolve.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from server.coordination import period
from server.coordination.agreement import agreement
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import Followed
from server.coordination.lead.terms import Pair, Terms, every, pair_at
from server.coordination.lead.who import lead
from server.coordination.period import Interval
from server.coordination.plan import shared as shared_plan
from server.coordination.program.program import Rule
from server.coordination.program.programs import active
from server.coordination.responsibility.item import Item, items
from server.coordination.responsibility.responsibility import NEITHER, Allocation, Table, table
from server.coordination.stored import read
from server.ledger import Resource, View

DAY = 86_400_000_000  # microseconds
DUPLICATE, NO_OWNER, WRONG_PARTY = "duplicate-coordination", "no-owner", "wrong-party"
OUTSIDE, NOT_ALLOCATED, SECOND_PLAN = "outside-both", "not-allocated", "second-plan"


class Finding(NamedTuple):
    """Something that the two have to settle; `resolver` is whose it is, None where they have to agree on that too."""

    code: str
    text: str
    source: str  # the rule, or the Contract, that it is found by
    items: tuple[Item, ...]
    resolver: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """One member's check: between whom, by which table, over which time."""

    patient: str
    member: Member
    terms: Terms
    pair: Pair
    table: Table
    duplication: Rule | None
    window: Interval
    lead: str | None  # the organization of the member's lead

    def organization(self, party: str | None) -> str | None:
        return {"plan": self.pair.plan, "partner": self.pair.partner}.get(party or "")


async def check(view: View, patient: str, window: Resource | None, as_of: str | None, now: int) -> Check | None:
    """What a member is to be checked by; None where no two organizations have the member together then."""
    programs = await active(view)
    member = (await assignment.members(view, [patient]))[patient]
    for terms in every(programs, now):
        over = _window(terms, window, programs.instant(terms.program.url, as_of, now))
        at = over.high - 1
        pair = pair_at(member, terms, at)
        if pair:
            contract = await agreement.in_force(view, terms.program, pair.organizations, at)
            rows = table(terms, pair, await read(view, contract) if contract else None)
            leading = await lead(view, patient, period.text(at, terms.zone), now)
            duplication = next(terms.program.of_kind("duplication"), None)
            return Check(
                patient, member, terms, pair, rows, duplication, over, leading.organization if leading else None
            )
    return None


def _window(terms: Terms, window: Resource | None, at: int) -> Interval:
    """The time that is asked about; else the days of the program's file until then."""
    if window:
        low, high = period.between(window.get("start"), window.get("end"), terms.zone)
        return Interval(low, min(high, max(at, low) + 1))
    duplication = next(terms.program.of_kind("duplication"), None)
    days = duplication.parameters["window-days"] if duplication else 0
    return Interval(at - days * DAY, at + 1)


async def findings(view: View, asked: Check, resources: Iterable[Resource]) -> list[Finding]:
    """Everything that is found in these resources of the member, services first."""
    inside = await _inside(view, asked, resources)
    contacts = [one for one in inside if one.is_contact]
    ordered = [one for one in inside if not one.is_contact]
    return [*_services(asked, ordered), *_contacts(asked, contacts), *await _plans(view, asked)]


async def services(view: View, asked: Check, resources: Iterable[Resource]) -> list[Item]:
    """The services that are on at the end of the time that is asked about."""
    inside = await _inside(view, asked, resources)
    return [one for one in inside if not one.is_contact and one.when.high >= asked.window.high]


async def _inside(view: View, asked: Check, resources: Iterable[Resource]) -> list[Item]:
    found = await items(view, asked.member.patients, asked.pair, resources, asked.terms.zone)
    return [one for one in found if one.when.low < asked.window.high and asked.window.low < one.when.high]


# Services


def _services(asked: Check, services: Sequence[Item]) -> Iterator[Finding]:
    groups: dict[str, list[tuple[Item, Allocation | None]]] = {}
    for item in services:
        row = asked.table.find(item.codes, min(item.when.high, asked.window.high) - 1)
        for name in [row.service] if row else sorted(item.codes) or [f"{item.reference} {item.place}"]:
            groups.setdefault(name, []).append((item, row))
    for name in sorted(groups):
        group = groups[name]
        yield from _group(asked, tuple(item for item, _ in group), group[0][1])


def _group(asked: Check, group: tuple[Item, ...], row: Allocation | None) -> Iterator[Finding]:
    """What is wrong with the services of one kind."""
    title = row.title if row else group[0].text
    source = row.source if row else asked.table.source
    primary = asked.organization(row.primary) if row else None
    resolver = primary or asked.lead
    twice = _twice(group)
    if row is None or row.primary is None:
        scope = f" ({row.scope})" if row and row.scope else ""
        text = f"{title}{scope}: not allocated. {source} does not say whose it is; agree on it in the appendix."
        yield Finding(NOT_ALLOCATED, text, source, group, asked.lead)
    elif row.primary == NEITHER:
        yield Finding(
            OUTSIDE, f"{title} is outside both: neither organization has it to arrange.", source, group, resolver
        )
    if twice:
        both = " and ".join(asked.pair.organizations)
        whose = f"; {primary} has the primary role" if primary else ""
        yield Finding(DUPLICATE, f"{title} is coordinated by {both} both{whose}.", source, twice, resolver)
    for item in group:
        if item.party is None and not (row and row.primary == NEITHER):
            text = f"{title} is nobody's: neither organization performs, asks for or plans it."
            yield Finding(NO_OWNER, text, source, (item,), resolver)
    wrong = tuple(one for one in group if row and primary and one.party not in (None, row.primary))
    if wrong and not twice:
        text = f"{title} is coordinated by {asked.organization(wrong[0].party)}, and {primary} has the primary role."
        yield Finding(WRONG_PARTY, text, source, wrong, resolver)


def _twice(group: Sequence[Item]) -> tuple[Item, ...]:
    """Those of both parties that are at the same time."""
    found = [
        one
        for one in group
        for other in group
        if {one.party, other.party} == {"plan", "partner"} and _overlap(one.when, other.when)
    ]
    return tuple(dict.fromkeys(found))


def _overlap(one: Interval, other: Interval) -> bool:
    return one.low < other.high and other.low < one.high


# Contacts


def _contacts(asked: Check, contacts: Sequence[Item]) -> Iterator[Finding]:
    """The same kind of contact by both within the days of the program's file."""
    rule = asked.duplication
    if rule is None:
        return
    days = rule.parameters["window-days"]
    for code in sorted({code for one in contacts for code in one.codes}):
        alike = [one for one in contacts if code in one.codes]
        near = [
            one
            for one in alike
            for other in alike
            if {one.party, other.party} == {"plan", "partner"} and abs(one.when.low - other.when.low) <= days * DAY
        ]
        if near:
            text = f"{near[0].text}: contacts of both organizations within {days} days."
            source = f"{asked.terms.program.canonical}#{rule.id}"
            row = asked.table.find({code}, near[0].when.low)
            resolver = (asked.organization(row.primary) if row else None) or asked.lead
            yield Finding(DUPLICATE, text, source, tuple(dict.fromkeys(near)), resolver)


# Plans


async def _plans(view: View, asked: Check) -> list[Finding]:
    """Two active plans where there is to be one: they may have been there before both had the member."""
    at = asked.window.high - 1
    rule = shared_plan.rule_of(asked.terms, at)
    if rule is None:
        return []
    rows = (await view.facts("plan", asked.member.patients)).values()
    periods = {one.plan: (one.start, one.end) for found in rows for one in map(Followed.of, found)}
    found = [
        Item(reference, "", False, frozenset(), "an active plan of care", _whose(asked, parties), when)
        for reference, parties in sorted((await shared_plan.plans(view, asked.member, asked.pair)).items())
        if period.holds([when := period.between(*periods[reference], asked.terms.zone)], at)
    ]
    if len(found) < 2:
        return []
    text = f"{len(found)} active plans of care, where there is to be one of both organizations."
    return [Finding(SECOND_PLAN, text, f"{asked.terms.program.canonical}#{rule.id}", tuple(found), asked.lead)]


def _whose(asked: Check, parties: set[str]) -> str | None:
    """Of one of both; None for what is of both."""
    named = [name for name in ("plan", "partner") if asked.organization(name) in parties]
    return named[0] if len(named) == 1 else None
