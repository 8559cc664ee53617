"""Verify: the ledger against its hash chain, the projections against the ledger."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import apsw
import orjson

from server.fhir import body
from server.ledger import LateIndex, Position, Resource, Version
from server.outcome import Problem
from server.store import chain
from server.store.engine import WORDS, Finding, Projections, fact_text
from server.store.seq import ORDINAL_BITS, seq_of
from server.store.sqlite import prune, schema
from server.store.sqlite.compile import TYPE_KEY
from server.store.sqlite.late import defined, digest_of, family
from server.store.sqlite.tables import JOIN_COMMIT, VERSION, Tables, one, version_of

_TOLD = 1000  # steps between two words of progress
_REFERENCES = 100_000  # whose numbers are remembered
_LAST = "SELECT coalesce(max(position), 0) FROM commits"


def check_applied(connection: apsw.Connection) -> None:
    """Problem unavailable where the projections lag behind the ledger."""
    applied = one(connection, "SELECT position FROM applied")
    head = one(connection, _LAST)
    if applied != head:
        raise Problem.of(
            "unavailable", f"A rebuild stopped at position {applied} of {head}; run `careplan rebuild` again"
        )


Step = Callable[[], None]


def findings(
    tables: Tables, partition: str, projections: Projections, progress: Callable[[int, int], None]
) -> Iterator[Finding]:
    """Everything that is wrong, at one position: nothing, if all is well.

    Each version is looked at twice: as the ledger has it, and as the projections do. `progress(done, of)` counts both.
    """
    connection = tables.connection
    connection.execute("BEGIN")
    try:
        step = _steps(progress, 2 * one(connection, "SELECT count(*) FROM changes"))
        for checks in (
            _file(connection),
            _ledger(connection, partition, step),
            _resources(connection),
            _projections(tables, projections, step),
        ):
            yield from _readable(checks)
    finally:
        connection.execute("ROLLBACK")


def _steps(progress: Callable[[int, int], None], of: int) -> Step:
    """What tells of the next of so many steps; not of each, which would take its time."""
    progress(0, of)
    done = itertools.count(1)

    def step() -> None:
        if (number := next(done)) % _TOLD == 0 or number == of:
            progress(number, of)

    return step


def _readable(checks: Iterator[Finding]) -> Iterator[Finding]:
    """The findings, and one more where what is damaged cannot even be read."""
    try:
        yield from checks
    except Exception as error:  # noqa: BLE001 - there is no end to what a flipped bit can make of a value
        yield Finding("file", f"it is damaged, and cannot be read on from there: {error}")


def _file(connection: apsw.Connection) -> Iterator[Finding]:
    for (line,) in connection.execute("PRAGMA integrity_check"):
        if line != "ok":
            yield Finding("file", line)
    with closing(apsw.Connection(":memory:")) as fresh:
        fresh.execute(schema.LEDGER)
        fresh.execute(schema.PROJECTIONS)
        tables = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"
        if list(fresh.execute(tables)) != list(connection.execute(tables)):
            yield Finding("file", "its tables are not those of its schema")


def _ledger(connection: apsw.Connection, partition: str, step: Step) -> Iterator[Finding]:
    hash, expected, last = chain.genesis(partition), 1, 0
    for position, id, at, actor, stored, fingerprint, answer in connection.execute(
        "SELECT position, id, at, actor, hash, fingerprint, answer FROM commits ORDER BY position"
    ):
        place = f"commit {position}"
        if fingerprint is not None and not _is_answer(connection, answer):
            yield Finding(place, "what its Idempotency-Key is answered with cannot be read")
        if position != expected:
            yield Finding(place, f"the ledger goes from position {expected - 1} to {position}")
        if at < last:
            yield Finding(place, "its instant is before that of the commit before it")
        links = []
        for method, type, resource_id, digest, content in connection.execute(
            "SELECT method, type, id, digest, body FROM changes WHERE seq >= ? AND seq < ? ORDER BY seq",
            (seq_of(position), seq_of(position + 1)),
        ):
            step()
            links.append((method, type, resource_id, digest))
            if content is not None and not (isinstance(content, bytes) and chain.digest(content) == digest):
                yield Finding(place, f"the body of {type}/{resource_id} is not the one that was written")
        hash = chain.link(hash, position, id, at, actor, links)
        if hash != stored:
            yield Finding(place, "its hash does not follow from the commit before it and its own changes")
            hash = stored
        expected, last = position + 1, at
    strays = one(
        connection, f"SELECT count(*) FROM changes WHERE seq >> {ORDINAL_BITS} NOT IN (SELECT position FROM commits)"
    )
    if strays:
        yield Finding("changes", f"{strays} changes belong to no commit")


def _resources(connection: apsw.Connection) -> Iterator[Finding]:
    """Each resource's current version, and its versions, against the ledger's changes."""
    joined = (
        "FROM changes c LEFT JOIN names n ON n.name = c.type LEFT JOIN resources r ON r.type = n.number AND r.id = c.id"
    )
    for type, id in connection.execute(
        f"SELECT c.type, c.id {joined} LEFT JOIN versions v ON v.rid = r.rid AND v.seq = c.seq "
        "LEFT JOIN timeline t ON t.type = n.number AND t.seq = c.seq AND t.rid = r.rid "
        "WHERE v.seq IS NULL OR t.seq IS NULL"
    ):
        yield Finding(f"{type}/{id}", "a version in the ledger is missing from its history")
    for type, id in connection.execute(
        "SELECT n.name, r.id FROM resources r JOIN names n ON n.number = r.type "
        "WHERE r.seq IS NOT (SELECT max(v.seq) FROM versions v WHERE v.rid = r.rid)"
    ):
        yield Finding(f"{type}/{id}", "the current version is not the last one in the ledger")
    for table in ("versions", "timeline"):
        extra = one(connection, f"SELECT (SELECT count(*) FROM {table}) - (SELECT count(*) FROM changes)")
        if extra > 0:
            yield Finding(table, f"{extra} rows are of no version in the ledger")
    if one(connection, "SELECT position FROM applied") != one(connection, _LAST):
        yield Finding("applied", "the projections are not of the ledger's last position")
    if one(connection, "SELECT next_rid FROM applied") <= one(
        connection, "SELECT coalesce(max(rid), 0) FROM resources"
    ):
        yield Finding("applied", "the number that the next resource will have is taken")


def _is_answer(connection: apsw.Connection, answer: bytes | None) -> bool:
    """Whether a stored answer names versions that the ledger has."""
    written = "SELECT EXISTS (SELECT 1 FROM changes WHERE seq >= ? AND seq < ? AND type = ? AND id = ?)"
    try:
        _, places = orjson.loads(answer or b"")
        return all(
            one(connection, written, (seq_of(version), seq_of(version + 1), type, id)) for type, id, version in places
        )
    except (ValueError, TypeError):
        return False


def _projections(tables: Tables, projections: Projections, step: Step) -> Iterator[Finding]:
    """The index and the facts of every version of each resource, made again and compared; then what is left over."""
    connection, seen = tables.connection, Counter[str]()
    custom, words, stored_key = _Custom(tables, projections), _Words(connection), _keys(tables)
    horizon, reached = prune.horizon(connection), tables.late(WORDS)
    ordered = connection.execute(
        f"SELECT v.rid, {VERSION} FROM versions v JOIN changes c ON c.seq = v.seq {JOIN_COMMIT} ORDER BY v.rid, v.seq"
    )
    for rid, found in groupby(ordered, key=itemgetter(0)):
        versions = []
        for row in found:
            step()
            versions.append(version_of(row[1:]))
        place = versions[-1].reference
        try:
            states = [(version.position, body.loads(version.body) if version.body else None) for version in versions]
        except (Problem, TypeError):
            yield Finding(place, "a body of it is no JSON")
            continue
        followed = [state for state, version in zip(states, versions, strict=True) if _seq(version) <= reached]
        remade = _Remade(
            _periods((position, _rows(tables, stored_key, projections, resource)) for position, resource in states),
            _periods((position, _facts(tables, projections, resource, place)) for position, resource in states),
            _periods((position, _texts(tables, projections, resource)) for position, resource in followed),
        )
        late = custom.checks(versions, [resource for _, resource in states], rid, horizon)
        for table, required, allowed, stored in (*late, *remade.checks(connection, rid, horizon)):
            seen[table] += len(stored)
            if not required <= stored <= allowed:
                missing, extra = len(required - stored), len(stored - allowed)
                yield Finding(place, f"{table} lacks {missing} of its rows and has {extra} too many")
        if followed and (resource := followed[-1][1]):
            yield from words.expect(place, rid, projections.texts(resource))
    yield from words.lacking()
    seen["texts"] += seen.pop("ended_texts", 0)
    if (indexed := one(connection, "SELECT count(*) FROM words_docsize")) != seen["texts"]:
        yield Finding("words", f"the index holds {indexed} texts in the place of {seen['texts']}")
    for table in ("rows", "ended_rows", "facts", "ended_facts", "texts"):
        if extra := one(connection, f"SELECT count(*) FROM {table}") - seen[table]:
            yield Finding(table, f"{extra} rows are of resources that are deleted or never were")


Row = tuple[Any, ...]
_HELD_ROWS = "SELECT name, key, since FROM rows WHERE rid = ?"
_ENDED_ROWS = "SELECT name, key, since, until FROM ended_rows WHERE rid = ?"
_HELD_FACTS = "SELECT kind, key, number, data, source, since FROM facts WHERE rid = ?"
_HELD_TEXTS = "SELECT digest, type, since FROM texts WHERE rid = ? AND until IS NULL"
_ENDED_TEXTS = "SELECT digest, type, since, until FROM texts WHERE rid = ? AND until IS NOT NULL"
_ENDED_FACT = (
    "SELECT kind, key, number, data, source, since, until FROM ended_facts "
    "WHERE kind = ? AND key = ? AND rid = ? AND number = ? AND since = ?"
)


Check = tuple[str, set[Row], set[Row], set[Row]]  # (table, rows that must be there, that may, that are)


class _Custom:
    """The indexes that stored SearchParameters define, as far as each has come."""

    def __init__(self, tables: Tables, projections: Projections) -> None:
        self.tables = tables
        self.indexes = list(defined(tables, projections).values())
        self.numbers = {index.name: family(tables.connection, index.name) for index in self.indexes}

    def checks(
        self, versions: Sequence[Version], resources: Sequence[Resource | None], rid: int, horizon: Position
    ) -> Iterator[Check]:
        for index in self.indexes:
            if index.type != versions[0].type or (reached := self.tables.late(index.name)) < 0:
                continue
            periods = _periods(
                (version.position, self._rows(index, resource))
                for version, resource in zip(versions, resources, strict=True)
                if _seq(version) <= reached
            )
            yield "late_rows", periods.held, periods.held, self._stored(_HELD_LATE, index, rid)
            yield "ended_late_rows", periods.after(horizon), periods.ended, self._stored(_ENDED_LATE, index, rid)

    def _rows(self, index: LateIndex, resource: Resource | None) -> set[Row]:
        return {
            (self.tables.number(name), self.tables.rid(key) if isinstance(key, str) else key)
            for name, key in (index.rows(resource) if resource else ())
        }

    def _stored(self, sql: str, index: LateIndex, rid: int) -> set[Row]:
        numbers = self.numbers[index.name]
        return {row for number in numbers for row in self.tables.connection.execute(sql, (rid, number))}


_HELD_LATE = "SELECT name, key, since FROM late_rows WHERE rid = ? AND name = ?"
_ENDED_LATE = "SELECT name, key, since, until FROM ended_late_rows WHERE rid = ? AND name = ?"


class Periods(NamedTuple):
    """Rows that hold, each with since when; rows that held, each with since when and until when."""

    held: set[Row]
    ended: set[Row]

    def after(self, horizon: Position) -> set[Row]:
        """What was not pruned."""
        return {row for row in self.ended if row[-1] > horizon}


class _Remade(NamedTuple):
    """What one resource's versions give, made again."""

    rows: Periods
    facts: Periods
    texts: Periods

    def checks(self, connection: apsw.Connection, rid: int, horizon: Position) -> Iterator[Check]:
        for table, kept, held, past in (
            ("rows", self.rows, _HELD_ROWS, _ENDED_ROWS),
            ("texts", self.texts, _HELD_TEXTS, _ENDED_TEXTS),
        ):
            yield table, kept.held, kept.held, _stored(connection, held, rid)
            yield f"ended_{table}", kept.after(horizon), kept.ended, _stored(connection, past, rid)
        yield "facts", self.facts.held, self.facts.held, _stored(connection, _HELD_FACTS, rid)
        ended = self.facts.ended
        yield "ended_facts", ended, ended, _stored_facts(connection, ended, rid)


