"""Head: the View of a decide: the state at a position that is applied, and what earlier commits of the group wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from pymongo import ASCENDING

from server.ledger import Change, Fact, Position, Version, View
from server.search.filter import MARK, And, Chain, Filter, Has, Hierarchy, Not, Or, Words
from server.search.match import matches
from server.store.mongodb.append import Draft, Entry
from server.store.mongodb.compile import Compiler, Reached
from server.store.mongodb.document import Standing, standing_of, version_of
from server.store.mongodb.reads import WHOLE, Reads, held
from server.store.overlay import Overlay


class Waits(Exception):  # noqa: N818 - not an error: the commit is decided in the next group
    """A decide asks what only the projection can answer, and earlier commits of its group are not in it yet."""


class _Found(NamedTuple):
    """The first matches of a search, so many at most."""

    limit: int
    versions: list[Version]


class HeadView:
    """The state as each commit of a group finds it; `at` is the instant of the one that is decided."""

    def __init__(self, reads: Reads, position: Position, reached: Reached) -> None:
        self.reads = reads
        self.reached = reached
        self.position = position
        self.at = 0
        self.standing: dict[str, Standing | None] = {}
        self._base = position
        self._written: dict[str, Entry] = {}
        self._told: dict[tuple[str, str], list[tuple[Entry, Fact]]] = {}  # what was written, by kind and key
        self._past: dict[tuple[str, Position], Version] = {}
        # What was asked once is not asked again: the projection at the base does not change.
        self._seen: dict[str, Version | None] = {}
        self._facts: dict[str, dict[str, list[Fact]]] = {}
        self._found: dict[tuple[str, Any], _Found] = {}

    def write(self, made: Draft) -> None:
        """Go on to the state after a commit."""
        self.position = made.head.position
        for entry in made.entries:
            version = entry.version
            self._written[version.reference] = entry
            self._seen[version.reference] = version
            self._past[version.reference, version.position] = version
            for kind, key, data in entry.facts:
                fact = Fact(kind, key, data, version.reference)
                self._told.setdefault((kind, key), []).append((entry, fact))

    async def read(self, type: str, id: str) -> Version | None:
        reference = f"{type}/{id}"
        await self.look([reference])
        return self._seen[reference]

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        wanted = list(references)
        await self.look(wanted)
        return self.seen(wanted)

    async def look(self, references: Iterable[str]) -> None:
        """Have these known."""
        missing = [each for each in references if each not in self._seen]
        if not missing:
            return
        found = await self.reads.all({"reference": {"$in": missing}, **held(self._base)}, WHOLE, since=self._base)
        self._seen |= dict.fromkeys(missing)
        self.standing |= dict.fromkeys(missing)
        for document in found:
            self._seen[document["reference"]] = version_of(document)
            self.standing[document["reference"]] = standing_of(document)

    def seen(self, references: Iterable[str]) -> dict[str, Version]:
        """Of resources that are known, those that ever were."""
        return {one: version for one in references if (version := self._seen[one])}

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        if position > self._base:
            return self._past.get((f"{type}/{id}", position))
        return await self.reads.vread(type, id, position)

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        if self._written and steps(filter):
            raise Waits
        await self.find(type, filter, limit + len(self._written))
        return self.found(type, filter, limit)

    async def find(self, type: str, filter: Any, limit: int) -> None:
        """Have the first matches at the base known."""
        known = self._found.get((type, filter))
        if known is not None and (len(known.versions) < known.limit or limit <= known.limit):
            return
        condition = await Compiler(self.reads, self._base, self.reached).matching(type, filter)
        documents = await self.reads.all(condition, WHOLE, [("born", ASCENDING)], limit, since=self._base)
        self._found[type, filter] = _Found(limit, [*map(version_of, documents)])

    def found(self, type: str, filter: Any, limit: int) -> list[Version]:
        """The matches now, of those that are known at the base."""
        kept = [each for each in self._found[type, filter].versions if each.reference not in self._written]
        kept += [
            entry.version
            for entry in self._written.values()
            if entry.version.type == type
            and entry.version.body is not None
            and matches(filter, type, entry.version.id, entry.version.at, entry.rows)
        ]
        return kept[:limit]

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        wanted = list(keys)
        await self.learn(kind, wanted)
        return self.learned(kind, wanted)

    async def learn(self, kind: str, keys: Iterable[str]) -> None:
        """Have the facts under these keys known."""
        known = self._facts.setdefault(kind, {})
        if missing := [key for key in keys if key not in known]:
            known |= await self.reads.facts(kind, missing, self._base)

    def learned(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        """The facts now, under keys that are known."""
        known = self._facts[kind]
        return {
            key: [fact for fact in known[key] if fact.source not in self._written]
            + [fact for entry, fact in self._told.get((kind, key), ()) if self._written[fact.source] is entry]
            for key in keys
        }

    def with_(self, changes: Sequence[Change]) -> View:
        return Overlay(self, changes, self.at)


def steps(filter: Filter) -> bool:
    """Whether a filter asks for more than a resource's own rows."""
    match filter:
        case And(filters) | Or(filters):
            return any(map(steps, filters))
        case Not(negated):
            return steps(negated)
        case Chain() | Has() | Hierarchy() | Words():
            return True
        case _:
            return MARK in getattr(filter, "index", "")
