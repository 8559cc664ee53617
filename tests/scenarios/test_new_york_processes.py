"""New York at two server processes on one store: two organizations that write what both do make one issue."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pymongo
import pytest

from tests.mongodb import mongodb
from tests.process import base_of, killed, start
from tests.scenarios.new_york import HAL, HOME, PAT, PLAN, acting, new_york
from tests.scenarios.new_york_care import issues, ordered, standing, tasks

ROUNDS = 2
TRIES = 20  # of a write that a database which is too slow refuses meanwhile


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with mongodb() as uri:
        yield uri


@pytest.fixture(params=["sqlite", "mongodb"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/careplan.db"
        return
    uri, name = request.getfixturevalue("uri"), f"careplan-test-{uuid.uuid4().hex[:12]}"
    yield f"{uri.rstrip('/')}/{name}"
    with pymongo.MongoClient[dict[str, object]](uri) as client:
        client.drop_database(name)


@pytest.fixture
async def servers(store: str) -> AsyncIterator[tuple[httpx.AsyncClient, httpx.AsyncClient]]:
    """The plan's and the Health Home's."""
    processes = [start(store=store, oversight_interval=0) for _ in range(2)]
    try:
        async with AsyncExitStack() as stack:
            here, there = [
                await stack.enter_async_context(httpx.AsyncClient(base_url=f"{base_of(one)}/", timeout=60))
                for one in processes
            ]
            await new_york(here, "ny-mltcp")
            yield here, there
    finally:
        for process in processes:
            killed(process)


async def order(at: httpx.AsyncClient, id: str, by: str, actor: str) -> int:
    for _ in range(TRIES):
        answer = await at.put(f"ServiceRequest/{id}", json=ordered(id, "personal-care", by), headers=acting(actor))
        if answer.status_code != 503:
            break
    return answer.status_code


@pytest.mark.requirement("NY-05", "NY-19")
async def test_pair_that_two_write_at_once_is_one_issue(servers: tuple[httpx.AsyncClient, httpx.AsyncClient]) -> None:
    here, there = servers
    for round in range(ROUNDS):
        plan, home = order(here, f"r{round}", PAT, PLAN), order(there, f"s{round}", HAL, HOME)
        assert {200, 201} >= set(await asyncio.gather(plan, home))
        items = sorted(f"ServiceRequest/{name}{one}" for name in "rs" for one in range(round + 1))
        assert [("duplicate-coordination", items)] == await standing(there)
    for at in servers:
        assert (1, 1) == (len(await issues(at)), len(await tasks(at)))
