"""What create, update, patch and delete share: read and check, decide at the ledger's head, answer from the commit.

https://hl7.org/fhir/R4/http.html#ops
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from server.fhir import bundle
from server.fhir.body import NAMED, Body
from server.interactions.coding import LARGE
from server.interactions.exchange import Request, Response, Server
from server.interactions.headers import Tags, tags
from server.interactions.patched import Patch, patched
from server.interactions.provenance import HEADER, provenance
from server.ledger import Change, Commit, Decide, Plan, Version, View
from server.outcome import Issue, Problem
from server.search.filter import ALL
from server.search.query import Query
from server.validation import policy
from server.validation.element import validate

MAX_KEY = 255
CONDITIONS = (b"if-match", b"if-none-match", b"if-none-exist", HEADER)


@dataclass(slots=True)
class Write:
    """One write that is asked for. `id` is empty where only `condition` says, at the head, which resource it is."""

    method: str
    type: str
    id: str = ""
    new_id: str = ""  # taken where the head has no resource that the condition finds
    body: Body | None = None
    condition: Query | None = None
    if_match: Tags | None = None
    if_none_match: Tags | None = None
    patch: Patch | None = None
    changes: dict[tuple[str, int], Change] = field(default_factory=dict)
    results: dict[tuple[str, int], Body | None] = field(default_factory=dict)

    def change(self, id: str, current: Version | None = None) -> Change:
        """What writes the resource under this id, made once: the head may decide again."""
        made_of = (id, current.position if self.patch and current else 0)
        change = self.changes.get(made_of)
        if change is None:
            change = self.changes[made_of] = Change(self.method, self.type, id)
            body = self.patched(current) if self.patch and current else self.body
            if body is not None:
                change.resource, change.text = {**body.resource, "id": id}, body.text(id)
        return change

    def patched(self, current: Version) -> Body | None:
        """What the patch makes of a version, as it is checked and written; None where that is what stands."""
        made_of = (current.id, current.position)
        if made_of not in self.results:
            assert self.patch is not None
            self.results[made_of] = patched(self.patch, current)
        return self.results[made_of]


class Target(NamedTuple):
    """Which resource a write is of, as the head has it, and the answer's status. `keeps`: nothing is to be written."""

    id: str
    status: int
    current: Version | None = None
    keeps: bool = False


class Head(Protocol):
    """The head of the ledger, as writes are decided on it; within a transaction it knows the other entries."""

    async def read(self, type: str, id: str) -> Version | None: ...

    async def matching(self, query: Query) -> Sequence[str]:
        """The ids, two at most, that a condition finds: what keeps a create from making another."""
        ...

    async def selected(self, query: Query) -> Sequence[str]:
        """The ids, two at most, that a condition finds: what is to be updated or deleted."""
        ...


class ViewHead:
    """The head for a write that is alone in its commit."""

    def __init__(self, view: View) -> None:
        self.view = view

    async def read(self, type: str, id: str) -> Version | None:
        return await self.view.read(type, id)

    async def matching(self, query: Query) -> Sequence[str]:
        return [version.id for version in await self.view.search(query.type, query.filter, 2)]

    selected = matching


Resolve = Callable[[Write, Head], Awaitable[Target]]


async def checked(request: Request) -> Body:
    """The resource in a request's body. Problem where it is of another type (400) or breaks its type's rules (422).

    What is large is read and checked on a thread, so that others are answered meanwhile.
    """
    return _checked(request) if len(request.content) < LARGE else await asyncio.to_thread(_checked, request)


def _checked(request: Request) -> Body:
    body = request.body()
    if body.type != request.place.type:
        raise Problem.invalid(
            f"The URL takes a {request.place.type}; the body is a {body.type[:NAMED]}",
            f"{body.type[:NAMED]}.resourceType",
        )
    issues = validate(body.resource)
    if any(issue.severity in {"error", "fatal"} for issue in issues):
        raise Problem.with_issues("unprocessable", issues)
    return body


