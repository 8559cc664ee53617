"""Rebuild: the projection made again, from the ledger alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from pymongo import DESCENDING

from server.outcome import Problem
from server.store.engine import Projections
from server.store.mongodb import leads
from server.store.mongodb.append import Appender
from server.store.mongodb.failure import answering
from server.store.mongodb.reads import Reads
from server.store.mongodb.schema import Collections, indexed, set_definitions, some, whole

_UNFINISHED = "a rebuild that was broken off"  # a name that no projections have


async def rebuild(
    collections: Collections,
    reads: Reads,
    partition: str,
    projections: Projections,
    progress: Callable[[int, int], None],
) -> None:
    """Drop the projection and make it again. Problem unavailable while the store is open anywhere."""
    await check_closed(collections, "rebuild it")
    await indexed(collections)  # a dump of the ledger alone has none of the versions'
    await set_definitions(collections, _UNFINISHED)
    with answering():
        await whole(collections.versions.delete_many({}))
        await whole(collections.marks.delete_many({"followed": {"$exists": True}}))
        await whole(collections.marks.replace_one({"_id": "head"}, {"applied": 0, "horizon": 0, "last": {}}))
    last = await some(collections.commits, {}, {"_id": 1}, sort=[("_id", DESCENDING)], limit=1)
    head = int(last[0]["_id"]) if last else 0
    reads.known.applied = 0
    appender = Appender(collections, reads, projections, partition)
    while await appender.step():
        progress(appender.head.position, head)
    await set_definitions(collections, projections.version)


async def check_closed(collections: Collections, what: str) -> None:
    """Problem unavailable where anybody has the store open: each shows it by a beat."""
    first = await _beats(collections)
    until = time.monotonic() + leads.LAPSE
    while first and time.monotonic() < until:
        await asyncio.sleep(leads.BEAT / 2)
        now = await _beats(collections)
        if any(now.get(name, beat) != beat for name, beat in first.items()):
            raise Problem.of(
                "unavailable", f"{collections.marks.database.name} is open elsewhere; stop the servers to {what}"
            )
        first = {name: beat for name, beat in first.items() if name in now}


async def _beats(collections: Collections) -> dict[str, int]:
    found = await some(collections.leads, {"over": False})
    return {each["_id"]: int(each["beat"]) for each in found if each["what"].startswith(leads.OPENED)}
