"""reference: resources that point to others, by id, type and id, or URL.

https://hl7.org/fhir/R4/search.html#reference

Key: "Patient/1" for a resource of this server, whichever version the reference names, so that chains and includes can
follow it; else 10 bytes that digest the URL. Reference.identifier has rows of its own in ":identifier". What points
into its own resource (#x) or nowhere has only a nameless row. A canonical is found with its version and without;
"|1.0.2" has rows in ":below" for |1 and |1.0.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from types import MappingProxyType
from typing import Any

from server.fhir.definition import RESOURCE_TYPES
from server.fhir.reference import is_id, local
from server.ledger import IndexRow
from server.outcome import Problem
from server.search.digest import SHORT, digest
from server.search.escaping import unescape
from server.search.filter import NAMELESS, Equal, Filter, Hierarchy, either
from server.search.parameter import Parameter, Path, Test, Write, has_value, not_supported
from server.search.token import identified, identifier_rows

# What a resource stands below: the types that form a strict hierarchy, and the parameter that names the parent.
PARENTS: Mapping[str, str] = MappingProxyType(
    {
        "CarePlan": "part-of",
        "Communication": "part-of",
        "DeviceDefinition": "parent",
        "Encounter": "part-of",
        "Location": "partof",
        "MedicationStatement": "part-of",
        "Organization": "partof",
        "Procedure": "part-of",
        "ResearchStudy": "partof",
        "Specimen": "parent",
        "Task": "part-of",
    }
)
MAX_PARTS = 16  # of a version

_EXAMPLES = "Patient/1, 1 (of any type) or http://example.org/fhir/Patient/1"


def key(url: str) -> bytes:
    """The key of a URL that is not of this server."""
    return digest(url, 10)


def write(parameter: Parameter, path: Path) -> Write:
    """Rows of one path's values."""
    index, identifier_index, target = parameter.index, f"{parameter.index}:identifier", path.target
    below = f"{index}:below"

    def reference(value: Mapping[str, Any], rows: list[IndexRow], base_url: str) -> None:
        literal, identifier = value.get("reference"), value.get("identifier")
        if literal:
            found, type_ = resolved(literal, base_url)
        elif has_value(value):
            found, type_ = NAMELESS, ""
        else:
            return
        if target and (type_ or value.get("type")) != target:
            return
        rows.append((index, found))
        if identifier:
            rows += identifier_rows(identifier_index, identifier)

    def canonical(value: str, rows: list[IndexRow], base_url: str) -> None:
        found, type_ = resolved(value, base_url)
        rows.append((index, found))
        if type_ and isinstance(found, str):
            rows.append((index, key(value)))
        url, bar, version = value.partition("|")
        if bar:
            rows.append((index, key(url)))
            rows.extend((below, key(f"{url}|{leading}")) for leading in _leading(version))

    def resource(value: Mapping[str, Any], rows: list[IndexRow], base_url: str) -> None:
        if value.get("resourceType") in parameter.targets:
            rows.append((index, f"{value['resourceType']}/{value['id']}" if "id" in value else NAMELESS))

    writes: Mapping[str, Write] = {"Reference": reference, "Resource": resource}
    return writes.get(path.type, canonical)


def write_local(parameter: Parameter, path: Path) -> Write:
    """Of references to what is contained: the index, and the reference itself."""

    def local_to(value: Mapping[str, Any], rows: list[IndexRow], base_url: str) -> None:
        if value.get("reference", "").startswith("#"):
            rows.append((parameter.index, value["reference"]))

    return local_to


def resolved(literal: str, base_url: str) -> tuple[bytes | str, str]:
    """(a literal reference's key, the type of resource that it names or "")."""
    return _resolved(literal, base_url) if len(literal) <= SHORT else _resolved.__wrapped__(literal, base_url)


@lru_cache(maxsize=16384)  # a resource names its patient several times
def _resolved(literal: str, base_url: str) -> tuple[bytes | str, str]:
    if literal.startswith("#"):
        return NAMELESS, ""
    found = local(literal, base_url)
    if found:
        return f"{found.type}/{found.id}", found.type
    segments = literal.split("/")
    if len(segments) > 3 and segments[-2] == "_history":
        del segments[-2:]
    elsewhere = len(segments) > 2 and segments[-2] in RESOURCE_TYPES and is_id(segments[-1])
    return key(literal), segments[-2] if elsewhere else ""


