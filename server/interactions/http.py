"""FHIR over HTTP: the ASGI application of the service base.

https://hl7.org/fhir/R4/http.html

No framework stands between: the path is split once, (method, shape) is looked up in the routes' table, and stored bytes
are sent as they are.
"""

from __future__ import annotations

import asyncio
import gzip
import re
import time
import zlib
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from server.auth.access import SYSTEM, Caller
from server.fhir import body
from server.fhir.reference import local
from server.interactions.exchange import SEARCHES, Parameters, Request, Response, Server, locate, parameters
from server.interactions.headers import (
    CSV,
    FHIR_JSON,
    Headers,
    acceptable,
    accepts_gzip,
    base_url,
    check_content_type,
    check_patch_type,
    forwarded,
    host_name,
    last_modified,
)
from server.outcome import Problem
from server.settings import is_loopback

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Observe = Callable[[str, str, int, float], None]  # method, shape, status, seconds

WITH_BODY = frozenset({"POST", "PUT", "PATCH"})
ACTORS = frozenset({"PractitionerRole", "Practitioner", "Patient", "Organization"})
COMPRESSED = 1400  # bytes from which an answer is compressed: less than that fits one packet anyway
LARGE = 256 * 1024  # bytes from which that is done on a thread


class Gone(Exception):  # noqa: N818 - the client is
    """The client went away before it had sent its request."""


class Form(NamedTuple):
    """How the answer is written."""

    media_type: bytes = FHIR_JSON
    pretty: bool = False


@dataclass(frozen=True, slots=True)
class Base:
    """The service base at `path` ("/fhir"). `url` is its public URL, empty where each request's own headers name it."""

    server: Server
    path: str
    url: str
    trust_proxy: bool
    max_body: int
    observe: Observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        method: str = scope["method"]
        headers = _headers(scope["headers"])
        form, shape, url = Form(), "", ""
        try:
            place = locate(scope["path"][len(self.path) :])
            shape = place.shape
            form, asked = _form(headers, scope["query_string"], bool(place.operation))
            url = self._url(scope, headers)
            caller = _caller(headers.get(b"x-acting-as"))
            request = Request(method, place, url, asked, headers, caller)
            request.media_type = form.media_type
            if method in WITH_BODY:
                request.content = await self._content(method, headers, shape, receive)
            response = await self.server.perform(request)
        except Problem as problem:
            response = Response.refused(problem)
        except Gone:
            return
        except Exception as error:  # noqa: BLE001 - the client gets an id, and the log the place
            response = Response.failed(error)
        if form.media_type == CSV and not response.media_type:
            form = Form()  # no table, but an outcome
        await _answer(send, method, headers, response, form, url)
        self.observe(method, shape, response.status, time.perf_counter() - started)

    def _url(self, scope: Scope, headers: Headers) -> str:
        """The base URL, as the client knows it."""
        if not self.trust_proxy:
            _check_host(headers.get(b"host", b"localhost"), self.url)
        if self.url:
            return self.url
        scheme, host = forwarded(headers) if self.trust_proxy else (None, None)
        return base_url(
            scheme or scope["scheme"], host or headers.get(b"host", b"localhost").decode("latin-1"), self.path
        )

    async def _content(self, method: str, headers: Headers, shape: str, receive: Receive) -> bytes:
        """The request's body, decompressed. Problem too_costly (413), unsupported_media (415)."""
        length = headers.get(b"content-length", b"0")
        if len(length) > 15 or not length.isdigit() or int(length) > self.max_body:
            raise _too_large(self.max_body)
        content = await _received(receive, self.max_body)
        if (coding := headers.get(b"content-encoding")) is not None:
            content = await _decompressed(content, coding.strip().lower(), self.max_body)
        if content and shape not in SEARCHES:
            check = check_patch_type if method == "PATCH" else check_content_type
            check(headers.get(b"content-type"))
        return content


@lru_cache(256)
def _check_host(host: bytes, url: str) -> None:
    """Problem forbidden (403) for a name that is not this machine's nor the public one.

    While no authentication is configured, a web page whose name was made to mean 127.0.0.1 must not read through it.
    """
    name = host_name(host.decode("latin-1"))
    if not is_loopback(name) and name != urlsplit(url).hostname:
        raise Problem.of(
            "forbidden",
            "No authentication is configured, so this server answers to loopback's names alone, "
            f"not to {name[:100]!r}; behind a proxy, CAREPLAN_BASE_URL or CAREPLAN_TRUST_PROXY tells it its name",
            "http.Host",
        )


