"""Turnstile: who writes next, where several processes would: first come, first served.

A ticket is a document whose `_id` is the next number; its turn is over once there is one with that number's negative.
Both are unique inserts. Nobody needs a ticket to be right, since the ledger's positions are unique: it only saves the
loser of a race from losing again. Who has a ticket shows by a beat that it lives. A process that was ended, or paused,
while it had the turn is passed over by those behind it, who saw neither a beat nor progress for a while by clocks of
their own.

Who changes documents that a projection changes too says so on its ticket (`alone`), and looks in its turn whether all
that the ledger has is projected; who projects looks, once its commit is in the ledger, whether such a ticket is there,
and waits until it is over. One of the two sees the other.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from contextlib import suppress

from pymongo import DESCENDING
from pymongo.errors import PyMongoError

from server.store.mongodb.failure import answering
from server.store.mongodb.reads import Reads
from server.store.mongodb.schema import Collection, insert_once, one, some, whole

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
        self.is_alone = False  # the ticket says so
        self._known = 0  # the tickets up to here are over
        self._beating: asyncio.Task[None] | None = None

    async def take(self, *, alone: bool = False) -> None:
        """Take a ticket and wait for its turn."""
        ticket = await self._last() + 1
        with answering():
            while not await insert_once(self.turns, {"_id": ticket, "alone": alone}):
                ticket += 1
        self.ticket, self.is_alone = ticket, alone
        self._beating = asyncio.create_task(self._beat(ticket))
        await self._wait(ticket)

    async def _wait(self, ticket: int) -> None:
        """Return once all before a ticket are over."""
        before = range(max(self._known + 1, ticket - _AHEAD), ticket)
        pause, seen, since = _LOOK, None, time.monotonic()
        while going := set(before) - (over := await self._over(before)):
            state = (over, await self._beats(before), await self.reads.head())
            if state != seen:
                seen, since = state, time.monotonic()
            if time.monotonic() - since > LAPSE:
                await self._end(min(going))
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, _SELDOM)
        self._known = max(self._known, ticket - 1)

    async def _over(self, tickets: Iterable[int]) -> frozenset[int]:
        found = await some(self.turns, {"_id": {"$in": [-each for each in tickets]}})
        return frozenset(-int(each["_id"]) for each in found)

    async def _beats(self, tickets: range) -> frozenset[tuple[int, int]]:
        found = await some(self.turns, {"_id": {"$in": [*tickets]}})
        return frozenset((int(each["_id"]), int(each.get("beat", 0))) for each in found)

    async def _beat(self, ticket: int) -> None:
        """Show that this process lives: what it decides in its turn may take its time."""
        while self.ticket == ticket:
            await asyncio.sleep(LAPSE / 4)
            with suppress(PyMongoError):
                await whole(self.turns.update_one({"_id": ticket}, {"$inc": {"beat": 1}}))

    async def is_called(self) -> bool:
        """Whether another waits: behind our ticket, or, where we have none, at all."""
        if self.ticket is not None:
            return await one(self.turns, {"_id": self.ticket + 1}) is not None
        return not await self._is_over(await self._last())

    async def passed(self) -> bool:
        """As `is_called`; where it is not our turn, return once nobody is alone."""
        if self.ticket is not None:
            if not await self.is_called():
                return False
            if not await self._is_over(self.ticket):
                return True
        found = await some(self.turns, {}, sort=[("_id", DESCENDING)], limit=_AHEAD)
        tickets = {int(each["_id"]): each.get("alone", False) for each in found if each["_id"] > self._known}
        if not tickets:
            return False
        if going := tickets.keys() - await self._over(tickets):
            if alone := [ticket for ticket in going if tickets[ticket]]:
                await self._wait(max(alone) + 1)
        else:
            self._known = max(tickets)
        return bool(going)

    async def leave(self) -> None:
        """Let the next one in."""
        if self.ticket is not None:
            ticket, self.ticket, self.is_alone = self.ticket, None, False
            if self._beating is not None:
                self._beating.cancel()
                await asyncio.wait([self._beating])
            await self._end(ticket)
            if ticket == self._known + 1:
                self._known = ticket
            if ticket % _KEPT == 0:
                old = range(max(1, ticket - 2 * _KEPT), ticket - _KEPT)
                with answering():
                    await whole(self.turns.delete_many({"_id": {"$in": [*old, *(-each for each in old)]}}))

    async def _end(self, ticket: int) -> None:
        with answering():
            await insert_once(self.turns, {"_id": -ticket})

    async def _is_over(self, ticket: int) -> bool:
        return ticket <= self._known or await one(self.turns, {"_id": -ticket}) is not None

    async def _last(self) -> int:
        found = await some(self.turns, {}, sort=[("_id", DESCENDING)], limit=1)
        return max(0, int(found[0]["_id"])) if found else 0
