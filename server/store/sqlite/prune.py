"""Prune: ended index rows go once no page can still stand at a position that sees them.

A sweep walks `ended_rows` a few rows at a time, inside transactions that are open anyway. `settings.horizon` is the
earliest position that searches may still be read at; the ledger itself, and the facts, keep all that ever was.
"""

from __future__ import annotations

from typing import Any

import apsw

from server.ledger import Position
from server.store.sqlite import schema

_STEP = 2000  # rows that one step looks at

_START: tuple[Any, ...] = (-1, 0, 0, 0)


def horizon(connection: apsw.Connection) -> Position:
    """The earliest position that a search may be read at."""
    return int(schema.setting(connection, "horizon") or 0)


class Sweep:
    """Where this process's sweep stands. Each step goes on from there; at the end it begins again."""

    def __init__(self, connection: apsw.Connection) -> None:
        self.connection = connection
        self.place = _START

    def step(self, horizon: Position) -> None:
        """Look at the next rows and drop those that ended before the horizon, inside the open transaction."""
        self.connection.execute("INSERT OR REPLACE INTO settings VALUES ('horizon', ?)", (horizon,))
        rows: list[tuple[Any, ...]] = self.connection.execute(
            "SELECT name, key, rid, since, until FROM ended_rows WHERE (name, key, rid, since) > (?, ?, ?, ?) "
            "ORDER BY name, key, rid, since LIMIT ?",
            (*self.place, _STEP),
        ).fetchall()
        self.connection.executemany(
            "DELETE FROM ended_rows WHERE name = ? AND key = ? AND rid = ? AND since = ?",
            [row[:4] for row in rows if row[4] <= horizon],
        )
        self.place = rows[-1][:4] if len(rows) == _STEP else _START
