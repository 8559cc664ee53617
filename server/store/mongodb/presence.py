"""Presence: what the log says of a database that is lost, and of one that is back: a line each, whoever asks meanwhile.

The driver looks for a server that takes writes on its own, and tells when it finds none and when it finds one again.
https://github.com/mongodb/specifications/blob/master/source/server-discovery-and-monitoring/server-discovery-and-monitoring.md
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Hashable

import structlog
from pymongo.monitoring import (
    TopologyClosedEvent,
    TopologyDescriptionChangedEvent,
    TopologyListener,
    TopologyOpenedEvent,
)
from pymongo.topology_description import TopologyDescription

SETTLED = 1.0  # seconds: a connection that is cut and made again at once is nothing to tell

_log = structlog.get_logger("mongodb")


class Presence(TopologyListener):
    """Tells of all clients of a process at once: its partitions are on one database server."""

    def __init__(self) -> None:
        self._lost: set[Hashable] = set()  # the clients that have no server any more, the stores that wait to be opened
        self._telling: asyncio.TimerHandle | None = None
        self._told: float | None = None  # that it is away, and since when

    def opened(self, event: TopologyOpenedEvent) -> None:
        """Nothing is known of its servers yet: who opens a store says whether it found any."""

    def description_changed(self, event: TopologyDescriptionChangedEvent) -> None:
        if _takes_writes(event.new_description):
            self.find(event.topology_id)
        elif _takes_writes(event.previous_description):
            self.lose(event.topology_id, _named(event.previous_description))

    def closed(self, event: TopologyClosedEvent) -> None:
        self.leave(event.topology_id)

    def lose(self, one: Hashable, servers: str) -> None:
        """A client has no server any more, or a store cannot be opened for want of one."""
        self._lost.add(one)
        if self._telling is None and self._told is None:
            self._telling = asyncio.get_running_loop().call_later(SETTLED, self._tell, time.monotonic(), servers)

    def _tell(self, since: float, servers: str) -> None:
        self._telling, self._told = None, since
        _log.warning("the database is away", at=servers)

    def find(self, one: Hashable) -> None:
        """A client has a server, or a store is open."""
        self._lost.discard(one)
        if self._lost:
            return
        if self._told is not None:
            _log.warning("the database is back", seconds=round(time.monotonic() - self._told, 1))
        self._settle()

    def leave(self, one: Hashable) -> None:
        """Nobody waits for a client or a store any more."""
        self._lost.discard(one)
        if not self._lost:
            self._settle()

    def _settle(self) -> None:
        if self._telling is not None:
            self._telling.cancel()
        self._telling = self._told = None


PRESENCE = Presence()


def _takes_writes(description: TopologyDescription) -> bool:
    return any(each.is_writable for each in description.server_descriptions().values())


def _named(description: TopologyDescription) -> str:
    return ", ".join(f"{host}:{port}" for host, port in description.server_descriptions())
