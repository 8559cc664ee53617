"""composition, message: what a Bundle begins with, searched by its own elements.

https://hl7.org/fhir/R4/bundle.html#search

`Bundle?composition.type=…` steps to no other resource: the Composition stands in the Bundle itself, which has its rows
too, in indexes of their own ("Bundle.composition:Composition.type").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from server.ledger import IndexRow, Resource
from server.outcome import Problem
from server.search.filter import (
    And,
    Chain,
    Concepts,
    Contains,
    Equal,
    Filter,
    Hierarchy,
    Ids,
    Near,
    Not,
    Or,
    Present,
    Range,
)

BEGINS = {"composition": "Composition", "message": "MessageHeader"}  # by the parameter's code


def rows(bundle: Resource, rows_of: Callable[[Resource], Sequence[IndexRow]]) -> list[IndexRow]:
    """The rows of what a Bundle begins with, where a parameter is of that."""
    entries = bundle.get("entry") or [{}]
    first = entries[0].get("resource") or {}
    return [
        (f"{_index(code)}:{name}", key)
        for code, type in BEGINS.items()
        if first.get("resourceType") == type
        for name, key in rows_of(first)
    ]


def within(code: str, filter: Filter) -> Filter:
    """The Bundles that begin with a resource which satisfies a filter. Problem invalid where others would be asked."""
    return And((Present(_index(code)), _within(code, filter)))


def _within(code: str, filter: Filter) -> Filter:
    match filter:
        case And(filters) | Or(filters):
            return type(filter)(tuple(_within(code, part) for part in filters))
        case Not(inner):
            return Not(_within(code, inner))
        case Equal() | Range() | Contains() | Near() | Present() | Chain() | Hierarchy():
            return replace(filter, index=f"{_index(code)}:{filter.index}")
        case Concepts(filter=asked):
            return replace(filter, filter=lambda codes: _within(code, asked(codes)))
        case Ids(ids):
            return Equal(_index(code), tuple(f"{BEGINS[code]}/{id}" for id in ids))
    raise Problem.invalid(f"{code} is searched by the elements of the {BEGINS[code]} in the Bundle, and chains from it")


def _index(code: str) -> str:
    return f"Bundle.{code}"
