"""Interaction: what a client asks for and what it is answered, be it over HTTP or as an entry of a batch.

https://hl7.org/fhir/R4/http.html
"""

from __future__ import annotations

import traceback
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol
from urllib.parse import parse_qsl

import structlog

from server.auth.access import SYSTEM, Caller
from server.fhir import body
from server.fhir.body import Body
from server.fhir.definition import RESOURCE_TYPES
from server.fhir.reference import own
from server.interactions.headers import ACCEPT_PATCH, FHIR_JSON, Headers, Prefer, prefer
from server.ledger import Version
from server.outcome import Issue, Problem, outcome
from server.repository import Repository
from server.search.compartment import COMPARTMENTS
from server.settings import is_partition_name
from server.store.jobs import Jobs
from server.validation.policy import ENFORCE, Policy

BASE = "[base]"
METADATA = "metadata"
TYPE = "[type]"
INSTANCE = "[type]/[id]"
VERSION = "[type]/[id]/_history/[vid]"
SEARCH = "[type]/_search"
SYSTEM_SEARCH = "_search"
COMPARTMENT = "[compartment]/[id]/[type]"
COMPARTMENT_SEARCH = "[compartment]/[id]/[type]/_search"
SEARCHES = frozenset({SEARCH, SYSTEM_SEARCH, COMPARTMENT_SEARCH})  # whose body is a form
SYSTEM_HISTORY = "_history"
TYPE_HISTORY = "[type]/_history"
INSTANCE_HISTORY = "[type]/[id]/_history"
SYSTEM_OPERATION = "$[name]"
TYPE_OPERATION = "[type]/$[name]"
INSTANCE_OPERATION = "[type]/[id]/$[name]"
ASYNC = "_async/[id]"
ASYNC_OUTPUT = "_async/[id]/1"

PART = frozenset({"_summary", "_elements"})
TAKEN: Mapping[tuple[str, str], frozenset[str]] = {  # the parameters of what looks at none of the others
    ("GET", INSTANCE): PART,
    ("GET", VERSION): PART,
    ("GET", METADATA): PART | {"mode"},
    **{place: frozenset() for place in (("POST", BASE), ("POST", TYPE), ("GET", ASYNC), ("DELETE", ASYNC))},
    **{(method, INSTANCE): frozenset() for method in ("PUT", "PATCH", "DELETE")},
}

ALL_TYPES = "*"
MAX_PARAMETERS = 1000
MAX_QUERY = 1 << 20  # bytes of a query string or a form: more than any search that is not too costly needs

REQUEST_ID: ContextVar[bytes] = ContextVar("request_id", default=b"")  # X-Request-Id of the request in hand

_log = structlog.get_logger("interactions")

Parameters = Sequence[tuple[str, str]]


class Place(NamedTuple):
    """Where in the service base a URL points. Within a `compartment` ("Patient/1") no type is all of its types."""

    shape: str
    type: str = ""
    id: str = ""
    version: str = ""
    operation: str = ""
    compartment: str = ""


@dataclass(slots=True)
class Request:
    """One interaction that is asked for. `content` is the body's bytes; an entry's body is parsed already."""

    method: str
    place: Place
    base_url: str
    parameters: Parameters = ()
    headers: Headers = field(default_factory=dict)
    caller: Caller = SYSTEM
    content: bytes = b""
    parsed: Body | None = None
    returns: str = "representation"  # what the answer to a write holds, where Prefer does not say
    media_type: bytes = FHIR_JSON  # what the client is sent
    format: str = ""  # _format, where that says it: links to further pages say it again
    gone: Callable[[], Awaitable[None]] | None = None  # returns once the client is gone; None: it does not wait
    tell: Callable[[str], None] | None = None  # says how far it is; None: nobody asks meanwhile

    @property
    def prefer(self) -> Prefer:
        return prefer(self.headers.get(b"prefer"))

    def parameter(self, name: str) -> str | None:
        """The last value of a parameter that is given once."""
        return next((value for found, value in reversed(self.parameters) if found == name), None)

    def body(self) -> Body:
        """The resource that the client sent. Problem malformed (400) where it sent none."""
        if self.parsed is None:
            if not self.content:
                raise Problem.of("required", f"{self.method} takes a resource in the body; this one is empty")
            self.parsed = body.parse(self.content)
        return self.parsed