def test(parameter: Parameter, modifier: str | None) -> Test:
    """How one value is matched; the modifier is a type that the reference names, or one of `modifiers`."""
    if modifier and modifier in modifiers(parameter):
        return _MODIFIED[modifier](parameter)
    if modifier and modifier not in parameter.targets:
        raise not_supported(parameter, modifier, *modifiers(parameter), *sorted(parameter.targets)[:20])
    types = (modifier,) if modifier else tuple(sorted(parameter.targets))
    index = parameter.index
    is_canonical = _is_canonical(parameter)

    def matched(value: str, base_url: str) -> Filter:
        literal = unescape(value)
        if "/" not in literal and is_id(literal):
            return Equal(index, tuple(f"{type_}/{literal}" for type_ in types))
        found = local(literal, base_url)
        if found is None and ":" not in literal:
            raise Problem.invalid(f"{literal!r} is no reference; accepted are {_EXAMPLES}")
        if modifier and found and found.type != modifier:
            raise Problem.invalid(f"{literal!r} does not name a {modifier}, as :{modifier} says")
        keys: list[bytes | str] = [f"{found.type}/{found.id}"] if found else []
        if not found or is_canonical:
            keys.append(key(literal))
        return Equal(index, tuple(keys))

    return matched


def modifiers(parameter: Parameter) -> tuple[str, ...]:
    """Those that it takes beside its types."""
    if _is_canonical(parameter):
        return ("below",)
    return ("identifier", "above", "below") if hierarchies(parameter) else ("identifier",)


def hierarchies(parameter: Parameter) -> tuple[str, ...]:
    """The types among its targets that form a hierarchy."""
    return () if _is_canonical(parameter) else tuple(sorted(parameter.targets & PARENTS.keys()))


def _is_canonical(parameter: Parameter) -> bool:
    return "Reference" not in parameter.datatypes


def _identified(parameter: Parameter) -> Test:
    return identified(f"{parameter.index}:identifier")


def _above(parameter: Parameter) -> Test:
    return _related(parameter, upward=True)


def _below(parameter: Parameter) -> Test:
    return _of_versions(parameter) if _is_canonical(parameter) else _related(parameter, upward=False)


def _related(parameter: Parameter, *, upward: bool) -> Test:
    """The named resource, and all that stands above it or below it. https://hl7.org/fhir/R4/search.html#recursive"""
    types = hierarchies(parameter)

    def matched(value: str, base_url: str) -> Filter:
        literal = unescape(value)
        found = local(literal, base_url)
        if found is None and not is_id(literal):
            raise Problem.invalid(
                f"{literal!r} names no resource of this server; {types[0]}/1 would, and 1 of any type"
            )
        if found and found.type not in types:
            raise Problem.invalid(f"A {found.type} stands in no hierarchy here; accepted are {', '.join(types)}")
        named = [(found.type, found.id)] if found else [(type, literal) for type in types]
        return either(
            [Hierarchy(parameter.index, f"{type}.{PARENTS[type]}", (f"{type}/{id}",), upward) for type, id in named]
        )

    return matched


def _of_versions(parameter: Parameter) -> Test:
    """A canonical in whatever version, or in those that begin as one does: |1 for |1.0 and |1.1."""

    index, plain = parameter.index, test(parameter, None)

    def matched(value: str, base_url: str) -> Filter:
        return either([plain(value, base_url), Equal(f"{index}:below", (key(unescape(value)),))])

    return matched


def _leading(version: str) -> list[str]:
    """What a version begins with, part by part: 1 and 1.0 of 1.0.2."""
    parts = version.split(".", MAX_PARTS)
    return [".".join(parts[:count]) for count in range(1, len(parts))]


_MODIFIED: Mapping[str, Callable[[Parameter], Test]] = {"identifier": _identified, "above": _above, "below": _below}
