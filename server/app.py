"""The application: the one place where the rooms meet."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import catalog, guide, log, lookout, metrics
from server.coordination.facts import facts
from server.coordination.rule import rules as care_rules
from server.fhir.definition import RESOURCE_TYPES
from server.interactions import exchange, openapi, write
from server.interactions.cors import Cors
from server.interactions.exchange import ALL_TYPES, Server
from server.interactions.headers import CSV
from server.interactions.http import Base
from server.interactions.jobs import Jobs
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
from server.settings import Settings
from server.store.engine import Projections, Store
from server.store.mongodb.engine import MongodbStore
from server.store.sqlite.engine import SqliteStore
from server.validation import conformance, policy
from server.validation.policy import Policy
from server.validation.terminology import relation

PATH = "/fhir"
SQLITE = "sqlite:///"
PROJECTIONS = "5"  # to be raised with every change to what the index or the facts hold: a store then asks for a rebuild
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


def create_app(settings: Settings | None = None) -> ASGIApp:
    """The ASGI application on the store that the settings name; its lifespan opens and closes it."""
    settings = settings or Settings()
    log.to_stderr(settings.log_level)
    BoundedProtocol.patience = settings.patience
    _stop_after_parent()
    return application(server_of(settings), settings)


def application(server: Server, settings: Settings) -> ASGIApp:
    """FHIR's own traffic goes straight to its base, all else through FastAPI."""
    base = Base(
        server,
        PATH,
        settings.base_url,
        settings.trust_proxy,
        settings.max_body,
        _traced if settings.log_level == "debug" else metrics.observe,
        Cors(frozenset(settings.cors.split())),
        settings.patience,
    )
    beside = _beside(server, rules_of(settings), settings)
    headed = Headed(beside)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await beside(scope, receive, send)
            return
        path = scope["path"]
        inner = base if path.startswith(PATH) and path[len(PATH) :][:1] in {"", "/"} else headed
        try:
            await inner(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - uvicorn would log it with its own words, which may quote a client's
            exchange.logged(error)

    return app


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


def rules_of(settings: Settings) -> Rules:
    """What every commit is held to at the ledger's head: the profiles that it declares, then the care rules."""
    profiles = _profiles(settings)

    async def rules(context: Context, before: View, changes: Sequence[Change], after: View) -> Sequence[Change]:
        if settings.base_url:
            context = replace(context, base_url=settings.base_url)
        await policy.enforced(profiles, context, before, changes, after)
        return await care_rules(context, before, changes, after)

    return rules


def server_of(settings: Settings, *, follows: bool = True) -> Server:
    """All that the interactions work with, on the store that the settings name; it is not open yet.

    Without `follows` what no write waits for is left to the next server: a load has better uses for its time.
    """
    derived = projections(settings.base_url)
    store = _store(settings, derived, follows)
    versioned = frozenset(settings.versioned.split())
    if unknown := versioned - RESOURCE_TYPES - {ALL_TYPES}:
        raise Problem.invalid(f"CAREPLAN_VERSIONED names {', '.join(sorted(unknown))}, which are no types of FHIR R4")
    operations = {code: Invoked(row) for code, row in OPERATIONS.items()}
    several = settings.conditional_delete == "multiple"

    async def terminology(of: str, value: str) -> list[tuple[str, str]]:
        return await relation.codes(await store.view(), of, value)

    repository = Repository(store, derived, terminology)
    jobs = Jobs(Path(f"{settings.store.removeprefix(SQLITE)}.async")) if settings.store.startswith(SQLITE) else None
    return Server(repository, DISPATCH, operations, versioned, _profiles(settings), several, jobs, bool(settings.cors))


def _store(settings: Settings, derived: Projections, follows: bool) -> Store:
    """The engine that the setting names."""
    engine: Any = SqliteStore if settings.store.startswith(SQLITE) else MongodbStore
    made: Store = engine(
        settings.store.removeprefix(SQLITE),
        derived,
        queue_limit=settings.queue,
        search_timeout=settings.search_timeout,
        page_horizon=settings.page_horizon,
        follows=follows,
    )
    return made


def _traced(method: str, place: str, status: int, seconds: float) -> None:
    """Count one request, and log it: what kind of place it was at, and not which resource it was of."""
    metrics.observe(method, place, status, seconds)
    id = exchange.REQUEST_ID.get().decode("latin-1")
    _log.debug("request", request=id, method=method, place=place, status=status, ms=round(seconds * 1000, 2))


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


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Server]:
    """The server without HTTP: for a load, and for what is to be done before the first request."""
    server = server_of(settings, follows=False)
    async with _open(server.repository, rules_of(settings)):
        yield server


