"""ConceptMap: what a code of one system is in another.

https://hl7.org/fhir/R4/conceptmap.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from server.fhir import canonical
from server.ledger import Resource
from server.validation.conformance import Definitions

Dependency = tuple[str, Resource]  # an element's URL, and its value as a CodeableConcept

UNRELATED = {"unmatched", "disjoint"}  # equivalences that are no translation


class Match(NamedTuple):
    """One translation: the equivalence reads target to source ("wider": the target's meaning is wider)."""

    equivalence: str
    system: str
    code: str | None
    display: str | None
    source: str  # the map's canonical
    products: tuple[Resource, ...] = ()


@dataclass(frozen=True, slots=True)
class ConceptMap:
    """A map that is read."""

    url: str
    version: str
    source: str
    target: str
    groups: tuple[Resource, ...]

    @property
    def canonical(self) -> str:
        return f"{self.url}|{self.version}" if self.version else self.url


def read(resource: Resource) -> ConceptMap:
    """A ConceptMap's content."""
    return ConceptMap(
        resource.get("url", ""),
        resource.get("version", ""),
        resource.get("sourceUri") or resource.get("sourceCanonical") or "",
        resource.get("targetUri") or resource.get("targetCanonical") or "",
        tuple(resource.get("group", ())),
    )


def find(definitions: Definitions, name: str) -> ConceptMap | None:
    known = definitions.find("ConceptMap", name, read)
    found: ConceptMap | None = known.read if known else None
    return found


def translations(
    definitions: Definitions,
    found: ConceptMap,
    system: str,
    code: str,
    target_system: str | None = None,
    *,
    reverse: bool = False,
    depends: Sequence[Dependency] = (),
    seen: set[str] | None = None,
) -> list[Match]:
    """What the map says of a code; `reverse` reads it from target to source. Each group's `unmapped` counts too."""
    seen = {found.url} if seen is None else seen
    ends = ("target", "source") if reverse else ("source", "target")
    matches: list[Match] = []
    for group in found.groups:
        if group.get(ends[0], system) != system or target_system not in (None, group.get(ends[1])):
            continue
        made = list(_backwards(found, group, code) if reverse else _forwards(found, group, code, depends))
        if not made and not reverse and "unmapped" in group:
            made = _unmapped(definitions, found, group, system, code, depends, seen)
        matches += made
    return matches


def _forwards(found: ConceptMap, group: Resource, code: str, depends: Sequence[Dependency]) -> Iterator[Match]:
    for element in group["element"]:
        if element.get("code") == code:
            for target in element.get("target", ()):
                if any(_differs(one, depends) for one in target.get("dependsOn", ())):
                    continue
                yield Match(
                    target["equivalence"],
                    group.get("target", ""),
                    target.get("code"),
                    target.get("display"),
                    found.canonical,
                    tuple(target.get("product", ())),
                )


def _differs(needed: Resource, depends: Sequence[Dependency]) -> bool:
    """Whether an element that a translation depends on is given, and with other values alone."""
    given = [concept for element, concept in depends if element == needed["property"]]
    codings = [coding for concept in given for coding in concept.get("coding", ())]
    values = {(coding.get("system"), coding.get("code")) for coding in codings}
    texts = {concept.get("text") for concept in given}
    system, value = needed.get("system"), needed["value"]
    has = (system, value) in values or (system is None and value in texts | {code for _, code in values})
    return bool(given) and not has


_TURNED = {"wider": "narrower", "narrower": "wider", "subsumes": "specializes", "specializes": "subsumes"}


def _backwards(found: ConceptMap, group: Resource, code: str) -> Iterator[Match]:
    for element in group["element"]:
        for target in element.get("target", ()):
            if target.get("code") == code:
                equivalence = _TURNED.get(target["equivalence"], target["equivalence"])
                yield Match(
                    equivalence, group.get("source", ""), element.get("code"), element.get("display"), found.canonical
                )


def _unmapped(
    definitions: Definitions,
    found: ConceptMap,
    group: Resource,
    system: str,
    code: str,
    depends: Sequence[Dependency],
    seen: set[str],
) -> list[Match]:
    """https://hl7.org/fhir/R4/conceptmap.html#unmapped"""
    unmapped: Any = group["unmapped"]
    if unmapped["mode"] == "provided":
        return [Match("equivalent", group.get("target", ""), code, None, found.canonical)]
    if unmapped["mode"] == "fixed":
        return [
            Match("inexact", group.get("target", ""), unmapped.get("code"), unmapped.get("display"), found.canonical)
        ]
    name = unmapped.get("url", "")
    url = canonical.parse(name).url
    other = find(definitions, name) if url not in seen else None
    if other is None:
        return []
    seen.add(url)  # each map is asked once
    return translations(definitions, other, system, code, group.get("target"), depends=depends, seen=seen)
