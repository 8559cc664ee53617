"""Finding: what two organizations do for a member twice, wrongly or not at all, by who is responsible for what.

Nothing is refused: both may bill for their own. What is done twice, by the wrong one or by nobody, and what nobody has
been given, is found, and said whose it is to resolve.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.facts import Followed
from server.coordination.period import Interval
from server.coordination.plan import shared as shared_plan
from server.coordination.program.program import Rule
from server.coordination.responsibility.check import Check
from server.coordination.responsibility.item import CONTACT, PARTIES, ROLE, SERVICE, Item, items
from server.coordination.responsibility.responsibility import BOTH, NEITHER, Allocation
from server.ledger import Resource, View

DUPLICATE, NO_OWNER, WRONG_PARTY = "duplicate-coordination", "no-owner", "wrong-party"
OUTSIDE, NOT_ALLOCATED, SECOND_PLAN = "outside-both", "not-allocated", "second-plan"
OUT_OF_PLAN = "out-of-plan"  # the scope of what is outside the plan's package


class Finding(NamedTuple):
    """Something that the two have to settle; `resolver` is whose it is, None of a contradiction of plans."""

    code: str
    what: str  # what makes it the same finding again: a service, a kind of contact, a role
    text: str
    rules: tuple[Rule, ...]  # by which it is found, first; and that of the row beside
    source: str  # the rule, or the Contract, that it is found by
    items: tuple[Item, ...]
    resolver: str | None


async def findings(view: View, asked: Sequence[Check], given: Iterable[Resource] | None = None) -> list[list[Finding]]:
    """Everything that is found, for each check: services, contacts, places on teams, plans.

    Services and contacts are those of the store, or those in the resources that are given.
    """
    found = await items(view, [one.span for one in asked], given)
    plans = await _plans(view, asked)
    return [
        [*_services(one, _of(SERVICE, own)), *_contacts(one, _of(CONTACT, own)), *_roles(one, _of(ROLE, own)), *second]
        for one, own, second in zip(asked, found, plans, strict=True)
    ]


async def services(view: View, asked: Check, given: Iterable[Resource]) -> list[Item]:
    """The services in these resources that are on at the end of the time that is asked about."""
    (found,) = await items(view, [asked.span], given)
    return [one for one in _of(SERVICE, found) if one.when.high >= asked.window.high]


def _of(sort: str, found: Iterable[Item]) -> list[Item]:
    return [one for one in found if one.sort == sort]


# Services


class _Placed(NamedTuple):
    """A service and its row in the table, where that has one."""

    item: Item
    row: Allocation | None


def _services(asked: Check, services: Sequence[Item]) -> Iterator[Finding]:
    placed = [_Placed(one, row) for one in services for row in asked.rows(one)]
    groups: dict[str, list[_Placed]] = {}
    for one in placed:
        if one.row:
            groups.setdefault(one.row.service, []).append(one)
    for name, alike in _alike([one.item for one in placed if one.row is None]):
        groups.setdefault(name, []).extend(_Placed(one, None) for one in alike)
    found: dict[tuple[str, str], Finding] = {}
    for name in sorted(groups):
        for new in _of_group(asked, name, groups[name]):
            known = found.get((new.code, name))
            items = dict.fromkeys((*(known.items if known else ()), *new.items))
            found[new.code, name] = new._replace(items=tuple(items))
    yield from found.values()


def _of_group(asked: Check, name: str, group: Sequence[_Placed]) -> Iterator[Finding]:
    """What is wrong with the services of one kind, by each row of the table in which it is."""
    twice = _both(asked, name, group)
    yield from twice
    for row in dict.fromkeys(one.row for one in group):
        own = tuple(one.item for one in group if one.row == row)
        yield from _of_row(asked, name, row, own, {item for found in twice for item in found.items})


def _alike(services: Sequence[Item]) -> Iterator[tuple[str, list[Item]]]:
    """Services that no row names: those that share a code, directly or by others, are of one kind."""
    kinds: dict[str, list[Item]] = {}  # by each code; those of one kind are one list
    for one in services:
        codes = one.codes or {f"{one.reference} {one.place}"}
        known = list({id(kinds[code]): kinds[code] for code in codes if code in kinds}.values())
        alike = max(known, key=len, default=[])
        alike += [each for other in known if other is not alike for each in other] + [one]
        joined = {code for each in alike for code in each.codes} if len(known) > 1 else codes
        kinds |= dict.fromkeys({*codes, *joined}, alike)
    names: dict[int, str] = {}
    for code in sorted(kinds):
        names.setdefault(id(kinds[code]), code)
    return ((name, kinds[name]) for name in names.values())


def _both(asked: Check, name: str, group: Sequence[_Placed]) -> list[Finding]:
    """What both have at the same time, whosoever may have it."""
    found = _twice([*dict.fromkeys(one.item for one in group)])
    if not found:
        return []
    row = next(one.row for one in group if one.item == found[0])
    primary = asked.organization(row.primary) if row else None
    whose = f"; {primary} has the primary role by {row.source}" if row and primary else ""
    text = f"{_title(row, found)} is coordinated by {' and '.join(asked.pair.organizations)} both{whose}."
    return [_finding(asked, DUPLICATE, name, text, found, row, asked.duplication)]


def _of_row(
    asked: Check, name: str, row: Allocation | None, group: tuple[Item, ...], twice: set[Item]
) -> Iterator[Finding]:
    """What is wrong with the services of one kind by one row of the table."""
    title = _title(row, group)
    if row is None or row.primary is None:
        source, scope = row.source if row else asked.table.source, f" ({row.scope})" if row and row.scope else ""
        text = f"{title}{scope}: not allocated. {source} does not say whose it is; agree on it in the appendix."
        yield _finding(asked, NOT_ALLOCATED, name, text, group, row)
    if row and row.primary == NEITHER:
        text = f"{title} is outside both: neither organization has it to arrange."
        yield _finding(asked, OUTSIDE, name, text, group, row)
        return
    if nobody := tuple(one for one in group if one.party is None):
        text = f"{title} is nobody's: neither organization alone performs, asks for or plans it."
        yield _finding(asked, NO_OWNER, name, text, nobody, row)
    yield from _wrong(asked, name, row, tuple(one for one in group if one not in twice))


def _wrong(asked: Check, name: str, row: Allocation | None, group: tuple[Item, ...]) -> Iterator[Finding]:
    if row is None or row.primary not in PARTIES:
        return
    if wrong := tuple(one for one in group if one.party in PARTIES and one.party != row.primary):
        other, primary = asked.organization(wrong[0].party), asked.organization(row.primary)
        text = f"{_title(row, wrong)} is coordinated by {other}, and {primary} has the primary role."
        yield _finding(asked, WRONG_PARTY, name, text, wrong, row)


def _title(row: Allocation | None, group: Sequence[Item]) -> str:
    return row.title if row else group[0].text


def _finding(
    asked: Check, code: str, what: str, text: str, found: Iterable[Item], row: Allocation | None, by: Rule | None = None
) -> Finding:
    """By a row of the table; by the rule `by`; else by what should have such a row, and has none."""
    program, items = asked.terms.program, tuple(found)
    rules = {rule.id: rule for rule in program.rules}
    table = rules[row.rule] if row else None if by else asked.terms.agreement
    cited = tuple(dict.fromkeys(rule.id for rule in (by, table) if rule))
    source = f"{program.canonical}#{by.id}" if by else row.source if row else asked.table.source
    return Finding(code, what, text, tuple(rules[id] for id in cited), source, items, _resolver(asked, row, items))


def _resolver(asked: Check, row: Allocation | None, found: Sequence[Item]) -> str:
    """Who has the primary role; the partner of what it alone does, or is outside the plan's package; else who leads."""
    if row and (primary := asked.organization(row.primary)):
        return primary
    if {one.party for one in found} == {"partner"} or _scope(asked, row, found) == OUT_OF_PLAN:
        return asked.pair.partner
    return asked.lead or asked.pair.plan


