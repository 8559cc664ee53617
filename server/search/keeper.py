"""Keeper: who keeps a resource, where R4 says so in an element that no search parameter of its own is of.

The rows stand in indexes beside the parameters' ("CarePlan:author"): no client searches them, and no include follows
them; they tell whose a resource is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from server.ledger import IndexRow, Resource
from server.search.reference import resolved

KEEPERS: Mapping[str, tuple[str, ...]] = {
    "CarePlan": ("author", "contributor"),
    "CareTeam": ("managingOrganization",),
    "Condition": ("recorder",),
    "Goal": ("expressedBy",),
}


def indexes(type: str) -> tuple[str, ...]:
    """The indexes of a type's keepers."""
    return tuple(f"{type}:{element}" for element in KEEPERS.get(type, ()))


def rows(resource: Resource, base_url: str) -> Iterator[IndexRow]:
    """A row for each resource of this server that keeps this one."""
    type = resource["resourceType"]
    for element in KEEPERS.get(type, ()):
        for literal in _literals(resource.get(element)):
            key, _ = resolved(literal, base_url)
            if isinstance(key, str):
                yield f"{type}:{element}", key


def _literals(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if one and "reference" in one:
            yield one["reference"]
