"""update: a resource's new content, under the id that the client names; it is made where there is none.

https://hl7.org/fhir/R4/http.html#update, https://hl7.org/fhir/R4/http.html#cond-update
"""

from __future__ import annotations

from server.fhir import summary
from server.fhir.body import Body
from server.fhir.reference import is_id
from server.interactions.exchange import Request, Response, Server
from server.interactions.write import (
    Head,
    Target,
    Write,
    check_preconditions,
    checked,
    condition,
    perform,
    preconditions,
    the_one,
)
from server.outcome import Problem
from server.repository import new_id
from server.search.query import Query


async def update(server: Server, request: Request) -> Response:
    """PUT [base]/[type]/[id]."""
    return await perform(server, request, await prepare(server, request), resolve)


async def conditional_update(server: Server, request: Request) -> Response:
    """PUT [base]/[type]?[criteria]."""
    return await perform(server, request, await prepare_conditional(server, request), resolve)


async def prepare(server: Server, request: Request) -> Write:
    """Read and check what the client sent."""
    type, id = request.place.type, request.place.id
    if not is_id(id):
        raise Problem.invalid(f"{id[:80]!r} is no id: 1 to 64 of A-Z, a-z, 0-9, '-' and '.'", "http.url")
    body = await whole(request)
    if body.id != id:
        raise Problem.invalid(
            f"The URL updates {type}/{id}; the body's id is {body.id!r}, and must be the same", f"{type}.id"
        )
    if_match, if_none_match = preconditions(request)
    return Write("PUT", type, id, id, body, None, if_match, if_none_match)


async def prepare_conditional(server: Server, request: Request) -> Write:
    """Read and check what the client sent."""
    type = request.place.type
    query = await condition(server, type, request.parameters, request.base_url, "http.url")
    body = await whole(request)
    if_match, if_none_match = preconditions(request)
    return Write("PUT", type, body.id or "", body.id or new_id(), body, query, if_match, if_none_match)


async def whole(request: Request) -> Body:
    """The resource that the client sent. Problem unprocessable (422) where it is a part: to store it loses the rest."""
    body = await checked(request)
    if summary.is_subset(body.resource):
        raise Problem.of(
            "unprocessable",
            f"The {body.type} is tagged SUBSETTED: it is what _summary or _elements left of one, and storing it would "
            "lose the rest; read the whole resource, change that, and send it",
            f"{body.type}.meta.tag",
        )
    return body


async def resolve(write: Write, head: Head) -> Target:
    """The resource that is updated, or the new one."""
    id = write.id if write.condition is None else await _selected(write, write.condition, head)
    current = await head.read(write.type, id)
    check_preconditions(write, current)
    return Target(id, 201 if current is None or current.body is None else 200, current)


async def _selected(write: Write, condition: Query, head: Head) -> str:
    """The id of the one that the condition selects, or the new one's."""
    found = await the_one(condition, head)
    if found:
        if write.id and write.id != found:
            raise Problem.invalid(
                f"The condition selects {write.type}/{found}; the body's id is {write.id!r}", f"{write.type}.id"
            )
        return found
    current = await head.read(write.type, write.new_id) if write.id else None
    if current is not None and current.body is not None:
        raise Problem.conflict(
            f"{current.reference} exists, and the condition does not select it: update it by its id", f"{write.type}.id"
        )
    return write.new_id
