"""The contract that every store engine keeps. An engine's test module subclasses StoreContract and gives `make`."""

from __future__ import annotations

import asyncio
import multiprocessing
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest

from server.auth.access import SYSTEM
from server.fhir import body
from server.ledger import (
    Change,
    Commit,
    Context,
    Cursor,
    Decide,
    FactRow,
    IndexRow,
    LateIndex,
    Plan,
    Resource,
    Version,
    View,
)
from server.outcome import Problem
from server.repository import Repository
from server.search import near
from server.search.filter import (
    ALL,
    NAMELESS,
    And,
    Chain,
    Contains,
    Equal,
    Filter,
    Has,
    Hierarchy,
    Ids,
    Near,
    Not,
    Or,
    Present,
    Range,
    Updated,
    Words,
)
from server.store.engine import Follow, Projections, Search, Sort, Store

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def rows(resource: Resource) -> list[IndexRow]:
    """A small index: identifier (code), title (text), subject (reference), number (ordered), place (near)."""
    type = resource["resourceType"]
    found: list[IndexRow] = [(f"{type}.identifier", each["value"].encode()) for each in resource.get("identifier", ())]
    if "title" in resource:
        found.append((f"{type}.title", resource["title"].encode()))
    if "subject" in resource:
        found.append((f"{type}.subject", resource["subject"].get("reference", NAMELESS)))
    if "place" in resource:
        found.append((f"{type}.place", near.key(*resource["place"])))
    if "number" in resource:
        found.append((f"{type}.number", resource["number"].to_bytes(8, "big") + b"\0" * 8))
    return found


def facts(resource: Resource) -> list[FactRow]:
    return [("of", each["value"], {"title": resource.get("title")}) for each in resource.get("identifier", ())]


def texts(resource: Resource) -> tuple[str, str]:
    return resource.get("narrative", ""), resource.get("title", "")


def indexes(resources: Iterable[Resource]) -> list[LateIndex]:
    """An index of titles, as often as an active SearchParameter asks for one."""
    return [
        LateIndex(f"Patient.title@{one['id']}", "Patient", partial(title_rows, f"Patient.title@{one['id']}"))
        for one in resources
        if one["status"] == "active"
    ]


def title_rows(name: str, resource: Resource) -> list[IndexRow]:
    title = resource.get("title", "").encode()
    return [(name, title), (f"{name}:end", title[::-1]), *title_subject(name, resource)] if title else []


def title_subject(name: str, resource: Resource) -> list[IndexRow]:
    return [(f"{name}:subject", resource["subject"]["reference"])] if "subject" in resource else []


def definition(id: str, status: str = "active") -> Change:
    return put({"resourceType": "SearchParameter", "id": id, "status": status})


PROJECTIONS = Projections(rows, facts, "test", texts, indexes)


def patient(id: str, *identifiers: str, **members: Any) -> Change:
    return put({"resourceType": "Patient", "id": id, "identifier": [{"value": v} for v in identifiers], **members})


def plan(id: str, subject: str, **members: Any) -> Change:
    return put({"resourceType": "CarePlan", "id": id, "subject": {"reference": subject}, **members})


def put(resource: Resource, method: str = "PUT") -> Change:
    made = body.Body.of(resource)
    return Change(method, made.type, resource["id"], made.resource, made.text(resource["id"]))


def delete(type: str, id: str) -> Change:
    return Change("DELETE", type, id)


def writes(*changes: Change, output: Any = None) -> Decide:
    async def decide(view: View) -> Plan:
        return Plan(list(changes), output)

    return decide


def context(id: str | None = None) -> Context:
    return Context(id or str(uuid.uuid4()), NOW)


async def write(store: Store, *changes: Change) -> Commit:
    return await store.commit(writes(*changes), context())


async def ids(store: Store, type: str, filter: Filter, **options: Any) -> list[str]:
    page = await store.search(Search(type, filter, **options))
    return [version.id for version in page.matches]


def create_once(identifier: str, id: str) -> Decide:
    """A conditional create."""

    async def decide(view: View) -> Plan:
        if await view.search("Patient", Equal("Patient.identifier", (identifier.encode(),)), 2):
            return Plan(output="found")
        return Plan([patient(id, identifier)], "created")

    return decide


def add_one(id: str) -> Decide:
    """A read and a write that depends on it: an update would be lost if both were not decided at the head."""

    async def decide(view: View) -> Plan:
        version = await view.read("Patient", id)
        assert version is not None
        assert version.body is not None
        resource = body.loads(version.body)
        return Plan([patient(id, number=resource.get("number", 0) + 1)])

    return decide


async def _race(make: Callable[[], Store], process: int, rounds: int) -> list[str]:
    store = make()
    await store.open()
    made = []
    for number in range(rounds):
        commits = await asyncio.gather(
            *(store.commit(create_once(f"mrn-{number}", f"p{process}-{number}-{each}"), context()) for each in range(4))
        )
        made += [commit.output for commit in commits]
        await asyncio.gather(*(store.commit(add_one("counter"), context()) for _ in range(4)))
    await store.close()
    return made


def race(make: Callable[[], Store], process: int, rounds: int) -> list[str]:
    """One process of a race: conditional creates of the same identifiers, and increments of one counter."""
    return asyncio.run(_race(make, process, rounds))


async def _written(make: Callable[[], Store], id: str, after: float) -> None:
    store = make()
    await store.open()
    await asyncio.sleep(after)
    await write(store, patient(id))
    await store.close()


def written(make: Callable[[], Store], id: str, after: float) -> None:
    """Commit in a process of its own, after so many seconds."""
    asyncio.run(_written(make, id, after))


