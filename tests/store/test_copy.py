"""A copy is the same ledger, on whichever engine, and says the same at every position."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import apsw
import pytest

from server.ledger import Commit, Cursor
from server.outcome import Problem
from server.search.filter import ALL, Equal, Words
from server.store import recorded as module
from server.store.copy import copy
from server.store.engine import Projections, Store
from server.store.mongodb import MongodbStore
from server.store.recorded import Recorded
from server.store.sqlite import SqliteStore
from tests.mongodb import named
from tests.store.contract import PROJECTIONS, context, definition, delete, ids, patient, plan, write, writes

ENGINES = ("sqlite", "mongodb")
KEY = str(uuid.UUID(int=7))

Make = Callable[[str], Store]


@pytest.fixture
def made(tmp_path: Path, database: str) -> Callable[..., Store]:
    """A store of an engine, by a name of its own."""

    def make(engine: str, name: str, projections: Projections = PROJECTIONS, **options: Any) -> Store:
        if engine == "sqlite":
            return SqliteStore(tmp_path / f"{name}.db", projections, **options)
        return MongodbStore(named(database, f"{urlsplit(database).path[1:]}-{name}"), projections, **options)

    return make


@pytest.fixture(params=ENGINES)
async def source(request: pytest.FixtureRequest, made: Callable[..., Store]) -> AsyncIterator[Store]:
    """A ledger with everything that one can hold, still open."""
    store = made(request.param, "source", follows=False)
    await store.open()
    await write(store, patient("a", "x", title="t"), plan("c", "Patient/later"), definition("t"))
    await asyncio.gather(*(store.commit(writes(patient(f"p{n}", f"i{n % 3}")), context()) for n in range(6)))
    await write(store, patient("a", "y", title="u"), delete("Patient", "p3"), patient("later"))
    await write(store, patient("p3", "again"), plan("c", "Patient/a"))
    await store.commit(writes(patient("b"), output={"n": 1}), context(KEY), fingerprint=b"f")
    await store.commit(writes(output="nothing"), context(), fingerprint=b"g")
    yield store
    await store.close()


@pytest.fixture(params=ENGINES)
def target(request: pytest.FixtureRequest, made: Callable[..., Store]) -> Store:
    return made(request.param, "target", follows=False)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def recorded(store: Store) -> list[Recorded]:
    async with store.ledger() as ledger:
        return [commit async for commit in ledger.commits(0, (await ledger.head()).position)]


async def said(store: Store) -> list[Any]:
    """What a store says at each of its positions."""
    head = await store.head()
    found: list[Any] = [head, await store.changes(Cursor(0, 0), 100)]
    for position in range(head + 1):
        view = await store.view(position)
        for type in ("Patient", "CarePlan", "SearchParameter"):
            found.append(sorted(await view.search(type, ALL, 100)))
        found.append(sorted(await view.search("Patient", Words("content", ("t",)), 100)))
        found.append(await view.facts("of", ["x", "y", "i1", "again"]))
        found.append(await view.read_many(["Patient/a", "Patient/p3", "Patient/later", "CarePlan/c"]))
    for type, id in ((None, None), ("Patient", None), ("Patient", "a")):
        found.append(await store.history(type, id, since=None, at=None, count=100, page=None))
    return found


async def findings(store: Store) -> list[Any]:
    return [finding async for finding in store.verify()]


async def test_copy_is_the_same_ledger_and_says_the_same(source: Store, target: Store) -> None:
    steps: list[tuple[int, int]] = []
    copied = await copy(source, target, lambda done, of: steps.append((done, of)))
    assert (0, 11, 11) == (copied.before, copied.head.position, copied.source)
    assert (22, 22) == steps[-1]
    assert sorted(steps) == steps
    assert await recorded(source) == await recorded(target)
    await target.open()
    assert [] == await findings(target)
    assert {"words": 1.0, "Patient.title@t": 1.0} == await target.following()
    assert ["a"] == await ids(target, "Patient", Equal("Patient.title@t", (b"u",)))
    assert await said(source) == await said(target)
    await target.close()


async def test_key_has_its_first_answer_and_the_ledger_goes_on(source: Store, target: Store) -> None:
    await copy(source, target)
    await target.open()

    async def again(store: Store) -> Commit:
        return await store.commit(writes(patient("other")), context(KEY), fingerprint=b"f")

    assert await again(source) == await again(target)
    with pytest.raises(Problem) as refused:
        await target.commit(writes(patient("other")), context(KEY), fingerprint=b"else")
    assert "unprocessable" == refused.value.kind
    assert 12 == (await write(target, patient("a", "z"))).position
    assert [] == await findings(target)
    await target.close()


async def test_what_is_written_meanwhile_comes_with_the_next_copy(
    source: Store, target: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CHANGES", 2)
    writing: list[asyncio.Task[Commit]] = []

    def write_on(done: int, of: int) -> None:
        if len(writing) < 3:
            writing.append(asyncio.create_task(write(source, patient(f"new{len(writing)}", "x"))))

    first = await copy(source, target, write_on)
    await asyncio.gather(*writing)
    assert (0, 11) == (first.before, first.head.position)
    second = await copy(source, target)
    assert (11, 14, 14) == (second.before, second.head.position, second.source)
    assert await recorded(source) == await recorded(target)
    third = await copy(source, target)
    assert (14, second.head) == (third.before, third.head)
    assert [] == await findings(target)


async def test_copy_that_was_broken_off_goes_on(source: Store, target: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANGES", 1)
    for reached in (1, 4, 11, 12):

        def stop(done: int, of: int, reached: int = reached) -> None:
            if done >= reached:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await copy(source, target, stop)
        with pytest.raises(Problem, match="careplan copy"):
            await target.open()
        assert [] == await findings(target)
    await copy(source, target)
    assert await recorded(source) == await recorded(target)
    await target.open()
    assert await said(source) == await said(target)
    await target.close()


async def test_target_that_is_none_of_the_source_is_refused(source: Store, target: Store) -> None:
    await target.open()
    await write(target, patient("else"))
    await target.close()
    with pytest.raises(Problem, match="another ledger, of 1") as refused:
        await copy(source, target)
    assert "conflict" == refused.value.kind
    await target.open()  # and is as it was
    await target.close()


async def test_target_that_is_ahead_or_has_gone_its_own_way_is_refused(source: Store, target: Store) -> None:
    await copy(source, target)
    await target.open()
    await write(target, patient("else"))
    await target.close()
    with pytest.raises(Problem, match="at position 12, the source at 11"):
        await copy(source, target)
    await write(source, patient("other"), patient("more"))
    await write(source, patient("other", "x"))
    with pytest.raises(Problem, match="from position 12 on"):
        await copy(source, target)
    await target.open()
    assert [] == await findings(target)
    await target.close()


async def test_target_in_use_is_refused(made: Callable[..., Store], source: Store, target: Store) -> None:
    used = made("sqlite" if isinstance(target, SqliteStore) else "mongodb", "target")
    await used.open()
    with pytest.raises(Problem, match="open elsewhere") as refused:
        await copy(source, target)
    assert "unavailable" == refused.value.kind
    await used.close()
    await copy(source, target)


async def test_target_of_other_definitions_is_refused(made: Callable[..., Store], source: Store, target: Store) -> None:
    await copy(source, target)
    engine = "sqlite" if isinstance(target, SqliteStore) else "mongodb"
    other = made(engine, "target", PROJECTIONS._replace(version="other"))
    with pytest.raises(Problem, match="careplan rebuild"):
        await copy(source, other)
    elsewhere = made(engine, "target", partition="elsewhere")
    with pytest.raises(Problem, match="partition"):
        await copy(source, elsewhere)


async def test_source_that_is_not_there_leaves_no_target(tmp_path: Path, made: Callable[..., Store]) -> None:
    with pytest.raises(Problem, match="no store"):
        await copy(made("sqlite", "never"), made("sqlite", "target"))
    assert [] == names(tmp_path)


async def test_empty_ledger_is_copied(made: Callable[..., Store], target: Store) -> None:
    empty = made("sqlite", "empty")
    await empty.open()
    copied = await copy(empty, target)
    assert (0, 0) == (copied.before, copied.head.position)
    await target.open()
    assert 0 == await target.head()
    await target.close()
    await empty.close()


@pytest.mark.parametrize(
    ("damage", "what"),
    [
        ("UPDATE changes SET body = CAST(replace(CAST(body AS TEXT), 'i1', 'i2') AS BLOB) WHERE seq >> 20 = 3", "body"),
        ("UPDATE commits SET actor = 'Practitioner/else' WHERE position = 3", "hash"),
        ("UPDATE changes SET id = 'else' WHERE seq >> 20 = 3", "hash"),
        ("UPDATE commits SET at = 1 WHERE position = 3", "instant"),
        ("DELETE FROM commits WHERE position = 3", "from position 2 to 4"),
    ],
)
@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
async def test_damage_is_not_copied(source: Store, target: Store, tmp_path: Path, damage: str, what: str) -> None:
    connection = apsw.Connection(str(tmp_path / "source.db"))
    connection.execute(damage)
    connection.close()
    with pytest.raises(Problem, match=f"(?s)commit [34]:.*{what}") as refused:
        await copy(source, target)
    assert "conflict" == refused.value.kind
    assert 2 == len(await recorded(target))


@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
async def test_erased_bytes_stay_erased_and_the_chain_holds(source: Store, target: Store, tmp_path: Path) -> None:
    """The digest tells what stood there, and nobody can read it."""
    await source.close()
    connection = apsw.Connection(str(tmp_path / "source.db"))
    connection.execute("UPDATE changes SET body = NULL WHERE id = 'p1'")
    connection.close()
    await source.rebuild(lambda done, of: None)
    assert [] == await findings(source)
    copied = await copy(source, target)
    assert [] == await findings(target)
    assert await recorded(source) == await recorded(target)
    assert (await recorded(target))[-1].hash == copied.head.hash
    (erased,) = [change for commit in await recorded(target) for change in commit.changes if change.id == "p1"]
    assert (None, 32) == (erased.body, len(erased.digest))


@pytest.mark.parametrize("source", ["mongodb"], indirect=True)
async def test_backup_of_a_database_is_a_file(source: Store, made: Callable[..., Store], tmp_path: Path) -> None:
    await source.backup(str(tmp_path / "backup.db"))
    backup = made("sqlite", "backup")
    assert await recorded(source) == await recorded(backup)
    assert [] == await findings(backup)
    with pytest.raises(Problem, match="exists"):
        await source.backup(str(tmp_path / "backup.db"))

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await source.backup(str(tmp_path / "other.db"), stop)
    assert not any(name.startswith("other") for name in names(tmp_path))


@pytest.mark.parametrize("source", ["sqlite"], indirect=True)
async def test_commit_that_the_target_cannot_hold_is_told(
    source: Store, made: Callable[..., Store], database: str
) -> None:
    await write(source, *(patient(f"b{n}", title="x" * 1_000_000) for n in range(17)))
    with pytest.raises(Problem, match="MB") as refused:
        await copy(source, made("mongodb", "target"))
    assert "too_costly" == refused.value.kind
