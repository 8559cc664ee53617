"""Readers: connections that only read: one for point reads on the event loop, and one for each reader thread."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import apsw

from server.ledger import Change, Fact, Position, Version, View
from server.store.overlay import Overlay
from server.store.sqlite import schema
from server.store.sqlite.schema import STEPS
from server.store.sqlite.tables import Behind, Tables, bounded

T = TypeVar("T")


class Readers:
    """Reads of one file. `timeout`, in seconds, is for each read on a thread."""

    def __init__(self, path: str, threads: int, timeout: float) -> None:
        self.counted: Counter[str] = Counter()
        self.point = Tables(_connect(path))
        self._path = path
        self._timeout = timeout
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="careplan-reader")
        self._own = threading.local()
        self._opened: list[apsw.Connection] = [self.point.connection]

    def close(self) -> None:
        self._pool.shutdown(wait=True)
        for connection in self._opened:
            connection.close()

    async def on_thread(self, read: Callable[[Tables], T]) -> T:
        """Run a read on a reader thread. Problem timeout where it takes too long."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._timed, read)

    def _timed(self, read: Callable[[Tables], T]) -> T:
        tables: Tables | None = getattr(self._own, "tables", None)
        if tables is None:
            tables = self._own.tables = Tables(_connect(self._path))
            tables.connection.set_progress_handler(self._is_late, STEPS)
            self._opened.append(tables.connection)
        self._own.until = time.monotonic() + self._timeout
        with bounded(self.counted, "This", self._timeout, "narrow it, for instance to one patient"):
            return read(tables)

    def _is_late(self) -> bool:
        return bool(time.monotonic() > self._own.until)


class PinnedView:
    """The View of a reading operation: the state at one position, read on the readers' threads."""

    def __init__(self, readers: Readers, position: Position, followed: Callable[[Behind], Awaitable[None]]) -> None:
        self._readers = readers
        self._followed = followed
        self.position = position

    async def read(self, type: str, id: str) -> Version | None:
        return self._readers.point.read(type, id, self.position)

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        wanted = list(references)
        return await self._readers.on_thread(lambda tables: tables.read_many(wanted, self.position))

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        return self._readers.point.vread(type, id, position) if position <= self.position else None

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        while True:
            try:
                return await self._readers.on_thread(lambda tables: tables.find(type, filter, limit, self.position))
            except Behind as behind:
                missing = behind
            await self._followed(missing)

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        wanted = list(keys)
        return await self._readers.on_thread(lambda tables: tables.facts(kind, wanted, self.position))

    def with_(self, changes: Sequence[Change]) -> View:
        return Overlay(self, changes, 0)


def _connect(path: str) -> apsw.Connection:
    connection = schema.connect(path)
    connection.pragma("query_only", True)
    return connection