def _periods(states: Iterable[tuple[Position, set[Row]]]) -> Periods:
    """From when to when each row held, by what held from each of a resource's versions on."""
    since: dict[Row, Position] = {}
    ended: set[Row] = set()
    for position, rows in states:
        ended |= {(*row, since.pop(row), position) for row in since.keys() - rows}
        since |= dict.fromkeys(rows - since.keys(), position)
    return Periods({(*row, start) for row, start in since.items()}, ended)


def _keys(tables: Tables) -> Callable[[bytes | str], Any]:
    """A key as it is stored: a resource's number for a reference to it. Many lead to the same few."""
    rid = lru_cache(_REFERENCES)(tables.rid)
    return lambda key: rid(key) if isinstance(key, str) else key


def _rows(
    tables: Tables, stored_key: Callable[[bytes | str], Any], projections: Projections, resource: Resource | None
) -> set[Row]:
    if not resource:
        return set()
    return {(tables.number(resource["resourceType"]), TYPE_KEY)} | {
        (tables.number(name), stored_key(key)) for name, key in projections.rows(resource)
    }


def _facts(tables: Tables, projections: Projections, resource: Resource | None, source: str) -> set[Row]:
    if not resource:
        return set()
    return {
        (tables.number(kind), key, number, fact_text(data), source)
        for number, (kind, key, data) in enumerate(projections.facts(resource))
    }


