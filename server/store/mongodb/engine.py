"""MongodbStore: one partition in a database of its own, which many processes on many machines share."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from pymongo import ASCENDING
from pymongo.errors import ConfigurationError, PyMongoError

from server.ledger import Change, Commit, Context, Cursor, Decide, Fact, Position, Rules, Version, View
from server.outcome import Problem
from server.settings import DEFAULT
from server.store.copy import copy
from server.store.engine import WORDS, Finding, Named, Page, Projections, Search, no_rules
from server.store.jobs import Jobs
from server.store.mongodb import rebuild, verify
from server.store.mongodb import search as found
from server.store.mongodb.append import Appender, fill, made_of
from server.store.mongodb.compile import Compiler, Reached
from server.store.mongodb.document import version_of
from server.store.mongodb.failure import away, unusable
from server.store.mongodb.jobs import MongodbJobs
from server.store.mongodb.late import Late, Write
from server.store.mongodb.leads import OPENED, Leads
from server.store.mongodb.mirror import MOST, Mirror
from server.store.mongodb.opening import Opening
from server.store.mongodb.reads import WHOLE, Known, Reads, check_horizon
from server.store.mongodb.receiver import MongodbLedger, MongodbReceiver
from server.store.mongodb.schema import check, client_of, collections_of, prepare, reached, refused
from server.store.mongodb.writer import Writer
from server.store.overlay import Overlay
from server.store.partition import database_of
from server.store.refusal import check_definitions, check_open, check_receiving
from server.store.sqlite.backup import new_file
from server.store.sqlite.engine import SqliteStore
from server.store.tail import Tail

DECIDE_TIMEOUT = 2.0  # seconds of a question at the head: whoever asks there holds up all who write
SELDOM = 0.1  # seconds between two glances at a ledger in which nothing comes
QUIET = 0.2  # seconds in which nobody writes
PRUNES = 60.0  # seconds from one time that what ended is looked for to the next


class MongodbStore:
    """A Store on the database that a `mongodb://…/<database>` names, or for a partition on one beside that."""

    writer: Writer

    def __init__(
        self,
        uri: str,
        projections: Projections,
        *,
        partition: str = DEFAULT,
        queue_limit: int = 10_000,
        search_timeout: float = 10.0,
        page_horizon: float = 86_400.0,
        follows: bool = True,
        mirrored: int = MOST,
    ) -> None:
        """`search_timeout` and `page_horizon` (how long a page's link stays good) in seconds.

        A store of up to `mirrored` versions is held in memory, too, and asked there.

        Without `follows` what is made late is made only for a search that waits for it.
        """
        self.uri = uri
        self.partition = partition
        self.projections = projections
        self._queue_limit = queue_limit
        self._search_timeout = search_timeout
        self._page_horizon = page_horizon
        self._follows = follows
        self._mirrored = mirrored
        self._is_open = False
        self._is_ready = False
        self._tail = Tail(self.head, SELDOM)
        self._jobs = MongodbJobs()
        self.jobs: Jobs = self._jobs

    def _connect(self, mirrored: int = 0) -> None:
        try:
            self._client = client_of(self.uri, self._search_timeout)
        except (ConfigurationError, OSError, ValueError) as error:  # the driver's, of a certificate's file, of a port
            raise unusable(error) from None
        main = self._client.get_default_database()
        self.collections = collections_of(self._client[database_of(main.name, self.partition)])
        known = Known()
        made = partial(made_of, self.projections)
        mirror = Mirror(self.collections, made, mirrored)
        self._reads = Reads(self.collections, self._search_timeout, known, mirror)
        self._at_head = Reads(self.collections, DECIDE_TIMEOUT, known, mirror)
        self._stored = Reads(self.collections, self._search_timeout, known, Mirror(self.collections, made, 0))
        self.late = Late(self.collections, self._reads, self.projections, self._search_timeout)

    async def open(self, rules: Rules = no_rules, *, later: bool = False) -> None:
        """Make or check the collections, and start the writer; waits for a while for a database that is away.

        Problem unavailable where that cannot be. With `later` it is tried on beside, as long as it takes.
        """
        self._connect(self._mirrored)
        self.leading = Leads(self.collections.leads)
        self.writer = Writer(
            self.collections,
            self._at_head,
            self.projections,
            self.partition,
            rules,
            self.late,
            queue_limit=self._queue_limit,
        )
        self.late.alone = self._alone
        self._is_open, self._is_ready = True, False
        self._follower = asyncio.create_task(self._follow()) if self._follows else None
        self._opening = Opening(self._begin, self._at)
        try:
            await (self._opening.later() if later else self._opening.now())
        except BaseException:
            await self.close()
            raise

    @property
    def _at(self) -> str:
        """The database, as the log has it: whoever uses it is left out."""
        return f"{urlsplit(self.uri).netloc.rpartition('@')[2]}/{self.collections.marks.database.name}"

    async def _begin(self) -> None:
        """All that has to be done before anybody is answered. Problem unavailable."""
        await self._prepared(check_definitions)
        name = f"{OPENED}{uuid.uuid4()}"  # of an attempt before it is not known whether its beat began
        try:
            await self.leading.leads(name)
            await self.writer.appender.catch_up()
        except PyMongoError as error:
            raise refused(error) from None
        except Problem:
            if self.writer.appender.refusing is None:
                raise  # else it is writes alone that are refused, and say so
        self._jobs.open(self.collections.jobs, self.leading, name)
        self._is_ready = True

    async def _prepared(self, checked: Callable[[str, str], None]) -> None:
        """Collections that are made and checked, and what their projection was made by. Problem unavailable."""
        try:
            await reached(self._client)
            await prepare(self.collections, self.partition, self.projections.version)
            settings = await check(self.collections, self.partition)
        except PyMongoError as error:
            raise refused(error) from None
        checked(settings["projections"], self.projections.version)

    @property
    def reads(self) -> Reads:
        """Problem unavailable until it is open."""
        self._check_ready()
        return self._reads

    def _check_ready(self) -> None:
        if not self._is_ready:
            raise away()

    async def close(self) -> None:
        if not self._is_open:
            return
        self._is_open = False
        await self._opening.close()
        await self.writer.close()
        await self._tail.close()
        if self._follower is not None:
            self._follower.cancel()
            with suppress(asyncio.CancelledError):
                await self._follower
        await self.leading.close()
        await self._client.close()

    async def _follow(self) -> None:
        """Use the time in which nobody writes for what is made late."""
        prunes = 0.0
        while True:
            await self.writer.wrote.wait()
            self.writer.wrote.clear()
            await asyncio.sleep(QUIET)
            if not self.writer.wrote.is_set():
                with suppress(Exception):  # what cannot be made now is made by the search that waits for it, or refused
                    await self.late.follow()
                    if time.monotonic() >= prunes:
                        prunes = time.monotonic() + PRUNES
                        await self.prune()

    async def prune(self) -> None:
        """Drop the index of what ended before any search can still be read."""
        horizon = await self.reads.position_at(time.time_ns() // 1000 - int(self._page_horizon * 1_000_000))
        await self.late.prune(horizon)

    @property
    def refusing(self) -> str | None:
        """Where the database does not take what is projected of a commit, or does not let the store be opened.

        What passes is said at each write.
        """
        return self.writer.appender.refusing if self._is_ready else self._opening.refusing

    async def leads(self, what: str) -> bool:
        self._check_ready()
        return await self.leading.leads(what)

    async def _alone(self, do: Write) -> None:
        check_open(self._is_open)
        await self.writer.alone(do)

    def prepare(self, change: Change) -> None:
        fill(change, self.projections)

    async def commit(self, decide: Decide, context: Context, *, fingerprint: bytes | None = None) -> Commit:
        check_open(self._is_open)
        self._check_ready()
        commit = await self.writer.commit(decide, context, fingerprint=fingerprint)
        self._tail.grown(commit.position)
        return commit

    # -- reading ---------------------------------------------------------------------------------------------------

    async def head(self) -> Position:
        return await self.reads.head()

    async def read(self, type: str, id: str, at: Position | None = None) -> Version | None:
        return await self.reads.read(type, id, at)

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        return await self.reads.vread(type, id, position)

    async def position_at(self, at: int) -> Position:
        return await self.reads.position_at(at)

    async def last(self, *types: str) -> Position:
        last = (await self.reads.mark()).last
        return max(int(last.get(type, 0)) for type in types)

    async def search(self, search: Search, page: str | None = None) -> Page:
        return await found.page(self.reads, search, page, self.late.reached)

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
        return await self.reads.history(type, id, since, at, count, page, only)

    async def changes(self, after: Cursor, limit: int) -> list[Version]:
        return await self.reads.changes(after, limit)

    async def beyond(self, position: Position, within: float) -> Position:
        return await self._tail.beyond(position, within)

    async def view(self, at: Position | None = None) -> View:
        return PinnedView(self.reads, await self.head() if at is None else at, self.late.reached)

    async def following(self) -> Mapping[str, float]:
        self._check_ready()
        return {WORDS: 1.0, **await self.late.following()}

    async def statistics(self) -> dict[str, Any]:
        return {
            **self.writer.counted,
            "waiting": self.writer.waiting,
            "position": await self.head(),
            "followed": min((await self.following()).values()),
        }

    # -- keeping ---------------------------------------------------------------------------------------------------

    async def verify(self, progress: Callable[[int, int], None] = lambda done, of: None) -> AsyncIterator[Finding]:
        """Everything that is wrong with ledger and projection, at one position; the store may be open elsewhere."""
        async with self._kept():
            async for finding in verify.findings(self._stored, self.late, self.partition, self.projections, progress):
                yield finding

    async def rebuild(self, progress: Callable[[int, int], None]) -> None:
        """Make the projection again from the ledger. Problem unavailable while the store is open anywhere."""
        async with self._kept():
            await rebuild.rebuild(self.collections, self._stored, self.partition, self.projections, progress)

    @asynccontextmanager
    async def _kept(self) -> AsyncIterator[None]:
        """A connection to a store that exists and is ours."""
        if self._is_open:
            await check(self.collections, self.partition)
            yield
            return
        self._connect()
        try:
            await check(self.collections, self.partition)
            yield
        finally:
            await self._client.close()

    async def backup(self, target: str, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
        """A consistent copy of the live store, as a SQLite store in a new file; none where it cannot be finished."""
        with new_file(target):
            await copy(self, SqliteStore.at(target, self.projections, self.partition), progress)

    @asynccontextmanager
    async def ledger(self) -> AsyncIterator[MongodbLedger]:
        async with self._kept():
            yield MongodbLedger(self._stored, self.partition)

    @asynccontextmanager
    async def receiving(self) -> AsyncIterator[MongodbReceiver]:
        assert not self._is_open, "it is copied into by an opening of its own"
        self._connect()
        leading = Leads(self.collections.leads)
        try:
            await Opening(partial(self._prepared, check_receiving), self._at).now()
            await rebuild.check_closed(self.collections, "copy into it")
            await leading.leads(f"{OPENED}{uuid.uuid4()}")
            appender = Appender(self.collections, self._stored, self.projections, self.partition)
            await appender.catch_up()
            yield MongodbReceiver(appender, self.late, self.partition)
        finally:
            await leading.close()
            await self._client.close()


class PinnedView:
    """The View of a reading operation: the state at one position."""

    def __init__(self, reads: Reads, position: Position, reached: Reached) -> None:
        self._reads = reads
        self._reached = reached
        self.position = position

    async def read(self, type: str, id: str) -> Version | None:
        return await self._reads.read(type, id, self.position)

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        return await self._reads.read_many(references, self.position)

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        return await self._reads.vread(type, id, position) if position <= self.position else None

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        mark = await self._reads.mark()
        check_horizon(self.position, mark)
        condition = await Compiler(self._reads, self.position, self._reached).matching(type, filter)
        found = await self._reads.all(condition, WHOLE, [("born", ASCENDING)], limit, since=self.position)
        return list(map(version_of, found))

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        return await self._reads.facts(kind, keys, self.position)

    def with_(self, changes: Sequence[Change]) -> View:
        return Overlay(self, changes, 0)
