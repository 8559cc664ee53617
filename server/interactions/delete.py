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
    commit,
    condition,
    perform,
    preconditions,
    the_one,
)
from server.ledger import Change, Plan, View
from server.outcome import Issue, Problem

MOST = 1000  # resources that one conditional delete takes


async def delete(server: Server, request: Request) -> Response:
    """DELETE [base]/[type]/[id]. What is not there is deleted already."""
    return await perform(server, request, await prepare(server, request), resolve)


async def conditional_delete(server: Server, request: Request) -> Response:
    """DELETE [base]/[type]?[criteria]: the one that matches; where the server is set so, all that match."""
    write = await prepare_conditional(server, request)
    if server.deletes_several and write.if_match is None and not server.is_versioned(write.type):
        return await _delete_all(server, request, write)
    return await perform(server, request, write, resolve)


async def _delete_all(server: Server, request: Request, write: Write) -> Response:
    """All that match, in one commit. Problem too_costly (413) where they are more than one may delete."""
    query = write.condition
    assert query is not None

    async def decide(view: View) -> Plan:
        found = await view.search(query.type, query.filter, MOST + 1)
        if len(found) > MOST:
            raise Problem.of("too_costly", f"More than {MOST} match; a DELETE takes {MOST}: narrow the condition")
        return Plan([Change("DELETE", version.type, version.id) for version in found], len(found))

    made = await commit(server, request, decide)
    if request.prefer.returns != "OperationOutcome":
        return Response(204)
    return Response.told(200, [Issue("informational", f"{made.output} deleted", severity="information")])


async def prepare(server: Server, request: Request) -> Write:
    if_match, if_none_match = preconditions(request)
    return Write("DELETE", request.place.type, request.place.id, if_match=if_match, if_none_match=if_none_match)


async def prepare_conditional(server: Server, request: Request) -> Write:
    query = await condition(server, request.place.type, request.parameters, request.base_url, "http.url")
    if_match, if_none_match = preconditions(request)
    return Write("DELETE", request.place.type, condition=query, if_match=if_match, if_none_match=if_none_match)


async def resolve(write: Write, head: Head) -> Target:
    """The resource to delete, or what keeps as it is: there is none."""
    id = write.id
    if write.condition is not None:
        id = await the_one(write.condition, head) or ""
    current = await head.read(write.type, id) if id else None
    check_preconditions(write, current)
    return Target(id, 204, current, keeps=current is None or current.body is None)
