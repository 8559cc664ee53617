"""Recalled: what for whom callers act depends on, asked once until it changes. A page of reads asks the same each time.

Each is the facts of a few types of resource; the store tells when one of those changed last.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from server.ledger import Change, Fact, Position, Version, View

TYPES = ("Contract", "PlanDefinition", "PractitionerRole")  # whose facts `access.acting` asks for
MOST = 10_000  # facts' keys that are remembered

Known = dict[tuple[str, str], list[Fact]]


class Recalled:
    """A View that remembers facts of these types."""

    def __init__(self, view: View, known: Known) -> None:
        self._view = view
        self._known = known

    @property
    def position(self) -> Position:
        return self._view.position

    async def read(self, type: str, id: str) -> Version | None:
        return await self._view.read(type, id)

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        return await self._view.read_many(references)

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        return await self._view.vread(type, id, position)

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        return await self._view.search(type, filter, limit)

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        wanted = list(keys)
        if missing := [key for key in wanted if (kind, key) not in self._known]:
            found = await self._view.facts(kind, missing)
            self._known |= {(kind, key): rows for key, rows in found.items()}
            return {key: found[key] if key in found else self._known[kind, key] for key in wanted}
        return {key: self._known[kind, key] for key in wanted}

    def with_(self, changes: Sequence[Change]) -> View:
        return self._view.with_(changes)


class Memory:
    """What is remembered, as of the last change of these types."""

    def __init__(self) -> None:
        self._last: Position = -1
        self._known: Known = {}

    def of(self, view: View, last: Position) -> View:
        """A view that remembers; `last` was asked for before the view was."""
        if last != self._last or len(self._known) > MOST:
            self._last, self._known = last, {}
        return Recalled(view, self._known)
