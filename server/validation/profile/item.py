"""Item: one value in a resource, with what stands beside it, its type and its place; and how its members are reached.

https://hl7.org/fhir/R4/json.html#primitive
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, NamedTuple

from server.fhir.definition import RESOURCE_TYPES, TYPES, Element, elements

Json = dict[str, Any]


class Item(NamedTuple):
    """A value and its `_value`. A primitive may have only the latter; an object has only the former."""

    value: Any
    beside: Json | None
    type: str  # "CodeableConcept", "CarePlan.activity"
    path: str  # ".category[0]", from the resource that is checked

    @property
    def holder(self) -> Json:
        """Where its members are: a primitive's extensions stand beside it."""
        return self.value if type(self.value) is dict else self.beside or {}


Members = Callable[[Item], list[Item]]


@cache
def members(owner: str, name: str) -> Members:
    """How the members of a name are reached in a value of a type. `name` is a choice's as well: "value[x]", "value"."""
    rows = _rows(owner)
    choice = name.removesuffix("[x]")
    if name in rows:
        return _plain(rows[name])
    concrete = [row for row in rows.values() if row.choice == choice]
    return _choice(concrete, choice)


def reached(item: Item, name: str) -> list[Item]:
    """An item's members of a name, whatever its type."""
    owner = item.value.get("resourceType") if type(item.value) is dict and item.type in _ANY else item.type
    return members(owner if type(owner) is str else item.type, name)(item)


_ANY = frozenset({"Resource", "DomainResource", *RESOURCE_TYPES})


@cache
def _rows(owner: str) -> Mapping[str, Element]:
    try:
        return elements(owner) or elements("Element")
    except KeyError:
        return {}


def rows(owner: str, name: str) -> list[Element]:
    """The rows of R4's table that an element's name stands for."""
    found = _rows(owner)
    choice = name.removesuffix("[x]")
    return [found[name]] if name in found else [row for row in found.values() if row.choice == choice]


def _plain(row: Element) -> Members:
    name, beside, type_name = row.name, f"_{row.name}", row.types[0]
    path = f".{name}"
    if row.max is not None:

        def one(item: Item) -> list[Item]:
            holder = item.holder
            if name in holder or beside in holder:
                return [Item(holder.get(name), holder.get(beside), type_name, item.path + path)]
            return []

        return one

    def many(item: Item) -> list[Item]:
        holder = item.holder
        if name in holder or beside in holder:
            return list(_many(holder, name, beside, type_name, item.path + path))
        return []

    return many


def _many(holder: Json, name: str, beside: str, type_name: str, path: str) -> Iterator[Item]:
    values, extras = holder.get(name) or [], holder.get(beside) or []
    for index in range(max(len(values), len(extras))):
        value = values[index] if index < len(values) else None
        extra = extras[index] if index < len(extras) else None
        if value is not None or extra is not None:
            yield Item(value, extra, type_name, f"{path}[{index}]")


def _choice(concrete: list[Element], name: str) -> Members:
    types = [(row.name, f"_{row.name}", row.types[0]) for row in concrete]
    path = f".{name}"

    def chosen(item: Item) -> list[Item]:
        holder = item.holder
        return [
            Item(holder.get(name), holder.get(beside), type_name, item.path + path)
            for name, beside, type_name in types
            if name in holder or beside in holder
        ]

    return chosen


def type_of(item: Item) -> str:
    """The type by which a profile names it: a resource's own, a backbone element's kind."""
    if item.type in _ANY:
        named = item.value.get("resourceType") if type(item.value) is dict else None
        return str(named or item.type)
    return item.type if item.type in TYPES else "BackboneElement"