def _texts(tables: Tables, projections: Projections, resource: Resource | None) -> set[Row]:
    if not resource:
        return set()
    return {(digest_of(projections.texts(resource)), tables.number(resource["resourceType"]))}


class _Words:
    """Whether the first word of each of a resource's texts leads to it: asked once a word, for many resources."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.expected: dict[str, dict[int, str]] = {}  # word -> text -> where it is from
        self.waiting = 0

    def expect(self, place: str, rid: int, texts: tuple[str, str]) -> Iterator[Finding]:
        """Remember what is to be asked; ask it where that is enough for now."""
        for (doc,) in self.connection.execute("SELECT doc FROM texts WHERE rid = ? AND until IS NULL", (rid,)):
            for text in texts:
                if word := _WORD.search(text):
                    self.expected.setdefault(word[0], {})[doc] = place
                    self.waiting += 1
        if self.waiting >= _ASKED:
            yield from self.lacking()

    def lacking(self) -> Iterator[Finding]:
        """What the words that wait do not lead to."""
        for word, docs in self.expected.items():
            found = self.connection.execute(
                "SELECT rowid FROM words WHERE words MATCH ? AND rowid BETWEEN ? AND ?",
                (f'"{word}"', min(docs), max(docs)),
            )
            for doc in docs.keys() - {doc for (doc,) in found}:
                yield Finding(docs[doc], "its words are not in the index")
        self.expected.clear()
        self.waiting = 0


def _seq(version: Version) -> int:
    return seq_of(version.position, version.ordinal)


_WORD = re.compile(r"[^\W_]+")
_ASKED = 10_000  # words


def _stored(connection: apsw.Connection, sql: str, rid: int) -> set[Row]:
    return set(connection.execute(sql, (rid,)))


def _stored_facts(connection: apsw.Connection, ended: set[Row], rid: int) -> set[Row]:
    """Those of a resource's ended facts that are there: no index leads to them by the resource."""
    return {
        found
        for kind, key, number, _, _, since, _ in ended
        for found in connection.execute(_ENDED_FACT, (kind, key, rid, number, since))
    }
