"""history: the versions of a resource, of a type or of all, newest first.

https://hl7.org/fhir/R4/http.html#history
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce

import orjson

from server.fhir import body, bundle, summary
from server.fhir.datatype import search_date
from server.fhir.reference import Local, local
from server.interactions.exchange import Request, Response, Server
from server.interactions.read import subset
from server.interactions.search import PAGE, url_of
from server.ledger import Cursor, Version, instant
from server.outcome import Issue, Problem
from server.search import prefix
from server.store.engine import Named, Page

COUNT = 50
MAX_COUNT = 1000
MILLISECOND = 1000  # microseconds
NEWEST_FIRST = "-_lastUpdated"  # the one order that a history has
KNOWN = {"_since", "_at", "_list", "_count", "_sort", "_summary", "_elements", PAGE}
CREATED, DELETED, CHANGED = "201 Created", "204 No Content", "200 OK"

Period = tuple[int, int]  # microseconds since the epoch, half-open
ALWAYS = (0, 1 << 62)


async def history(server: Server, request: Request) -> Response:
    """GET [base]/_history, [base]/[type]/_history, [base]/[type]/[id]/_history."""
    _check_known(request)
    lists = await _lists(server, request)
    since, at = _moment(request, "_since"), _period(request)
    named = None if lists is None else _named(request, lists)
    page = await server.repository.history(
        request.caller,
        request.place.type or None,
        request.place.id or None,
        since=since and since[0],
        at=at,
        count=_count(request),
        page=request.parameter(PAGE),
        only=set() if at and at[0] == at[1] else named,
    )
    return Response(200, _bundle(request, page, lists or ()))


def _check_known(request: Request) -> None:
    unknown = [name for name, value in request.parameters if not _is_known(name, value)]
    if unknown and not request.prefer.lenient:
        raise Problem.with_issues(
            "invalid",
            [
                Issue(
                    "not-supported",
                    f"History takes {', '.join(sorted(KNOWN))}, and _sort={NEWEST_FIRST} alone; not {name[:80]!r}",
                    (name[:80],),
                )
                for name in unknown
            ],
        )
    summary.check(request.parameter("_summary") or None)


def _is_known(name: str, value: str) -> bool:
    return name in KNOWN and (name != "_sort" or value in {"", NEWEST_FIRST})


def _moment(request: Request, name: str) -> Period | None:
    """A date or an instant as the time from its start to its end."""
    value = request.parameter(name)
    return _dated(name, value) if value else None


def _dated(name: str, value: str) -> Period:
    found = search_date(value)
    if found is None:
        raise Problem.invalid(f"{name} is a date or an instant, such as 2026-01-31T10:00:00Z", name)
    return found


def _period(request: Request) -> Period | None:
    """The time that every _at names: what is told was current at some moment of it."""
    values = [value for name, value in request.parameters if name == "_at" and value]
    return reduce(_both, map(_span, values)) if values else None


def _both(one: Period, other: Period) -> Period:
    """The time that two periods share; one that ends as it begins where they share none."""
    start = max(one[0], other[0])
    return start, max(start, min(one[1], other[1]))


def _span(value: str) -> Period:
    """The time that one _at names. A millisecond is its end: what is told as of it has come about in it."""
    comparator, text = prefix.read(value, "2026-01-31, ge2026-01 and the like")
    start, end = _dated("_at", text)
    told = end - 1 if end - start <= MILLISECOND else start
    match comparator:
        case "eq":
            return told, end
        case "ge":
            return told, ALWAYS[1]
        case "gt" | "sa":
            return end, ALWAYS[1]
        case "le":
            return ALWAYS[0], end
        case "lt" | "eb":
            return ALWAYS[0], start
    raise Problem.invalid(f"_at takes the prefixes eq, ge, gt, sa, le, lt and eb; not {comparator}", "_at")


def _count(request: Request) -> int:
    value = request.parameter("_count")
    if value and not (value.isascii() and value.isdecimal() and len(value) < 10):
        raise Problem.invalid("_count is a whole number of 0 or more", "_count")
    if request.parameter("_summary") == "count":
        return 0
    return min(int(value), MAX_COUNT) if value else COUNT


async def _lists(server: Server, request: Request) -> list[Version] | None:
    """The Lists that _list names, which another page names in the version that it was made by; None without _list."""
    values = [value for name, value in request.parameters if name == "_list" and value]
    if not values:
        return None
    asked = [_list(value, request.base_url) for value in ",".join(values).split(",")]
    found = [await _stored(server, request, one) for one in asked]
    return [version for version in found if version is not None]


def _list(value: str, base_url: str) -> Local:
    found = local(value if "/" in value else f"List/{value}", base_url)
    if found is None or found.type != "List":
        raise Problem.invalid(f"{value[:80]!r} is no list kept here; the id of a List is", "_list")
    return found


async def _stored(server: Server, request: Request, asked: Local) -> Version | None:
    try:
        if asked.version is None:
            return await server.repository.read(request.caller, "List", asked.id)
        return await server.repository.vread(request.caller, "List", asked.id, _position(asked.version) or 0)
    except Problem as problem:
        if problem.kind not in {"not_found", "gone"}:
            raise
        return None


def _named(request: Request, lists: list[Version]) -> set[Named]:
    """The resources, and the versions of some, that the items of Lists name."""
    found = set()
    for version in lists:
        for entry in body.loads(version.body or b"").get("entry", ()):
            item = local(entry.get("item", {}).get("reference", ""), request.base_url)
            if item is not None:
                found.add((f"{item.type}/{item.id}", None if item.version is None else _position(item.version)))
    return found


def _position(version: str) -> int:
    """A versionId as a position; 0, which no version has, where it is none."""
    return int(version) if version.isascii() and version.isdecimal() and len(version) < 15 else 0


def _bundle(request: Request, page: Page, lists: list[Version] | tuple[()]) -> bytes:
    known = [(name, value) for name, value in request.parameters if _is_known(name, value)]
    applied = [(name, value) for name, value in known if name != PAGE]
    links = [("self", url_of(request, known))]
    if page.next is not None:
        pinned = [pair for pair in applied if pair[0] != "_list"]
        if len(pinned) < len(applied):
            pinned.append(("_list", ",".join(f"{one.reference}/_history/{one.position}" for one in lists)))
        links.append(("next", url_of(request, [*pinned, (PAGE, page.next)])))
    return bundle.assembled("history", _entries(request, page), total=page.total, links=links)


def _entries(request: Request, page: Page) -> Iterator[bytes]:
    base = request.base_url.encode()
    for version in page.matches:
        reference = version.reference.encode()
        yield b'{"fullUrl":"%b/%b"%b,"request":{"method":"%b","url":"%b"},"response":%b}' % (
            base,
            reference,
            b"" if version.body is None else b',"resource":' + _part(request, version.body),
            version.method.encode(),
            version.type.encode() if version.method == "POST" else reference,
            _response(version, Cursor(version.position, version.ordinal) in page.created),
        )


def _part(request: Request, content: bytes) -> bytes:
    kind, elements = request.parameter("_summary") or None, request.parameter("_elements") or ""
    return subset(content, kind, elements.split(",")) if kind or elements else content


def _response(version: Version, is_created: bool) -> bytes:
    status = DELETED if version.body is None else CREATED if is_created else CHANGED
    return orjson.dumps({"status": status, "etag": version.etag, "lastModified": instant(version.at)})
