"""SqliteStore: one file, its writer and its readers, and what keeps it whole. Other processes may share the file."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import apsw

from server.ledger import Change, Commit, Context, Cursor, Decide, Position, Rules, Version, View
from server.outcome import Problem
from server.settings import DEFAULT
from server.store.engine import Finding, Named, Page, Projections, Search, no_rules
from server.store.jobs import Jobs
from server.store.partition import file_of
from server.store.refusal import check_definitions, check_open, check_receiving, not_ready
from server.store.sqlite import rebuild, schema, verify
from server.store.sqlite import search as found
from server.store.sqlite.backup import copy_pages, new_file
from server.store.sqlite.jobs import SqliteJobs
from server.store.sqlite.readers import PinnedView, Readers
from server.store.sqlite.receiver import SqliteLedger, SqliteReceiver
from server.store.sqlite.tables import Behind, Tables, one
from server.store.sqlite.writer import Writer, locked
from server.store.tail import Tail

SELDOM = 0.02  # seconds between two glances at a file in which nothing comes, each of some microseconds


class SqliteStore:
    """A Store on one SQLite file: that at `path`, or for a partition one beside it."""

    writer: Writer
    readers: Readers

    def __init__(
        self,
        path: str | Path,
        projections: Projections,
        *,
        partition: str = DEFAULT,
        queue_limit: int = 10_000,
        search_timeout: float = 10.0,
        page_horizon: float = 86_400.0,
        threads: int = 2,
        follows: bool = True,
    ) -> None:
        """`search_timeout` and `page_horizon` (how long a page's link stays good) in seconds; `threads` read.

        Without `follows` what is made late is made only for a search that waits for it.
        """
        self.path = Path(file_of(str(path), partition))
        self.partition = partition
        self.projections = projections
        self._queue_limit = queue_limit
        self._search_timeout = search_timeout
        self._page_horizon = page_horizon
        self._threads = threads
        self._follows = follows
        self._is_open = False
        self._led: dict[str, int] = {}
        self._tail = Tail(self.head, SELDOM)
        self.jobs: Jobs = SqliteJobs(Path(f"{self.path}.async"))

    @classmethod
    def at(cls, file: str, projections: Projections, partition: str) -> SqliteStore:
        """The store of a partition in exactly this file."""
        store = cls(file, projections, partition=partition)
        store.path = Path(file)
        return store

    async def open(self, rules: Rules = no_rules, *, later: bool = False) -> None:
        """Make or check the file, and start the writer. Problem unavailable where the file cannot be used.

        There is no `later`: the database is in the process.
        """
        self._lock = self._beside("lock")
        self._share = self._beside("open")
        try:
            connection = self._checked()
        except (apsw.NotADBError, apsw.CantOpenError, apsw.IOError, apsw.ReadOnlyError, OSError) as error:
            self._let_go()
            raise Problem.of("unavailable", f"{self.path} is no store: {error}") from None
        except BaseException:
            self._let_go()
            raise
        self.readers = Readers(str(self.path), self._threads, self._search_timeout)
        self.writer = Writer(
            connection,
            self._lock,
            self.partition,
            self.projections,
            rules,
            queue_limit=self._queue_limit,
            page_horizon=self._page_horizon,
            follows=self._follows,
        )
        self._is_open = True

    def _beside(self, name: str) -> int:
        """The descriptor of a file beside the store's. Problem unavailable where there can be none."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(f"{self.path}.{name}", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Problem.of("unavailable", f"No store can be kept at {self.path}: {error.strerror}") from None

    def _checked(self) -> apsw.Connection:
        """The writer's connection to a file that is ours, made now if there is none."""
        try:
            fcntl.flock(self._share, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem.of(
                "unavailable", f"{self.path} is being rebuilt, or copied into; wait until that is done"
            ) from None
        with locked(self._lock):
            connection = self._made()
        verify.check_applied(connection)
        check_definitions(schema.setting(connection, "projections"), self.projections.version)
        return connection

    def _made(self) -> apsw.Connection:
        """A connection to a file of this partition, which is made into one where it is empty."""
        connection = schema.connect(str(self.path))
        if _is_empty(connection):
            with connection:
                schema.create(connection, self.partition, self.projections.version)
        schema.check(connection, str(self.path), self.partition)
        return connection

    async def close(self) -> None:
        if self._is_open:
            self._is_open = False
            await self.writer.close()
            await self._tail.close()
            self.readers.close()
            self._let_go()

    def _let_go(self) -> None:
        for held in (self._lock, self._share, *self._led.values()):
            os.close(held)
        self._led.clear()

    async def leads(self, what: str) -> bool:
        """By a lock on a file beside the store, which the kernel gives back whatever ends the process."""
        if what in self._led:
            return True
        held = os.open(f"{self.path}.{what}", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return False
        self._led[what] = held
        return True

    @property
    def refusing(self) -> str | None:
        return self.writer.refusing

    # -- writing ---------------------------------------------------------------------------------------------------

    def prepare(self, change: Change) -> None:
        self.projections.fill(change)

    async def commit(self, decide: Decide, context: Context, *, fingerprint: bytes | None = None) -> Commit:
        check_open(self._is_open)
        commit = await self.writer.commit(decide, context, fingerprint=fingerprint)
        self._tail.grown(commit.position)
        return commit

    # -- reading ---------------------------------------------------------------------------------------------------

    async def head(self) -> Position:
        return self.readers.point.head()

    async def read(self, type: str, id: str, at: Position | None = None) -> Version | None:
        return self.readers.point.read(type, id, at)

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        return self.readers.point.vread(type, id, position)

    async def position_at(self, at: int) -> Position:
        return self.readers.point.position_at(at)

    async def search(self, search: Search, page: str | None = None) -> Page:
        try:
            return await self.readers.on_thread(lambda tables: found.page(tables, search, page))
        except Behind as behind:
            missing = behind
        while True:
            await self._followed(missing)
            at = missing.position  # whatever is written meanwhile, the search is of when it came
            try:
                return await self.readers.on_thread(partial(found.page, search=search, text=page, at=at))
            except Behind as another:
                missing = another

    async def _followed(self, behind: Behind) -> None:
        """Wait until a late index has come to a position. Problem throttled where that takes too long."""
        try:
            await asyncio.wait_for(self.writer.follow(behind.name, behind.position), self._search_timeout)
        except TimeoutError:
            raise not_ready(behind.name, self.readers.point.following().get(behind.name, 0.0)) from None

    async def history(
        self,
        type: str | None,
        id: str | None,
        *,
        since: int | None,
        at: tuple[int, int] | None,
        count: int,
        page: str | None,
        only: Collection[Named] | None = None,
    ) -> Page:
        return await self.readers.on_thread(lambda tables: tables.history(type, id, since, at, count, page, only))

    async def changes(self, after: Cursor, limit: int) -> list[Version]:
        return await self.readers.on_thread(lambda tables: tables.changes(after, limit))

    async def beyond(self, position: Position, within: float) -> Position:
        return await self._tail.beyond(position, within)

    async def view(self, at: Position | None = None) -> View:
        return PinnedView(self.readers, self.readers.point.head() if at is None else at, self._followed)

    # -- keeping ---------------------------------------------------------------------------------------------------

    async def verify(self, progress: Callable[[int, int], None] = lambda done, of: None) -> AsyncIterator[Finding]:
        """Everything that is wrong with ledger and projections, at one position; the store may be open elsewhere."""
        with closing(self._kept()) as connection:
            connection.pragma("query_only", True)
            for finding in verify.findings(Tables(connection), self.partition, self.projections, progress):
                yield finding

    async def rebuild(self, progress: Callable[[int, int], None]) -> None:
        """Make the projections again from the ledger. Problem unavailable while the store is open anywhere."""
        self._check_exists()
        with self._alone("rebuild it"), closing(self._kept()) as connection:
            rebuild.rebuild(connection, self.partition, self.projections, progress)

    @contextmanager
    def _alone(self, what: str) -> Iterator[None]:
        """Nobody else has the store open meanwhile. Problem unavailable where somebody has."""
        share = self._beside("open")
        try:
            fcntl.flock(share, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        except BlockingIOError:
            raise Problem.of("unavailable", f"{self.path} is open elsewhere; stop the server to {what}") from None
        finally:
            os.close(share)

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[SqliteLedger]:
        with closing(self._kept()) as connection:
            connection.pragma("query_only", True)
            yield SqliteLedger(connection, self.partition)

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[SqliteReceiver]:
        with self._alone("copy into it"):
            try:
                connection = self._made()
            except (apsw.NotADBError, apsw.CantOpenError, apsw.IOError, apsw.ReadOnlyError) as error:
                raise Problem.of("unavailable", f"{self.path} is no store: {error}") from None
            with closing(connection):
                verify.check_applied(connection)
                check_receiving(schema.setting(connection, "projections"), self.projections.version)
                yield SqliteReceiver(connection, self.partition, self.projections)

    async def backup(self, target: str, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
        """A consistent copy of the live store, in a new file; none where it cannot be finished."""
        await asyncio.to_thread(self._backed_up, target, progress)

    def _backed_up(self, target: str, progress: Callable[[int, int], None]) -> None:
        with closing(self._kept()) as source, new_file(target):
            copy_pages(source, target, progress)

    def _kept(self) -> apsw.Connection:
        """A connection to a store that exists and is ours."""
        self._check_exists()
        try:
            connection = schema.connect(str(self.path))
            schema.check(connection, str(self.path), self.partition)
        except apsw.Error as error:
            raise Problem.of("unavailable", f"{self.path} is no store: {error}") from None
        return connection

    def _check_exists(self) -> None:
        if not self.path.exists():
            raise Problem.of("unavailable", f"There is no store at {self.path}")

    async def statistics(self) -> dict[str, Any]:
        return {
            **self.writer.counted,
            **self.readers.counted,
            "waiting": self.writer.waiting,
            "position": self.readers.point.head(),
            "followed": min(self.readers.point.following().values()),
        }

    async def following(self) -> Mapping[str, float]:
        return self.readers.point.following()

    async def last(self, *types: str) -> Position:
        return max(map(self.readers.point.last, types))


def _is_empty(connection: apsw.Connection) -> bool:
    return one(connection, "SELECT count(*) FROM sqlite_schema") == 0
