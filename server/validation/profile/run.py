"""Run: one resource under check: what is loaded, what the resource holds, and what was found."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from server.fhir.reference import local
from server.outcome import Issue, Severity
from server.validation.conformance import Definitions, Made
from server.validation.profile import snapshot, structure
from server.validation.profile.item import Item
from server.validation.profile.structure import ElementDefinition, Structure

DEEPEST = 8  # profiles that lead from one resource to the next
PLACES = 10  # named in one issue

Check = Callable[[Item, "Run"], None]
Compile = Callable[[Structure, list[ElementDefinition]], Check]

_COMPILED: dict[str, Made] = {}


@dataclass(slots=True)
class Run:
    """One check of one resource. Issues are of `found`; what could not be looked at is gathered in `open`."""

    definitions: Definitions
    compile: Compile
    resource: dict[str, Any]
    bundle: Mapping[str, dict[str, Any]] = field(default_factory=dict)  # fullUrl -> resource
    found: dict[tuple[str, str, str], Issue] = field(default_factory=dict)
    open: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # code and why -> where
    active: set[tuple[str, str]] = field(default_factory=set)  # profile and place that are under check
    tried: dict[tuple[int, str], bool | None] = field(default_factory=dict)  # of values and profiles, in all runs
    depth: int = 0
    place: str = ""  # where the resource is, where it is not the root

    def at(self, item_path: str) -> str:
        return f"{self.place or self.resource['resourceType']}{item_path}"

    def say(self, code: str, item_path: str, words: str, rule: str, severity: Severity = "error") -> None:
        """One issue, once, however many definitions say so."""
        path = self.at(item_path)
        self.found.setdefault((code, path, words), Issue(code, f"{words} ({rule})", (path,), severity))

    def leave(self, why: str, item_path: str, code: str = "not-found") -> None:
        """What is not judged, since it rests on what is not here."""
        self.open.setdefault((code, why), []).append(self.at(item_path))

    @property
    def has_errors(self) -> bool:
        return any(issue.severity == "error" for issue in self.found.values())

    def issues(self) -> list[Issue]:
        left = [Issue(code, why, tuple(paths[:PLACES]), "information") for (code, why), paths in self.open.items()]
        return [*self.found.values(), *left]

    def profile(self, name: str) -> tuple[Structure, Check] | None:
        """A profile that is loaded, compiled; None where it, or what it rests on, is not."""
        known = structure.find(self.definitions, name)
        if known is None:
            return None
        check = self.definitions.remembered(_COMPILED, known.digest, lambda found: self._made(found, known.read))
        return (known.read, check) if check else None

    def _made(self, definitions: Definitions, profile: Structure) -> Check | None:
        elements = snapshot.elements(definitions, profile)
        return self.compile(profile, elements) if elements and "." not in elements[0]["id"] else None

    def conform(self, item: Item, name: str) -> Structure | None:
        """Check a value by a profile; None where that is not loaded. Profiles that lead in circles end here."""
        found = self.profile(name)
        if found is None:
            return None
        profile, check = found
        under = (profile.canonical, item.path)
        if under not in self.active:
            self.active.add(under)
            check(item, self)
            self.active.discard(under)
        return profile

    def trial(self, item: Item, name: str) -> bool | None:
        """Whether a value conforms to a profile: None where that is not loaded. Nothing is said."""
        if structure.is_own(name.partition("|")[0]):
            return None
        key = id(item.value), name
        if key in self.tried:
            return self.tried[key]
        found = self.profile(name)
        if found is None or self.depth > DEEPEST:
            return None
        self.tried[key] = True  # as long as nothing speaks against it: references may lead in circles
        within = self.within()
        found[1](item, within)
        self.tried[key] = not within.has_errors
        return self.tried[key]

    def within(self) -> Run:
        """A run whose findings are not told, only whether there are some."""
        return replace(self, found={}, open={}, active=set(), depth=self.depth + 1)

    def resolved(self, reference: str) -> dict[str, Any] | None:
        """The resource that a reference leads to, where it is contained or in the same Bundle."""
        if reference.startswith("#"):
            return next((one for one in self.resource.get("contained", ()) if f"#{one.get('id')}" == reference), None)
        return self.bundle.get(reference)


def target_type(reference: str, resource: dict[str, Any] | None) -> str | None:
    """The type that a reference leads to, by the resource or by what it says."""
    if resource is not None:
        return str(resource.get("resourceType"))
    link = local(reference)
    if link is not None:
        return link.type
    parts = reference.partition("?")[0].split("/")
    if len(parts) == 1 and "?" in reference:
        return parts[0]
    return parts[-2] if len(parts) > 2 and "//" in reference and parts[-2].isalpha() else None