@dataclass(slots=True)
class Response:
    """The answer. `body` is a resource's JSON, `location` a version's place below the base; `version` gives ETag."""

    status: int
    body: bytes = b""
    version: Version | None = None
    location: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()
    media_type: bytes = b""  # where the body is no resource
    is_outcome: bool = False  # the body is an OperationOutcome in the place of what was asked for

    @classmethod
    def of(cls, status: int, resource: Any) -> Response:
        return cls(status, body.dumps(resource))

    @classmethod
    def told(cls, status: int, issues: Sequence[Issue]) -> Response:
        return cls(status, body.dumps(outcome(issues)), is_outcome=True)

    @classmethod
    def refused(cls, problem: Problem) -> Response:
        headers = tuple((name.lower().encode(), value.encode("latin-1")) for name, value in problem.headers.items())
        return cls(problem.status, body.dumps(problem.to_resource()), headers=headers, is_outcome=True)

    @classmethod
    def failed(cls, error: Exception) -> Response:
        """An error that nobody expected. The client gets an id; the log has it, with where it happened.

        An error's own words may quote what the client sent, so they stay out of both.
        """
        return cls.refused(Problem.of("internal", f"The server failed; its log says more under {logged(error)}"))


def logged(error: Exception) -> str:
    """The id under which the log has an error that nobody expected: its type, and where it happened."""
    id = str(uuid.uuid4())
    frames = traceback.extract_tb(error.__traceback__)
    _log.error(
        "unexpected",
        id=id,
        request=REQUEST_ID.get().decode("latin-1"),
        **({"base": base} if (base := own()) else {}),
        error=type(error).__name__,
        at=[f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames],
    )
    return id


Handler = Callable[["Server", Request], Awaitable[Response]]


class Operation(Protocol):
    """A row of the operations' table, as the CapabilityStatement and the routes need it."""

    @property
    def definition(self) -> Mapping[str, Any]:
        """Its OperationDefinition."""
        ...

    @property
    def gets(self) -> bool:
        """Whether it takes GET, by which it only reads."""
        ...

    async def __call__(self, server: Server, request: Request) -> Response: ...


@dataclass(frozen=True, slots=True, eq=False)
class Server:
    """What every interaction works with. `dispatch` is (method, shape) -> Handler, `operations` code -> Operation.

    `versioned` are the types whose changes must name, by If-Match, the version that they are of. Where it
    `deletes_several`, a conditional delete takes all that match.
    """

    repository: Repository
    dispatch: Mapping[tuple[str, str], Handler]
    operations: Mapping[str, Operation] = field(default_factory=dict)
    versioned: frozenset[str] = frozenset()
    profiles: Policy = ENFORCE  # which of what resources declare is checked before the head
    deletes_several: bool = False
    has_cors: bool = False  # some web pages of other sites may use the API

    @property
    def jobs(self) -> Jobs:
        """What is done later."""
        return self.repository.store.jobs

    def is_versioned(self, type: str) -> bool:
        return not self.versioned.isdisjoint((type, ALL_TYPES))

    def allowed(self, shape: str) -> list[str]:
        """The methods that a place takes, as the Allow header lists them."""
        methods = {method for method, of in self.dispatch if of == shape}
        return sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set()))

    def options(self, shape: str) -> Response:
        """What a place takes. https://www.rfc-editor.org/rfc/rfc9110#section-9.3.7"""
        methods = self.allowed(shape)
        lines = [(b"allow", ", ".join(methods).encode())]
        if "PATCH" in methods:
            lines.append((b"accept-patch", ACCEPT_PATCH.encode()))
        return Response(204, headers=tuple(lines))

    async def perform(self, request: Request) -> Response:
        """Find the interaction and do it. Problem not_supported (405) where the place does not take the method."""
        if request.method == "OPTIONS":
            return self.options(request.place.shape)
        place = "GET" if request.method == "HEAD" else request.method, request.place.shape
        handler = self.dispatch.get(place)
        if handler is None:
            allowed = ", ".join(self.allowed(request.place.shape))
            raise Problem.of(
                "not_supported",
                f"{request.method} is not for {request.place.shape}; it takes {allowed}",
                headers={"Allow": allowed},
            )
        if request.parameters and not request.prefer.lenient:
            _check_taken(request, TAKEN.get(place))
        return await handler(self, request)


