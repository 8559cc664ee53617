"""Rebuild: the projections made again, from the ledger alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import apsw

from server.ledger import Position, Version
from server.store.engine import Projections
from server.store.seq import seq_of
from server.store.sqlite import schema
from server.store.sqlite.append import Appender
from server.store.sqlite.late import Late
from server.store.sqlite.tables import JOIN_COMMIT, VERSION, Tables, version_of

_CHUNK = 500  # commits that one transaction takes
_LATE = 1.0  # seconds of what is made late that one takes


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
                appender.project_anew(version, projections)
            appender.end(end)
        progress(end, head)
    follow(appender, projections)
    schema.set_definitions(connection, projections.version)


def follow(
    appender: Appender, projections: Projections, progress: Callable[[int, int], None] = lambda done, of: None
) -> None:
    """Bring what is made late on to the head. `progress(done, of)` is of the ledger's positions."""
    late, done = Late(appender, projections), False
    while not done:
        with appender.connection:
            head = appender.begin().position
            done = late.step(time.monotonic() + _LATE)
            appender.end(head)
        progress(int(min(appender.tables.following().values()) * head), head)


def _versions(connection: apsw.Connection, start: Position, end: Position) -> Iterator[Version]:
    for row in connection.execute(
        f"SELECT {VERSION} FROM changes c {JOIN_COMMIT} WHERE c.seq >= ? AND c.seq < ? ORDER BY c.seq",
        (seq_of(start), seq_of(end + 1)),
    ):
        yield version_of(row)
