"""Late: the projections that follow the ledger at a distance, so that no write waits for them.

What is made late is made in small steps: when nothing else is to be written, and at once when a search asks for it.
`late` says how far each has come. Of each text `texts` holds from when to when it was a resource's, and `words`, under
the same number, its words; that table keeps no text of its own.
"""

from __future__ import annotations

import time
from typing import Any

import apsw

from server.fhir import body
from server.ledger import Position
from server.outcome import Problem
from server.store import chain
from server.store.engine import Projections
from server.store.sqlite.schema import ORDINAL_BITS
from server.store.sqlite.tables import LATE, WORDS, Tables, one

_CHUNK = 50  # versions between two looks at the clock
_PRUNED = 500  # ended texts that one step drops


class Late:
    """Brings the late indexes on, inside transactions that the writer opens and ends."""

    def __init__(self, tables: Tables, projections: Projections) -> None:
        self.tables = tables
        self.connection: apsw.Connection = tables.connection
        self.projections = projections

    def step(self, until: float) -> bool:
        """Follow the ledger until a time of the monotonic clock. True where its end was reached."""
        while True:
            done = self._chunk()
            if done or time.monotonic() >= until:
                return done

    def _chunk(self) -> bool:
        seq = one(self.connection, LATE)
        found: list[tuple[Any, ...]] = self.connection.execute(
            "SELECT c.seq, n.number, r.rid, c.body FROM changes c JOIN names n ON n.name = c.type "
            "JOIN resources r ON r.type = n.number AND r.id = c.id WHERE c.seq > ? ORDER BY c.seq LIMIT ?",
            (seq, _CHUNK),
        ).fetchall()
        for changed, type, rid, content in found:
            self._follow(changed, type, rid, content)
        if found:
            self.connection.execute("UPDATE late SET seq = ? WHERE name = ?", (found[-1][0], WORDS))
        return len(found) < _CHUNK

    def _follow(self, seq: int, type: int, rid: int, content: bytes | None) -> None:
        """One version: end the text that the resource had, and begin the one that it has, where they differ."""
        position = seq >> ORDINAL_BITS
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

    def prune(self, horizon: Position) -> None:
        """Drop some of the texts that ended before any search can be read."""
        ended = [
            (doc,)
            for (doc,) in self.connection.execute("SELECT doc FROM texts WHERE until <= ? LIMIT ?", (horizon, _PRUNED))
        ]
        self.connection.executemany("DELETE FROM words WHERE rowid = ?", ended)
        self.connection.executemany("DELETE FROM texts WHERE doc = ?", ended)


def digest_of(texts: tuple[str, str]) -> bytes:
    """What tells one text from another."""
    return chain.digest("\0".join(texts).encode("utf-8", "surrogatepass"))[:16]


def not_ready(tables: Tables) -> Problem:
    """What to say to a search that would wait too long."""
    return Problem.of(
        "throttled",
        f"The words of what was written are being indexed: {tables.followed():.1%} is done. Search again later",
        headers={"Retry-After": "5"},
    )
