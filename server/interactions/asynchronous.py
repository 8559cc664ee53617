"""Asynchronous requests: what takes long is done after a 202, and asked about at a URL of its own.

https://hl7.org/fhir/R4/async.html, https://www.rfc-editor.org/rfc/rfc7240#section-4.1
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from functools import partial
from typing import Any

from server.fhir import body
from server.interactions.exchange import (
    BASE,
    COMPARTMENT,
    COMPARTMENT_SEARCH,
    INSTANCE_HISTORY,
    INSTANCE_OPERATION,
    SEARCH,
    SYSTEM_HISTORY,
    SYSTEM_OPERATION,
    SYSTEM_SEARCH,
    TYPE,
    TYPE_HISTORY,
    TYPE_OPERATION,
    Request,
    Response,
    Server,
)
from server.interactions.headers import CSV, http_date
from server.ledger import instant
from server.outcome import Issue, Problem
from server.store.jobs import EXPIRES, Jobs, Record

LATER = frozenset(  # what is done later where the client prefers it: all else is quick
    {("POST", BASE), ("POST", SEARCH), ("POST", SYSTEM_SEARCH), ("POST", COMPARTMENT_SEARCH)}
    | {("GET", shape) for shape in (BASE, TYPE, COMPARTMENT, SYSTEM_HISTORY, TYPE_HISTORY, INSTANCE_HISTORY)}
    | {(way, shape) for way in ("GET", "POST") for shape in (SYSTEM_OPERATION, TYPE_OPERATION, INSTANCE_OPERATION)}
)
RUNNING = 8  # requests that one worker does at once
KEPT = 200  # requests, in hand or done, that are kept for all workers
NDJSON = b"application/fhir+ndjson"
MANIFEST = b"application/json;charset=utf-8"


def is_later(request: Request) -> bool:
    """True where the client prefers to be answered later, and the server does so."""
    return request.prefer.later and (request.method, request.place.shape) in LATER


async def accept(server: Server, request: Request) -> Response:
    """Answer 202 at once, and do the request. Problem throttled (503) where too many wait already."""
    jobs = server.jobs
    if len(jobs.tasks) >= RUNNING or await jobs.sweep() >= KEPT:
        raise Problem.of(
            "throttled",
            "Too many asynchronous requests are kept: fetch the answers of some, and DELETE them",
            headers={"Retry-After": "10"},
        )
    id = secrets.token_hex(16)
    record = {"caller": request.caller.actor, "request": _asked(request), "at": time.time_ns() // 1000, "status": 0}
    await jobs.begin(id, record)
    request.tell = partial(jobs.tell, id)
    task = asyncio.create_task(_do(server, request, id, record))
    jobs.tasks[id] = task
    task.add_done_callback(lambda _: jobs.tasks.pop(id, None))
    told = _told(202, "It is being done: ask at Content-Location how far it is")
    told.headers = (
        (b"content-location", f"{request.base_url}/_async/{id}".encode()),
        (b"preference-applied", b"respond-async"),
    )
    return told


async def _do(server: Server, request: Request, id: str, record: Record) -> None:
    try:
        try:
            response = await server.perform(request)
        except Problem as problem:
            response = Response.refused(problem)
        except Exception as error:  # noqa: BLE001 - the client gets an id, and the log the place
            response = Response.failed(error)
        told = {
            "status": response.status,
            "type": _type(response),
            "location": response.location,
            "etag": response.version.etag if response.version else "",
        }
        await server.jobs.finish(id, record | told, _one_line(response))
    finally:
        server.jobs.let_go(id)
        server.jobs.tasks.pop(id, None)  # who is told that it is done may ask for the next at once


async def status(server: Server, request: Request) -> Response:
    """GET [base]/_async/[id]: 202 while it is being done; then what came of it, and where its answer is."""
    jobs, id = await _own(server, request)
    try:
        record = await jobs.read(id)
    except KeyError:
        raise _unknown() from None
    if record is None:
        waiting = _told(202, "It is being done")
        waiting.headers = ((b"retry-after", b"1"), (b"x-progress", (await jobs.told(id)).encode()))
        return waiting
    if not record["status"]:
        raise Problem.of(
            "internal",
            "The server was stopped while it did this, and nobody goes on with it. Whether it was done, what it was to "
            "write tells; sent again under the Idempotency-Key that it had, it is done once",
        )
    if record["status"] >= 400:
        return Response(record["status"], await jobs.answer(id), is_outcome=True)
    expires = http_date(record["at"] // 1_000_000 + EXPIRES)
    return Response(200, _manifest(request, id, record), headers=((b"expires", expires),), media_type=MANIFEST)


async def output(server: Server, request: Request) -> Response:
    """GET [base]/_async/[id]/1: the answer itself, a resource as one line of NDJSON, or a table."""
    jobs, id = await _own(server, request)
    record = await jobs.read(id)
    if record is None or not 200 <= record["status"] < 400 or not record["type"]:
        raise Problem.not_found("There is no answer here; [base]/_async/[id] tells how far it is")
    return Response(200, await jobs.answer(id), media_type=CSV if record["type"] == "csv" else NDJSON)


async def cancel(server: Server, request: Request) -> Response:
    """DELETE [base]/_async/[id]: break it off and forget it. What is written already stays."""
    jobs, id = await _own(server, request)
    await jobs.forget(id)
    return _told(202, "It is forgotten")


async def _own(server: Server, request: Request) -> tuple[Jobs, str]:
    """The caller's own job. Problem not_found (404), also where it is somebody else's."""
    jobs, id = server.jobs, request.place.id
    try:
        if await jobs.owner(id) == request.caller.actor:
            return jobs, id
    except KeyError:
        pass
    raise _unknown()


def _unknown() -> Problem:
    return Problem.not_found("There is no such asynchronous request: it is forgotten, too old, or was never made")


def _told(status: int, words: str) -> Response:
    return Response.told(status, [Issue("informational", words, severity="information")])


def _asked(request: Request) -> str:
    """The request in a line, without its parameters: they may hold what should not lie about in files."""
    place = request.place
    named = (place.compartment, place.type, place.id, f"${place.operation}" if place.operation else "")
    return "/".join([f"{request.method} {request.base_url}", *filter(None, named)])


def _type(response: Response) -> str:
    """What the answer is: a resource's type, csv, or "" where there is none."""
    if response.media_type:
        return "csv"
    found = re.match(rb'\{"resourceType":"(\w+)"', response.body)
    if found:
        return found[1].decode()
    return str(body.loads(response.body)["resourceType"]) if response.body else ""


def _one_line(response: Response) -> bytes:
    """NDJSON has a line for each resource; in JSON a line's end is never but between two words."""
    if response.media_type or response.status >= 400:
        return response.body
    return response.body.replace(b"\n", b" ").replace(b"\r", b" ") + b"\n"


def _manifest(request: Request, id: str, record: Record) -> bytes:
    more: dict[str, Any] = {"status": record["status"]}
    if record["location"]:
        more["location"] = f"{request.base_url}/{record['location']}"
    if record["etag"]:
        more["etag"] = record["etag"]
    url = f"{request.base_url}/_async/{id}/1"
    return body.dumps(
        {
            "transactionTime": instant(record["at"]),
            "request": record["request"],
            "requiresAccessToken": False,
            "output": [{"type": record["type"], "url": url}] if record["type"] else [],
            "error": [],
            "extension": more,
        }
    )
