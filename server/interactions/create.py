"""create: a new resource, under an id that the server gives.

https://hl7.org/fhir/R4/http.html#create, https://hl7.org/fhir/R4/http.html#ccreate
"""

from __future__ import annotations

from server.interactions.exchange import Request, Response, Server, parameters
from server.interactions.write import Head, Target, Write, checked, condition, multiple_matches, perform
from server.repository import new_id


async def create(server: Server, request: Request) -> Response:
    """POST [base]/[type], with If-None-Exist a conditional create."""
    return await perform(server, request, await prepare(server, request), resolve)


async def prepare(server: Server, request: Request) -> Write:
    """Read and check what the client sent."""
    body = await checked(request)
    id = new_id()
    query = None
    if (criteria := request.headers.get(b"if-none-exist")) is not None:
        before, mark, after = criteria.partition(b"?")  # "Patient?identifier=1" and "?identifier=1" are sent too
        asked = after if mark and b"=" not in before else criteria
        query = await condition(server, request.place.type, parameters(asked), request.base_url, "http.If-None-Exist")
    return Write("POST", request.place.type, id, id, body, query)


async def resolve(write: Write, head: Head) -> Target:
    """Where the condition finds one, that one stands."""
    if write.condition is None:
        return Target(write.id, 201)
    found = await head.matching(write.condition)
    if len(found) > 1:
        raise multiple_matches(write.condition)
    if not found:
        return Target(write.new_id, 201)
    return Target(found[0], 200, await head.read(write.type, found[0]), keeps=True)
