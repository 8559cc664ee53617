"""Filter -> a condition on documents of `versions`, at a position. What it steps to elsewhere is asked first.

Each part says all that it asks of one element of an array: its range, for the index to seek by, and a pattern.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable

from server.ledger import Position
from server.outcome import Problem
from server.search import near
from server.search.contained import led, within
from server.search.filter import (
    ALL,
    MARK,
    And,
    Chain,
    Contains,
    Equal,
    Filter,
    Has,
    Hierarchy,
    Ids,
    Near,
    Not,
    Or,
    Present,
    Range,
    Updated,
    Words,
)
from server.store.mongodb.document import AFTER, BYTES, REFERENCE, Document, key, words_of
from server.store.mongodb.pattern import between, exactly
from server.store.mongodb.reads import Reads, held

MOST_STEPPED = 100_000  # resources that a step of a chain leads through
NOTHING: Document = {"_id": ""}  # no version has it

Reached = Callable[[str, Position], Awaitable[None]]  # returns once a late index has come to a position


class Compiler:
    """Conditions at one position."""

    def __init__(self, reads: Reads, at: Position, reached: Reached) -> None:
        self.reads = reads
        self.at = at
        self.reached = reached
        self._led: dict[tuple[str, Filter], list[str]] = {}  # what a step led to once
        self._named: dict[tuple[str, str, str, Filter], list[str]] = {}

    async def matching(self, type: str, filter: Filter) -> Document:
        """The condition of the resources of a type that satisfy a filter."""
        return {"live": type, **held(self.at), "$and": [await self.condition(type, filter)]}

    async def condition(self, type: str, filter: Filter) -> Document:
        match filter:
            case And(filters):
                return {"$and": [await self.condition(type, each) for each in filters]} if filters else {}
            case Or(filters):
                return {"$or": [await self.condition(type, each) for each in filters]} if filters else NOTHING
            case Not(negated):
                return {"$nor": [await self.condition(type, negated)]}
            case Ids(ids):
                return {"reference": {"$in": [f"{type}/{id}" for id in ids]}}
            case Updated(low, high):
                return {"type": type, **await self.reads.made(low, high)}
            case Words():
                return _words(filter)
            case Chain():
                return await self._chain(type, filter)
            case Has(source, index, inner):
                return {"reference": {"$in": await self._referred(type, source, index, inner)}}
            case Hierarchy():
                return await self._equal(filter.index, [key(filter.index, each) for each in await self._line(filter)])
            case Near():
                return await self._equal(filter.index, await self._places(filter))
            case Equal(index, keys):
                return await self._equal(index, [key(index, each) for each in keys])
            case Range() | Contains() | Present():
                return {await self.array(filter.index): element(filter)}
            case _:
                raise TypeError(f"{filter.__class__.__name__} is resolved before it is compiled")

    async def array(self, index: str) -> str:
        """Where an index's rows are. One that is made late must have come to the position."""
        if MARK not in index:
            return "keys"
        await self.reached(index.partition(":")[0], self.at)
        return "late"

    async def _equal(self, index: str, keys: list[str]) -> Document:
        return {await self.array(index): {"$in": keys}}

    async def _chain(self, type: str, filter: Chain) -> Document:
        """What is led to, or what the resource itself contains of it."""
        index = filter.index
        found = await self._equal(
            index, [key(index, each) for each in await self._references(filter.type, filter.beyond)]
        )
        if filter.filter == ALL or MARK in index or not await self._is_there(led(index, filter.type)):
            return found
        return {"$or": [found, await self.condition(type, within(filter))]}

    async def _is_there(self, index: str) -> bool:
        asked = {**held(self.at), "keys": element(Present(index))}
        return bool(await self.reads.all(asked, {"_id": 1}, limit=1, since=self.at))

    async def _references(self, type: str, filter: Filter) -> list[str]:
        """The resources of a type that satisfy a filter."""
        if (type, filter) not in self._led:
            condition = await self.matching(type, filter)
            found = await self.reads.all(condition, {"_id": 0, "reference": 1}, limit=MOST_STEPPED + 1, since=self.at)
            self._led[type, filter] = [document["reference"] for document in _few(found)]
        return self._led[type, filter]

    async def _referred(self, type: str, source: str, index: str, filter: Filter) -> list[str]:
        """The resources of a type that resources of another, which satisfy a filter, refer to."""
        asked = (type, source, index, filter)
        if asked not in self._named:
            array, prefix = await self.array(index), f"{index}{REFERENCE}{type}/"
            condition = await self.matching(source, filter)
            condition["$and"].append({array: _prefixed(prefix)})
            found = await self.reads.all(condition, {"_id": 0, array: 1}, limit=MOST_STEPPED + 1, since=self.at)
            start = len(index) + 1
            named = {each[start:] for document in _few(found) for each in document[array] if each.startswith(prefix)}
            self._named[asked] = sorted(named)
        return self._named[asked]

    async def _line(self, filter: Hierarchy) -> list[str]:
        """The roots, and all that stands below them, or above."""
        seen = set(filter.roots)
        frontier = list(seen)
        while frontier:
            step = await (
                self._above(filter.parent, frontier) if filter.upward else self._below(filter.parent, frontier)
            )
            frontier = sorted(step - seen)
            seen |= step
            if len(seen) > MOST_STEPPED:
                raise _too_many()
        return sorted(seen)

    async def _below(self, parent: str, references: list[str]) -> set[str]:
        asked = await self._equal(parent, [key(parent, each) for each in references])
        found = await self.reads.all({**held(self.at), **asked}, {"_id": 0, "reference": 1}, since=self.at)
        return {document["reference"] for document in found}

    async def _above(self, parent: str, references: list[str]) -> set[str]:
        array, prefix = await self.array(parent), f"{parent}{REFERENCE}"
        found = await self.reads.all(
            {**held(self.at), "reference": {"$in": references}}, {"_id": 0, array: 1}, since=self.at
        )
        named = (each for document in found for each in document.get(array, ()))
        return {each.removeprefix(prefix) for each in named if each.startswith(prefix)}

    async def _places(self, filter: Near) -> list[str]:
        """The keys of the places that are near enough, of those in the band of latitudes."""
        low, high = near.band(filter)
        array, prefix = await self.array(filter.index), f"{filter.index}{BYTES}"
        condition = {**held(self.at), array: element(Range(filter.index, low, high))}
        found = await self.reads.all(condition, {"_id": 0, array: 1}, limit=MOST_STEPPED + 1, since=self.at)
        places = {each for document in _few(found) for each in document[array] if each.startswith(prefix)}
        return sorted(
            each
            for each in places
            if near.distance(bytes.fromhex(each[len(prefix) :]), filter.latitude, filter.longitude) <= filter.metres
        )