def _scope(asked: Check, row: Allocation | None, found: Sequence[Item]) -> str | None:
    """By the row; of what an agreement's appendix does not list, by the program's own table."""
    if row and row.scope:
        return row.scope
    default = asked.default
    rows = (default.find(asked.at, one.codes, one.categories) for one in found)
    return next((one.scope for one in rows if one), None)


def _twice(group: Sequence[Item]) -> tuple[Item, ...]:
    """Those of each party that are on while the other's are, and those that both perform."""
    times = {party: period.union(one.when for one in group if party in one.parties) for party in PARTIES}
    other = {"plan": times["partner"], "partner": times["plan"], BOTH: times["plan"]}
    return tuple(one for one in group if one.party and _meets(one.when, other[one.party]))


def _meets(when: Interval, times: Sequence[Interval]) -> bool:
    """True where one of these times, in order and apart, has an instant in common with it."""
    place = bisect_left(times, when.high, key=lambda one: one.low)
    return place > 0 and times[place - 1].high > when.low


# Contacts


def _contacts(asked: Check, contacts: Sequence[Item]) -> Iterator[Finding]:
    """The same kind of contact by both within the days of the program's file."""
    rule = asked.duplication
    if rule is None:
        return
    days = rule.parameters["window-days"]
    found = {code: _near(asked, [one for one in contacts if code in one.codes], days) for code in _codes(contacts)}
    for code in _largest(found):
        text = f"{found[code][0].text}: contacts of both organizations within {days} days."
        row = asked.table.find(asked.at, {code})
        yield _finding(asked, DUPLICATE, f"contact {code}", text, found[code], row, rule)


