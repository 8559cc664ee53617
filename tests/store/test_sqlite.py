"""The SQLite engine: the contract, and what only a file can show."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import apsw
import pytest

from server.ledger import Commit, Plan, View
from server.outcome import Problem
from server.search.filter import ALL, Equal, Words
from server.store.engine import Finding, Projections, Search, Store
from server.store.sqlite import SqliteStore, compile, late, order, prune, rebuild, schema, writer
from server.store.sqlite import plan as planning
from server.store.sqlite.append import Appender
from server.store.sqlite.schema import PROJECTION_TABLES
from server.store.sqlite.tables import Tables
from tests.store.contract import (
    PROJECTIONS,
    StoreContract,
    context,
    definition,
    delete,
    ids,
    patient,
    plan,
    write,
    writes,
)
from tests.store.properties import Fresh, StoreProperties


def make_store(path: str) -> Store:
    return SqliteStore(path, PROJECTIONS)


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], Store]:
    return partial(make_store, str(tmp_path / "careplan.db"))


@contextmanager
def store_of_its_own(projections: Projections) -> Iterator[Store]:
    with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as directory:
        yield SqliteStore(f"{directory}/careplan.db", projections)


@pytest.fixture
def fresh() -> Fresh:
    return store_of_its_own


class TestSqliteStore(StoreContract):
    pass


class TestSqliteStoreProperties(StoreProperties):
    @pytest.fixture(autouse=True)
    def _few_are_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(order, "WALK", 2)  # so that a few resources are walked as thousands are
        monkeypatch.setattr(planning, "CAPS", (2, 4))
        monkeypatch.setattr(planning, "CAPS_OF_A_PAGE", (1, 2))
        monkeypatch.setattr(planning, "PROBED", 1)
        monkeypatch.setattr(compile.Compiler, "_is_repeated", lambda compiler, index: True)


def _dump(path: Path, *tables: str) -> dict[str, list[object]]:
    with closing(apsw.Connection(str(path))) as connection:
        return {table: list(connection.execute(f"SELECT * FROM {table}")) for table in tables or PROJECTION_TABLES}


def _modes(folder: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in folder.iterdir()}


async def _some_history(store: Store) -> None:
    await write(store, patient("a", "x", title="t"), plan("c", "Patient/later"), definition("t"))
    await asyncio.gather(*(store.commit(writes(patient(f"p{n}", f"i{n % 3}")), context()) for n in range(20)))
    await write(store, patient("a", "y", title="u"), delete("Patient", "p3"), patient("later"))
    await write(store, patient("p3", "again"), plan("c", "Patient/a"))
    await store.commit(writes(patient("b")), context(), fingerprint=b"f")
    await store.search(Search("Patient", Words("content", ("t",))))  # what is made late is made
    await store.search(Search("Patient", Equal("Patient.title@t", (b"t",))))


async def test_rebuild_makes_the_same_projections(make: Callable[[], Store], tmp_path: Path) -> None:
    store = make()
    await store.open()
    await _some_history(store)
    with pytest.raises(Problem, match="stop the server"):
        await store.rebuild(lambda done, of: None)
    await store.close()
    before = _dump(tmp_path / "careplan.db")
    steps: list[tuple[int, int]] = []
    await store.rebuild(lambda done, of: steps.append((done, of)))
    assert before == _dump(tmp_path / "careplan.db")
    assert (24, 24) == steps[-1]


async def test_rebuild_that_was_broken_off_is_asked_for_again(
    make: Callable[[], Store], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = make()
    await store.open()
    await _some_history(store)
    await store.close()
    before = _dump(tmp_path / "careplan.db")
    monkeypatch.setattr(rebuild, "_CHUNK", 5)

    def stop(done: int, of: int) -> None:
        if done == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await store.rebuild(stop)
    with pytest.raises(Problem, match="position 10 of 24"):
        await make().open()
    assert "applied" in [finding.place async for finding in store.verify()]
    await store.rebuild(lambda done, of: None)
    assert before == _dump(tmp_path / "careplan.db")


async def test_backup_that_was_broken_off_leaves_no_file(make: Callable[[], Store], tmp_path: Path) -> None:
    store = make()
    await store.open()
    await _some_history(store)

    def stop(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await store.backup(str(tmp_path / "copy.db"), stop)
    await store.close()
    assert ["careplan.db", "careplan.db.lock", "careplan.db.open"] == sorted(_names(tmp_path))


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


async def test_open_refuses_other_definitions_until_rebuilt(make: Callable[[], Store], tmp_path: Path) -> None:
    store = make()
    await store.open()
    await _some_history(store)
    await store.close()
    other = SqliteStore(
        tmp_path / "careplan.db", Projections(lambda r: [("Patient.other", b"1")], PROJECTIONS.facts, "other")
    )
    with pytest.raises(Problem, match="careplan rebuild"):
        await other.open()
    await other.rebuild(lambda done, of: None)
    await other.open()
    assert "a" in await ids(other, "Patient", Equal("Patient.other", (b"1",)))
    await other.close()


@pytest.mark.parametrize(
    ("damage", "place"),
    [
        ("UPDATE changes SET body = replace(CAST(body AS TEXT), 'x', 'z') WHERE type = 'Patient'", "commit 1"),
        ("UPDATE commits SET actor = 'Practitioner/else' WHERE position = 3", "commit 3"),
        ("UPDATE commits SET at = 1 WHERE position = 3", "commit 3"),
        ("DELETE FROM commits WHERE position = 3", "commit 4"),
        ("DELETE FROM changes WHERE seq >> 20 = 5", "commit 5"),
        ("UPDATE resources SET seq = seq - 1 WHERE id = 'p5'", "Patient/p5"),
        ("UPDATE commits SET answer = x'7b' WHERE position = 24", "commit 24"),
        ("DELETE FROM versions WHERE seq >> 20 = 4", "Patient/p2"),
        ("INSERT INTO versions SELECT rid + 1, seq FROM versions WHERE seq >> 20 = 4", "versions"),
        ("DELETE FROM timeline WHERE seq >> 20 = 4", "Patient/p2"),
        ("UPDATE resources SET id = 'else' WHERE id = 'p2'", "Patient/p2"),
        ("UPDATE applied SET next_rid = 3", "applied"),
        ("UPDATE applied SET position = 3", "applied"),
        (
            "DELETE FROM rows WHERE typeof(key) = 'blob' AND rid = (SELECT rid FROM resources WHERE id = 'a')",
            "Patient/a",
        ),
        ("INSERT INTO rows VALUES (1, x'00', 99999, 1)", "rows"),
        ("UPDATE rows SET since = 2 WHERE rid = (SELECT rid FROM resources WHERE id = 'p5')", "Patient/p5"),
        ("DELETE FROM ended_rows WHERE rid = (SELECT rid FROM resources WHERE id = 'p3')", "Patient/p3"),
        ("UPDATE ended_rows SET until = until + 1 WHERE rid = (SELECT rid FROM resources WHERE id = 'a')", "Patient/a"),
        ("DELETE FROM facts WHERE source = 'Patient/a'", "Patient/a"),
        ("UPDATE facts SET source = 'Patient/b' WHERE source = 'Patient/a'", "Patient/a"),
        ("UPDATE ended_facts SET data = '{}' WHERE source = 'Patient/a'", "Patient/a"),
        ("UPDATE ended_facts SET since = since + 1 WHERE source = 'Patient/a'", "ended_facts"),
        ("UPDATE texts SET since = since + 1 WHERE doc = 2", "CarePlan/c"),
        ("DELETE FROM texts WHERE until IS NULL AND doc = 3", "words"),
        ("DELETE FROM words WHERE rowid = 3", "words"),
        ("INSERT INTO words(words) VALUES ('delete-all')", "Patient/a"),
        ("DELETE FROM late_rows", "Patient/a"),
        ("UPDATE ended_late_rows SET until = until + 1", "Patient/a"),
        ("INSERT INTO late_rows SELECT name, x'00', rid, since FROM late_rows LIMIT 1", "Patient/a"),
        ("DROP INDEX rows_rid", "file"),
    ],
)
async def test_verify_says_what_is_wrong(make: Callable[[], Store], tmp_path: Path, damage: str, place: str) -> None:
    store = make()
    await store.open()
    await _some_history(store)
    assert [] == [finding async for finding in store.verify()]
    await store.close()
    connection = apsw.Connection(str(tmp_path / "careplan.db"))
    connection.execute(damage)
    connection.close()
    assert place in [finding.place async for finding in store.verify()]


async def test_verify_sees_every_flipped_bit(make: Callable[[], Store], tmp_path: Path) -> None:
    store = make()
    await store.open()
    await _some_history(store)
    await store.close()
    path = tmp_path / "careplan.db"
    sound, content = path.read_bytes(), _dump(path, "commits", "changes", *PROJECTION_TABLES)
    chance = random.Random(11)
    used = [place for place, byte in enumerate(sound) if byte]
    seen = 0
    for place in chance.sample(used, 150):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << chance.randrange(8)
        path.write_bytes(damaged)
        try:
            found = [finding async for finding in store.verify()]
        except Problem as problem:  # not even its schema can be read
            found = [Finding("file", str(problem))]
        seen += bool(found)
        assert found or content == _dump(path, "commits", "changes", *PROJECTION_TABLES)
    assert seen > 100


async def test_backup_of_a_live_store_is_whole(make: Callable[[], Store], tmp_path: Path) -> None:
    store = make()
    await store.open()

    async def keep_writing() -> None:
        for n in range(200):
            await write(store, patient(f"p{n}", f"i{n}"))

    writing = asyncio.create_task(keep_writing())
    await asyncio.sleep(0.02)
    await store.backup(str(tmp_path / "copy.db"))
    await writing
    with pytest.raises(Problem, match="exists"):
        await store.backup(str(tmp_path / "copy.db"))
    await store.close()
    assert {0o600} == _modes(tmp_path)
    copy = make_store(str(tmp_path / "copy.db"))
    await copy.open()
    assert [] == [finding async for finding in copy.verify()]
    found = await copy.search(Search("Patient", ALL, count=1, total=True))
    assert await copy.head() == found.total
    await copy.close()


async def test_open_refuses_what_is_not_its_own(tmp_path: Path) -> None:
    foreign = tmp_path / "foreign.db"
    connection = apsw.Connection(str(foreign))
    connection.execute("CREATE TABLE x(y)")
    connection.close()
    with pytest.raises(Problem, match="none of ours"):
        await make_store(str(foreign)).open()
    store = make_store(str(tmp_path / "newer.db"))
    await store.open()
    await store.close()
    connection = apsw.Connection(str(tmp_path / "newer.db"))
    connection.pragma("user_version", 99)
    connection.close()
    with pytest.raises(Problem, match="schema 99"):
        await make_store(str(tmp_path / "newer.db")).open()
    there = SqliteStore(tmp_path / "careplan.db", PROJECTIONS, partition="there")
    await there.open()
    await there.close()
    with pytest.raises(Problem, match="partition"):
        await make_store(str(tmp_path / "careplan-there.db")).open()


async def test_search_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "careplan.db", PROJECTIONS, search_timeout=0.0)
    await store.open()
    for start in range(0, 3000, 1000):
        await write(store, *(patient(f"p{start + n}", f"i{n}") for n in range(1000)))
    with pytest.raises(Problem) as refused:
        await store.search(
            Search("Patient", Equal("Patient.identifier", tuple(b"i%d" % n for n in range(1000))), count=1000)
        )
    assert "timeout" == refused.value.kind
    await store.close()


async def test_search_of_a_decide_that_takes_too_long_is_refused_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SqliteStore(tmp_path / "careplan.db", PROJECTIONS)
    await store.open()
    await write(store, *(patient(f"p{n}", f"i{n}") for n in range(3000)))
    slow = Equal("Patient.identifier", tuple(b"i%d" % n for n in range(3000)))

    async def look_long(view: View) -> Plan:
        await view.search("Patient", slow, 3000)
        return Plan([patient("refused")])

    monkeypatch.setattr(writer, "SEARCH_TIMEOUT", 0.0)
    decides = [writes(patient("before")), look_long, writes(patient("after"))]
    before, refused, after = await asyncio.gather(
        *(store.commit(decide, context()) for decide in decides), return_exceptions=True
    )
    assert isinstance(refused, Problem)
    assert "timeout" == refused.kind
    assert (True, True) == (isinstance(before, Commit), isinstance(after, Commit))
    assert 3 == await store.head()
    assert [] == [finding async for finding in store.verify()]
    await store.close()


async def test_ended_rows_are_pruned_and_older_pages_are_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer, "SWEEP_EVERY", 1)
    store = SqliteStore(tmp_path / "careplan.db", PROJECTIONS, page_horizon=0.0)
    await store.open()
    await write(store, patient("a", "x"), patient("b", "x"))
    first = await store.search(Search("Patient", ALL, count=1))
    for n in range(5):
        await write(store, patient("a", f"{n}"))
    with pytest.raises(Problem) as gone:
        await store.search(Search("Patient", ALL, count=1), first.next)
    assert "gone" == gone.value.kind
    ended = apsw.Connection(str(tmp_path / "careplan.db")).execute("SELECT count(*) FROM ended_rows").fetchall()
    assert [(0,)] == ended
    assert {"x": 1} == {key: len(found) for key, found in (await (await store.view(5)).facts("of", ["x"])).items()}
    assert [] == [finding async for finding in store.verify()]
    await store.close()


async def test_older_pages_are_right_or_gone_while_a_sweep_is_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "SWEEP_EVERY", 1)
    monkeypatch.setattr(prune, "_STEP", 3)  # rows: a sweep goes on over many groups, and so do their horizons
    now = 0
    monkeypatch.setattr(time, "time_ns", lambda: now)
    store = SqliteStore(tmp_path / "careplan.db", PROJECTIONS, page_horizon=10.0)
    await store.open()
    searches: list[tuple[Search, str]] = []
    right = 0
    for number in range(40):
        now += 1_000_000_000
        await write(store, *(patient(id, f"i{number}", title=f"{number}") for id in "abc"))
        search = Search("Patient", Equal("Patient.identifier", (b"i%d" % number,)), count=1)
        searches.append((search, (await store.search(search)).next or ""))
        for search, page in searches:
            with suppress(Problem):
                assert ["b"] == [version.id for version in (await store.search(search, page)).matches]
                right += 1
    assert 10 <= right < len(searches) * (len(searches) + 1) // 2  # the rest are gone
    assert [] == [finding async for finding in store.verify()]
    await store.close()


async def test_keeping_a_store_that_is_not_there_makes_none(tmp_path: Path) -> None:
    store = make_store(str(tmp_path / "none.db"))
    for keep in (anext(store.verify()), store.rebuild(print), store.backup(str(tmp_path / "b"))):
        with pytest.raises(Problem, match="no store"):
            await keep
    assert [] == _names(tmp_path)


async def test_words_are_made_late_and_go_on_after_a_restart(
    make: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUIET", 3600)  # only searches bring it on
    monkeypatch.setattr(writer, "STEP", 0)  # by one chunk at a time
    monkeypatch.setattr(late, "_CHUNK", 3)
    said = Search("Patient", Words("content", ("anna",)), count=100)
    store = make()
    await store.open()
    for number in range(20):
        await write(store, patient(f"p{number}", title="Anna"))
    await write(store, definition("t"))
    assert 0 == (await store.statistics())["followed"]
    impatient = SqliteStore(store.path, PROJECTIONS, search_timeout=0)  # type: ignore[attr-defined]
    await impatient.open()
    with pytest.raises(Problem) as refused:
        await impatient.search(said)
    assert "throttled" == refused.value.kind
    with pytest.raises(Problem) as refused:
        await impatient.search(Search("Patient", Equal("Patient.title@t", (b"Anna",))))
    assert "throttled" == refused.value.kind
    await impatient.close()
    assert [] == [finding async for finding in store.verify()]
    await store.close()
    again = make()
    await again.open()
    assert 20 == len((await again.search(said)).matches)
    assert 20 == len((await again.search(Search("Patient", Equal("Patient.title@t", (b"Anna",))))).matches)
    assert 1 == (await again.statistics())["followed"]
    await again.close()


async def test_words_are_made_when_nobody_writes(make: Callable[[], Store]) -> None:
    store = make()
    await store.open()
    await write(store, *(patient(f"p{number}", title="Anna") for number in range(200)))
    for _ in range(1000):
        if (await store.statistics())["followed"] == 1:
            break
        await asyncio.sleep(0.05)
    assert 1 == (await store.statistics())["followed"]
    await store.close()


async def test_words_that_ended_are_pruned_with_the_rest(make: Callable[[], Store], tmp_path: Path) -> None:
    store = make()
    await store.open()
    for number in range(5):
        await write(store, patient("a", title=f"t{number}"))
    await store.search(Search("Patient", Words("content", ("t4",))))
    with _connected(tmp_path) as connection:
        with connection:
            late.Late(Appender(Tables(connection), "default"), PROJECTIONS).prune(4)
        assert [(4, 5), (5, None)] == list(connection.execute("SELECT since, until FROM texts ORDER BY since"))
        prune.Sweep(connection).step(4)
    assert [] == [finding async for finding in store.verify()]
    await store.close()


@contextmanager
def _connected(folder: Path) -> Iterator[apsw.Connection]:
    with closing(schema.connect(str(folder / "careplan.db"))) as connection:
        yield connection
