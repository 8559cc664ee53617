"""The application: FHIR by partition, and what is beside it. The one place where the rooms meet."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server import log, metrics
from server.app import health, pages
from server.app.partition import base_url_of, below, running, servers_of
from server.fhir.definition import RESOURCE_TYPES
from server.fhir.reference import PATH
from server.interactions import exchange, openapi
from server.interactions.cors import Cors
from server.interactions.exchange import Server
from server.interactions.http import Base
from server.protocol import BoundedProtocol
from server.settings import DEFAULT, Settings

_log = structlog.get_logger("app")


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


def _stop_after_parent() -> None:
    """A worker whose supervisor is killed stops too: it would go on unseen, and keep the port from the next start."""
    if (parent := multiprocessing.parent_process()) is None:
        return

    def watch() -> None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, name="careplan-parent", daemon=True).start()


def _beside(servers: Mapping[str, Server], settings: Settings) -> FastAPI:
    """What is not FHIR: for operators, and for a person who looks in with a browser."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with running(servers.values(), settings):
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
    app.include_router(health.router(stores))
    app.include_router(pages.router(servers), include_in_schema=False)

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
