"""read, vread: a resource as it is now, or as one version was.

https://hl7.org/fhir/R4/http.html#read, https://hl7.org/fhir/R4/http.html#vread
"""

from __future__ import annotations

from collections.abc import Sequence

from server.fhir import body, summary
from server.interactions.exchange import Request, Response, Server
from server.interactions.headers import modified_since, tags
from server.ledger import Version
from server.outcome import Problem


async def read(server: Server, request: Request) -> Response:
    """GET [base]/[type]/[id], with If-None-Match or If-Modified-Since a conditional read."""
    return _answer(request, await server.repository.read(request.caller, request.place.type, request.place.id))


async def vread(server: Server, request: Request) -> Response:
    """GET [base]/[type]/[id]/_history/[vid]."""
    place = request.place
    if not (place.version.isascii() and place.version.isdecimal() and len(place.version) < 19):
        raise Problem.not_found(f"{place.type}/{place.id} has no version {place.version[:40]!r}")
    return _answer(request, await server.repository.vread(request.caller, place.type, place.id, int(place.version)))


def _answer(request: Request, version: Version) -> Response:
    if _is_known(request, version):
        return Response(304, b"", version)
    content = version.body or b""
    if request.parameters:
        content = _part(content, request)
    return Response(200, content, version, f"{version.reference}/_history/{version.position}")


def _is_known(request: Request, version: Version) -> bool:
    """True where the client has this version already. RFC 9110: the ETag, where there is one, decides alone."""
    headers = request.headers
    if (known := tags(headers, "If-None-Match")) is not None:
        return known.name(version)
    if (value := headers.get(b"if-modified-since")) is not None:
        return not modified_since(value, version.at)
    return False


def _part(content: bytes, request: Request) -> bytes:
    """What _summary or _elements leaves of a resource; no other parameter has a meaning here."""
    kind = request.parameter("_summary") or None
    summary.check(kind)
    if kind == "count":
        raise Problem.invalid("_summary=count is for a search", "_summary")
    return subset(content, kind, tuple((request.parameter("_elements") or "").split(",")))


def subset(content: bytes, kind: str | None, elements: Sequence[str]) -> bytes:
    """A stored body as _summary or _elements asks for it."""
    chosen = tuple(name for name in elements if name)
    if not chosen and kind in {None, "false"}:
        return content
    return body.dumps(summary.subset(body.loads(content), kind, chosen))
