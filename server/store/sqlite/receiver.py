"""The ledger of a file, as who copies it reads and writes it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from itertools import groupby
from typing import Any

import apsw

from server.ledger import Position
from server.outcome import Problem
from server.store import chain
from server.store.engine import Projections
from server.store.recorded import Head, Recorded, RecordedChange
from server.store.refusal import COPYING
from server.store.seq import ORDINAL_BITS, seq_of
from server.store.sqlite import rebuild, schema
from server.store.sqlite.append import Appender
from server.store.sqlite.tables import Tables

_READ = 200  # commits that one question answers

_COMMITS = (
    "SELECT position, id, at, actor, fingerprint, answer, hash FROM commits "
    "WHERE position > ? AND position <= ? ORDER BY position"
)
_CHANGES = "SELECT seq, method, type, id, digest, body FROM changes WHERE seq >= ? AND seq < ? ORDER BY seq"


class SqliteLedger:
    """Reads by a connection of its own."""

    def __init__(self, connection: apsw.Connection, partition: str) -> None:
        self.connection = connection
        self.partition = partition

    async def head(self) -> Head:
        sql = "SELECT position, at, hash FROM commits ORDER BY position DESC LIMIT 1"
        row: Any = self.connection.execute(sql).fetchone()
        return Head(*row) if row else Head(0, 0, chain.genesis(self.partition))

    async def hash(self, position: Position) -> bytes | None:
        row: Any = self.connection.execute("SELECT hash FROM commits WHERE position = ?", (position,)).fetchone()
        return row[0] if row else None

    async def commits(self, after: Position, until: Position) -> AsyncGenerator[Recorded, None]:
        for start in range(after, until, _READ):
            for commit in self._commits(start, min(start + _READ, until)):
                yield commit

    def _commits(self, after: Position, until: Position) -> Iterator[Recorded]:
        rows: Iterator[Any] = self.connection.execute(_CHANGES, (seq_of(after + 1), seq_of(until + 1)))
        written = groupby(rows, lambda row: row[0] >> ORDINAL_BITS)
        position, changes = next(written, (0, ()))
        for row in self.connection.execute(_COMMITS, (after, until)):
            while position and position < row[0]:  # changes of no commit: `verify` tells of them
                position, changes = next(written, (0, ()))
            own = tuple(RecordedChange(*each[1:]) for each in changes) if position == row[0] else ()
            yield Recorded._make((*row, own))


class SqliteReceiver(SqliteLedger):
    """Writes too."""

    def __init__(self, connection: apsw.Connection, partition: str, projections: Projections) -> None:
        super().__init__(connection, partition)
        self.projections = projections
        self.appender = Appender(Tables(connection), partition)

    async def begin(self) -> None:
        schema.set_definitions(self.connection, COPYING + self.projections.version)

    async def append(self, commits: Sequence[Recorded]) -> None:
        try:
            with self.connection:
                self.appender.begin()
                for commit in commits:
                    self.appender.record(commit)
                    for version in commit.versions():
                        self.appender.project_anew(version, self.projections)
                self.appender.end(commits[-1].position)
        except apsw.FullError:
            raise Problem.of("no_store", "The target's disk is full. With more room the same command goes on") from None

    async def finish(self, progress: Callable[[int, int], None]) -> None:
        rebuild.follow(self.appender, self.projections, progress)
        schema.set_definitions(self.connection, self.projections.version)
