"""FHIR over HTTP: the ASGI application of the service base.

https://hl7.org/fhir/R4/http.html

No framework stands between: the path is split once, (method, shape) is looked up in the routes' table, and stored bytes
are sent as they are.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from server.auth.access import SYSTEM, Caller
from server.fhir import body, xml
from server.fhir.reference import local, work_under
from server.interactions import asynchronous, binary, coding
from server.interactions.cors import Cors, Lines
from server.interactions.exchange import (
    ASYNC_OUTPUT,
    REQUEST_ID,
    SEARCHES,
    Parameters,
    Place,
    Request,
    Response,
    Server,
    locate,
    parameters,
)
from server.interactions.headers import (
    CSV,
    FHIR_JSON,
    IN_XML,
    Headers,
    acceptable,
    base_url,
    check_content_type,
    check_form,
    check_patch_type,
    forwarded,
    host_name,
    is_xml,
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
SLOWEST = 10_000  # bytes a second of a body
PRIVATE = (b"cache-control", b"private, no-cache")  # to be kept by the client alone, and to be asked about again


class Gone(Exception):  # noqa: N818 - the client is
    """The client went away before it had sent its request."""


async def _gone(receive: Receive) -> None:
    """Returns once the client goes away. Its request has come whole before this is asked."""
    while (await receive())["type"] != "http.disconnect":
        pass


class Form(NamedTuple):
    """How the answer is written."""

    media_type: bytes = FHIR_JSON
    pretty: bool = False
    asked: str = ""  # by _format: links to further pages say it again


UNKNOWN = Form()  # while it has not been read


@dataclass(frozen=True, slots=True)
class Base:
    """The service base of one partition, at `path` ("/fhir") and what is `below` that ("", or "/ia").

    `url` is the public URL of both, empty where each request's own headers name it; under `own` references are local.
    """

    server: Server
    path: str
    below: str
    url: str
    own: str
    trust_proxy: bool
    max_body: int
    observe: Observe
    cors: Cors = field(default_factory=Cors)
    patience: float = 30  # seconds until a body must be there

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        method: str = scope["method"]
        headers = _headers(scope["headers"])
        numbered = _request_ids(headers)
        REQUEST_ID.set(numbered[0][1])
        work_under(self.own)
        form, shape, url = UNKNOWN, "", ""
        try:
            place = locate(_path(scope)[len(self.path) + len(self.below) :])
            shape = place.shape
            url = self._url(scope, headers)
            content = await self._content(method, place, headers, receive) if method in WITH_BODY else b""
            asked = parameters(scope["query_string"])
            if shape in SEARCHES:
                asked, content = [*asked, *parameters(content)], b""
            is_content = binary.is_read(method, place) and not any(name in binary.AS_FHIR for name, _ in asked)
            if shape != ASYNC_OUTPUT and not is_content:  # which have forms of their own
                form, asked = _form(headers.get(b"accept"), asked, bool(place.operation))
            acting_as = headers.get(b"x-acting-as")
            caller = SYSTEM if acting_as is None else _caller(acting_as, url)
            request = Request(
                method, place, url, asked, headers, caller, content, media_type=form.media_type, format=form.asked
            )
            later = b"prefer" in headers and asynchronous.is_later(request)
            if not later:
                request.gone = partial(_gone, receive)
            response = await (asynchronous.accept if later else Server.perform)(self.server, request)
            if is_content and response.status == 200:
                asked_for = await _aside(partial(binary.answered, request, response), response.body)
                form = Form(asked_for) if asked_for else Form()
                request.media_type = form.media_type
            if method == "OPTIONS" and b"access-control-request-method" in headers:
                response.headers += self.cors.preflight(headers.get(b"origin"), ", ".join(self.server.allowed(shape)))
            if request.media_type != form.media_type:  # an operation's Parameters say so
                form = form._replace(media_type=request.media_type)
            if form.media_type in IN_XML:
                await _put_into_xml(response, form)
        except Problem as problem:
            response = Response.refused(problem)
        except Gone:
            return
        except Exception as error:  # noqa: BLE001 - the client gets an id, and the log the place
            response = Response.failed(error)
        if form is UNKNOWN or (form.media_type == CSV and not response.media_type):
            form = _form_of_outcome(headers, scope["query_string"])
        if form.media_type in IN_XML:
            await _put_into_xml(response, form)
            form = form._replace(pretty=False)
        response.headers += (*numbered, *self.cors.lines(headers.get(b"origin")))
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
            scheme or scope["scheme"],
            host or headers.get(b"host", b"localhost").decode("latin-1"),
            self.path,
            self.below,
        )

    async def _content(self, method: str, place: Place, headers: Headers, receive: Receive) -> bytes:
        """The request's body, as JSON. Problem too_costly (413), unsupported_media (415), malformed (400)."""
        shape = place.shape
        length = headers.get(b"content-length", b"0")
        if len(length) > 15 or not length.isdigit() or int(length) > self.max_body:
            raise coding.too_large(self.max_body)
        content = await _received(receive, self.max_body, self.patience)
        if (packed := headers.get(b"content-encoding")) is not None:
            content = await coding.decoded(content, packed, self.max_body)
        if content and (binary.is_written(method, place) or self._is_table(place, headers)):
            content = await _aside(partial(binary.wrapped, place, headers), content)
        elif content:
            check = check_form if shape in SEARCHES else check_patch_type if method == "PATCH" else check_content_type
            check(headers.get(b"content-type"))
            if is_xml(headers.get(b"content-type")):
                content = await _aside(xml.read, content)
        return content

    def _is_table(self, place: Place, headers: Headers) -> bool:
        """True of text that an operation takes in the place of a Binary."""
        operation = self.server.operations.get(place.operation) if place.operation else None
        return operation is not None and binary.is_taken(operation.definition, headers)


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


