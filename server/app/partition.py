"""Partition: one ledger and all that works on it, made as the settings say. Here the rooms meet.

docs/partitions.md
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from server import lookout
from server.app.invocation import Invoked
from server.coordination.facts import facts
from server.coordination.rule import rules as care_rules
from server.fhir.definition import RESOURCE_TYPES
from server.fhir.reference import PATH, BaseUrl, under
from server.interactions.exchange import ALL_TYPES, Server
from server.interactions.routes import DISPATCH
from server.ledger import Change, Context, FactRow, Resource, Rules, View
from server.operations.registry import OPERATIONS
from server.outcome import Problem
from server.repository import Repository
from server.search import custom, extract
from server.search.text import texts
from server.settings import DEFAULT, Settings
from server.store.engine import Projections, Store
from server.store.mongodb.engine import MongodbStore
from server.store.sqlite.engine import SqliteStore
from server.validation import conformance, policy
from server.validation.policy import Policy
from server.validation.terminology import relation

SQLITE = "sqlite:///"
PROJECTIONS = "6"  # to be raised with every change to what the index or the facts hold: a store then asks for a rebuild


def below(partition: str) -> str:
    """The place of a partition below the service base: "" of the default one, "/ia" of another."""
    return "" if partition == DEFAULT else f"/{partition}"


def base_url_of(settings: Settings, partition: str) -> str:
    """Under which absolute references are local to a partition. Loopback's are by the path alone, on any port."""
    if partition == DEFAULT:
        return settings.base_url
    place = below(partition)
    return BaseUrl(f"{settings.base_url or f'http://localhost{PATH}'}{place}", place)


def projections(base_url: str) -> Projections:
    """What the store derives from each resource, absolute references under `base_url` being local ones."""
    return Projections(
        partial(extract.rows, base_url=base_url),
        partial(_facts, base_url=base_url),
        f"{PROJECTIONS} {base_url}",
        texts,
        partial(custom.late_indexes, base_url=base_url),
    )


def _facts(resource: Resource, base_url: str) -> list[FactRow]:
    """What the care rules ask of a resource, and what validation asks of a definition."""
    return facts(resource, base_url) + conformance.facts(resource)


def _profiles(settings: Settings) -> Policy:
    """Problem invalid where the setting names what is no type."""
    try:
        return policy.parse(settings.profiles)
    except ValueError as error:
        raise Problem.invalid(f"CAREPLAN_PROFILES: {error}") from None


def rules_of(settings: Settings, partition: str) -> Rules:
    """What every commit is held to at the ledger's head: the profiles that it declares, then the care rules."""
    profiles, base_url = _profiles(settings), base_url_of(settings, partition)

    async def rules(context: Context, before: View, changes: Sequence[Change], after: View) -> Sequence[Change]:
        if base_url:
            context = replace(context, base_url=base_url)
        await policy.enforced(profiles, context, before, changes, after)
        return await care_rules(context, before, changes, after)

    return rules


def servers_of(settings: Settings) -> dict[str, Server]:
    """The servers of all partitions that the settings name, by name; none is open yet."""
    return {name: server_of(settings, name) for name in (DEFAULT, *settings.named)}


def server_of(settings: Settings, partition: str = DEFAULT, *, follows: bool = True) -> Server:
    """All that the interactions work with, on one partition of the store that the settings name; it is not open yet.

    Without `follows` what no write waits for is left to the next server: a load has better uses for its time.
    Problem not_found where the settings name no such partition.
    """
    _check_named(settings, partition)
    derived = projections(base_url_of(settings, partition))
    store = store_of(settings, partition, derived, follows=follows)
    versioned = frozenset(settings.versioned.split())
    if unknown := versioned - RESOURCE_TYPES - {ALL_TYPES}:
        raise Problem.invalid(f"CAREPLAN_VERSIONED names {', '.join(sorted(unknown))}, which are no types of FHIR R4")
    operations = {code: Invoked(row) for code, row in OPERATIONS.items()}
    several = settings.conditional_delete == "multiple"

    async def terminology(of: str, value: str) -> list[tuple[str, str]]:
        return await relation.codes(await store.view(), of, value)

    repository = Repository(store, derived, terminology)
    return Server(repository, DISPATCH, operations, versioned, _profiles(settings), several, bool(settings.cors))


def _check_named(settings: Settings, partition: str) -> None:
    if partition not in (DEFAULT, *settings.named):
        names = f"names {', '.join(settings.named)}" if settings.named else "names none"
        raise Problem.not_found(f"There is no partition {partition[:80]!r}: CAREPLAN_PARTITIONS {names}")


def store_of(settings: Settings, partition: str, derived: Projections, *, follows: bool = True) -> Store:
    """The engine that the setting names, on one partition."""
    engine: Any = SqliteStore if settings.store.startswith(SQLITE) else MongodbStore
    made: Store = engine(
        settings.store.removeprefix(SQLITE),
        derived,
        partition=partition,
        queue_limit=settings.queue,
        search_timeout=settings.search_timeout,
        page_horizon=settings.page_horizon,
        follows=follows,
    )
    return made


@asynccontextmanager
async def opened(settings: Settings, partition: str = DEFAULT) -> AsyncIterator[Server]:
    """One partition's server without HTTP: for a load, and for what is to be done before the first request."""
    server = server_of(settings, partition, follows=False)
    with under(base_url_of(settings, partition)):
        async with _open(server.repository.store, rules_of(settings, partition)):
            yield server


@asynccontextmanager
async def _open(store: Store, rules: Rules, *, later: bool = False) -> AsyncIterator[None]:
    await store.open(rules, later=later)
    try:
        yield
    finally:
        await store.close()


@asynccontextmanager
async def running(servers: Iterable[Server], settings: Settings) -> AsyncIterator[None]:
    """All partitions' stores open, or to be, once their database is back: none waits for another.

    With what goes on beside their requests.
    """
    async with AsyncExitStack() as stack:
        begun = (stack.enter_async_context(_running(server, settings)) for server in servers)
        for each in await asyncio.gather(*begun, return_exceptions=True):
            if isinstance(each, BaseException):
                raise each
        yield


@asynccontextmanager
async def _running(server: Server, settings: Settings) -> AsyncIterator[None]:
    repository, partition = server.repository, server.repository.store.partition
    async with AsyncExitStack() as stack:
        with under(base_url_of(settings, partition)):  # what is begun here keeps this context
            await stack.enter_async_context(_open(repository.store, rules_of(settings, partition), later=True))
            await stack.enter_async_context(lookout.watching(repository, settings.oversight_interval))
        yield
        await server.jobs.close()
