"""_contained: resources within others, searched by what they themselves say.

https://hl7.org/fhir/R4/search.html#contained

A resource has a row for each type that it contains; which of those that it contains match is asked of each in turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.ledger import IndexRow, Resource
from server.outcome import Problem
from server.search import match
from server.search.filter import Equal, Filter

_THERE = b"\1"


def rows(resource: Resource) -> list[IndexRow]:
    """The index's rows of what a resource contains."""
    container = resource["resourceType"]
    return [(_index(container, inner["resourceType"]), _THERE) for inner in resource["contained"] if inner]


def containing(container: str, type: str) -> Filter:
    """The resources of one type that contain any of another."""
    return Equal(_index(container, type), (_THERE,))


def matching(
    resource: Resource, type: str, filter: Filter, updated: int, rows: Callable[[Resource], Sequence[IndexRow]]
) -> list[Resource]:
    """Those of a type that a resource contains and that satisfy a filter, by the rows that they would have."""
    inner = [one for one in resource["contained"] if one and one["resourceType"] == type]
    try:
        return [one for one in inner if match.matches(filter, type, one["id"], updated, rows(one))]
    except ValueError:
        raise Problem.invalid(
            "What is contained is searched by its own elements: no chain, _has, _list, _text or _content",
            "http._contained",
        ) from None


def _index(container: str, type: str) -> str:
    return f"{container}.contained:{type}"
