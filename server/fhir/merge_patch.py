"""JSON Merge Patch: a resource changed by the members that are to be otherwise; null takes one away.

https://www.rfc-editor.org/rfc/rfc7396

It is none of FHIR's formats, yet what some clients send (fhirpy's `patch` among them).
"""

from __future__ import annotations

from collections.abc import Container
from typing import Any

from server.fhir import bundle
from server.outcome import Problem

MEDIA_TYPE = "application/merge-patch+json"


class MergePatch:
    """The members that are to be otherwise."""

    def __init__(self, members: dict[str, Any]) -> None:
        self.members = members

    def applied(self, resource: dict[str, Any]) -> dict[str, Any]:
        """The resource that the patch makes of this one. An array is replaced as a whole."""
        found: dict[str, Any] = _merged(resource, self.members)
        return found

    def links_in(self, known: Container[str]) -> set[str]:
        """What in the values may be a link: each of `known`, a version of one, and each conditional reference."""
        return bundle.links_in(self.members, known)


def read(document: Any) -> MergePatch:
    """Read a merge patch. Problem malformed (400) where it is no object."""
    if not isinstance(document, dict):
        raise Problem.malformed("A merge patch of a resource is a JSON object", "http.body")
    return MergePatch(document)


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = _merged(found.get(name), value)
    return found
