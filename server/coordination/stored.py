"""Stored: a resource as a view has it; parsed once, however often one commit looks at it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from server.fhir import body, reference
from server.ledger import Resource, View


async def read(view: View, reference: str) -> Resource | None:
    """A resource, which nobody changes in place; None where it is not there."""
    version = await view.read(*reference.split("/"))
    return _parsed(version.body) if version and version.body else None


async def read_many(view: View, references: Iterable[str]) -> dict[str, Resource]:
    """The resources by their references, at one question; those that are not there are left out."""
    versions = await view.read_many(references)
    return {one: dict(body.parse(version.body).resource) for one, version in versions.items() if version.body}


def localized(resource: Resource, base_url: str) -> Resource:
    """The resource with its references under our own base URL as "Type/id"; itself where that is not known."""

    def own(link: str) -> str:
        found = reference.local(link, base_url)
        return f"{found.type}/{found.id}" if found else link

    return renamed(resource, own) if base_url else resource


def renamed(resource: Resource, called: Callable[[str], str]) -> Resource:
    """The resource with each reference as `called` has it."""
    return {name: _renamed(name, value, called) for name, value in resource.items()}


def _renamed(name: str, value: Any, called: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return renamed(value, called)
    if isinstance(value, list):
        return [_renamed(name, one, called) for one in value]
    return called(value) if name == "reference" and isinstance(value, str) else value


@lru_cache(maxsize=256)
def _parsed(content: bytes) -> Resource:
    return dict(body.parse(content).resource)
