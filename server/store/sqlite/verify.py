"""Verify and rebuild: the ledger against its hash chain, the projections against the ledger."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import apsw
import orjson

from server.fhir import body
from server.ledger import Position, Version
from server.outcome import Problem
from server.store import chain
from server.store.engine import Finding, Projections
from server.store.sqlite import schema
from server.store.sqlite.append import Appender
from server.store.sqlite.compile import TYPE_KEY
from server.store.sqlite.schema import ORDINAL_BITS
from server.store.sqlite.tables import Tables, one, seq_of, version_of

_CHUNK = 500  # commits that one transaction of a rebuild takes


def check_projections(connection: apsw.Connection, version: str) -> None:
    """Refuse projections that lag behind the ledger or were made by other definitions."""
    applied = one(connection, "SELECT position FROM applied")
    head = one(connection, "SELECT coalesce(max(position), 0) FROM commits")
    if applied != head:
        raise Problem.of(
            "unavailable", f"A rebuild stopped at position {applied} of {head}; run `careplan rebuild` again"
        )
    if schema.setting(connection, "projections") != version:
        raise Problem.of(
            "unavailable", "The store was indexed by other definitions; run `careplan rebuild`, which keeps the ledger"
        )


def findings(tables: Tables, partition: str, projections: Projections) -> Iterator[Finding]:
    """Everything that is wrong, at one position: nothing, if all is well."""
    connection = tables.connection
    connection.execute("BEGIN")
    try:
        for (line,) in connection.execute("PRAGMA integrity_check"):
            if line != "ok":
                yield Finding("file", line)
        yield from _ledger(connection, partition)
        yield from _resources(connection)
        yield from _index(tables, projections)
    finally:
        connection.execute("ROLLBACK")


def _ledger(connection: apsw.Connection, partition: str) -> Iterator[Finding]:
    hash, expected, last = chain.genesis(partition), 1, 0
    for position, id, at, actor, stored in connection.execute(
        "SELECT position, id, at, actor, hash FROM commits ORDER BY position"
    ):
        place = f"commit {position}"
        if position != expected:
            yield Finding(place, f"the ledger goes from position {expected - 1} to {position}")
        if at < last:
            yield Finding(place, "its instant is before that of the commit before it")
        links = []
        for method, type, resource_id, digest, content in connection.execute(
            "SELECT method, type, id, digest, body FROM changes WHERE seq >= ? AND seq < ? ORDER BY seq",
            (seq_of(position), seq_of(position + 1)),
        ):
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
        extra = one(connection, f"SELECT count(*) FROM {table} WHERE seq NOT IN (SELECT seq FROM changes)")
        if extra:
            yield Finding(table, f"{extra} rows are of no version in the ledger")


def _index(tables: Tables, projections: Projections) -> Iterator[Finding]:
    """The index and the facts of every current resource, made again and compared; then what is left over."""
    connection, rows_seen, facts_seen = tables.connection, 0, 0
    for rid, type, id, content in connection.execute(
        "SELECT r.rid, c.type, c.id, c.body FROM resources r JOIN changes c ON c.seq = r.seq WHERE c.body IS NOT NULL"
    ):
        place = f"{type}/{id}"
        try:
            resource = body.loads(bytes(content))
        except (Problem, TypeError):
            yield Finding(place, "its body is no JSON")
            continue
        wanted: set[tuple[int, int | bytes]] = {(tables.number(type), TYPE_KEY)}
        wanted |= {
            (tables.number(name), tables.rid(key) if isinstance(key, str) else key)
            for name, key in projections.rows(resource)
        }
        stored = set(connection.execute("SELECT name, key FROM rows WHERE rid = ?", (rid,)))
        rows_seen += len(stored)
        if wanted != stored:
            yield Finding(place, f"the index lacks {len(wanted - stored)} rows and has {len(stored - wanted)} too many")
        facts = {
            (tables.number(kind), key, number, orjson.dumps(data, option=orjson.OPT_SORT_KEYS))
            for number, (kind, key, data) in enumerate(projections.facts(resource))
        }
        stored_facts = {
            (kind, key, number, orjson.dumps(orjson.loads(data), option=orjson.OPT_SORT_KEYS))
            for kind, key, number, data in connection.execute(
                "SELECT kind, key, number, data FROM facts WHERE rid = ?", (rid,)
            )
        }
        facts_seen += len(stored_facts)
        if facts != stored_facts:
            yield Finding(place, "its facts are not those that follow from it")
    for table, seen in (("rows", rows_seen), ("facts", facts_seen)):
        count = one(connection, f"SELECT count(*) FROM {table}")
        if count != seen:
            yield Finding(table, f"{count - seen} rows are of resources that are deleted or never were")


def rebuild(
    connection: apsw.Connection, partition: str, projections: Projections, progress: Callable[[int, int], None]
) -> None:
    """Drop the projections and make them again, a chunk of commits a transaction. `progress(done, of)`."""
    with connection:
        for table in schema.PROJECTION_TABLES:
            connection.execute(f"DROP TABLE IF EXISTS {table}")
        connection.execute(schema.PROJECTIONS)
    tables = Tables(connection)
    appender = Appender(tables, partition)
    head = tables.head()
    for start in range(1, head + 1, _CHUNK):
        end = min(start + _CHUNK - 1, head)
        with connection:
            appender.begin()
            for version in _versions(connection, start, end):
                _project(appender, version, projections)
            appender.end(end)
        progress(end, head)
    connection.execute("UPDATE settings SET value = ? WHERE name = 'projections'", (projections.version,))


def _versions(connection: apsw.Connection, start: Position, end: Position) -> Iterator[Version]:
    for row in connection.execute(
        "SELECT c.seq, c.method, c.type, c.id, k.at, c.body FROM changes c "
        f"JOIN commits k ON k.position = c.seq >> {ORDINAL_BITS} WHERE c.seq >= ? AND c.seq < ? ORDER BY c.seq",
        (seq_of(start), seq_of(end + 1)),
    ):
        yield version_of(row)


def _project(appender: Appender, version: Version, projections: Projections) -> None:
    resource = None if version.body is None else body.loads(version.body)
    now = appender.tables.read(version.type, version.id)
    rows = projections.rows(resource) if resource else ()
    facts = projections.facts(resource) if resource else ()
    appender.project(version, now, rows, facts)
