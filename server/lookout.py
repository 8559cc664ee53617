"""Lookout: one worker of all looks from time to time whether a limit is broken, and keeps the Flags and Tasks.

So it does with who does what for the members whom two organizations have, and with what members are offered, where
writes do not see to that themselves.

It looks only where something moved that a number may depend on: a commit, or the hour, since days end at other hours in
other zones. It waits until nobody has written for a moment, so that it adds no commit in the midst of others' work, but
no longer than the interval. The counting is done beside the requests; a look that fails is logged, and the next one is
made in its time.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from time import perf_counter

import structlog

from server.auth.access import SYSTEM
from server.interactions.exchange import logged
from server.ledger import Cursor, Position
from server.operations import escalation, offering, oversight, review, roster
from server.outcome import Problem
from server.repository import Repository
from server.search.filter import ALL

COUNTED = frozenset(
    {"CareTeam", "EpisodeOfCare", "Flag", "Organization", "Patient", "PlanDefinition", "PractitionerRole"}
)
# What says whose a service is, of many members at once
SHARED = ("Contract", "Organization", "OrganizationAffiliation", "PlanDefinition", "PractitionerRole")
FEW = 500  # changes that are looked through before a look: of more, one is taken to count. Episodes of a small store
QUIET = 2.0  # seconds without a commit, after which it looks
UNAVAILABLE = 503
PATIENCE = 20  # a look is followed by a pause of so many times what it took, where the interval is longer

_log = structlog.get_logger("lookout")


@asynccontextmanager
async def watching(repository: Repository, interval: float) -> AsyncIterator[None]:
    """Look every `interval` seconds, or sooner where nobody writes, until the end; never where that is 0."""
    if not interval:
        yield
        return
    stopped = asyncio.Event()
    running = asyncio.create_task(_Lookout(repository).run(interval, None, stopped))
    try:
        yield
    finally:
        stopped.set()
        await running


async def _is_small(repository: Repository) -> bool:
    """True where a first look takes no time that anybody would notice."""
    view = await repository.view(SYSTEM)
    return len(await view.search("EpisodeOfCare", ALL, FEW)) < FEW


class _Lookout:
    """What was looked at last: the ledger's position, and the hour."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.seen: Position | None = None
        self.position: Position | None = None
        self.hour: datetime | None = None
        self.checked: tuple[datetime, Position] | None = None

    async def run(self, interval: float, pause: float | None, stopped: asyncio.Event) -> None:
        """Look after a pause of so many seconds as soon as it is quiet, and at the interval.

        Without a pause it is none for a small store, once that can be asked, and the interval for another.
        """
        since = perf_counter()
        while not stopped.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(stopped.wait(), min(QUIET, interval))
                return
            try:
                if pause is None:
                    pause = 0 if await _is_small(self.repository) else interval
                waited = perf_counter() - since
                is_due = waited >= interval or (await self.is_quiet() and waited >= pause)
                if is_due and await self.repository.store.leads("oversight"):
                    since = perf_counter()
                    if await self.look(now := datetime.now(UTC)) | await self.check(now):
                        pause = PATIENCE * (perf_counter() - since)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is no reason to stop serving
                _missed(error)

    async def is_quiet(self) -> bool:
        """Whether nothing was committed since this was asked last."""
        head, seen = await self.repository.head(SYSTEM), self.seen
        self.seen = head
        return head == seen

    async def look(self, now: datetime) -> bool:
        """Look where something moved; whether it did."""
        head, hour = await self.repository.head(SYSTEM), now.replace(minute=0, second=0, microsecond=0)
        if self.hour == hour and not await self._moved():
            self.position = head
            return False
        await oversight.look(self.repository, SYSTEM, now)
        await escalation.look(self.repository, SYSTEM, now)
        self.position, self.hour = head, hour
        return True

    async def check(self, now: datetime) -> bool:
        """Look at leads who left, at who does what for all whom two organizations have, and at offers, in their time.

        Writes see to their own members: this is for what comes with time, and for what many members depend on. Answers
        whether it was time to.
        """
        hour = now.replace(minute=0, second=0, microsecond=0)
        last = await self.repository.store.last(*SHARED)
        if self.checked == (hour, last):
            return False
        await review.look(self.repository, SYSTEM, now)
        await roster.kept(self.repository, SYSTEM, roster.Asked(), at=now)
        await offering.look(self.repository, SYSTEM, now)
        self.checked = (hour, last)
        return True

    async def _moved(self) -> bool:
        """Whether a commit since the last look may have changed a number."""
        if self.position is None:
            return True
        written = await self.repository.changes(SYSTEM, Cursor(self.position + 1, -1), FEW)
        return len(written) == FEW or any(version.type in COUNTED for version in written)


def _missed(error: Exception) -> None:
    """Log why there was no look: in a line where it passes, not at all where the store itself tells of it."""
    if not isinstance(error, Problem) or error.status != UNAVAILABLE:
        logged(error)
    elif error.kind != "unavailable":
        _log.warning("looks later", why=error.kind)
