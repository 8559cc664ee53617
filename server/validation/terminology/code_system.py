"""CodeSystem: the concepts of one system, how they stand above one another, and what is said of each.

https://hl7.org/fhir/R4/codesystem.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.ledger import Resource
from server.validation.conformance import Definitions

ABSTRACT = {"notSelectable", "abstract"}  # the properties that say so
_ABOVE = {"parent", "subsumedBy"}  # properties that name a concept above
_BELOW = {"child"}


@dataclass(frozen=True, slots=True)
class Concept:
    """One concept. `above` are the codes right above it."""

    code: str
    display: str | None
    definition: str | None
    above: tuple[str, ...]
    properties: tuple[Resource, ...]
    designation: tuple[Resource, ...]

    def values(self, name: str) -> list[Any]:
        """What a property says of the concept."""
        return [
            next(value for key, value in one.items() if key.startswith("value"))
            for one in self.properties
            if one.get("code") == name and len(one) > 1
        ]

    @property
    def is_abstract(self) -> bool:
        return any(value is True for name in ABSTRACT for value in self.values(name))

    @property
    def is_inactive(self) -> bool:
        return True in self.values("inactive") or bool({"retired", "deprecated"} & set(self.values("status")))


@dataclass(slots=True)
class CodeSystem:
    """A code system that is read. Concepts are found by `find`, for a system may not heed case."""

    url: str
    version: str
    name: str
    is_complete: bool  # all of its concepts are here: a code that is not is none of its
    case_sensitive: bool
    concepts: dict[str, Concept]
    properties: dict[str, Resource]  # as the system declares them
    below: dict[str, list[str]] = field(default_factory=dict)

    def find(self, code: str) -> Concept | None:
        return self.concepts.get(code if self.case_sensitive else code.casefold())

    def descendants(self, code: str) -> Iterator[str]:
        """The codes below one, each once; not itself."""
        seen = {code}
        waiting = [code]
        while waiting:
            for inner in self.below.get(waiting.pop(), ()):
                if inner not in seen:
                    seen.add(inner)
                    waiting.append(inner)
                    yield inner

    def ancestors(self, code: str) -> Iterator[str]:
        """The codes above one, each once; not itself."""
        seen = {code}
        waiting = [code]
        while waiting:
            concept = self.find(waiting.pop())
            for outer in concept.above if concept else ():
                if outer not in seen:
                    seen.add(outer)
                    waiting.append(outer)
                    yield outer

    def subsumes(self, first: str, second: str) -> str:
        """equivalent, subsumes, subsumed-by or not-subsumed: what `first` is to `second`, which are both there."""
        one, other = self.concepts[self._key(first)].code, self.concepts[self._key(second)].code
        if one == other:
            return "equivalent"
        if one in self.ancestors(other):
            return "subsumes"
        return "subsumed-by" if other in self.ancestors(one) else "not-subsumed"

    def _key(self, code: str) -> str:
        return code if self.case_sensitive else code.casefold()


def read(resource: Resource) -> CodeSystem:
    """A CodeSystem's content. One without a hierarchy of is-a still has its nesting asked for by is-a."""
    sensitive = resource.get("caseSensitive", True)
    found = {
        concept.code if sensitive else concept.code.casefold(): concept
        for concept in _concepts(resource.get("concept", ()), ())
    }
    system = CodeSystem(
        resource.get("url", ""),
        resource.get("version", ""),
        resource.get("title") or resource.get("name") or resource.get("url", ""),
        resource.get("content") == "complete",
        sensitive,
        found,
        {one["code"]: one for one in resource.get("property", ()) if "code" in one},
    )
    for concept in list(found.values()):
        for outer in concept.above:
            system.below.setdefault(outer, []).append(concept.code)
        for inner in filter(None, map(system.find, map(str, concept.values("child")))):
            if concept.code not in inner.above:
                system.below.setdefault(concept.code, []).append(inner.code)
                found[inner.code if sensitive else inner.code.casefold()] = _also_below(inner, concept.code)
    return system


def _also_below(concept: Concept, outer: str) -> Concept:
    above = (*concept.above, outer)
    return Concept(concept.code, concept.display, concept.definition, above, concept.properties, concept.designation)


def _concepts(concepts: Sequence[Resource], above: tuple[str, ...]) -> Iterator[Concept]:
    for row in concepts:
        properties = tuple(row.get("property", ()))
        named = tuple(
            one["valueCode"]
            for one in properties
            if one.get("code") in _ABOVE and one.get("valueCode") not in above
            if "valueCode" in one
        )
        yield Concept(
            row["code"],
            row.get("display"),
            row.get("definition"),
            above + named,
            properties,
            tuple(row.get("designation", ())),
        )
        yield from _concepts(row.get("concept", ()), (row["code"],))


def find(definitions: Definitions, url: str, version: str = "") -> CodeSystem | None:
    """The code system that is loaded; None where it is not, or holds no concepts of its own."""
    known = definitions.find("CodeSystem", f"{url}|{version}" if version else url, read)
    system: CodeSystem | None = known.read if known else None
    return system
