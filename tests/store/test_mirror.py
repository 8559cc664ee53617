"""The versions of a small store in memory: the same answers as the database gives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from server.search.filter import ALL, Equal
from server.store.engine import Search
from server.store.mongodb import MongodbStore, mirror
from server.store.mongodb.mirror import Mirror
from tests.store.contract import PROJECTIONS, context, delete, ids, patient, write, writes


@pytest.fixture
async def store(database: str) -> AsyncIterator[MongodbStore]:
    store = MongodbStore(database, PROJECTIONS, follows=False)
    await store.open()
    yield store
    await store.close()


async def _same(store: MongodbStore) -> bool:
    """Whether the mirror holds what the database does."""
    mirror = store.reads.mirror
    await store.head()
    found = await store.collections.versions.find({}, dict.fromkeys(("late", "words", "said"), 0)).sort("_id").to_list()
    assert mirror.knows(0, await store.head())
    kept = mirror.find({}, [("_id", 1)])
    return found == [{name: each[name] for name in each if name not in ("words", "said")} for each in kept]


async def test_what_this_process_wrote_is_held(store: MongodbStore) -> None:
    await write(store, patient("a", "x"), patient("b"))
    await write(store, patient("a", "y"), delete("Patient", "b"))
    await write(store, patient("b", "z"))
    await asyncio.gather(*(store.commit(writes(patient("a", f"{n}")), context()) for n in range(5)))
    assert await _same(store)


async def test_what_another_process_wrote_is_held_once_it_is_applied(
    store: MongodbStore, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = MongodbStore(database, PROJECTIONS, follows=False)
    await other.open()
    await write(other, patient("a", "x"), *(patient(f"b{n}") for n in range(40)))
    assert ["a"] == await ids(store, "Patient", Equal("Patient.identifier", (b"x",)))
    await write(other, patient("a", "y"))
    await write(store, delete("Patient", "b3"))
    assert ["a"] == await ids(store, "Patient", Equal("Patient.identifier", (b"y",)))
    assert [] == await ids(store, "Patient", Equal("Patient.identifier", (b"x",)))
    monkeypatch.setattr(mirror, "_NEAR", 2)
    for n in range(5):
        await write(other, patient("c", f"{n}"))
    assert await _same(store)
    assert await _same(other)
    await other.close()


async def test_store_that_was_there_is_held_from_its_first_version_on(store: MongodbStore, database: str) -> None:
    await write(store, patient("a", "x"))
    await write(store, patient("a", "y"))
    later = MongodbStore(database, PROJECTIONS, follows=False)
    await later.open()
    assert await _same(later)
    await later.close()


async def test_what_ended_long_ago_is_forgotten_where_there_is_too_much(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_KEPT", 2)
    store = MongodbStore(database, PROJECTIONS, follows=False, mirrored=10)
    await store.open()
    for n in range(20):
        await write(store, patient("a", f"{n}"))
    held: Mirror = store.reads.mirror
    assert (True, False) == (held.knows(20, 20), held.knows(0, 20))
    history = await store.history("Patient", "a", since=None, at=None, count=50, page=None)
    assert 20 == len(history.matches)
    assert ["a"] == await ids(store, "Patient", Equal("Patient.identifier", (b"19",)))
    await store.close()
    again = MongodbStore(database, PROJECTIONS, follows=False, mirrored=10)
    await again.open()
    assert (True, False) == (again.reads.mirror.knows(20, 20), again.reads.mirror.knows(0, 20))
    await again.close()


async def test_store_that_has_become_too_large_is_asked_by_its_indexes(database: str) -> None:
    store = MongodbStore(database, PROJECTIONS, follows=False, mirrored=10)
    await store.open()
    await write(store, *(patient(f"p{n}") for n in range(5)))
    assert store.reads.mirror.is_kept
    await write(store, *(patient(f"q{n}") for n in range(10)))
    assert not store.reads.mirror.is_kept
    assert 15 == len((await store.search(Search("Patient", ALL))).matches)
    await store.close()
    again = MongodbStore(database, PROJECTIONS, follows=False, mirrored=10)
    await again.open()
    assert not again.reads.mirror.is_kept
    assert 15 == len((await again.search(Search("Patient", ALL))).matches)
    await again.close()


async def test_key_of_a_client_is_known_whoever_used_it(store: MongodbStore, database: str) -> None:
    """Before the store was opened, by this process, by another."""
    again: list[tuple[str, int]] = []
    other = MongodbStore(database, PROJECTIONS, follows=False)
    await other.open()
    for number, each in enumerate([store, other, store]):
        key = context(str(UUID(int=number)))
        again.append(
            (key.commit_id, (await each.commit(writes(patient(f"p{number}")), key, fingerprint=b"f")).position)
        )
    later = MongodbStore(database, PROJECTIONS, follows=False)
    await later.open()
    for each in (store, other, later):
        assert 3 == len(each.reads.mirror.keyed([key for key, _ in again], await each.head()) or ())
        for key, position in again:
            commit = await each.commit(writes(patient("else")), context(key), fingerprint=b"f")
            assert position == commit.position
    await asyncio.gather(other.close(), later.close())
