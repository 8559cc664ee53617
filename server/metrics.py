"""Metrics: what /metrics tells Prometheus. With several workers each keeps its own in a file; any of them adds them up.

https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from server.ledger import Position
from server.outcome import Problem
from server.store.engine import Store

T = TypeVar("T")
Told = tuple[str, Position, Mapping[str, Any]]  # a partition, its head, and its store's counters

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST
WITHIN = 2.0  # seconds in which a store tells its numbers

_requests = Histogram(
    "careplan_request_seconds",
    "FHIR requests: how many, and how long each took",
    ["partition", "method", "place", "status"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0),
)
_children: dict[tuple[str, str, str, int], Histogram] = {}


def observe(partition: str, method: str, place: str, status: int, seconds: float) -> None:
    """Count one request."""
    key = (partition, method, place, status)
    child = _children.get(key)
    if child is None:
        child = _children[key] = _requests.labels(partition, method, place, str(status))
    child.observe(seconds)


async def latest(stores: Iterable[Store]) -> bytes:
    """All workers' metrics, in Prometheus's text format; a store that cannot be asked has none."""
    registry = CollectorRegistry()
    if DIRECTORY in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(_Own())
    told = await asyncio.gather(*map(_told, stores))
    registry.register(_Ledgers([each for each in told if each is not None]))
    return generate_latest(registry)


async def _told(store: Store) -> Told | None:
    """None of a database that does not answer: the requests' numbers say what came of it, and are waited for."""
    found = await within(WITHIN, asyncio.gather(store.head(), store.statistics()))
    return None if found is None else (store.partition, *found)


async def within(seconds: float, asked: asyncio.Future[T]) -> T | None:
    """What a store answers in that time; None where it does not. It is not broken off: others wait for the same."""
    asked.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.wait({asked}, timeout=seconds)
    if not asked.done() or asked.cancelled():  # the store is being closed
        return None
    try:
        return asked.result()
    except Problem:
        return None


class _Own:
    """This process's metrics, where it is the only one."""

    def collect(self) -> Iterable[Metric]:
        return REGISTRY.collect()


class _Ledgers:
    """The partitions' stores, as this worker sees them."""

    def __init__(self, told: Iterable[Told]) -> None:
        self.told = told

    def collect(self) -> Iterable[Metric]:
        heads = GaugeMetricFamily("careplan_position", "The ledger's head", labels=["partition"])
        own = GaugeMetricFamily(
            "careplan_store", "The store's own counters, of one worker", labels=["partition", "worker", "what"]
        )
        for partition, head, statistics in self.told:
            heads.add_metric([partition], head)
            for name, value in statistics.items():
                own.add_metric([partition, str(os.getpid()), name], value)
        yield heads
        yield own
