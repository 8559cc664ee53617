"""Elements, as XML has them: their order, and which are attributes.

https://hl7.org/fhir/R4/xml.html
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import NamedTuple

from server.fhir.definition import RESOURCE_TYPES, Element, elements

NAMESPACE = "http://hl7.org/fhir"


class Row(NamedTuple):
    """An element where XML has it as an element: its place in the order, which the types of a choice share."""

    order: int
    element: Element

    @property
    def type(self) -> str:
        return self.element.types[0]

    @property
    def repeats(self) -> bool:
        return self.element.max != 1


@cache
def rows(type_name: str) -> Mapping[str, Row]:
    """Name -> Row of a type, in the specification's order; what XML has as attributes is left out."""
    found: dict[str, Row] = {}
    order, group = 0, ""
    for name, element in elements(type_name).items():
        order += group != (element.choice or name)
        group = element.choice or name
        if name not in attributes(type_name):
            found[name] = Row(order, element)
    return found


@cache
def attributes(type_name: str) -> frozenset[str]:
    """What XML has as attributes: an element's id and an extension's url. A resource has none."""
    if type_name in RESOURCE_TYPES:
        return frozenset()
    return frozenset({"id", "url"} if type_name == "Extension" else {"id"})
