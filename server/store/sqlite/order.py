"""Order: matches sorted, an offset into them and so many of them.

https://hl7.org/fhir/R4/search.html#sort

A few matches are sorted. Many are not: the index of the first key is walked in its own order, and each resource on the
way is asked whether it matches; those without a value of that key come after.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cmp_to_key
from heapq import merge
from typing import Any

from server.ledger import Position, Resource, Version
from server.outcome import Problem
from server.search.filter import NAMELESS, Filter
from server.store.engine import Sort
from server.store.sqlite.compile import Compiler
from server.store.sqlite.tables import Tables, one

SORT_LIMIT = 10_000  # matches that are sorted by a value that the index does not order
WALK = 2_000  # matches that are sorted in no more time than a walk takes

Part = tuple[str, Filter]
Keyed = Sequence[Any]  # a row: the sort's keys, and at the end the rid


def rids(
    tables: Tables, parts: Sequence[Part], sorts: Sequence[Sort], at: Position | None, offset: int, limit: int
) -> list[int]:
    """The matches in their order, from the offset on. Problem too_costly where the bodies of too many would be read."""
    if any(sort.value is not None for sort in sorts):
        return _by_value(tables, parts, sorts, at)[offset : offset + limit]
    if len(parts) == 1:
        return [row[-1] for row in _Ordered(tables, parts[0], sorts, at).rows(offset, limit)]
    each = [_Ordered(tables, part, sorts, at).rows(0, offset + limit) for part in parts]
    merged = list(merge(*each, key=cmp_to_key(_comparison(sorts))))
    return [row[-1] for row in merged[offset : offset + limit]]


class _Ordered:
    """The sorted matches of one type."""

    def __init__(self, tables: Tables, part: Part, sorts: Sequence[Sort], at: Position | None) -> None:
        self.tables = tables
        self.type, self.filter = part
        self.sorts = sorts
        self.at = at
        self.ties = " DESC" if sorts[0].descending else ""  # as the index goes on

    def rows(self, offset: int, limit: int) -> list[Keyed]:
        if not self._are_many():
            return self._sorted(offset, limit)
        if self.sorts[0].index in ("_id", "_lastUpdated"):
            return self._walked_versions(offset, limit)
        return self._walked(offset, limit)

    def _are_many(self) -> bool:
        compiler = Compiler(self.tables, self.at)
        matching = f"SELECT DISTINCT rid FROM ({compiler.set(self.type, self.filter)}) LIMIT {WALK + 1}"
        return one(self.tables.connection, f"SELECT count(*) FROM ({matching})", compiler.bindings) > WALK

    def _sorted(self, offset: int, limit: int) -> list[Keyed]:
        compiler = Compiler(self.tables, self.at, whole=True)
        candidates = compiler.set(self.type, self.filter)
        keys = [_key(compiler, sort) for sort in self.sorts]
        return self._run(
            compiler, f"SELECT {', '.join(keys)}, m.rid FROM (SELECT DISTINCT rid FROM ({candidates})) m", offset, limit
        )

    def _walked_versions(self, offset: int, limit: int) -> list[Keyed]:
        """By the resources' ids or by their last versions: no two are alike, and what comes after them is not asked."""
        compiler = Compiler(self.tables, self.at)
        conditions = [f"m.type = {compiler.name(self.type)}", compiler.living(self.type, "m.rid")]
        if self.sorts[0].index == "_id":
            table, key = "resources", "m.id"
        else:
            table, key = "timeline", "m.seq"
            conditions.append(f"m.seq = {compiler.version('m.rid')}")
        conditions.append(compiler.probe(self.type, self.filter))
        keys = [key, *(_key(compiler, sort) for sort in self.sorts[1:])]
        select = f"SELECT {', '.join(keys)}, m.rid FROM {table} m WHERE {' AND '.join(conditions)}"
        return self._run(compiler, select, offset, limit, "")

    def _walked(self, offset: int, limit: int) -> list[Keyed]:
        """Along the index of the first key; a resource comes at its least (descending: its greatest) value."""
        compiler = Compiler(self.tables, self.at)
        found = self._run(compiler, " UNION ALL ".join(self._arms(compiler)), offset, limit, "")
        if len(found) == limit:
            return found
        rest = max(0, offset - self._with_value()) if not found else 0
        return [*found, *self._without_value(rest, limit - len(found))]

    def _arms(self, compiler: Compiler) -> list[str]:
        """One SELECT of the rows that hold, and at an earlier position one of those that held then."""
        first = self.sorts[0]
        beyond = ">" if first.descending else "<"
        rows = compiler.table(first.index)
        where = f"rid = m.rid AND {_named(compiler, first)} AND key {beyond} m.key"
        better = compiler.rows("1", where, by_rid=True, table=rows)
        probe = compiler.probe(self.type, self.filter)
        keys = ["m.key", *(_key(compiler, sort) for sort in self.sorts[1:])]
        tables = {rows: "1"}
        if self.at is not None:
            at = compiler.bind(self.at)
            tables = {rows: f"m.since <= {at}", f"ended_{rows}": f"m.since <= {at} AND m.until > {at}"}
        return [
            f"SELECT {', '.join(keys)}, m.rid FROM {table} m WHERE m.{_named(compiler, first)} AND {held} "
            f"AND {probe} AND NOT EXISTS ({better})"
            for table, held in tables.items()
        ]

    def _with_value(self) -> int:
        compiler = Compiler(self.tables, self.at, whole=True)
        select = f"SELECT DISTINCT rid FROM ({compiler.set(self.type, self.filter)})"
        sql = f"SELECT count(*) FROM ({select}) m WHERE {self._has_value(compiler)}"
        return one(self.tables.connection, sql, compiler.bindings)

    def _without_value(self, offset: int, limit: int) -> list[Keyed]:
        compiler = Compiler(self.tables, self.at, whole=True)
        select = f"SELECT DISTINCT rid FROM ({compiler.set(self.type, self.filter)})"
        keys = ["NULL", *(_key(compiler, sort) for sort in self.sorts[1:])]
        sql = f"SELECT {', '.join(keys)}, m.rid FROM ({select}) m WHERE NOT {self._has_value(compiler)}"
        return self._run(compiler, sql, offset, limit)

    def _has_value(self, compiler: Compiler) -> str:
        where = f"rid = m.rid AND {_named(compiler, self.sorts[0])}"
        return f"EXISTS ({compiler.rows('1', where, by_rid=True, table=compiler.table(self.sorts[0].index))})"

    def _run(self, compiler: Compiler, select: str, offset: int, limit: int, nulls: str = " NULLS LAST") -> list[Keyed]:
        """Rows in the order of their columns. What has no value comes last; a walk's own key always has one."""
        order = [
            f"{number}{' DESC' if sort.descending else ''} NULLS LAST" for number, sort in enumerate(self.sorts, 1)
        ]
        order[0] = order[0].removesuffix(" NULLS LAST") + nulls
        order.append(f"{len(self.sorts) + 1}{self.ties}")
        sql = f"{select} ORDER BY {', '.join(order)} LIMIT {compiler.bind(limit)} OFFSET {compiler.bind(offset)}"
        return list(self.tables.connection.execute(sql, compiler.bindings))


