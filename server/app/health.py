"""Health: whether the server answers and takes writes, and its numbers, for operators: docs/operations.md."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Response
from fastapi.responses import JSONResponse

from server import metrics
from server.settings import DEFAULT
from server.store.engine import Store

READY_WITHIN = 2.0  # seconds in which a store that is ready says its position


async def _state(store: Store) -> dict[str, Any]:
    """Whether a partition's reads and writes are taken, and why not."""
    position = await metrics.within(READY_WITHIN, asyncio.ensure_future(store.head()))
    if position is None:
        return {"ready": False, "why": store.refusing or "The store's database does not answer"}
    told = {"ready": store.refusing is None, "position": position}
    return told | ({"why": store.refusing} if store.refusing else {})


def router(stores: Mapping[str, Store]) -> APIRouter:
    """For operators: whether the server answers, whether it takes writes, and its numbers."""
    found = APIRouter()

    @found.get("/health")
    @found.get("/health/ready")
    async def ready() -> JSONResponse:
        """Whether the default partition takes reads and writes; those that have names are told beside it."""
        states = dict(zip(stores, await asyncio.gather(*map(_state, stores.values())), strict=True))
        default = states.pop(DEFAULT)
        return _told(default | ({"partitions": states} if states else {}))

    @found.get("/health/ready/{partition}", responses={404: {"description": "There is no such partition"}})
    async def ready_partition(partition: str) -> JSONResponse:
        """Whether one partition takes reads and writes."""
        if partition not in stores:
            return JSONResponse({"detail": "There is no such partition"}, 404)
        return _told(await _state(stores[partition]))

    @found.get("/health/live")
    async def live() -> dict[str, bool]:
        """Whether the process answers at all."""
        return {"live": True}

    @found.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        return Response(await metrics.latest(stores.values()), media_type=metrics.CONTENT_TYPE)

    return found


def _told(state: dict[str, Any]) -> JSONResponse:
    return JSONResponse({"live": True} | state, 200 if state["ready"] else 503)
