"""Search: a page of matches, the pages beside it, what the matches include, and how all of it was found.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from heapq import merge
from itertools import islice
from typing import Any, NamedTuple

import apsw

from server.ledger import Position, Version
from server.outcome import Issue
from server.store import token
from server.store.engine import Follow, Page, Search
from server.store.include import INCLUDE_LIMIT, NOT_ALL
from server.store.sqlite import order
from server.store.sqlite.compile import TYPE_KEY, Compiler
from server.store.sqlite.plan import told
from server.store.sqlite.tables import UNKNOWN, Tables, one
from server.store.token import AFTER, BEFORE, LAST, OFFSET, Token

TOLD = 8  # types, and statements, of a plan


def page(tables: Tables, search: Search, text: str | None, at: Position | None = None) -> Page:
    """One page, read at one position: the one that the page's token carries, else `at`, else the head's."""
    with tables.snapshot():
        head = tables.head()
        if text is None:
            place = Token(head if at is None else at, OFFSET if search.sort else AFTER, 0)
        else:
            place = token.read(text, head, OFFSET if search.sort else AFTER + BEFORE + LAST)
        finder = _Finder(tables, search, tables.standing(place.position, head))
        if not search.explain:
            return finder.page(place)
        with _explained(tables.connection) as statements:
            found = finder.page(place)
        return found._replace(plan=tuple(_told(tables, search, statements)))


class _Found(NamedTuple):
    """The matches of a page, and the places of those beside it."""

    rids: list[int]
    previous: Token | None = None
    next: Token | None = None


class _Finder:
    """One search at one position; `at` None is the head."""

    def __init__(self, tables: Tables, search: Search, at: Position | None) -> None:
        self.tables = tables
        self.search = search
        self.at = at
        self.parts = [part for part in search.parts if tables.number(part[0]) != UNKNOWN]

    def page(self, place: Token) -> Page:
        search, count = self.search, self.search.count
        found = self._found(place) if count else _Found([])
        is_all = count and not (place.number or found.next or place.kind in (BEFORE, LAST))
        total = len(found.rids) if is_all else self.count() if search.total else None
        matches = self.tables.versions(found.rids, self.at)
        included, issues = self._included(found.rids) if search.follow else ((), ())
        answer = Page(place.position, tuple(matches), included, total, _text(found.next), issues)
        if found.previous is None and found.next is None:
            return answer
        first = found.previous and Token(place.position, OFFSET if search.sort else AFTER, 0)
        last = self._last(place.position, total) if found.next and total else None
        return answer._replace(previous=_text(found.previous), first=_text(first), last=_text(last))

    def count(self) -> int:
        total = 0
        for type, filter in self.parts:
            compiler = Compiler(self.tables, self.at, whole=True)
            sql = f"SELECT count(DISTINCT rid) FROM ({compiler.set(type, filter)})"
            total += one(self.tables.connection, sql, compiler.bindings)
        return total

    def _last(self, position: Position, total: int) -> Token:
        """The last of the pages as they are counted from the first."""
        count = self.search.count
        over = (total - 1) % count + 1
        return Token(position, OFFSET, total - over) if self.search.sort else Token(position, LAST, over)

    def _found(self, place: Token) -> _Found:
        match place.kind:
            case "o":
                return self._sorted(place)
            case "r":
                return self._after(place)
            case _:
                return self._before(place)

    def _sorted(self, place: Token) -> _Found:
        position, offset, count = place.position, place.number, self.search.count
        rids = order.rids(self.tables, self.parts, self.search.sort, self.at, offset, count + 1)
        previous = Token(position, OFFSET, max(0, offset - count)) if offset else None
        next = Token(position, OFFSET, offset + count) if len(rids) > count else None
        return _Found(rids[:count], previous, next)

    def _after(self, place: Token) -> _Found:
        """A page that goes forward. Where it has come from, there is one before."""
        position, after, count = place.position, place.number, self.search.count
        rids = self._rids(f"WHERE rid > {int(after)}" if after else "", "", count + 1)
        kept = rids[:count]
        previous = Token(position, BEFORE, kept[0] if kept else after + 1) if after else None
        return _Found(kept, previous, Token(position, AFTER, kept[-1]) if len(rids) > count else None)

    def _before(self, place: Token) -> _Found:
        """A page that goes backward, or the last. Where it has come from, there is one after."""
        position, is_last = place.position, place.kind == LAST
        count = min(place.number, self.search.count) if is_last else self.search.count
        rids = self._rids("" if is_last else f"WHERE rid < {int(place.number)}", " DESC", count + 1)
        kept = rids[:count][::-1]
        previous = Token(position, BEFORE, kept[0]) if len(rids) > count and kept else None
        next = None if is_last else Token(position, AFTER, kept[-1] if kept else 0)
        return _Found(kept, previous, next)

    def _rids(self, where: str, direction: str, limit: int) -> list[int]:
        """The first matches of all types, in the order of their rids."""
        found = []
        for type, filter in self.parts:
            compiler = Compiler(self.tables, self.at)
            sql = (
                f"SELECT DISTINCT rid FROM ({compiler.set(type, filter)}) {where} "
                f"ORDER BY rid{direction} LIMIT {compiler.bind(limit)}"
            )
            found.append(self.tables.rids(sql, compiler.bindings))
        return found[0] if len(found) == 1 else list(islice(merge(*found, reverse=bool(direction)), limit))

    def _included(self, rids: Sequence[int]) -> tuple[tuple[Version, ...], tuple[Issue, ...]]:
        seen, found = set(rids), []
        frontier, first = list(rids), True
        while frontier:
            step: dict[int, None] = {}
            for each in self.search.follow:
                if first or each.iterate:
                    step.update(dict.fromkeys(self._followed(each, frontier)))
            frontier = self._seen([rid for rid in step if rid not in seen])
            seen.update(frontier)
            found += frontier
            first = False
            if len(found) > INCLUDE_LIMIT:
                return tuple(self.tables.versions(found[:INCLUDE_LIMIT], self.at)), (NOT_ALL,)
        return tuple(self.tables.versions(found, self.at)), ()

    def _seen(self, rids: list[int]) -> list[int]:
        """Those that may come along."""
        if self.search.seen is None or not rids:
            return rids
        compiler = Compiler(self.tables, self.at)
        chosen = f"SELECT value AS rid FROM json_each({compiler.bind(json.dumps(rids))})"
        parts = [
            f"SELECT m.rid FROM ({chosen}) m WHERE {compiler.living(type, 'm.rid')} AND "
            f"{compiler.probe(type, self.search.seen(type))}"
            for type in self.tables.types(rids)
        ]
        return self.tables.rids(f"{' UNION '.join(parts)} ORDER BY 1", compiler.bindings)

    def _followed(self, follow: Follow, rids: Sequence[int]) -> Iterable[int]:
        compiler = Compiler(self.tables, self.at)
        sources = f"SELECT value AS target FROM json_each({compiler.bind(json.dumps(rids))})"
        table = "rows"
        if follow.index is not None:
            named, table = f"name = {compiler.name(follow.index)}", compiler.table(follow.index)
        else:
            every = compiler.bind(f"{follow.source_type}.*")
            named = f"name IN (SELECT number FROM names WHERE name GLOB {every} AND name NOT GLOB '*:*')"
        if follow.reverse:
            if follow.target_type is not None:
                sources = f"SELECT target FROM ({sources}) WHERE {compiler.living(follow.target_type, 'target')}"
            sql = compiler.rows("rid AS found", f"{named} AND key = target", through=sources, table=table)
        else:
            test = f"rid = target AND {named} AND typeof(key) = 'integer' AND key > {TYPE_KEY}"
            sql = compiler.rows("key AS found", test, by_rid=True, through=sources, table=table)
            of_type = follow.target_type
            there = compiler.standing("found") if of_type is None else compiler.living(of_type, "found")
            sql = f"SELECT found FROM ({sql}) WHERE {there}"  # what is not there leads nowhere
        sql = f"SELECT DISTINCT found FROM ({sql}) ORDER BY 1"
        return self.tables.rids(sql, compiler.bindings)


def _text(place: Token | None) -> str | None:
    return None if place is None else str(place)


class _Statement(NamedTuple):
    """A statement that was run, and how many steps of SQLite's machine it took."""

    sql: str
    steps: int


