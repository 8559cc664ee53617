"""Bundle.entry: one request of a batch or transaction, and its response.

https://hl7.org/fhir/R4/bundle-definitions.html#Bundle.entry
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

from server.fhir import datatype
from server.fhir.body import NAMED, Body
from server.fhir.definition import elements
from server.interactions.exchange import BASE, Request, Response, Server, locate, parameters
from server.ledger import instant
from server.outcome import Issue, Problem

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"})
HEADERS = {
    "ifNoneMatch": b"if-none-match",
    "ifModifiedSince": b"if-modified-since",
    "ifMatch": b"if-match",
    "ifNoneExist": b"if-none-exist",
}
REPRESENTATION = frozenset({"_format", "_pretty"})  # of the whole Bundle: an entry has none of its own
REASON = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: where it stands in the Bundle, its fullUrl, and what it asks for."""

    index: int
    full_url: str
    request: Request


def read(asked: Request, index: int, members: dict[str, Any], resource: Body | None) -> Entry:
    """The entry's request, as the same interaction over HTTP. Problem invalid (400), placed at the entry."""
    try:
        check_elements("Bundle.entry", members)
        request = members.get("request")
        if not isinstance(request, dict):
            raise Problem.of("required", "Each entry of a batch or transaction has a request", "request")
        check_elements("Bundle.entry.request", request, "request.")
        method = _text(request, "method")
        if method is None or method not in METHODS:
            raise Problem.invalid(f"request.method is one of {', '.join(sorted(METHODS))}", "request.method")
        path, _, query = _url(asked, request).partition("?")
        place = locate(unquote(path))
        if place.shape == BASE and method == "POST":
            raise Problem.invalid("A batch or transaction cannot hold another", "request.url")
        return Entry(
            index,
            _text(members, "fullUrl") or "",
            Request(
                method,
                place,
                asked.base_url,
                [(name, value) for name, value in parameters(query.encode()) if name not in REPRESENTATION],
                _headers(asked, index, request),
                asked.caller,
                _content(asked, resource),
                resource,
                "minimal",
            ),
        )
    except Problem as problem:
        raise placed(problem, index) from None


def check_elements(type: str, members: Mapping[str, Any], place: str = "") -> None:
    """Problem malformed (400) for an element that there is none of: a misspelt condition would be no condition."""
    known = elements(type)
    unknown = [name for name in members if name.removeprefix("_") not in known and name != "resourceType"]
    if unknown:
        named = unknown[0][:NAMED]
        raise Problem.malformed(f"{type} has no element {named!r}; it has {', '.join(known)}", f"{place}{named}")


async def perform(server: Server, asked: Entry) -> Response:
    """Do it alone; what goes wrong is the entry's answer."""
    try:
        response = await server.perform(asked.request)
    except Problem as problem:
        return Response.refused(placed(problem, asked.index))
    except Exception as error:  # noqa: BLE001 - the other entries go on
        return Response.failed(error)
    if asked.request.method == "HEAD":
        response.body = b""
    return response


def _url(asked: Request, request: dict[str, Any]) -> str:
    url = _text(request, "url")
    if url is None:
        raise Problem.of("required", "Each request has a url, such as Patient or Patient/1", "request.url")
    if url == asked.base_url or url.startswith((f"{asked.base_url}/", f"{asked.base_url}?")):
        return url[len(asked.base_url) :]
    if "://" in url.partition("?")[0]:
        raise Problem.invalid(f"The url is not below {asked.base_url}", "request.url")
    return url


def _text(members: dict[str, Any], name: str) -> str | None:
    value = members.get(name)
    if value is not None and not isinstance(value, str):
        raise Problem.invalid(f"{name} is a string", name)
    return value


def _headers(asked: Request, index: int, request: dict[str, Any]) -> dict[bytes, bytes]:
    headers = {
        header: value.encode() for name, header in HEADERS.items() if (value := _text(request, name)) is not None
    }
    if (since := _text(request, "ifModifiedSince")) is not None and datatype.instant(since) is None:
        raise Problem.invalid("ifModifiedSince is an instant, such as 2026-01-31T10:00:00Z", "request.ifModifiedSince")
    for kept in (b"prefer", b"x-provenance"):
        if kept in asked.headers:
            headers[kept] = asked.headers[kept]
    if (key := asked.headers.get(b"idempotency-key")) is not None:
        headers[b"idempotency-key"] = b"%b#%d" % (key, index)
    return headers


def _content(asked: Request, resource: Body | None) -> bytes:
    """The entry's own bytes, where its fingerprint may be asked for."""
    return resource.source.encode() if resource is not None and b"idempotency-key" in asked.headers else b""


def placed(problem: Problem, index: int) -> Problem:
    """The problem, its places seen from the Bundle."""
    issues = [_placed(issue, f"Bundle.entry[{index}]") for issue in problem.issues]
    return Problem(problem.kind, issues, problem.headers)


def placed_among(problem: Problem, entries: Mapping[str, int]) -> Problem:
    """The problem, the places that it has in written resources seen from the Bundle, whose entries these are."""
    issues = []
    for issue in problem.issues:
        if issue.resources:
            seen = tuple(
                _place(path, f"Bundle.entry[{entries[resource]}]") if resource in entries else path
                for path, resource in zip(issue.expression, issue.resources, strict=True)
            )
            issue = replace(issue, expression=seen)
        issues.append(issue)
    return Problem(problem.kind, issues, problem.headers)


_RESOURCE = re.compile(r"[A-Z][A-Za-z]*(?=$|[.\[])")


def _placed(issue: Issue, entry: str) -> Issue:
    return replace(issue, expression=tuple(_place(place, entry) for place in issue.expression or ("",)))


def _place(place: str, entry: str) -> str:
    if place.startswith("Bundle.entry["):
        return place
    if place.startswith(("request", "fullUrl")):
        return f"{entry}.{place}"
    if place.startswith("http.body"):
        return f"{entry}.resource"
    if place.startswith("http."):
        return f"{entry}.request"
    if found := _RESOURCE.match(place):
        return f"{entry}.resource{place[found.end() :]}"
    return entry


def written(base_url: str, response: Response) -> bytes:
    """Bundle.entry's JSON for a response."""
    version = response.version
    told = [b'"status":"%b"' % REASON[response.status].encode()]
    if response.location:
        told.append(b'"location":"%b"' % response.location.encode())
    if version is not None:
        told.append(b'"etag":"W/\\"%d\\"","lastModified":"%b"' % (version.position, instant(version.at).encode()))
    resource = b""
    if response.body:
        if response.is_outcome:
            told.append(b'"outcome":%b' % response.body)
        else:
            resource = b'"resource":%b,' % response.body
    full_url = b""
    if resource and version is not None:
        full_url = b'"fullUrl":"%b/%b",' % (base_url.encode(), version.reference.encode())
    return b'{%b%b"response":{%b}}' % (full_url, resource, b",".join(told))