def _headers(pairs: list[tuple[bytes, bytes]]) -> Headers:
    """Header -> value; one that comes more than once is a list, as RFC 9110 says."""
    found = dict(pairs)
    if len(found) == len(pairs):
        return found
    several: dict[bytes, list[bytes]] = {}
    for name, value in pairs:
        several.setdefault(name, []).append(value)
    return {name: b", ".join(values) for name, values in several.items()}


def _form(headers: Headers, query: bytes, tabular: bool) -> tuple[Form, Parameters]:
    """How to write the answer, and the parameters that are not about that."""
    accept = headers.get(b"accept")
    if not query:
        return Form(acceptable(accept, None, tabular)), ()
    asked = parameters(query)
    format, pretty, rest = None, False, []
    for pair in asked:
        if pair[0] == "_format":
            format = pair[1] or format
        elif pair[0] == "_pretty":
            pretty = pair[1] == "true"
        else:
            rest.append(pair)
    return Form(acceptable(accept, format, tabular), pretty), rest


@lru_cache(1024)
def _caller(acting_as: bytes | None) -> Caller:
    """Who acts, while no authentication is configured: whom X-Acting-As names, or the local system."""
    if acting_as is None:
        return SYSTEM
    reference = acting_as.decode("latin-1").strip()
    actor = local(reference)
    if actor is None or actor.type not in ACTORS:
        raise Problem.invalid(
            f"X-Acting-As is a reference to one of {', '.join(sorted(ACTORS))}, such as PractitionerRole/7",
            "http.X-Acting-As",
        )
    return Caller(f"{actor.type}/{actor.id}")


async def _received(receive: Receive, limit: int) -> bytes:
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunk = message.get("body", b"")
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _decompressed(content: bytes, coding: bytes, limit: int) -> bytes:
    if coding in {b"", b"identity"}:
        return content
    if coding not in {b"gzip", b"x-gzip"}:
        raise Problem.of(
            "unsupported_media",
            "A body may be compressed with gzip",
            "http.Content-Encoding",
            headers={"Accept-Encoding": "gzip"},
        )
    return await asyncio.to_thread(_gunzip, content, limit)


def _gunzip(content: bytes, limit: int) -> bytes:
    """The content of a gzip of at most `limit` bytes: what would be more is never made."""
    decompressor = zlib.decompressobj(wbits=31)
    try:
        found = decompressor.decompress(content, limit + 1)
    except zlib.error:
        raise Problem.malformed("The body is declared as gzip and is none", "http.Content-Encoding") from None
    if len(found) > limit:
        raise _too_large(limit)
    if not decompressor.eof or decompressor.unused_data:
        raise Problem.malformed("The body's gzip is cut off, or more follows it", "http.Content-Encoding")
    return found


def _too_large(limit: int) -> Problem:
    return Problem.of(
        "too_costly", f"A body may have {limit} bytes; send less at once", headers={"Connection": "close"}
    )


async def _answer(send: Send, method: str, headers: Headers, response: Response, form: Form, url: str) -> None:
    content, lines = response.body, list(response.headers)
    if content:
        lines.append((b"content-type", response.media_type or form.media_type))
        zipped = False
        if len(content) >= COMPRESSED:
            lines.append((b"vary", b"accept-encoding"))
            zipped = accepts_gzip(headers.get(b"accept-encoding"))
        if zipped:
            lines.append((b"content-encoding", b"gzip"))
        if zipped or form.pretty:
            content = await _written(content, form.pretty and not response.media_type, zipped)
    if response.status not in {204, 304}:
        lines.append((b"content-length", b"%d" % len(content)))
    if (version := response.version) is not None:
        lines.append((b"etag", b'W/"%d"' % version.position))
        lines.append((b"last-modified", last_modified(version.at)))
    if response.location:
        name = b"location" if response.status == 201 or method == "POST" else b"content-location"
        lines.append((name, f"{url}/{response.location}".encode()))
    if (id := headers.get(b"x-request-id")) is not None and _REQUEST_ID.fullmatch(id):
        lines.append((b"x-request-id", id))
    await send({"type": "http.response.start", "status": response.status, "headers": lines})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else content})


_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


async def _written(content: bytes, pretty: bool, zipped: bool) -> bytes:
    def written() -> bytes:
        text = body.indented(content) if pretty else content
        return gzip.compress(text, 1, mtime=0) if zipped else text

    return written() if len(content) < LARGE else await asyncio.to_thread(written)
