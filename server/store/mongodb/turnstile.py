"""Turnstile: who writes next, where several processes would: first come, first served.

A ticket is a document whose `_id` is the next number; its turn is over once there is one with that number's negative.
Both are unique inserts. Nobody needs a ticket to be right, since the ledger's positions are unique: it only saves the
loser of a race from losing again. Who has a ticket shows by a beat that it lives. A process that was ended, or paused,
while it had the turn is passed over by those behind it, who saw neither a beat nor progress for a while by clocks of
their own.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from pymongo import DESCENDING
from pymongo.errors import PyMongoError

from server.store.mongodb.failure import answering
from server.store.mongodb.reads import Reads
from server.store.mongodb.schema import Collection, insert_once, one, some

LAPSE = 2.0  # seconds without any progress
_LOOK = 0.002  # seconds between two looks, at first
_SELDOM = 0.05  # and at last
_AHEAD = 16  # tickets that are looked at
_KEPT = 64  # tickets that are over and still there


class Turnstile:
    """One process's place in the line."""

    def __init__(self, turns: Collection, reads: Reads) -> None:
        self.turns = turns
        self.reads = reads
        self.ticket: int | None = None
        self._beating: asyncio.Task[None] | None = None

    async def take(self) -> None:
        """Take a ticket and wait for its turn."""
        ticket = await self._last() + 1
        with answering():
            while not await insert_once(self.turns, {"_id": ticket}):
                ticket += 1
        self.ticket = ticket
        self._beating = asyncio.create_task(self._beat(ticket))
        await self._wait(ticket)

    async def _wait(self, ticket: int) -> None:
        pause, seen, since = _LOOK, None, time.monotonic()
        while ticket > 1:
            before = range(max(1, ticket - _AHEAD), ticket)
            over = await self._over(before)
            if ticket - 1 in over:
                return
            state = (over, await self._beats(before), await self.reads.head())
            if state != seen:
                seen, since = state, time.monotonic()
            first = max(over, default=max(0, ticket - 1 - _AHEAD)) + 1  # whose turn it is
            if time.monotonic() - since > LAPSE:
                await self._end(first)
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _SELDOM)

    async def _over(self, tickets: range) -> frozenset[int]:
        found = await some(self.turns, {"_id": {"$in": [-each for each in tickets]}})
        return frozenset(-int(each["_id"]) for each in found)

    async def _beats(self, tickets: range) -> frozenset[tuple[int, int]]:
        found = await some(self.turns, {"_id": {"$in": [*tickets]}})
        return frozenset((int(each["_id"]), int(each.get("beat", 0))) for each in found)

    async def _beat(self, ticket: int) -> None:
        """Show that this process lives: what it decides in its turn may take its time."""
        while self.ticket == ticket:  # a cancellation may end in the driver, as an error of its own
            await asyncio.sleep(LAPSE / 4)
            with suppress(PyMongoError):
                await self.turns.update_one({"_id": ticket}, {"$inc": {"beat": 1}})

    async def is_called(self) -> bool:
        """Whether another waits: behind our ticket, or, where we have none, at all."""
        if self.ticket is not None:
            return await one(self.turns, {"_id": self.ticket + 1}) is not None
        last = await self._last()
        return last > 0 and last not in await self._over(range(last, last + 1))

    async def leave(self) -> None:
        """Let the next one in."""
        if self.ticket is not None:
            ticket, self.ticket = self.ticket, None
            if self._beating is not None:
                self._beating.cancel()
                await asyncio.wait([self._beating])
            await self._end(ticket)
            if ticket % _KEPT == 0:
                old = range(max(1, ticket - 2 * _KEPT), ticket - _KEPT)
                with answering():
                    await self.turns.delete_many({"_id": {"$in": [*old, *(-each for each in old)]}})

    async def _end(self, ticket: int) -> None:
        with answering():
            await insert_once(self.turns, {"_id": -ticket})

    async def _last(self) -> int:
        found = await some(self.turns, {}, sort=[("_id", DESCENDING)], limit=1)
        return max(0, int(found[0]["_id"])) if found else 0
