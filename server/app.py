"""The application: the one place where the rooms meet."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import catalog, guide, log, lookout, metrics
from server.coordination.facts import facts
from server.coordination.rule import rules as care_rules
from server.fhir import body
from server.fhir.definition import RESOURCE_TYPES
from server.fhir.reference import PATH, BaseUrl, under
from server.interactions import exchange, openapi, write
from server.interactions.cors import Cors
from server.interactions.exchange import ALL_TYPES, Server
from server.interactions.headers import CSV
from server.interactions.http import Base
from server.interactions.routes import DISPATCH
from server.ledger import Change, Context, FactRow, Resource, Rules, View
from server.operations.call import LARGE, Call
from server.operations.parameters import Inputs
from server.operations.registry import OPERATIONS, Operation
from server.outcome import Problem
from server.protocol import BoundedProtocol
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
READY_WITHIN = 2.0  # seconds in which a store that is ready says its position
PLACES = {
    "FHIR R4": PATH,
    "CapabilityStatement": f"{PATH}/metadata",
    "guide": "/docs",
    "API by type": "/api",
    "OpenAPI": "/openapi.json",
    "health": "/health",
    "metrics": "/metrics",
}

_log = structlog.get_logger("app")


def places(partitions: Iterable[str]) -> dict[str, str]:
    """Where everything is, and each partition that has a name."""
    return PLACES | {f"partition {name}": f"{PATH}{below(name)}" for name in partitions}


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The ASGI application on the store that the settings name; its lifespan opens and closes it."""
    settings = settings or Settings()
    log.to_stderr(settings.log_level)
    BoundedProtocol.patience = settings.patience
    _stop_after_parent()
    return application(servers_of(settings), settings)


