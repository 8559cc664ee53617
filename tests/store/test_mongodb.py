"""The MongoDB engine: the contract, and what only a database elsewhere can show."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import pymongo
import pytest
from pymongo import monitoring
from pymongo.errors import BulkWriteError, ExecutionTimeout

from server.fhir import body
from server.ledger import Change, Commit, Decide, Plan, Version, View
from server.outcome import Problem
from server.search.filter import ALL, Equal, Words
from server.store.engine import Projections, Search, Store
from server.store.mongodb import MongodbStore, append, leads, opening, schema, turnstile, writer
from server.store.mongodb.append import Appender
from server.store.mongodb.document import OPEN, document_of, place
from server.store.mongodb.failure import FULL, RETRY_AFTER, answering, away
from server.store.mongodb.late import Late
from server.store.mongodb.mirror import MOST
from server.store.mongodb.reads import Reads
from server.store.mongodb.turnstile import Turnstile
from server.store.mongodb.writer import Writer
from tests.mongodb import OVER, database_of, is_away, running
from tests.process import free_port
from tests.store.contract import (
    PROJECTIONS,
    StoreContract,
    add_one,
    context,
    create_once,
    definition,
    delete,
    ids,
    patient,
    plan,
    put,
    write,
    writes,
)
from tests.store.properties import Fresh, StoreProperties

CENTURY = 3_200_000_000.0  # seconds: the clock of a property begins in 1970


def make_store(uri: str) -> Store:
    return MongodbStore(uri, PROJECTIONS)


@pytest.fixture
def fresh(uri: str) -> Fresh:
    @contextmanager
    def store_of_its_own(projections: Projections) -> Iterator[Store]:
        with database_of(uri) as name:
            yield MongodbStore(name, projections, page_horizon=CENTURY)

    return store_of_its_own


@pytest.fixture
def make(database: str) -> Callable[[], Store]:
    return partial(make_store, database)


@pytest.fixture
async def store(database: str) -> AsyncIterator[MongodbStore]:
    store = MongodbStore(database, PROJECTIONS)
    await store.open()
    yield store
    assert [] == [finding async for finding in store.verify()]
    await store.close()


class TestMongodbStore(StoreContract):
    WRITES = 40
    ROUNDS = 2
    NUL = os.environ.get(OVER) != "postgresql"  # which FerretDB keeps texts in as they are, and it takes none


class TestMongodbStoreInIndexes(TestMongodbStore):
    """As a store that is too large to be held in memory."""

    @pytest.fixture
    def make(self, database: str) -> Callable[[], Store]:
        return partial(MongodbStore, database, PROJECTIONS, mirrored=0)


class TestMongodbStoreProperties(StoreProperties, share=0.2):
    ASKED = 6


class Commands(monitoring.CommandListener):
    """What is sent to the database: "find versions", and the whole of each."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.whole: list[tuple[str, Mapping[str, Any]]] = []

    def started(self, event: monitoring.CommandStartedEvent) -> None:
        self.sent.append(f"{event.command_name} {event.command.get(event.command_name)}")
        self.whole.append((event.command_name, event.command))

    def succeeded(self, event: monitoring.CommandSucceededEvent) -> None:
        pass

    def failed(self, event: monitoring.CommandFailedEvent) -> None:
        pass


async def _some_history(store: Store) -> None:
    await write(store, patient("a", "x", title="t"), plan("c", "Patient/later"), definition("t"))
    await asyncio.gather(*(store.commit(writes(patient(f"p{n}", f"i{n % 3}")), context()) for n in range(5)))
    await write(store, patient("a", "y", title="u"), delete("Patient", "p3"), patient("later"))
    await store.commit(writes(patient("b")), context(), fingerprint=b"f")
    await store.search(Search("Patient", Words("content", ("t",))))
    await store.search(Search("Patient", Equal("Patient.title@t", (b"t",))))


# -- what is sent ------------------------------------------------------------------------------------------------------


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> Commands:
    made = Commands()
    monkeypatch.setattr(monitoring, "_LISTENERS", monitoring._LISTENERS._replace(command_listeners=[made]))
    return made


ASKED = "find versions"
WRITTEN = ["insert commits", "insert versions", "find turns", "update marks"]  # the two in the middle side by side
UPDATED = [*WRITTEN[:3], "update versions", "update marks"]


