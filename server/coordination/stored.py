"""Stored: a resource as a view has it; parsed once, however often one commit looks at it."""

from __future__ import annotations

from functools import lru_cache

from server.fhir import body
from server.ledger import Resource, View


async def read(view: View, reference: str) -> Resource | None:
    """A resource, which nobody changes in place; None where it is not there."""
    version = await view.read(*reference.split("/"))
    return _parsed(version.body) if version and version.body else None


@lru_cache(maxsize=256)
def _parsed(content: bytes) -> Resource:
    return dict(body.parse(content).resource)
