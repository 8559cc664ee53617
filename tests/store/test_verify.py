"""The same damage is found at the same place, whichever engine keeps the store."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apsw
import pymongo
import pytest

from server.search.filter import Equal, Words
from server.store import recorded
from server.store.engine import Search, Store
from server.store.mongodb import MongodbStore, verify
from server.store.mongodb.document import place
from server.store.seq import seq_of
from server.store.sqlite import SqliteStore
from tests.store.contract import PROJECTIONS, context, definition, delete, patient, plan, write, writes

Database = pymongo.database.Database[dict[str, Any]]
KEY = str(uuid.UUID(int=7))


async def _some_history(store: Store) -> None:
    """Patient/a is written at 1 and 8, Patient/p<n> at n + 2; a definition is indexed late, and a key used at 10."""
    await write(store, patient("a", "x", title="t"), plan("c", "Patient/later"), definition("t"))
    for number in range(6):
        await write(store, patient(f"p{number}", f"i{number % 3}"))
    await write(store, patient("a", "y", title="u"), delete("Patient", "p3"), patient("later"))
    await write(store, patient("p3", "again"), plan("c", "Patient/a"))
    await store.commit(writes(patient("b"), output="b"), context(KEY), fingerprint=b"f")
    await store.search(Search("Patient", Words("content", ("t",))))
    await store.search(Search("Patient", Equal("Patient.title@t", (b"t",))))


def commits(position: int, **change: Any) -> Callable[[Database], None]:
    names = {name.replace("__", "."): value for name, value in change.items()}
    return lambda database: _hit(database.commits.update_one({"_id": place(position)}, {"$set": names}).modified_count)


def version(position: int, **change: Any) -> Callable[[Database], None]:
    return lambda database: _hit(
        database.versions.update_one({"_id": place(seq_of(position))}, {"$set": change}).modified_count
    )


def _hit(count: int) -> None:
    assert count == 1


def _without(collection: str, id: int) -> Callable[[Database], None]:
    return lambda database: _hit(database[collection].delete_one({"_id": place(id)}).deleted_count)


def _stray(database: Database) -> None:
    found = database.versions.find_one({"_id": place(seq_of(4))})
    assert found is not None
    database.versions.insert_one(found | {"_id": place(seq_of(4) + 1), "reference": "Patient/stray", "id": "stray"})


def _erased(database: Database) -> None:
    database.commits.update_one({"_id": place(4)}, {"$set": {"changes.0.body": None}})


def _applied(database: Database) -> None:
    database.marks.update_one({"_id": "head"}, {"$set": {"applied": 5}})


OF_A = "rid = (SELECT rid FROM resources WHERE id = 'a')"
DAMAGE: dict[str, tuple[str, Callable[[Database], None], str]] = {
    "a body in the ledger": (
        "UPDATE changes SET body = CAST('{}' AS BLOB) WHERE seq >> 20 = 4",
        commits(4, changes__0__body=b"{}"),
        "commit 4",
    ),
    "an actor": ("UPDATE commits SET actor = 'else' WHERE position = 3", commits(3, actor="else"), "commit 3"),
    "an instant": ("UPDATE commits SET at = 1 WHERE position = 3", commits(3, at=1), "commit 3"),
    "a digest": (
        "UPDATE changes SET digest = x'00' WHERE seq >> 20 = 4",
        commits(4, changes__0__digest=b"\0"),
        "commit 4",
    ),
    "a hash": ("UPDATE commits SET hash = x'00' WHERE position = 4", commits(4, hash=b"\0"), "commit 4"),
    "a commit that is gone": ("DELETE FROM commits WHERE position = 3", _without("commits", 3), "commit 4"),
    "changes that are gone": ("DELETE FROM changes WHERE seq >> 20 = 4", commits(4, changes=[]), "commit 4"),
    "an answer to a key": (
        "UPDATE commits SET answer = x'7b' WHERE position = 10",
        commits(10, answer=b"{"),
        "commit 10",
    ),
    "an answer of what never was": (
        """UPDATE commits SET answer = CAST('["b", [["Patient", "b", 9]]]' AS BLOB) WHERE position = 10""",
        commits(10, answer=b'["b", [["Patient", "b", 9]]]'),
        "commit 10",
    ),
    "bytes erased in the ledger alone": (
        "UPDATE changes SET body = NULL WHERE seq >> 20 = 4",
        _erased,
        "Patient/p2",
    ),
    "a version that is gone": (
        "DELETE FROM versions WHERE seq >> 20 = 4",
        _without("versions", seq_of(4)),
        "Patient/p2",
    ),
    "a version of nothing": (
        "INSERT INTO versions SELECT rid + 1, seq FROM versions WHERE seq >> 20 = 4",
        _stray,
        "versions",
    ),
    "rows that are gone": (f"DELETE FROM rows WHERE {OF_A}", version(8, keys=[]), "Patient/a"),
    "a row too many": (
        f"INSERT INTO rows SELECT name, x'00', rid, since FROM rows WHERE {OF_A} AND typeof(key) = 'blob' LIMIT 1",
        version(8, keys=["Patient.identifier=79", "Patient.title=75", "Patient.title=76"]),
        "Patient/a",
    ),
    "a fact": (
        "UPDATE facts SET data = '{}' WHERE source = 'Patient/a'",
        version(8, facts=[{"k": "of y", "d": "{}"}]),
        "Patient/a",
    ),
    "a fact that is gone": ("DELETE FROM facts WHERE source = 'Patient/a'", version(8, facts=[]), "Patient/a"),
    "when a version ended": (
        f"UPDATE ended_rows SET until = until + 1 WHERE {OF_A}",
        version(1, until=9),
        "Patient/a",
    ),
    "what stands": (
        "UPDATE resources SET seq = (SELECT min(seq) FROM versions v WHERE v.rid = resources.rid) WHERE id = 'a'",
        version(8, until=9),
        "Patient/a",
    ),
    "words": ("UPDATE texts SET digest = x'00' WHERE until IS NULL AND " + OF_A, version(8, words=[]), "Patient/a"),
    "rows of a stored definition": (f"DELETE FROM late_rows WHERE {OF_A}", version(8, late=[]), "Patient/a"),
    "how far the projection is": ("UPDATE applied SET position = 5", _applied, "applied"),
}


@pytest.fixture(params=["sqlite", "mongodb"])
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def make(engine: str, tmp_path: Path, database: str) -> Callable[[], Store]:
    if engine == "sqlite":
        return lambda: SqliteStore(tmp_path / "careplan.db", PROJECTIONS, follows=False)
    return lambda: MongodbStore(database, PROJECTIONS, follows=False)


async def places(store: Store) -> list[str]:
    return [finding.place async for finding in store.verify()]


@pytest.mark.parametrize("name", DAMAGE)
async def test_damage_is_found_at_its_place(
    engine: str, make: Callable[[], Store], tmp_path: Path, database: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recorded, "CHANGES", 3)
    monkeypatch.setattr(verify, "_SPANS", 4)
    store = make()
    await store.open()
    await _some_history(store)
    await store.close()
    assert [] == await places(store)
    sql, change, expected = DAMAGE[name]
    if engine == "sqlite":
        connection = apsw.Connection(str(tmp_path / "careplan.db"))
        connection.execute(sql)
        assert connection.changes()
        connection.close()
    else:
        with pymongo.MongoClient[dict[str, Any]](database) as client:
            change(client[urlsplit(database).path[1:]])
    found = await places(make())
    assert expected in found
    assert len(found) < 9  # and not at all that comes after it


async def test_progress_is_told(make: Callable[[], Store], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "CHANGES", 3)
    store = make()
    await store.open()
    await _some_history(store)
    steps: list[tuple[int, int]] = []
    assert [] == [finding async for finding in store.verify(lambda done, of: steps.append((done, of)))]
    assert sorted(steps) == steps
    assert steps[-1][0] == steps[-1][1] > 0
    await store.close()


async def test_whole_store_is_found_whole_while_others_write(make: Callable[[], Store]) -> None:
    store, other = make(), make()
    await store.open()
    await other.open()
    await _some_history(store)
    is_over = False

    async def keep_writing() -> None:
        number = 0
        while not is_over:
            number += 1
            await write(other, patient("a", f"v{number}"), patient(f"n{number}"))

    writing = asyncio.create_task(keep_writing())
    for _ in range(3):
        assert [] == await places(store)
        await asyncio.sleep(0.05)
    is_over = True
    await writing
    assert [] == await places(store)
    await other.close()
    await store.close()