@pytest.mark.parametrize(
    ("decide", "expected"),
    [
        (writes(patient("new")), [ASKED, *WRITTEN]),
        (writes(patient("a", "y")), [ASKED, *UPDATED]),
        (writes(delete("Patient", "a")), [ASKED, *UPDATED]),
        (create_once("z", "new"), [ASKED, ASKED, *WRITTEN]),
        (create_once("x", "new"), [ASKED, "find turns", "find commits"]),
        (writes(*(patient(f"t{n}") for n in range(20))), [ASKED, *WRITTEN]),
        (writes(*(patient(f"t{n}") for n in range(20)), patient("a", "y")), [ASKED, *UPDATED]),
        (writes(patient("a", "x")), [ASKED, "find turns", "find commits"]),
    ],
    ids=[
        "create",
        "update",
        "delete",
        "conditional create",
        "conditional create of what is there",
        "transaction of 20 creates",
        "transaction of 20 creates and an update",
        "update that changes nothing",
    ],
)
@pytest.mark.parametrize("mirrored", [0, MOST], ids=["in indexes", "in memory"])
async def test_round_trips_of_a_commit(
    database: str, commands: Commands, decide: Decide, expected: list[str], mirrored: int
) -> None:
    """However much it holds; a read is one. What a small store holds in memory is not asked."""
    store = MongodbStore(database, PROJECTIONS, follows=False, mirrored=mirrored)
    await store.open()
    await write(store, patient("a", "x"))
    commands.sent.clear()
    await store.commit(decide, context())
    asked = [each for each in expected if not mirrored or each != ASKED]
    assert sorted(asked) == sorted(each for each in commands.sent if each != "update leads")  # a beat
    commands.sent.clear()
    await store.read("Patient", "a")
    assert ["find marks" if mirrored else ASKED] == [each for each in commands.sent if each != "update leads"]
    await store.close()


async def test_round_trips_of_a_group_are_those_of_one(database: str, commands: Commands) -> None:
    """Of commits that came at once: what they ask is asked together, searches side by side."""
    store = MongodbStore(database, PROJECTIONS, follows=False, mirrored=0)
    await store.open()
    await write(store, *(patient(f"p{n}", f"i{n}") for n in range(16)))
    for decides, expected in [
        ([writes(patient(f"new{n}")) for n in range(16)], [ASKED, *WRITTEN]),
        ([add_one(f"p{n}") for n in range(16)], [ASKED, *UPDATED]),
        ([create_once(f"c{n}", f"c{n}") for n in range(16)], [*[ASKED] * 17, *WRITTEN]),
        ([add_one("p0") for _ in range(16)], [ASKED, *UPDATED]),
    ]:
        commands.sent.clear()
        commits = await asyncio.gather(*(store.commit(decide, context()) for decide in decides))
        assert sorted(expected) == sorted(each for each in commands.sent if each != "update leads")  # a beat
        assert 16 == len({commit.position for commit in commits})
    assert 17 == body.loads((await _read(store, "p0")).body or b"")["number"]
    assert [] == [finding async for finding in store.verify()]
    await store.close()


async def _read(store: Store, id: str) -> Version:
    version = await store.read("Patient", id)
    assert version is not None
    return version


async def test_many_updates_are_parted(database: str, commands: Commands) -> None:
    """Where each update of one command has a connection of its own to the end, more than it has would wait for ever."""
    stores = [MongodbStore(database, PROJECTIONS, follows=False) for _ in range(2)]
    for each in stores:
        await each.open()
    await write(stores[0], *(patient(f"p{n}") for n in range(45)))
    commands.sent.clear()
    await write(stores[0], *(patient(f"p{n}", "x") for n in range(45)))
    assert 1 == commands.sent.count("update versions")
    written = (write(each, patient(f"p{n}", f"{n}")) for n in range(22) for each in stores)
    await asyncio.wait_for(asyncio.gather(*written), 60)
    await asyncio.wait_for(asyncio.gather(*(each.late.follow() for each in stores)), 60)
    assert 20 >= max(len(command["updates"]) for name, command in commands.whole if name == "update")
    assert [] == [finding async for finding in stores[0].verify()]
    for each in stores:
        await each.close()