async def condition(server: Server, type: str, criteria: Sequence[tuple[str, str]], base_url: str, place: str) -> Query:
    """What a conditional interaction searches for. A parameter that would not narrow it is refused."""
    if any(not value for _, value in criteria):
        raise Problem.of("precondition_failed", "A parameter of the condition has no value", place)
    found = await server.repository.parsed(type, criteria, base_url=base_url, lenient=False)
    if found.contained != "false":
        raise Problem.invalid("A condition selects resources that stand alone, not what others contain", place)
    if found.asks:
        raise Problem.invalid(
            "A condition is decided by codes; name them in the place of a value set or hierarchy", place
        )
    if found.filter == ALL:
        raise Problem.of("precondition_failed", "The condition is empty; it would match every resource", place)
    return found


def preconditions(request: Request) -> tuple[Tags | None, Tags | None]:
    """What If-Match and If-None-Match demand of the version that the head has."""
    return tags(request.headers, "If-Match"), tags(request.headers, "If-None-Match")


def check_preconditions(write: Write, current: Version | None) -> None:
    """Problem precondition_failed (412) where the head has another version than the client has."""
    if write.if_none_match is not None and current is not None and write.if_none_match.name(current):
        raise Problem.of(
            "precondition_failed", f"{current.reference} is there, at {current.etag}", "http.If-None-Match"
        )
    if write.if_match is None:
        return
    if current is None or current.body is None:
        if current is not None and current.position in write.if_match.positions and write.method == "PUT":
            return  # brought back by who knows of the deletion
        raise Problem.of("precondition_failed", "There is no such resource to match", "http.If-Match")
    if not write.if_match.name(current):
        raise Problem.of(
            "precondition_failed", f"{current.reference} is at {current.etag} now: read it again", "http.If-Match"
        )


def check_versioned(server: Server, write: Write, target: Target) -> None:
    """Problem precondition_required (428) where a change must name the version that it is of, and names none."""
    current = target.current
    if write.if_match is None and write.method != "POST" and current is not None and current.body is not None:
        if not server.is_versioned(write.type):
            return
        raise Problem.of(
            "precondition_required",
            f"A change of a {write.type} names the version that it is of: read {current.reference}, and send its ETag "
            "as If-Match",
            "http.If-Match",
        )


def multiple_matches(query: Query) -> Problem:
    return Problem.of("multiple_matches", f"More than one {query.type} matches the condition; it must select one")


async def the_one(query: Query, head: Head) -> str | None:
    """The id of the resource that a condition selects. Problem multiple_matches (412) where it selects several."""
    found = await head.selected(query)
    if len(found) > 1:
        raise multiple_matches(query)
    return found[0] if found else None


async def perform(server: Server, request: Request, write: Write, resolve: Resolve) -> Response:
    """Commit one write and answer it."""
    _check_references(write)
    await foresee(server, request, write, resolve)

    async def decide(view: View) -> Plan:
        target = await resolve(write, ViewHead(view))
        check_versioned(server, write, target)
        if target.keeps:
            return Plan([], outcome_of(target, None))
        return Plan([write.change(target.id, target.current)], outcome_of(target, 0))

    made = await commit(server, request, decide)
    found = await _judged(server, request, write)
    return await answer(server, request, write.type, made, made.output, found)


async def commit(server: Server, request: Request, decide: Decide) -> Commit:
    """Commit what is decided, and in it the Provenance that the request has."""
    grounds = provenance(request)

    async def with_grounds(view: View) -> Plan:
        plan = await decide(view)
        if grounds is not None and plan.changes:
            plan.changes.append(grounds.change(plan.changes))
        return plan

    return await server.repository.commit(
        request.caller,
        decide if grounds is None else with_grounds,
        key=key_of(request),
        fingerprint=fingerprint(request),
        override=None if grounds is None else grounds.override,
    )


def _check_references(write: Write) -> None:
    """A conditional reference is for a transaction to resolve; stored as it is, it would name nothing for good."""
    if write.patch is not None:
        names = write.patch.links_in(())
    elif write.body is not None and "?" in write.body.source:
        names = bundle.links_in(write.body.resource, ())
    else:
        return
    if names:
        raise Problem.with_issues(
            "unprocessable",
            [
                Issue(
                    "not-supported",
                    f"{name[:200]!r} is a conditional reference, which only a transaction resolves: send the resource "
                    f"as an entry of one, or write {name.partition('?')[0]}/[id]",
                    (write.type,),
                )
                for name in sorted(names)
            ],
        )


