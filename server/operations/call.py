"""Call: one invocation of an operation, and what it answers."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from server.auth.access import SYSTEM, Caller
from server.fhir import datatype
from server.ledger import Change, Commit, Cursor, Decide, Fact, Position, Resource, Version, View, micros
from server.operations import parameters
from server.operations.parameters import Inputs
from server.outcome import Problem
from server.repository import Repository

T = TypeVar("T")

LARGE = 256 * 1024  # bytes of a body from which it is worked on beside the other requests
MILLISECOND = 1_000  # microseconds: what an instant of ours tells apart


@dataclass(slots=True)
class Call:
    """One invocation: on what, by whom, with which inputs."""

    repository: Repository
    caller: Caller
    type: str
    id: str
    inputs: Inputs
    csv: bool = False  # the client asks for a table
    writes: bool = True  # a GET never does
    key: str | None = None  # Idempotency-Key
    fingerprint: bytes = b""
    base_url: str = ""  # what a fullUrl begins with
    gone: Callable[[], Awaitable[None]] | None = None  # returns once the client is gone; None: it does not wait
    size: int = 0  # characters of the body
    tell: Callable[[str], None] | None = None  # says how far it is to whoever asks meanwhile; None: nobody does
    perform: Callable[[Resource, str | None], Awaitable[Resource]] | None = None  # a Bundle, with an Idempotency-Key

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"

    def watch(self, done: int, of: int, cursor: str) -> None:
        """Say how far it is: so many done of how many, and where to go on from if it is broken off."""
        if self.tell is not None:
            self.tell(f"{done} of {of}{f', cursor {cursor}' if cursor else ''}")

    async def view(self) -> tuple[View, int]:
        """The state to answer from, by the parameter `at`, and what was now then, in microseconds since the epoch."""
        at = self.inputs.typed("at")
        now = micros(datetime.now(UTC))
        if at is None:
            return await self.repository.view(self.caller), now
        if at.type == "instant":
            interval = datatype.instant(at.value)
            assert interval, "validated"
            then = min(interval.high, interval.low + MILLISECOND) - 1  # what meta.lastUpdated says was written is there
            position = await self.repository.position_at(self.caller, then)
            return await self.repository.view(self.caller, position), min(now, then)
        return await self.view_at(at.value, "at")

    async def view_at(self, position: Position, name: str) -> tuple[View, int]:
        """The state at the position that the parameter `name` gives, and what was now then."""
        if position < 0:
            raise Problem.invalid("A position is 0 or more", parameters.place(name))
        return await self.repository.view(self.caller, position), await self._written_at(position)

    async def _written_at(self, position: Position) -> int:
        """When a position was written."""
        found = await self.repository.changes(SYSTEM, Cursor(position, -1), 1)  # the instant is nobody's secret
        return found[0].at if found else 0

    async def present(self, view: View) -> View:
        """The state now, where the view is of what was at another time; else the view."""
        return await self.repository.view(self.caller) if self.inputs.typed("at") else view

    async def here(self, view: View) -> Version:
        """The resource that the operation is on: who acts has to see it now, whatever time is asked about.

        Problem not_found or gone.
        """
        version = await view.read(self.type, self.id)
        is_seen = self.caller.actor is None or await (await self.present(view)).read(self.type, self.id)
        if version is None or not is_seen:
            raise Problem.not_found(f"There is no {self.reference}")
        if version.body is None:
            raise Problem.gone(f"{self.reference} was deleted")
        return version

    async def commit(self, decide: Decide, now: datetime) -> Commit:
        """One commit, for the reason of an `override` where one is given."""
        override = self.inputs.one("override")
        return await self.repository.commit(
            self.caller,
            decide,
            key=self.key,
            fingerprint=self.fingerprint,
            override=override,
            now=now,
            by_rule=True,
        )


@dataclass(slots=True)
class Answer:
    """What an operation answers: outputs by name; or a version that it wrote; or a table of its own media type.

    `text` is the one output, named return, in the bytes that are sent: of what is large, made beside the requests.
    """

    outputs: Sequence[parameters.Output] = ()
    status: int = 200
    version: Version | None = None
    table: str | None = None
    text: bytes | None = None


async def aside(view: View, work: Callable[[View], Coroutine[Any, Any, T]]) -> T:
    """Do long arithmetic on a thread, so that this worker's other requests go on; the view is asked on its own loop."""
    asking = _Asking(view, asyncio.get_running_loop())
    with _unswept():
        return await asyncio.to_thread(lambda: asyncio.run(work(asking)))


_counting = 0  # how many are at it; only the loop's thread looks


@contextmanager
def _unswept() -> Iterator[None]:
    """Let the collector rest: it would look through a million small objects again and again, and they all end here.

    That is two fifths of the time of a report of 10,000 members.
    """
    global _counting
    _counting += 1
    gc.disable()
    try:
        yield
    finally:
        _counting -= 1
        if not _counting:
            gc.enable()


@dataclass(frozen=True, slots=True)
class _Asking:
    """A view, for another thread than that of its loop."""

    view: View
    loop: asyncio.AbstractEventLoop

    @property
    def position(self) -> Position:
        return self.view.position

    async def read(self, type: str, id: str) -> Version | None:
        return self._answer(self.view.read(type, id))

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        return self._answer(self.view.read_many(references))

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        return self._answer(self.view.vread(type, id, position))

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        return self._answer(self.view.search(type, filter, limit))

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        return self._answer(self.view.facts(kind, keys))

    def with_(self, changes: Sequence[Change]) -> View:
        raise NotImplementedError("a report changes nothing")

    def _answer(self, asked: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(asked, self.loop).result()
