"""delete: a resource is there no more; its versions stay in history, and an update brings it back.

https://hl7.org/fhir/R4/http.html#delete, https://hl7.org/fhir/R4/http.html#2.21.0.13.1
"""

from __future__ import annotations

from server.interactions.exchange import Request, Response, Server
from server.interactions.write import (
    Head,
    Target,
    Write,
    check_preconditions,
    condition,
    multiple_matches,
    perform,
    preconditions,
)


async def delete(server: Server, request: Request) -> Response:
    """DELETE [base]/[type]/[id]. What is not there is deleted already."""
    return await perform(server, request, prepare(request), resolve)


async def conditional_delete(server: Server, request: Request) -> Response:
    """DELETE [base]/[type]?[criteria]: the one that matches."""
    return await perform(server, request, prepare_conditional(request), resolve)


def prepare(request: Request) -> Write:
    if_match, if_none_match = preconditions(request)
    return Write("DELETE", request.place.type, request.place.id, if_match=if_match, if_none_match=if_none_match)


def prepare_conditional(request: Request) -> Write:
    query = condition(request.place.type, request.parameters, request.base_url, "http.url")
    if_match, if_none_match = preconditions(request)
    return Write("DELETE", request.place.type, condition=query, if_match=if_match, if_none_match=if_none_match)


async def resolve(write: Write, head: Head) -> Target:
    """The resource to delete, or what keeps as it is: there is none."""
    id = write.id
    if write.condition is not None:
        found = await head.selected(write.condition)
        if len(found) > 1:
            raise multiple_matches(write.condition)
        id = found[0] if found else ""
    current = await head.read(write.type, id) if id else None
    check_preconditions(write, current)
    return Target(id, 204, current, keeps=current is None or current.body is None)
