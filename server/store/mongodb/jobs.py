"""Jobs as documents, which the servers of a database share.

    <id>         what was asked: `record`, `at` when, `by` the process that works on it, `progress` as far as it told
    <id> done    what came of it: `record`; or, with a status of 0, that it was broken off
    <id> 0000    the answer, in parts that a document holds

Whoever inserts `<id> done` has said what came of a job: the process that did it, or one that sees no beat of that any
more. A process that wakes up late finds it said, and says nothing.
"""

from __future__ import annotations

import asyncio
import time

from pymongo import ASCENDING

from server.outcome import Problem
from server.store.jobs import EXPIRES, IN_PROGRESS, Jobs, Record, is_job
from server.store.mongodb.document import Document
from server.store.mongodb.failure import answering, away
from server.store.mongodb.leads import Leads
from server.store.mongodb.schema import Collection, insert_once, one, some, whole

PART = 8_000_000  # bytes of an answer in one document
AGAIN = 1.0  # seconds until it is tried again to say what came of a job


class MongodbJobs(Jobs):
    """The jobs of a database, once it is open. `name` is what this process's beat is called."""

    leading: Leads
    name: str

    def __init__(self) -> None:
        super().__init__()
        self._jobs: Collection | None = None
        self._words: dict[str, str] = {}  # that are to be told
        self._telling: asyncio.Task[None] | None = None

    def open(self, jobs: Collection, leading: Leads, name: str) -> None:
        self._jobs, self.leading, self.name = jobs, leading, name

    @property
    def jobs(self) -> Collection:
        """Problem unavailable until it is open."""
        if self._jobs is None:
            raise away()
        return self._jobs

    async def begin(self, id: str, record: Record) -> None:
        with answering():
            await whole(self.jobs.insert_one({"_id": id, "record": record, "at": record["at"], "by": self.name}))

    async def finish(self, id: str, record: Record, answer: bytes) -> None:
        """As soon as the database takes it: what was done is to be told."""
        while True:
            try:
                return await self._finish(id, record, answer)
            except Problem:
                await asyncio.sleep(AGAIN)

    async def _finish(self, id: str, record: Record, answer: bytes) -> None:
        if await one(self.jobs, {"_id": id}, {"_id": 1}) is None:
            return
        with answering():
            for number in range(0, len(answer), PART):
                part = {"_id": f"{id} {number // PART:04}", "part": answer[number : number + PART], "at": record["at"]}
                await insert_once(self.jobs, part)
            await self._done(id, record)

    async def _done(self, id: str, record: Record) -> None:
        with answering():
            await insert_once(self.jobs, {"_id": f"{id} done", "record": record, "at": record["at"]})

    def let_go(self, id: str) -> None:
        self._words.pop(id, None)

    def tell(self, id: str, words: str) -> None:
        self._words[id] = words
        if self._telling is None or self._telling.done():
            self._telling = asyncio.create_task(self._tell())

    async def _tell(self) -> None:
        while self._words:
            id, words = self._words.popitem()
            with answering():
                await whole(self.jobs.update_one({"_id": id}, {"$set": {"progress": words}}))

    async def told(self, id: str) -> str:
        found = await one(self.jobs, {"_id": id}, {"progress": 1})
        return str((found or {}).get("progress", IN_PROGRESS))

    async def owner(self, id: str) -> str | None:
        caller: str | None = (await self._asked(id))["record"]["caller"]
        return caller

    async def _asked(self, id: str) -> Document:
        found = await one(self.jobs, {"_id": id}) if is_job(id) else None
        if found is None:
            raise KeyError(id)
        return found

    async def read(self, id: str) -> Record | None:
        """Where nobody works on it, that is said now, once for all."""
        asked = await self._asked(id)
        done = await one(self.jobs, {"_id": f"{id} done"})
        if done is None:
            if await self._is_in_hand(id, asked["by"]):
                return None
            await self._done(id, asked["record"])
            done = await one(self.jobs, {"_id": f"{id} done"})
        if done is None:
            raise KeyError(id)  # it is forgotten meanwhile
        record: Record = done["record"]
        return record

    async def _is_in_hand(self, id: str, by: str) -> bool:
        return id in self.tasks if by == self.name else await self.leading.is_beating(by)

    async def answer(self, id: str) -> bytes:
        parts = await some(self.jobs, {"_id": {"$regex": f"^{id} [0-9]"}}, sort=[("_id", ASCENDING)])
        return b"".join(each["part"] for each in parts)

    async def remove(self, id: str) -> None:
        with answering():
            await whole(self.jobs.delete_many({"_id": {"$regex": f"^{id}"}}))

    async def sweep(self) -> int:
        old = time.time_ns() // 1000 - EXPIRES * 1_000_000
        with answering():
            await whole(self.jobs.delete_many({"at": {"$lt": old}}))
            return await whole(self.jobs.count_documents({"by": {"$exists": True}}))

    async def close(self) -> None:
        await super().close()
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.gather(self._telling, return_exceptions=True)
