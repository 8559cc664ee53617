"""SqliteStore: the writer's thread, the readers' threads, and the file that other processes share.

Writes wait in a queue. The writer takes what waits as one group, holds the file's lock (first come, first served
among the processes), decides and appends each commit, and makes the group durable with one fsync.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import apsw
import orjson

from server.ledger import Change, Commit, Context, Cursor, Decide, Fact, Position, Rules, Version, View
from server.outcome import Problem
from server.store.engine import Finding, Page, Projections, Search, no_rules
from server.store.overlay import Overlay
from server.store.sqlite import prune, schema, verify
from server.store.sqlite.append import Appender, Head
from server.store.sqlite.schema import MAX_CHANGES
from server.store.sqlite.tables import Tables, one
from server.store.writer import Decided, decided

GROUP = 128  # commits that share one fsync
_SWEEP_EVERY = 64  # groups
_STEPS = 20_000  # of SQLite's machine between two looks at a search's time limit

T = TypeVar("T")


@dataclass(slots=True)
class Request:
    """A commit that waits for the writer."""

    decide: Decide
    context: Context
    fingerprint: bytes | None
    done: asyncio.Future[Commit]


Outcome = tuple[Request, Commit | BaseException]


class SqliteStore:
    """A Store on one SQLite file."""

    def __init__(
        self,
        path: str | Path,
        projections: Projections,
        *,
        partition: str = "default",
        queue_limit: int = 10_000,
        search_timeout: float = 10.0,
        page_horizon: float = 86_400.0,
        readers: int = 2,
    ) -> None:
        """`search_timeout` and `page_horizon` (how long a page's link stays good) in seconds."""
        self.path = Path(path)
        self.partition = partition
        self.projections = projections
        self.queue_limit = queue_limit
        self.search_timeout = search_timeout
        self.page_horizon = page_horizon
        self.counted: Counter[str] = Counter()
        self.refusing: str | None = None  # why no write is taken any more
        self._queue: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self._waiting = 0
        self._readers = ThreadPoolExecutor(readers, thread_name_prefix="careplan-reader")
        self._reader = threading.local()
        self._writer: threading.Thread | None = None
        self._rules: Rules = no_rules

    async def open(self, rules: Rules = no_rules) -> None:
        """Make or check the file, and start the writer. Problem unavailable where the file cannot be used."""
        self._rules = rules
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
            self._share = os.open(f"{self.path}.open", os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise Problem.of("unavailable", f"No store can be kept at {self.path}: {error.strerror}") from None
        try:
            self._write = Tables(self._checked())
        except (apsw.NotADBError, apsw.CantOpenError, apsw.IOError, apsw.ReadOnlyError, OSError) as error:
            self._let_go()
            raise Problem.of("unavailable", f"{self.path} is no store: {error}") from None
        except BaseException:
            self._let_go()
            raise
        self._appender = Appender(self._write, self.partition)
        self._sweep = prune.Sweep(self._write.connection)
        self._point = Tables(self._connect())
        self._writer = threading.Thread(target=self._run, name="careplan-writer", daemon=True)
        self._writer.start()

    def _checked(self) -> apsw.Connection:
        """The writer's connection to a file that is ours, made now if there is none."""
        try:
            fcntl.flock(self._share, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Problem.of("unavailable", f"{self.path} is being rebuilt; wait until that is done") from None
        with self._locked():
            connection = schema.connect(str(self.path))
            if _is_empty(connection):
                with connection:
                    schema.create(connection, self.partition, self.projections.version)
        schema.check(connection, str(self.path), self.partition)
        verify.check_projections(connection, self.projections.version)
        return connection

    async def close(self) -> None:
        if self._writer is None:
            return
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._writer = None
        self._readers.shutdown(wait=True)
        self._write.connection.close()
        self._point.connection.close()
        self._let_go()

    def _let_go(self) -> None:
        os.close(self._lock)
        os.close(self._share)

    # -- writing ---------------------------------------------------------------------------------------------------

    async def commit(self, decide: Decide, context: Context, *, fingerprint: bytes | None = None) -> Commit:
        if self.refusing is not None:
            raise Problem.of("unavailable", self.refusing)
        if self._waiting >= self.queue_limit:
            raise Problem.of(
                "throttled", "Too many writes are waiting; send this one again later", headers={"Retry-After": "1"}
            )
        self._waiting += 1
        done: asyncio.Future[Commit] = asyncio.get_running_loop().create_future()
        self._queue.put(Request(decide, context, fingerprint, done))
        return await done

    def _run(self) -> None:
        stopping = False
        while not stopping:
            first = self._queue.get()
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

    def _group(self, group: list[Request]) -> list[Outcome]:
        """Decide, append and make durable; all of the group or, where the file fails, none of it."""
        if self.refusing is not None:
            return [(request, Problem.of("unavailable", self.refusing)) for request in group]
        try:
            with self._locked():
                return self._transaction(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, none of the group was written and each is told
            failure = self._failure(error)
            try:
                self._roll_back()
            except apsw.Error as broken:
                failure = self._refuse_from_now_on(broken)
            return [(request, failure) for request in group]

    def _transaction(self, group: list[Request]) -> list[Outcome]:
        connection = self._write.connection
        connection.execute("BEGIN IMMEDIATE")
        before = head = self._appender.begin()
        outcomes: list[Outcome] = []
        for request in group:
            head, outcome = self._one(request, head)
            outcomes.append((request, outcome))
        if head.position == before.position:
            self._roll_back()
        else:
            self._appender.end(head.position)
            if self.counted["groups"] % _SWEEP_EVERY == 0:
                horizon = self._write.position_at(time.time_ns() // 1000 - int(self.page_horizon * 1_000_000))
                self._sweep.step(max(horizon, prune.horizon(connection)))
            connection.execute("COMMIT")
        self.counted["groups"] += 1
        self.counted["commits"] += head.position - before.position
        return outcomes

    def _one(self, request: Request, head: Head) -> tuple[Head, Commit | BaseException]:
        context, at = request.context, max(time.time_ns() // 1000, head.at)
        try:
            if request.fingerprint is not None and (known := self._known(request)):
                return head, known
            view = HeadView(self, head.position, at)
            made = _driven(decided(view, request.decide, context, self._rules, self.projections))
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
        answer = None
        if request.fingerprint is not None:
            answer = _answer(head.position + 1, made)
        head, written = self._appender.append(head, at, context, new, request.fingerprint, answer)
        fresh = iter(written)
        versions = [next(fresh) if is_new else now for _, now, is_new in made.changes]
        kept = tuple(version for version in versions if version is not None)
        return head, Commit(head.position, context.commit_id, at, kept, made.output)

    def _known(self, request: Request) -> Commit | None:
        """The commit that this idempotency key made before."""
        row = self._write.connection.execute(
            "SELECT position, at, fingerprint, answer FROM commits WHERE id = ?", (request.context.commit_id,)
        ).fetchone()
        if row is None:
            return None
        position, at, fingerprint, answer = row
        if fingerprint != request.fingerprint:
            raise Problem.of(
                "unprocessable",
                "This Idempotency-Key was used for another request; a key stands for one request",
                "http.Idempotency-Key",
            )
        output, places = orjson.loads(answer)
        versions = [self._write.vread(type, id, version) for type, id, version in places]
        kept = tuple(version for version in versions if version is not None)
        return Commit(position, request.context.commit_id, at, kept, output)

    def _roll_back(self) -> None:
        self._appender.forget()
        if self._write.connection.in_transaction:
            self._write.connection.execute("ROLLBACK")

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
    def _locked(self) -> Iterator[None]:
        """The file's write lock. flock is first come, first served, so that no process starves."""
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    # -- reading ---------------------------------------------------------------------------------------------------

    def head(self) -> Position:
        return self._point.head()

    def read(self, type: str, id: str, at: Position | None = None) -> Version | None:
        return self._point.read(type, id, at)

    def vread(self, type: str, id: str, position: Position) -> Version | None:
        return self._point.vread(type, id, position)

    def position_at(self, at: int) -> Position:
        return self._point.position_at(at)

    async def search(self, search: Search, page: str | None = None) -> Page:
        return await self._read_on_thread(lambda tables: tables.search(search, page))

    async def history(
        self,
        type: str | None,
        id: str | None,
        *,
        since: int | None,
        at: tuple[int, int] | None,
        count: int,
        page: str | None,
    ) -> Page:
        return await self._read_on_thread(lambda tables: tables.history(type, id, since, at, count, page))

    async def changes(self, after: Cursor, limit: int) -> list[Version]:
        return await self._read_on_thread(lambda tables: tables.changes(after, limit))

    def view(self, at: Position | None = None) -> View:
        return PinnedView(self, self.head() if at is None else at)

    async def _read_on_thread(self, read: Callable[[Tables], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._timed, read)

    def _timed(self, read: Callable[[Tables], T]) -> T:
        tables: Tables | None = getattr(self._reader, "tables", None)
        if tables is None:
            tables = self._reader.tables = Tables(self._connect())
            tables.connection.set_progress_handler(self._is_late, _STEPS)
        self._reader.until = time.monotonic() + self.search_timeout
        try:
            return read(tables)
        except apsw.InterruptError:
            self.counted["timeouts"] += 1
            raise Problem.of(
                "timeout",
                f"This took longer than {self.search_timeout:g} seconds; narrow it, for instance to one patient",
            ) from None

    def _is_late(self) -> bool:
        return bool(time.monotonic() > self._reader.until)

    def _connect(self) -> apsw.Connection:
        connection = schema.connect(str(self.path))
        connection.pragma("query_only", True)
        return connection

    # -- keeping ---------------------------------------------------------------------------------------------------

    def verify(self) -> Iterator[Finding]:
        """Everything that is wrong with ledger and projections, at one position; the store may be open elsewhere."""
        with closing(self._kept()) as connection:
            connection.pragma("query_only", True)
            yield from verify.findings(Tables(connection), self.partition, self.projections)

    def rebuild(self, progress: Callable[[int, int], None]) -> None:
        """Make the projections again from the ledger. Problem unavailable while the store is open anywhere."""
        share = os.open(f"{self.path}.open", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(share, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with closing(self._kept()) as connection:
                verify.rebuild(connection, self.partition, self.projections, progress)
        except BlockingIOError:
            raise Problem.of("unavailable", f"{self.path} is open elsewhere; stop the server to rebuild it") from None
        finally:
            os.close(share)

    def backup(self, target: str, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
        """A consistent copy of the live store, in a new file."""
        if Path(target).exists():
            raise Problem.of("unavailable", f"{target} exists; a backup goes to a new file")
        os.close(os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        with closing(self._kept()) as source, closing(apsw.Connection(target)) as copy:
            source.execute("BEGIN")  # one state, however many pages others write meanwhile
            source.execute("SELECT count(*) FROM applied").fetchall()
            with copy.backup("main", source, "main") as running:
                while not running.done:
                    running.step(1000)
                    progress(running.page_count - running.remaining, running.page_count)

    def _kept(self) -> apsw.Connection:
        """A connection to a store that exists and is ours."""
        if not self.path.exists():
            raise Problem.of("unavailable", f"There is no store at {self.path}")
        connection = schema.connect(str(self.path))
        schema.check(connection, str(self.path), self.partition)
        return connection

    def statistics(self) -> dict[str, Any]:
        return {**self.counted, "waiting": self._waiting, "position": self.head()}


class HeadView:
    """The View of a decide: the writer's own connection, which never makes it wait."""

    def __init__(self, store: SqliteStore, position: Position, at: int) -> None:
        self._store = store
        self._tables = store._write
        self._at = at
        self._seen: dict[tuple[str, str], Version | None] = {}  # the state does not change while one commit is decided
        self.position = position

    async def read(self, type: str, id: str) -> Version | None:
        place = (type, id)
        if place not in self._seen:
            self._seen[place] = self._tables.read(type, id)
        return self._seen[place]

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        self._store._appender.flush()
        return self._tables.find(type, filter, limit)

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        return self._tables.facts(kind, keys)

    def with_(self, changes: Sequence[Change]) -> View:
        return Overlay(self, changes, self._at)


class PinnedView:
    """The View of a reading operation: the state at one position, read on the readers' threads."""

    def __init__(self, store: SqliteStore, position: Position) -> None:
        self._store = store
        self.position = position

    async def read(self, type: str, id: str) -> Version | None:
        return self._store.read(type, id, self.position)

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        return await self._store._read_on_thread(lambda tables: tables.find(type, filter, limit, self.position))

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        wanted = list(keys)
        return await self._store._read_on_thread(lambda tables: tables.facts(kind, wanted, self.position))

    def with_(self, changes: Sequence[Change]) -> View:
        return Overlay(self, changes, 0)


def _driven(decision: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never waits: all that a decide may await is its view, which answers at once."""
    try:
        decision.send(None)
    except StopIteration as stop:
        result: T = stop.value
        return result
    decision.close()
    raise RuntimeError("a decide waited for something that is not its view")


def _answer(position: Position, made: Decided) -> bytes:
    """What a repeated key answers from: the output, and which versions the commit answered with."""
    places = [
        (change.type, change.id, position if is_new or now is None else now.position)
        for change, now, is_new in made.changes
        if is_new or now is not None
    ]
    return orjson.dumps([made.output, places])


def _deliver(store: SqliteStore, outcomes: list[Outcome]) -> None:
    loops: dict[asyncio.AbstractEventLoop, list[Outcome]] = {}
    for outcome in outcomes:
        loops.setdefault(outcome[0].done.get_loop(), []).append(outcome)
    for loop, own in loops.items():
        loop.call_soon_threadsafe(_resolve, store, own)


def _resolve(store: SqliteStore, outcomes: list[Outcome]) -> None:
    for request, outcome in outcomes:
        store._waiting -= 1
        if request.done.done():
            continue  # whoever asked went away; the commit stands
        if isinstance(outcome, BaseException):
            request.done.set_exception(outcome)
        else:
            request.done.set_result(outcome)


def _is_empty(connection: apsw.Connection) -> bool:
    return one(connection, "SELECT count(*) FROM sqlite_schema") == 0
