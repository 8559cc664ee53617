"""A store is opened whenever its database lets it be: what is told meanwhile, and what is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest

from server.ledger import Cursor
from server.outcome import Problem
from server.search.filter import ALL
from server.store.engine import Search
from server.store.mongodb import MongodbStore, append, opening, presence, schema
from server.store.mongodb.append import Appender
from server.store.mongodb.document import document_of
from tests.logged import logged
from tests.proxy import Stepwise, serving
from tests.store.contract import PROJECTIONS, context, patient, write, writes


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "AGAIN", 0.01)
    monkeypatch.setattr(opening, "START_WITHIN", 600.0)


async def until(holds: Callable[[], object]) -> None:
    """Return once something that is done beside the test has come about."""
    while not holds():  # noqa: ASYNC110 - nobody tells of it
        await asyncio.sleep(0.01)


@asynccontextmanager
async def stepwise(database: str) -> AsyncIterator[tuple[Stepwise, MongodbStore]]:
    """A database that can be lost at each step of an opening, and a store on it."""
    parts = urlsplit(database)
    async with serving(Stepwise(parts.hostname or "", parts.port or 0)) as (proxy, port):
        yield proxy, MongodbStore(f"mongodb://127.0.0.1:{port}{parts.path}", PROJECTIONS, follows=False)


@pytest.mark.parametrize(
    ("is_new", "later", "is_sent_on"),
    [(True, False, False), (True, True, True), (False, True, True)],
    ids=["new, before", "new, later, after", "old, later, after"],
)
async def test_store_that_is_lost_at_each_step_of_its_opening_is_opened(
    database: str, is_new: bool, later: bool, is_sent_on: bool
) -> None:
    """Whatever a step before has made, or may have made, is found; and what a process left behind is carried on."""
    if not is_new:
        await _left_behind(database)
    async with stepwise(database) as (proxy, store):
        proxy.is_sent_on = is_sent_on
        proxy.lose(1000)
        open = asyncio.create_task(store.open(later=later))
        await until(lambda: open.done() and store._is_ready)
        await open
        proxy.mend()
        assert proxy.attempts > 20
        assert (0 if is_new else 2) == await store.head()
        assert (1 if is_new else 3) == (await write(store, patient("c"))).position
        assert await store.leads("oversight")
        assert [] == [finding async for finding in store.verify()]
        await store.close()
        with pymongo.MongoClient[dict[str, Any]](database) as client:
            leads = list(client.get_default_database()["leads"].find({"over": True}))
        assert {"oversight"} < {each["what"] for each in leads}


async def _left_behind(database: str) -> None:
    """A store with a commit in the ledger that is not projected."""
    store = MongodbStore(database, PROJECTIONS, follows=False)
    await store.open()
    await write(store, patient("a"))

    async def ended(self: Appender, drafts: object) -> None:
        raise KeyError("the process is gone")

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Appender, "project", ended)
        with pytest.raises(KeyError):
            await write(store, patient("b"))
    await store.close()


ASKED: list[Callable[[MongodbStore], Any]] = [
    lambda store: store.head(),
    lambda store: store.read("Patient", "a"),
    lambda store: store.vread("Patient", "a", 1),
    lambda store: store.last("Patient"),
    lambda store: store.position_at(1),
    lambda store: store.search(Search("Patient", ALL)),
    lambda store: store.history(None, None, since=None, at=None, count=1, page=None),
    lambda store: store.changes(Cursor(0, 0), 1),
    lambda store: store.view(),
    lambda store: store.view(1),
    lambda store: store.leads("oversight"),
    lambda store: store.following(),
    lambda store: store.statistics(),
    lambda store: store.commit(writes(patient("a")), context()),
    lambda store: store.jobs.sweep(),
    lambda store: store.jobs.owner("0" * 32),
    lambda store: store.jobs.begin("0" * 32, {"at": 1}),
]


async def test_whoever_asks_a_store_that_is_not_open_is_told_that_its_database_is_away(database: str) -> None:
    async with stepwise(database) as (proxy, store):
        proxy.lose(1000)
        await store.open(later=True)
        for ask in ASKED:
            with pytest.raises(Problem) as told:
                await ask(store)
            assert ("unavailable", True) == (told.value.kind, told.value.passes)
        assert store.refusing is None
        assert 0 == await store.beyond(0, 0.01)
        await store.close()
        with pytest.raises(Problem, match="stopping"):
            await write(store, patient("a"))


async def test_log_says_once_that_stores_wait_and_once_that_all_are_open(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "SETTLED", 0.0)
    parts = urlsplit(database)
    with logged() as log:
        async with stepwise(database) as (proxy, store):
            other = MongodbStore(store.uri, PROJECTIONS, partition="ia", follows=False)
            proxy.lose(1000)
            for each in (store, other):
                await each.open(later=True)
            await until(lambda: log and proxy.attempts >= 10)
            proxy.mend()
            await until(lambda: store._is_ready and other._is_ready)
            for each in (store, other):
                await each.close()
    assert ["the database is away", "the database is back"] == [each["event"] for each in log]
    assert urlsplit(store.uri).netloc == log[0]["at"].partition("/")[0]
    assert parts.path[1:] in log[0]["at"]


async def test_user_is_not_in_the_log(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SELECT_WITHIN", 100)
    monkeypatch.setattr(presence, "SETTLED", 0.0)
    store = MongodbStore("mongodb://user:secret@127.0.0.1:1/none", PROJECTIONS)
    with logged() as log:
        await store.open(later=True)
        await until(lambda: log)
        await store.close()
    assert "127.0.0.1:1/none" == log[0]["at"]


@contextmanager
def foreign(database: str) -> Iterator[None]:
    """A database in which somebody else keeps something, until the end."""
    with pymongo.MongoClient[dict[str, Any]](database) as client:
        commits = client.get_default_database()["commits"]
        commits.insert_one({"_id": "abc", "shop": 1})
        yield
        commits.delete_one({"_id": "abc"})


async def test_what_is_refused_later_is_told_once_and_opened_once_it_is_mended(database: str) -> None:
    store = MongodbStore(database, PROJECTIONS, follows=False)
    with logged() as log:
        with foreign(database):
            with pytest.raises(Problem, match="no store wrote"):
                await store.open()
            await store.open(later=True)
            await until(lambda: store.refusing is not None)
            with pytest.raises(Problem) as told:
                await store.head()
            assert ("unavailable", True) == (told.value.kind, told.value.passes)
            assert "no store wrote" in store.refusing
            await asyncio.sleep(0.1)
        await until(lambda: store._is_ready)
        assert (None, 0) == (store.refusing, await store.head())
        await store.close()
    assert [("the store cannot be opened", "error")] == [(each["event"], each["log_level"]) for each in log]
    assert "no store wrote" in log[0]["why"]


async def test_opening_that_fails_is_told_without_its_words_and_tried_on(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MongodbStore(database, PROJECTIONS, follows=False)

    async def fails(self: Appender) -> None:
        raise KeyError("a client's own words")

    with logged() as log, monkeypatch.context() as patched:
        patched.setattr(Appender, "catch_up", fails)
        with pytest.raises(KeyError):
            await store.open()
        await store.open(later=True)
        await until(lambda: store.refusing is not None)
        assert ("KeyError" in store.refusing, "words" in store.refusing) == (True, False)
    await until(lambda: store._is_ready)
    assert 1 == (await write(store, patient("a"))).position
    await store.close()
    assert ["the store cannot be opened"] == [each["event"] for each in log]


async def test_store_whose_next_commit_cannot_be_projected_is_opened_for_reading(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await _left_behind(database)

    def refused(*arguments: Any) -> dict[str, Any]:
        return {**document_of(*arguments), "a.b": 1, "$c": 1}

    store = MongodbStore(database, PROJECTIONS, follows=False)
    with monkeypatch.context() as patched:
        patched.setattr(append, "document_of", refused)
        await store.open()
        found = await store.read("Patient", "a")
        assert (1, 1) == (await store.head(), found and found.position)
        assert "commit 2" in (store.refusing or "")
        with pytest.raises(Problem, match="commit 2"):
            await write(store, patient("c"))
    assert 3 == (await write(store, patient("c"))).position
    assert [] == [finding async for finding in store.verify()]
    await store.close()