def application(servers: Mapping[str, Server], settings: Settings) -> ASGIApp:
    """FHIR's own traffic goes straight to the base of its partition, all else through FastAPI."""
    named = {name: _base(server, settings, name) for name, server in servers.items()}
    default = named.pop(DEFAULT)
    beside = _beside(servers, settings)
    headed = Headed(beside)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await beside(scope, receive, send)
            return
        path = scope["path"]
        inner: ASGIApp = headed
        if path.startswith(PATH) and path[len(PATH) :][:1] in {"", "/"}:
            # A name that is none of a partition's is no place below the default base either
            inner = named.get(path[len(PATH) + 1 :].partition("/")[0], default) if named else default
        try:
            await inner(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - uvicorn would log it with its own words, which may quote a client's
            exchange.logged(error)

    return app


def _base(server: Server, settings: Settings, partition: str) -> Base:
    """Where a partition is on the web."""
    own = base_url_of(settings, partition)
    return Base(
        server,
        PATH,
        below(partition),
        own if settings.base_url else "",
        own,
        settings.trust_proxy,
        settings.max_body,
        partial(_traced if settings.log_level == "debug" else metrics.observe, partition),
        Cors(frozenset(settings.cors.split())),
        settings.patience,
    )


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


def _traced(partition: str, method: str, place: str, status: int, seconds: float) -> None:
    """Count one request, and log it: what kind of place it was at, and not which resource it was of."""
    metrics.observe(partition, method, place, status, seconds)
    id, ms = exchange.REQUEST_ID.get().decode("latin-1"), round(seconds * 1000, 2)
    _log.debug("request", request=id, partition=partition, method=method, place=place, status=status, ms=ms)


@dataclass(frozen=True, slots=True)
class Headed:
    """HEAD wherever there is GET. https://www.rfc-editor.org/rfc/rfc9110#section-9.3.2"""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def without_body(message: Message) -> None:
            await send({**message, "body": b""} if message["type"] == "http.response.body" else message)

        if scope["method"] == "HEAD":
            await self.app({**scope, "method": "GET"}, receive, without_body)
        else:
            await self.app(scope, receive, send)


@dataclass(frozen=True, slots=True)
class Invoked:
    """An operation, as the interactions call it: they and the operations' room do not know one another."""

    operation: Operation

    @property
    def definition(self) -> Mapping[str, Any]:
        return self.operation.definition

    @property
    def gets(self) -> bool:
        return self.operation.gets

    async def __call__(self, server: Server, request: exchange.Request) -> exchange.Response:
        is_large = len(request.content) >= LARGE
        inputs = await asyncio.to_thread(self._inputs, request) if is_large else self._inputs(request)
        if request.place.id and not self.operation.judges:
            await server.repository.check_seen(request.caller, request.place.type, request.place.id)
        call = Call(
            server.repository,
            request.caller,
            request.place.type,
            request.place.id,
            inputs,
            csv=request.media_type == CSV,
            writes=request.method == "POST",
            key=write.key_of(request),
            fingerprint=write.fingerprint(request),
            base_url=request.base_url,
            gone=request.gone,
            size=len(request.parsed.source) if request.parsed else 0,
            tell=request.tell,
            perform=partial(_perform, server, request),
        )
        answer = await self.operation.function(call)
        if answer.table is not None:
            return exchange.Response(answer.status, answer.table.encode(), media_type=CSV)
        if answer.text is not None:
            return exchange.Response(answer.status, answer.text)
        if answer.version is not None:
            location = write.location_of(answer.version)
            return exchange.Response(answer.status, answer.version.body or b"", answer.version, location)
        return exchange.Response.of(answer.status, self.operation.resource(answer))

    def _inputs(self, request: exchange.Request) -> Inputs:
        sent = request.body() if request.parsed is not None or request.content else None
        return self.operation.inputs(sent, request.parameters, request.base_url)


async def _perform(server: Server, request: exchange.Request, bundle: Resource, key: str | None) -> Resource:
    """What the base answers to a Bundle by whoever made a request."""
    headers = {name: request.headers[name] for name in (b"x-provenance",) if name in request.headers}
    if key:
        headers[b"idempotency-key"] = key.encode("latin-1")
    headers[b"prefer"] = b"return=minimal"
    content = await asyncio.to_thread(body.dumps, bundle)
    asked = exchange.Request("POST", exchange.locate(""), request.base_url, (), headers, request.caller, content)
    found: Resource = body.loads((await server.perform(asked)).body)
    return found


@asynccontextmanager
async def opened(settings: Settings, partition: str = DEFAULT) -> AsyncIterator[Server]:
    """One partition's server without HTTP: for a load, and for what is to be done before the first request."""
    server = server_of(settings, partition, follows=False)
    with under(base_url_of(settings, partition)):
        async with _open(server.repository.store, rules_of(settings, partition)):
            yield server


@asynccontextmanager
async def _open(store: Store, rules: Rules) -> AsyncIterator[None]:
    await store.open(rules)
    try:
        yield
    finally:
        await store.close()


@asynccontextmanager
async def _kept(server: Server, settings: Settings) -> AsyncIterator[None]:
    """A partition's store open, with what goes on beside its requests."""
    repository, partition = server.repository, server.repository.store.partition
    async with AsyncExitStack() as stack:
        with under(base_url_of(settings, partition)):  # what is begun here keeps this context
            await stack.enter_async_context(_open(repository.store, rules_of(settings, partition)))
            await stack.enter_async_context(lookout.watching(repository, settings.oversight_interval))
        yield
        await server.jobs.close()


def _stop_after_parent() -> None:
    """A worker whose supervisor is killed stops too: it would go on unseen, and keep the port from the next start."""
    if (parent := multiprocessing.parent_process()) is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="careplan-parent", daemon=True).start()


def _page(found: str | None) -> HTMLResponse:
    """A page that runs no script and loads nothing."""
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'"}
    return HTMLResponse(found or "There is no such page", 200 if found else 404, headers)