def _key(compiler: Compiler, sort: Sort) -> str:
    if sort.index == "_lastUpdated":
        return compiler.version("m.rid")
    if sort.index == "_id":
        return f"(SELECT c.id FROM changes c WHERE c.seq = {compiler.version('m.rid')})"
    where = f"rid = m.rid AND {_named(compiler, sort)}"
    rows = compiler.rows("key", where, by_rid=True, table=compiler.table(sort.index))
    return f"(SELECT {'max' if sort.descending else 'min'}(key) FROM ({rows}))"


def _named(compiler: Compiler, sort: Sort) -> str:
    """A condition that holds for the index's rows of values that have a name, and so a place in the order."""
    return f"name = {compiler.name(sort.index)} AND key <> {compiler.bind(NAMELESS)}"


def _comparison(sorts: Sequence[Sort]) -> Callable[[Keyed, Keyed], int]:
    """Of rows whose keys are all there, as those of `_id` and `_lastUpdated` are."""

    def compared(one: Keyed, other: Keyed) -> int:
        for place, sort in enumerate(sorts):
            if one[place] != other[place]:
                return -1 if (one[place] < other[place]) != sort.descending else 1
        return 0

    return compared


def _by_value(tables: Tables, parts: Sequence[Part], sorts: Sequence[Sort], at: Position | None) -> list[int]:
    """All matches, ordered by values that only the bodies tell; refused where they are too many."""
    matching: list[int] = []
    for type, filter in parts:
        compiler = Compiler(tables, at, whole=True)
        limit = compiler.bind(SORT_LIMIT + 1 - len(matching))
        sql = f"SELECT DISTINCT rid FROM ({compiler.set(type, filter)}) ORDER BY rid LIMIT {limit}"
        matching += tables.rids(sql, compiler.bindings)
    if len(matching) > SORT_LIMIT:
        raise Problem.of(
            "too_costly",
            f"More than {SORT_LIMIT} resources would be sorted by a value that the index does not order; "
            "narrow the search, or sort by a date, string, number or _lastUpdated",
            "http._sort",
        )
    found = [(rid, version, json.loads(version.body or b"{}")) for rid, version in tables.by_rid(matching, at)]
    for sort in reversed(sorts):
        keyed = [(_value(tables, sort, rid, version, resource, at), rid) for rid, version, resource in found]
        present = sorted((pair for pair in keyed if pair[0] is not None), key=_first, reverse=sort.descending)
        order = [rid for _, rid in present] + [rid for value, rid in keyed if value is None]
        place = {rid: number for number, rid in enumerate(order)}
        found.sort(key=lambda item: place[item[0]])
    return [rid for rid, _, _ in found]


def _value(tables: Tables, sort: Sort, rid: int, version: Version, resource: Resource, at: Position | None) -> Any:
    if sort.value is not None:
        return sort.value(resource)
    if sort.index == "_lastUpdated":
        return (version.position, version.ordinal)
    if sort.index == "_id":
        return version.id
    compiler = Compiler(tables, at)
    where = f"rid = {rid} AND {_named(compiler, sort)}"
    rows = compiler.rows("key", where, by_rid=True, table=compiler.table(sort.index))
    keys = [key for (key,) in tables.connection.execute(rows, compiler.bindings)]
    return (max(keys) if sort.descending else min(keys)) if keys else None


def _first(pair: tuple[Any, int]) -> Any:
    return pair[0]
