"""Late: what follows the ledger at a distance, so that no write waits for it: words, and stored SearchParameters.

The mark of each says how far it is; it is made anew of the same versions with the same result, whoever makes it. The
rows of a definition that is gone stay, for its name is of its content: where it comes again they go on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any

from pymongo import ASCENDING, DESCENDING, UpdateOne
from pymongo.errors import DuplicateKeyError

from server.fhir import body
from server.ledger import LateIndex, Position
from server.search.filter import ALL
from server.store.engine import WORDS, Projections
from server.store.mongodb.compile import Compiler
from server.store.mongodb.document import INDEXED, OPEN, Document, bounds, keys, place, said
from server.store.mongodb.failure import answering
from server.store.mongodb.reads import Reads
from server.store.mongodb.schema import Collections, insert_and_update, one, some
from server.store.refusal import not_ready
from server.store.seq import ORDINAL_BITS, seq_of

DEFINED_BY = "SearchParameter"
_DEFINITIONS = 10_000  # that are read
_CHUNK = 50  # versions of one step


class Late:
    """Brings what is late on. `patience`, in seconds, is how long a search waits for it."""

    def __init__(self, collections: Collections, reads: Reads, projections: Projections, patience: float) -> None:
        self.marks = collections.marks
        self.versions = collections.versions
        self.reads = reads
        self.projections = projections
        self.patience = patience
        self._indexes: dict[str, LateIndex] = {}
        self._defined_at: Position = -1

    async def reached(self, name: str, position: Position) -> None:
        """Return once an index has come to a position. Problem throttled where that takes too long."""
        if name != WORDS and name not in await self.defined():
            raise not_ready(name, 0.0)
        until = time.monotonic() + self.patience
        target = seq_of(position + 1) - 1
        while (seq := await self._seq(name)) < target:
            if time.monotonic() > until:
                raise not_ready(name, seq / target)
            await self._step(name, seq, target)

    async def follow(self, progress: Callable[[int, int], None] = lambda done, of: None) -> None:
        """Bring all on to the head. `progress(done, of)` is of positions, of all indexes together."""
        head = await self.reads.head()
        target = seq_of(head + 1) - 1
        names = (WORDS, *await self.defined())
        for number, name in enumerate(names):
            while (seq := await self._seq(name)) < target:
                progress(number * head + (seq >> ORDINAL_BITS), len(names) * head)
                await self._step(name, seq, target)
        progress(len(names) * head, len(names) * head)

    async def prune(self, horizon: Position) -> None:
        """Drop the index of the versions that ended up to a position; searches are read from there on."""
        head = await one(self.marks, {"_id": "head"})
        assert head is not None, "it was made when the store was opened"
        pruned = int(head.get("pruned", 0))  # up to where; what ended before is not looked at again
        if horizon <= pruned:
            return
        ended: Document = {"until": {"$gt": pruned, "$lte": horizon}, "keys": {"$exists": True}}
        with answering():
            await self.marks.update_one({"_id": "head"}, {"$max": {"horizon": horizon}})
            await self.versions.update_many(ended, {"$unset": dict.fromkeys(INDEXED, "")})
            await self.marks.update_one({"_id": "head"}, {"$max": {"pruned": horizon}})

    async def following(self) -> Mapping[str, float]:
        """How much of the ledger each has followed, from 0 to 1."""
        target = seq_of(await self.reads.head() + 1) - 1
        names = (WORDS, *await self.defined())
        found = await some(self.marks, {"_id": {"$in": list(names)}})
        seqs = {document["_id"]: int(document["followed"]) for document in found}
        empty = seq_of(1) - 1
        return {name: 1.0 if target == empty else min(1.0, seqs.get(name, 0) / target) for name in names}

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

    async def _step(self, name: str, seq: int, target: int) -> None:
        """The next versions."""
        horizon = (await self.reads.mark()).horizon
        condition: Document = {"_id": {"$gt": place(seq), "$lte": place(target)}, "until": {"$gt": horizon}}
        if name != WORDS:
            condition["type"] = self._indexes[name].type
        found = await self.reads.all(condition, {"body": 1, "live": 1}, [("_id", ASCENDING)], _CHUNK)
        updates = await asyncio.to_thread(self._updates, name, [each for each in found if "live" in each])
        done = int(found[-1]["_id"]) if len(found) == _CHUNK else target
        while updates:
            async with self.reads.known.updating:
                with answering():
                    asked = [UpdateOne({"_id": place(seq)}, each) for seq, each in updates.items()]
                    await insert_and_update(self.versions, (), asked)
            updates = await self._undone(updates)
        mark: tuple[Document, Document] = {"_id": name}, {"$max": {"followed": done}}
        with answering():
            try:
                await self.marks.update_one(*mark, upsert=True)
            except DuplicateKeyError:  # another process made the mark first
                await self.marks.update_one(*mark)

    async def _undone(self, updates: Mapping[int, Document]) -> dict[int, Document]:
        """What is to be written again, by seq: a version's own update, or its end.

        MongoDB updates a document whole. Where another update of it at the same time may undo one, as on FerretDB, what
        was made late is made again, and the version after tells the end of the one before.
        """
        fields = {"reference": 1, "until": 1, "late": 1, "words": 1}
        found = await self.reads.all({"_id": {"$in": [*map(place, updates)]}}, fields)
        by_seq = {int(each["_id"]): each for each in found}
        lost = {seq: updates[seq] for seq, each in by_seq.items() if not _has(each, updates[seq])}
        return (
            await self._ends({seq: each["reference"] for seq, each in by_seq.items() if each["until"] == OPEN}) | lost
        )

    async def _ends(self, holding: Mapping[int, str]) -> dict[int, Document]:
        """Of versions that seem to hold, by seq: the ends of those that another came after."""
        if not holding:
            return {}
        after: Document = {"reference": {"$in": list(holding.values())}, "_id": {"$gt": place(min(holding))}}
        later = await self.reads.all(after, {"reference": 1}, [("_id", DESCENDING)])
        return {
            seq: {"$set": {"until": int(each["_id"]) >> ORDINAL_BITS}}
            for each in later
            for seq, reference in holding.items()
            if reference == each["reference"] and seq < int(each["_id"])
        }

    def _updates(self, name: str, found: list[Document]) -> dict[int, Document]:
        return {int(each["_id"]): self._update(name, body.loads(each["body"])) for each in found}

    def _update(self, name: str, resource: dict[str, Any]) -> Document:
        if name == WORDS:
            return {"$set": said(self.projections.texts(resource))}
        rows = self._indexes[name].rows(resource)
        low, high = bounds(rows)
        ordered = {f"low.{code}": each for code, each in low.items()}
        ordered |= {f"high.{code}": each for code, each in high.items()}
        return {"$addToSet": {"late": {"$each": keys(rows)}}, **({"$set": ordered} if ordered else {})}


def _has(document: Document, update: Document) -> bool:
    """Whether what an update sets is in a document."""
    wanted = update.get("$set", {})
    late = update.get("$addToSet", {}).get("late", {}).get("$each", ())
    is_set = all(document.get(name) == wanted[name] for name in ("words", "until") if name in wanted)
    return is_set and set(late) <= set(document.get("late", ()))
