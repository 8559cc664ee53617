"""The embedded engine: one SQLite file a partition, shared by any number of processes on one machine."""

from server.store.sqlite.engine import SqliteStore

__all__ = ["SqliteStore"]
