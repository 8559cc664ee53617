"""Servers that start, or get a worker in another's place, while their MongoDB is away or is lost at any step of that.

A worker's siblings go on, whatever becomes of it; and it does, too, once the database is back.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pymongo
import pytest

from server.app import create_app
from server.app.partition import server_of
from server.settings import Settings
from server.store.mongodb import MongodbStore
from tests.answers import refusal
from tests.conftest import lifespan
from tests.mongodb import NAMED, database_of, mongodb, running
from tests.process import STARTED, base_of, free_port, killed, start
from tests.proxy import Stepwise, WithoutDatabase, serving

JOE = {"resourceType": "Patient", "id": "joe"}


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with mongodb() as uri:
        yield uri


@pytest.fixture
def database(uri: str) -> Iterator[str]:
    with database_of(uri) as found:
        yield found


class Served:
    """A server of two workers, asked by a new connection each time: any worker may answer."""

    def __init__(self, process: subprocess.Popen[str], base: str) -> None:
        self.process = process
        self.base = base
        self.root = base.removesuffix("/fhir")

    async def ask(self, path: str, json: Any = None) -> httpx.Response:
        async with httpx.AsyncClient(timeout=STARTED) as client:
            return await client.request("PUT" if json else "GET", f"{self.root}{path}", json=json)

    async def write(self, path: str, json: Any) -> httpx.Response:
        """The answer of a worker whose store is open again: which one is asked is chance."""
        while (answer := await self.ask(path, json)).status_code == 503:
            assert (503, ["transient"]) == refusal(answer)
        return answer

    async def worker(self) -> int | None:
        """Which worker has answered; None of one whose store cannot be asked."""
        found = re.search(r'careplan_store\{.*worker="(\d+)"', (await self.ask("/metrics")).text)
        return int(found[1]) if found else None

    async def workers(self) -> tuple[int, int]:
        """Both, once each has answered."""
        seen = set[int]()
        while len(seen) < 2:
            seen |= {worker for worker in [await self.worker()] if worker}
        one, other = seen
        return one, other

    async def other(self, *known: int) -> int:
        """A worker that was not known, once it has answered; whoever answers meanwhile does as is promised."""
        while (worker := await self.worker()) is None or worker in known:
            assert self.process.poll() is None
            assert 200 == (await self.ask("/health/live")).status_code
            read = await self.ask("/fhir/Patient/joe")
            assert read.status_code == 200 or refusal(read) == (503, ["transient"])
        return worker


@asynccontextmanager
async def served(log: Path, **settings: Any) -> AsyncIterator[Served]:
    """A server of two workers, whose log is in a file."""
    with log.open("w") as errors:
        process = start(stderr=errors.fileno(), **{"workers": 2, "oversight_interval": 0, **settings})
    try:
        found = Served(process, await asyncio.to_thread(base_of, process))
        assert 201 == (await found.ask("/fhir/Patient/joe", JOE)).status_code
        yield found
    finally:
        await asyncio.to_thread(killed, process)


def through(database: str, port: int) -> str:
    return f"mongodb://127.0.0.1:{port}{urlsplit(database).path}"


async def messages(store: str, proxy: Stepwise) -> int:
    """How many messages an attempt to open a store sends at least: one that knows already what the store has."""
    found = server_of(Settings(store=store)).repository.store
    assert isinstance(found, MongodbStore)
    await found.open()
    await found._begin()
    count = proxy.count
    await found.close()
    return count


async def test_worker_that_loses_the_database_at_each_step_of_its_opening_ends_nobody(
    database: str, tmp_path: Path
) -> None:
    """Each step is worked on, and its answer is lost: whether it was done is not known."""
    parts = urlsplit(database)
    async with serving(Stepwise(parts.hostname or "", parts.port or 0)) as (proxy, port):
        store = through(database, port)
        async with served(tmp_path / "log", store=store) as server:
            first, second = await server.workers()
            steps = await messages(store, proxy)
            proxy.is_sent_on = True
            proxy.lose(steps)
            os.kill(first, signal.SIGKILL)
            third = await server.other(first, second)
            assert proxy.attempts >= steps > 20
            assert {second, third} == set(await server.workers())
            assert (await server.write("/fhir/Patient/joe", JOE | {"active": True})).is_success
    assert [] == [finding async for finding in server_of(Settings(store=database)).repository.store.verify()]


@pytest.mark.skipif(NAMED in os.environ, reason="a database of somebody's own is not killed")
async def test_worker_that_is_killed_while_the_database_is_away_is_replaced_and_tells_of_it(tmp_path: Path) -> None:
    state, log = tmp_path / "state", tmp_path / "log"
    state.mkdir()
    listen = f"127.0.0.1:{free_port()}"
    with ExitStack() as database:
        database.enter_context(running(str(state), listen))
        async with served(log, store=f"mongodb://{listen}/careplan", partitions="ia") as server:
            first, second = await server.workers()
            await asyncio.to_thread(database.close)
            os.kill(first, signal.SIGKILL)
            while len(told(log, "the database is away")) < 2:
                assert server.process.poll() is None
                health, live = await server.ask("/health"), await server.ask("/health/live")
                assert (503, False, 200) == (health.status_code, health.json()["ready"], live.status_code)
                for path in ("/fhir/Patient/joe", "/fhir/ia/Patient/joe"):
                    assert (503, ["transient"]) == refusal(await server.ask(path))
            database.enter_context(running(str(state), listen))
            third = await server.other(first, second)
            assert {second, third} == set(await server.workers())
            for path in ("/fhir/Patient/joe", "/fhir/ia/Patient/joe"):
                assert (await server.write(path, JOE | {"active": True})).is_success
            while len(told(log, "the database is back")) < 2:
                await server.ask("/health")
    assert {listen} == {one["at"].partition("/")[0] for one in told(log, "the database is away")}


def told(log: Path, event: str) -> list[dict[str, Any]]:
    """The lines of a log that tell of an event."""
    lines = (line for line in log.read_text().splitlines(keepends=True) if line[0] == "{" and line[-1] == "\n")
    return [one for one in map(json.loads, lines) if one.get("event") == event]


async def test_worker_serves_one_partition_while_another_s_database_is_away(database: str, tmp_path: Path) -> None:
    parts = urlsplit(database)
    async with (
        serving(WithoutDatabase(parts.hostname or "", parts.port or 0)) as (proxy, port),
        served(tmp_path / "log", store=through(database, port), partitions="ia") as server,
    ):
        first, second = await server.workers()
        proxy.named = f"{parts.path[1:]}-ia"
        os.kill(first, signal.SIGKILL)
        third = await server.other(first, second)
        for each in (second, third):
            while await server.worker() != each:
                pass
        for _ in range(8):  # a connection each, so both workers are asked
            assert 200 == (await server.ask("/fhir/Patient/joe")).status_code
            assert (503, ["transient"]) == refusal(await server.ask("/fhir/ia/Patient/joe"))
        while not (health := (await server.ask("/health")).json())["ready"]:
            pass  # a store that is slow is not waited for there
        assert not health["partitions"]["ia"]["ready"]
        proxy.named = None
        for _ in range(8):
            while (await server.ask("/health/ready/ia")).status_code != 200:
                pass
        assert {second, third} == set(await server.workers())
        assert (await server.write("/fhir/ia/Patient/joe", JOE)).is_success


@pytest.mark.skipif(NAMED in os.environ, reason="a database of somebody's own is not killed")
async def test_server_that_is_started_before_its_database_waits_and_tells_of_it(tmp_path: Path) -> None:
    state, log = tmp_path / "state", tmp_path / "log"
    state.mkdir()
    listen = f"127.0.0.1:{free_port()}"
    with log.open("w") as errors:
        process = start(stderr=errors.fileno(), store=f"mongodb://{listen}/careplan", oversight_interval=0)
    try:
        while not told(log, "the database is away"):
            assert process.poll() is None
            await asyncio.sleep(0.05)
        with running(str(state), listen):
            base = await asyncio.to_thread(base_of, process)
            async with httpx.AsyncClient(timeout=STARTED) as client:
                assert 201 == (await client.put(f"{base}/Patient/joe", json=JOE)).status_code
            assert told(log, "the database is back")
    finally:
        await asyncio.to_thread(killed, process)


@pytest.mark.parametrize("workers", [1, 2])
async def test_server_whose_database_is_lost_in_its_first_steps_comes_up(
    database: str, tmp_path: Path, workers: int
) -> None:
    parts = urlsplit(database)
    async with serving(Stepwise(parts.hostname or "", parts.port or 0)) as (proxy, port):
        proxy.lose(5)
        async with served(tmp_path / "log", store=through(database, port), workers=workers) as server:
            assert proxy.attempts > 5
            assert 200 == (await server.ask("/fhir/Patient/joe")).status_code


@pytest.mark.parametrize("workers", [1, 2])
async def test_server_is_not_started_on_a_database_of_somebody_else_s(database: str, workers: int) -> None:
    with pymongo.MongoClient[dict[str, Any]](database) as client:
        client.get_default_database()["commits"].insert_one({"_id": "abc", "shop": 1})
    process = start(subprocess.PIPE, store=database, workers=workers)
    _, errors = await asyncio.to_thread(process.communicate, timeout=STARTED)
    assert (1, True) == (process.returncode, "cannot be opened" in errors)


async def test_health_says_why_a_store_is_refused_to_a_worker_that_comes_later(database: str) -> None:
    """Its siblings go on with what they have; it is open once that is mended."""
    with pymongo.MongoClient[dict[str, Any]](database) as mongo:
        commits = mongo.get_default_database()["commits"]
        commits.insert_one({"_id": "abc", "shop": 1})
        app = create_app(Settings(store=database, demo=False, log_level="error", oversight_interval=1))
        transport = httpx.ASGITransport(app)
        async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            health = await client.get("/health")
            assert (503, False, True) == (health.status_code, health.json()["ready"], health.json()["live"])
            assert "no store wrote" in health.json()["why"]
            later = {"Prefer": "respond-async"}
            for place, headers in [("/fhir/Patient", {}), ("/fhir/Patient", later), ("/fhir/metadata", {})]:
                answer = await client.get(place, headers=headers)
                assert answer.status_code == 200 or refusal(answer) == (503, ["transient"])
            for place in ("/metrics", "/docs", "/api", "/openapi.json"):
                assert (await client.get(place)).status_code in {200, 503}, place
            commits.delete_one({"_id": "abc"})
            while (await client.get("/health")).status_code != 200:  # noqa: ASYNC110 - it is tried from time to time
                await asyncio.sleep(0.05)
            assert 201 == (await client.put("/fhir/Patient/joe", json=JOE)).status_code