def _codes(found: Iterable[Item]) -> list[str]:
    return sorted({code for one in found for code in one.codes})


def _near(asked: Check, alike: Sequence[Item], within: int) -> tuple[Item, ...]:
    """Those of each party that are no more days on the calendar from one of the other, one of both in the window."""
    days = {one: period.day(one.when.low, asked.terms.zone).toordinal() for one in alike}
    recent = {one: day for one, day in days.items() if one.when.low >= asked.window.low}
    beside = {True: _by_others(days), False: _by_others(recent)}  # a contact in the window has all beside it
    return tuple(one for one in alike if one.party and _is_near(days[one], beside[one in recent][one.party], within))


def _by_others(days: Mapping[Item, int]) -> dict[str, list[int]]:
    """For each party, the days of the other one's, in order."""
    own = {party: sorted(day for one, day in days.items() if one.party == party) for party in PARTIES}
    return {"plan": own["partner"], "partner": own["plan"]}


def _is_near(day: int, days: Sequence[int], within: int) -> bool:
    place = bisect_left(days, day - within)
    return place < len(days) and days[place] <= day + within


def _largest(found: dict[str, tuple[Item, ...]]) -> list[str]:
    """The codes whose items are not all told of under another one already: what has two codes is one."""
    kept: list[str] = []
    for code in sorted(found, key=lambda one: (-len(found[one]), one)):
        if found[code] and not any(set(found[code]) <= set(found[other]) for other in kept):
            kept.append(code)
    return sorted(kept)


# Places on teams


def _roles(asked: Check, places: Sequence[Item]) -> Iterator[Finding]:
    """The same role on both organizations' teams, held by different people, beyond what the table allows."""
    rule = asked.duplication
    found = {code: [one for one in places if code in one.codes] for code in _codes(places)}
    twice = {code: _elsewhere(alike) for code, alike in found.items()} if rule else {}
    for code in _largest(twice):
        row = asked.table.find(asked.at, {code})
        if row is None or row.primary != BOTH:
            text = f"{code.rpartition('|')[2]} is a role on the teams of {' and '.join(asked.pair.organizations)} both."
            yield _finding(asked, DUPLICATE, f"role {code}", text, twice[code], row, rule)
    for code in sorted(found.keys() - {code for code, own in twice.items() if own}):
        yield from _wrong(asked, f"role {code}", asked.table.find(asked.at, {code}), tuple(found[code]))


def _elsewhere(alike: Sequence[Item]) -> tuple[Item, ...]:
    """Those of each party that somebody else has at the other one at the same time."""
    return tuple(
        one
        for one in alike
        if any(one.party != other.party and one.who != other.who and _meets(one.when, [other.when]) for other in alike)
    )


# Plans


async def _plans(view: View, asked: Sequence[Check]) -> list[list[Finding]]:
    """Two active plans where there is to be one: they may have been there before both had the member."""
    ruled = [shared_plan.rule_of(one.terms, one.at) for one in asked]
    patients = {one for check, rule in zip(asked, ruled, strict=True) if rule for one in check.member.patients}
    rows = await view.facts("plan", patients) if patients else {}
    told: list[list[Finding]] = []
    for check, rule in zip(asked, ruled, strict=True):
        own = [Followed.of(row) for one in check.member.patients for row in rows.get(one, ())] if rule else []
        told.append(await _second(view, check, rule, own) if rule and len(own) > 1 else [])
    return told


async def _second(view: View, asked: Check, rule: Rule, followed: Sequence[Followed]) -> list[Finding]:
    periods = {one.plan: period.between(one.start, one.end, asked.terms.zone) for one in followed}
    plans = await shared_plan.plans(view, asked.member, asked.pair)
    found = [
        Item(reference, "", "plan", NOTHING, NOTHING, "an active plan of care", _whose(asked, plans[reference]), when)
        for reference in sorted(plans)
        if period.holds([when := periods[reference]], asked.at)
    ]
    if len(found) < 2:
        return []
    text = f"{len(found)} active plans of care, where there is to be one of both organizations."
    return [_finding(asked, SECOND_PLAN, "plan", text, found, None, rule)]


NOTHING = frozenset[str]()


def _whose(asked: Check, parties: set[str]) -> str | None:
    """Of one of both; None for what is of both."""
    named = [name for name in PARTIES if asked.organization(name) in parties]
    return named[0] if len(named) == 1 else None
