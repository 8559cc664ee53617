"""Head: the View of a decide: the state at a position that is applied, and what earlier commits of the group wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

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
        self._past: dict[tuple[str, Position], Version] = {}
        # What was asked once is not asked again: the projection at the base does not change.
        self._seen: dict[str, Version | None] = {}
        self._facts: dict[str, dict[str, list[Fact]]] = {}

    def write(self, made: Draft) -> None:
        """Go on to the state after a commit."""
        self.position = made.head.position
        for entry in made.entries:
            version = entry.version
            self._written[version.reference] = entry
            self._seen[version.reference] = version
            self._past[version.reference, version.position] = version

    async def read(self, type: str, id: str) -> Version | None:
        reference = f"{type}/{id}"
        if reference not in self._seen:
            await self._look([reference])
        return self._seen[reference]

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        wanted = list(references)
        if missing := [one for one in wanted if one not in self._seen]:
            await self._look(missing)
        return {one: version for one in wanted if (version := self._seen[one])}

    async def _look(self, references: Sequence[str]) -> None:
        found = await self.reads.all({"reference": {"$in": list(references)}, **held(self._base)}, WHOLE)
        self._seen |= dict.fromkeys(references)
        self.standing |= dict.fromkeys(references)
        for document in found:
            self._seen[document["reference"]] = version_of(document)
            self.standing[document["reference"]] = standing_of(document)

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        if position > self._base:
            return self._past.get((f"{type}/{id}", position))
        return await self.reads.vread(type, id, position)

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        if self._written and _steps(filter):
            raise Waits
        compiler = Compiler(self.reads, self._base, self.reached)
        condition = await compiler.matching(type, filter)
        found = await self.reads.all(condition, WHOLE, [("born", ASCENDING)], limit + len(self._written))
        versions = map(version_of, found)
        kept = [version for version in versions if version.reference not in self._written]
        kept += [
            entry.version
            for entry in self._written.values()
            if entry.version.type == type
            and entry.version.body is not None
            and matches(filter, type, entry.version.id, entry.version.at, entry.rows)
        ]
        return kept[:limit]

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        known, wanted = self._facts.setdefault(kind, {}), list(keys)
        if missing := [key for key in wanted if key not in known]:
            known |= await self.reads.facts(kind, missing, self._base)
        found = {key: [fact for fact in known[key] if fact.source not in self._written] for key in wanted}
        for reference, entry in self._written.items():
            for fact_kind, key, data in entry.facts:
                if fact_kind == kind and key in found:
                    found[key].append(Fact(kind, key, data, reference))
        return found

    def with_(self, changes: Sequence[Change]) -> View:
        return Overlay(self, changes, self.at)


def _steps(filter: Filter) -> bool:
    """Whether a filter asks for more than a resource's own rows."""
    match filter:
        case And(filters) | Or(filters):
            return any(map(_steps, filters))
        case Not(negated):
            return _steps(negated)
        case Chain() | Has() | Hierarchy() | Words():
            return True
        case _:
            return MARK in getattr(filter, "index", "")
