"""Search: a page of matches, the pages beside it, and what the matches include, at one position.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from itertools import product
from typing import Any, NamedTuple

from pymongo import ASCENDING, DESCENDING

from server.ledger import Position, Version
from server.outcome import Issue, Problem
from server.search.filter import MARK, Filter
from server.store import token
from server.store.engine import Follow, Page, Search, Sort
from server.store.include import INCLUDE_LIMIT, NOT_ALL
from server.store.mongodb.compile import Compiler, Reached
from server.store.mongodb.document import BESIDE, BYTES, REFERENCE, Document, code_of, version_of
from server.store.mongodb.reads import WHOLE, Reads, check_horizon, held
from server.store.token import AFTER, BEFORE, LAST, OFFSET, Token
from server.store.told import in_words

SORT_LIMIT = 10_000  # matches that are sorted by a value that the index does not order

TOLD = 8  # types of a plan

Order = list[tuple[str, int]]


async def page(reads: Reads, search: Search, text: str | None, reached: Reached) -> Page:
    """One page, read at one position: the one that the page's token carries, else the head's."""
    mark = await reads.mark()
    if text is None:
        place = Token(mark.applied, OFFSET if search.sort else AFTER, 0)
    else:
        place = token.read(text, mark.applied, OFFSET if search.sort else AFTER + BEFORE + LAST)
        check_horizon(place.position, mark)
    started = time.perf_counter()
    finder = _Finder(reads, search, place.position)
    await finder.compile(reached)
    found = await finder.page(place)
    if text is not None:
        check_horizon(place.position, await reads.mark())  # what is pruned meanwhile is missing from the page
    if search.explain:
        milliseconds = (time.perf_counter() - started) * 1000
        found = found._replace(plan=(*finder.told(), f"{milliseconds:.2f} ms in all"))
    return found


class _Found(NamedTuple):
    """The matches of a page, and the places of those beside it."""

    documents: list[Document]
    previous: Token | None = None
    next: Token | None = None


class _Finder:
    """One search at one position."""

    def __init__(self, reads: Reads, search: Search, at: Position) -> None:
        self.reads = reads
        self.search = search
        self.at = at
        self.matching: Document = {}
        self._held: dict[tuple[str, tuple[str, ...]], list[Document]] = {}  # in an array, by the last frontier

    async def compile(self, reached: Reached) -> None:
        self.compiler = compiler = Compiler(self.reads, self.at, reached)
        for sort in self.search.sort:
            await compiler.array(sort.index)  # has come so far
        parts = [await compiler.matching(type, filter) for type, filter in self.search.parts]
        self.matching = parts[0] if len(parts) == 1 else {**held(self.at), "$or": parts}

    async def page(self, place: Token) -> Page:
        search, count = self.search, self.search.count
        found = await self._found(place) if count else _Found([])
        is_all = count and not (place.number or found.next or place.kind in (BEFORE, LAST))
        total = len(found.documents) if is_all else await self.count(self.matching) if search.total else None
        matches = tuple(map(version_of, found.documents))
        included, issues = await self._included(matches) if search.follow else ((), ())
        answer = Page(place.position, matches, included, total, _text(found.next), issues)
        if found.previous is None and found.next is None:
            return answer
        first = found.previous and Token(place.position, OFFSET if search.sort else AFTER, 0)
        last = self._last(place.position, total) if found.next and total else None
        return answer._replace(previous=_text(found.previous), first=_text(first), last=_text(last))

    async def count(self, condition: Document) -> int:
        return await self.reads.count(condition, since=self.at)

    def _last(self, position: Position, total: int) -> Token:
        """The last of the pages as they are counted from the first."""
        count = self.search.count
        over = (total - 1) % count + 1
        return Token(position, OFFSET, total - over) if self.search.sort else Token(position, LAST, over)

    async def _found(self, place: Token) -> _Found:
        match place.kind:
            case "o":
                return await self._sorted(place)
            case "r":
                return await self._after(place)
            case _:
                return await self._before(place)

    async def _after(self, place: Token) -> _Found:
        """A page that goes forward. Where it has come from, there is one before."""
        position, after, count = place.position, place.number, self.search.count
        found = await self._by_birth({"born": {"$gt": after}} if after else {}, ASCENDING, count + 1)
        kept = found[:count]
        previous = Token(position, BEFORE, _born(kept[0]) if kept else after + 1) if after else None
        return _Found(kept, previous, Token(position, AFTER, _born(kept[-1])) if len(found) > count else None)

    async def _before(self, place: Token) -> _Found:
        """A page that goes backward, or the last. Where it has come from, there is one after."""
        position, is_last = place.position, place.kind == LAST
        count = min(place.number, self.search.count) if is_last else self.search.count
        found = await self._by_birth({} if is_last else {"born": {"$lt": place.number}}, DESCENDING, count + 1)
        kept = found[:count][::-1]
        previous = Token(position, BEFORE, _born(kept[0])) if len(found) > count and kept else None
        next = None if is_last else Token(position, AFTER, _born(kept[-1]) if kept else 0)
        return _Found(kept, previous, next)

    async def _by_birth(self, beside: Document, direction: int, limit: int) -> list[Document]:
        return await self.reads.all({**self.matching, **beside}, WHOLE, [("born", direction)], limit, since=self.at)

    async def _sorted(self, place: Token) -> _Found:
        position, offset, count = place.position, place.number, self.search.count
        if any(sort.value is not None for sort in self.search.sort):
            found = (await self._by_value())[offset : offset + count + 1]
        else:
            found = await self._by_index(offset, count + 1)
        previous = Token(position, OFFSET, max(0, offset - count)) if offset else None
        next = Token(position, OFFSET, offset + count) if len(found) > count else None
        return _Found(found[:count], previous, next)

    async def _by_index(self, offset: int, limit: int) -> list[Document]:
        """What has no value comes last; MongoDB has it first where it ascends, so it is asked for apart."""
        order: Order = [*map(_ordered, self.search.sort), ("born", _direction(self.search.sort[0]))]
        if await self._lacks([field for field, direction in order[1:] if "." in field and direction == ASCENDING]):
            return (await self._by_value(order[-1][1]))[offset : offset + limit]
        ascending = [field for field, direction in order if "." in field and direction == ASCENDING]
        found: list[Document] = []
        for pattern in product((True, False), repeat=len(ascending)):
            has = [{field: {"$exists": is_there}} for field, is_there in zip(ascending, pattern, strict=True)]
            condition = {"$and": [self.matching, *has]}
            if offset and (count := await self.count(condition)) <= offset:
                offset -= count
                continue
            found += await self.reads.all(condition, WHOLE, order, limit - len(found), offset, since=self.at)
            offset = 0
            if len(found) == limit:
                break
        return found

    async def _lacks(self, fields: list[str]) -> bool:
        """Whether a match has no value of one of these: among those that are the same before, it comes last."""
        lacking = {"$or": [{field: {"$exists": False}} for field in fields]}
        return bool(fields) and bool(await self.count({"$and": [self.matching, lacking]}))

    async def _by_value(self, births: int = ASCENDING) -> list[Document]:
        """All matches, in an order that no index has; refused where they are too many."""
        shown = {name: 0 for name in WHOLE if name not in ("low", "high")}
        is_late = any(MARK in sort.index for sort in self.search.sort)  # what is in the database alone
        since = None if is_late else self.at
        found = await self.reads.all(self.matching, shown, [("born", births)], SORT_LIMIT + 1, since=since)
        if len(found) > SORT_LIMIT:
            raise Problem.of(
                "too_costly",
                f"More than {SORT_LIMIT} resources would be sorted by a value that the index does not order; "
                "narrow the search, or sort by a date, string, number or _lastUpdated",
                "http._sort",
            )
        for sort in reversed(self.search.sort):
            keyed = [(_value(sort, document), document) for document in found]
            present = [pair for pair in keyed if pair[0] is not None]
            present.sort(key=lambda pair: pair[0], reverse=sort.descending)
            found = [document for _, document in present] + [each for value, each in keyed if value is None]
        return found

    async def _included(self, matches: Sequence[Version]) -> tuple[tuple[Version, ...], tuple[Issue, ...]]:
        frontier, first = [version.reference for version in matches], True
        seen = set(frontier)
        found: list[Version] = []
        while frontier:
            step: dict[str, Document] = {}
            for each in self.search.follow:
                if first or each.iterate:
                    step.update((one["reference"], one) for one in await self._followed(each, frontier))
            new = await self._seen([document for reference, document in step.items() if reference not in seen])
            new.sort(key=_born)
            frontier = [document["reference"] for document in new]
            seen.update(frontier)
            found += map(version_of, new)
            first = False
            if len(found) > INCLUDE_LIMIT:
                return tuple(found[:INCLUDE_LIMIT]), (NOT_ALL,)
        return tuple(found), ()

    async def _seen(self, documents: list[Document]) -> list[Document]:
        """Those that may come along."""
        if self.search.seen is None:
            return documents
        kept: list[Document] = []
        for type in sorted({document["type"] for document in documents}):
            named = [document["reference"] for document in documents if document["type"] == type]
            condition = await self.compiler.matching(type, self.search.seen(type))
            kept += await self.reads.all({**condition, "reference": {"$in": named}}, WHOLE, since=self.at)
        return kept

    async def _followed(self, follow: Follow, frontier: list[str]) -> list[Document]:
        """The resources that a step leads to."""
        if not follow.reverse:
            return await self._living(await self._named(follow, frontier), follow.target_type)
        named = [each for each in frontier if follow.target_type in (None, each.partition("/")[0])]
        keys = [f"{follow.index or ''}{REFERENCE}{reference}" for reference in named]
        array = "keys" if follow.index is None else await self.compiler.array(follow.index)
        condition: Document = {**held(self.at), array: {"$in": keys}}
        if follow.source_type != "*":
            condition["live"] = follow.source_type
        return await self.reads.all(condition, WHOLE, since=self.at)

    async def _named(self, follow: Follow, frontier: list[str]) -> set[str]:
        """The references that the resources of the frontier hold in an index, or in any of the source type's."""
        array = "keys" if follow.index is None else await self.compiler.array(follow.index)
        found = await self._held_by(frontier, array)
        start = "" if follow.source_type == "*" else f"{follow.source_type}."
        pairs = (key.partition(REFERENCE) for document in found for key in document.get(array, ()))
        return {
            reference
            for index, mark, reference in pairs
            if mark and index and BYTES not in index
            if index == follow.index or (follow.index is None and index.startswith(start) and BESIDE not in index)
        }

    async def _held_by(self, frontier: list[str], array: str) -> list[Document]:
        """What the resources of a frontier have in an array: asked once, whatever is followed from them."""
        asked = array, tuple(frontier)
        if asked not in self._held:
            condition = {**held(self.at), "reference": {"$in": frontier}}
            found = await self.reads.all(condition, {"_id": 0, array: 1}, since=self.at)
            self._held = {each: known for each, known in self._held.items() if each[1] == asked[1]} | {asked: found}
        return self._held[asked]

    async def _living(self, references: Iterable[str], type: str | None) -> list[Document]:
        wanted = [each for each in references if type in (None, each.partition("/")[0])]
        condition = {**held(self.at), "reference": {"$in": wanted}, "live": {"$exists": True}}
        return await self.reads.all(condition, WHOLE, since=self.at) if wanted else []

    def told(self) -> list[str]:
        """In words: what was asked of each type, steps to other resources first."""
        return [f"{type}: {_told(filter)}" for type, filter in self.search.parts[:TOLD]]


def _told(filter: Filter) -> str:
    return in_words(filter, _told)


def _born(document: Document) -> int:
    return int(document["born"])


def _text(place: Token | None) -> str | None:
    return None if place is None else str(place)


def _direction(sort: Sort) -> int:
    return DESCENDING if sort.descending else ASCENDING


def _ordered(sort: Sort) -> tuple[str, int]:
    """The field that a sort is by."""
    if sort.index == "_lastUpdated":
        return "_id", _direction(sort)
    if sort.index == "_id":
        return "id", _direction(sort)
    return f"{'high' if sort.descending else 'low'}.{code_of(sort.index)}", _direction(sort)


def _value(sort: Sort, document: Document) -> Any:
    if sort.value is not None:
        return sort.value(json.loads(document.get("body") or b"{}"))
    field, _ = _ordered(sort)
    if "." not in field:
        return document[field]
    bound, _, code = field.partition(".")
    return document[bound].get(code)
