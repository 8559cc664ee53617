"""composition, message: what a Bundle begins with, searched by its own elements.

https://hl7.org/fhir/R4/bundle.html#search

`Bundle?composition.type=…` steps to no other resource: the Composition stands in the Bundle itself, which has its rows
too, in indexes of their own ("Bundle.composition:Composition.type").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from server.ledger import IndexRow, Resource
from server.outcome import Problem
from server.search import inside
from server.search.filter import And, Equal, Filter, Ids, Present

BEGINS = {"composition": "Composition", "message": "MessageHeader"}  # by the parameter's code


def rows(bundle: Resource, rows_of: Callable[[Resource], Sequence[IndexRow]]) -> list[IndexRow]:
    """The rows of what a Bundle begins with, where a parameter is of that."""
    entries = bundle.get("entry") or [{}]
    first = entries[0].get("resource") or {}
    return [
        row
        for code, type in BEGINS.items()
        if first.get("resourceType") == type
        for row in inside.rows(_index(code), rows_of(first))
    ]


def within(code: str, filter: Filter) -> Filter:
    """The Bundles that begin with a resource which satisfies a filter. Problem invalid where others would be asked."""

    def other(part: Filter) -> Filter:
        if isinstance(part, Ids):
            return Equal(_index(code), tuple(f"{BEGINS[code]}/{id}" for id in part.ids))
        why = f"{code} is searched by the elements of the {BEGINS[code]} in the Bundle, and chains from it"
        raise Problem.invalid(why)

    return And((Present(_index(code)), inside.inside(_index(code), filter, other)))


def _index(code: str) -> str:
    return f"Bundle.{code}"
