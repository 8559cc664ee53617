"""Partition: a ledger of its own with its own order, kept in a file or a database beside that of the default one.

Nothing that a partition keeps is shared with another: neither positions nor locks, turns, indexes or jobs.
"""

from __future__ import annotations

from pathlib import Path

from server.settings import DEFAULT


def file_of(path: str, partition: str) -> str:
    """The SQLite file: data/careplan.db and ia give data/careplan-ia.db.

    It always ends in a suffix, so that no name makes it one of those that SQLite puts beside a file ("-wal").
    """
    if partition == DEFAULT:
        return path
    main = Path(path)
    return str(main.with_name(f"{main.stem}-{partition}{main.suffix or '.db'}"))


def database_of(name: str, partition: str) -> str:
    """The MongoDB database: careplan and ia give careplan-ia."""
    return name if partition == DEFAULT else f"{name}-{partition}"