@contextmanager
def ahead() -> Iterator[None]:
    """Of what is looked at before the head is: the head alone decides what is refused, if it can be asked at all."""
    try:
        yield
    except Problem as problem:
        if problem.kind == "unavailable":
            raise


async def foresee(server: Server, request: Request, write: Write, resolve: Resolve) -> None:
    """Make the change, with its index rows, before the head is held, for the id that it will most likely have."""
    if write.id and write.patch is None:
        await _foreseen(server, request, write.change(write.id))
        return
    with ahead():
        target = await resolve(write, ViewHead(await server.repository.view(request.caller)))
        if target.id and not target.keeps:
            await _foreseen(server, request, write.change(target.id, target.current))


async def _foreseen(server: Server, request: Request, change: Change) -> None:
    if len(request.content) < LARGE:
        server.repository.prepare(change)
    else:
        await asyncio.to_thread(server.repository.prepare, change)
    if policy.claiming(server.profiles, change):
        await policy.judged(await server.repository.view(request.caller), change)


async def _judged(server: Server, request: Request, write: Write) -> list[Issue]:
    """What the profiles say of what was written, for a client that asks for an OperationOutcome."""
    if (request.prefer.returns or request.returns) != "OperationOutcome":
        return []
    view = await server.repository.view(request.caller)
    found = [change for change in write.changes.values() if policy.claiming(server.profiles, change)]
    return [issue for change in found[-1:] for issue in await policy.judged(view, change)]


def outcome_of(target: Target, change: int | None) -> dict[str, Any]:
    """What an answer is made from, as JSON: the commit keeps it for a request that comes twice.

    `change` is the place among the commit's changes; None where it has none.
    """
    if change is not None:
        return {"status": target.status, "change": change}
    if target.current is None or target.current.body is None:
        return {"status": target.status}
    return {"status": target.status, "id": target.id, "version": target.current.position}


async def version_of(
    server: Server, request: Request, type: str, commit: Commit, output: dict[str, Any]
) -> Version | None:
    """The version that an answer tells of."""
    if "change" in output:
        changed: int = output["change"]
        return commit.versions[changed]
    if "version" in output:
        return await server.repository.vread(request.caller, type, output["id"], output["version"])
    return None


async def answer(
    server: Server,
    request: Request,
    type: str,
    commit: Commit,
    output: dict[str, Any],
    found: Sequence[Issue] = (),
) -> Response:
    """The answer to one write, from its commit alone: Prefer says what it holds. `found` is told in an outcome."""
    version = await version_of(server, request, type, commit, output)
    status: int = output["status"]
    returns = request.prefer.returns or request.returns
    if returns == "OperationOutcome":
        told = Response.told(200 if status == 204 else status, [told_of(version, status), *found])
        told.version, told.location = version, location_of(version)
        return told
    content = b"" if returns == "minimal" or status == 204 or version is None else version.body or b""
    return Response(status, content, version, location_of(version))


def told_of(version: Version | None, status: int) -> Issue:
    """What was done, in a word."""
    what = {200: "is stored", 201: "is created", 204: "is deleted"}[status]
    named = f"{version.reference} {what} as version {version.position}" if version else "There was nothing to delete"
    return Issue("informational", named, severity="information")


def location_of(version: Version | None) -> str:
    """The version's place below the base; a deletion has none."""
    if version is None or version.body is None:
        return ""
    return f"{version.reference}/_history/{version.position}"


def key_of(request: Request) -> str | None:
    """The Idempotency-Key header. Problem invalid (400) where it is empty or too long."""
    value = request.headers.get(b"idempotency-key")
    if value is None:
        return None
    if not 0 < len(value) <= MAX_KEY:
        raise Problem.invalid(f"An Idempotency-Key has 1 to {MAX_KEY} characters", "http.Idempotency-Key")
    return value.decode("latin-1")


def fingerprint(request: Request) -> bytes:
    """What tells a request that comes again from another with the same Idempotency-Key."""
    if b"idempotency-key" not in request.headers:
        return b""
    asked = (request.method, "/".join(request.place[1:]), repr(list(request.parameters)), *_conditions(request))
    digest = hashlib.blake2b("\n".join(asked).encode(), digest_size=32)
    digest.update(request.content)
    return digest.digest()


def _conditions(request: Request) -> list[str]:
    return [request.headers.get(name, b"").decode("latin-1") for name in CONDITIONS]
