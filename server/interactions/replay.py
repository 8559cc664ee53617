"""history: a Bundle of versions, from another server, written here in the order in which they came about.

https://hl7.org/fhir/R4/http.html#other-bundles
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from server.fhir import body, bundle
from server.fhir.body import Body
from server.interactions import entry
from server.interactions.exchange import Request, Response, Server
from server.outcome import Problem

WRITTEN = frozenset({"POST", "PUT", "PATCH"})  # whose entry holds what came of it


async def replay(server: Server, request: Request, entries: Sequence[body.Entry]) -> Response:
    """Write each version after those before it, oldest first, under its own id; each succeeds or fails alone."""
    answers = [b""] * len(entries)
    for index in reversed(range(len(entries))):
        answers[index] = entry.written(request.base_url, await _written(server, request, index, entries[index]))
    return Response(200, bundle.assembled("batch-response", answers))


async def _written(server: Server, request: Request, index: int, asked: body.Entry) -> Response:
    try:
        members = {**asked.members, "request": _direct(asked.members.get("request"), asked.resource)}
        return await entry.perform(server, entry.read(request, index, members, asked.resource))
    except Problem as problem:
        return Response.refused(entry.placed(problem, index))


def _direct(told: Any, resource: Body | None) -> dict[str, Any]:
    """The request as one of the resource itself: a version is no condition's, and keeps its id."""
    method = told.get("method") if isinstance(told, dict) else None
    if method == "DELETE":
        return {"method": method, "url": told.get("url")}
    if not isinstance(method, str) or method not in WRITTEN:
        raise Problem.invalid("A history's entry tells of a POST, PUT, PATCH or DELETE", "request.method")
    if resource is None or resource.id is None:
        raise Problem.of("required", "A history's entry holds the resource that was written, with its id", "resource")
    return {"method": "PUT", "url": f"{resource.type}/{resource.id}"}