def _form(accept: bytes | None, asked: Parameters, tabular: bool) -> tuple[Form, Parameters]:
    """How to write the answer, and the parameters that are not about that."""
    if not asked:
        return Form(acceptable(accept, None, tabular)), ()
    format, pretty, rest = None, False, []
    for pair in asked:
        if pair[0] == "_format":
            format = pair[1] or format
        elif pair[0] == "_pretty":
            pretty = pair[1] == "true"
        else:
            rest.append(pair)
    return Form(acceptable(accept, format, tabular), pretty, format or ""), rest


def _form_of_outcome(headers: Headers, query: bytes) -> Form:
    """How to write what is no table, or what was refused before its form was known: as asked, where that is known."""
    try:
        return _form(headers.get(b"accept"), parameters(query), tabular=False)[0]
    except Problem:
        return Form()


async def _put_into_xml(response: Response, form: Form) -> None:
    """Write a resource that is still JSON as XML. Problem not_acceptable (406) where it has none."""
    if not response.media_type and response.body.startswith(b"{"):
        response.body = await _aside(partial(xml.write, pretty=form.pretty), response.body)


async def _aside(work: Callable[[bytes], bytes], content: bytes) -> bytes:
    """Do what takes its time on a thread, so that others are answered meanwhile."""
    return work(content) if len(content) < coding.LARGE else await asyncio.to_thread(work, content)


def _path(scope: Scope) -> str:
    """The decoded path. A slash in a name, which none has, would be a separator here and none to a proxy before."""
    raw: bytes = scope.get("raw_path") or b""
    if b"%" in raw and b"%2f" in raw.lower():
        raise Problem.not_found("No name in a path of FHIR holds a slash: %2F is none that separates them either")
    path: str = scope["path"]
    return path


@lru_cache(1024)
def _caller(acting_as: bytes, base_url: str) -> Caller:
    """Who acts, while no authentication is configured: whom X-Acting-As names."""
    reference = acting_as.decode("latin-1").strip()
    actor = local(reference, base_url)
    if actor is None or actor.type not in ACTORS:
        raise Problem.invalid(
            f"X-Acting-As is a reference to one of {', '.join(sorted(ACTORS))}, such as PractitionerRole/7",
            "http.X-Acting-As",
        )
    return Caller(f"{actor.type}/{actor.id}")


async def _received(receive: Receive, limit: int, patience: float) -> bytes:
    """The body. Problem slow (408) where it comes so slowly that it would never end, too_costly (413) where it is long.

    A client has `patience` seconds, and more for what it has sent already.
    """
    started = asyncio.get_running_loop().time()
    chunks, size, more = [], 0, True
    try:
        async with asyncio.timeout_at(started + patience) as deadline:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                chunk = message.get("body", b"")
                size += len(chunk)
                if size > limit:
                    raise coding.too_large(limit)
                chunks.append(chunk)
                if more := message.get("more_body", False):
                    deadline.reschedule(started + patience + size / SLOWEST)
    except TimeoutError:
        raise Problem.of(
            "slow", f"The body did not come within {patience:g} seconds", headers={"Connection": "close"}
        ) from None
    return b"".join(chunks)


async def _answer(send: Send, method: str, headers: Headers, response: Response, form: Form, url: str) -> None:
    content, lines = response.body, list(response.headers)
    if content:
        lines.append((b"content-type", response.media_type or form.media_type))
        packed = b""
        if len(content) < coding.SMALL:
            lines.append((b"vary", b"accept"))
        else:
            lines.append((b"vary", b"accept, accept-encoding"))
            packed = coding.chosen(headers.get(b"accept-encoding"))
        if packed:
            lines.append((b"content-encoding", packed))
        if packed or form.pretty:
            content = await _aside(
                partial(_written, pretty=form.pretty and not response.media_type, packed=packed), content
            )
    if response.status not in {204, 304}:
        lines.append((b"content-length", b"%d" % len(content)))
    if (version := response.version) is not None:
        lines.append((b"etag", b'W/"%d"' % version.position))
        lines.append((b"last-modified", last_modified(version.at)))
    if response.location:
        name = b"location" if response.status == 201 or method == "POST" else b"content-location"
        lines.append((name, f"{url}/{response.location}".encode()))
    lines.append(PRIVATE)
    await send({"type": "http.response.start", "status": response.status, "headers": lines})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else content})


def _written(content: bytes, pretty: bool, packed: bytes) -> bytes:
    text = body.indented(content) if pretty else content
    return coding.compressed(text, packed) if packed else text


_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}").fullmatch
_CORRELATION_ID = re.compile(rb"[ -~]{1,256}").fullmatch
_started, _numbers = os.urandom(6).hex().encode(), itertools.count(1)


def _request_ids(headers: Headers) -> Lines:
    """X-Request-Id: the client's own, where it is one that a log may hold; else a new one, and then the client's too.

    https://hl7.org/fhir/R4/http.html#custom
    """
    asked = headers.get(b"x-request-id")
    correlation = headers.get(b"x-correlation-id")
    if asked is not None and _REQUEST_ID(asked):
        id = asked
    else:
        id, correlation = b"%b-%x" % (_started, next(_numbers)), correlation or asked
    if correlation and _CORRELATION_ID(correlation):
        return ((b"x-request-id", id), (b"x-correlation-id", correlation))
    return ((b"x-request-id", id),)
