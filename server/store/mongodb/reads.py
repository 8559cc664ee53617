"""Reads: what the ledger and its projection say, at a position. A position that is applied never changes again."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from pymongo import ASCENDING, DESCENDING

from server.ledger import Cursor, Fact, Position, Version
from server.outcome import Problem
from server.store import token
from server.store.engine import Named, Page
from server.store.mongodb.condition import APART, Apart
from server.store.mongodb.document import Document, Standing, fact_key, facts_of, place, standing_of, version_of
from server.store.mongodb.failure import answering
from server.store.mongodb.mirror import Mirror
from server.store.mongodb.schema import Collections, one, some, whole
from server.store.seq import ORDINAL_BITS, seq_of
from server.store.token import AFTER, Token

WHOLE = {"keys": 0, "low": 0, "high": 0, "facts": 0, "late": 0, "words": 0, "said": 0}  # what a version leaves out


class Mark(NamedTuple):
    """How far the projection is, from where on it can be searched, and when each type changed last."""

    applied: Position
    horizon: Position
    last: Mapping[str, Position]


@dataclass(slots=True)
class Known:
    """What is applied, as far as this process knows."""

    applied: Position = 0


class Reads:
    """`timeout`, in seconds, is for each question. With a mirror, what it knows is not asked of the database."""

    def __init__(self, collections: Collections, timeout: float, known: Known, mirror: Mirror) -> None:
        self.collections = collections
        self.versions = collections.versions
        self.timeout = timeout
        self.known = known
        self.mirror = mirror

    async def all(
        self,
        condition: Document,
        projection: Mapping[str, int] | None = None,
        sort: Sequence[tuple[str, int]] = (),
        limit: int = 0,
        skip: int = 0,
        *,
        since: Position | None = None,
    ) -> list[Document]:
        """Documents of versions. Problem timeout or unavailable.

        With `since` the condition is of nothing that ended up to that position, nor of what is not applied; the answer
        may then be whole documents, and is not to be changed.
        """
        if self._is_mirrored(since) and not any(projection and projection.get(name) for name in APART):
            with suppress(Apart):
                return self.mirror.find(condition, sort, limit, skip)
        with answering():
            cursor = self.versions.find(condition, projection, limit=limit, skip=skip).max_time_ms(self._limit())
            return await whole((cursor.sort(list(sort)) if sort else cursor).to_list())

    async def count(self, condition: Document, *, since: Position | None = None) -> int:
        if self._is_mirrored(since):
            with suppress(Apart):
                return len(self.mirror.find(condition))
        with answering():
            return await whole(self.versions.count_documents(condition, maxTimeMS=self._limit()))

    def _is_mirrored(self, since: Position | None) -> bool:
        return since is not None and self.mirror.knows(since, self.known.applied)

    def _limit(self) -> int:
        return max(1, int(self.timeout * 1000))

    async def mark(self) -> Mark:
        found = await one(self.collections.marks, {"_id": "head"})
        assert found is not None, "it was made when the store was opened"
        await self.mirror.come(int(found["applied"]))
        self.known.applied = max(self.known.applied, int(found["applied"]))
        return Mark(self.known.applied, int(found["horizon"]), found["last"])

    async def head(self) -> Position:
        return (await self.mark()).applied

    async def read(self, type: str, id: str, at: Position | None = None) -> Version | None:
        """The version that stands. One that is not known to be applied is asked for again, as of what is."""
        reference = f"{type}/{id}"
        if at is None and self.mirror.is_kept:
            at = await self.head()
        if at is None:
            found = await self._last(reference, None)
            if found is None or found.position <= self.known.applied or found.position <= (head := await self.head()):
                return found
            at = head
        return await self._last(reference, at)

    async def _last(self, reference: str, at: Position | None) -> Version | None:
        condition: Document = {"reference": reference}
        if at is not None:
            condition["_id"] = {"$lt": start_of(at + 1)}
        found = await self.all(condition, WHOLE, [("_id", DESCENDING)], 1, since=at)
        return version_of(found[0]) if found else None

    async def read_many(self, references: Iterable[str], at: Position) -> dict[str, Version]:
        """What stands of each of these at the position, deletions included, by its reference."""
        wanted = list(references)
        if not wanted:
            return {}
        found = await self.all({"reference": {"$in": wanted}, **held(at)}, WHOLE, since=at)
        return {document["reference"]: version_of(document) for document in found}

    async def standing(self, references: Iterable[str], seq: int) -> dict[str, Standing]:
        """The last version of each resource before a seq."""
        wanted = list(references)
        if not wanted:
            return {}
        condition = {
            "reference": {"$in": wanted},
            "_id": {"$lt": place(seq)},
            "until": {"$gte": seq >> ORDINAL_BITS},
        }
        found = await self.all(condition, {"reference": 1, "born": 1, "live": 1}, since=(seq >> ORDINAL_BITS) - 1)
        return {document["reference"]: standing_of(document) for document in found}

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        if position < 1 or (position > self.known.applied and position > await self.head()):
            return None
        condition = named((f"{type}/{id}", position))
        found = await self.all(condition, WHOLE, limit=1, since=0)
        return version_of(found[0]) if found else None

    async def facts(self, kind: str, keys: Iterable[str], at: Position) -> dict[str, list[Fact]]:
        found: dict[str, list[Fact]] = {key: [] for key in keys}
        wanted = {fact_key(kind, key): key for key in found}
        if wanted:
            condition = {"facts.k": {"$in": list(wanted)}, **held(at)}
            for document in await self.all(condition, {"reference": 1, "facts": 1}, since=at):
                for fact in facts_of(document, kind, wanted):
                    found[fact.key].append(fact)
        return found

    async def position_at(self, at: int) -> Position:
        """The last applied position whose instant is not after `at`; instants rise with positions."""
        head = await self.head()
        asked = {"at": {"$lte": at}, "_id": {"$lte": place(head)}}
        order = [("at", DESCENDING), ("_id", DESCENDING)]
        last = await some(self.collections.commits, asked, {"_id": 1}, sort=order, limit=1)
        return int(last[0]["_id"]) if last else 0

    async def made(self, since: int | None, until: int | None) -> Document:
        """The condition of what was written at or after an instant, and before another: a range of positions."""
        bounds = {}
        if since is not None:
            bounds["$gte"] = start_of(await self.position_at(since - 1) + 1)
        if until is not None:
            bounds["$lt"] = start_of(await self.position_at(until - 1) + 1)
        return {"_id": bounds} if bounds else {}

    async def changes(self, after: Cursor, limit: int) -> list[Version]:
        """What the ledger has after a cursor, oldest first."""
        condition = {"_id": {"$gt": place(seq_of(*after)), "$lt": start_of(await self.head() + 1)}}
        return [version_of(found) for found in await self.all(condition, WHOLE, [("_id", ASCENDING)], limit, since=0)]

    async def history(
        self,
        type: str | None,
        id: str | None,
        since: int | None,
        at: tuple[int, int] | None,
        count: int,
        page: str | None,
        only: Collection[Named] | None,
    ) -> Page:
        """Versions, newest first. A page's token carries (position, last seq)."""
        head = await self.head()
        position, _, below = Token(head, AFTER, seq_of(head + 1)) if page is None else token.read(page, head, AFTER)
        conditions = [_level(type, id), {"_id": {"$lt": start_of(position + 1)}}]
        if only is not None:
            conditions.append({"$or": [*map(named, only)] or [{"_id": ""}]})
        conditions.append(await self.made(since, at and at[1]))
        if at is not None:
            stood = min(await self.position_at(at[0]), position)
            conditions.append({"until": {"$gt": stood}})
        asked = {"$and": [condition for condition in conditions if condition]}
        total = await self.count(asked, since=0)
        found = await self.all(
            {"$and": [asked, {"_id": {"$lt": place(below)}}]}, WHOLE, [("_id", DESCENDING)], count + 1, since=0
        )
        shown = found[:count]
        next = str(Token(position, AFTER, int(shown[-1]["_id"]))) if len(found) > count and count else None
        versions = tuple(map(version_of, shown))
        created = frozenset(
            Cursor(version.position, version.ordinal)
            for version, document in zip(versions, shown, strict=True)
            if version.method == "POST" or (version.method == "PUT" and document["is_new"])
        )
        return Page(position, versions, total=total, next=next, created=created)


def start_of(position: Position) -> str:
    """The place that comes before all of a position, and after all that is before it."""
    return place(seq_of(position))


def held(at: Position) -> Document:
    """The condition of the versions that stood at a position."""
    return {"_id": {"$lt": start_of(at + 1)}, "until": {"$gt": at}}


def _level(type: str | None, id: str | None) -> Document:
    """Which versions a history is of: all, those of a type, those of a resource."""
    if type is None:
        return {}
    return {"type": type} if id is None else {"reference": f"{type}/{id}"}


def named(one: Named) -> Document:
    """The condition of a resource's versions, or of one of them."""
    reference, position = one
    if position is None:
        return {"reference": reference}
    return {"reference": reference, "_id": {"$gte": start_of(position), "$lt": start_of(position + 1)}}


def check_horizon(at: Position, mark: Mark) -> None:
    """Problem gone where the rows of the position were pruned."""
    if at < mark.horizon:
        raise Problem.gone(
            f"This page is of position {at}, and searches can be read from position {mark.horizon} on; "
            "send the search again",
            "http._page",
        )