_X = Equal("Patient.identifier", (b"x",))


def link(inner: Filter) -> Filter:
    return Chain("Patient.subject", "Patient", inner)


def linked(inner: Filter) -> Filter:
    return Has("Patient", "Patient.subject", inner)


def steps(step: Callable[[Filter], Filter], ways: int, last: int) -> Filter:
    """Eight steps from one resource to the next, with alternatives beside each and at the end."""
    found: Filter = ways_of("end", last)
    for number in range(8):
        found = step(Or((found, ways_of(f"r{number}", ways))) if ways else found)
    return found


def ways_of(name: str, count: int) -> Filter:
    return Or(tuple(Range(f"Patient.{name}{number}", b"a", b"b", b"c", b"d") for number in range(count)))


# Of the size that search.query lets through
LARGEST: list[Filter] = [
    ways_of("r", 398),
    And(tuple(Not(Equal(f"Patient.e{number}", (b"a",))) for number in range(199))),
    Equal("Patient.never", tuple(b"%d" % number for number in range(8192))),
    Ids(tuple(f"never{number}" for number in range(8192))),
    *(steps(step, ways, last) for step in (link, linked) for ways, last in ((0, 390), (45, 10))),
]


class StoreContract:
    """Subclasses give the fixture `make`: a picklable callable that opens the same (at first empty) store each time.

    Where the database of the tests looks through all that it has at each question, they write less.
    """

    WRITES = 400  # that others look on at
    ROUNDS = 10  # of a race of four processes
    NUL = True  # whether a text may hold one

    @pytest.fixture
    async def store(self, make: Callable[[], Store]) -> AsyncIterator[Store]:
        store = make()
        await store.open()
        yield store
        findings = [finding async for finding in store.verify()]
        await store.close()
        assert [] == findings

    # -- commits ---------------------------------------------------------------------------------------------------

    async def test_commit_positions_are_versions(self, store: Store) -> None:
        first = await write(store, patient("a"), patient("b"))
        second = await write(store, patient("a", "x"))
        assert (1, 2) == (first.position, second.position)
        assert [1, 1] == [version.position for version in first.versions]
        assert [0, 1] == [version.ordinal for version in first.versions]
        a = await store.read("Patient", "a")
        assert a is not None
        assert second.versions == (a,)
        assert 'W/"2"' == a.etag
        assert {"versionId": "2"}.items() <= body.loads(a.body or b"")["meta"].items()
        assert first.versions[0] == await store.vread("Patient", "a", 1)
        assert await store.vread("Patient", "b", 2) is None
        assert await store.read("Patient", "never") is None

    async def test_commit_refused_leaves_nothing(self, store: Store) -> None:
        async def refuse(view: View) -> Plan:
            raise Problem.conflict("no")

        with pytest.raises(Problem):
            await store.commit(refuse, context())
        with pytest.raises(Problem, match="twice"):
            await write(store, patient("a"), patient("a"))
        assert 0 == await store.head()
        assert await store.read("Patient", "a") is None

    async def test_commit_failing_spares_its_group(self, store: Store) -> None:
        async def fail(view: View) -> Plan:
            raise ZeroDivisionError

        results = await asyncio.gather(
            *(store.commit(fail if n % 3 == 1 else writes(patient(f"p{n}")), context()) for n in range(9)),
            return_exceptions=True,
        )
        assert [n % 3 == 1 for n in range(9)] == [isinstance(result, ZeroDivisionError) for result in results]
        assert 6 == await store.head()

    async def test_commit_to_a_closed_store_is_refused(self, make: Callable[[], Store]) -> None:
        store = make()
        await store.open()
        writing = [asyncio.create_task(write(store, patient(f"p{n}"))) for n in range(5)]
        await asyncio.sleep(0)  # they wait for the writer
        await store.close()
        assert {"p0", "p1", "p2", "p3", "p4"} == {(await commit).versions[0].id for commit in writing}
        with pytest.raises(Problem) as refused:
            await write(store, patient("late"))
        assert "unavailable" == refused.value.kind

    async def test_commit_equal_to_stored_appends_nothing(self, store: Store) -> None:
        first = await write(store, patient("a", "x"))
        again = await write(store, patient("a", "x"))
        assert (True, False) == (first.appended, again.appended)
        assert first.versions == again.versions
        assert 1 == await store.head()
        half = await write(store, patient("a", "x"), patient("b"))
        assert [1, 2] == [version.position for version in half.versions]

    async def test_delete_then_restore(self, store: Store) -> None:
        await write(store, patient("a", "x"))
        await write(store, delete("Patient", "a"))
        gone = await store.read("Patient", "a")
        assert gone is not None
        assert gone.body is None
        assert [] == await ids(store, "Patient", ALL)
        assert not (await write(store, delete("Patient", "a"))).appended
        await write(store, patient("a", "x"))
        assert ["a"] == await ids(store, "Patient", Equal("Patient.identifier", (b"x",)))
        assert ["PUT", "DELETE", "PUT"] == [v.method for v in (await _history(store, "Patient", "a"))]

    async def test_decide_sees_earlier_commits_of_its_group(self, store: Store) -> None:
        commits = await asyncio.gather(*(store.commit(create_once("one", f"p{n}"), context()) for n in range(20)))
        assert {"created": 1, "found": 19} == {
            output: [commit.output for commit in commits].count(output) for output in ("created", "found")
        }

    async def test_last_updated_never_falls_when_the_clock_does(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = await write(store, patient("a"))
        clock = time.time_ns
        monkeypatch.setattr(time, "time_ns", lambda: clock() - 3_600_000_000_000)
        second = await write(store, patient("b"))
        assert second.at >= first.at

    async def test_rules_refuse_and_add(self, make: Callable[[], Store]) -> None:
        async def rules(context: Context, before: View, changes: Sequence[Change], after: View) -> Sequence[Change]:
            assert await before.read("Patient", "a") is None
            if any(change.id == "bad" for change in changes):
                raise Problem.business_rule("bad is refused")
            found = (await after.facts("of", ["x"]))["x"]
            if any(change.type == "Patient" for change in changes) and len(changes) == 1:
                return [plan("derived", f"Patient/{found[0].source.split('/')[1]}")]
            return ()

        store = make()
        await store.open(rules)
        with pytest.raises(Problem):
            await write(store, patient("bad"))
        commit = await write(store, patient("a", "x"))
        assert ["Patient/a", "CarePlan/derived"] == [version.reference for version in commit.versions]
        await store.close()

    async def test_idempotency_key_answers_the_first_again(self, store: Store) -> None:
        key = str(uuid.uuid4())
        first = await store.commit(writes(patient("a", "x"), output={"n": 1}), context(key), fingerprint=b"f")
        await write(store, patient("a", "y"))
        again = await store.commit(writes(patient("a", "z"), output={"n": 2}), context(key), fingerprint=b"f")
        assert first == again
        assert 2 == await store.head()
        with pytest.raises(Problem) as refused:
            await store.commit(writes(patient("b")), context(key), fingerprint=b"g")
        assert "unprocessable" == refused.value.kind

    async def test_idempotency_key_of_what_changes_nothing_has_a_commit(self, store: Store) -> None:
        first = await write(store, patient("a", "x"))
        key = str(uuid.uuid4())
        commits = [await store.commit(writes(patient("a", "x")), context(key), fingerprint=b"f") for _ in range(2)]
        assert [(2, first.versions)] * 2 == [(commit.position, commit.versions) for commit in commits]
        assert 3 == (await write(store, patient("a", "y"))).position

    async def test_idempotency_key_sent_at_once_writes_once(self, store: Store) -> None:
        key = str(uuid.uuid4())
        commits = await asyncio.gather(
            *(store.commit(writes(patient(f"p{n}")), context(key), fingerprint=b"f") for n in range(10))
        )
        assert 1 == await store.head()
        assert 1 == len({commit.versions for commit in commits})

    async def test_races_between_processes_have_one_winner(self, store: Store, make: Callable[[], Store]) -> None:
        await write(store, patient("counter"))
        rounds, processes = self.ROUNDS, 4
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=spawn) as pool:
            made = [
                output for f in [pool.submit(race, make, p, rounds) for p in range(processes)] for output in f.result()
            ]
        assert rounds == made.count("created")
        counter = await store.read("Patient", "counter")
        assert counter is not None
        assert processes * rounds * 4 == body.loads(counter.body or b"")["number"]
        assert 1 + rounds + processes * rounds * 4 == await store.head()

    async def test_whatever_a_resource_holds_is_kept_and_found(self, store: Store) -> None:
        """What JSON allows and a database's own form may not: names with dots, depth, NUL, what is long or empty."""
        deep: Any = "end"
        for n in range(150):
            deep = {"": deep} if n % 2 else [deep]
        odd = ["", ".", "$", "a.b", "$set", "\U0001f9d1\u200d\u2695\ufe0f", "\ufdd0", "é", "x" * 20_000]
        odd += ["\0", "a\0b"] if self.NUL else []
        members = {name: {name: name} for name in odd if name} | {"deep": deep, "many": 2**63, "none": None}
        changes = [
            *(patient(f"p{n}", text, title=text, narrative=f"{text} word", **members) for n, text in enumerate(odd)),
            patient("a.-Z9" + "0" * 59, *(f"i{n}" for n in range(300))),
            *(plan(f"c{n}", f"Patient/p{n}", title=text) for n, text in enumerate(odd)),
        ]
        commit = await write(store, *changes)
        assert [change.stamped(1, commit.at) for change in changes] == [version.body for version in commit.versions]
        for n, text in enumerate(odd):
            stored = await store.read("Patient", f"p{n}")
            assert commit.versions[n] == stored
            assert [f"p{n}"] == await ids(store, "Patient", Equal("Patient.identifier", (text.encode(),)))
        assert ["a.-Z9" + "0" * 59] == await ids(store, "Patient", Equal("Patient.identifier", (b"i299",)))
        assert len(odd) == len(await ids(store, "Patient", Words("narrative", ("word",))))
        assert dict.fromkeys(odd, 1) == {
            key: len(found) for key, found in (await (await store.view()).facts("of", odd)).items()
        }
        await asyncio.gather(*(write(store, patient(f"q{n}", text)) for n, text in enumerate(odd)))
        assert 1 + len(odd) == await store.head()

    # -- reading at a position -------------------------------------------------------------------------------------

    async def test_read_at_a_position(self, store: Store) -> None:
        await write(store, patient("a", "x"))
        await write(store, patient("a", "y"))
        await write(store, delete("Patient", "a"))
        at = [await store.read("Patient", "a", position) for position in (0, 1, 2, 3)]
        assert [None, 1, 2, 3] == [version and version.position for version in at]

    async def test_read_many_is_what_read_finds_of_each(self, store: Store) -> None:
        await write(store, patient("a", "x"), patient("b", "y"), plan("a", "Patient/a"))
        view = await store.view()
        await write(store, patient("a", "z"), delete("Patient", "b"), patient("c", "w"))
        wanted = ["Patient/a", "Patient/b", "Patient/c", "Patient/never", "CarePlan/a", "Goal/of-no-such-type-yet"]
        for at in (view, await store.view(), await store.view(0)):
            expected = {one: version for one in wanted if (version := await at.read(*one.split("/")))}
            assert expected == await at.read_many(wanted)
        assert {} == await (await store.view()).read_many([])

    async def test_read_many_in_a_decide_sees_its_group_and_what_it_changes(self, store: Store) -> None:
        wanted = [f"Patient/{id}" for id in "abcd"]
        seen: dict[str, Any] = {}

        async def look(view: View) -> Plan:
            changes = [patient("a", "y"), delete("Patient", "b")]
            after = view.with_(changes)
            await view.read("Patient", "a")  # what was read before is read no more
            for name, at in (("before", view), ("after", after)):
                found = await at.read_many(wanted)
                seen[name] = {one: version.position if version.body else None for one, version in found.items()}
                assert found == {one: version for one in wanted if (version := await at.read(*one.split("/")))}
            return Plan()

        first = store.commit(writes(patient("a", "x"), patient("b", "x")), context())
        second = store.commit(writes(patient("c", "x")), context())
        await asyncio.gather(first, second, store.commit(look, context()))
        assert {"Patient/a": 1, "Patient/b": 1, "Patient/c": 2} == seen["before"]
        assert {"Patient/a": 3, "Patient/b": None, "Patient/c": 2} == seen["after"]

    async def test_view_stays_while_others_write(self, store: Store) -> None:
        await write(store, patient("a", "x", title="one"))
        view = await store.view()
        await write(store, patient("a", "y", title="two"), patient("b", "x"))
        assert [1] == [version.position for version in await view.search("Patient", ALL, 10)]
        assert {"x": [{"title": "one"}], "y": []} == {
            key: [fact.data for fact in found] for key, found in (await view.facts("of", ["x", "y"])).items()
        }
        now = await (await store.view()).facts("of", ["x", "y"])
        assert {"x": ["Patient/b"], "y": ["Patient/a"]} == {k: [f.source for f in found] for k, found in now.items()}
        assert [] == await (await store.view(0)).search("Patient", ALL, 10)

    async def test_view_stays_while_others_write_at_the_same_time(self, store: Store) -> None:
        """At every odd position `a` has the identifier x, at every even one y."""
        writing = True

        async def look() -> None:
            while writing:
                view = await store.view()
                found = [version.position for version in await view.search("Patient", _X, 10)]
                assert ([view.position] if view.position % 2 else []) == found

        looking = [asyncio.create_task(look()) for _ in range(2)]
        for number in range(self.WRITES):
            await write(store, patient("a", "y" if number % 2 else "x"))
        writing = False
        await asyncio.gather(*looking)

    async def test_position_at_an_instant(self, store: Store) -> None:
        commits = [await write(store, patient(f"p{n}")) for n in range(5)]
        assert 0 == await store.position_at(commits[0].at - 1)
        assert 5 == await store.position_at(commits[-1].at)
        for commit in commits:
            assert await store.position_at(commit.at) >= commit.position

    async def test_overlay_is_the_state_after(self, store: Store) -> None:
        await write(store, patient("a", "x"), patient("b", "x"))
        seen: dict[str, Any] = {}

        async def look(view: View) -> Plan:
            changes = [patient("a", "y"), delete("Patient", "b"), patient("c", "x")]
            for change in changes:
                PROJECTIONS.fill(change)
            after = view.with_(changes)
            x = Equal("Patient.identifier", (b"x",))
            seen["before"] = [version.id for version in await view.search("Patient", x, 10)]
            seen["after"] = [version.id for version in await after.search("Patient", x, 10)]
            seen["facts"] = [fact.source for fact in (await after.facts("of", ["x"]))["x"]]
            b = await after.read("Patient", "b")
            seen["b"] = b is not None and b.body is None
            return Plan()

        await store.commit(look, context())
        assert {"before": ["a", "b"], "after": ["c"], "facts": ["Patient/c"], "b": True} == seen

    # -- search ----------------------------------------------------------------------------------------------------

    @pytest.fixture
    async def population(self, store: Store) -> Store:
        await write(
            store,
            patient("p1", "one", title="anna", number=3, place=(41.5868, -93.625)),
            patient("p2", "two", title="annabel", number=1, place=(41.9779, -91.6656)),
            patient("p3", title="bob", number=2),
        )
        await write(
            store,
            plan("c1", "Patient/p1", title="x"),
            plan("c2", "Patient/p1", title="y"),
            plan("c3", "Patient/p2", title="x"),
            plan("c4", "Patient/nowhere", title="y"),
        )
        return store

    @pytest.mark.parametrize(
        ("type", "filter", "expected"),
        [
            ("Patient", ALL, "p1 p2 p3"),
            ("Patient", Equal("Patient.identifier", (b"one",)), "p1"),
            ("Patient", Equal("Patient.identifier", (b"one", b"two", b"three")), "p1 p2"),
            ("Patient", Range("Patient.title", b"anna", b"annb"), "p1 p2"),
            ("Patient", Range("Patient.number", b"\0" * 7 + b"\2", b"\xff", b"\0" * 8, b"\1" * 8), "p1 p3"),
            ("Patient", Range("Patient.number", b"\0", b"\xff", b"\1" * 8), ""),
            ("Patient", Contains("Patient.title", b"nab"), "p2"),
            ("Patient", Contains("Patient.title", b"ob", 1), ""),
            ("Patient", Near("Patient.place", 41.6, -93.6, 20_000), "p1"),
            ("Patient", Near("Patient.place", 41.6, -93.6, 200_000), "p1 p2"),
            ("Patient", And((Near("Patient.place", 41.6, -93.6, 200_000), Ids(("p2", "p3")))), "p2"),
            ("Patient", Not(Near("Patient.place", 41.6, -93.6, 20_000)), "p2 p3"),
            ("Patient", Words("content", ("anna",)), "p1"),
            ("Patient", Words("content", ("ann",), begins=True), "p1 p2"),
            ("Patient", Words("content", ("ánna",)), "p1"),
            ("Patient", Words("narrative", ("anna",)), ""),
            ("Patient", And((Words("content", ("ann",), begins=True), Equal("Patient.identifier", (b"two",)))), "p2"),
            ("Patient", Not(Words("content", ("ann",), begins=True)), "p3"),
            ("CarePlan", Words("content", ("x",)), "c1 c3"),
            ("CarePlan", Chain("CarePlan.subject", "Patient", Words("content", ("anna",))), "c1 c2"),
            ("Patient", Present("Patient.identifier"), "p1 p2"),
            ("Patient", Not(Present("Patient.identifier")), "p3"),
            ("Patient", Not(Equal("Patient.identifier", (b"one",))), "p2 p3"),
            ("Patient", Ids(("p3", "p1", "nowhere")), "p1 p3"),
            ("Patient", And((Ids(("p3", "p1")), Range("Patient.title", b"a", b"b"))), "p1"),
            ("Patient", Or((Ids(("p3",)), Equal("Patient.identifier", (b"one",)))), "p1 p3"),
            ("Patient", Or(()), ""),
            ("Patient", And((Not(Or((Ids(("p3",)), Equal("Patient.identifier", (b"one",))))),)), "p2"),
            ("Patient", Has("CarePlan", "CarePlan.subject", Equal("CarePlan.title", (b"y",))), "p1"),
            ("Patient", Not(Has("CarePlan", "CarePlan.subject", ALL)), "p3"),
            ("Patient", And((Range("Patient.title", b"a", b"c"), Has("CarePlan", "CarePlan.subject", ALL))), "p1 p2"),
            ("CarePlan", Equal("CarePlan.subject", ("Patient/p1",)), "c1 c2"),
            ("CarePlan", Equal("CarePlan.subject", ("Patient/nowhere",)), "c4"),
            ("CarePlan", Equal("CarePlan.subject", ("Patient/unheard-of",)), ""),
            ("CarePlan", Chain("CarePlan.subject", "Patient", Equal("Patient.identifier", (b"one",))), "c1 c2"),
            ("CarePlan", Chain("CarePlan.subject", "Patient", ALL), "c1 c2 c3"),
            ("CarePlan", Chain("CarePlan.subject", "Patient", ALL, Ids(("p2",))), "c3"),
            ("CarePlan", Chain("CarePlan.subject", "Patient", Ids(("p1",)), Ids(("p2",))), ""),
            (
                "CarePlan",
                And((Equal("CarePlan.title", (b"x",)), Chain("CarePlan.subject", "Patient", Ids(("p2",))))),
                "c3",
            ),
            ("CarePlan", Hierarchy("CarePlan.subject", "Patient.subject", ("Patient/p1",)), "c1 c2"),
            ("CarePlan", Hierarchy("CarePlan.subject", "Patient.subject", ("Patient/nowhere",)), "c4"),
            ("CarePlan", Hierarchy("CarePlan.subject", "Patient.subject", ("Patient/unheard-of",)), ""),
            ("CarePlan", And((Equal("CarePlan.title", (b"x",)), Updated(None, None))), "c1 c3"),
            ("CarePlan", Updated(None, 0), ""),
            ("CarePlan", Updated(0, None), "c1 c2 c3 c4"),
            ("CarePlan", And((Equal("CarePlan.title", (b"x",)), Updated(0, None))), "c1 c3"),
            ("Goal", ALL, ""),
        ],
    )
    async def test_search_answers_each_filter_now_and_later(
        self, population: Store, type: str, filter: Filter, expected: str
    ) -> None:
        assert expected.split() == await ids(population, type, filter)
        position = await population.head()
        first = await population.search(Search(type, filter, count=1))
        await write(population, *[delete("Patient", f"p{n}") for n in (1, 2, 3)], delete("CarePlan", "c1"))
        await write(population, patient("p1", "else"), plan("c1", "Patient/p3"), plan("c5", "Patient/p1", title="x"))
        then = await (await population.view(position)).search(type, filter, 10)
        assert sorted(expected.split()) == sorted(version.id for version in then)
        paged, page = list(first.matches), first
        while page.next:
            page = await population.search(Search(type, filter, count=1), page.next)
            assert position == page.position
            paged += page.matches
        assert expected.split() == [version.id for version in paged]

    async def test_search_by_words_follows_every_write(self, store: Store) -> None:
        said = Words("content", ("heart", "failure"))
        for title, expected in [
            ("heart failure", ["p1"]),
            ("failure of the heart", []),
            ("congestive Heart  Failure, mild", ["p1"]),
        ]:
            await write(store, patient("p1", title=title, narrative="Failure"))
            assert expected == await ids(store, "Patient", said)
        assert ["p1"] == await ids(store, "Patient", Words("narrative", ("failure",)))
        await write(store, delete("Patient", "p1"))
        assert [] == await ids(store, "Patient", said)
        for position, expected in enumerate([[], ["p1"], [], ["p1"], []]):
            then = await (await store.view(position)).search("Patient", said, 10)
            assert expected == [version.id for version in then]

    async def test_search_by_words_within_a_decide_sees_its_own_group(self, store: Store) -> None:
        async def once(view: View) -> Plan:
            if await view.search("Patient", Words("content", ("anna",)), 2):
                return Plan(output="found")
            return Plan([patient(f"p{view.position}", title="Anna")], "created")

        outputs = [commit.output for commit in await asyncio.gather(*(store.commit(once, context()) for _ in range(8)))]
        assert {"created": 1, "found": 7} == {output: outputs.count(output) for output in ("created", "found")}

    async def test_search_by_words_while_others_write(self, store: Store) -> None:
        for number in range(self.WRITES // 8):
            writing = write(store, patient(f"p{number}", title="anna"))
            looking = store.search(Search("Patient", Words("content", ("anna",)), count=100))
            _, page = await asyncio.gather(writing, looking)
            assert len(page.matches) in (number, number + 1)

    async def test_search_by_a_stored_definition(self, population: Store) -> None:
        """From when it is stored: for what is there already, what comes, what is changed and what goes."""
        anna, name = Range("Patient.title@t", b"anna", b"annb"), "Patient.title@t"
        await write(population, definition("t"))
        assert ["p1", "p2"] == await ids(population, "Patient", anna)
        assert 1 == (await population.following())[name]
        assert ["p3"] == await ids(population, "Patient", Equal(f"{name}:end", (b"bob",)))
        await write(population, patient("p4", title="annabelle", subject={"reference": "Patient/p1"}))
        await write(population, patient("p1", title="joe"), delete("Patient", "p2"))
        assert ["p4"] == await ids(population, "Patient", anna)
        assert ["p4"] == await ids(population, "Patient", Chain(f"{name}:subject", "Patient", Ids(("p1",))))
        assert ["p1"] == await ids(population, "Patient", Has("Patient", f"{name}:subject", anna))
        assert ["p1", "p3"] == await ids(population, "Patient", Not(anna))
        assert ["p4", "p3", "p1"] == await ids(population, "Patient", ALL, sort=(Sort(name),))
        for position, expected in enumerate(["", "p1 p2", "p1 p2", "p1 p2", "p1 p2 p4", "p4"]):
            then = await (await population.view(position)).search("Patient", anna, 10)
            assert expected.split() == [version.id for version in then]

    async def test_search_by_a_definition_that_is_gone_and_comes_again(self, population: Store) -> None:
        anna = Equal("Patient.title@t", (b"anna",))
        for other in ("o1", "o2"):
            await write(population, definition("t"))
            assert ["p1"] == await ids(population, "Patient", anna)
            await write(population, definition("t", "retired"), definition(other))
            assert ["p1"] == await ids(population, "Patient", Equal(f"Patient.title@{other}", (b"anna",)))
            with pytest.raises(Problem) as refused:
                await ids(population, "Patient", anna)
            assert "throttled" == refused.value.kind
            assert "Patient.title@t" not in await population.following()

    async def test_search_by_a_stored_definition_from_another_opening(
        self, population: Store, make: Callable[[], Store]
    ) -> None:
        other = make()
        await other.open()
        await write(population, definition("t"))
        assert ["p1"] == await ids(other, "Patient", Equal("Patient.title@t", (b"anna",)))
        await write(other, patient("p9", title="anna"))
        assert ["p1", "p9"] == await ids(population, "Patient", Equal("Patient.title@t", (b"anna",)))
        assert (5, 3) == (await population.last("Patient") + 1, await population.last("SearchParameter"))
        assert (4, 0) == (await population.last("SearchParameter", "Patient"), await population.last("Group", "Goal"))
        await other.close()

    async def test_search_sorts_and_pages(self, population: Store) -> None:
        by_number = (Sort("Patient.number"),)
        assert ["p2", "p3", "p1"] == await ids(population, "Patient", ALL, sort=by_number)
        assert ["p1", "p3", "p2"] == await ids(population, "Patient", ALL, sort=(Sort("Patient.number", True),))
        assert ["p1", "p2", "p3"] == await ids(population, "Patient", ALL, sort=(Sort("Patient.identifier"),))
        assert ["p3", "p2", "p1"] == await ids(population, "Patient", ALL, sort=(Sort("_id", True),))
        by_value = (Sort("x", True, lambda resource: resource.get("title")), Sort("_lastUpdated"))
        assert ["p3", "p2", "p1"] == await ids(population, "Patient", ALL, sort=by_value)
        mixed = (Sort("x", False, lambda resource: resource["title"][0]), Sort("Patient.number"))
        assert ["p2", "p1", "p3"] == await ids(population, "Patient", ALL, sort=mixed)
        first = await population.search(Search("Patient", ALL, sort=by_number, count=2))
        await write(population, patient("p0", number=0))
        second = await population.search(Search("Patient", ALL, sort=by_number, count=2), first.next)
        assert (["p2", "p3"], ["p1"]) == ([v.id for v in first.matches], [v.id for v in second.matches])
        await write(population, patient("p2", number=9))
        assert ["p0", "p3", "p1", "p2"] == await ids(population, "Patient", ALL, sort=by_number)
        assert ["p1", "p3", "p0", "p2"] == await ids(population, "Patient", ALL, sort=(Sort("_lastUpdated"),))

    async def test_what_lacks_a_later_key_of_a_sort_is_the_last_of_its_equals(self, store: Store) -> None:
        await write(store, patient("p0"), patient("p1", title="b"), patient("p2", title="a"))
        await write(
            store, patient("p3", title="a", number=1), patient("p4", title="b", number=2), patient("p5", title="a")
        )
        title, number = Sort("Patient.title"), Sort("Patient.number")
        for sort, expected in [
            ((title, number), "p3 p2 p5 p4 p1 p0"),
            ((Sort("Patient.title", True), number), "p4 p1 p3 p5 p2 p0"),
            ((title, Sort("Patient.number", True)), "p3 p2 p5 p4 p1 p0"),
        ]:
            assert expected.split() == await ids(store, "Patient", ALL, sort=sort)

    async def test_search_sorts_by_no_value_without_a_name(self, store: Store) -> None:
        await write(store, patient("p1", title=""), patient("p2", "", "z", title="b"), patient("p3", "m", title="a"))
        for sort, expected in [
            (Sort("Patient.title"), "p3 p2 p1"),
            (Sort("Patient.title", True), "p2 p3 p1"),
            (Sort("Patient.identifier"), "p3 p2 p1"),
        ]:
            assert expected.split() == await ids(store, "Patient", ALL, sort=(sort,))
            by_value = Sort("none", value=lambda resource: None)
            assert expected.split() == await ids(store, "Patient", ALL, sort=(by_value, sort))

    async def test_search_counts(self, population: Store) -> None:
        assert 3 == (await population.search(Search("Patient", ALL))).total
        assert (await population.search(Search("Patient", ALL, count=2))).total is None
        assert 3 == (await population.search(Search("Patient", ALL, count=2, total=True))).total
        none = await population.search(Search("Patient", ALL, count=0, total=True))
        assert ((), 3) == (none.matches, none.total)

    async def test_search_includes(self, population: Store) -> None:
        forward = (Follow("CarePlan.subject", "CarePlan"),)
        page = await population.search(Search("CarePlan", ALL, follow=forward))
        assert ["p1", "p2"] == [version.id for version in page.included]
        every = await population.search(Search("CarePlan", Ids(("c3",)), follow=(Follow(None, "CarePlan"),)))
        assert ["p2"] == [version.id for version in every.included]
        other = (Follow("CarePlan.subject", "CarePlan", "Group"),)
        assert () == (await population.search(Search("CarePlan", ALL, follow=other))).included
        reverse = (Follow("CarePlan.subject", "CarePlan", reverse=True),)
        page = await population.search(Search("Patient", Ids(("p1",)), follow=reverse))
        assert ["c1", "c2"] == [version.id for version in page.included]
        anything = (Follow(None, "CarePlan", reverse=True),)
        page = await population.search(Search("Patient", Ids(("p2",)), follow=anything))
        assert ["c3"] == [version.id for version in page.included]
        around = (*forward, Follow("CarePlan.subject", "CarePlan", iterate=True, reverse=True))
        page = await population.search(Search("CarePlan", Ids(("c1",)), follow=around))
        assert ["p1", "c2"] == [version.id for version in page.included]

    async def test_include_brings_along_what_is_seen_and_goes_on_from_that(self, population: Store) -> None:
        on = (Follow("CarePlan.subject", "CarePlan"), Follow(None, "*", iterate=True, reverse=True))
        for hidden, expected in (("none", ["p1", "c2"]), ("c2", ["p1"]), ("p1", [])):
            seen = Not(Ids((hidden,)))
            page = await population.search(
                Search("CarePlan", Ids(("c1",)), follow=on, seen=lambda type, seen=seen: seen)  # type: ignore[misc]
            )
            assert expected == [version.id for version in page.included]

    async def test_include_goes_no_further_from_what_is_not_there(self, population: Store) -> None:
        await write(population, plan("c6", "Patient/nowhere"))
        on = (Follow("CarePlan.subject", "CarePlan"), Follow(None, "*", iterate=True, reverse=True))
        for id, expected in (("c4", []), ("c3", ["p2"])):
            page = await population.search(Search("CarePlan", Ids((id,)), follow=on))
            assert expected == [version.id for version in page.included]

    async def test_search_along_a_hierarchy_goes_all_the_way_and_round_a_ring(self, store: Store) -> None:
        await write(store, *[patient(f"p{n}", subject={"reference": f"Patient/p{n - 1}"}) for n in range(1, 40)])
        await write(store, plan("c5", "Patient/p5"), plan("c30", "Patient/p30"), plan("elsewhere", "Patient/x"))
        below = Hierarchy("CarePlan.subject", "Patient.subject", ("Patient/p7",))
        above = replace(below, upward=True)
        assert ["c30"] == await ids(store, "CarePlan", below)
        assert ["c5"] == await ids(store, "CarePlan", above)
        assert ["elsewhere", "c5"] == await ids(store, "CarePlan", Not(below), sort=(Sort("_id", descending=True),))
        position = await store.head()
        await write(store, patient("p0", subject={"reference": "Patient/p39"}))
        assert ["c30", "c5"] == sorted(await ids(store, "CarePlan", below))
        assert ["c30", "c5"] == sorted(await ids(store, "CarePlan", above))
        await write(store, patient("p0"), delete("Patient", "p20"))
        assert [] == await ids(store, "CarePlan", below)
        for filter, expected in ((below, ["c30"]), (above, ["c5"])):
            assert expected == [one.id for one in await (await store.view(position)).search("CarePlan", filter, 10)]

    @pytest.mark.parametrize("type", ["Patient", "CarePlan"])
    @pytest.mark.parametrize("filter", LARGEST, ids=lambda filter: filter.__class__.__name__)
    async def test_search_answers_the_most_that_is_asked(self, population: Store, type: str, filter: Filter) -> None:
        position = await population.head()
        await write(population, patient("p1", "else", title="anna"))
        for asked in (filter, Not(filter), And((filter, Present(f"{type}.title")))):
            now = await ids(population, type, asked, sort=(Sort(f"{type}.title"),), total=True)
            then = await (await population.view(position)).search(type, asked, 10)
            assert sorted(now) == sorted(version.id for version in then)

    async def test_search_refuses_a_page_of_its_own_making(self, population: Store) -> None:
        for page in ("", "x", "1.z3", "999.r1", "1.r-1", "1.r1" + "0" * 18, "1.o1" + "0" * 80, "9" * 20 + ".r1"):
            with pytest.raises(Problem) as refused:
                await population.search(Search("Patient", ALL), page or "-")
            assert "invalid" == refused.value.kind

    # -- history and following -------------------------------------------------------------------------------------

    async def test_history_is_newest_first_and_pages(self, store: Store) -> None:
        for n in range(5):
            await write(store, patient("a", f"{n}"), plan(f"c{n}", "Patient/a"))
        await write(store, delete("Patient", "a"))
        assert [6, 5, 4, 3, 2, 1] == [version.position for version in await _history(store, "Patient", "a")]
        assert ["DELETE"] + ["PUT"] * 5 == [version.method for version in await _history(store, "Patient", None)]
        assert 11 == len(await _history(store, None, None))
        first = await store.history("Patient", "a", since=None, at=None, count=4, page=None)
        await write(store, patient("a", "new"))
        second = await store.history("Patient", "a", since=None, at=None, count=4, page=first.next)
        assert ([6, 5, 4, 3], [2, 1]) == tuple([v.position for v in page.matches] for page in (first, second))
        assert (6, 6, None) == (first.total, second.total, second.next)

    @pytest.mark.parametrize(("type", "totals"), [(None, (3, 3, 5)), ("Patient", (2, 2, 3)), ("Goal", (0, 0, 0))])
    async def test_history_counts_as_of_its_own_position(
        self, store: Store, type: str | None, totals: tuple[int, int, int]
    ) -> None:
        await write(store, patient("a"), patient("b"), plan("c", "Patient/a"))
        first = await store.history(type, None, since=None, at=None, count=1, page=None)
        await write(store, patient("a", "x"), plan("c", "Patient/b"))
        last = await store.history(type, None, since=None, at=None, count=1, page=None)
        again = (
            last
            if first.next is None
            else await store.history(type, None, since=None, at=None, count=1, page=first.next)
        )
        assert (totals[0], totals[2], totals[1] if first.next else totals[2]) == (first.total, last.total, again.total)

    async def test_changes_after_a_cursor(self, store: Store) -> None:
        await write(store, patient("a"), patient("b"))
        await write(store, patient("a", "x"))
        found = await store.changes(Cursor(1, 0), 10)
        assert ["Patient/b", "Patient/a"] == [version.reference for version in found]
        assert [] == await store.changes(Cursor(2, 0), 10)
        assert [2] == [version.position for version in await store.changes(Cursor(2, -1), 10)]

    async def test_waiting_for_the_head_ends_with_a_commit_or_in_time(self, store: Store) -> None:
        assert 0 == await store.beyond(0, 0.05)
        waiting = [asyncio.create_task(store.beyond(at, 60)) for at in (0, 0, 1)]
        await asyncio.sleep(0.05)
        await write(store, patient("a"))
        assert [1, 1] == await asyncio.wait_for(asyncio.gather(*waiting[:2]), 60)
        assert not waiting[2].done()
        await write(store, patient("a", "x"))
        assert (2, 2) == (await asyncio.wait_for(waiting[2], 60), await store.beyond(1, 60))
        left = asyncio.create_task(store.beyond(2, 60))
        await asyncio.sleep(0.05)
        left.cancel()
        assert 2 == await store.beyond(2, 0.01)

    async def test_waiting_for_the_head_ends_with_another_process_s_commit(
        self, store: Store, make: Callable[[], Store]
    ) -> None:
        """Also when nothing came for a while, and long before the time that it may take is over."""
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(1, mp_context=spawn) as pool:
            for head in range(3):
                answered = asyncio.wrap_future(pool.submit(written, make, f"p{head}", 0.5))
                assert head + 1 == await store.beyond(head, 3600)
                await answered

    async def test_follower_sees_all_that_four_processes_write_once_and_in_order(
        self, store: Store, make: Callable[[], Store]
    ) -> None:
        seen: list[Version] = []

        async def follow() -> None:
            async for versions in Repository(store, PROJECTIONS).follow(SYSTEM, Cursor(0, -1), 7):
                seen.extend(versions)
                if versions[-1].id == "last":
                    return

        follower = asyncio.create_task(follow())
        await write(store, patient("counter"))
        await store.commit(writes(), context(), fingerprint=b"a commit without a version")
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(4, mp_context=spawn) as pool:
            for racing in [pool.submit(race, make, process, 2) for process in range(4)]:
                await asyncio.wrap_future(racing)
        head = (await write(store, patient("last"))).position
        await asyncio.wait_for(follower, 240)
        assert await store.changes(Cursor(0, -1), 10_000) == seen
        assert {*range(1, head + 1)} - {2} == {version.position for version in seen}


async def _history(store: Store, type: str | None, id: str | None) -> list[Version]:
    found: list[Version] = []
    page: str | None = None
    while True:
        answer = await store.history(type, id, since=None, at=None, count=3, page=page)
        found += answer.matches
        page = answer.next
        if page is None:
            return found