async def test_concerns_and_limits_are_of_every_command(
    database: str, commands: Commands, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the URI says: a majority and its journal for each write, a majority and a time limit for each read."""
    monkeypatch.setattr(turnstile, "LAPSE", 0.1)
    options = (
        "w=1&journal=false&wTimeoutMS=1&readPreference=secondaryPreferred&readConcernLevel=local&retryWrites=false"
    )
    store = MongodbStore(f"{database}?{options}", PROJECTIONS, page_horizon=0.0)
    await store.open()
    await store.collections.turns.insert_one({"_id": 1})
    await _some_history(store)
    store.writer._has_met = True
    await write(store, patient("z"))
    await store.history(None, None, since=0, at=(0, 1), count=1, page=None)
    await store.prune()
    assert [] == [finding async for finding in store.verify()]
    assert store._client.options.retry_writes
    assert 5.0 == store._client.options.server_selection_timeout
    pool = store._client.options.pool_options
    assert (15.0, 5.0, 15.0) == (pool.wait_queue_timeout, pool.connect_timeout, pool.socket_timeout)
    await store.close()
    written = {"insert", "update", "delete"}
    for name, command in commands.whole:
        assert not {"startTransaction", "txnNumber"} & command.keys()
        if name in written:
            assert {"w": "majority", "j": True, "wtimeout": 10_000} == command["writeConcern"]
        if name in {"find", "count", "aggregate"}:
            assert {"level": "majority"} == {k: v for k, v in command["readConcern"].items() if k == "level"}
            assert 0 < command["maxTimeMS"] <= 15_000
            assert "primary" == command.get("$readPreference", {"mode": "primary"})["mode"].removesuffix("Preferred")
    asking = {"find", "getMore", "count", "aggregate", "ping", "listIndexes", "createIndexes", "endSessions"}
    assert {"insert", "update"} <= {name for name, _ in commands.whole} <= written | asking


async def test_index_that_is_missing_is_made_and_another_in_its_place_is_told(database: str) -> None:
    store = MongodbStore(database, PROJECTIONS)
    await store.open()
    commits, versions = store.collections.commits, store.collections.versions
    made = await versions.index_information()
    await versions.drop_index("facts.k_1_until_1")
    await store.close()
    await store.open()
    assert made == await store.collections.versions.index_information()
    await store.close()
    with pymongo.MongoClient[dict[str, Any]](database) as client:
        commits = client.get_default_database()["commits"]
        commits.drop_index("id_1")
        commits.create_index("id")
        with pytest.raises(Problem, match="as this release makes it"):
            await store.open()
        commits.drop_index("id_1")
        commits.create_index([("id", -1)], name="id_1", unique=True)
        with pytest.raises(Problem, match="drop it"):
            await store.open()
        commits.drop_index("id_1")
    await store.open()
    assert (await store.collections.commits.index_information())["id_1"]["unique"]
    await store.close()


@pytest.mark.parametrize("name", ["commits", "marks"])
async def test_unique_index_that_is_not_the_stores_is_told(database: str, name: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](database) as client:
        client.get_default_database()[name].create_index("actor", unique=True)
    with pytest.raises(Problem, match="is not the store's"):
        await MongodbStore(database, PROJECTIONS).open()


@pytest.mark.parametrize("name", ["commits", "versions", "marks", "jobs"])
async def test_database_in_which_somebody_else_keeps_something_is_no_store(database: str, name: str) -> None:
    with pymongo.MongoClient[dict[str, Any]](database) as client:
        client.get_default_database()[name].insert_one({"_id": "abc", "shop": 1})
    with pytest.raises(Problem, match=f"no store wrote, in {name}"):
        await MongodbStore(database, PROJECTIONS).open()
    with pymongo.MongoClient[dict[str, Any]](database) as client:
        assert [name] == client.get_default_database().list_collection_names()


async def test_verify_tells_of_a_document_that_is_no_version(store: MongodbStore) -> None:
    await write(store, patient("a"))
    await store.collections.versions.insert_one({"_id": "7", "hello": 1})
    assert ["versions"] == [finding.place async for finding in store.verify()]
    await store.collections.versions.delete_one({"_id": "7"})


@pytest.mark.parametrize(
    "uri", ["mongodb://127.0.0.1:99999/x", "mongodb://127.0.0.1/x?tls=true&tlsCAFile=/nope", "mongodb://127.0.0.1/x y"]
)
async def test_uri_that_leads_nowhere_is_told(uri: str) -> None:
    with pytest.raises(Problem, match="no URI of a MongoDB"):
        await MongodbStore(uri, PROJECTIONS).open()


async def test_commit_larger_than_a_document_is_refused_before_it_is_written(store: MongodbStore) -> None:
    await write(store, patient("a"))
    with pytest.raises(Problem) as refused:
        await write(store, *(patient(f"b{n}", title="x" * 1_000_000) for n in range(17)))
    assert ("too_costly", 413) == (refused.value.kind, refused.value.status)
    assert 1 == await store.head()
    assert 1 == await store.collections.commits.count_documents({})
    await write(store, *(patient(f"b{n}", title="x" * 10_000) for n in range(17)))


@pytest.mark.parametrize(
    "large",
    [
        patient("b", *(f"{'x' * 30}{n}" for n in range(120_000))),  # its index is larger than it is
        put(
            {"resourceType": "Patient", "id": "b", "narrative": " ".join(f"w{n}" for n in range(600_000))}
        ),  # so are its words
    ],
    ids=["index", "words"],
)
async def test_resource_whose_index_is_larger_than_a_document_is_refused(store: MongodbStore, large: Change) -> None:
    await write(store, patient("a", "x"))
    with pytest.raises(Problem) as refused:
        await write(store, large)
    assert "too_costly" == refused.value.kind
    assert (1, None) == (await store.head(), store.refusing)
    assert 1 == await store.collections.commits.count_documents({})
    assert ["a"] == await ids(store, "Patient", Equal("Patient.identifier", (b"x",)))


# -- what goes wrong ---------------------------------------------------------------------------------------------------


async def test_commit_that_a_process_left_behind_is_carried_on(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = MongodbStore(database, PROJECTIONS)
    await store.open()
    await write(store, patient("a", "x"))

    async def ended(self: Appender, drafts: object) -> None:
        raise KeyError("the process is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Appender, "project", ended)
        with pytest.raises(KeyError):
            await write(store, patient("a", "y"), patient("b", "y"))
    assert 1 == await store.head()
    assert ["a"] == await ids(store, "Patient", Equal("Patient.identifier", (b"x",)))
    other = MongodbStore(database, PROJECTIONS)
    await other.open()
    assert 2 == await other.head()
    assert ["a", "b"] == await ids(store, "Patient", Equal("Patient.identifier", (b"y",)))
    assert [3, 4] == [(await write(each, patient("c", str(each)))).position for each in (store, other)]
    assert [] == [finding async for finding in other.verify()]
    await other.close()
    await store.close()


async def test_projection_that_the_database_refuses_is_told_and_carried_on_once_it_does_not(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No check before the ledger foresaw it: writes wait for the operator, reads go on."""
    store = MongodbStore(database, PROJECTIONS)
    await store.open()
    await write(store, patient("a", "x"))

    def refused(*arguments: Any) -> dict[str, Any]:
        return {**document_of(*arguments), "a.b": 1, "$c": 1}

    with monkeypatch.context() as patched:
        patched.setattr(append, "document_of", refused)
        for _ in range(2):
            with pytest.raises(Problem, match="commit 2") as told:
                await asyncio.wait_for(write(store, patient("b", "x")), 60)
            assert ("unavailable", told.value.issues[0].diagnostics) == (told.value.kind, store.refusing)
        assert ["a"] == await ids(store, "Patient", Equal("Patient.identifier", (b"x",)))
    assert 3 == (await write(store, patient("c", "x"))).position
    assert store.refusing is None
    assert ["a", "b", "c"] == await ids(store, "Patient", Equal("Patient.identifier", (b"x",)))
    assert [] == [finding async for finding in store.verify()]
    await store.close()


async def test_open_waits_for_a_database_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "SELECT_WITHIN", 200)
    monkeypatch.setattr(opening, "START_WITHIN", 0.5)
    host, port = "127.0.0.1", free_port()
    store = MongodbStore(f"mongodb://user:secret@{host}:{port}/none", PROJECTIONS)
    with pytest.raises(Problem, match=f"answered at {host}:{port}") as refused:
        await store.open()
    assert "secret" not in str(refused.value)
    monkeypatch.setattr(opening, "START_WITHIN", 30.0)
    store = MongodbStore(f"mongodb://{host}:{port}/none", PROJECTIONS)
    begun = asyncio.create_task(store.open())
    await asyncio.sleep(1)
    assert not begun.done()
    with running(str(tmp_path), f"{host}:{port}"):
        await begun
        assert 1 == (await write(store, patient("a"))).position
        await store.close()


