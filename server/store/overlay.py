"""Overlay: a view and changes that are not written yet, as one view. What the rules see as the state after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from server.ledger import Change, Fact, Position, Version, View
from server.search import match


class Overlay:
    """`view` with `changes` applied; the changes' rows and facts are filled."""

    def __init__(self, view: View, changes: Sequence[Change], at: int) -> None:
        self.before = view
        self.at = at
        self.changes = {change.reference: change for change in changes}
        self._ordinals = {reference: ordinal for ordinal, reference in enumerate(self.changes)}
        self._told: dict[tuple[str, str], list[Fact]] | None = None  # the changes' facts, by kind and key

    @property
    def position(self) -> Position:
        return self.before.position + 1

    async def read(self, type: str, id: str) -> Version | None:
        change = self.changes.get(f"{type}/{id}")
        return await self.before.read(type, id) if change is None else self._version(change)

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        wanted = list(references)
        found = await self.before.read_many([one for one in wanted if one not in self.changes])
        return found | {one: self._version(self.changes[one]) for one in wanted if one in self.changes}

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        return await self.before.vread(type, id, position)

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        found = await self.before.search(type, filter, limit + len(self.changes))
        kept = [version for version in found if version.reference not in self.changes]
        kept += [
            self._version(change)
            for change in self.changes.values()
            if change.type == type
            and change.resource is not None
            and match.matches(filter, type, change.id, self.at, change.rows or ())
        ]
        return kept[:limit]

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        told = self._facts()
        return {
            key: [*(fact for fact in facts if fact.source not in self.changes), *told.get((kind, key), ())]
            for key, facts in (await self.before.facts(kind, keys)).items()
        }

    def _facts(self) -> dict[tuple[str, str], list[Fact]]:
        """Read once: rules ask member by member, and a commit may be about thousands."""
        if self._told is None:
            self._told = {}
            for change in self.changes.values():
                for kind, key, data in change.facts or ():
                    self._told.setdefault((kind, key), []).append(Fact(kind, key, data, change.reference))
        return self._told

    def with_(self, changes: Sequence[Change]) -> View:
        return Overlay(self, changes, self.at)

    def _version(self, change: Change) -> Version:
        body = None if change.resource is None else change.stamped(self.position, self.at)
        ordinal = self._ordinals[change.reference]
        return Version(change.type, change.id, self.position, ordinal, change.method, self.at, body)
