"""StructureDefinition and SearchParameter: R4's own facts, read from the table that scripts/make_r4.py makes.

https://hl7.org/fhir/R4/structuredefinition.html, https://hl7.org/fhir/R4/searchparameter-registry.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any, NamedTuple

BASE = "http://hl7.org/fhir/"  # of canonical URLs
SPECIFICATION = "https://hl7.org/fhir/R4/"


class Element(NamedTuple):
    """One element as JSON names it; each type of a choice is an element of its own (`valueQuantity` of `value`)."""

    name: str
    types: tuple[str, ...]  # one type name: "code", "HumanName", "CarePlan.activity"; "Resource" where any may stand
    min: int
    max: int | None  # None is unbounded
    binding: str | None  # the value set, where the binding is required
    codes: frozenset[str] | None  # that value set's codes; None where nothing is bound or it cannot be enumerated
    targets: tuple[str, ...]  # of a Reference or a canonical; ("Resource",) is any
    choice: str | None  # "value" for valueQuantity; the group's min is that of each of its elements
    summary: bool  # belongs to _summary=true
    profile: str | None  # "SimpleQuantity": the type's profile that the specification names


class Component(NamedTuple):
    """A part of a composite parameter: another parameter's code, and its place seen from the composite's expression."""

    code: str
    expression: str


class SearchParameter(NamedTuple):
    """One parameter of one type. `expression` is FHIRPath from that type, "" for _text and _content."""

    url: str
    code: str
    type: str
    base: tuple[str, ...]  # the type asked for, or the abstract type that it is inherited from
    expression: str
    target: tuple[str, ...]  # of a reference; ("Resource",) is any
    component: tuple[Component, ...]


@cache
def elements(type_name: str) -> Mapping[str, Element]:
    """JSON name -> Element, inherited ones first, in the specification's order.

    `type_name` is a resource type, a data type or the path of a backbone element ("CarePlan.activity").
    Raises KeyError for anything else.
    """
    definition = _table("elements")[type_name]
    base = definition.get("base")
    found = dict(elements(base)) if base else {}
    for name, row in definition["elements"].items():
        found.update((element.name, element) for element in _expand(name, row))
    return MappingProxyType(found)


@cache
def search_parameters(type_name: str) -> Mapping[str, SearchParameter]:
    """Code -> SearchParameter of a resource type, those of Resource and DomainResource included."""
    base = _table("elements")[type_name].get("base")
    found = dict(search_parameters(base)) if base else {}
    rows = _table("search_parameters").get(type_name, {})
    codes = {row["url"]: code for code, row in rows.items()}
    found.update((code, _search_parameter(type_name, code, row, codes)) for code, row in rows.items())
    return MappingProxyType(found)


@cache
def value_set(url: str) -> Mapping[str, frozenset[str]]:
    """Code system -> codes of a value set that some element requires; empty where it cannot be enumerated."""
    return MappingProxyType({system: frozenset(codes) for system, codes in _table("codes").get(url, {}).items()})


@cache
def compartment(code: str) -> Mapping[str, tuple[str, ...]]:
    """Resource type -> the search parameters that place it in "Patient", "Practitioner", "Encounter" …

    The compartment's own resource is always in it.
    https://hl7.org/fhir/R4/compartmentdefinition.html
    """
    return MappingProxyType({name: tuple(codes) for name, codes in _table("compartments")[code].items()})


def kind(type_name: str) -> str:
    """The StructureDefinition's kind: "resource", "complex-type", "primitive-type"; "" for a backbone element."""
    return str(_table("elements")[type_name].get("kind", ""))


def lineage(type_name: str) -> Iterator[str]:
    """The type and those that it specializes: Duration, Quantity, Element."""
    base: str | None = type_name
    while base:
        yield base
        base = _table("elements")[base].get("base")


def page(path: str) -> str:
    """Where the specification defines a type or an element: "CarePlan.status", "Period"."""
    root = path.partition(".")[0]
    return f"{SPECIFICATION}{_PAGE.get(root, root.lower())}-definitions.html#{path.replace('[x]', '_x_')}"


_PAGES = {
    "datatypes": """
        Address Age Annotation Attachment CodeableConcept Coding ContactPoint Count Distance Duration HumanName
        Identifier Money Period Quantity Range Ratio SampledData Signature Timing
    """,
    "metadatatypes": """
        ContactDetail Contributor DataRequirement Expression ParameterDefinition RelatedArtifact TriggerDefinition
        UsageContext
    """,
    "references": "Reference",
    "extensibility": "Extension",
    "resource": "Meta",
}
_PAGE = {type_name: page for page, types in _PAGES.items() for type_name in types.split()}


@cache
def _table(name: str) -> dict[str, Any]:
    table: dict[str, Any] = json.loads(files("server.fhir").joinpath(f"r4/{name}.json").read_bytes())
    return table


def _expand(name: str, row: dict[str, Any]) -> Iterator[Element]:
    choice = name.removesuffix("[x]") if name.endswith("[x]") else None
    for notation in row["types"]:
        type_name, _, targets = notation.rstrip(")").partition("(")
        profile = None
        if type_name == "SimpleQuantity":
            type_name, profile = "Quantity", type_name
        bound = row.get("binding")
        maximum = row.get("max", "1")
        yield Element(
            name=choice + type_name[0].upper() + type_name[1:] if choice else name,
            types=(type_name,),
            min=row.get("min", 0),
            max=None if maximum == "*" else int(maximum),
            binding=bound,
            codes=_codes(bound) if bound else None,
            targets=tuple(targets.split("|")) if targets else ("Resource",) if type_name in _REFERRING else (),
            choice=choice,
            summary=row.get("summary", False),
            profile=profile,
        )


_REFERRING = frozenset({"Reference", "canonical"})


@cache
def _codes(url: str) -> frozenset[str] | None:
    return frozenset().union(*value_set(url).values()) or None


def _search_parameter(base: str, code: str, row: dict[str, Any], codes: Mapping[str, str]) -> SearchParameter:
    return SearchParameter(
        url=f"{BASE}SearchParameter/{row['url']}",
        code=code,
        type=row["type"],
        base=(base,),
        expression=row.get("expression", ""),
        target=tuple(row.get("target", ())),
        component=tuple(Component(codes[part["definition"]], part["expression"]) for part in row.get("component", ())),
    )


RESOURCE_TYPES = frozenset(
    name for name, row in _table("elements").items() if row.get("kind") == "resource" and not row.get("abstract")
)
PRIMITIVE_TYPES = frozenset(name for name, row in _table("elements").items() if row.get("kind") == "primitive-type")
TYPES = frozenset(name for name in _table("elements") if "." not in name)  # abstract ones too
