"""JSON Schema: what R4's tables say of a type, for tools that read no StructureDefinition.

https://json-schema.org/draft/2020-12, https://hl7.org/fhir/R4/json.html

It tells structure, formats and required codes. Invariants, choices that must be made and profiles are `$validate`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

from server.fhir.definition import PRIMITIVE_TYPES, Element, elements, kind

JSON = dict[str, Any]

REFERENCE = "#/components/schemas/"
OPEN = frozenset({"Resource", "Extension"})  # not written out: a Resource is any type, an Extension may hold any

_DAY = r"[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
_TIME = r"([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\.[0-9]+)?"
_ZONE = r"(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
_MONTH = r"[0-9]{4}(-(0[1-9]|1[0-2]))?"
_TEXT: JSON = {"type": "string", "pattern": r"^[^\x00-\x08\x0B\x0C\x0E-\x1F]+$"}
_LONGEST = 2**31 - 1
_PRIMITIVES: Mapping[str, JSON] = {
    "base64Binary": {"type": "string", "contentEncoding": "base64", "pattern": r"^[\sA-Za-z0-9+/]+=?\s*=?\s*$"},
    "boolean": {"type": "boolean"},
    "code": {"type": "string", "pattern": r"^\S+(\s\S+)*$"},
    "date": {"type": "string", "pattern": f"^({_MONTH}|{_DAY})$"},
    "dateTime": {"type": "string", "pattern": f"^({_MONTH}|{_DAY}(T{_TIME}{_ZONE})?)$"},
    "decimal": {"type": "number"},
    "id": {"type": "string", "pattern": r"^[A-Za-z0-9.-]{1,64}$"},
    "instant": {"type": "string", "pattern": f"^{_DAY}T{_TIME}{_ZONE}$"},
    "integer": {"type": "integer", "minimum": -_LONGEST - 1, "maximum": _LONGEST},
    "markdown": _TEXT,
    "oid": {"type": "string", "pattern": r"^urn:oid:[0-2](\.(0|[1-9][0-9]*))+$"},
    "positiveInt": {"type": "integer", "minimum": 1, "maximum": _LONGEST},
    "string": _TEXT,
    "time": {"type": "string", "pattern": f"^{_TIME}$"},
    "unsignedInt": {"type": "integer", "minimum": 0, "maximum": _LONGEST},
    "uuid": {
        "type": "string",
        "pattern": r"^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
    },
    "xhtml": {"type": "string", "pattern": r"^\s*<div[\s/>]"},
    **{name: {"type": "string", "pattern": r"^[^\s\x00-\x1F]+$"} for name in ("canonical", "uri", "url")},
}


@cache
def schemas(type_name: str) -> Mapping[str, JSON]:
    """The schema of a resource type under its name, and of all that its elements are of, under theirs."""
    found: dict[str, JSON] = {}
    wanted = [type_name, "Element"]
    while wanted:
        name = wanted.pop()
        if name not in found:
            found[name] = _schema(name)
            wanted += _written_out(name)
    return dict(sorted(found.items()))


def _written_out(type_name: str) -> Iterator[str]:
    for element in elements(type_name).values():
        if element.types[0] not in PRIMITIVE_TYPES | OPEN:
            yield element.types[0]


def _schema(type_name: str) -> JSON:
    known = elements(type_name)
    properties: JSON = {}
    for name, element in known.items():
        properties[name] = _several(element, _value(element))
        if element.types[0] in PRIMITIVE_TYPES and name != "id":
            properties[f"_{name}"] = _several(element, {"$ref": f"{REFERENCE}Element"})
    required = [name for name, element in known.items() if element.min and element.choice is None]
    if kind(type_name) == "resource":
        properties = {"resourceType": {"const": type_name}, **properties}
        required = ["resourceType", *required]
    made: JSON = {"type": "object", "properties": properties, "additionalProperties": False, "minProperties": 1}
    return made | ({"required": required} if required else {})


def _several(element: Element, one: JSON) -> JSON:
    return one if element.max == 1 else {"type": "array", "minItems": 1, "items": one}


def _value(element: Element) -> JSON:
    name = element.types[0]
    if element.codes is not None and name == "code":
        return {"type": "string", "enum": sorted(element.codes)}
    return _PRIMITIVES.get(name) or {"$ref": f"{REFERENCE}{name}"}
