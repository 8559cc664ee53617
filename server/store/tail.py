"""Tail: wakes who waits for the ledger to grow.

What this process commits wakes at once. Of others' commits a glance at the ledger's end tells, a point read, soon after
the last time that it grew and ever more seldom after that; nobody looks while nobody waits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from server.ledger import Position
from server.outcome import Problem

SOON = 0.001  # seconds between two glances, at first
SLOWER = 1.3  # times that a pause is longer than the one before


class Tail:
    """One process's followers. `seldom`, in seconds, is how long a pause between two glances becomes."""

    def __init__(self, look: Callable[[], Awaitable[Position]], seldom: float) -> None:
        self._look = look
        self._seldom = seldom
        self._known: Position = 0
        self._pause = SOON
        self._waiting: dict[asyncio.Future[None], Position] = {}
        self._looking: asyncio.Task[None] | None = None

    def grown(self, position: Position) -> None:
        """The ledger has come to a position."""
        if position <= self._known:
            return
        self._known, self._pause = position, SOON
        for waiting, beyond in self._waiting.items():
            if position > beyond and not waiting.done():
                waiting.set_result(None)

    async def beyond(self, position: Position, within: float) -> Position:
        """The ledger's end, as soon as it is beyond a position; after so many seconds, whatever it is."""
        if self._known <= position:
            waiting = asyncio.get_running_loop().create_future()
            self._waiting[waiting] = position
            if self._looking is None:
                self._looking = asyncio.create_task(self._watch())
            try:
                await asyncio.wait([waiting], timeout=within)
            finally:
                del self._waiting[waiting]
        return self._known

    async def close(self) -> None:
        """Let those who wait go on with what is known."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)
        if self._looking is not None:
            self._looking.cancel()
            with suppress(asyncio.CancelledError):
                await self._looking

    async def _watch(self) -> None:
        try:
            while self._waiting:
                with suppress(Problem):  # a database that is away: it is looked at again
                    self.grown(await self._look())
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * SLOWER, self._seldom)
        finally:
            self._looking = None