def _check_taken(request: Request, taken: frozenset[str] | None) -> None:
    """Problem invalid (400) where a client that prefers strict handling gives a parameter that would be left out."""
    unknown = [] if taken is None else [name[:80] for name, _ in request.parameters if name not in taken]
    if unknown:
        known = f"{request.method} of {request.place.shape} takes {', '.join(sorted(taken or ())) or 'no parameters'}"
        issues = [Issue("not-supported", f"{known}; not {name!r}", (name,)) for name in unknown]
        raise Problem.with_issues("invalid", issues)


def locate(path: str) -> Place:
    """Read a path below the base. Problem not_found (404) where nothing is there."""
    parts = path.strip("/").split("/")
    first = parts[0]
    if first in RESOURCE_TYPES:
        place = _within_type(first, parts)
    elif len(parts) == 1:
        place = _within_system(first)
    elif first == "_async" and len(parts) == 2:
        place = Place(ASYNC, id=parts[1])
    elif first == "_async" and parts[2:] == ["1"]:
        place = Place(ASYNC_OUTPUT, id=parts[1])
    else:
        place = None
    if place is None:
        raise _nothing(parts)
    return place


def _within_type(type: str, parts: list[str]) -> Place | None:
    match parts[1:]:
        case []:
            return Place(TYPE, type)
        case ["_search"]:
            return Place(SEARCH, type)
        case ["_history"]:
            return Place(TYPE_HISTORY, type)
        case [name] if name.startswith("$"):
            return Place(TYPE_OPERATION, type, operation=name[1:])
        case [id]:
            return Place(INSTANCE, type, id)
        case [id, "_history"]:
            return Place(INSTANCE_HISTORY, type, id)
        case [id, name] if name.startswith("$"):
            return Place(INSTANCE_OPERATION, type, id, operation=name[1:])
        case [id, "_history", version]:
            return Place(VERSION, type, id, version)
        case [id, other, *rest] if type in COMPARTMENTS and (other == "*" or other in RESOURCE_TYPES):
            return _within_compartment(f"{type}/{id}", other.replace("*", ""), rest)
    return None


def _within_compartment(compartment: str, type: str, rest: list[str]) -> Place | None:
    match rest:
        case []:
            return Place(COMPARTMENT, type, compartment=compartment)
        case ["_search"]:
            return Place(COMPARTMENT_SEARCH, type, compartment=compartment)
    return None


def _within_system(name: str) -> Place | None:
    if not name:
        return Place(BASE)
    if name == "metadata":
        return Place(METADATA)
    if name == "_history":
        return Place(SYSTEM_HISTORY)
    if name == "_search":
        return Place(SYSTEM_SEARCH)
    if name.startswith("$"):
        return Place(SYSTEM_OPERATION, operation=name[1:])
    return None


def _nothing(parts: list[str]) -> Problem:
    first = parts[0][:80]
    if parts[0] in RESOURCE_TYPES:
        return Problem.not_found(f"Nothing is at {'/'.join(parts)[:200]!r}; GET [base]/metadata says what is where")
    if is_partition_name(parts[0]):
        return Problem.not_found(
            f"{first!r} is no partition of this server, and no resource type of FHIR R4, which begins with a capital; "
            "CAREPLAN_PARTITIONS names the partitions, GET [base]/metadata lists the types"
        )
    return Problem.not_found(f"{first!r} is no resource type of FHIR R4; GET [base]/metadata lists them")


def parameters(query: bytes) -> Parameters:
    """Read a query string or a form. Problem invalid (400) where it is none, too_costly (413) where it is too long."""
    if not query:
        return ()
    if len(query) > MAX_QUERY:
        raise Problem.of("too_costly", f"The parameters are longer than {MAX_QUERY} bytes", "http.query")
    try:
        return parse_qsl(query.decode("utf-8"), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise Problem.invalid("The parameters are not UTF-8", "http.query") from None
    except ValueError:
        raise Problem.invalid(f"There are more than {MAX_PARAMETERS} parameters", "http.query") from None
