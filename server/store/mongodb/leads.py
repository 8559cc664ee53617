"""Leads: what one process alone does, of all that share the store.

Who inserts the next term of a task has it, and shows that it lives by a beat. Another may begin the next term once it
saw no beat for a while by a clock of its own, or at once where the one before gave it back.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from pymongo import DESCENDING
from pymongo.errors import PyMongoError

from server.store.mongodb.failure import answering
from server.store.mongodb.schema import Collection, Document, insert_once, some, whole

BEAT = 2.0  # seconds
LAPSE = 15.0  # seconds without a beat
OPENED = "open "  # and a name of its own: what each process leads that has the store open


class Leads:
    """What this process leads, and what it saw of the others."""

    def __init__(self, leads: Collection) -> None:
        self.leads_of = leads
        self._terms: dict[str, int] = {}
        self._seen: dict[str, tuple[tuple[int, int], float]] = {}  # term and beat, and since when
        self._beating: asyncio.Task[None] | None = None

    async def leads(self, what: str) -> bool:
        term, beat, is_over = await self._last(what)
        if term and term == self._terms.get(what):
            return True
        self._terms.pop(what, None)  # it was taken for dead, and another leads
        if not is_over and not self._is_silent(what, term, beat):
            return False
        with answering():
            if not await insert_once(self.leads_of, _term(what, term + 1)):
                return False
        self._terms[what] = term + 1
        if self._beating is None:
            self._beating = asyncio.create_task(self._beat())
        return True

    async def is_beating(self, what: str) -> bool:
        """Whether some process leads it that shows a beat, or has not been seen without one for long."""
        term, beat, is_over = await self._last(what)
        return not is_over and not self._is_silent(what, term, beat)

    async def close(self) -> None:
        """Give back what this process leads."""
        if self._beating is not None:
            self._beating.cancel()
            with suppress(asyncio.CancelledError):
                await self._beating
        with suppress(PyMongoError):
            for what, term in [*self._terms.items()]:
                await whole(self.leads_of.update_one({"_id": f"{what} {term}"}, {"$set": {"over": True}}))

    async def _last(self, what: str) -> tuple[int, int, bool]:
        found = await some(self.leads_of, {"what": what}, sort=[("term", DESCENDING)], limit=1)
        return (int(found[0]["term"]), int(found[0]["beat"]), found[0]["over"]) if found else (0, 0, True)

    def _is_silent(self, what: str, term: int, beat: int) -> bool:
        state = (term, beat)
        if what not in self._seen or self._seen[what][0] != state:
            self._seen[what] = (state, time.monotonic())
        return time.monotonic() - self._seen[what][1] > LAPSE

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            with suppress(PyMongoError):
                for what, term in [*self._terms.items()]:  # another may take a term while this waits
                    await whole(self.leads_of.update_one({"_id": f"{what} {term}"}, {"$inc": {"beat": 1}}))


def _term(what: str, term: int) -> Document:
    return {"_id": f"{what} {term}", "what": what, "term": term, "beat": 0, "over": False}
