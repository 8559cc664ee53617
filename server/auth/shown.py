"""Shown: what a caller sees of versions that were read: those of a page, of a history, of the ledger.

A version is shown as its resource is now, and as it was itself: what is hidden by now takes its past along.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence

from server.auth.seen import Seen
from server.auth.sight import Sight
from server.ledger import Cursor, Version
from server.search.filter import ALL
from server.search.holds import Rows
from server.store.engine import Page, Store

PAST = 50  # versions of a resource that are read at once
LOOKED = 10_000  # versions of a history that are looked through for a page of what is seen
MOST = 1000  # of them at once


class Shown:
    """What one caller is shown of one store."""

    def __init__(self, store: Store, sight: Sight, rows: Rows) -> None:
        self.store = store
        self.sight = sight
        self.rows = rows

    async def of(self, versions: Sequence[Version], *, listed: bool = True) -> list[Version]:
        """The versions that are seen, in a list or by their ids: as they are, and as their resource is now."""
        judged = [one for one in versions if self.sight.clause(one.type) != ALL]
        seen = await self._seen(listed)
        now = await self._now(seen, dict.fromkeys(one.reference for one in judged)) if judged else set()
        hidden = {one for one in judged if not (one.reference in now and await self._sees(seen, one))}
        return [one for one in versions if one not in hidden]

    async def _now(self, seen: Seen, references: Iterable[str]) -> set[str]:
        """The resources that are seen as they are now; what was deleted, as it was last."""
        found = await seen.view.read_many(references)
        there = await seen.of(one.reference for one in found.values() if one.body is not None)
        gone = [one for one in found.values() if one.body is None]
        return there.union([one.reference for one in gone if await self._sees(seen, one)])

    async def still(self, found: Page) -> Page:
        """An earlier position's page, less what is hidden by now."""
        told = (*found.matches, *found.included)
        now = await (await self._seen(listed=True)).of(one.reference for one in told)
        rest = set(await self.of([one for one in told if one.reference not in now]))
        matches, included = (
            tuple(one for one in some if one.reference in now or one in rest)
            for some in (found.matches, found.included)
        )
        return found._replace(matches=matches, included=included)

    async def history(
        self, told: Callable[..., Awaitable[Page]], count: int, page: str | None, *, listed: bool
    ) -> Page:
        """So many of the versions that `told` gives by `count` and `page`. How many there are in all is not told."""
        shown, created, looked = list[Version](), frozenset[Cursor](), count
        left = LOOKED
        while True:
            found = await told(count=looked, page=page)
            seen = await self.of(found.matches, listed=listed)
            if len(seen) > (rest := count - len(shown)):  # the next page begins after the last that is shown
                seen = seen[:rest]
                found = await told(count=found.matches.index(seen[-1]) + 1, page=page)
            shown, created, page, left = shown + seen, created | found.created, found.next, left - looked
            if len(shown) == count or page is None or left <= 0:
                return found._replace(matches=tuple(shown), total=None, created=created)
            looked = min(MOST, max(count - len(shown), looked * 4))

    async def _sees(self, seen: Seen, version: Version) -> bool:
        standing = version if version.body is not None else await self._deleted(version)
        return standing is not None and await seen.sees(standing)

    async def _deleted(self, deletion: Version) -> Version | None:
        """The version that a deletion ended."""
        page = None
        while True:
            past = await self.store.history(deletion.type, deletion.id, since=None, at=None, count=PAST, page=page)
            for one in past.matches:
                if one.position < deletion.position and one.body is not None:
                    return one
            page = past.next
            if page is None:
                return None

    async def _seen(self, listed: bool) -> Seen:
        return Seen(await self.store.view(), self.sight, self.rows, lists=listed)
