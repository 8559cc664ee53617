"""SearchParameter: those that are stored as resources here, beside R4's own.

https://hl7.org/fhir/R4/searchparameter.html

One that is active, and whose expression is of the kind that R4's own are, has an index of its own, named by its
content: another content is another index. Where two have the same code, R4's own stands, else that with the lesser id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from server.fhir.definition import RESOURCE_TYPES, Component, search_parameters
from server.fhir.definition import SearchParameter as Definition
from server.ledger import LateIndex, Resource
from server.search import extract
from server.search.digest import digest
from server.search.filter import MARK
from server.search.parameter import SEARCHED, TEXTS, Parameter, compiled, parameters

_CODE = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,63}")
_EXTENSION = re.compile(r"\bextension\(('[^']*')\)")
_OF_TYPE = re.compile(r"\bofType\(")
_AS = re.compile(r"\s+as\s+(\w+)\s*$")
_EQUALS = re.compile(r"\s*=\s*(?=')")
_ABSTRACT = frozenset({"Resource", "DomainResource"})

Place = tuple[str, str]  # resource type, code


@dataclass(frozen=True, eq=False)
class Definitions:
    """What is searched beside R4's own parameters; `refused` says why a stored one is not."""

    parameters: Mapping[Place, Parameter] = field(default_factory=dict)
    refused: Mapping[Place, str] = field(default_factory=dict)
    urls: Mapping[Place, str] = field(default_factory=dict)

    def of(self, type: str) -> Mapping[str, Parameter]:
        """Code -> Parameter of one resource type."""
        return {code: found for (of, code), found in self.parameters.items() if of == type}


NONE = Definitions()


def definitions(resources: Iterable[Resource]) -> Definitions:
    """What stored SearchParameters define, whatever their status and form."""
    found: dict[Place, Parameter] = {}
    refused: dict[Place, str] = {}
    urls: dict[Place, str] = {}
    known = sorted((one for one in resources if one.get("status") == "active"), key=lambda one: str(one["id"]))
    for resource in known:
        for type in _types(resource):
            place = (type, str(resource.get("code", "")))
            if place in found or place[1] in parameters(type) or place[1] in TEXTS:
                continue
            try:
                found[place] = _parameter(type, resource)
                urls[place] = str(resource["url"])
            except (ValueError, KeyError) as error:
                refused[place] = f"SearchParameter/{resource['id']} cannot be searched: {error.args[0]}"
    refused = {place: why for place, why in refused.items() if place not in found}
    return Definitions(MappingProxyType(found), MappingProxyType(refused), MappingProxyType(urls))


def late_indexes(resources: Iterable[Resource], base_url: str) -> Sequence[LateIndex]:
    """The indexes that the store is to make of these definitions."""
    return [
        LateIndex(found.index, type, partial(_rows, parameter=found, base_url=base_url))
        for (type, _), found in definitions(resources).parameters.items()
    ]


def _rows(resource: Resource, parameter: Parameter, base_url: str) -> Sequence[Any]:
    return list(dict.fromkeys(extract.rows_of(resource, parameter, base_url)))


def _types(resource: Resource) -> Iterator[str]:
    base = set(resource.get("base", ()))
    yield from sorted(RESOURCE_TYPES if base & _ABSTRACT else base & RESOURCE_TYPES)


def _parameter(type: str, resource: Resource) -> Parameter:
    """ValueError with why it cannot be searched."""
    code, kind = str(resource["code"]), str(resource["type"])
    if not _CODE.fullmatch(code):
        raise ValueError(f"the code {code[:80]!r} is no name that a search can give")
    if kind not in SEARCHED or kind == "special":
        raise ValueError(f"parameters of type {kind} have no values that a server could index")
    definition = Definition(
        url=str(resource["url"]),
        code=code,
        type=kind,
        base=tuple(resource["base"]),
        expression=_expression(type, str(resource.get("expression", ""))),
        target=tuple(resource.get("target", ())) or ("Resource",),
        component=tuple(_component(type, one) for one in resource.get("component", ())),
    )
    parameter = compiled(type, definition)
    if not parameter.paths or not all(part.paths for part in parameter.components):
        raise ValueError(f"nothing that {resource.get('expression')!r} leads to is searched as {kind}")
    return replace(parameter, index=f"{parameter.index}{MARK}{_digest(definition)}")


def _component(type: str, component: Mapping[str, Any]) -> Component:
    """The part of a composite, which is another of the type's parameters."""
    url = str(component.get("definition", ""))
    code = next((code for code, found in search_parameters(type).items() if found.url == url), None)
    if code is None:
        raise ValueError(f"{url!r} is no parameter that R4 defines for {type}")
    return Component(code, _written(str(component.get("expression", ""))))


def _expression(type: str, expression: str) -> str:
    """The parts of a FHIRPath expression that start at this type, as the registry writes them."""
    parts = [_written(part) for part in expression.split("|")]
    own = [part for part in parts if re.split(r"\W", part.lstrip("("), maxsplit=1)[0] in {type, *_ABSTRACT}]
    if not own:
        raise ValueError(f"no part of {expression!r} starts at {type}")
    return " | ".join(own)


def _written(part: str) -> str:
    part = _EQUALS.sub("=", _OF_TYPE.sub("as(", _EXTENSION.sub(r"extension.where(url=\1)", part.strip())))
    if (cast := _AS.search(part)) and not part.startswith("("):
        return f"({part[: cast.start()]} as {cast[1]})"
    return part


def _digest(definition: Definition) -> str:
    said = [definition.type, definition.expression, definition.target, definition.component]
    return digest(json.dumps(said), 6).hex()
