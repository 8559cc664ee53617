"""search: the resources of a type, of several or of a compartment that satisfy a query, and what they include.

https://hl7.org/fhir/R4/http.html#search, https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from urllib.parse import quote

from server.fhir import body, bundle, summary
from server.fhir.definition import RESOURCE_TYPES
from server.interactions.exchange import Parameters, Place, Request, Response, Server
from server.interactions.read import subset
from server.ledger import Position, Version
from server.outcome import Issue, Problem, outcome
from server.search import query
from server.search.compartment import types
from server.search.query import Query
from server.store.engine import Page

PAGE = "_page"  # our own parameter: the token of a next page
MAX_URL = 60_000  # characters: HTTP servers take little more


async def search(server: Server, request: Request) -> Response:
    """GET [base]/[type]?[parameters], [base]?[parameters], [base]/[compartment]/[id]/[type]?[parameters].

    Or POST to _search below these, the parameters in a form, in the URL, or in both.
    """
    page = next((value for name, value in request.parameters if name == PAGE), None)
    if page is None and (tag := await _known(server, request)) is not None:
        return Response(304, headers=((b"etag", tag),))
    criteria = [(name, value) for name, value in request.parameters if name != PAGE]
    found = await server.repository.parsed(
        _types(request.place, criteria),
        criteria,
        base_url=request.base_url,
        lenient=request.prefer.lenient,
        within=request.place.compartment or None,
    )
    summary.check(found.summary)
    result = await server.repository.search(request.caller, found, page)
    headers = ((b"etag", _tag(request, result.position)),) if request.method != "POST" else ()
    return Response(200, _searchset(request, found, result, page), headers=headers)


def _tag(request: Request, position: Position) -> bytes:
    """The ETag of an answer: what was asked, and the ledger's position that it was answered from."""
    asked = repr(
        (
            request.base_url,
            request.place,
            list(request.parameters),
            request.caller,
            request.prefer,
            request.media_type,
            request.format,
        )
    )
    return b'W/"%d-%08x"' % (position, zlib.crc32(asked.encode()))


async def _known(server: Server, request: Request) -> bytes | None:
    """The ETag of the answer that the client has already: nothing at all was written since."""
    known = request.headers.get(b"if-none-match")
    if known is None or request.method == "POST":
        return None
    tag = _tag(request, await server.repository.head(request.caller))
    return tag if tag in {part.strip() for part in known.split(b",")} else None


def _types(place: Place, asked: Parameters) -> str | Sequence[str]:
    """What is searched: the place's type, or those that _type names of all that there are."""
    if place.type:
        return place.type
    compartment = place.compartment.partition("/")[0]
    return query.types_of(asked, types(compartment) if compartment else RESOURCE_TYPES)


def _searchset(request: Request, found: Query, page: Page, asked: str | None) -> bytes:
    own = url_of(request, found.applied)
    links = [] if asked else [("self", own)]
    tokens = {"self": asked, "first": page.first, "previous": page.previous, "next": page.next, "last": page.last}
    links += [
        (relation, _followable(f"{own}{'&' if '?' in own else '?'}{PAGE}={_quoted(token)}"))
        for relation, token in tokens.items()
        if token
    ]
    return bundle.assembled("searchset", _entries(request, found, page), total=page.total, links=links)


def _followable(url: str) -> str:
    """The link to another page. Problem too_costly (413) for one that no client could follow, made from a long form."""
    if len(url) > MAX_URL:
        raise Problem.of(
            "too_costly",
            "The matches fill more than one page, and the criteria are too long for a link to another: "
            "search for fewer values at once, or ask for more resources a page (_count)",
        )
    return url


def _entries(request: Request, found: Query, page: Page) -> Iterator[bytes]:
    """The matches, what they include, and a word on what was left out, even where only a count is asked for."""
    if found.count != 0 and found.summary != "count":
        for version in page.matches:
            yield _entry(request, found, version, "match")
        for version in page.included:
            yield _entry(request, found, version, "include")
    plan = [Issue("informational", line, severity="information") for line in page.plan]
    issues: Sequence[Issue] = (*found.ignored, *page.issues, *plan)
    if issues:
        yield b'{"resource":%b,"search":{"mode":"outcome"}}' % body.dumps(outcome(issues))


def _entry(request: Request, found: Query, version: Version, mode: str) -> bytes:
    content = version.body or b""
    if found.summary or found.elements:
        content = subset(content, found.summary, found.elements)
    return bundle.entry(request.base_url, version.reference, content, mode)


def url_of(request: Request, applied: Sequence[tuple[str, str]]) -> str:
    """A link to this place with these parameters."""
    place = request.place
    parts = [part for part in (place.compartment, place.type, place.id) if part]
    if place.compartment and not place.type:
        parts.append("*")
    if place.shape.endswith("_history"):
        parts.append("_history")
    url = "/".join((request.base_url, *parts))
    applied = [*applied, ("_format", request.format)] if request.format else applied
    asked = "&".join(f"{_quoted(name)}={_quoted(value)}" for name, value in applied)
    return f"{url}?{asked}" if asked else url


def _quoted(text: str) -> str:
    return text if text.isascii() and text.isalnum() else quote(text, safe=_SAFE)


_SAFE = ":/,|.-_~$"