async def test_writes_that_wait_while_the_database_is_away_are_told_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing was sent, so nothing is in doubt; and each need not look for the database anew."""
    monkeypatch.setattr(schema, "SELECT_WITHIN", 500)
    monkeypatch.setattr(writer, "SELECT_WITHIN", 500)
    host, port = "127.0.0.1", free_port()
    store = MongodbStore(f"mongodb://{host}:{port}/away", PROJECTIONS, follows=False)
    groups, once, others_wait = list[int](), Writer._group, asyncio.Event()

    async def counted(self: Writer, group: list[Any]) -> Any:
        groups.append(len(group))
        await others_wait.wait()
        return await once(self, group)

    with running(str(tmp_path), f"{host}:{port}"):
        await store.open()
        await write(store, patient("a"))
    with pytest.raises(Problem):  # it is known that there is no server
        await store.head()
    monkeypatch.setattr(Writer, "_group", counted)
    writing = [asyncio.create_task(write(store, patient("b")))]
    while not groups:  # noqa: ASYNC110 - the writer takes them
        await asyncio.sleep(0)
    writing += [asyncio.create_task(write(store, patient(f"c{n}"))) for n in range(5)]
    while store.writer.waiting < len(writing):  # noqa: ASYNC110
        await asyncio.sleep(0)
    others_wait.set()
    told = await asyncio.gather(*writing, return_exceptions=True)
    assert [1] == groups
    assert {"unavailable: The database cannot be asked. Send this again later"} == {str(each) for each in told}
    monkeypatch.setattr(Writer, "_group", once)
    with running(str(tmp_path), f"{host}:{port}"):
        while await is_away(store):
            pass
        assert 2 == (await write(store, patient("d"))).position
        await store.close()


async def test_write_that_a_slow_database_keeps_from_being_decided_is_told_that_it_is_none(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MongodbStore(database, PROJECTIONS, follows=False, mirrored=0)
    await store.open()

    async def slow(self: Reads, *_: object, **__: object) -> Any:
        with answering():
            raise ExecutionTimeout("", 50)

    with monkeypatch.context() as patched:
        patched.setattr(Reads, "all", slow)
        with pytest.raises(Problem, match="nothing was written") as told:
            await store.commit(create_once("x", "a"), context())
    assert ("timeout", {"Retry-After": RETRY_AFTER}) == (told.value.kind, told.value.headers)
    assert 0 == await store.head()
    await store.close()


async def test_commit_that_landed_is_answered_though_the_turn_cannot_be_given_on(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = MongodbStore(database, PROJECTIONS, follows=False)
    await store.open()
    store.writer._has_met = True

    async def called(self: Turnstile) -> bool:
        return True

    async def lost(self: Turnstile, ticket: int) -> None:
        raise away()

    with monkeypatch.context() as patched:
        patched.setattr(Turnstile, "is_called", called)
        patched.setattr(Turnstile, "_end", lost)
        assert 1 == (await write(store, patient("a"))).position
    assert 2 == (await write(store, patient("b"))).position
    await store.close()


class _FullAfterOne:
    """Commits on a disk that has room for one more."""

    def __init__(self, commits: Any) -> None:
        self.commits = commits
        self.room = 1

    def __getattr__(self, name: str) -> Any:
        return getattr(self.commits, name)

    async def insert_many(self, documents: list[Any], *, ordered: bool) -> None:
        taken, self.room = documents[: self.room], 0
        if taken:
            await self.commits.insert_many(taken, ordered=ordered)
        raise BulkWriteError({"writeErrors": [{"index": len(taken), "code": FULL, "errmsg": ""}]})


async def test_disk_that_is_full_in_the_midst_of_a_group_refuses_only_what_did_not_land(database: str) -> None:
    store = MongodbStore(database, PROJECTIONS, follows=False)
    await store.open()
    store.writer.appender.commits = _FullAfterOne(store.collections.commits)  # type: ignore[assignment]
    first, second = await asyncio.gather(*(write(store, patient(id)) for id in "ab"), return_exceptions=True)
    assert isinstance(first, Commit)
    assert isinstance(second, Problem)
    assert (1, "no_store") == (first.position, second.kind)
    store.writer.appender.commits = store.collections.commits
    assert 2 == (await write(store, patient("b"))).position
    await store.close()


async def test_turn_of_a_process_that_takes_its_time_does_not_lapse(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that goes on, less than a turn takes to lapse, whenever who waits has seen a beat."""
    now, seen, decides = 0.0, list[object](), asyncio.Event()
    monkeypatch.setattr(turnstile, "LAPSE", 0.2)
    monkeypatch.setattr(turnstile, "time", SimpleNamespace(monotonic=lambda: now))
    first, second = (MongodbStore(database, PROJECTIONS, follows=False) for _ in range(2))
    for each in (first, second):
        await each.open()
        each.writer._has_met = True  # as if it had lost a race
    once = Turnstile._beats

    async def looked(self: Turnstile, tickets: range) -> Any:
        seen.append(found := await once(self, tickets))
        return found

    async def slowly(view: View) -> Plan:
        nonlocal now
        decides.set()
        for _ in range(5):
            before = [*seen]
            async with asyncio.timeout(60):
                while not {*seen} - {*before}:  # noqa: ASYNC110 - another task looks
                    await asyncio.sleep(0.01)
            now += 0.15
        return Plan([patient("slow")])

    monkeypatch.setattr(Turnstile, "_beats", looked)

    slow = asyncio.create_task(first.commit(slowly, context()))
    await decides.wait()
    assert 2 == (await write(second, patient("quick"))).position
    assert 1 == (await slow).position
    assert 0 == first.writer.counted["conflicts"]
    for each in (first, second):
        await each.close()


