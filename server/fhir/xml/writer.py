"""Writer: a resource's JSON, written as XML in the order of its elements."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from server.fhir.body import NAMED
from server.fhir.definition import PRIMITIVE_TYPES, RESOURCE_TYPES
from server.fhir.xml import div
from server.fhir.xml.element import NAMESPACE, Row, attributes, rows
from server.outcome import Problem

DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'

Json = dict[str, Any]


class Writer:
    """Writes one resource."""

    def __init__(self, pretty: bool) -> None:
        self.parts = [DECLARATION]
        self.pretty = pretty

    def written(self, resource: Any) -> bytes:
        self.resource(resource, 0, f' xmlns="{NAMESPACE}"')
        return "".join(self.parts).encode()

    def add(self, text: str, depth: int) -> None:
        self.parts.append(f"\n{'  ' * depth}{text}" if self.pretty else text)

    def resource(self, resource: Any, depth: int, namespace: str = "") -> None:
        type_name = resource.get("resourceType") if isinstance(resource, dict) else None
        if type_name not in RESOURCE_TYPES:
            raise _unwritable(str(type_name))
        members = {name: value for name, value in resource.items() if name != "resourceType"}
        if members:
            self.add(f"<{type_name}{namespace}>", depth)
            self.members(type_name, members, depth + 1)
            self.add(f"</{type_name}>", depth)
        else:
            self.add(f"<{type_name}{namespace}/>", depth)

    def members(self, type_name: str, value: Json, depth: int) -> None:
        for name, row in sorted(_elements(type_name, value).items(), key=_order):
            for one, more in _pairs(row, value.get(name), value.get(f"_{name}")):
                self.element(name, row.type, one, more, depth)

    def element(self, name: str, type_name: str, value: Any, beside: Any, depth: int) -> None:
        if type_name == "xhtml":
            self.add(div.written(str(value)), depth)
        elif type_name == "Resource":
            self.add(f"<{name}>", depth)
            self.resource(value, depth + 1)
            self.add(f"</{name}>", depth)
        elif type_name in PRIMITIVE_TYPES:
            said = "" if value is None else f" value={_quoted(value)}"
            self.tag(name, "Element", beside or {}, said, depth)
        else:
            self.tag(name, type_name, value, "", depth)

    def tag(self, name: str, type_name: str, value: Any, said: str, depth: int) -> None:
        if not isinstance(value, dict):
            raise _unwritable(name)
        named = attributes(type_name)
        begin = f"{name}{''.join(f' {key}={_quoted(value[key])}' for key in sorted(named) if key in value)}{said}"
        if value.keys() <= named:
            self.add(f"<{begin}/>", depth)
            return
        self.add(f"<{begin}>", depth)
        self.members(type_name, value, depth + 1)
        self.add(f"</{name}>", depth)


def _elements(type_name: str, value: Json) -> dict[str, Row]:
    """The elements that an object has, by value or beside it."""
    known, found = rows(type_name), {}
    for name in value.keys() - attributes(type_name):
        row = known.get(name)
        if row is None and name.startswith("_"):
            row = known.get(name[1:])
            row = row if row and row.type in PRIMITIVE_TYPES else None
        if row is None:
            raise _unwritable(f"{type_name}.{name}")
        found[row.element.name] = row
    return found


def _order(found: tuple[str, Row]) -> int:
    return found[1].order


def _pairs(row: Row, item: Any, beside: Any) -> Iterator[tuple[Any, Any]]:
    """Each value of an element with what stands beside it."""
    if item is None and beside is None:
        return
    if not row.repeats:
        yield item, beside
    elif isinstance(item or [], list) and isinstance(beside or [], list):
        yield from zip_longest(item or (), beside or ())
    else:
        raise _unwritable(row.element.name)


def _unwritable(what: str) -> Problem:
    return Problem.of(
        "not_acceptable", f"{what[:NAMED]} is no R4 that XML could say; ask for it as application/fhir+json"
    )


_SPECIAL = re.compile('[&<>"\x00-\x1f\ufffe\uffff]')
_ESCAPED = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}


def _quoted(value: Any) -> str:
    """A primitive as an attribute's value, with its quotes. What no XML can say becomes U+FFFD."""
    if isinstance(value, bool):
        return '"true"' if value else '"false"'
    if isinstance(value, dict | list):
        raise _unwritable("a structure in the place of a value")
    return f'"{_SPECIAL.sub(_escaped, str(value))}"'


def _escaped(found: re.Match[str]) -> str:
    return _ESCAPED.get(found[0], "\ufffd")
