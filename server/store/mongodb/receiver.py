"""The ledger of a database, as who copies it reads and writes it."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Callable, Sequence

from pymongo import ASCENDING

from server.ledger import Position
from server.outcome import Problem
from server.store import chain
from server.store.mongodb.append import DOUBT, Appender, check, drafted, entries_of, recorded_of
from server.store.mongodb.document import place
from server.store.mongodb.failure import answering
from server.store.mongodb.late import Late
from server.store.mongodb.reads import Reads
from server.store.mongodb.schema import ANSWER_WITHIN, one, set_definitions
from server.store.recorded import Head, Recorded
from server.store.refusal import COPYING

_READ = 1000  # commits that one question answers; the driver holds few of them at once


class MongodbLedger:
    """Reads what is applied: what is answered for."""

    def __init__(self, reads: Reads, partition: str) -> None:
        self.reads = reads
        self.commits_of = reads.collections.commits
        self.partition = partition

    async def head(self) -> Head:
        position = await self.reads.head()
        found = await one(self.commits_of, {"_id": place(position)}, {"at": 1, "hash": 1})
        if found is None:
            return Head(0, 0, chain.genesis(self.partition))
        return Head(position, int(found["at"]), found["hash"])

    async def hash(self, position: Position) -> bytes | None:
        found = await one(self.commits_of, {"_id": place(position)}, {"hash": 1})
        return None if found is None else bytes(found["hash"])

    async def commits(self, after: Position, until: Position) -> AsyncGenerator[Recorded, None]:
        for start in range(after, until, _READ):
            asked = {"_id": {"$gt": place(start), "$lte": place(min(start + _READ, until))}}
            with answering():
                async with self.commits_of.find(asked, max_time_ms=ANSWER_WITHIN).sort("_id", ASCENDING) as found:
                    async for document in found:
                        yield recorded_of(document)


class MongodbReceiver(MongodbLedger):
    """Writes too, behind the ledger's end as the appender knows it."""

    def __init__(self, appender: Appender, late: Late, partition: str) -> None:
        super().__init__(appender.reads, partition)
        self.appender = appender
        self.late = late

    async def head(self) -> Head:
        return self.appender.head

    async def begin(self) -> None:
        await set_definitions(self.reads.collections, COPYING + self.appender.projections.version)

    async def append(self, commits: Sequence[Recorded]) -> None:
        projections = self.appender.projections
        drafts = [drafted(commit, list(entries_of(commit, projections))) for commit in commits]
        for each in drafts:
            check(each)
        until = time.monotonic() + DOUBT
        landed = await self.appender.append(drafts, until)
        if landed < len(drafts):
            raise Problem.conflict(
                f"Somebody else wrote position {commits[landed].position:,} of the target: stop the servers on it"
            )
        await self.appender.projected(drafts, until)
        self.appender.head = drafts[-1].head

    async def finish(self, progress: Callable[[int, int], None]) -> None:
        await self.late.follow(progress)
        await set_definitions(self.reads.collections, self.appender.projections.version)
