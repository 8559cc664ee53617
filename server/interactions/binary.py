"""Binary: content that is no FHIR, sent and taken as what it is.

https://hl7.org/fhir/R4/binary.html

What somebody stored must not act in another's browser: it is sent as an attachment whose type is not guessed, and which
may run nothing.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from server.fhir import body, xml
from server.interactions.exchange import INSTANCE, TYPE, VERSION, Place, Request, Response
from server.interactions.headers import MEDIA_TYPES, XML_TYPES, Headers, check_content_type, not_acceptable, preferred
from server.outcome import Problem

SECURITY_CONTEXT = b"x-security-context"
UNKNOWN = b"application/octet-stream"
AS_FHIR = frozenset({"_format", "_summary", "_elements", "_pretty"})  # who asks by these means the resource
SAFE = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-disposition", b"attachment"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
)

_MEDIA_TYPE = re.compile(
    r"[\w!#$&^.+-]+/[\w!#$&^.+-]+(?: ?; ?[\w-]+=(?:[\w!#$&^.+:-]+|\"[\w !#$&^.+:;/-]*\"))*", re.ASCII
)
_ROOT = re.compile(rb"<(?:[\w.-]+:)?(\w+)")


def is_read(method: str, place: Place) -> bool:
    """True where what is read may be answered as its own content."""
    return place.type == "Binary" and method in {"GET", "HEAD"} and place.shape in {INSTANCE, VERSION}


def is_written(method: str, place: Place) -> bool:
    """True where the body may be content of its own."""
    return place.type == "Binary" and (method, place.shape) in {("POST", TYPE), ("PUT", TYPE), ("PUT", INSTANCE)}


def is_taken(definition: Mapping[str, Any], headers: Headers) -> bool:
    """True where an operation takes a Binary, and the body is text that is to be one."""
    declared = headers.get(b"content-type", b"").partition(b";")[0].strip().lower()
    return declared == b"text/csv" and any(one.get("type") == "Binary" for one in definition.get("parameter", ()))


def answered(request: Request, response: Response, stored: bytes) -> bytes:
    """The media type of FHIR that a Binary is asked for in; b"" where the answer was made its content, as what it is.

    Problem not_acceptable (406) where it is neither of those that the client takes.
    """
    resource = body.loads(stored)
    content_type = _type(resource.get("contentType"))
    if media_type := _asked(request.headers.get(b"accept"), content_type):
        return media_type
    context = resource.get("securityContext", {}).get("reference")
    if isinstance(context, str) and context.isascii() and context.isprintable():
        response.headers += ((SECURITY_CONTEXT, context.encode()),)
    response.headers += SAFE
    response.media_type = content_type
    response.body = base64.b64decode("".join(resource.get("data", "").split()))
    return b""


def _asked(accept: bytes | None, content_type: bytes) -> bytes:
    """The media type of FHIR that Accept names before it names what the content is; b"" where it names none."""
    own = content_type.partition(b";")[0].strip().decode().lower()
    if accept is None or not accept.strip():
        return b""
    for media_type in preferred(accept):
        if media_type in {own, "*/*", f"{own.partition('/')[0]}/*"}:
            return b""
        if media_type in MEDIA_TYPES:
            return MEDIA_TYPES[media_type]
    raise not_acceptable(accept.decode("latin-1"), "http.Accept", f", and this Binary as {own}")


def _type(declared: Any) -> bytes:
    """A stored contentType as a header may say it."""
    found = isinstance(declared, str) and _MEDIA_TYPE.fullmatch(declared)
    return found[0].encode() if found else UNKNOWN


def wrapped(place: Place, headers: Headers, content: bytes) -> bytes:
    """The JSON of the Binary that a body is, or whose content it is. Problem unsupported_media (415)."""
    declared = headers.get(b"content-type", b"").decode("latin-1").strip()
    if (sent := _resource(declared, content)) is not None:
        return sent
    if not _MEDIA_TYPE.fullmatch(declared):
        raise Problem.of(
            "unsupported_media",
            "A Binary's content is declared by its media type, such as application/pdf",
            "http.Content-Type",
        )
    made: dict[str, Any] = {"resourceType": "Binary", "contentType": declared}
    if place.shape == INSTANCE:
        made["id"] = place.id
    if (context := headers.get(SECURITY_CONTEXT)) is not None:
        made["securityContext"] = {"reference": context.decode("latin-1")}
    return body.dumps(made | {"data": base64.b64encode(content).decode()})


def _resource(declared: str, content: bytes) -> bytes | None:
    """The content, as JSON, where it is a Binary itself; None where it is what a Binary is to hold."""
    media_type = declared.partition(";")[0].strip().lower()
    if media_type not in MEDIA_TYPES or not _names_binary(media_type, content):
        return None
    check_content_type(declared.encode("latin-1"))
    return xml.read(content) if media_type in XML_TYPES else content


def _names_binary(media_type: str, content: bytes) -> bool:
    """Problem malformed (400) for what is declared as FHIR, and is no JSON."""
    if media_type in XML_TYPES:
        root = _ROOT.search(content)
        return root is not None and root[1] == b"Binary" and xml.NAMESPACE.encode() in content
    try:
        found = body.loads(content)
    except Problem:
        if "fhir" in media_type:
            raise
        return False
    return isinstance(found, dict) and found.get("resourceType") == "Binary"
