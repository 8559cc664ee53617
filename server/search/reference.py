"""reference: resources that point to others, by id, type and id, or URL.

https://hl7.org/fhir/R4/search.html#reference

Key: "Patient/1" for a resource of this server, whichever version the reference names, so that chains and includes can
follow it; else 10 bytes that digest the URL. Reference.identifier has rows of its own in ":identifier". What points
into its own resource (#x) or nowhere has only a nameless row.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from server.fhir.definition import RESOURCE_TYPES
from server.fhir.reference import is_id, local
from server.ledger import IndexRow
from server.outcome import Problem
from server.search.digest import SHORT, digest
from server.search.escaping import unescape
from server.search.filter import NAMELESS, Equal, Filter
from server.search.parameter import Parameter, Path, Test, Write, has_value, not_supported
from server.search.token import identified, identifier_rows

_EXAMPLES = "Patient/1, 1 (of any type) or http://example.org/fhir/Patient/1"


def key(url: str) -> bytes:
    """The key of a URL that is not of this server."""
    return digest(url, 10)


def write(parameter: Parameter, path: Path) -> Write:
    """Rows of one path's values."""
    index, identifier_index, target = parameter.index, f"{parameter.index}:identifier", path.target

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
        url, bar, _ = value.partition("|")
        if bar:
            rows.append((index, key(url)))

    def resource(value: Mapping[str, Any], rows: list[IndexRow], base_url: str) -> None:
        if value.get("resourceType") in parameter.targets:
            rows.append((index, f"{value['resourceType']}/{value['id']}" if "id" in value else NAMELESS))

    writes: Mapping[str, Write] = {"Reference": reference, "Resource": resource}
    return writes.get(path.type, canonical)


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
    """How one value is matched; the modifier is a type that the reference names, or `identifier`."""
    if modifier == "identifier" and "Reference" in parameter.datatypes:
        return identified(f"{parameter.index}:identifier")
    if modifier and modifier not in parameter.targets:
        raise not_supported(parameter, modifier, "identifier", *sorted(parameter.targets)[:20])
    types = (modifier,) if modifier else tuple(sorted(parameter.targets))
    index = parameter.index
    canonical = "Reference" not in parameter.datatypes

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
        if not found or canonical:
            keys.append(key(literal))
        return Equal(index, tuple(keys))

    return matched
