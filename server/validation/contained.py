"""Contained resources: what R4 asks of a resource within another, and of the two together.

https://hl7.org/fhir/R4/references.html#contained

Each function yields the place of what is broken, from the resource that it was given, and the invariant in our words.
The JSON may be wrong in any part; that is reported elsewhere and passed over here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from server.fhir.definition import RESOURCE_TYPES, elements

Json = dict[str, Any]
Broken = tuple[str, str]


def alone(resource: Json) -> Iterator[Broken]:
    """What a contained resource breaks by itself."""
    meta = resource["meta"] if type(resource.get("meta")) is dict else {}
    if "contained" in resource:
        yield ".contained", "dom-2: a contained resource contains no other"
    if "versionId" in meta or "lastUpdated" in meta:
        yield ".meta", "dom-4: a contained resource has no version of its own"
    if "security" in meta:
        yield ".meta.security", "dom-5: a contained resource has no security label"


def together(resource: Json, fragments: Sequence[str]) -> Iterator[Broken]:
    """`fragments` are the references to contained resources ("#a") that were seen in the resource."""
    stored = resource.get("contained")
    parts = [(index, part) for index, part in enumerate(stored) if type(part) is dict] if type(stored) is list else []
    ids = {f"#{part['id']}" for _, part in parts if "id" in part}
    if not ids.issuperset(set(fragments) - {"#"}):
        for path, fragment in _places(resource, "Resource", ""):
            if fragment not in ids and fragment != "#":
                yield path, "ref-1: a fragment is the id of a contained resource"
    named = set(fragments)
    if not named.issuperset(ids) or len(ids) < len(parts):
        named |= _local_names(resource)
    for index, part in parts:
        if f"#{part.get('id')}" not in named and "#" not in _local_names(part):
            yield (
                f".contained[{index}]",
                "dom-3: a contained resource is referred to (#id), or refers to its container (#)",
            )


def _places(value: Any, type_name: str, path: str) -> Iterator[tuple[str, str]]:
    """Where references to contained resources stand, and which."""
    if type(value) is list:
        for index, item in enumerate(value):
            yield from _places(item, type_name, f"{path}[{index}]")
    elif type(value) is dict:
        if type_name == "Reference" and str(value.get("reference", "")).startswith("#"):
            yield f"{path}.reference", value["reference"]
        named = str(value.get("resourceType")) if type_name == "Resource" else type_name
        rows = elements(named) if type_name != "Resource" or named in RESOURCE_TYPES else {}
        for name in filter(rows.__contains__, value):
            row = rows[name]
            if row.types != ("Resource",) or name == "contained":  # a Bundle's resources have fragments of their own
                yield from _places(value[name], row.types[0], f"{path}.{row.choice or name}")


def _local_names(value: Any) -> set[str]:
    """Every text that begins with "#": references, and canonicals and URIs that lead to a contained resource."""
    if type(value) is str:
        return {value} if value.startswith("#") else set()
    parts = value.values() if type(value) is dict else value if type(value) is list else ()
    return set().union(*map(_local_names, parts))
