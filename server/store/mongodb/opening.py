"""Opening: a store is opened as soon as its database lets it be, at whatever step of that the database was lost.

An attempt is made from its beginning, and finds what the one before it has made. A server that has answered before goes
on beside its siblings meanwhile: whoever asks it is told that the database is away.
"""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from server.outcome import Problem
from server.store.mongodb.presence import PRESENCE

START_WITHIN = 60.0  # seconds that the store waits for its database when it is opened
AGAIN = 0.5  # seconds from one attempt to the next

_log = structlog.get_logger("mongodb")


class Opening:
    """Of one store: `attempt` does it all, or raises; `at` says which database it is, and nothing of who asks it."""

    def __init__(self, attempt: Callable[[], Awaitable[None]], at: str) -> None:
        self.refusing: str | None = None  # why there is no opening it, though the database is there
        self._attempt = attempt
        self._at = at
        self._going_on: asyncio.Task[None] | None = None

    async def now(self) -> None:
        """Return once it is open. Problem unavailable where the database is away for long, or refuses."""
        until = time.monotonic() + START_WITHIN
        try:
            while (error := await self._failed()) is not None:
                if not _passes(error):
                    raise error
                if time.monotonic() > until:
                    raise self._away_for_long()
                PRESENCE.lose(self, self._at)
                await asyncio.sleep(AGAIN)
        finally:
            PRESENCE.leave(self)

    async def later(self) -> None:
        """Return once it is open, or cannot be now: then that is tried until it is, or until `close`."""
        if (error := await self._failed()) is not None:
            self._going_on = asyncio.create_task(self._go_on(error))

    async def close(self) -> None:
        if self._going_on is not None:
            self._going_on.cancel()
            with suppress(asyncio.CancelledError):
                await self._going_on
        PRESENCE.leave(self)

    async def _go_on(self, error: Exception | None) -> None:
        while error is not None:
            self._tell(error)
            await asyncio.sleep(AGAIN)
            error = await self._failed()

    async def _failed(self) -> Exception | None:
        """Why an attempt was none."""
        try:
            await self._attempt()
        except Exception as error:  # noqa: BLE001 - who opens judges it
            return error
        self.refusing = None
        PRESENCE.find(self)
        return None

    def _away_for_long(self) -> Problem:
        what = f"No MongoDB that takes writes answered at {self._at} within {START_WITHIN:.0f} s"
        return Problem.of("unavailable", what)

    def _tell(self, error: Exception) -> None:
        """What passes the log says once for all that wait; what is refused, or fails, it says of each, once."""
        if _passes(error):
            self.refusing = None
            PRESENCE.lose(self, self._at)
            return
        PRESENCE.find(self)
        why = error.issues[0].diagnostics if isinstance(error, Problem) else _failure(error)
        if why != self.refusing:
            _log.error("the store cannot be opened", at=self._at, why=why)
        self.refusing = why


def _passes(error: Exception) -> bool:
    return isinstance(error, Problem) and error.passes


def _failure(error: Exception) -> str:
    """An error that nobody expected: its type and place, and none of its words."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"The server fails at it: {type(error).__name__} in {last.name}, line {last.lineno}"
