"""Stored: a resource as a view has it; parsed once, however often one commit looks at it."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

from server.fhir import body
from server.ledger import Resource, View


async def read(view: View, reference: str) -> Resource | None:
    """A resource, which nobody changes in place; None where it is not there."""
    version = await view.read(*reference.split("/"))
    return _parsed(version.body) if version and version.body else None


async def read_many(view: View, references: Iterable[str]) -> dict[str, Resource]:
    """The resources by their references, at one question; those that are not there are left out."""
    versions = await view.read_many(references)
    return {one: dict(body.parse(version.body).resource) for one, version in versions.items() if version.body}


@lru_cache(maxsize=256)
def _parsed(content: bytes) -> Resource:
    return dict(body.parse(content).resource)
