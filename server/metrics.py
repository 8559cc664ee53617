"""Metrics: what /metrics tells Prometheus. With several workers each keeps its own in a file; any of them adds them up.

https://prometheus.github.io/client_python/multiprocess/
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Any

from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.multiprocess import MultiProcessCollector

from server.ledger import Position
from server.outcome import Problem
from server.store.engine import Store

DIRECTORY = "PROMETHEUS_MULTIPROC_DIR"
CONTENT_TYPE = CONTENT_TYPE_LATEST

_requests = Histogram(
    "careplan_request_seconds",
    "FHIR requests: how many, and how long each took",
    ["method", "place", "status"],
    buckets=(0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10.0),
)
_children: dict[tuple[str, str, int], Histogram] = {}


def observe(method: str, place: str, status: int, seconds: float) -> None:
    """Count one request."""
    key = (method, place, status)
    child = _children.get(key)
    if child is None:
        child = _children[key] = _requests.labels(method, place, str(status))
    child.observe(seconds)


async def latest(store: Store) -> bytes:
    """All workers' metrics, in Prometheus's text format."""
    registry = CollectorRegistry()
    if DIRECTORY in os.environ:
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    else:
        registry.register(_Own())
    with suppress(Problem):  # a database that does not answer: the requests' numbers say what came of it
        registry.register(_Ledger(await store.head(), await store.statistics()))
    return generate_latest(registry)


class _Own:
    """This process's metrics, where it is the only one."""

    def collect(self) -> Iterable[Metric]:
        return REGISTRY.collect()


class _Ledger:
    """The store, as this worker sees it."""

    def __init__(self, head: Position, statistics: Mapping[str, Any]) -> None:
        self.head = head
        self.statistics = statistics

    def collect(self) -> Iterable[Metric]:
        yield GaugeMetricFamily("careplan_position", "The ledger's head", self.head)
        own = GaugeMetricFamily("careplan_store", "The store's own counters, of one worker", labels=["worker", "what"])
        for name, value in self.statistics.items():
            own.add_metric([str(os.getpid()), name], value)
        yield own
