"""Keeper: who keeps a resource, where R4 says so in an element that no search parameter of its own is of.

The rows stand in indexes beside the parameters' ("CarePlan:author"): no client searches them, and no include follows
them; they tell whose a resource is. So do those of what the server says itself of who acts, in `meta.extension`: who
wrote a resource ("Observation:writer"), and that an enrollment shows no more than what is its organization's own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from server.ledger import IndexRow, Resource
from server.search.filter import NAMELESS
from server.search.reference import resolved

WRITER = "https://careplan-server.org/fhir/StructureDefinition/writer"
OWN_ONLY = "https://careplan-server.org/fhir/StructureDefinition/own-only"
SAID: Mapping[str, str] = {
    WRITER: "writer",
    OWN_ONLY: "own-only",
}  # by the server: extension -> what its index is called

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


def said(resource: Resource, base_url: str) -> Iterator[IndexRow]:
    """The rows of what the server says in a resource's meta; those of a client that says so are the same."""
    for one in resource.get("meta", {}).get("extension", ()):
        if (name := SAID.get(one.get("url", ""))) is None:
            continue
        index = f"{resource['resourceType']}:{name}"
        if one.get("valueBoolean"):
            yield index, NAMELESS
        for literal in _literals(one.get("valueReference")):
            key, _ = resolved(literal, base_url)
            if isinstance(key, str):
                yield index, key


def _literals(value: Any) -> Iterator[str]:
    for one in value if isinstance(value, list) else [value]:
        if one and "reference" in one:
            yield one["reference"]