class _Statements(list[_Statement]):
    """Those of one search, and the time of all."""

    milliseconds = 0.0


@contextmanager
def _explained(connection: apsw.Connection) -> Iterator[_Statements]:
    """The statements that are run meanwhile."""
    found = _Statements()

    def trace(event: dict[str, Any]) -> None:
        found.append(_Statement(event["sql"], event["stmt_status"]["SQLITE_STMTSTATUS_VM_STEP"]))

    started = time.perf_counter()
    connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, trace)
    try:
        yield found
    finally:
        connection.trace_v2(0, None)
        found.milliseconds = (time.perf_counter() - started) * 1000


def _told(tables: Tables, search: Search, statements: _Statements) -> Iterator[str]:
    """In words: what drives the search and what is asked of each candidate; the dearest statements; the cost of all."""
    for type, filter in search.parts[:TOLD]:
        yield f"{type}: {told(filter, Compiler(tables).count)}"
    for statement in sorted(statements, key=lambda each: -each.steps)[:TOLD]:
        yield f"{statement.steps} steps: {'; '.join(_plan_of(tables.connection, statement.sql))}"
    steps = sum(each.steps for each in statements)
    yield f"{len(statements)} statements, {steps} steps of SQLite's machine, {statements.milliseconds:.2f} ms in all"


def _plan_of(connection: apsw.Connection, sql: str) -> Iterator[str]:
    """How SQLite goes about a statement: which index it seeks in, and what it looks through."""
    unbound = (None,) * max(map(int, _BOUND.findall(sql)), default=sql.count("?"))
    for _, _, _, detail in connection.execute(f"EXPLAIN QUERY PLAN {sql}", unbound):
        yield detail


_BOUND = re.compile(r"\?(\d+)")
