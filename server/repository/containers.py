"""_contained: what stands within other resources, found as if it stood by itself.

https://hl7.org/fhir/R4/search.html#contained
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from server.fhir import body
from server.fhir.definition import RESOURCE_TYPES
from server.ledger import Version
from server.outcome import Issue, Problem
from server.search import contained
from server.search.filter import And, Filter
from server.search.holds import Rows
from server.search.query import Query
from server.store.engine import Page, Search, Store

MOST = 1000  # matches
LOOKED_INTO = 10_000  # resources that contain any


class Containers:
    """The resources of one store that contain others."""

    def __init__(self, store: Store, rows: Rows) -> None:
        self.store = store
        self.rows = rows

    async def page(self, query: Query, search: Search) -> Page:
        """All matches at once, in the containers' order: what is contained has no place in an order of its own."""
        parts = [
            (type, And((contained.containing(type, query.type), *((search.seen(type),) if search.seen else ()))))
            for type in sorted(RESOURCE_TYPES)
        ]
        asked = Search(*parts[0], count=MOST, others=tuple(parts[1:]))
        page, found = await self.store.search(asked), list[Version]()
        for _ in range(LOOKED_INTO // MOST):
            found += await asyncio.to_thread(self._within, page.matches, query, search.filter)
            if page.next is None or len(found) > MOST:
                break
            page = await self.store.search(asked, page.next)
        if query.contained == "both":
            view = await self.store.view(page.position)
            alone = await view.search(query.type, search.filter, MOST + 1)
            found = list(dict.fromkeys((*alone, *found)))
        if page.next is not None or len(found) > MOST:
            raise _too_much_contained(query.type)
        shown = found if query.count is None else found[: search.count]
        issues = (_REST,) if 0 < len(shown) < len(found) else ()
        return Page(page.position, tuple(shown), total=len(found), issues=issues)

    def _within(self, containers: Sequence[Version], query: Query, filter: Filter) -> list[Version]:
        """The containers with a match within, or the matches themselves, as versions of their containers."""
        found = []
        for version in containers:
            resource = body.loads(version.body or b"{}")
            inner = contained.matching(resource, query.type, filter, version.at, self.rows)
            if query.contained_type == "contained":
                parts = [(f"{version.id}#{one['id']}", body.dumps(one)) for one in inner]
                found += [version._replace(id=id, body=content) for id, content in parts]
            elif inner:
                found.append(version)
        return found


_REST = Issue(
    "incomplete", "What is contained is answered in one page; ask for more of it", ("http._count",), "warning"
)


def _too_much_contained(type: str) -> Problem:
    return Problem.of(
        "too_costly",
        f"What is contained is answered in one page, of at most {MOST} matches in at most {LOOKED_INTO} "
        f"resources that contain any {type}: narrow the search",
        "http._contained",
    )