def _beside(servers: Mapping[str, Server], settings: Settings) -> FastAPI:
    """What is not FHIR: for operators, and for a person who looks in with a browser."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for server in servers.values():
                await stack.enter_async_context(_kept(server, settings))
            gc.freeze()  # the tables that stay for good are not looked through again
            gc.set_threshold(10_000, 20, 50)  # a large Bundle is a million objects: fewer looks at them
            yield

    app = FastAPI(
        title="careplan-server",
        description=f"The FHIR API is at {PATH}/metadata.",
        lifespan=lifespan,
        openapi_url=None,  # it is answered with FHIR's own below
        docs_url=None,  # FastAPI's own pages load their scripts from other servers
        redoc_url=None,
    )
    stores = {name: server.repository.store for name, server in servers.items()}
    app.include_router(_health(stores))
    app.include_router(_pages(servers), include_in_schema=False)

    @app.get("/openapi.json", include_in_schema=False)
    async def described(type: str = "", partition: str = DEFAULT) -> JSONResponse:
        if type and type not in RESOURCE_TYPES:
            return JSONResponse({"detail": "That is no resource type of FHIR R4"}, 404)
        if partition not in servers:
            return JSONResponse({"detail": "There is no such partition"}, 404)
        made = openapi.written(servers[partition], f"{PATH}{below(partition)}", type)
        beside = {} if type else app.openapi()["paths"]
        return JSONResponse(made | {"paths": made["paths"] | beside})

    return app


async def _state(store: Store) -> dict[str, Any]:
    """Whether a partition's reads and writes are taken, and why not."""
    try:
        position = await asyncio.wait_for(store.head(), READY_WITHIN)
    except (Problem, TimeoutError):
        return {"ready": False, "why": "The store's database does not answer"}
    told = {"ready": store.refusing is None, "position": position}
    return told | ({"why": store.refusing} if store.refusing else {})


def _health(stores: Mapping[str, Store]) -> APIRouter:
    """For operators: whether the server answers, whether it takes writes, and its numbers."""
    router = APIRouter()

    @router.get("/health")
    @router.get("/health/ready")
    async def ready() -> JSONResponse:
        """Whether the default partition takes reads and writes; those that have names are told beside it."""
        states = dict(zip(stores, await asyncio.gather(*map(_state, stores.values())), strict=True))
        default = states.pop(DEFAULT)
        return _told(default | ({"partitions": states} if states else {}))

    @router.get("/health/ready/{partition}", responses={404: {"description": "There is no such partition"}})
    async def ready_partition(partition: str) -> JSONResponse:
        """Whether one partition takes reads and writes."""
        if partition not in stores:
            return JSONResponse({"detail": "There is no such partition"}, 404)
        return _told(await _state(stores[partition]))

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        """Whether the process answers at all."""
        return {"live": True}

    @router.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        return Response(await metrics.latest(stores.values()), media_type=metrics.CONTENT_TYPE)

    return router


def _told(state: dict[str, Any]) -> JSONResponse:
    return JSONResponse({"live": True} | state, 200 if state["ready"] else 503)


def _pages(servers: Mapping[str, Server]) -> APIRouter:
    """For a person with a browser: the guide, and the API by type."""
    router = APIRouter()

    @router.get("/docs")
    @router.get("/docs/{name:path}")
    async def docs(name: str = "index") -> HTMLResponse:
        return _page(guide.page(name))

    @router.get("/api")
    async def types(partition: str = DEFAULT) -> HTMLResponse:
        server = servers.get(partition)
        return _page(catalog.index(server, PATH, below(partition)) if server else None)

    @router.get("/api/{type}")
    async def one_type(type: str, partition: str = DEFAULT) -> HTMLResponse:
        server = servers.get(partition)
        return _page(catalog.page(server, PATH, below(partition), type) if server else None)

    @router.get("/")
    async def index(request: Request) -> Response:
        found = places(name for name in servers if name != DEFAULT)
        if "text/html" in request.headers.get("accept", ""):
            return _page(catalog.front(found))
        return JSONResponse(found)

    return router
