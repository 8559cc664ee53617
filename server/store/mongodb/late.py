"""Late: what follows the ledger at a distance, so that no write waits for it: the rows of stored SearchParameters.

They are added to documents that the projection changes too, in small steps while nobody projects (`alone`), since not
every database changes a document whole. The mark of each index says how far it is; it is made anew of the same versions
with the same result, whoever makes it. The rows of a definition that is gone stay, for its name is of its content:
where it comes again they go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pymongo import ASCENDING, UpdateOne
from pymongo.errors import DuplicateKeyError

from server.fhir import body
from server.ledger import LateIndex, Position
from server.search.filter import ALL
from server.store.engine import Projections
from server.store.mongodb.compile import Compiler
from server.store.mongodb.document import INDEXED, Document, bounds, keys, place
from server.store.mongodb.failure import answering
from server.store.mongodb.reads import Reads
from server.store.mongodb.schema import Collections, one, some, update, whole
from server.store.refusal import not_ready
from server.store.seq import ORDINAL_BITS, seq_of

DEFINED_BY = "SearchParameter"
_DEFINITIONS = 10_000  # that are read
_CHUNK = 100  # versions of one step

Write = Callable[[], Awaitable[None]]
Alone = Callable[[Write], Awaitable[None]]  # does something while nobody projects


async def directly(write: Write) -> None:
    """Alone, where it is known that nobody projects."""
    await write()


class Late:
    """Brings what is late on. `patience`, in seconds, is how long a search waits for it."""

    def __init__(self, collections: Collections, reads: Reads, projections: Projections, patience: float) -> None:
        self.marks = collections.marks
        self.versions = collections.versions
        self.reads = reads
        self.projections = projections
        self.patience = patience
        self.alone: Alone = directly
        self._indexes: dict[str, LateIndex] = {}
        self._defined_at: Position = -1

    async def reached(self, name: str, position: Position, alone: Alone | None = None) -> None:
        """Return once an index has come to a position. Problem throttled where that takes too long."""
        until = time.monotonic() + self.patience
        while not await self.has_reached(name, position):
            seq, target = await self._seq(name), seq_of(position + 1) - 1
            if time.monotonic() > until:
                raise not_ready(name, seq / target)
            await self._step(name, seq, target, alone or self.alone)

    async def has_reached(self, name: str, position: Position) -> bool:
        """Whether an index has come to a position. Problem throttled for one that nobody defines."""
        if name not in await self.defined():
            raise not_ready(name, 0.0)
        return await self._seq(name) >= seq_of(position + 1) - 1

    async def follow(self, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Bring all on to the head. `progress(done, of)` is of positions, of all indexes together."""
        head = await self.reads.head()
        target = seq_of(head + 1) - 1
        names = await self.defined()
        end = head * max(len(names), 1)
        for number, name in enumerate(names):
            while (seq := await self._seq(name)) < target:
                progress(number * head + (seq >> ORDINAL_BITS), end)
                await self._step(name, seq, target, self.alone)
        progress(end, end)

    async def prune(self, horizon: Position) -> None:
        """Drop the index of the versions that ended up to a position; searches are read from there on."""
        head = await one(self.marks, {"_id": "head"})
        assert head is not None, "it was made when the store was opened"
        pruned = int(head.get("pruned", 0))  # up to where; what ended before is not looked at again
        if pruned < horizon:
            await self.alone(partial(self._mark, "head", horizon=horizon))
        while pruned < horizon:
            ended: Document = {"until": {"$gt": pruned, "$lte": horizon}, "keys": {"$exists": True}}
            found = await self.reads.all(ended, {"until": 1}, [("until", ASCENDING)], _CHUNK)
            pruned = int(found[-1]["until"]) - 1 if len(found) == _CHUNK else horizon
            await self.alone(partial(self._drop, [each["_id"] for each in found], pruned))

    async def _drop(self, seqs: Sequence[int], pruned: Position) -> None:
        with answering():
            ended = {"$unset": dict.fromkeys(INDEXED, "")}
            await whole(self.versions.update_many({"_id": {"$in": seqs}}, ended))
        await self._mark("head", pruned=pruned)

    async def following(self) -> Mapping[str, float]:
        """How much of the ledger each has followed, from 0 to 1."""
        target = seq_of(await self.reads.head() + 1) - 1
        names = list(await self.defined())
        found = await some(self.marks, {"_id": {"$in": names}}) if names else []
        seqs = {document["_id"]: int(document["followed"]) for document in found}
        return {name: min(1.0, seqs.get(name, 0) / target) for name in names}

    async def defined(self) -> Mapping[str, LateIndex]:
        """The indexes that the stored definitions ask for, by name."""
        mark = await self.reads.mark()
        position = mark.last.get(DEFINED_BY, 0)
        if position != self._defined_at:
            condition = await Compiler(self.reads, mark.applied, self.reached).matching(DEFINED_BY, ALL)
            found = await self.reads.all(
                condition, {"body": 1}, [("born", ASCENDING)], _DEFINITIONS, since=mark.applied
            )
            resources = [body.loads(document["body"]) for document in found]
            self._indexes = {index.name: index for index in self.projections.indexes(resources)}
            self._defined_at = position
        return self._indexes

    async def _seq(self, name: str) -> int:
        found = await one(self.marks, {"_id": name})
        return 0 if found is None else int(found["followed"])

    async def _step(self, name: str, seq: int, target: int, alone: Alone) -> None:
        """The next versions: what they get is made ahead, and written alone."""
        horizon = (await self.reads.mark()).horizon
        condition: Document = {
            "_id": {"$gt": place(seq), "$lte": place(target)},
            "until": {"$gt": horizon},
            "type": self._indexes[name].type,
        }
        found = await self.reads.all(condition, {"body": 1, "live": 1}, [("_id", ASCENDING)], _CHUNK)
        made = await asyncio.to_thread(self._updates, name, [each for each in found if "live" in each])
        done = int(found[-1]["_id"]) if len(found) == _CHUNK else target
        await alone(partial(self._write, name, made, done))

    async def _write(self, name: str, updates: Mapping[int, Document], done: int) -> None:
        with answering():
            await update(self.versions, [UpdateOne({"_id": place(seq)}, each) for seq, each in updates.items()])
        await self._mark(name, followed=done)

    async def _mark(self, name: str, **at: int) -> None:
        mark: tuple[Document, Document] = {"_id": name}, {"$max": at}
        with answering():
            try:
                await whole(self.marks.update_one(*mark, upsert=True))
            except DuplicateKeyError:  # another process made the mark first
                await whole(self.marks.update_one(*mark))

    def _updates(self, name: str, found: list[Document]) -> dict[int, Document]:
        return {int(each["_id"]): self._update(name, body.loads(each["body"])) for each in found}

    def _update(self, name: str, resource: dict[str, Any]) -> Document:
        rows = self._indexes[name].rows(resource)
        low, high = bounds(rows)
        ordered = {f"low.{code}": each for code, each in low.items()}
        ordered |= {f"high.{code}": each for code, each in high.items()}
        return {"$addToSet": {"late": {"$each": keys(rows)}}, **({"$set": ordered} if ordered else {})}
