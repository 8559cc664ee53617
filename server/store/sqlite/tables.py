"""Tables: what one connection reads, at the head or at an earlier position. Synchronous; a connection a thread."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw
import orjson

from server.ledger import Cursor, Fact, Position, Resource, Version
from server.outcome import Issue, Problem
from server.search.filter import NAMELESS, Filter
from server.store.engine import Follow, Page, Search, Sort
from server.store.sqlite import prune
from server.store.sqlite.compile import TYPE_KEY, Compiler
from server.store.sqlite.schema import ORDINAL_BITS

INCLUDE_LIMIT = 1000  # included resources a page
_DIGITS = 18  # of a number in a page's token: as many as 64 bits always hold
SORT_LIMIT = 10_000  # matches that are sorted by a value that the index does not order
_UNKNOWN = -1  # the number of a name, or of a resource, that no row has

VERSION = "c.seq, c.method, c.type, c.id, k.at, c.body"
JOIN_COMMIT = f"JOIN commits k ON k.position = c.seq >> {ORDINAL_BITS}"
_READ = f"SELECT {VERSION} FROM resources r JOIN changes c ON c.seq = r.seq {JOIN_COMMIT} WHERE r.type = ? AND r.id = ?"
_STOOD = "seq = (SELECT max(v.seq) FROM versions v WHERE v.rid = t.rid AND v.seq < ?)"  # the version before a seq
_MASK = (1 << ORDINAL_BITS) - 1


def seq_of(position: Position, ordinal: int = 0) -> int:
    return position << ORDINAL_BITS | ordinal


def one(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> int:
    """The one number that a query answers with."""
    value: int = connection.execute(sql, bindings).fetchall()[0][0]  # type: ignore[assignment]
    return value


def version_of(row: Sequence[Any]) -> Version:
    """A row of the columns VERSION."""
    seq, method, type, id, at, body = row
    return Version(type, id, seq >> ORDINAL_BITS, seq & _MASK, method, at, body)


class Tables:
    """Reads over one connection. A `Lookup` for the Compiler."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self._numbers: dict[str, int] = {}

    def head(self) -> Position:
        return one(self.connection, "SELECT coalesce(max(position), 0) FROM commits")

    def number(self, name: str) -> int:
        found = self._numbers.get(name)
        if found is None:
            row = self.connection.execute("SELECT number FROM names WHERE name = ?", (name,)).fetchone()
            if row is None:
                return _UNKNOWN  # another process may name it later: not remembered
            found = self._numbers[name] = row[0]
        return found

    def forget(self) -> None:
        """Names that a transaction gave are gone with it."""
        self._numbers.clear()

    def rid(self, reference: str) -> int:
        type, _, id = reference.partition("/")
        row = self.connection.execute(
            "SELECT rid FROM resources WHERE type = ? AND id = ?", (self.number(type), id)
        ).fetchone()
        return _UNKNOWN if row is None else row[0]

    def rids(self, sql: str, bindings: Sequence[Any]) -> list[int]:
        return [rid for (rid,) in self.connection.execute(sql, bindings)]

    def before(self, at: int) -> int:
        return seq_of(self.position_at(at - 1), _MASK)

    def position_at(self, at: int) -> Position:
        """The last position whose instant is not after `at`; a binary search, since instants never fall."""
        low, high = 0, self.head()
        while low < high:
            middle = (low + high + 1) // 2
            if one(self.connection, "SELECT at FROM commits WHERE position = ?", (middle,)) <= at:
                low = middle
            else:
                high = middle - 1
        return low

    def read(self, type: str, id: str, at: Position | None = None) -> Version | None:
        if at is None:
            row = self.connection.execute(_READ, (self.number(type), id)).fetchone()
        else:
            row = self.connection.execute(
                f"SELECT {VERSION} FROM changes c {JOIN_COMMIT} WHERE c.seq = (SELECT max(v.seq) FROM versions v "
                "JOIN resources r ON r.rid = v.rid WHERE r.type = ? AND r.id = ? AND v.seq < ?)",
                (self.number(type), id, seq_of(at + 1)),
            ).fetchone()
        return None if row is None else version_of(row)

    def vread(self, type: str, id: str, position: Position) -> Version | None:
        if not 0 < position < 1 << (63 - ORDINAL_BITS):
            return None
        row = self.connection.execute(
            f"SELECT {VERSION} FROM resources r JOIN versions v ON v.rid = r.rid JOIN changes c ON c.seq = v.seq "
            f"{JOIN_COMMIT} WHERE r.type = ? AND r.id = ? AND v.seq >= ? AND v.seq < ?",
            (self.number(type), id, seq_of(position), seq_of(position + 1)),
        ).fetchone()
        return None if row is None else version_of(row)

    def find(self, type: str, filter: Filter, limit: int, at: Position | None = None) -> list[Version]:
        """The first matches, at a position or, inside the writer's transaction, at the head."""
        if at is None:
            return self.versions(self._rids(Compiler(self), type, filter, after=0, limit=limit))
        with self._snapshot():
            standing = self._standing(at, self.head())
            return self.versions(self._rids(Compiler(self, standing), type, filter, after=0, limit=limit), at)

    def search(self, search: Search, page: str | None) -> Page:
        """One page, read at one position: the head's, or the one that the page's token carries."""
        with self._snapshot():
            head = self.head()
            position, after, offset = (head, 0, 0) if page is None else _read_token(page, head)
            return self._search(search, position, self._standing(position, head), after, offset)

    @contextmanager
    def _snapshot(self) -> Iterator[None]:
        """One state for several reads, however much others write between them."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK")

    def _standing(self, position: Position, head: Position) -> Position | None:
        """The position to compile a search for: None for the head. Problem gone where its rows were pruned."""
        if position == head:
            return None
        if position < (earliest := prune.horizon(self.connection)):
            raise Problem.gone(
                f"This page is of position {position}, and searches can be read from position {earliest} on; "
                "send the search again",
                "http._page",
            )
        return position

    def _search(self, search: Search, position: Position, at: Position | None, after: int, offset: int) -> Page:
        more = search.count + 1 if search.count else 0
        if search.sort:
            rids = self._sorted(search, at, offset, more)
        else:
            rids = self._rids(Compiler(self, at), search.type, search.filter, after, more)
        next = None
        if search.count and len(rids) > search.count:
            rids = rids[: search.count]
            next = f"{position}.o{offset + search.count}" if search.sort else f"{position}.r{rids[-1]}"
        if next is None and not after and not offset and search.count:
            total: int | None = len(rids)
        else:
            total = self.count(search.type, search.filter, at) if search.total else None
        matches = self.versions(rids, at)
        included, issues = self._included(search.follow, rids, at) if search.follow else ((), ())
        return Page(position, tuple(matches), included, total, next, issues)

    def count(self, type: str, filter: Filter, at: Position | None = None) -> int:
        compiler = Compiler(self, at)
        sql = f"SELECT count(DISTINCT rid) FROM ({compiler.set(type, filter)})"
        return one(self.connection, sql, compiler.bindings)

    def _rids(self, compiler: Compiler, type: str, filter: Filter, after: int, limit: int) -> list[int]:
        sql = f"SELECT DISTINCT rid FROM ({compiler.set(type, filter)})"
        if after:
            sql += f" WHERE rid > {compiler.bind(after)}"
        sql += f" ORDER BY rid LIMIT {compiler.bind(limit)}"
        return self.rids(sql, compiler.bindings)

    def _sorted(self, search: Search, at: Position | None, offset: int, limit: int) -> list[int]:
        if any(sort.value is not None for sort in search.sort):
            return self._sorted_by_value(search, at)[offset : offset + limit]
        compiler = Compiler(self, at)
        candidates = compiler.set(search.type, search.filter)
        order = []
        for sort in search.sort:
            key = self._sort_key(compiler, sort)
            order += [f"{key} IS NULL", f"{key}{' DESC' if sort.descending else ''}"]
        sql = (
            f"SELECT m.rid FROM (SELECT DISTINCT rid FROM ({candidates})) m ORDER BY {', '.join(order)}, m.rid "
            f"LIMIT {compiler.bind(limit)} OFFSET {compiler.bind(offset)}"
        )
        return self.rids(sql, compiler.bindings)

    def _sort_key(self, compiler: Compiler, sort: Sort) -> str:
        if sort.index == "_lastUpdated":
            return compiler.version("m.rid")
        if sort.index == "_id":
            return f"(SELECT c.id FROM changes c WHERE c.seq = {compiler.version('m.rid')})"
        rows = compiler.rows("key", f"rid = m.rid AND {self._named(compiler, sort)}", by_rid=True)
        return f"(SELECT {'max' if sort.descending else 'min'}(key) FROM ({rows}))"

    def _named(self, compiler: Compiler, sort: Sort) -> str:
        """A condition that holds for the index's rows of values that have a name, and so a place in the order."""
        return f"name = {compiler.name(sort.index)} AND key <> {compiler.bind(NAMELESS)}"

    def _sorted_by_value(self, search: Search, at: Position | None) -> list[int]:
        """All matches, ordered by values that only the bodies tell; refused where they are too many."""
        rids = self._rids(Compiler(self, at), search.type, search.filter, 0, SORT_LIMIT + 1)
        if len(rids) > SORT_LIMIT:
            raise Problem.of(
                "too_costly",
                f"More than {SORT_LIMIT} resources would be sorted by a value that the index does not order; "
                "narrow the search, or sort by a date, string, number or _lastUpdated",
                "http._sort",
            )
        found = [(rid, version, json.loads(version.body or b"{}")) for rid, version in self._by_rid(rids, at)]
        for sort in reversed(search.sort):
            keyed = [(self._value(sort, rid, version, resource, at), rid) for rid, version, resource in found]
            present = sorted((pair for pair in keyed if pair[0] is not None), key=_first, reverse=sort.descending)
            order = [rid for _, rid in present] + [rid for value, rid in keyed if value is None]
            place = {rid: number for number, rid in enumerate(order)}
            found.sort(key=lambda item: place[item[0]])
        return [rid for rid, _, _ in found]

    def _value(self, sort: Sort, rid: int, version: Version, resource: Resource, at: Position | None) -> Any:
        if sort.value is not None:
            return sort.value(resource)
        if sort.index == "_lastUpdated":
            return (version.position, version.ordinal)
        if sort.index == "_id":
            return version.id
        compiler = Compiler(self, at)
        rows = compiler.rows("key", f"rid = {rid} AND {self._named(compiler, sort)}", by_rid=True)
        keys = [key for (key,) in self.connection.execute(rows, compiler.bindings)]
        return (max(keys) if sort.descending else min(keys)) if keys else None

    def versions(self, rids: Sequence[int], at: Position | None = None) -> list[Version]:
        """The versions of these resources at the position, in this order; what does not exist then is left out."""
        return [version for _, version in self._by_rid(rids, at)]

    def _by_rid(self, rids: Sequence[int], at: Position | None) -> list[tuple[int, Version]]:
        if not rids:
            return []
        until = "" if at is None else f"AND v.seq < {seq_of(at + 1)}"
        sql = (
            f"SELECT m.value, {VERSION} FROM json_each(?) m CROSS JOIN changes c ON c.seq = "
            f"(SELECT max(v.seq) FROM versions v WHERE v.rid = m.value {until}) "
            f"CROSS JOIN commits k ON k.position = c.seq >> {ORDINAL_BITS} WHERE c.body IS NOT NULL"
        )
        return [(row[0], version_of(row[1:])) for row in self.connection.execute(sql, (json.dumps(rids),))]

    def _included(
        self, follow: Sequence[Follow], rids: Sequence[int], at: Position | None
    ) -> tuple[tuple[Version, ...], tuple[Issue, ...]]:
        seen, found = set(rids), []
        frontier, first = list(rids), True
        while frontier:
            step: dict[int, None] = {}
            for each in follow:
                if first or each.iterate:
                    step.update(dict.fromkeys(self._followed(each, frontier, at)))
            frontier = [rid for rid in step if rid not in seen]
            seen.update(frontier)
            found += frontier
            first = False
            if len(found) > INCLUDE_LIMIT:
                issue = Issue(
                    "incomplete",
                    f"More than {INCLUDE_LIMIT} resources would be included; the rest is left out. Ask for fewer "
                    "matches a page (_count) or search for the included resources directly",
                    ("http._include",),
                    "warning",
                )
                return tuple(self.versions(found[:INCLUDE_LIMIT], at)), (issue,)
        return tuple(self.versions(found, at)), ()

    def _followed(self, follow: Follow, rids: Sequence[int], at: Position | None) -> Iterable[int]:
        compiler = Compiler(self, at)
        sources = f"SELECT value AS target FROM json_each({compiler.bind(json.dumps(rids))})"
        if follow.index is not None:
            named = f"name = {compiler.name(follow.index)}"
        else:
            every = compiler.bind(f"{follow.source_type}.*")
            named = f"name IN (SELECT number FROM names WHERE name GLOB {every})"
        if follow.reverse:
            if follow.target_type is not None:
                sources = f"SELECT target FROM ({sources}) WHERE {compiler.living(follow.target_type, 'target')}"
            sql = compiler.rows("rid AS found", f"{named} AND key = target", through=sources)
        else:
            test = f"rid = target AND {named} AND typeof(key) = 'integer' AND key > {TYPE_KEY}"
            sql = compiler.rows("key AS found", test, by_rid=True, through=sources)
            if follow.target_type is not None:
                sql = f"SELECT found FROM ({sql}) WHERE {compiler.living(follow.target_type, 'found')}"
        sql = f"SELECT DISTINCT found FROM ({sql}) ORDER BY 1"
        return self.rids(sql, compiler.bindings)

    def history(
        self,
        type: str | None,
        id: str | None,
        since: int | None,
        at: tuple[int, int] | None,
        count: int,
        page: str | None,
    ) -> Page:
        """Versions, newest first. A page token carries (position, last seq)."""
        head = self.head()
        position, below, _ = (head, seq_of(head + 1), 0) if page is None else _read_token(page, head)
        low, end = 0, seq_of(position + 1)
        if since is not None:
            low = self.before(since) + 1
        where, bindings = self._level(type, id)
        if at is not None:
            start, high = (seq_of(min(self.position_at(moment), position) + 1) for moment in (at[0], at[1] - 1))
            where, bindings = f"{where} AND (seq >= ? OR {_STOOD})", (*bindings, start, start)
            end = min(end, high)
        table = "timeline" if id is None else "versions"
        ordered = table if type is not None or at is not None else "changes"  # changes is in the order of seq
        where += " AND seq >= ? AND seq < ?"
        total = one(self.connection, f"SELECT count(*) FROM {table} t WHERE {where}", (*bindings, low, end))
        sql = f"SELECT seq FROM {ordered} t WHERE {where} ORDER BY seq DESC LIMIT ?"
        found = self.connection.execute(sql, (*bindings, low, min(end, below), count + 1)).fetchall()
        seqs = [int(row[0]) for row in found]  # type: ignore[arg-type]
        next = f"{position}.r{seqs[count - 1]}" if len(seqs) > count and count else None
        versions = [self._version_at(seq) for seq in seqs[:count]]
        return Page(position, tuple(versions), total=total, next=next)

    def _level(self, type: str | None, id: str | None) -> tuple[str, tuple[int, ...]]:
        """Which versions a history is of: all, those of a type, those of a resource."""
        if type is None:
            return "1", ()
        if id is None:
            return "type = ?", (self.number(type),)
        return "rid = ?", (self.rid(f"{type}/{id}"),)

    def _version_at(self, seq: int) -> Version:
        row = self.connection.execute(f"SELECT {VERSION} FROM changes c {JOIN_COMMIT} WHERE c.seq = ?", (seq,))
        return version_of(row.fetchall()[0])

    def changes(self, after: Cursor, limit: int) -> list[Version]:
        """What the ledger has after a cursor, oldest first."""
        return [
            version_of(row)
            for row in self.connection.execute(
                f"SELECT {VERSION} FROM changes c {JOIN_COMMIT} WHERE c.seq > ? ORDER BY c.seq LIMIT ?",
                (seq_of(*after), limit),
            )
        ]

    def facts(self, kind: str, keys: Iterable[str], at: Position | None = None) -> dict[str, list[Fact]]:
        found: dict[str, list[Fact]] = {key: [] for key in keys}
        number, wanted = self.number(kind), json.dumps(list(found))
        sought = "json_each(?2) w CROSS JOIN"
        where = "f.kind = ?1 AND f.key = w.value"
        if at is None:
            rows = self.connection.execute(
                f"SELECT f.key, f.data, f.source FROM {sought} facts f WHERE {where}", (number, wanted)
            )
        else:
            rows = self.connection.execute(
                f"SELECT f.key, f.data, f.source FROM {sought} facts f WHERE {where} AND f.since <= ?3 UNION ALL "
                f"SELECT f.key, f.data, f.source FROM {sought} ended_facts f "
                f"WHERE {where} AND f.since <= ?3 AND f.until > ?3",
                (number, wanted, at),
            )
        for key, data, source in rows:
            found[key].append(Fact(kind, key, orjson.loads(data), source))
        return found


def too_deep(error: apsw.SQLError) -> Problem:
    """What to say of a statement that SQLite will not take: a search of too many steps with too many ways."""
    if not any(reason in str(error) for reason in ("too deep", "too large")):
        raise error
    return Problem.of("too_costly", "The search goes through too many steps with too many alternatives; ask for fewer")


def _first(pair: tuple[Any, int]) -> Any:
    return pair[0]


def _read_token(page: str, head: Position) -> tuple[Position, int, int]:
    """(position, last rid or seq, offset) of a page's token."""
    position, _, place = page.partition(".")
    kind, number = place[:1], place[1:]
    if not (kind in {"r", "o"} and all(part.isdecimal() and len(part) <= _DIGITS for part in (position, number))):
        raise Problem.invalid(
            "The page's token is not one that this server gave; follow the link of a Bundle", "http._page"
        )
    if int(position) > head:
        raise Problem.invalid("The page's token names a position that the ledger has not reached", "http._page")
    return (int(position), int(number), 0) if kind == "r" else (int(position), 0, int(number))
