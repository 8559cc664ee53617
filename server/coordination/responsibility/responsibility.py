"""Responsibility: which of two organizations coordinates which service: the program's table, or the agreement's own.

https://hl7.org/fhir/R4/contract-definitions.html#Contract.term.asset

An agreement whose appendix lists services decides alone: what it does not list is not allocated, and never guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from server.coordination import facts, period
from server.coordination.agreement.agreement import EXECUTED, rule_of
from server.coordination.facts import literal, tokens
from server.coordination.facts.item import kinds
from server.coordination.lead.terms import Pair, Terms
from server.coordination.period import Interval
from server.coordination.program.program import Rule
from server.coordination.program.programs import Programs
from server.coordination.write import AS_RECORDED, Place, refusal
from server.ledger import Change, Context, Resource, micros
from server.outcome import Issue

SCOPE = f"{facts.BASE}/CodeSystem/ny-benefit-scope"
NEITHER, BOTH = "neither", "both"


class Allocation(NamedTuple):
    """One service in the table, while that holds."""

    service: str  # a token
    title: str
    scope: str | None  # in-plan, out-of-plan
    primary: str | None  # "plan", "partner", "neither" or "both"; None: the source does not say whose it is
    source: str  # where it says so: a rule of the program, or the Contract
    rule: str  # the rule's id
    when: Interval


class Table(NamedTuple):
    """The allocations, of all times; `source` is where what is not in them was looked for."""

    rows: tuple[Allocation, ...]
    source: str

    def find(self, at: int, *codes: Collection[str]) -> Allocation | None:
        """The allocation of what has one of these codes at an instant: of the first codes that are allocated.

        Where rows of one service do not say the same, the source does not say whose it is.
        """
        found = [[row for row in self.rows if row.service in some and _holds(row, at)] for some in codes]
        rows = next((some for some in found if some), [])
        is_said = len({row.primary for row in rows if row.service == rows[0].service}) == 1
        return (rows[0] if is_said else rows[0]._replace(primary=None)) if rows else None


def _holds(row: Allocation, at: int) -> bool:
    return row.when.low <= at < row.when.high


def table(terms: Terms, pair: Pair, contract: Resource | None, acting: Mapping[str, set[str]]) -> Table:
    """The appendix of the agreement, where it has rows; else the program's. `acting`: whom its people act for."""
    rows = list(_rows(contract or {}, terms.agreement))
    if contract is not None and rows:
        found = (each for _, term, asset in rows for each in _asset(term, asset, contract, terms, pair, acting))
        return Table(tuple(found), f"Contract/{contract['id']}")
    return Table(tuple(_default(terms)), terms.program.canonical)


def named(contract: Resource) -> set[str]:
    """Whom the rows of a Contract's appendices name as responsible."""
    assets = (asset for term in contract.get("term", ()) for asset in term.get("asset", ()))
    return {found for asset in assets for one in _responsible(asset) if (found := literal(one))}


def unread(context: Context, changes: Sequence[Change], programs: Programs) -> list[Issue]:
    """Refuse an executed agreement's row that names no service, or as responsible nobody whom a reference names."""
    if context.override is AS_RECORDED:
        return []
    near = [programs.near(url, micros(context.now)) for url in programs]
    written = [change for change in changes if change.resource and change.resource.get("status") == EXECUTED]
    return [
        refusal(program, rule, why, Place(change.reference, path))
        for program in near
        if (rule := rule_of(program))
        for change in written
        if rule.parameters["type"] in tokens([(change.resource or {}).get("type", {})])
        for place, _, asset in _rows(change.resource or {}, rule)
        for path, why in _unread(place, asset)
    ]


def _unread(place: str, asset: Resource) -> Iterator[tuple[str, str]]:
    if not kinds(asset.get("type", ())):
        yield f"{place}.type", "A row of the appendix names its service: by a code, or by a text where it has none."
    if not all("reference" in one for one in _responsible(asset)):
        why = "Whoever is responsible is named by a reference: to one of both organizations, or a role or person there."
        yield f"{place}.valuedItem.responsible", why


def _default(terms: Terms) -> Iterator[Allocation]:
    program = terms.program
    for rule in program.of_kind("responsibility"):
        for part in rule.parts:
            source = f"{program.canonical}#{rule.id}"
            scope, primary = part.parameters["scope"], part.parameters["primary"]
            yield Allocation(part.code, part.title, scope, primary, source, rule.id, rule.period)


def _rows(contract: Resource, rule: Rule) -> Iterator[tuple[str, Resource, Resource]]:
    """(place, term, asset) of each row of the program's appendix."""
    for index, term in enumerate(contract.get("term", ())):
        if rule.parameters["appendix"] in tokens([term.get("type", {})]):
            for number, asset in enumerate(term.get("asset", ())):
                yield f"Contract.term[{index}].asset[{number}]", term, asset


def _asset(
    term: Resource, asset: Resource, contract: Resource, terms: Terms, pair: Pair, acting: Mapping[str, set[str]]
) -> Iterator[Allocation]:
    responsible = _responsible(asset)
    organizations = {each for one in responsible for each in acting.get(literal(one) or "", ())}
    parties = [name for name, one in (("plan", pair.plan), ("partner", pair.partner)) if one in organizations]
    scopes = [one.rpartition("|")[2] for one in tokens(asset.get("subtype")) if one.startswith(f"{SCOPE}|")]
    applies = _interval(term.get("applies", {}), terms.zone)
    times = [_interval(one, terms.zone) for one in asset.get("period", ())] or [
        period.Interval(period.ALWAYS, period.NEVER)
    ]
    for service, title in _services(asset):
        for when in period.intersection(period.union(times), [applies]):
            yield Allocation(
                service,
                title,
                next(iter(scopes), None),
                BOTH if len(parties) == 2 else parties[0] if parties else NEITHER if responsible else None,
                f"Contract/{contract['id']}",
                terms.agreement.id,
                when,
            )


def _services(asset: Resource) -> Iterator[tuple[str, str]]:
    """(what it is told by, what it is called) of each service of a row."""
    for concept in asset.get("type", ()):
        for kind in kinds([concept]):
            called = kind.rpartition("|")[2] if tokens([concept]) else concept["text"]
            yield kind, asset.get("text") or called


def _responsible(asset: Resource) -> list[Resource]:
    return [item["responsible"] for item in asset.get("valuedItem", ()) if "responsible" in item]


def _interval(when: Resource, zone: str) -> Interval:
    return period.between(when.get("start"), when.get("end"), zone)
