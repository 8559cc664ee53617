"""Definitions that are at hand, for what is a plain function of them."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from functools import cache
from typing import Any

from server.fhir import canonical, published
from server.ledger import Resource
from server.outcome import Issue
from server.validation.conformance import Definitions, Known, Read, digest
from server.validation.profile.judgement import Claim, judge
from tests import us_core

BASE = "http://example.org/fhir"


class Loaded(Definitions):
    """Resources, each under its url and its version, and R4's own."""

    def __init__(self, resources: Iterable[Resource] = ()) -> None:
        super().__init__()
        self.resources = {(one["resourceType"], one["url"]): one for one in resources}
        self.known: dict[tuple[str, str], Known | None] = {}

    def find(self, type: str, name: str, read: Read) -> Known | None:
        if (type, name) not in self.known:
            self.known[type, name] = self.looked_up(type, name, read)
        return self.known[type, name]

    def looked_up(self, type: str, name: str, read: Read) -> Known | None:
        url, version = canonical.parse(name)
        found = self.resources.get((type, url)) or published.find(type, url, version)
        if found is None or version not in ("", "4.0.1", found.get("version", "")):
            return None
        return Known("", url, found.get("version", ""), digest(found), read(found))


@cache
def us_core_loaded() -> Loaded:
    return Loaded(us_core.definitions())


def profile(type: str, *elements: Resource, **more: Any) -> Resource:
    """A profile of a type, by its differential."""
    return {
        "resourceType": "StructureDefinition",
        "url": f"{BASE}/StructureDefinition/{type.lower()}",
        "version": "1",
        "kind": "resource",
        "type": type,
        "baseDefinition": f"http://hl7.org/fhir/StructureDefinition/{type}",
        "derivation": "constraint",
        "differential": {"element": [{"path": _path(one["id"]), **one} for one in elements]},
        **more,
    }


def _path(id: str) -> str:
    return ".".join(step.partition(":")[0] for step in id.split("."))


def found(resource: Resource, *definitions: Resource, loaded: Loaded | None = None) -> list[Issue]:
    """What the first of the definitions finds, but for what is only said."""
    known = loaded or Loaded(definitions)
    claims = [Claim(definitions[0]["url"], "profile")] if definitions else []
    return [issue for issue in judge(known, deepcopy(resource), claims) if issue.severity != "information"]


def codes(resource: Resource, *definitions: Resource) -> list[tuple[str, tuple[str, ...]]]:
    return [(issue.code, issue.expression) for issue in found(resource, *definitions)]
