"""Document: the text of an agreement's document, told by its hash, wherever it is kept.

https://hl7.org/fhir/R4/contract-definitions.html#Contract.legal, https://hl7.org/fhir/R4/datatypes.html#attachment

It is in the Contract, or in a DocumentReference or Binary of this server, which is read: what it says of itself counts
only where the content is elsewhere.
"""

from __future__ import annotations

import base64
import hashlib

from server.coordination.facts import literal
from server.coordination.stored import read
from server.ledger import Resource, View

KEPT = ("Binary", "DocumentReference")  # where a document may be kept beside the Contract


async def digest(view: View, legal: Resource, base_url: str) -> str | None:
    """The SHA-1 of one Contract.legal, as base64; None where there is nothing to read."""
    attachment = legal.get("contentAttachment", {})
    link = legal.get("contentReference") or {"reference": attachment.get("url", "")}
    if "data" not in attachment and (kept := literal(link, base_url, KEPT)):
        return _of_kept(await read(view, kept) or {}, base_url)
    return _of(attachment)


def is_untrue(legal: Resource) -> bool:
    """Whether Attachment.hash is another than that of the data beside it."""
    attachment = legal.get("contentAttachment", {})
    return "data" in attachment and attachment.get("hash", "") not in ("", _of(attachment))


def _of_kept(resource: Resource, base_url: str) -> str | None:
    """Of a Binary its data; of a DocumentReference that is no error its one attachment, with its content or without."""
    if resource.get("resourceType") == "Binary":
        return _of(resource)
    contents = [one["attachment"] for one in resource.get("content", ())]
    if resource.get("status") == "entered-in-error":
        return None
    if len(contents) != 1 or literal({"reference": contents[0].get("url", "")}, base_url):
        return None
    return _of(contents[0])


def _of(attachment: Resource) -> str | None:
    if "data" in attachment:
        content = base64.b64decode(attachment["data"])
        return base64.b64encode(hashlib.sha1(content, usedforsecurity=False).digest()).decode()
    found: str | None = attachment.get("hash")
    return found
