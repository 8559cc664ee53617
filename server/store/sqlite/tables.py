"""Tables: what one connection reads, at the head or at an earlier position. Synchronous; a connection a thread."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import apsw
import orjson

from server.ledger import Cursor, Fact, Position, Version
from server.outcome import Problem
from server.search.filter import MARK, Filter
from server.store import token
from server.store.engine import Named, Page
from server.store.seq import MASK, ORDINAL_BITS, seq_of
from server.store.sqlite import prune
from server.store.sqlite.compile import Compiler
from server.store.token import AFTER, Token

UNKNOWN = -1  # the number of a name, or of a resource, that no row has

VERSION = "c.seq, c.method, c.type, c.id, k.at, c.body"
JOIN_COMMIT = f"JOIN commits k ON k.position = c.seq >> {ORDINAL_BITS}"
_READ = f"SELECT {VERSION} FROM resources r JOIN changes c ON c.seq = r.seq {JOIN_COMMIT} WHERE r.type = ? AND r.id = ?"
_STOOD = "seq = (SELECT max(v.seq) FROM versions v WHERE v.rid = t.rid AND v.seq < ?)"  # the version before a seq


_LATE = "SELECT seq FROM late WHERE name = ?"


class Behind(Exception):  # noqa: N818 - not an error: the search waits
    """A late index has not come to the position that a search is read at."""

    def __init__(self, name: str, position: Position) -> None:
        super().__init__(name, position)
        self.name = name
        self.position = position


def one(connection: apsw.Connection, sql: str, bindings: Sequence[Any] = ()) -> int:
    """The one number that a query answers with."""
    value: int = connection.execute(sql, bindings).fetchall()[0][0]  # type: ignore[assignment]
    return value


def version_of(row: Sequence[Any]) -> Version:
    """A row of the columns VERSION."""
    seq, method, type, id, at, body = row
    return Version(type, id, seq >> ORDINAL_BITS, seq & MASK, method, at, body)


class Tables:
    """Reads over one connection. A `Lookup` for the Compiler."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self._numbers: dict[str, int] = {}
        self._counted: dict[str | None, tuple[int, int]] = {}  # by type: a seq, and the versions before it

    def head(self) -> Position:
        return one(self.connection, "SELECT coalesce(max(position), 0) FROM commits")

    def number(self, name: str) -> int:
        found = self._numbers.get(name)
        if found is None:
            row = self.connection.execute("SELECT number FROM names WHERE name = ?", (name,)).fetchone()
            if row is None:
                return UNKNOWN  # another process may name it later: not remembered
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
        return UNKNOWN if row is None else row[0]

    def rids(self, sql: str, bindings: Sequence[Any]) -> list[int]:
        return [rid for (rid,) in self.connection.execute(sql, bindings)]

    def check_reached(self, name: str, at: Position | None) -> None:
        position = self.head() if at is None else at
        if not self.has_reached(name, position):
            raise Behind(name, position)

    def has_reached(self, name: str, position: Position) -> bool:
        """Whether a late index has come to a position: to all changes before, or to those of the type that it is of."""
        source = "changes WHERE"
        bindings: tuple[int, ...] = (seq_of(position + 1),)
        if MARK in name:
            source, bindings = "timeline WHERE type = ? AND", (self.number(name.partition(".")[0]), *bindings)
        return self.late(name) >= one(self.connection, f"SELECT coalesce(max(seq), 0) FROM {source} seq < ?", bindings)

    def late(self, name: str) -> int:
        """The seq that a late index has come to; -1 where it is none, or none any more."""
        row = self.connection.execute(_LATE, (name,)).fetchone()
        return -1 if row is None else row[0]

    def following(self) -> dict[str, float]:
        """How much of the ledger each late index has followed, from 0 to 1."""
        last = one(self.connection, "SELECT coalesce(max(seq), 0) FROM changes")
        found: Any = self.connection.execute("SELECT name, seq FROM late WHERE seq >= 0").fetchall()
        return {name: min(1.0, seq / last) if last else 1.0 for name, seq in found}

    def last(self, type: str) -> Position:
        """The position of the last change to a resource of the type."""
        sql = "SELECT coalesce(max(seq), 0) FROM timeline WHERE type = ?"
        return one(self.connection, sql, (self.number(type),)) >> ORDINAL_BITS

    def before(self, at: int) -> int:
        return seq_of(self.position_at(at - 1), MASK)

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

    def read_many(self, references: Iterable[str], at: Position | None = None) -> dict[str, Version]:
        """What `read` finds of each, by its reference. One query a type."""
        ids: dict[str, list[str]] = {}
        for reference in references:
            type, _, id = reference.partition("/")
            ids.setdefault(type, []).append(id)
        seq = "r.seq" if at is None else "(SELECT max(v.seq) FROM versions v WHERE v.rid = r.rid AND v.seq < ?3)"
        sql = (
            f"SELECT {VERSION} FROM json_each(?2) w CROSS JOIN resources r ON r.type = ?1 AND r.id = w.value "
            f"CROSS JOIN changes c ON c.seq = {seq} CROSS JOIN commits k ON k.position = c.seq >> {ORDINAL_BITS}"
        )
        until = () if at is None else (seq_of(at + 1),)
        found: dict[str, Version] = {}
        for type, wanted in ids.items():
            for row in self.connection.execute(sql, (self.number(type), json.dumps(wanted), *until)):
                version = version_of(row)
                found[version.reference] = version
        return found

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
            return self.versions(self._matching(Compiler(self), type, filter, limit))
        with self.snapshot():
            standing = self.standing(at, self.head())
            return self.versions(self._matching(Compiler(self, standing), type, filter, limit), at)

    def _matching(self, compiler: Compiler, type: str, filter: Filter, limit: int) -> list[int]:
        sql = f"SELECT DISTINCT rid FROM ({compiler.set(type, filter)}) ORDER BY rid LIMIT {compiler.bind(limit)}"
        return self.rids(sql, compiler.bindings)

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """One state for several reads, however much others write between them."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self.connection.execute("ROLLBACK")

    def standing(self, position: Position, head: Position) -> Position | None:
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

    def types(self, rids: Sequence[int]) -> list[str]:
        """The types of resources that were written once."""
        sql = (
            "SELECT DISTINCT c.type FROM json_each(?) m CROSS JOIN changes c ON c.seq = "
            "(SELECT max(v.seq) FROM versions v WHERE v.rid = m.value)"
        )
        return sorted(type for (type,) in self.connection.execute(sql, (json.dumps(rids),)))

    def versions(self, rids: Sequence[int], at: Position | None = None) -> list[Version]:
        """The versions of these resources at the position, in this order; what does not exist then is left out."""
        return [version for _, version in self.by_rid(rids, at)]

    def by_rid(self, rids: Sequence[int], at: Position | None) -> list[tuple[int, Version]]:
        if not rids:
            return []
        until = "" if at is None else f"AND v.seq < {seq_of(at + 1)}"
        sql = (
            f"SELECT m.value, {VERSION} FROM json_each(?) m CROSS JOIN changes c ON c.seq = "
            f"(SELECT max(v.seq) FROM versions v WHERE v.rid = m.value {until}) "
            f"CROSS JOIN commits k ON k.position = c.seq >> {ORDINAL_BITS} WHERE c.body IS NOT NULL"
        )
        return [(row[0], version_of(row[1:])) for row in self.connection.execute(sql, (json.dumps(rids),))]

    def history(
        self,
        type: str | None,
        id: str | None,
        since: int | None,
        at: tuple[int, int] | None,
        count: int,
        page: str | None,
        only: Collection[Named] | None = None,
    ) -> Page:
        """Versions, newest first. A page token carries (position, last seq)."""
        head = self.head()
        position, _, below = (head, "", seq_of(head + 1)) if page is None else token.read(page, head, AFTER)
        low, end = 0, seq_of(position + 1)
        if since is not None:
            low = self.before(since) + 1
        where, bindings = self._level(type, id) if only is None else self._named(type, id, only)
        if at is not None:
            start, high = (seq_of(min(self.position_at(moment), position) + 1) for moment in (at[0], at[1] - 1))
            where, bindings = f"{where} AND (seq >= ? OR {_STOOD})", (*bindings, start, start)
            end = min(end, high)
        table = "timeline" if id is None and only is None else "versions"
        is_whole = type is None and at is None and only is None
        ordered = "changes" if is_whole else table  # changes is in the order of seq
        where += " AND seq >= ? AND seq < ?"
        if at is None and since is None and id is None and only is None:
            total = self._versions_before(end, type)
        else:
            total = one(self.connection, f"SELECT count(*) FROM {table} t WHERE {where}", (*bindings, low, end))
        sql = f"SELECT seq FROM {ordered} t WHERE {where} ORDER BY seq DESC LIMIT ?"
        found = self.connection.execute(sql, (*bindings, low, min(end, below), count + 1)).fetchall()
        seqs = [int(row[0]) for row in found]  # type: ignore[arg-type]
        next = str(Token(position, AFTER, seqs[count - 1])) if len(seqs) > count and count else None
        versions = [self._version_at(seq) for seq in seqs[:count]]
        created = frozenset(Cursor(one.position, one.ordinal) for one in versions if self._is_created(one))
        return Page(position, tuple(versions), total=total, next=next, created=created)

    def _versions_before(self, end: int, type: str | None) -> int:
        """How many versions there are before a seq. They stay: only those since the last count are counted."""
        last, total = self._counted.get(type, (0, 0))
        # those of all types: `timeline` is short, and has no order of theirs; a few are read from where they stand
        table = "changes" if type is None and last else "timeline"
        where, bindings = self._level(type, None)
        sql = f"SELECT count(*) FROM {table} WHERE {where} AND seq >= ? AND seq < ?"
        between = one(self.connection, sql, (*bindings, *sorted((last, end))))
        total += between if end >= last else -between
        self._counted[type] = (end, total)
        return total

    def _level(self, type: str | None, id: str | None) -> tuple[str, tuple[Any, ...]]:
        """Which versions a history is of: all, those of a type, those of a resource."""
        if type is None:
            return "1", ()
        if id is None:
            return "type = ?", (self.number(type),)
        return "rid = ?", (self.rid(f"{type}/{id}"),)

    def _named(self, type: str | None, id: str | None, only: Collection[Named]) -> tuple[str, tuple[Any, ...]]:
        """Of what a history is of, the resources and the single versions that are named."""
        top = self.head()
        spans = [
            (self.rid(reference), seq_of(position or 0), seq_of((top if position is None else position) + 1))
            for reference, position in only
            if reference == f"{type}/{id}" or (id is None and type in (None, reference.partition("/")[0]))
        ]
        where = (
            "(rid, seq) IN (SELECT v.rid, v.seq FROM json_each(?) w CROSS JOIN versions v ON v.rid = w.value ->> 0 "
            "AND v.seq >= w.value ->> 1 AND v.seq < w.value ->> 2)"
        )
        return where, (json.dumps(spans),)

    def _version_at(self, seq: int) -> Version:
        row = self.connection.execute(f"SELECT {VERSION} FROM changes c {JOIN_COMMIT} WHERE c.seq = ?", (seq,))
        return version_of(row.fetchall()[0])

    def _is_created(self, version: Version) -> bool:
        """True where nothing stood before the version."""
        if version.method != "PUT":
            return version.method == "POST"
        stood = self.connection.execute(
            "SELECT c.body IS NOT NULL FROM versions v JOIN changes c ON c.seq = v.seq "
            "WHERE v.rid = ? AND v.seq < ? ORDER BY v.seq DESC LIMIT 1",
            (self.rid(version.reference), seq_of(version.position, version.ordinal)),
        ).fetchone()
        return stood is None or not stood[0]

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
        """The facts under each key, at a position or, inside the writer's transaction, at the head."""
        if at is None:
            return self._told(kind, keys, None)
        with self.snapshot():
            return self._told(
                kind, keys, None if at == self.head() else at
            )  # none of those that ended holds at the head

    def _told(self, kind: str, keys: Iterable[str], at: Position | None) -> dict[str, list[Fact]]:
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


@contextmanager
def bounded(counted: Counter[str], what: str, seconds: float, instead: str) -> Iterator[None]:
    """What a client is told of a search that SQLite will not take, too_costly, or that its time ends, timeout."""
    try:
        yield
    except apsw.SQLError as error:
        if not any(reason in str(error) for reason in ("too deep", "too large")):
            raise
        words = "The search goes through too many steps with too many alternatives; ask for fewer"
        raise Problem.of("too_costly", words) from None
    except apsw.InterruptError:
        counted["timeouts"] += 1
        raise Problem.of("timeout", f"{what} took longer than {seconds:g} seconds; {instead}") from None
