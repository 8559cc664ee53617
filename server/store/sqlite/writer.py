"""Writer: the one thread of a process that writes.

Writes wait in a queue. The writer takes what waits as one group, holds the file's lock (first come, first served
among the processes), decides and appends each commit, and makes the group durable with one fsync.
"""

from __future__ import annotations

import asyncio
import fcntl
import math
import queue
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, TypeVar

import apsw
import orjson

from server.ledger import Change, Commit, Context, Decide, Fact, Position, Rules, Version, View
from server.outcome import Problem
from server.store.engine import Projections
from server.store.overlay import Overlay
from server.store.recorded import Head
from server.store.refusal import check_key, check_queue, not_ready
from server.store.seq import MAX_CHANGES
from server.store.sqlite import prune
from server.store.sqlite.append import Appender
from server.store.sqlite.late import Late
from server.store.sqlite.schema import STEPS
from server.store.sqlite.tables import Behind, Tables, bounded
from server.store.writer import Decided, Request, answer, decided

GROUP = 128  # commits that share one fsync
SWEEP_EVERY = 64  # groups
QUIET = 0.05  # seconds in which nobody writes
STEP = 0.025  # seconds of what is made late in one transaction: those who write wait no longer for it
SEARCH_TIMEOUT = 2.0  # seconds: whoever searches at the head holds up all who write

T = TypeVar("T")


@dataclass(slots=True)
class CatchUp:
    """A search that waits until a late index has come to a position."""

    name: str
    position: Position
    done: asyncio.Future[None]


Waiting = Request | CatchUp
Outcome = tuple[Waiting, Commit | BaseException | None]


