"""patch: a change of a resource in the place of its new content: JSON Patch, FHIRPath Patch, or a merge patch.

https://hl7.org/fhir/R4/http.html#patch, https://hl7.org/fhir/R4/fhirpatch.html

It is applied at the ledger's head, and what comes of it is checked as an update is.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Mapping
from typing import Any

from server.fhir import body, fhirpath_patch, json_patch, merge_patch
from server.fhir.body import NAMED, Body
from server.fhir.json_patch import MEDIA_TYPE as JSON_PATCH
from server.interactions.exchange import Request, Response, Server
from server.interactions.headers import unpatchable
from server.interactions.patched import Patch
from server.interactions.write import (
    Head,
    Target,
    Write,
    check_preconditions,
    condition,
    perform,
    preconditions,
    the_one,
)
from server.outcome import Problem
from server.validation.element import validate

READ: Mapping[str, Callable[[Any], Patch]] = {  # what is no resource, by its media type
    JSON_PATCH: json_patch.read,
    merge_patch.MEDIA_TYPE: merge_patch.read,
}


async def patch(server: Server, request: Request) -> Response:
    """PATCH [base]/[type]/[id]."""
    return await perform(server, request, await prepare(server, request), resolve)


async def conditional_patch(server: Server, request: Request) -> Response:
    """PATCH [base]/[type]?[criteria]: the one that matches."""
    return await perform(server, request, await prepare_conditional(server, request), resolve)


async def prepare(server: Server, request: Request) -> Write:
    """Read the patch."""
    if_match, if_none_match = preconditions(request)
    place = request.place
    return Write("PATCH", place.type, place.id, if_match=if_match, if_none_match=if_none_match, patch=_patch(request))


async def prepare_conditional(server: Server, request: Request) -> Write:
    """Read the patch."""
    type = request.place.type
    query = await condition(server, type, request.parameters, request.base_url, "http.url")
    if_match, if_none_match = preconditions(request)
    return Write("PATCH", type, condition=query, if_match=if_match, if_none_match=if_none_match, patch=_patch(request))


async def resolve(write: Write, head: Head) -> Target:
    """The resource that is patched; one that the patch leaves as it is keeps its version."""
    id = write.id
    if write.condition is not None:
        found = await the_one(write.condition, head)
        if found is None:
            raise Problem.not_found(f"No {write.type} matches the condition; a patch changes what is there", "http.url")
        id = found
    current = await head.read(write.type, id)
    if current is None:
        raise Problem.not_found(f"There is no {write.type} with the id {id[:NAMED]!r} to patch")
    if current.body is None:
        raise Problem.gone(f"{current.reference} was deleted in version {current.position}; PUT brings it back")
    check_preconditions(write, current)
    return Target(id, 200, current, keeps=write.patched(current) is None)


def _patch(request: Request) -> Patch:
    """The patch as it is sent: by its own media type; as Parameters; or, in a Bundle, as a Binary that holds it."""
    if request.parsed is None:
        if not request.content:
            raise Problem.of("required", "The patch is missing: the body is empty", "http.body")
        if (sent := _of_its_own(request)) is not None:
            return sent
    found = request.body()
    if found.type == "Binary":
        return _within(found)
    if found.type != "Parameters":
        raise Problem.invalid(
            f"PATCH takes Parameters (FHIRPath Patch) or {JSON_PATCH}; the body is a {found.type[:NAMED]}",
            f"{found.type[:NAMED]}.resourceType",
        )
    issues = validate(found.resource)
    if issues:
        raise Problem.with_issues("malformed", issues)
    return fhirpath_patch.read(found.resource)


def _of_its_own(request: Request) -> Patch | None:
    """A patch that is no resource; None for what is to be read as one."""
    media_type = _media_type(request)
    if media_type in READ:
        return READ[media_type](body.loads(request.content))
    if request.content.lstrip()[:1] == b"[":
        raise Problem.malformed(f"An array of operations is a JSON Patch: send it as {JSON_PATCH}", "http.Content-Type")
    if media_type == "application/json":
        members = body.loads(request.content)
        if isinstance(members, dict) and "resourceType" not in members:
            return merge_patch.read(members)
    return None


def _media_type(request: Request) -> str:
    return request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1")


def _within(binary: Body) -> Patch:
    """The patch that a Binary holds."""
    declared = str(binary.resource.get("contentType"))
    if declared not in READ:
        raise unpatchable(f"the Binary's contentType is {declared[:NAMED]!r}", "Binary.contentType")
    data = binary.resource.get("data")
    try:
        if not isinstance(data, str):
            raise ValueError
        content = base64.b64decode("".join(data.split()), validate=True)
    except (ValueError, binascii.Error):
        raise Problem.malformed("The Binary's data is the patch in base64", "Binary.data") from None
    return READ[declared](body.loads(content))
