"""Late: the projections that follow the ledger at a distance, so that no write waits for them.

What is made late is made in small steps: when nothing else is to be written, and at once when a search asks for it.
`late` says how far each index has come. Of each text `texts` holds from when to when it was a resource's, and `words`,
under the same number, its words; that table keeps no text of its own. `late_rows` and `ended_late_rows` are the rows of
the indexes that stored SearchParameters define; those of a definition that is gone are dropped in the same steps.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import apsw

from server.fhir import body
from server.ledger import LateIndex, Position
from server.search.filter import ALL, MARK
from server.store import chain
from server.store.engine import WORDS, Projections
from server.store.seq import ORDINAL_BITS
from server.store.sqlite.append import Appender
from server.store.sqlite.tables import Tables, one

DEFINED_BY = "SearchParameter"
GONE = -1  # the seq of an index whose rows are to be dropped
_DEFINITIONS = 10_000  # that are read
_CHUNK = 50  # versions between two looks at the clock
_PRUNED = 500  # rows that one step drops

_LAST = "SELECT coalesce(max(seq), 0) FROM changes"


def defined(tables: Tables, projections: Projections) -> dict[str, LateIndex]:
    """The indexes that the stored definitions ask for, by name."""
    stored = tables.find(DEFINED_BY, ALL, _DEFINITIONS)
    resources = [body.loads(version.body) for version in stored if version.body]
    return {index.name: index for index in projections.indexes(resources)}


def family(connection: apsw.Connection, name: str) -> list[int]:
    """The numbers of an index and of those that stand beside it (":text")."""
    found: Any = connection.execute("SELECT number FROM names WHERE name = ? OR name GLOB ?", (name, f"{name}:*"))
    return [number for (number,) in found]


class Late:
    """Brings the late indexes on, inside transactions that the writer opens and ends."""

    def __init__(self, appender: Appender, projections: Projections) -> None:
        self.appender = appender
        self.tables = appender.tables
        self.connection = appender.connection
        self.projections = projections
        self._indexes: dict[str, LateIndex] = {}
        self._defined_at = -1

    def step(self, until: float, wanted: Sequence[str] = ()) -> bool:
        """Follow the ledger until a time of the monotonic clock, with the wanted first. True where all is followed."""
        self._define()
        while name := self._next(wanted):
            self._chunk(name)
            if time.monotonic() >= until:
                return self._next(wanted) is None
        return True

    def _define(self) -> None:
        """Begin the indexes that are asked for now, and give up those that are not any more."""
        position = self.tables.last(DEFINED_BY)
        if position != self._defined_at:
            self._indexes = defined(self.tables, self.projections)
            self._defined_at = position
        names = {name for (name,) in self.connection.execute("SELECT name FROM late")}
        self.connection.executemany(
            "UPDATE late SET seq = ? WHERE name = ?",
            [(GONE, name) for name in names if MARK in name and name not in self._indexes],
        )
        self.connection.executemany(
            "INSERT INTO late VALUES (?, 0)", [(name,) for name in self._indexes.keys() - names]
        )

    def _next(self, wanted: Sequence[str]) -> str | None:
        """The index to bring on: one that is wanted, else the words, else any."""
        last = one(self.connection, _LAST)
        behind = [name for (name,) in self.connection.execute("SELECT name FROM late WHERE seq < ?", (last,))]
        return min(behind, key=lambda name: (name not in wanted, name != WORDS, name), default=None)

    def _chunk(self, name: str) -> None:
        seq = self.tables.late(name)
        if seq == GONE:
            self._drop(name)
            return
        found = self._words(seq) if name == WORDS else self._index(self._indexes[name], seq)
        done = found[-1] if len(found) == _CHUNK else one(self.connection, _LAST)
        self.connection.execute("UPDATE late SET seq = ? WHERE name = ?", (done, name))

    def _words(self, seq: int) -> list[int]:
        found: list[tuple[Any, ...]] = self.connection.execute(
            "SELECT c.seq, n.number, r.rid, c.body FROM changes c JOIN names n ON n.name = c.type "
            "JOIN resources r ON r.type = n.number AND r.id = c.id WHERE c.seq > ? ORDER BY c.seq LIMIT ?",
            (seq, _CHUNK),
        ).fetchall()
        for changed, type, rid, content in found:
            self._say(changed >> ORDINAL_BITS, type, rid, content)
        return [row[0] for row in found]

    def _say(self, position: Position, type: int, rid: int, content: bytes | None) -> None:
        """One version: end the text that the resource had, and begin the one that it has, where they differ."""
        texts = None if content is None else self.projections.texts(body.loads(content))
        digest = texts and digest_of(texts)
        held = self.connection.execute(
            "SELECT doc, digest FROM texts WHERE rid = ? AND until IS NULL", (rid,)
        ).fetchone()
        if held is not None and held[1] == digest:
            return
        if held is not None:
            self.connection.execute("UPDATE texts SET until = ? WHERE doc = ?", (position, held[0]))
        if texts is not None:
            self.connection.execute(
                "INSERT INTO texts(rid, type, since, digest) VALUES (?, ?, ?, ?)", (rid, type, position, digest)
            )
            self.connection.execute(
                "INSERT INTO words(rowid, narrative, content) VALUES (?, ?, ?)",
                (self.connection.last_insert_rowid(), *texts),
            )

    def _index(self, index: LateIndex, seq: int) -> list[int]:
        found: list[tuple[Any, ...]] = self.connection.execute(
            "SELECT t.seq, t.rid, c.body FROM timeline t JOIN changes c ON c.seq = t.seq "
            "WHERE t.type = ? AND t.seq > ? ORDER BY t.seq LIMIT ?",
            (self.tables.number(index.type), seq, _CHUNK),
        ).fetchall()
        for changed, rid, content in found:
            rows = () if content is None else index.rows(body.loads(content))
            wanted = {(self.appender.number(name), self.appender.key(key)) for name, key in rows}
            self._replace(index.name, changed >> ORDINAL_BITS, rid, wanted)
        return [row[0] for row in found]

    def _replace(self, name: str, position: Position, rid: int, wanted: set[tuple[int, Any]]) -> None:
        """One version's rows in the place of those of the version before."""
        stored = {
            row[:2]: row[2]
            for number in family(self.connection, name)
            for row in self.connection.execute(
                "SELECT name, key, since FROM late_rows WHERE rid = ? AND name = ?", (rid, number)
            )
        }
        ended = [(*row, rid, since) for row, since in stored.items() if row not in wanted]
        self.connection.executemany(
            "INSERT INTO ended_late_rows VALUES (?, ?, ?, ?, ?)",
            [(*row, position) for row in ended if row[3] < position],
        )
        self.connection.executemany(
            "DELETE FROM late_rows WHERE name = ? AND key = ? AND rid = ?", [r[:3] for r in ended]
        )
        self.connection.executemany(
            "INSERT INTO late_rows VALUES (?, ?, ?, ?)", [(*row, rid, position) for row in wanted - stored.keys()]
        )

    def _drop(self, name: str) -> None:
        """Some rows of an index that is gone; at last, that it ever was."""
        for number in family(self.connection, name):
            for table, key in (("late_rows", "key, rid"), ("ended_late_rows", "key, rid, since")):
                where = f"name = ?1 AND ({key}) IN (SELECT {key} FROM {table} WHERE name = ?1 LIMIT {_PRUNED})"
                self.connection.execute(f"DELETE FROM {table} WHERE {where}", (number,))
                if self.connection.changes():
                    return
        self.connection.execute("DELETE FROM late WHERE name = ?", (name,))
        if name in self._indexes:
            self.connection.execute("INSERT INTO late VALUES (?, 0)", (name,))

    def prune(self, horizon: Position) -> None:
        """Drop some of what ended before any search can be read."""
        ended = list(self.connection.execute("SELECT doc FROM texts WHERE until <= ? LIMIT ?", (horizon, _PRUNED)))
        self.connection.executemany("DELETE FROM words WHERE rowid = ?", ended)
        self.connection.executemany("DELETE FROM texts WHERE doc = ?", ended)
        rows = self.connection.execute(
            "SELECT name, key, rid, since FROM ended_late_rows WHERE until <= ? LIMIT ?", (horizon, _PRUNED)
        ).fetchall()
        self.connection.executemany(
            "DELETE FROM ended_late_rows WHERE name = ? AND key = ? AND rid = ? AND since = ?", rows
        )


def digest_of(texts: tuple[str, str]) -> bytes:
    """What tells one text from another."""
    return chain.digest("\0".join(texts).encode("utf-8", "surrogatepass"))[:16]