@asynccontextmanager
async def _open(repository: Repository, rules: Rules) -> AsyncIterator[None]:
    await repository.store.open(rules)
    try:
        yield
    finally:
        await repository.store.close()


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


def _beside(server: Server, rules: Rules, settings: Settings) -> FastAPI:
    """What is not FHIR: for operators, and for a person who looks in with a browser."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _open(server.repository, rules):
            gc.freeze()  # the tables that stay for good are not looked through again
            gc.set_threshold(10_000, 20, 50)  # a large Bundle is a million objects: fewer looks at them
            async with lookout.watching(server.repository, settings.oversight_interval):
                yield
                if server.jobs is not None:
                    await server.jobs.close()

    app = FastAPI(
        title="careplan-server",
        description=f"The FHIR API is at {PATH}/metadata.",
        lifespan=lifespan,
        openapi_url=None,  # it is answered with FHIR's own below
        docs_url=None,  # FastAPI's own pages load their scripts from other servers
        redoc_url=None,
    )
    app.include_router(_health(server.repository.store))
    app.include_router(_pages(server), include_in_schema=False)

    @app.get("/openapi.json", include_in_schema=False)
    async def described(type: str = "") -> JSONResponse:
        if type and type not in RESOURCE_TYPES:
            return JSONResponse({"detail": "That is no resource type of FHIR R4"}, 404)
        made = openapi.written(server, PATH, type)
        beside = {} if type else app.openapi()["paths"]
        return JSONResponse(made | {"paths": made["paths"] | beside})

    return app


def _health(store: Store) -> APIRouter:
    """For operators: whether the server answers, whether it takes writes, and its numbers."""
    router = APIRouter()

    @router.get("/health")
    @router.get("/health/ready")
    async def ready() -> JSONResponse:
        """Whether reads and writes are taken."""
        told: dict[str, Any] = {"live": True, "ready": False}
        try:
            told["position"] = await asyncio.wait_for(store.head(), READY_WITHIN)
        except (Problem, TimeoutError):
            return JSONResponse(told | {"why": "The store's database does not answer"}, 503)
        if refusing := store.refusing:
            return JSONResponse(told | {"why": refusing}, 503)
        return JSONResponse(told | {"ready": True})

    @router.get("/health/live")
    async def live() -> dict[str, bool]:
        """Whether the process answers at all."""
        return {"live": True}

    @router.get("/metrics", include_in_schema=False)
    async def prometheus() -> Response:
        return Response(await metrics.latest(store), media_type=metrics.CONTENT_TYPE)

    return router


def _pages(server: Server) -> APIRouter:
    """For a person with a browser: the guide, and the API by type."""
    router = APIRouter()

    @router.get("/docs")
    @router.get("/docs/{name:path}")
    async def docs(name: str = "index") -> HTMLResponse:
        return _page(guide.page(name))

    @router.get("/api")
    async def types() -> HTMLResponse:
        return _page(catalog.index(server, PATH))

    @router.get("/api/{type}")
    async def one_type(type: str) -> HTMLResponse:
        return _page(catalog.page(server, PATH, type))

    @router.get("/")
    async def index(request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return _page(catalog.front(PLACES))
        return JSONResponse(PLACES)

    return router
