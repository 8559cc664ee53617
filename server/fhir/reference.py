"""Reference: how one resource names another.

https://hl7.org/fhir/R4/references.html
"""

from __future__ import annotations

import re
from typing import NamedTuple

from server.fhir.definition import RESOURCE_TYPES

PATH = "/fhir"  # of the service base, on whatever host

_ID = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_LOOPBACK = re.compile(r"(?i:https?://(?:localhost|127\.0\.0\.1|\[::1\]))(?::[0-9]{1,5})?" + PATH).match


class Local(NamedTuple):
    """A literal reference to a resource of this server."""

    type: str
    id: str
    version: str | None = None


def local(reference: str, base_url: str = "") -> Local | None:
    """Read "Patient/1", "Patient/1/_history/3", or either under our own base URL; None for all else.

    A loopback address is always our own: who wrote it meant the server on this machine.
    """
    parts = _relative(reference, base_url).split("/")
    if len(parts) == 4 and parts[2] == "_history" and is_id(parts[3]):
        version: str | None = parts[3]
    elif len(parts) == 2:
        version = None
    else:
        return None
    if parts[0] in RESOURCE_TYPES and is_id(parts[1]):
        return Local(parts[0], parts[1], version)
    return None


def is_under(url: str, base_url: str = "") -> bool:
    """True where an absolute URL is one of this server, whether or not it names a resource."""
    return _relative(url, base_url) != url


def is_id(text: str) -> bool:
    """R4's id: 1 to 64 of A-Z a-z 0-9 - and a full stop. https://hl7.org/fhir/R4/datatypes.html#id"""
    return _ID(text) is not None


def _relative(reference: str, base_url: str) -> str:
    if not reference.startswith("http"):
        return reference
    if base_url and reference.startswith(f"{base_url}/"):
        return reference[len(base_url) + 1 :]
    if (ours := _LOOPBACK(reference)) and reference[ours.end() : ours.end() + 1] == "/":
        return reference[ours.end() + 1 :]
    return reference
