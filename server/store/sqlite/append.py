"""Append: what one commit writes. The ledger's rows first, then the projections, all in the group's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import apsw

from server.fhir import body
from server.ledger import Change, Context, FactRow, IndexRow, Position, Version
from server.store import chain
from server.store.engine import Projections, fact_text
from server.store.recorded import Head, Recorded, recorded
from server.store.seq import seq_of
from server.store.sqlite.compile import TYPE_KEY
from server.store.sqlite.tables import Tables, one

_RIDS_REMEMBERED = 100_000


# In the order of Appender._waiting.
_INSERTS = (
    "INSERT INTO versions VALUES (?, ?)",
    "INSERT INTO timeline VALUES (?, ?, ?)",
    "INSERT INTO rows VALUES (?, ?, ?, ?)",
    "INSERT INTO facts VALUES (?, ?, ?, ?, ?, ?, ?)",
)


class Appender:
    """Writes over the writer's connection, inside a transaction that the caller opens and ends.

    What only a search, a past version or the facts are read from waits until one of them is read or the transaction
    ends: one statement for many.
    """

    def __init__(self, tables: Tables, partition: str) -> None:
        self.tables = tables
        self.connection: apsw.Connection = tables.connection
        self.genesis = chain.genesis(partition)
        self._new_versions: list[tuple[int, int]] = []
        self._new_events: list[tuple[int, int, int]] = []  # of the timeline
        self._new_rows: list[tuple[int, Any, int, int]] = []
        self._new_facts: list[tuple[int, str, int, int, str, str, int]] = []
        self._rids: dict[tuple[str, str], int] = {}
        self._next_rid = 0

    def begin(self) -> Head:
        """The head, once the transaction holds the ledger."""
        row = self.connection.execute(
            "SELECT position, at, hash FROM commits ORDER BY position DESC LIMIT 1"
        ).fetchone()
        self._next_rid = one(self.connection, "SELECT next_rid FROM applied")
        return Head(*row) if row else Head(0, 0, self.genesis)

    def end(self, position: Position) -> None:
        """Bring the projections up to the ledger; the caller commits."""
        self.flush()
        self.connection.execute("UPDATE applied SET position = ?, next_rid = ?", (position, self._next_rid))

    def forget(self) -> None:
        """The transaction was rolled back: nothing that it wrote is so."""
        for waiting in self._waiting():
            waiting.clear()
        self._rids.clear()
        self.tables.forget()

    def append(
        self,
        head: Head,
        at: int,
        context: Context,
        changes: Sequence[tuple[Change, Version | None]],
        fingerprint: bytes | None,
        answer: bytes | None,
    ) -> tuple[Head, list[Version]]:
        """One commit after `head`; each change comes with the version that it ends."""
        position = head.position + 1
        bodies = [
            (change.method, change.type, change.id, None if change.resource is None else change.stamped(position, at))
            for change, _ in changes
        ]
        commit = recorded(head, context.commit_id, at, context.actor, fingerprint, answer, bodies)
        self.record(commit)
        versions = commit.versions()
        for version, (change, now) in zip(versions, changes, strict=True):
            self.project(version, now, change.rows or (), change.facts or ())
        return commit.head, versions

    def record(self, commit: Recorded) -> None:
        """Write the ledger's rows of a commit."""
        self.connection.execute(
            "INSERT INTO commits VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*commit[:4], commit.fingerprint, commit.answer, commit.hash),
        )
        self.connection.executemany(
            "INSERT INTO changes VALUES (?, ?, ?, ?, ?, ?)",
            [(seq_of(commit.position, ordinal), *change) for ordinal, change in enumerate(commit.changes)],
        )

    def project_anew(self, version: Version, projections: Projections) -> None:
        """Bring the projections from what stands to `version`, as the ledger has it."""
        resource = None if version.body is None else body.loads(version.body)
        now = self.tables.read(version.type, version.id)
        rows = projections.rows(resource) if resource else ()
        self.project(version, now, rows, projections.facts(resource) if resource else ())

    def project(
        self, version: Version, now: Version | None, rows: Sequence[IndexRow], facts: Sequence[FactRow]
    ) -> None:
        """Bring the projections from version `now` (None: the resource is new) to `version`."""
        position, type = version.position, self.number(version.type)
        seq = seq_of(position, version.ordinal)
        rid = self._stands(type, version, seq)
        self._new_versions.append((rid, seq))
        self._new_events.append((type, seq, rid))
        living: list[tuple[int, Any]] = [] if version.body is None else [(type, TYPE_KEY)]
        living += [(self.number(name), self.key(key)) for name, key in rows]
        told = [(self.number(kind), key, number, fact_text(data)) for number, (kind, key, data) in enumerate(facts)]
        if now is not None and now.body is not None:
            self.flush()
            living = self._ended_rows(rid, position, living)
            told = self._ended_facts(rid, position, version.reference, told)
        self._new_rows += [(name, key, rid, position) for name, key in living]
        self._new_facts += [
            (kind, key, rid, number, version.reference, data, position) for kind, key, number, data in told
        ]

    def flush_facts(self, kind: str) -> None:
        """Write what waits, where a fact of this kind does: what waits was not there before."""
        number = self.tables.number(kind)
        if any(row[0] == number for row in self._new_facts):
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        for sql, waiting in zip(_INSERTS, self._waiting(), strict=True):
            if waiting:
                self.connection.executemany(sql, waiting)
                waiting.clear()

    def _waiting(self) -> tuple[list[Any], ...]:
        return self._new_versions, self._new_events, self._new_rows, self._new_facts

    def number(self, name: str) -> int:
        """The number of a name, given now if it has none."""
        found = self.tables.number(name)
        if found < 0:
            self.connection.execute("INSERT INTO names(name) VALUES (?)", (name,))
            found = self.tables.number(name)
        return found

    def rid(self, type: str, id: str) -> int:
        """The number of a resource, given now if it has none: a reference may come before what it names."""
        found = self._rids.get((type, id))
        if found is None:
            number = self.number(type)
            row = self.connection.execute(
                "SELECT rid FROM resources WHERE type = ? AND id = ?", (number, id)
            ).fetchone()
            if row is None:
                row = (self._next_rid,)
                self._next_rid += 1
                self.connection.execute("INSERT INTO resources VALUES (?, ?, ?, NULL)", (number, id, *row))
            found = self._remember(type, id, row[0])
        return found

    def _stands(self, number: int, version: Version, seq: int) -> int:
        """Say which version of a resource is current, and give it a number if it was not even referred to before."""
        sql = "INSERT INTO resources VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq RETURNING rid"
        rid = one(self.connection, sql, (number, version.id, self._next_rid, seq))
        if rid == self._next_rid:
            self._next_rid += 1
        return self._remember(version.type, version.id, rid)

    def _remember(self, type: str, id: str, rid: int) -> int:
        if len(self._rids) >= _RIDS_REMEMBERED:
            self._rids.clear()
        self._rids[type, id] = rid
        return rid

    def key(self, key: bytes | str) -> Any:
        """A key as it is stored: a resource's number for a reference to it."""
        if isinstance(key, bytes):
            return key
        type, _, id = key.partition("/")
        return self.rid(type, id)

    def _ended_rows(self, rid: int, position: Position, living: Iterable[tuple[int, Any]]) -> list[tuple[int, Any]]:
        """End the rows that a resource has no more. Those that it has now and did not have before."""
        stored = {
            (name, key): since
            for name, key, since in self.connection.execute("SELECT name, key, since FROM rows WHERE rid = ?", (rid,))
        }
        wanted = dict.fromkeys(living)
        if ended := [(name, key, rid, since) for (name, key), since in stored.items() if (name, key) not in wanted]:
            self.connection.executemany(
                "INSERT INTO ended_rows VALUES (?, ?, ?, ?, ?)",
                [(*row, position) for row in ended if row[3] < position],
            )
            self.connection.executemany(
                "DELETE FROM rows WHERE name = ? AND key = ? AND rid = ?", [row[:3] for row in ended]
            )
        return [row for row in wanted if row not in stored]

    def _ended_facts(
        self, rid: int, position: Position, source: str, told: Sequence[tuple[int, str, int, str]]
    ) -> list[tuple[int, str, int, str]]:
        """End the facts that are not told any more. Those that are told now and were not before."""
        stored = {
            row[:4]: row[4]
            for row in self.connection.execute("SELECT kind, key, number, data, since FROM facts WHERE rid = ?", (rid,))
        }
        if ended := [(*row, since) for row, since in stored.items() if row not in told]:
            self.connection.executemany(
                "INSERT INTO ended_facts(kind, key, number, data, since, rid, source, until) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                [(*row, rid, source, position) for row in ended if row[4] < position],
            )
            self.connection.executemany(
                "DELETE FROM facts WHERE kind = ? AND key = ? AND rid = ? AND number = ?",
                [(kind, key, rid, number) for kind, key, number, _, _ in ended],
            )
        return [row for row in told if row not in stored]
