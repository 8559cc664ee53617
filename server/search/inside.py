"""Inside: a filter of a resource that stands in another, over the rows that the other has of it.

They are the rows that it would have itself, in indexes of their own: "Bundle.composition:Composition.type".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace

from server.ledger import IndexRow
from server.search.filter import (
    MARK,
    And,
    Chain,
    Concepts,
    Contains,
    Equal,
    Filter,
    Hierarchy,
    Near,
    Not,
    Or,
    Present,
    Range,
)


def rows(prefix: str, inner: Iterable[IndexRow]) -> list[IndexRow]:
    """The rows of a resource as those of the one that it stands in."""
    return [(f"{prefix}:{name}", key) for name, key in inner]


def inside(prefix: str, filter: Filter, other: Callable[[Filter], Filter]) -> Filter:
    """The filter over such rows; `other` says what becomes of a part that they do not tell."""
    match filter:
        case And(filters) | Or(filters):
            return type(filter)(tuple(inside(prefix, part, other) for part in filters))
        case Not(inner):
            return Not(inside(prefix, inner, other))
        case Equal() | Range() | Contains() | Near() | Present() | Chain() | Hierarchy() if MARK not in filter.index:
            return replace(filter, index=f"{prefix}:{filter.index}")
        case Concepts(filter=asked):
            return replace(filter, filter=lambda codes: inside(prefix, asked(codes), other))
    return other(filter)
