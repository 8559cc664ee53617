"""patch: a change of a resource in the place of its new content: JSON Patch, or FHIRPath Patch.

https://hl7.org/fhir/R4/http.html#patch, https://hl7.org/fhir/R4/fhirpatch.html

It is applied at the ledger's head, and what comes of it is checked as an update is.
"""

from __future__ import annotations

import base64
import binascii

from server.fhir import body, fhirpath_patch, json_patch
from server.fhir.body import NAMED, Body
from server.fhir.json_patch import MEDIA_TYPE
from server.interactions.exchange import Request, Response, Server
from server.interactions.headers import unpatchable
from server.interactions.patched import Patch
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
from server.outcome import Problem
from server.validation.element import validate


async def patch(server: Server, request: Request) -> Response:
    """PATCH [base]/[type]/[id]."""
    return await perform(server, request, prepare(request), resolve)


async def conditional_patch(server: Server, request: Request) -> Response:
    """PATCH [base]/[type]?[criteria]: the one that matches."""
    return await perform(server, request, prepare_conditional(request), resolve)


def prepare(request: Request) -> Write:
    """Read the patch."""
    if_match, if_none_match = preconditions(request)
    place = request.place
    return Write("PATCH", place.type, place.id, if_match=if_match, if_none_match=if_none_match, patch=_patch(request))


def prepare_conditional(request: Request) -> Write:
    """Read the patch."""
    type = request.place.type
    query = condition(type, request.parameters, request.base_url, "http.url")
    if_match, if_none_match = preconditions(request)
    return Write("PATCH", type, condition=query, if_match=if_match, if_none_match=if_none_match, patch=_patch(request))


async def resolve(write: Write, head: Head) -> Target:
    """The resource that is patched; one that the patch leaves as it is keeps its version."""
    id = write.id
    if write.condition is not None:
        found = await head.selected(write.condition)
        if len(found) > 1:
            raise multiple_matches(write.condition)
        if not found:
            raise Problem.not_found(f"No {write.type} matches the condition; a patch changes what is there", "http.url")
        id = found[0]
    current = await head.read(write.type, id)
    if current is None:
        raise Problem.not_found(f"There is no {write.type} with the id {id[:NAMED]!r} to patch")
    if current.body is None:
        raise Problem.gone(f"{current.reference} was deleted in version {current.position}; PUT brings it back")
    check_preconditions(write, current)
    return Target(id, 200, current, keeps=write.patched(current) is None)


def _patch(request: Request) -> Patch:
    """The patch as it is sent: by its own media type; as Parameters; or, in a Bundle, as a Binary that holds it."""
    if request.parsed is None and _media_type(request) == MEDIA_TYPE:
        if not request.content:
            raise Problem.of("required", "A JSON Patch is an array of operations; the body is empty", "http.body")
        return json_patch.read(body.loads(request.content))
    if request.content.lstrip()[:1] == b"[":
        raise Problem.malformed(
            f"An array of operations is a JSON Patch: declare it as {MEDIA_TYPE}", "http.Content-Type"
        )
    sent = request.body()
    if sent.type == "Binary":
        return json_patch.read(_within(sent))
    if sent.type != "Parameters":
        raise Problem.invalid(
            f"PATCH takes Parameters (FHIRPath Patch) or {MEDIA_TYPE}; the body is a {sent.type[:NAMED]}",
            f"{sent.type[:NAMED]}.resourceType",
        )
    issues = validate(sent.resource)
    if issues:
        raise Problem.with_issues("malformed", issues)
    return fhirpath_patch.read(sent.resource)


def _media_type(request: Request) -> str:
    return request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


def _within(binary: Body) -> object:
    """The JSON that a Binary holds."""
    declared = binary.resource.get("contentType")
    if declared != MEDIA_TYPE:
        raise unpatchable(f"the Binary's contentType is {str(declared)[:NAMED]!r}", "Binary.contentType")
    data = binary.resource.get("data")
    try:
        if not isinstance(data, str):
            raise ValueError
        content = base64.b64decode("".join(data.split()), validate=True)
    except (ValueError, binascii.Error):
        raise Problem.malformed("The Binary's data is the patch in base64", "Binary.data") from None
    return body.loads(content)
