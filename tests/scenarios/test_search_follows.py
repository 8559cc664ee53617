"""What is indexed late is found at once by who wrote it, at any process, also after all were killed in between."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx

from server.app.partition import server_of
from server.settings import Settings
from tests.process import base_of, killed, start

WRITERS = 4
EACH = 5  # plans of a writer, before the servers are killed and after
TITLES = {
    "resourceType": "SearchParameter",
    "id": "titles",
    "url": "http://a.org/SearchParameter/titles",
    "name": "Titles",
    "description": "Titles of plans",
    "status": "active",
    "code": "titles",
    "base": ["CarePlan"],
    "type": "string",
    "expression": "CarePlan.title",
}


def plan(word: str) -> dict[str, Any]:
    subject = {"reference": "Patient/1"}
    return {"resourceType": "CarePlan", "status": "active", "intent": "plan", "title": word, "subject": subject}


async def write_and_find(base: str, round: str) -> None:
    """Each writer looks for its own word, by a connection of its own: at whichever worker takes it."""

    async def one(writer: int) -> None:
        for number in range(EACH):
            word = f"{round}w{writer}n{number}"
            async with httpx.AsyncClient(base_url=f"{base}/", timeout=60) as client:
                assert 201 == (await client.post("CarePlan", json=plan(word))).status_code
            for asked in (f"_content={word}", f"titles={word}"):
                async with httpx.AsyncClient(base_url=f"{base}/", timeout=60) as client:
                    response = await client.get(f"CarePlan?{asked}")
                    assert (200, 1) == (response.status_code, response.json().get("total")), response.text

    await asyncio.gather(*map(one, range(WRITERS)))


async def test_late_indexes_miss_nothing_that_was_written(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/careplan.db"
    for round in ("a", "b"):
        process = start(store=store, workers=2)
        try:
            base = base_of(process)
            async with httpx.AsyncClient(base_url=f"{base}/", timeout=60) as client:
                assert (await client.put("SearchParameter/titles", json=TITLES)).is_success
            await write_and_find(base, round)
            async with httpx.AsyncClient(base_url=f"{base}/", timeout=60) as client:
                found = (await client.get("CarePlan?titles=aw&_count=0")).json()
                assert WRITERS * EACH == found["total"]
        finally:
            killed(process)
    verified = server_of(Settings(store=store)).repository.store.verify()
    assert [] == [finding async for finding in verified]
