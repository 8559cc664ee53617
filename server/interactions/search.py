"""search: the resources of a type that satisfy a query, a page of them, and what they include.

https://hl7.org/fhir/R4/http.html#search, https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote

from server.fhir import body, bundle, summary
from server.interactions.exchange import Parameters, Request, Response, Server, parameters
from server.interactions.read import subset
from server.ledger import Version
from server.outcome import Issue, Problem, outcome
from server.search import query
from server.search.query import Query
from server.store.engine import Page

PAGE = "_page"  # our own parameter: the token of a next page
MAX_URL = 60_000  # characters: HTTP servers take little more
FORM = b"application/x-www-form-urlencoded"


async def search(server: Server, request: Request) -> Response:
    """GET [base]/[type]?[parameters]."""
    return await _answer(server, request, request.parameters)


async def search_by_post(server: Server, request: Request) -> Response:
    """POST [base]/[type]/_search: the parameters are a form, in the URL, or both."""
    media_type = request.headers.get(b"content-type", FORM).partition(b";")[0].strip().lower()
    if request.content and media_type != FORM:
        raise Problem.of("unsupported_media", f"_search takes {FORM.decode()}", "http.Content-Type")
    return await _answer(server, request, [*request.parameters, *parameters(request.content)])


async def _answer(server: Server, request: Request, asked: Parameters) -> Response:
    page = next((value for name, value in asked if name == PAGE), None)
    criteria = [(name, value) for name, value in asked if name != PAGE]
    found = query.parse(request.place.type, criteria, base_url=request.base_url, lenient=request.prefer.lenient)
    summary.check(found.summary)
    result = await server.repository.search(request.caller, found, page)
    return Response(200, _searchset(request, found, result))


def _searchset(request: Request, found: Query, page: Page) -> bytes:
    links = [("self", url_of(request, found.applied))]
    if page.next is not None:
        links.append(("next", _followable(url_of(request, [*found.applied, (PAGE, page.next)]))))
    return bundle.assembled("searchset", _entries(request, found, page), total=page.total, links=links)


def _followable(url: str) -> str:
    """The link to a next page. Problem too_costly (413) for one that no client could follow, made from a long form."""
    if len(url) > MAX_URL:
        raise Problem.of(
            "too_costly",
            "The matches fill more than one page, and the criteria are too long for a link to the next: "
            "search for fewer values at once, or ask for more resources a page (_count)",
        )
    return url


def _entries(request: Request, found: Query, page: Page) -> Iterator[bytes]:
    """The matches, what they include, and a word on what was left out, even where only a count is asked for."""
    if found.count != 0 and found.summary != "count":
        for version in page.matches:
            yield _entry(request, found, version, b"match")
        for version in page.included:
            yield _entry(request, found, version, b"include")
    issues: Sequence[Issue] = (*found.ignored, *page.issues)
    if issues:
        yield b'{"resource":%b,"search":{"mode":"outcome"}}' % body.dumps(outcome(issues))


def _entry(request: Request, found: Query, version: Version, mode: bytes) -> bytes:
    content = version.body or b""
    if found.summary or found.elements:
        content = subset(content, found.summary, found.elements)
    return b'{"fullUrl":"%b/%b","resource":%b,"search":{"mode":"%b"}}' % (
        request.base_url.encode(),
        version.reference.encode(),
        content,
        mode,
    )


def url_of(request: Request, applied: Sequence[tuple[str, str]]) -> str:
    """A link to this place with these parameters."""
    place = "/".join(part for part in (request.place.type, request.place.id) if part)
    if request.place.shape.endswith("_history"):
        place = f"{place}/_history".lstrip("/")
    asked = "&".join(f"{quote(name, safe=_SAFE)}={quote(value, safe=_SAFE)}" for name, value in applied)
    return f"{request.base_url}/{place}?{asked}" if asked else f"{request.base_url}/{place}"


_SAFE = ":/,|.-_~$"
