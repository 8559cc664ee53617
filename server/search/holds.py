"""Holds: does one resource satisfy a filter that steps to others? Asked of a view, step by step.

An engine finds all that satisfies a filter in its index. What no index has is judged here, by the rows that it would
have: a version that holds no more, and one that is yet to be written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from server.fhir import body
from server.ledger import Change, IndexRow, Resource, Version, View
from server.search.filter import ALL, And, Chain, Equal, Filter, Has, Ids, Not, Or
from server.search.match import matches

MOST = 1000  # resources that name another, until an engine is rather asked about them

Rows = Callable[[Resource], Sequence[IndexRow]]


class Candidate(NamedTuple):
    """A resource to be judged, by its rows."""

    reference: str
    updated: int  # microseconds since the epoch
    rows: Sequence[IndexRow]

    def named(self, index: str, type: str) -> list[str]:
        """The resources of a type that it names in an index."""
        start = f"{type}/"
        return [key for name, key in self.rows if name == index and isinstance(key, str) and key.startswith(start)]


class Judge:
    """Judges by the state of one view. What a step asked of a resource once is not asked again."""

    def __init__(self, view: View, rows: Rows) -> None:
        self.view = view
        self.rows = rows
        self._known: dict[tuple[str, Filter], bool] = {}
        self._candidates: dict[Version, Candidate] = {}
        self._naming: dict[tuple[str, str, str], list[Version]] = {}

    async def version(self, filter: Filter, version: Version) -> bool:
        """Whether a version that is no deletion satisfies a filter."""
        return filter == ALL or await self.holds(filter, self._candidate(version))

    def _candidate(self, version: Version) -> Candidate:
        """Its rows are extracted once, whatever is asked of them."""
        found = self._candidates.get(version)
        if found is None:
            rows = self.rows(body.loads(version.body or b""))
            found = self._candidates[version] = Candidate(version.reference, version.at, rows)
        return found

    async def change(self, filter: Filter, change: Change) -> bool:
        """Whether what is to be written, whose rows are filled, satisfies a filter."""
        return await self.holds(filter, Candidate(change.reference, 0, change.rows or ()))

    async def holds(self, filter: Filter, one: Candidate) -> bool:
        match filter:
            case And(filters):
                for each in filters:
                    if not await self.holds(each, one):
                        return False
                return True
            case Or(filters):
                for each in filters:
                    if await self.holds(each, one):
                        return True
                return False
            case Not(negated):
                return not await self.holds(negated, one)
            case Chain(index, type):
                return await self._leads(one.named(index, type), filter.beyond)
            case Has():
                return await self._is_named(one, filter)
        type, _, id = one.reference.partition("/")
        return matches(filter, type, id, one.updated, one.rows)

    async def _leads(self, references: Iterable[str], filter: Filter) -> bool:
        found = await self.view.read_many(dict.fromkeys(references))
        return await self._any(filter, [version for version in found.values() if version.body is not None])

    async def _is_named(self, one: Candidate, has: Has) -> bool:
        most = 0 if has.filter == ALL else MOST
        naming = await self._naming_it(one.reference, has, most)
        if len(naming) <= most:
            return await self._any(has.filter, naming)
        if most == 0:
            return True
        type, _, id = one.reference.partition("/")
        return bool(await self.view.search(type, And((Ids((id,)), has)), 1))

    async def _naming_it(self, reference: str, has: Has, most: int) -> list[Version]:
        """Those that name a resource in an index, one more than `most` at the most."""
        asked = (reference, has.type, has.index)
        if most == 0 and asked not in self._naming:
            return await self.view.search(has.type, Equal(has.index, (reference,)), 1)
        if asked not in self._naming:
            self._naming[asked] = await self.view.search(has.type, Equal(has.index, (reference,)), most + 1)
        return self._naming[asked]

    async def _any(self, filter: Filter, versions: Iterable[Version]) -> bool:
        for version in versions:
            if await self._once(filter, version):
                return True
        return False

    async def _once(self, filter: Filter, version: Version) -> bool:
        asked = (version.reference, filter)
        if asked not in self._known:
            self._known[asked] = await self.version(filter, version)
        return self._known[asked]