async def test_turn_of_a_process_that_is_gone_lapses(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(turnstile, "LAPSE", 0.2)
    store = MongodbStore(database, PROJECTIONS)
    await store.open()
    await store.collections.turns.insert_many([{"_id": 1}, {"_id": 2}])
    commits = [await write(store, patient(f"p{n}")) for n in range(3)]
    assert [1, 2, 3] == [commit.position for commit in commits]
    store.writer._has_met = True  # as if it had lost a race
    assert 4 == (await asyncio.wait_for(write(store, patient("p4")), 60)).position
    over = [found["_id"] async for found in store.collections.turns.find({"_id": {"$lt": 0}})]
    assert {-1, -2} <= set(over)
    await store.close()


# -- alone -------------------------------------------------------------------------------------------------------------


async def test_end_of_a_version_waits_while_what_is_late_is_written_to_it(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the database changes no document whole, of two changes at once one may undo the other."""
    first, second = await _two(database)
    await write(first, definition("t"), patient("a", "x", title="t"))
    writes_late, may_write, projects = asyncio.Event(), asyncio.Event(), asyncio.Event()
    once, passed = Late._write, Turnstile.passed

    async def held(self: Late, *arguments: Any) -> None:
        writes_late.set()
        await may_write.wait()
        await once(self, *arguments)

    async def passing(self: Turnstile) -> bool:
        projects.set()
        return await passed(self)

    monkeypatch.setattr(Late, "_write", held)
    following = asyncio.create_task(first.late.follow())
    await writes_late.wait()
    monkeypatch.setattr(Turnstile, "passed", passing)
    updating = asyncio.create_task(write(second, patient("a", "y", title="u")))
    await projects.wait()
    await asyncio.sleep(0.2)
    assert [OPEN, OPEN] == [
        each["until"] async for each in first.collections.versions.find({"_id": {"$lt": place(2 << 20)}})
    ]
    assert not updating.done()
    may_write.set()
    await asyncio.wait_for(asyncio.gather(following, updating), 60)
    title = {value: await ids(second, "Patient", Equal("Patient.title@t", (value,))) for value in (b"t", b"u")}
    assert {b"t": [], b"u": ["a"]} == title
    await _closed(first, second)


async def test_process_that_is_gone_while_it_was_alone_is_passed_over(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turnstile, "LAPSE", 0.2)
    first, second = await _two(database)
    await write(first, patient("a", "x"))
    await first.collections.turns.insert_one({"_id": 1, "alone": True})
    assert 2 == (await asyncio.wait_for(write(second, patient("a", "y")), 60)).position
    assert await first.collections.turns.find_one({"_id": -1})
    await _closed(first, second)


async def test_what_another_left_behind_is_projected_before_anything_is_done_alone(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await _two(database)
    await write(first, definition("t"), patient("a", "x", title="t"))

    async def ended(self: Appender, drafts: object) -> None:
        raise KeyError("the process is gone")

    with monkeypatch.context() as patched:
        patched.setattr(Appender, "project", ended)
        with pytest.raises(KeyError):
            await write(first, patient("a", "y", title="u"))
    assert ["a"] == await ids(second, "Patient", Equal("Patient.title@t", (b"t",)))
    assert 2 == await second.head()
    await _closed(first, second)


async def test_decide_asks_an_index_that_is_late_at_the_head(database: str) -> None:
    """It is brought on in the turn in which it is decided: of many processes' decides one finds nothing."""
    stores = await _two(database)
    await write(stores[0], definition("t"))

    def once(n: int) -> Decide:
        async def decide(view: View) -> Plan:
            found = await view.search("Patient", Equal("Patient.title@t", (b"once",)), 2)
            return Plan([patient(f"new{n}", title=f"other{n}" if found else "once")])

        return decide

    commits = (each.commit(once(n * 2 + k), context()) for n in range(4) for k, each in enumerate(stores))
    assert [*range(2, 10)] == sorted(each.position for each in await asyncio.wait_for(asyncio.gather(*commits), 60))
    assert 1 == len(await ids(stores[1], "Patient", Equal("Patient.title@t", (b"once",))))
    await _closed(*stores)


async def _two(database: str) -> tuple[MongodbStore, MongodbStore]:
    """Two processes' stores."""
    first, second = (MongodbStore(database, PROJECTIONS, follows=False) for _ in range(2))
    await first.open()
    await second.open()
    return first, second


async def _closed(*stores: MongodbStore) -> None:
    assert [] == [finding async for finding in stores[0].verify()]
    for each in stores:
        await each.close()


# -- keeping -----------------------------------------------------------------------------------------------------------


async def test_rebuild_makes_the_same_projection(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leads, "BEAT", 0.1)
    store = MongodbStore(database, PROJECTIONS, follows=False)
    await store.open()
    await _some_history(store)
    with pytest.raises(Problem, match="open elsewhere"):
        await MongodbStore(database, PROJECTIONS).rebuild(lambda done, of: None)
    before = await store.collections.versions.find({}).sort("_id", 1).to_list()
    head = await store.head()
    await store.close()
    steps: list[tuple[int, int]] = []
    await store.rebuild(lambda done, of: steps.append((done, of)))
    assert (head, head) == steps[-1]
    again = MongodbStore(database, PROJECTIONS, follows=False)
    await again.open()
    await again.search(Search("Patient", Words("content", ("t",))))
    await again.search(Search("Patient", Equal("Patient.title@t", (b"t",))))
    assert before == await again.collections.versions.find({}).sort("_id", 1).to_list()
    assert [] == [finding async for finding in again.verify()]
    await again.close()


async def test_rebuild_makes_a_store_of_what_a_dump_has_of_the_ledger(database: str) -> None:
    """Collections that were dumped one after another, while others wrote: the marks are ahead of the commits."""
    store = MongodbStore(database, PROJECTIONS, follows=False)
    await store.open()
    await _some_history(store)
    commits = await store.collections.commits.find().sort("_id").to_list()
    await write(store, patient("a", "z"), patient("late"))
    marks = await store.collections.marks.find().to_list()
    await store.close()
    parts = urlsplit(database)
    restored = MongodbStore(parts._replace(path=f"{parts.path}-restored").geturl(), PROJECTIONS, follows=False)
    with pymongo.MongoClient[dict[str, Any]](restored.uri) as client:
        client.get_default_database()["commits"].insert_many(commits)
        client.get_default_database()["marks"].insert_many(marks)
    await restored.rebuild(lambda done, of: None)
    assert [] == [finding async for finding in restored.verify()]
    await restored.open()
    assert (len(commits), None) == (await restored.head(), await restored.read("Patient", "late"))
    indexes = await restored.collections.versions.index_information()
    assert len(schema.INDEXES["versions"]) + 1 == len(indexes)
    assert len(commits) + 1 == (await write(restored, patient("after"))).position
    assert [] == [finding async for finding in restored.verify()]
    await restored.close()


async def test_open_refuses_other_definitions_until_rebuilt(database: str) -> None:
    store = MongodbStore(database, PROJECTIONS)
    await store.open()
    await _some_history(store)
    await store.close()
    rows = Projections(lambda resource: [("Patient.other", b"1")], PROJECTIONS.facts, "other")
    other = MongodbStore(database, rows)
    with pytest.raises(Problem, match="careplan rebuild"):
        await other.open()
    await other.rebuild(lambda done, of: None)
    await other.open()
    assert "a" in await ids(other, "Patient", Equal("Patient.other", (b"1",)))
    await other.close()


async def test_store_of_another_release_s_documents_is_refused(store: MongodbStore) -> None:
    await store.collections.marks.update_one({"_id": "settings"}, {"$set": {"schema": schema.SCHEMA - 1}})
    with pytest.raises(Problem, match="careplan backup"):
        await MongodbStore(store.uri, PROJECTIONS).open()
    await store.collections.marks.update_one({"_id": "settings"}, {"$set": {"schema": schema.SCHEMA}})


async def test_store_of_another_partition_is_refused(database: str) -> None:
    there = MongodbStore(database, PROJECTIONS, partition="there")
    await there.open()
    await there.close()
    parts = urlsplit(database)
    with pytest.raises(Problem, match="partition"):
        await MongodbStore(parts._replace(path=f"{parts.path}-there").geturl(), PROJECTIONS).open()


@pytest.mark.parametrize(
    ("collection", "change", "damaged"),
    [
        ("commits", {"actor": "Patient/else"}, "commit 2"),
        ("commits", {"changes.0.body": b"{}"}, "commit 2"),
        ("versions", {"body": b"{}"}, "Patient/a"),
        ("versions", {"keys": []}, "Patient/a"),
        ("versions", {"low": {"title": "00"}}, "Patient/a"),
        ("versions", {"facts": []}, "Patient/a"),
        ("versions", {"until": 5}, "Patient/a"),
        ("versions", {"words": ["n else"]}, "Patient/a"),
        ("versions", {"late": []}, "Patient/a"),
        ("versions", {"born": 1}, "Patient/a"),
    ],
)
async def test_verify_tells_what_is_damaged(
    database: str, collection: str, change: dict[str, Any], damaged: str
) -> None:
    store = MongodbStore(database, PROJECTIONS, follows=False)
    await store.open()
    await write(store, definition("t"))
    commit = await write(store, patient("a", "x", title="t"))
    await store.search(Search("Patient", Words("content", ("t",))))
    await store.search(Search("Patient", Equal("Patient.title@t", (b"t",))))
    assert [] == [finding async for finding in store.verify()]
    id = commit.position if collection == "commits" else commit.position << 20
    await getattr(store.collections, collection).update_one({"_id": place(id)}, {"$set": change})
    assert damaged in [finding.place async for finding in store.verify()]
    await store.close()


async def test_index_of_what_ended_is_pruned_and_older_pages_are_gone(database: str) -> None:
    store = MongodbStore(database, PROJECTIONS, page_horizon=0.0, follows=False)
    await store.open()
    await write(store, patient("a", "x"), patient("b", "x"))
    first = await store.search(Search("Patient", ALL, count=1))
    for n in range(3):
        await write(store, patient("a", f"{n}"))
    await store.prune()
    with pytest.raises(Problem) as gone:
        await store.search(Search("Patient", ALL, count=1), first.next)
    assert "gone" == gone.value.kind
    assert {"x": 1} == {key: len(found) for key, found in (await (await store.view(3)).facts("of", ["x"])).items()}
    assert ["a", "b"] == await ids(store, "Patient", ALL)
    assert [] == [finding async for finding in store.verify()]
    await store.close()


async def test_one_process_leads(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (MongodbStore(database, PROJECTIONS, follows=False) for _ in range(2))
    await first.open()
    await second.open()
    assert [True, True] == [await first.leads("oversight") for _ in range(2)]
    assert [False, True] == [await second.leads(what) for what in ("oversight", "another")]
    await first.close()
    assert await second.leads("oversight")
    assert second.leading._beating is not None
    second.leading._beating.cancel()  # as if it had been killed
    third = MongodbStore(database, PROJECTIONS, follows=False)
    await third.open()
    assert not await third.leads("oversight")
    with monkeypatch.context() as later:
        later.setattr(leads, "LAPSE", 0.0)
        assert await third.leads("oversight")
    assert not await second.leads("oversight")
    await third.close()
    await second.close()


async def test_leads_taken_while_it_beats_are_kept(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leads, "BEAT", 0.0)
    store = MongodbStore(database, PROJECTIONS, follows=False)
    await store.open()
    assert all([await store.leads(f"task {each}") for each in range(20)])
    assert store.leading._beating is not None
    assert not store.leading._beating.done()
    await store.close()


# -- what the guide tells ----------------------------------------------------------------------------------------------


def test_guide_tells_the_times_that_are_set() -> None:
    guide = (Path(__file__).parents[2] / "docs" / "mongodb.md").read_text()
    told = [
        (schema.SELECT_WITHIN / 1000, "to find a primary"),
        (schema.ANSWER_WITHIN / 1000, "for an answer"),
        (schema.WRITE_WITHIN / 1000, "for a majority"),
        (writer.DOUBT, "until what became of a commit"),
        (opening.START_WITHIN, "that a server waits for the database"),
        (turnstile.LAPSE, "until a writer that was killed"),
    ]
    assert [] == [words for seconds, words in told if f"| {seconds:g} s | {words}" not in guide]
    assert f"{leads.LAPSE:g} s until another process does what it alone did" in guide
