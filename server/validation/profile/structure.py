"""StructureDefinition: what is kept of one, and the element definitions that R4's own types begin with.

https://hl7.org/fhir/R4/structuredefinition.html, https://hl7.org/fhir/R4/elementdefinition.html

Of an ElementDefinition only what a check reads is kept; its texts are most of a package's bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from server.fhir.definition import BASE, TYPES, Element, elements, lineage
from server.ledger import Resource
from server.validation.conformance import Definitions, Known

STRUCTURE = f"{BASE}StructureDefinition/"
IMPOSED = f"{STRUCTURE}structuredefinition-imposeProfile"
MAX_VALUE_SET = f"{STRUCTURE}elementdefinition-maxValueSet"

ElementDefinition = dict[str, Any]
_KEPT = frozenset(
    {
        "id",
        "base",
        "path",
        "sliceName",
        "slicing",
        "min",
        "max",
        "type",
        "contentReference",
        "maxLength",
        "binding",
        "constraint",
    }
)

_KEPT_PREFIXES = ("fixed", "pattern", "minValue", "maxValue")


class Structure(NamedTuple):
    """One StructureDefinition. `snapshot` is empty where it came without one."""

    url: str
    version: str
    type: str
    base: str
    context: tuple[Resource, ...]
    imposed: tuple[str, ...]
    snapshot: tuple[ElementDefinition, ...]
    differential: tuple[ElementDefinition, ...]
    modifies: bool = False  # an extension that may change what the element around it means

    @property
    def canonical(self) -> str:
        return f"{self.url}|{self.version}" if self.version else self.url


def read(resource: Resource) -> Structure:
    """A StructureDefinition's content."""
    return Structure(
        resource["url"],
        resource.get("version", ""),
        resource["type"],
        resource.get("baseDefinition", ""),
        tuple(resource.get("context", ())),
        tuple(one["valueCanonical"] for one in _extensions(resource, IMPOSED) if "valueCanonical" in one),
        tuple(map(_kept, resource.get("snapshot", {}).get("element", ()))),
        tuple(map(_kept, resource.get("differential", {}).get("element", ()))),
        _modifies(resource),
    )


def _modifies(resource: Resource) -> bool:
    elements = [one for form in ("snapshot", "differential") for one in resource.get(form, {}).get("element", ())]
    return any(one.get("isModifier") is True for one in elements if one.get("path") == "Extension")


def find(definitions: Definitions, name: str) -> Known | None:
    """The StructureDefinition that is loaded under a canonical; its `read` is a Structure."""
    return definitions.find("StructureDefinition", name, read)


def _extensions(holder: Resource, url: str) -> Iterator[Resource]:
    return (one for one in holder.get("extension", ()) if one.get("url") == url)


def _kept(element: ElementDefinition) -> ElementDefinition:
    kept = {name: value for name, value in element.items() if name in _KEPT or name.startswith(_KEPT_PREFIXES)}
    if "binding" in kept:
        binding = kept["binding"]
        most = next((one.get("valueCanonical") for one in _extensions(binding, MAX_VALUE_SET)), None)
        kept["binding"] = {
            name: value
            for name, value in {**binding, "maxValueSet": most}.items()
            if name in {"strength", "valueSet", "maxValueSet"} and value
        }
    if "constraint" in kept:
        kept["constraint"] = [
            {name: one[name] for name in ("key", "severity", "human", "expression", "source") if name in one}
            for one in kept["constraint"]
        ]
    return kept


# R4's own types


def is_own(url: str) -> bool:
    """Whether a canonical is the definition of one of R4's types."""
    return url.startswith(STRUCTURE) and url.removeprefix(STRUCTURE) in TYPES


def own(type_name: str) -> list[ElementDefinition]:
    """The snapshot of one of R4's types, or of a backbone element, in as far as a check reads it."""
    base = {"path": type_name, "min": 0, "max": "*"}
    return [{"id": type_name, "path": type_name, "min": 0, "max": "*", "base": base}, *children(type_name, type_name)]


def children(type_name: str, at: str) -> list[ElementDefinition]:
    """The members of a type and of the backbone elements in it, as they stand at a path."""
    found: list[ElementDefinition] = []
    for name, rows in _grouped(elements(type_name).values()).items():
        element = _element(f"{at}.{name}", rows, f"{type_name}.{name}", f"{_origin(type_name, rows[0])}.{name}")
        found.append(element)
        backbone = rows[0].types[0]
        if "." in backbone and backbone.startswith(f"{type_name}."):
            found += children(backbone, f"{at}.{name}")
    return found


def _origin(type_name: str, row: Element) -> str:
    """The type that an element is inherited from."""
    return [name for name in lineage(type_name) if row.name in elements(name)][-1]


def _grouped(rows: Iterable[Element]) -> dict[str, list[Element]]:
    grouped: dict[str, list[Element]] = {}
    for row in rows:
        grouped.setdefault(f"{row.choice}[x]" if row.choice else row.name, []).append(row)
    return grouped


def _element(path: str, rows: list[Element], own_path: str, base_path: str) -> ElementDefinition:
    first = rows[0]
    times: dict[str, Any] = {"min": first.min, "max": "*" if first.max is None else str(first.max)}
    found: ElementDefinition = {"id": path, "path": path, **times, "base": {"path": base_path, **times}}
    content = first.types[0]
    if "." in content and content != own_path:
        return found | {"contentReference": f"#{content}"}
    found["type"] = [_type(row) for row in rows]
    if content == "Extension":
        found["slicing"] = {"discriminator": [{"type": "value", "path": "url"}], "rules": "open"}
    if first.binding:
        found["binding"] = {"strength": "required", "valueSet": first.binding}
    return found


def _type(row: Element) -> Resource:
    code = "BackboneElement" if "." in row.types[0] else row.types[0]
    found: Resource = {"code": code}
    if row.profile:
        found["profile"] = [STRUCTURE + row.profile]
    if row.targets and row.targets != ("Resource",):
        found["targetProfile"] = [STRUCTURE + target for target in row.targets]
    return found
