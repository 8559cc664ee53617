"""Jobs, whichever engine keeps them."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.store.engine import Store
from server.store.jobs import EXPIRES, Record
from server.store.mongodb import MongodbStore
from server.store.mongodb import jobs as module
from server.store.sqlite import SqliteStore
from tests.store.contract import PROJECTIONS

ONE, OTHER = "0" * 32, "1" * 32


def record(**more: Any) -> Record:
    return {"caller": "Practitioner/1", "request": "GET", "at": time.time_ns() // 1000, "status": 0, **more}


@pytest.fixture(params=["sqlite", "mongodb"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path, database: str) -> AsyncIterator[list[Store]]:
    """Two openings of one store."""
    made: list[Store] = [
        SqliteStore(tmp_path / "careplan.db", PROJECTIONS)
        if request.param == "sqlite"
        else MongodbStore(database, PROJECTIONS)
        for _ in range(2)
    ]
    for store in made:
        await store.open()
    yield made
    for store in made:
        await store.jobs.close()
        await store.close()


async def finished(store: Store, id: str, asked: Record, answer: bytes) -> None:
    await store.jobs.begin(id, asked)
    await store.jobs.finish(id, asked | {"status": 200}, answer)
    store.jobs.let_go(id)


async def test_job_is_told_by_all(stores: list[Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PART", 4)
    asked = record()
    await finished(stores[0], ONE, asked, b"an answer in parts")
    for store in stores:
        assert asked | {"status": 200} == await store.jobs.read(ONE)
        assert b"an answer in parts" == await store.jobs.answer(ONE)
        assert "Practitioner/1" == await store.jobs.owner(ONE)


@pytest.mark.parametrize("id", [OTHER, "", "x", "../careplan", ".*"])
async def test_job_that_is_none(stores: list[Store], id: str) -> None:
    await finished(stores[0], ONE, record(), b"{}")
    for store in stores:
        with pytest.raises(KeyError):
            await store.jobs.owner(id)


async def test_job_that_is_removed_is_not_finished(stores: list[Store]) -> None:
    one, other = stores
    await one.jobs.begin(ONE, record())
    await other.jobs.forget(ONE)
    await one.jobs.finish(ONE, record(status=200), b"{}")
    one.jobs.let_go(ONE)
    for store in stores:
        with pytest.raises(KeyError):
            await store.jobs.read(ONE)
        assert 0 == await store.jobs.sweep()


async def test_job_that_is_told_as_broken_off_stays_so(stores: list[Store]) -> None:
    """Whoever wakes up late says nothing."""
    one, other = stores
    asked = record()
    await one.jobs.begin(ONE, asked)  # and is no task of this process any more
    if isinstance(one, SqliteStore):
        one.jobs.let_go(ONE)
        assert asked == await other.jobs.read(ONE)
        return
    assert await other.jobs.read(ONE) is None
    assert asked == await one.jobs.read(ONE)
    await one.jobs.finish(ONE, asked | {"status": 200}, b"{}")
    assert [asked, asked] == [await store.jobs.read(ONE) for store in stores]


async def test_what_is_old_is_swept(stores: list[Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for id in (ONE, OTHER):
        await finished(stores[0], id, record(), b"{}")
    assert 2 == await stores[1].jobs.sweep()
    await stores[1].jobs.remove(ONE)
    assert 1 == await stores[0].jobs.sweep()
    now = time.time_ns()
    monkeypatch.setattr(time, "time", lambda: now / 1e9 + EXPIRES + 5)
    monkeypatch.setattr(time, "time_ns", lambda: now + (EXPIRES + 5) * 10**9)
    assert 0 == await stores[1].jobs.sweep()
    with pytest.raises(KeyError):
        await stores[0].jobs.owner(OTHER)


async def test_progress_is_told(stores: list[Store]) -> None:
    one, other = stores
    await one.jobs.begin(ONE, record())
    assert "in progress" == await other.jobs.told(ONE)
    one.jobs.tell(ONE, "1 of 3")
    one.jobs.tell(ONE, "2 of 3")
    until = time.monotonic() + 60
    while time.monotonic() < until and "2 of 3" != await other.jobs.told(ONE):
        pass
    assert "2 of 3" == await other.jobs.told(ONE)
    one.jobs.let_go(ONE)


async def test_files_are_the_servers_alone(stores: list[Store], tmp_path: Path) -> None:
    await finished(stores[0], ONE, record(), b"{}")
    if isinstance(stores[0], SqliteStore):
        path = tmp_path / "careplan.db.async" / f"{ONE}.json"
        assert 0o600 == path.stat().st_mode & 0o777
