"""Responsibility: which of two organizations coordinates which service: the program's table, or the agreement's own.

https://hl7.org/fhir/R4/contract-definitions.html#Contract.term.asset

An agreement whose appendix lists services decides alone: what it does not list is not allocated, and never guessed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from server.coordination import facts, period
from server.coordination.facts import literal, tokens
from server.coordination.lead.terms import Pair, Terms
from server.coordination.period import Interval
from server.ledger import Resource

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


def table(terms: Terms, pair: Pair, contract: Resource | None) -> Table:
    """The appendix of the agreement, where it lists services; else the program's."""
    if contract is not None and (listed := tuple(_appendix(contract, terms, pair))):
        return Table(listed, f"Contract/{contract['id']}")
    return Table(tuple(_default(terms)), terms.program.canonical)


def _default(terms: Terms) -> Iterator[Allocation]:
    program = terms.program
    for rule in program.of_kind("responsibility"):
        for part in rule.parts:
            source = f"{program.canonical}#{rule.id}"
            scope, primary = part.parameters["scope"], part.parameters["primary"]
            yield Allocation(part.code, part.title, scope, primary, source, rule.id, rule.period)


def _appendix(contract: Resource, terms: Terms, pair: Pair) -> Iterator[Allocation]:
    wanted = terms.agreement.parameters["appendix"]
    for term in contract.get("term", ()):
        if wanted in tokens([term.get("type", {})]):
            applies = _interval(term.get("applies", {}), terms.zone)
            for asset in term.get("asset", ()):
                yield from _asset(asset, applies, contract, terms, pair)


def _asset(asset: Resource, applies: Interval, contract: Resource, terms: Terms, pair: Pair) -> Iterator[Allocation]:
    responsible = [item["responsible"] for item in asset.get("valuedItem", ()) if "responsible" in item]
    named = set(map(literal, responsible))
    parties = [name for name, one in (("plan", pair.plan), ("partner", pair.partner)) if one in named]
    scopes = [one.rpartition("|")[2] for one in tokens(asset.get("subtype")) if one.startswith(f"{SCOPE}|")]
    times = [_interval(one, terms.zone) for one in asset.get("period", ())] or [
        period.Interval(period.ALWAYS, period.NEVER)
    ]
    for service in tokens(asset.get("type")):
        for when in period.intersection(period.union(times), [applies]):
            yield Allocation(
                service,
                asset.get("text") or service.rpartition("|")[2],
                next(iter(scopes), None),
                BOTH if len(parties) == 2 else parties[0] if parties else NEITHER if responsible else None,
                f"Contract/{contract['id']}",
                terms.agreement.id,
                when,
            )


def _interval(when: Resource, zone: str) -> Interval:
    return period.between(when.get("start"), when.get("end"), zone)