class Writer:
    """The thread, its queue, and its connection. `lock` is the descriptor of the file that processes take turns by."""

    def __init__(
        self,
        connection: apsw.Connection,
        lock: int,
        partition: str,
        projections: Projections,
        rules: Rules,
        *,
        queue_limit: int,
        page_horizon: float,
        follows: bool,
    ) -> None:
        self.refusing: str | None = None  # why no write is taken any more
        self.counted: Counter[str] = Counter()
        self.waiting = 0
        self.tables = Tables(connection)
        self.appender = Appender(self.tables, partition)
        self._lock = lock
        self._projections = projections
        self._rules = rules
        self._queue_limit = queue_limit
        self._page_horizon = page_horizon
        self._late = Late(self.appender, projections)
        self._follows = follows
        self._is_behind = True  # as far as is known: others may have written
        self._has_followed = False  # anything late was made in the transaction in hand
        self._sweep = prune.Sweep(connection)
        self._until = math.inf
        connection.set_progress_handler(self._is_late, STEPS)
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        # What is decided here is so in the context that the store was opened in, as if there were no thread
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._run,), name="careplan-writer", daemon=True
        )
        self._thread.start()

    async def close(self) -> None:
        """Finish the group in hand, answer it, and let go."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self.tables.connection.close()

    async def commit(self, decide: Decide, context: Context, *, fingerprint: bytes | None = None) -> Commit:
        if self.refusing is not None:
            raise Problem.of("unavailable", self.refusing)
        check_queue(self.waiting, self._queue_limit)
        self.waiting += 1
        done: asyncio.Future[Commit] = asyncio.get_running_loop().create_future()
        self._queue.put(Request(decide, context, fingerprint, done))
        return await done

    async def follow(self, name: str, position: Position) -> None:
        """Return when a late index has come to the position."""
        if self.refusing is not None:
            raise Problem.of("unavailable", self.refusing)
        self.waiting += 1
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put(CatchUp(name, position, done))
        await done

    def _run(self) -> None:
        stopping = False
        while not stopping:
            try:
                first = self._queue.get(timeout=QUIET if self._may_follow() else None)
            except queue.Empty:
                self._group([])
                continue
            if first is None:
                break
            group = [first]
            while len(group) < GROUP:
                try:
                    more = self._queue.get_nowait()
                except queue.Empty:
                    break
                if more is None:
                    stopping = True
                    break
                group.append(more)
            _deliver(self, self._group(group))
            first = more = None  # or a large commit would stay in memory until the next
            group.clear()
        self._dismiss()

    def _may_follow(self) -> bool:
        """Whether a time when nobody writes is used to bring on what is made late."""
        return self._follows and self._is_behind and self.refusing is None

    def _dismiss(self) -> None:
        """Tell those who wait for what is made late that it will not be made here any more."""
        while not self._queue.empty():
            if (waiting := self._queue.get()) is not None:
                _deliver(self, [(waiting, Problem.of("unavailable", "The server is stopping; search again later"))])

    def _group(self, group: list[Waiting]) -> list[Outcome]:
        """Decide, append and make durable; all of the group or, where the file fails, none of it.

        A group of none is a time when nobody writes.
        """
        if self.refusing is not None:
            return [(request, Problem.of("unavailable", self.refusing)) for request in group]
        try:
            with locked(self._lock):
                return self._transaction(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, none of the group was written and each is told
            self._is_behind = False  # so that what cannot be made late is not tried again and again
            failure = self._failure(error)
            try:
                self._roll_back()
            except apsw.Error as broken:
                failure = self._refuse_from_now_on(broken)
            return [(request, failure) for request in group]

    def _transaction(self, group: list[Waiting]) -> list[Outcome]:
        connection = self.tables.connection
        connection.execute("BEGIN IMMEDIATE")
        before = head = self.appender.begin()
        self._has_followed = False
        outcomes: list[Outcome] = []
        for request in group:
            if isinstance(request, Request):
                head, outcome = self._one(request, head)
                outcomes.append((request, outcome))
        if head.position != before.position:
            self._is_behind = True
        searches = [request for request in group if isinstance(request, CatchUp)]
        if searches or not group:
            outcomes += self._follow(searches)
            self._has_followed = True
        if head.position == before.position and not self._has_followed:
            connection.execute("ROLLBACK")  # nothing was written: all that is remembered holds
        else:
            self.appender.end(head.position)
            if self.counted["groups"] % SWEEP_EVERY == 0:
                aged = self.tables.position_at(time.time_ns() // 1000 - int(self._page_horizon * 1_000_000))
                horizon = max(aged, prune.horizon(connection))
                self._sweep.step(horizon)
                self._late.prune(horizon)
            connection.execute("COMMIT")
        self.counted["groups"] += 1
        self.counted["commits"] += head.position - before.position
        return outcomes

    def _follow(self, searches: list[CatchUp]) -> list[Outcome]:
        """Bring on what is made late, for a little while. The searches that it is not far enough for wait on."""
        self.appender.flush()
        self._is_behind = not self._late.step(time.monotonic() + STEP, [search.name for search in searches])
        outcomes: list[Outcome] = []
        for search in searches:
            if search.done.cancelled() or self.tables.has_reached(search.name, search.position):
                outcomes.append((search, None))
            elif self._is_behind:
                self._queue.put(search)
            else:  # nothing is left to be made: the index is none any more
                outcomes.append((search, not_ready(search.name, self.tables.following().get(search.name, 0.0))))
        return outcomes

    def _one(self, request: Request, head: Head) -> tuple[Head, Commit | BaseException]:
        context, at = request.context, max(time.time_ns() // 1000, head.at)
        try:
            if request.fingerprint is not None and (known := self._known(request)):
                return head, known
            view = HeadView(self, head.position, at)
            made = _driven(decided(view, request.decide, context, self._rules, self._projections))
        except apsw.Error:
            raise
        except Exception as problem:  # noqa: BLE001 - the client's or the decide's; the rest of the group goes on
            return head, problem
        return self._append(request, head, at, made)

    def _append(self, request: Request, head: Head, at: int, made: Decided) -> tuple[Head, Commit | BaseException]:
        context = request.context
        new = [(change, now) for change, now, is_new in made.changes if is_new]
        if len(new) >= MAX_CHANGES:
            return head, Problem.of("too_costly", f"One commit writes at most {MAX_CHANGES - 1} resources")
        if not new and request.fingerprint is None:
            kept = tuple(now for _, now, _ in made.changes if now is not None)
            return head, Commit(head.position, context.commit_id, head.at, kept, made.output, appended=False)
        kept_answer = None if request.fingerprint is None else answer(head.position + 1, made)
        head, written = self.appender.append(head, at, context, new, request.fingerprint, kept_answer)
        fresh = iter(written)
        versions = [next(fresh) if is_new else now for _, now, is_new in made.changes]
        kept = tuple(version for version in versions if version is not None)
        return head, Commit(head.position, context.commit_id, at, kept, made.output)

    def _known(self, request: Request) -> Commit | None:
        """The commit that this idempotency key made before."""
        row = self.tables.connection.execute(
            "SELECT position, at, fingerprint, answer FROM commits WHERE id = ?", (request.context.commit_id,)
        ).fetchone()
        if row is None:
            return None
        position, at, fingerprint, answer = row
        check_key(fingerprint, request.fingerprint)
        self.appender.flush()
        output, places = orjson.loads(answer)
        versions = [self.tables.vread(type, id, version) for type, id, version in places]
        kept = tuple(version for version in versions if version is not None)
        return Commit(position, request.context.commit_id, at, kept, output)

    def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        """What a decide searches for. Problem timeout where it takes too long: it alone is refused."""
        self.appender.flush()
        self._until = time.monotonic() + SEARCH_TIMEOUT
        instead = "give a condition that selects by an identifier or a reference"
        try:
            with bounded(self.counted, "To decide this", SEARCH_TIMEOUT, instead):
                return self._found(type, filter, limit)
        finally:
            self._until = math.inf

    def _found(self, type: str, filter: Any, limit: int) -> list[Version]:
        while True:
            try:
                return self.tables.find(type, filter, limit)
            except Behind as behind:
                missing = behind
            self._bring_on(missing.name)
            if not self.tables.has_reached(missing.name, missing.position):
                raise not_ready(missing.name, self.tables.following().get(missing.name, 0.0))

    def _bring_on(self, name: str) -> None:
        """What a decide waits for, in its own transaction, which is kept for that even where the decide refuses."""
        until, self._until = self._until, math.inf  # a write that is broken off would take the transaction with it
        self._late.step(until, [name])
        self._until = until
        self._has_followed = True

    def _is_late(self) -> bool:
        return time.monotonic() > self._until

    def _roll_back(self) -> None:
        self.appender.forget()
        if self.tables.connection.in_transaction:
            self.tables.connection.execute("ROLLBACK")

    def _failure(self, error: Exception) -> BaseException:
        if isinstance(error, apsw.FullError):
            return Problem.of("no_store", "The disk is full: nothing was written. Reading goes on")
        if isinstance(error, apsw.BusyError | apsw.LockedError):
            return Problem.of("unavailable", "Another program holds the store: nothing was written. Try again later")
        if isinstance(error, apsw.IOError | apsw.CorruptError | OSError):
            return self._refuse_from_now_on(error)
        return error

    def _refuse_from_now_on(self, error: Exception) -> Problem:
        """What a failed write left behind is not known: only opening the store anew can tell."""
        self.refusing = (
            f"The store failed to write ({type(error).__name__}); to be safe no write is taken until the server is "
            "started again. Reading goes on"
        )
        return Problem.of("unavailable", self.refusing)


@contextmanager
def locked(lock: int) -> Iterator[None]:
    """Hold the file's write lock. flock is first come, first served, so that no process starves."""
    fcntl.flock(lock, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(lock, fcntl.LOCK_UN)


class HeadView:
    """The View of a decide: the writer's own connection, which never makes it wait."""

    def __init__(self, writer: Writer, position: Position, at: int) -> None:
        self._writer = writer
        self._tables = writer.tables
        self._at = at
        # What was asked once is not asked again: the state does not change while one commit is decided.
        self._seen: dict[str, Version | None] = {}  # by reference
        self._past: dict[tuple[str, str, Position], Version | None] = {}
        self._facts: dict[str, dict[str, list[Fact]]] = {}
        self.position = position

    async def read(self, type: str, id: str) -> Version | None:
        place = f"{type}/{id}"
        if place not in self._seen:
            self._seen[place] = self._tables.read(type, id)
        return self._seen[place]

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        wanted = list(references)
        if missing := [one for one in wanted if one not in self._seen]:
            self._seen |= dict.fromkeys(missing) | self._tables.read_many(missing)
        return {one: version for one in wanted if (version := self._seen[one])}

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        place = (type, id, position)
        if place not in self._past:
            self._writer.appender.flush()
            self._past[place] = self._tables.vread(type, id, position)
        return self._past[place]

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        return self._writer.search(type, filter, limit)

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        known, wanted = self._facts.setdefault(kind, {}), list(keys)
        if missing := [key for key in wanted if key not in known]:
            self._writer.appender.flush_facts(kind)
            known |= self._tables.facts(kind, missing)
        return {key: known[key] for key in wanted}

    def with_(self, changes: Sequence[Change]) -> View:
        return Overlay(self, changes, self._at)


def _driven(decision: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits: all that a decide may await is its view, which answers at once."""
    try:
        decision.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    decision.close()
    raise RuntimeError("a decide waited for something that is not its view")


def _deliver(writer: Writer, outcomes: list[Outcome]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome[0].done.get_loop(), []).append(outcome)
    for loop, own in loops.items():
        loop.call_soon_threadsafe(_resolve, writer, own)


def _resolve(writer: Writer, outcomes: list[Outcome]) -> None:
    for request, outcome in outcomes:
        writer.waiting -= 1
        if request.done.done():
            continue  # whoever asked went away; the commit stands
        if isinstance(outcome, BaseException):
            request.done.set_exception(outcome)
        else:
            request.done.set_result(outcome)  # type: ignore[arg-type] # a Request's is a Commit, a CatchUp's None
