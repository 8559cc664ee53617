"""Extract: every row of the index that a resource has.

https://hl7.org/fhir/R4/search.html

The paths of all of a type's parameters are laid together, so that one walk over the resource meets each element once
and every value is handed to the writers that its path leads to.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

from server.ledger import IndexRow, Resource
from server.search import (
    bundled,
    composite,
    contained,
    date,
    keeper,
    near,
    number,
    quantity,
    reference,
    string,
    token,
    uri,
)
from server.search.parameter import Parameter, Path, Step, Write, chosen, parameters

VERSIONED = frozenset({"_id", "_lastUpdated"})  # what the stored version tells without an index

_WRITES: Mapping[str, Callable[[Parameter, Path], Write]] = {
    "string": string.write,
    "token": token.write,
    "date": date.write,
    "number": number.write,
    "quantity": quantity.write,
    "reference": reference.write,
    "uri": uri.write,
    "special": near.write,
}


def rows(resource: Resource, base_url: str) -> list[IndexRow]:
    """The index's rows of a valid resource, each once. References under `base_url` are this server's own."""
    found: list[IndexRow] = []
    _walk(resource["resourceType"])(resource, found, base_url)
    if resource["resourceType"] in keeper.KEEPERS:
        found += keeper.rows(resource, base_url)
    if "extension" in resource.get("meta", ()):
        found += keeper.said(resource, base_url)
    if "contained" in resource:
        found += contained.rows(resource)
        local: list[IndexRow] = []
        _walk_local(resource["resourceType"])(resource, local, base_url)
        found += contained.led_to(resource, local, partial(rows, base_url=base_url)) if local else ()
    if resource["resourceType"] == "Bundle":
        found += bundled.rows(resource, partial(rows, base_url=base_url))
    return list(dict.fromkeys(found))


def rows_of(resource: Resource, parameter: Parameter, base_url: str) -> list[IndexRow]:
    """The rows of one parameter, whether it has an index of its own or reads those of others."""
    found: list[IndexRow] = []
    _walk_to(parameter)(resource, found, base_url)
    return found


def sort_key(resource: Resource, parameter: Parameter, descending: bool) -> bytes | None:
    """What a resource is sorted by: its least value, or its greatest if descending; None where it has no value.

    Strings, URIs, dates and numbers sort as the index's keys do, tokens by what people read, references by type and id.
    """
    if parameter.kind == "token":
        found = [string.normalized(label) for label in token.labels(parameter, resource)]
    else:
        keys = [key for index, key in rows_of(resource, parameter, "") if index == parameter.index and key]
        found = [key if isinstance(key, bytes) else key.encode() for key in keys]
    if not found:
        return None
    return max(found) if descending else min(found)


@dataclass(slots=True)
class _Node:
    """An element that paths lead to: what is written of it, and the members that paths go on to."""

    writes: list[Write] = field(default_factory=list)
    members: dict[Step, _Node] = field(default_factory=dict)

    def at(self, steps: Iterable[Step]) -> _Node:
        node = self
        for step in steps:
            node = node.members.setdefault(step, _Node())
        return node

    def add(self, parameter: Parameter) -> None:
        for path in () if parameter.compositions else parameter.paths:
            if path.exists:
                self.writes.append(_exists(parameter, path))
            else:
                self.at(path.steps).writes.append(_WRITES[parameter.kind](parameter, path))
        self.writes += [composite.write(parameter, composition) for composition in parameter.compositions]

    def walk(self) -> Write:
        """The node and all below it as one function."""
        writes = list(self.writes)
        plain = [(step.name, node.walk()) for step, node in self.members.items() if step == Step(step.name)]
        if plain:
            writes.append(_descend(plain))
        writes += [_choose(step, node.walk()) for step, node in self.members.items() if step != Step(step.name)]
        return writes[0] if len(writes) == 1 else _each(writes)


def _descend(members: Iterable[tuple[str, Write]]) -> Write:
    writes = dict(members)

    def walk(element: Any, rows: list[IndexRow], base_url: str) -> None:
        for name, value in element.items():
            write = writes.get(name)
            if write is None:
                continue
            if type(value) is list:
                for item in value:
                    if item is not None:
                        write(item, rows, base_url)
            else:
                write(value, rows, base_url)

    return walk


def _choose(step: Step, write: Write) -> Write:
    def walk(element: Any, rows: list[IndexRow], base_url: str) -> None:
        if step.name in element:
            for item in chosen(element[step.name], step):
                write(item, rows, base_url)

    return walk


def _each(writes: Iterable[Write]) -> Write:
    writes = tuple(writes)

    def walk(element: Any, rows: list[IndexRow], base_url: str) -> None:
        for write in writes:
            write(element, rows, base_url)

    return walk


def _exists(parameter: Parameter, path: Path) -> Write:
    write = token.write(parameter, path)

    def walk(resource: Any, rows: list[IndexRow], base_url: str) -> None:
        write(any(resource.get(name, False) is not False for name in path.exists), rows, base_url)

    return walk


@cache
def _walk(type: str) -> Write:
    """All the parameters of a type that have rows of their own."""
    root = _Node()
    for parameter in parameters(type).values():
        if parameter.code not in VERSIONED and not parameter.union:
            root.add(parameter)
    return root.walk()


@cache
def _walk_local(type: str) -> Write:
    """All references to what is contained."""
    root = _Node()
    for parameter in parameters(type).values():
        for path in parameter.paths:
            if parameter.kind == "reference" and path.type == "Reference":
                root.at(path.steps).writes.append(reference.write_local(parameter, path))
    return root.walk()


@cache
def _walk_to(parameter: Parameter) -> Write:
    root = _Node()
    root.add(parameter)
    return root.walk()
