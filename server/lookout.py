"""Lookout: one worker of all looks from time to time whether a limit is broken, and keeps the Flags and Tasks.

It looks only where something moved that a number may depend on: a commit, or the hour, since days end at other hours in
other zones. The counting is done beside the requests; a look that fails is logged, and the next one is made in its
time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime

from server.auth.access import SYSTEM
from server.interactions.exchange import logged
from server.ledger import Cursor, Position
from server.operations import oversight
from server.repository import Repository

COUNTED = frozenset(
    {"CareTeam", "EpisodeOfCare", "Flag", "Organization", "Patient", "PlanDefinition", "PractitionerRole"}
)
FEW = 500  # changes that are looked through before a look: of more, one is taken to count


@asynccontextmanager
async def watching(repository: Repository, interval: float) -> AsyncIterator[None]:
    """Look every `interval` seconds, until the end; never where that is 0."""
    if not interval:
        yield
        return
    stopped = asyncio.Event()
    running = asyncio.create_task(_Lookout(repository).run(interval, stopped))
    try:
        yield
    finally:
        stopped.set()
        await running


class _Lookout:
    """What was looked at last: the ledger's position, and the hour."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.position: Position | None = None
        self.hour: datetime | None = None

    async def run(self, interval: float, stopped: asyncio.Event) -> None:
        while not stopped.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), interval)
                return
            try:
                if await self.repository.store.leads("oversight"):
                    await self.look(datetime.now(UTC))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is no reason to stop serving
                logged(error)

    async def look(self, now: datetime) -> bool:
        """Look where something moved; whether it did."""
        head, hour = await self.repository.head(SYSTEM), now.replace(minute=0, second=0, microsecond=0)
        if self.hour == hour and not await self._moved():
            self.position = head
            return False
        await oversight.look(self.repository, SYSTEM, now)
        self.position, self.hour = head, hour
        return True

    async def _moved(self) -> bool:
        """Whether a commit since the last look may have changed a number."""
        if self.position is None:
            return True
        written = await self.repository.changes(SYSTEM, Cursor(self.position + 1, -1), FEW)
        return len(written) == FEW or any(version.type in COUNTED for version in written)
