"""What holds for any history and any question: an engine answers as a replay of its commits does."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from server.auth.access import SYSTEM
from server.ledger import Change, Commit, Cursor, Fact, Plan, Position, Version, View
from server.outcome import Problem
from server.repository import Repository
from server.search import extract
from server.search.filter import Filter
from server.search.parameter import parameters
from server.search.query import Query, parse
from server.store.engine import Named, Page, Projections, Search, Store
from tests.search import linked, naive, world
from tests.search.asked import MORE, terminology, told
from tests.search.strategies import RESOURCES, asked_of, expressions, resource, single, stepping
from tests.store.contract import PROJECTIONS, context, delete, put, write
from tests.store.replay import Replay, State
from tests.store.strategies import HOUR, IDS, TYPES, VALUES, Write, asked, histories, moments, named, searches

Fresh = Callable[[Projections], AbstractContextManager[Store]]
History = list[tuple[int, list[Write]]]

# The fixture only makes stores: nothing of one example is left for the next.
HELD = settings(
    deadline=None,
    derandomize=True,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)


@asynccontextmanager
async def opened(fresh: Fresh, projections: Projections) -> AsyncIterator[Store]:
    with fresh(projections) as store:
        await store.open()
        try:
            yield store
            assert [] == [finding async for finding in store.verify()]
        finally:
            await store.close()


@dataclass(slots=True)
class Look:
    """What a decide saw at the head, and what it saw in the state after its changes."""

    position: Position
    updated: int
    changes: list[Change]
    found: list[tuple[str, Filter, set[str], set[str]]] = field(default_factory=list)
    facts: list[dict[str, list[Fact]]] = field(default_factory=list)


class Run:
    """A history, as it is written to a store whose clock is ours."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.replay = Replay(PROJECTIONS)
        self.looks: list[Look] = []

    async def write(self, history: History, after_each: Iterable[Search] = ()) -> list[tuple[Search, Page]]:
        """Commit by commit; after each group one of the searches, of which the first page is given back."""
        first_pages = []
        remaining = iter(after_each)
        now = 0
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(time, "time_ns", lambda: now * 1000)
            for hour, group in history:
                now = hour
                await self._commit(group)
                if (search := next(remaining, None)) is not None:
                    first_pages.append((search, await self.store.search(search)))
        return first_pages

    async def _commit(self, group: list[Write]) -> None:
        commits = await asyncio.gather(
            *(self.store.commit(self._decide(write), context()) for write in group), return_exceptions=True
        )
        for sent, commit in zip(group, commits, strict=True):
            if isinstance(commit, Commit):
                assert not sent.refuses
                self.replay.add(commit.versions)
            elif not (sent.refuses and isinstance(commit, Problem)):
                raise commit

    def _decide(self, write: Write) -> Callable[[View], Any]:
        async def decide(view: View) -> Plan:
            for change in write.changes:
                PROJECTIONS.fill(change)
            after = view.with_(write.changes)
            look = Look(view.position, time.time_ns() // 1000, list(write.changes))
            for type, filter in write.looks:
                look.found.append((type, filter, await ids(view, type, filter), await ids(after, type, filter)))
            look.facts = [await view.facts("of", VALUES), await after.facts("of", VALUES)]
            self.looks.append(look)
            if write.refuses:
                raise Problem.conflict("refused")
            return Plan(list(write.changes))

        return decide


async def ids(view: View, type: str, filter: Filter) -> set[str]:
    found = [version.id for version in await view.search(type, filter, 100)]
    assert len(found) == len(set(found))
    return set(found)


def said(facts: dict[str, list[Fact]]) -> dict[str, list[tuple[str, str]]]:
    return {key: sorted((fact.source, json.dumps(fact.data)) for fact in found) for key, found in facts.items()}


async def pages(store: Store, search: Search, first: Page) -> list[Page]:
    found = [first]
    while found[-1].next is not None:
        found.append(await store.search(search, found[-1].next))
    return found


async def check_ways_back(store: Store, search: Search, found: list[Page]) -> None:
    """From each page to the one before, to the first and to the last."""
    for before, page in pairwise(found):
        assert _matches(before) == _matches(await store.search(search, page.previous))
        assert _matches(found[0]) == _matches(await store.search(search, page.first))
        if search.total:
            assert _matches(found[-1]) == _matches(await store.search(search, before.last))
    assert (None, None, None) == (found[0].previous, found[0].first, found[-1].last)


def _matches(page: Page) -> tuple[Version, ...]:
    return page.matches


def check_pages(state: State, search: Search, found: list[Page], current: dict[str, Version]) -> None:
    """Together the pages are the matches, each once and in order; each has what its matches include."""
    expected = [f"{type}/{id}" for type, filter in search.parts for id in state.ids(type, filter)]
    references = [version.reference for page in found for version in page.matches]
    assert sorted(expected) == sorted(references)
    assert 1 == len({page.position for page in found})
    if search.sort:
        assert state.sorted(references, search.sort) == [state.sort_keys(each, search.sort) for each in references]
    for page in found:
        assert all(len(page.matches) == search.count for page in found[:-1])
        assert page.total == len(expected) or (page.total is None and not search.total)
        matches = [version.reference for version in page.matches]
        included = [version.reference for version in page.included]
        assert sorted(state.included(matches, search.follow)) == sorted(included)
        assert bool(page.plan) == search.explain
        assert all(current[version.reference] == version for version in (*page.matches, *page.included))


async def history(store: Store, type: str | None, id: str | None, **times: Any) -> tuple[list[Version], int | None]:
    found: list[Version] = []
    page = None
    while True:
        answer = await store.history(type, id, count=3, page=page, **times)
        found += answer.matches
        page = answer.next
        if page is None:
            return found, answer.total


def in_history(
    replay: Replay, type: str | None, id: str | None, since: int | None, at: Any, only: Any = None
) -> list[Version]:
    """The versions made since then; those that were current at some time of the period; those that are named."""
    found = []
    for version in reversed(replay.versions):
        later = [each for each in replay.versions if each.reference == version.reference and each > version]
        follows = next((each for each in replay.versions if each in later), None)
        if type not in (None, version.type) or id not in (None, version.id):
            continue
        if since is not None and version.at < since:
            continue
        if only is not None and not {(version.reference, None), (version.reference, version.position)} & only:
            continue
        if at is not None and not (version.at < at[1] and (follows is None or follows.at > at[0])):
            continue
        found.append(version)
    return found


FHIR = Projections(partial(extract.rows, base_url=naive.BASE), lambda resource: (), "fhir")
# type; parameters, those that are expressions with what they say of a resource; what to sort by
FhirSearch = tuple[str, list[tuple[Any, ...]], str]

stored = st.builds(
    lambda resource, id: put({**resource, "id": id}),
    st.sampled_from(sorted(RESOURCES)).flatmap(resource),
    st.sampled_from(("1", "2", "3")),
)


@st.composite
def fhir_searches(draw: st.DrawFn) -> FhirSearch:
    type = draw(st.sampled_from(sorted(RESOURCES)))
    asked = asked_of(type) | stepping(type) | expressions(type).map(lambda found: ("_filter", *found))
    parameters = draw(st.lists(asked, min_size=1, max_size=2))
    code = draw(st.sampled_from(single(type)))
    return type, parameters, draw(st.sampled_from([code, f"-{code}"]))


@dataclass(frozen=True, slots=True)
class Held:
    """What a property is tried with, and how often."""

    examples: int
    drawn: tuple[SearchStrategy[Any], ...]

    def tried(self, property: Callable[..., Any], share: float) -> Callable[..., Any]:
        """The test of a property, with a share of its examples."""
        examples = max(1, round(self.examples * share))
        return settings(HELD, max_examples=examples)(given(*self.drawn)(property))


def held(examples: int, *drawn: SearchStrategy[Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A property of StoreProperties: so many examples, unless an engine's class tries a share of them."""

    def mark(property: Callable[..., Any]) -> Callable[..., Any]:
        property.held = Held(examples, drawn)  # type: ignore[attr-defined]
        return property

    return mark


class StoreProperties:
    """Subclasses give the fixture `fresh`: of some projections, a new store, not open yet, and gone after.

    Where each question takes long, `share` says how many of the examples are tried, and ASKED are fewer.
    """

    ASKED = 30  # searches across the resources of one seed
    seeds = range(100 * MORE)

    def __init_subclass__(cls, share: float = 1.0) -> None:
        cls.seeds = range(max(1, round(len(StoreProperties.seeds) * share)))
        for name, property in vars(StoreProperties).items():
            if isinstance(found := getattr(property, "held", None), Held):
                setattr(cls, name, found.tried(property, share))

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "seed" in metafunc.fixturenames:
            metafunc.parametrize("seed", self.seeds)

    @held(100, histories, st.data())
    async def test_any_search_at_any_position_is_as_a_replay(self, fresh: Fresh, written: History, data: Any) -> None:
        async with opened(fresh, PROJECTIONS) as store:
            run = Run(store)
            first_pages = await run.write(written, data.draw(st.lists(searches(), max_size=len(written))))
            for search in data.draw(st.lists(searches(), max_size=3)):
                first_pages.append((search, await store.search(search)))
            for search, first in first_pages:
                found = await pages(store, search, first)
                state = run.replay.at(first.position)
                check_pages(state, search, found, run.replay.current(first.position))
                await check_ways_back(store, search, found)
            for type, filter in data.draw(st.lists(st.sampled_from(TYPES).flatmap(asked), max_size=5)):
                for position in range(await store.head() + 1):
                    found_at = await ids(await store.view(position), type, filter)
                    assert run.replay.at(position).ids(type, filter) == found_at

    @held(50, histories)
    async def test_any_read_and_fact_at_any_position_is_as_a_replay(self, fresh: Fresh, written: History) -> None:
        async with opened(fresh, PROJECTIONS) as store:
            run = Run(store)
            await run.write(written)
            for position in range(await store.head() + 1):
                current = run.replay.current(position)
                for type, id in [(type, id) for type in TYPES for id in IDS]:
                    assert current.get(f"{type}/{id}") == await store.read(type, id, position)
                facts = await (await store.view(position)).facts("of", VALUES)
                assert said(run.replay.at(position).facts("of", VALUES)) == said(facts)
            for version in run.replay.versions:
                assert version == await store.vread(version.type, version.id, version.position)
            for type, id in [(type, id) for type in TYPES for id in IDS]:
                assert run.replay.current(await store.head()).get(f"{type}/{id}") == await store.read(type, id)

    @held(50, histories)
    async def test_any_decide_sees_the_head_and_the_state_after(self, fresh: Fresh, written: History) -> None:
        async with opened(fresh, PROJECTIONS) as store:
            run = Run(store)
            await run.write(written)
            for look in run.looks:
                before = run.replay.at(look.position)
                at = max([look.updated, *(version.at for version in run.replay.current(look.position).values())])
                after = before.with_(look.changes, at)
                assert [said(state.facts("of", VALUES)) for state in (before, after)] == [*map(said, look.facts)]
                for type, filter, found, found_after in look.found:
                    assert (before.ids(type, filter), after.ids(type, filter)) == (found, found_after)

    @held(50, histories, st.none() | moments, st.none() | st.tuples(moments, st.integers(0, 3)), st.none() | named)
    async def test_any_history_is_as_a_replay(
        self,
        fresh: Fresh,
        written: History,
        since: int | None,
        period: tuple[int, int] | None,
        only: set[Named] | None,
    ) -> None:
        at = period and (period[0], period[0] + period[1] * HOUR + 1)
        async with opened(fresh, PROJECTIONS) as store:
            run = Run(store)
            await run.write(written)
            for type, id in [(None, None), *((type, id) for type in TYPES for id in (None, *IDS))]:
                found, total = await history(store, type, id, since=since, at=at, only=only)
                expected = in_history(run.replay, type, id, since, at, only)
                assert (expected, len(expected)) == (found, total)
            assert run.replay.versions == await store.changes(Cursor(0, 0), 1000)
            for version in run.replay.versions:
                after = Cursor(version.position, version.ordinal)
                assert run.replay.versions[run.replay.versions.index(version) + 1 :] == await store.changes(after, 1000)

    @held(200 * MORE, st.lists(stored, min_size=3, max_size=10), st.lists(fhir_searches(), min_size=1, max_size=8))
    async def test_any_fhir_search_is_as_the_specification_reads(
        self, fresh: Fresh, written: list[Change], asked_for: list[FhirSearch]
    ) -> None:
        async with opened(fresh, FHIR) as store:
            replay = Replay(FHIR)
            for change in written:
                replay.add((await write(store, change)).versions)
            repository = Repository(store, FHIR, terminology)
            for type, parameters, sort in asked_for:
                sent = [(name, value) for name, value, *_ in parameters]
                query = parse(type, [*sent, ("_sort", sort)], base_url=naive.BASE, lenient=False)
                page = await repository.search(SYSTEM, query)
                state = replay.at(await store.head())
                expected = satisfying(state, type, parameters)
                assert sorted(expected) == sorted(version.id for version in page.matches)
                keys = [sort_key(state.standing[version.reference].resource, sort) for version in page.matches]
                assert in_order(keys, sort.startswith("-")) == keys
                for position in range(await store.head()):
                    found = await ids(await store.view(position), type, told(query.filter))
                    assert satisfying(replay.at(position), type, parameters) == found

    async def test_any_search_across_resources_is_as_the_specification_reads(self, fresh: Fresh, seed: int) -> None:
        """Chains, `_has`, hierarchies, lists, compartments, includes; pages that are read on after a further write."""
        chance = Random(seed)
        async with opened(fresh, FHIR) as store:
            replay = Replay(FHIR)
            for changes in ([put(one) for one in linked.population(chance)], *([change(chance)] for _ in range(4))):
                replay.add((await write(store, *changes)).versions)
            repository, around = Repository(store, FHIR, terminology), world_of(replay.at(await store.head()))
            asked = [linked.search(around, chance) for _ in range(self.ASKED)]
            queries = [await parsed(repository, search) for search in asked]
            first = [await repository.search(SYSTEM, query) for query in queries]
            await write(store, change(chance))
            for search, query, page in zip(asked, queries, first, strict=True):
                found = [page]
                while found[-1].next is not None:
                    found.append(await repository.search(SYSTEM, query, found[-1].next))
                check_linked(around, search, found)
            for position in range(await store.head()):
                then = world_of(replay.at(position))
                for search, query in zip(asked, queries, strict=True):
                    expected = world.found(then, search.type, search.criteria, search.within)
                    assert expected == await ids(await store.view(position), search.type, told(query.filter))


def change(chance: Random) -> Change:
    """Of a resource that names others, or that others name."""
    type, id, resource = linked.changed(chance)
    return delete(type, id) if resource is None else put(resource)


async def parsed(repository: Repository, search: linked.Search) -> Query:
    sent = [*search.criteria, *search.includes, ("_count", str(search.count)), ("_total", "accurate")]
    return await repository.parsed(search.type, sent, base_url=naive.BASE, lenient=False, within=search.within)


def check_linked(around: world.World, search: linked.Search, found: list[Page]) -> None:
    """Together the pages are the matches, each once; each has what its own matches include."""
    matches = [version.id for page in found for version in page.matches]
    assert sorted(world.found(around, search.type, search.criteria, search.within)) == sorted(matches)
    for page in found:
        own = [version.reference for version in page.matches]
        included = sorted(version.reference for version in page.included)
        assert sorted(world.included(around, own, search.includes)) == included
        assert len(matches) == page.total


def satisfying(state: State, type: str, parameters: Iterable[tuple[Any, ...]]) -> set[str]:
    """The ids of the resources that a search finds, as the specification's words have it."""
    asked = [(name, value) for name, value, *says in parameters if not says]
    expressions = [says for _, _, *expression in parameters for says in expression]
    around = world_of(state)
    matches = world.found(around, type, asked)
    return {id for id in matches if all(says(around[f"{type}/{id}"]) for says in expressions)}


def world_of(state: State) -> world.World:
    return {reference: each.resource for reference, each in state.standing.items()}


def sort_key(resource: dict[str, Any], sort: str) -> bytes | None:
    code, descending = sort.removeprefix("-"), sort.startswith("-")
    return extract.sort_key(resource, parameters(resource["resourceType"])[code], descending)


def in_order(keys: list[bytes | None], descending: bool) -> list[bytes | None]:
    present = sorted((key for key in keys if key is not None), reverse=descending)
    return [*present, *(key for key in keys if key is None)]
