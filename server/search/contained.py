"""_contained: resources within others, searched by what they themselves say.

https://hl7.org/fhir/R4/search.html#contained

A resource has a row for each type that it contains; which of those that it contains match is asked of each in turn.
A chain is evaluated inside too (`MedicationRequest?medication.code=…`): where a reference leads to what is contained,
the container has the rows of that as well, under the reference's index: "MedicationRequest.medication:Medication.code".
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from server.ledger import IndexRow, Resource
from server.outcome import Problem
from server.search import inside, match
from server.search.filter import And, Chain, Equal, Filter, Or, Present

_THERE = b"\1"


def rows(resource: Resource) -> list[IndexRow]:
    """The index's rows of what a resource contains."""
    container = resource["resourceType"]
    return [(_index(container, inner["resourceType"]), _THERE) for inner in resource["contained"] if inner]


def led_to(
    resource: Resource, local: Iterable[IndexRow], rows_of: Callable[[Resource], Sequence[IndexRow]]
) -> list[IndexRow]:
    """The rows of what is contained, by each reference to it: `local` has the indexes of those, and "#id"."""
    inner = {f"#{one['id']}": one for one in resource["contained"] if one}
    found: list[IndexRow] = []
    for index, name in dict.fromkeys(local):
        one = inner.get(str(name))
        if one is not None:
            found += [(led(index, one["resourceType"]), _THERE), *inside.rows(index, rows_of(one))]
    return found


def led(index: str, type: str) -> str:
    """The index of the resources that contain one of a type where a reference leads to it."""
    return f"{index}:{type}"


def within(chain: Chain) -> Filter:
    """What a chain asks of a resource that contains what the reference leads to.

    Where it contains several for one parameter, their rows are told together. They have no words and no version, and
    nothing elsewhere names them.
    """
    return And((Present(led(chain.index, chain.type)), inside.inside(chain.index, chain.filter, lambda _: Or(()))))


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
