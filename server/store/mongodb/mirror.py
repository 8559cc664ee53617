"""Mirror: the versions of a store that is small, in memory: what stands, and what stood since `floor`.

What is applied never changes but for where a version ends, and the mark tells how far that is. So who has read the mark
and what was written up to it knows the answer to every question at that position, and need not ask the database.
A store that is too large has none, and each question goes to an index.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pymongo import ASCENDING, DESCENDING

from server.ledger import Position
from server.outcome import Problem
from server.store.mongodb.condition import APART, meets, value_of
from server.store.mongodb.document import OPEN, Document, Standing, place, standing_of
from server.store.mongodb.schema import Collections, one, some
from server.store.seq import ORDINAL_BITS, seq_of

MOST = 10_000  # versions that are held: some 60 MB
_KEPT = 1000  # positions in which what ended is kept where there is too much
_NEAR = 32  # commits that are looked up one by one, all at once; versions of one that are made again

Made = Callable[[Document, Callable[[str], Standing | None]], Iterable[Document]]  # a commit's versions, of what stands

_LEFT = dict.fromkeys(APART, 0)
_ORDER = [("_id", ASCENDING)]


class Mirror:
    """`most` is how many versions it holds; of 0 it holds none."""

    def __init__(self, collections: Collections, made: Made, most: int = MOST) -> None:
        self.commits = collections.commits
        self.versions = collections.versions
        self.most = most
        self.position: Position = -1  # up to which it has all; -1 before it was filled
        self.floor: Position = 0  # what ended up to there it need not have
        self._made = made
        self._documents: dict[str, Document] = {}
        self._keyed: dict[str, str] | None = None  # where the commits under a client's key are, if that is known
        self._by: dict[str, dict[str, dict[str, Document]]] = {"reference": {}, "live": {}, "facts.k": {}}
        self._coming = asyncio.Lock()

    @property
    def is_kept(self) -> bool:
        return self.most > 0

    def knows(self, since: Position, applied: Position) -> bool:
        """Whether it has what is applied, but for what ended up to a position."""
        return self.is_kept and self.floor <= since and self.position >= applied

    async def come(self, applied: Position) -> None:
        """Have what was written up to a position that is applied. Problem unavailable."""
        if not self.is_kept or self.position >= applied:
            return
        async with self._coming:
            if self.is_kept and self.position < 0:
                await self._fill(applied)
            elif self.position < applied:
                await self._read(self.position + 1, applied)

    async def _fill(self, applied: Position) -> None:
        """All versions, or where those are too many what stands; neither, where that is too much or takes too long."""
        asked: Document = {"_id": {"$lt": place(seq_of(applied + 1))}}
        for floor, more in [(0, {}), (applied, {"until": {"$gt": applied}})]:
            try:
                found = await some(self.versions, asked | more, _LEFT, _ORDER, self.most + 1)
            except Problem as problem:
                if problem.kind != "timeout":
                    raise
                break
            if len(found) <= self.most:
                self.floor = floor
                self._keyed = None if floor else {}
                self._key(await self._commits(1, applied) if applied and not floor else ())
                self.add(found, applied)
                return
        self._give_up()

    async def _read(self, first: Position, last: Position) -> None:
        """Take what others wrote: few commits that are small by their `_id`s, which any database finds at once."""
        if last - first >= _NEAR:
            commits, is_small = await self._commits(first, last), False
        else:
            places = map(place, range(first, last + 1))
            found = await asyncio.gather(*(one(self.commits, {"_id": each}) for each in places))
            commits = [each for each in found if each is not None]
            assert len(commits) == len(found), "what is applied is in the ledger"
            is_small = all(len(each["changes"]) <= _NEAR for each in commits)
        self._key(commits)
        if not is_small:
            self.add(await self._range(first, last), last)
            return
        for commit in commits:
            self.add(self._made(commit, self._standing), int(commit["_id"]))

    async def _range(self, first: Position, last: Position) -> list[Document]:
        asked = {"_id": {"$gte": place(seq_of(first)), "$lt": place(seq_of(last + 1))}}
        return await some(self.versions, asked, _LEFT, _ORDER)

    async def _commits(self, first: Position, last: Position) -> list[Document]:
        asked = {"_id": {"$gte": place(first), "$lte": place(last)}}
        return await some(self.commits, asked, {"id": 1, "fingerprint": 1})

    def _key(self, commits: Iterable[Document]) -> None:
        if self._keyed is not None:
            self._keyed |= {each["id"]: each["_id"] for each in commits if each["fingerprint"] is not None}
            if len(self._keyed) > self.most:
                self._keyed = None

    def keyed(self, ids: Iterable[str], applied: Position) -> list[str] | None:
        """The `_id`s of the commits that clients gave these keys; None where that is not known."""
        if self._keyed is None or not self.knows(applied, applied):
            return None
        return [self._keyed[id] for id in ids if id in self._keyed]

    def _standing(self, reference: str) -> Standing | None:
        last = max(self._by["reference"].get(reference, {}), default=None)
        return None if last is None else standing_of(self._documents[last])

    def follow(self, commits: Sequence[Document], documents: Iterable[Document]) -> None:
        """Take what this process wrote, where it has all before that."""
        first, last = (int(commit["_id"]) for commit in (commits[0], commits[-1]))
        if self.is_kept and self.position >= max(0, first - 1):
            self._key(commits)
            self.add(documents, last)

    def add(self, documents: Iterable[Document], position: Position) -> None:
        """Take the versions up to a position, in their order, where it has all that are not among them."""
        if not self.is_kept:
            return
        for document in documents:
            if document["_id"] not in self._documents:
                self._put({name: value for name, value in document.items() if name not in APART})
        self.position = max(self.position, position)
        if len(self._documents) > self.most:
            self._forget(max(self.floor, self.position - _KEPT))

    def _put(self, document: Document) -> None:
        for before in self._by["reference"].get(document["reference"], {}).values():
            if before["until"] == OPEN and before["_id"] < document["_id"]:
                before["until"] = int(document["_id"]) >> ORDINAL_BITS
        self._documents[document["_id"]] = document
        for name, value in _places(document):
            self._by[name].setdefault(value, {})[document["_id"]] = document

    def _forget(self, floor: Position) -> None:
        """Drop what ended up to a position; all, where that is not much."""
        ended = [each for each in self._documents.values() if each["until"] <= floor]
        if len(self._documents) - len(ended) > self.most * 3 // 4:
            self._give_up()
            return
        for document in ended:
            del self._documents[document["_id"]]
            for name, value in _places(document):
                del self._by[name][value][document["_id"]]
        self.floor = floor

    def _give_up(self) -> None:
        self.most = 0
        self._documents.clear()
        self._by.clear()

    def find(
        self, condition: Mapping[str, Any], sort: Sequence[tuple[str, int]] = (), limit: int = 0, skip: int = 0
    ) -> list[Document]:
        """The documents that meet a condition, whole; they are not to be changed. Raises Late."""
        is_met = meets(condition)
        found = [document for document in self._candidates(condition) if is_met(document)]
        for name, direction in reversed(sort):
            value = value_of(name)
            found.sort(key=lambda each: ((known := value(each)) is not None, known), reverse=direction == DESCENDING)
        return found[skip : skip + limit] if limit else found[skip:]

    def _candidates(self, condition: Mapping[str, Any]) -> Iterable[Document]:
        """All that may meet a condition, by a value that it asks for."""
        asked = dict(_asked(condition))
        for name, by in self._by.items():
            if name in asked:
                return {id: each for value in asked[name] for id, each in by.get(value, {}).items()}.values()
        return self._documents.values()


def _asked(condition: Mapping[str, Any]) -> Iterator[tuple[str, Sequence[str]]]:
    """The fields that a condition asks values of, and which."""
    for name, asked in condition.items():
        if name == "$and":
            for each in asked:
                yield from _asked(each)
        elif isinstance(asked, str):
            yield name, (asked,)
        elif isinstance(asked, Mapping) and "$in" in asked:
            yield name, asked["$in"]


def _places(document: Document) -> Iterator[tuple[str, str]]:
    """Where a document is found: by what a condition names."""
    yield "reference", document["reference"]
    if "live" in document:
        yield "live", document["live"]
    for key in {each["k"] for each in document.get("facts", ())}:
        yield "facts.k", key
