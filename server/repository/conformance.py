"""Conformance: the definitions that are stored, as they are now: search parameters, profiles, guides, code systems.

https://hl7.org/fhir/R4/conformance-module.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.fhir import body
from server.ledger import IndexRow, LateIndex, Position, Resource
from server.outcome import Problem
from server.search import custom, query
from server.search.filter import ALL
from server.search.include import ANY
from server.search.query import Query
from server.store.engine import Projections, Store

MOST = 10_000  # definitions of a type
SEARCH_PARAMETER = "SearchParameter"
STRUCTURE_DEFINITION = "StructureDefinition"
CODE_SYSTEM = "CodeSystem"
IMPLEMENTATION_GUIDE = "ImplementationGuide"
IN_USE = (("status", "active,draft"),)
PROFILES = (("derivation", "constraint"), ("kind", "resource"), *IN_USE)


class Conformance:
    """The definitions of one partition, each kind read again once one of it was written."""

    def __init__(self, store: Store, projections: Projections) -> None:
        self._store = store
        self._projections = projections
        self._custom = custom.NONE
        self._at: Position = 0
        self._late: Sequence[LateIndex] = ()
        self._listed: dict[str, tuple[Position, tuple[tuple[str, str], ...]]] = {}  # by type, and as of when

    async def parsed(self, asked: Callable[..., Query]) -> Query:
        """What `query.parse` makes of a search, its definitions still to be given as `custom`. Problem as it has it.

        What is stored is looked up only where R4's own do not suffice.
        """
        if self._custom is custom.NONE:
            try:
                found = asked()
            except Problem:
                if not await self._learned():
                    raise
            else:
                if not (found.ignored or _is_of_all(found)) or not await self._learned():
                    return found
        await self._learned()
        return asked(custom=self._custom)

    def late_rows(self, type: str, resource: Resource) -> list[IndexRow]:
        """The rows of the stored parameters, as they were last read, which no commit carries."""
        return [row for index in self._late if index.type == type for row in index.rows(resource)]

    async def parameters(self) -> custom.Definitions:
        """The stored SearchParameters, as they are searched now."""
        await self._learned()
        return self._custom

    async def profiles(self) -> tuple[tuple[str, str], ...]:
        """(resource type, canonical URL) of each profile that is stored and not retired."""
        return await self._in_use(STRUCTURE_DEFINITION, PROFILES, ("type", "url"))

    async def guides(self) -> tuple[tuple[str, str], ...]:
        """(canonical URL, version) of each ImplementationGuide that is stored and not retired."""
        return await self._in_use(IMPLEMENTATION_GUIDE, IN_USE, ("url", "version"))

    async def code_systems(self) -> tuple[tuple[str, str], ...]:
        """(URL, version) of each CodeSystem that is stored with codes and not retired."""
        return await self._in_use(
            CODE_SYSTEM, (("content-mode", "complete,fragment,example"), *IN_USE), ("url", "version")
        )

    async def _in_use(
        self, type: str, criteria: Sequence[tuple[str, str]], names: tuple[str, str]
    ) -> tuple[tuple[str, str], ...]:
        """Two elements of each definition of a type that fits, in order; read again after a change."""
        position = await self._store.last(type)
        if self._listed.get(type, (0, ()))[0] != position:
            asked = query.parse(type, criteria, base_url="", lenient=False)
            stored = await (await self._store.view()).search(type, asked.filter, MOST)
            read = [body.loads(version.body) for version in stored if version.body]
            found = {tuple(str(one.get(name, "")) for name in names) for one in read}
            self._listed[type] = position, tuple(sorted((first, second) for first, second in found))
        return self._listed.get(type, (0, ()))[1]

    async def _learned(self) -> bool:
        """Read the stored SearchParameters again where any was written since. True where it was so."""
        position = await self._store.last(SEARCH_PARAMETER)
        if position == self._at:
            return False
        stored = await (await self._store.view()).search(SEARCH_PARAMETER, ALL, MOST)
        resources = [body.loads(version.body) for version in stored if version.body]
        found = custom.definitions(resources)
        self._late = self._projections.indexes(resources)
        self._custom = found if found.parameters or found.refused else custom.NONE
        self._at = position
        return True


def _is_of_all(query: Query) -> bool:
    """Whether it includes whatever references there are, those of stored parameters too."""
    return any(each.code == ANY for each in (*query.include, *query.revinclude))
