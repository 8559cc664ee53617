"""history: the versions of a resource, of a type or of all, newest first.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from server.fhir import bundle
from server.fhir.datatype import search_date
from server.interactions.exchange import Request, Response, Server
from server.interactions.search import PAGE, url_of
from server.ledger import Cursor, Version, instant
from server.outcome import Issue, Problem
from server.store.engine import Page

COUNT = 50
MAX_COUNT = 1000
MILLISECOND = 1000  # microseconds
KNOWN = {"_since", "_at", "_count", PAGE}
CREATED, DELETED, CHANGED = "201 Created", "204 No Content", "200 OK"


async def history(server: Server, request: Request) -> Response:
    """GET [base]/_history, [base]/[type]/_history, [base]/[type]/[id]/_history."""
    _check_known(request)
    since = _moment(request, "_since")
    page = await server.repository.history(
        request.caller,
        request.place.type or None,
        request.place.id or None,
        since=since and since[0],
        at=_period(request),
        count=_count(request),
        page=request.parameter(PAGE),
    )
    return Response(200, _bundle(request, page))


def _check_known(request: Request) -> None:
    unknown = [name for name, _ in request.parameters if name not in KNOWN]
    if unknown and not request.prefer.lenient:
        raise Problem.with_issues(
            "invalid",
            [
                Issue("not-supported", f"History takes {', '.join(sorted(KNOWN))}; not {name[:80]!r}", (name[:80],))
                for name in unknown
            ],
        )


def _moment(request: Request, name: str) -> tuple[int, int] | None:
    """A date or an instant as the time from its start to its end."""
    value = request.parameter(name)
    if not value:
        return None
    found = search_date(value)
    if found is None:
        raise Problem.invalid(f"{name} is a date or an instant, such as 2026-01-31T10:00:00Z", name)
    return found


def _period(request: Request) -> tuple[int, int] | None:
    """The time that _at names. A millisecond is its end: what is told as of it has come about in it."""
    period = _moment(request, "_at")
    if period is not None and period[1] - period[0] <= MILLISECOND:
        return period[1] - 1, period[1]
    return period


def _count(request: Request) -> int:
    value = request.parameter("_count")
    if not value:
        return COUNT
    if not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise Problem.invalid("_count is a whole number of 0 or more", "_count")
    return min(int(value), MAX_COUNT)


def _bundle(request: Request, page: Page) -> bytes:
    applied = [(name, value) for name, value in request.parameters if name in KNOWN - {PAGE}]
    links = [("self", url_of(request, applied))]
    if page.next is not None:
        links.append(("next", url_of(request, [*applied, (PAGE, page.next)])))
    return bundle.assembled("history", _entries(request, page), total=page.total, links=links)


def _entries(request: Request, page: Page) -> Iterator[bytes]:
    base = request.base_url.encode()
    for version in page.matches:
        reference = version.reference.encode()
        yield b'{"fullUrl":"%b/%b"%b,"request":{"method":"%b","url":"%b"},"response":%b}' % (
            base,
            reference,
            b"" if version.body is None else b',"resource":' + version.body,
            version.method.encode(),
            version.type.encode() if version.method == "POST" else reference,
            _response(version, Cursor(version.position, version.ordinal) in page.created),
        )


def _response(version: Version, is_created: bool) -> bytes:
    status = DELETED if version.body is None else CREATED if is_created else CHANGED
    return orjson.dumps({"status": status, "etag": version.etag, "lastModified": instant(version.at)})
