"""Shown: what a caller sees of versions that were read: those of a page, of a history, of the ledger.

A version is shown as its resource is now, and as it was itself: what is hidden by now takes its past along.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from server.auth.seen import Seen
from server.auth.sight import Sight
from server.ledger import Version
from server.search.filter import ALL
from server.search.holds import Rows
from server.store.engine import Page, Store

PAST = 50  # versions of a resource that are read at once
LOOKS = 100  # pages of a history that are looked through for one of what is seen


class Shown:
    """What one caller is shown of one store."""

    def __init__(self, store: Store, sight: Sight, rows: Rows) -> None:
        self.store = store
        self.sight = sight
        self.rows = rows

    async def of(self, versions: Sequence[Version], *, listed: bool = True) -> list[Version]:
        """The versions that are seen, in a list or by their ids: as they are, and as their resource is now."""
        seen = await self._seen()
        current: dict[str, bool] = {}
        shown = []
        for version in versions:
            if self.sight.clause(version.type) != ALL:
                if version.reference not in current:
                    now = await self.store.read(version.type, version.id)
                    current[version.reference] = now is not None and await self._sees(seen, now, listed)
                if not (current[version.reference] and await self._sees(seen, version, listed)):
                    continue
            shown.append(version)
        return shown

    async def still(self, found: Page) -> Page:
        """An earlier position's page, less what is hidden by now."""
        told = (*found.matches, *found.included)
        now = await (await self._seen()).of(one.reference for one in told)
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
        found = await told(count=count, page=page)
        shown, created = await self.of(found.matches, listed=listed), found.created
        for _ in range(LOOKS):
            if len(shown) == count or found.next is None:
                break
            found = await told(count=count - len(shown), page=found.next)
            shown += await self.of(found.matches, listed=listed)
            created |= found.created
        return found._replace(matches=tuple(shown), total=None, created=created)

    async def _sees(self, seen: Seen, version: Version, listed: bool) -> bool:
        standing = version if version.body is not None else await self._deleted(version)
        return standing is not None and await seen.sees(standing, listed=listed)

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

    async def _seen(self) -> Seen:
        return Seen(await self.store.view(), self.sight, self.rows)