def element(filter: Filter) -> Document:
    """The condition on one element of an index's array."""
    match filter:
        case Range(index, low, high):
            prefix = f"{index}{BYTES}"
            pattern = f"^{re.escape(prefix)}{between(low.hex(), high.hex())}{_tail(filter)}"
            return {"$elemMatch": {"$gte": prefix + low.hex(), "$lt": prefix + high.hex(), "$regex": pattern}}
        case Contains(index, text, tail):
            prefix = f"{index}{BYTES}"
            pattern = f"^{re.escape(prefix)}(?:..)*{text.hex()}(?:..)*.{{{2 * tail}}}$"
            return {"$elemMatch": {"$gte": prefix, "$lt": f"{index}{REFERENCE}", "$regex": pattern}}
        case Present(index):
            pattern = f"^{re.escape(index)}[{BYTES}{REFERENCE}]"
            return {"$elemMatch": {"$gte": f"{index}{BYTES}", "$lt": f"{index}{AFTER}", "$regex": pattern}}
    raise ValueError(f"{type(filter).__name__} asks no element")


def _tail(range: Range) -> str:
    """What comes after the digits that the range is of: its last eight bytes."""
    low, high = (b"" if each is None else each for each in (range.tail_low, range.tail_high))
    return f".*{exactly(low.hex(), high.hex())}$" if low or high else ""


def _prefixed(prefix: str) -> Document:
    """The condition on one element that begins so; "0" comes after "/"."""
    return {"$elemMatch": {"$gte": prefix, "$lt": f"{prefix[:-1]}0", "$regex": f"^{re.escape(prefix)}"}}


def _words(filter: Words) -> Document:
    """Each word by the index; their order by what was said."""
    scopes = "n" if filter.scope == "narrative" else "nc"
    words = [part for word in filter.words for part in words_of(word)]
    if not words:
        return NOTHING
    last = words[-1]
    whole, begun = (words[:-1], last) if filter.begins else (words, None)
    conditions: list[Document] = [{"words": {"$in": [f"{scope} {word}" for scope in scopes]}} for word in whole]
    if begun is not None:
        conditions.append({"$or": [{"words": _begun(f"{scope} {begun}")} for scope in scopes]})
    end = "" if filter.begins else " "
    pattern = {"$regex": f" {re.escape(' '.join(words))}{end}"}
    conditions.append({"said.0" if filter.scope == "narrative" else "said": pattern})
    return {"$and": conditions}


def _begun(start: str) -> Document:
    return {"$elemMatch": {"$gte": start, "$lt": f"{start}\U0010ffff", "$regex": f"^{re.escape(start)}"}}


def _few(found: list[Document]) -> list[Document]:
    if len(found) > MOST_STEPPED:
        raise _too_many()
    return found


def _too_many() -> Problem:
    return Problem.of(
        "too_costly", f"A step of the search leads through more than {MOST_STEPPED:,} resources; narrow it"
    )
