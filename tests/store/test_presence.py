"""What the log says while a database is away."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from server.outcome import Problem
from server.store.mongodb import MongodbStore, presence, schema
from server.store.mongodb.presence import Presence
from tests.logged import logged
from tests.mongodb import is_away, running
from tests.process import free_port
from tests.store.contract import PROJECTIONS, patient, write


async def test_log_has_a_line_where_the_database_is_lost_and_one_where_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many partitions it has, and whoever asks it meanwhile."""
    monkeypatch.setattr(schema, "SELECT_WITHIN", 500)
    monkeypatch.setattr(presence, "SETTLED", 0.1)
    host, port = "127.0.0.1", free_port()
    uri = f"mongodb://{host}:{port}/away"
    stores = [MongodbStore(uri, PROJECTIONS, partition=name, follows=False) for name in ("default", "ia")]
    with logged() as log:
        with running(str(tmp_path), f"{host}:{port}"):
            for each in stores:
                await each.open()
                await write(each, patient("a"))
            log.clear()  # of a machine that is busy: it may have waited for the database
        while not log:
            assert [True, True] == await asyncio.gather(*map(is_away, stores))
        with running(str(tmp_path), f"{host}:{port}"):
            while len(log) == 1:
                await asyncio.gather(*map(is_away, stores))
            for each in stores:
                await each.close()
    assert ["the database is away", "the database is back"] == [each["event"] for each in log]
    assert [f"{host}:{port}", "warning"] == [log[0]["at"], log[0]["log_level"]]
    assert log[1]["seconds"] > 0


def _changed(client: int, was: bool, now: bool) -> Any:
    """A client that had a server which takes writes, or had none, and has one now, or none."""

    def servers(is_there: bool) -> Any:
        return SimpleNamespace(server_descriptions=lambda: {("db", 27017): SimpleNamespace(is_writable=is_there)})

    return SimpleNamespace(topology_id=client, previous_description=servers(was), new_description=servers(now))


async def test_connection_that_is_made_again_at_once_is_nothing_to_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "SETTLED", 0.0)
    found = Presence()
    with logged() as log:
        for now in (False, True):
            found.description_changed(_changed(1, not now, now))
        await asyncio.sleep(0.01)
        assert [] == log


async def test_database_is_back_once_all_who_lost_it_have_it_or_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "SETTLED", 0.0)
    found = Presence()
    with logged() as log:
        for client in (1, 2, 3):
            found.description_changed(_changed(client, was=True, now=False))
        await asyncio.sleep(0.01)
        found.closed(_changed(1, was=True, now=False))
        found.description_changed(_changed(2, was=False, now=True))
        assert ["the database is away"] == [each["event"] for each in log]
        found.description_changed(_changed(3, was=False, now=True))
        assert ["the database is away", "the database is back"] == [each["event"] for each in log]


async def test_questions_that_are_cancelled_while_the_database_is_away_leave_others_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The driver on its own does not bear it: all who wait for a server then wait for ever, or fail in other ways."""
    monkeypatch.setattr(schema, "SELECT_WITHIN", 500)
    port, random = free_port(), Random(3)
    async with schema.client_of(f"mongodb://127.0.0.1:{port}/away", 1.0) as client:
        marks = schema.collections_of(client.get_default_database()).marks
        asked: set[asyncio.Task[Any]] = set()
        for _ in range(300):
            asked |= {asyncio.create_task(schema.one(marks, {})) for _ in range(300 - len(asked))}
            await asyncio.sleep(0.004)
            for each in random.sample([*asked], 3):
                each.cancel()
            asked = {each for each in asked if not each.done()}
        answers = await asyncio.gather(*asked, return_exceptions=True)
        await asyncio.sleep(0)
        assert {"Problem"} >= {type(each).__name__ for each in answers} - {"CancelledError"}
        assert await _is_told(marks)


async def _is_told(marks: Any) -> bool:
    with pytest.raises(Problem) as told:
        await schema.one(marks, {})
    return told.value.kind == "unavailable"
