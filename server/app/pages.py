"""Pages: where everything is, the guide and the API by type, for a person with a browser."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse

from server import catalog, guide
from server.app.partition import below
from server.fhir.reference import PATH
from server.interactions.exchange import Server
from server.settings import DEFAULT

PLACES = {
    "FHIR R4": PATH,
    "CapabilityStatement": f"{PATH}/metadata",
    "guide": "/docs",
    "API by type": "/api",
    "OpenAPI": "/openapi.json",
    "health": "/health",
    "metrics": "/metrics",
}


def places(partitions: Iterable[str]) -> dict[str, str]:
    """Where everything is, and each partition that has a name."""
    return PLACES | {f"partition {name}": f"{PATH}{below(name)}" for name in partitions}


def router(servers: Mapping[str, Server]) -> APIRouter:
    """For a person with a browser: the guide, and the API by type."""
    found = APIRouter()

    @found.get("/docs")
    @found.get("/docs/{name:path}")
    async def docs(name: str = "index") -> HTMLResponse:
        return _page(guide.page(name))

    @found.get("/api")
    async def types(partition: str = DEFAULT) -> HTMLResponse:
        server = servers.get(partition)
        return _page(catalog.index(server, PATH, below(partition)) if server else None)

    @found.get("/api/{type}")
    async def one_type(type: str, partition: str = DEFAULT) -> HTMLResponse:
        server = servers.get(partition)
        return _page(catalog.page(server, PATH, below(partition), type) if server else None)

    @found.get("/")
    async def index(request: Request) -> Response:
        every = places(name for name in servers if name != DEFAULT)
        if "text/html" in request.headers.get("accept", ""):
            return _page(catalog.front(every))
        return JSONResponse(every)

    return found


def _page(found: str | None) -> HTMLResponse:
    """A page that runs no script and loads nothing."""
    headers = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'"}
    return HTMLResponse(found or "There is no such page", 200 if found else 404, headers)
