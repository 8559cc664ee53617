"""Judgement: a resource against the profiles that it declares, or that somebody names.

https://hl7.org/fhir/R4/profiling.html#resources, https://hl7.org/fhir/R4/validation.html

A profile that is not loaded says nothing; what it would have said is never guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from server.fhir.canonical import parse
from server.ledger import Resource
from server.outcome import Issue
from server.validation.conformance import Definitions
from server.validation.profile import compiled, extension, structure
from server.validation.profile.item import Item
from server.validation.profile.run import Run

R4 = ("", "4.0", "4.0.1")  # the versions under which R4's own definitions are meant


class Claim(NamedTuple):
    """A profile that a resource is to conform to, and who says so: a place in the resource, or a parameter."""

    profile: str
    place: str


def declared(resource: Resource, place: str = "") -> list[Claim]:
    """What a resource says that it conforms to: meta.profile."""
    named = resource.get("meta", {}).get("profile", ())
    root = place or resource["resourceType"]
    return [Claim(name, f"{root}.meta.profile[{index}]") for index, name in enumerate(named) if name is not None]


def claims(resource: Resource) -> bool:
    """Whether the resource, or one in it, declares a profile."""
    if "meta" not in resource and "contained" not in resource and "entry" not in resource:
        return False
    return any("profile" in one.get("meta", ()) for one, _ in within(resource))


def within(resource: Resource) -> Iterator[tuple[Resource, str]]:
    """The resource, those that it contains, and a Bundle's, each with its place."""
    root = str(resource["resourceType"])
    yield resource, root
    for index, one in enumerate(resource.get("contained", ())):
        yield one, f"{root}.contained[{index}]"
    if root == "Bundle":
        for index, entry in enumerate(resource.get("entry", ())):
            if "resource" in entry:
                for one, place in within(entry["resource"]):
                    rest = place.removeprefix(str(entry["resource"]["resourceType"]))
                    yield one, f"{root}.entry[{index}].resource{rest}"


def judge(definitions: Definitions, resource: Resource, named: Iterable[Claim] = ()) -> list[Issue]:
    """What is wrong with a resource, whose structure is R4's, by every profile declared in it or named."""
    bundle = _by_url(resource)
    issues: list[Issue] = []
    for one, place in within(resource):
        run = Run(definitions, compiled.compile, one, bundle, place=place)
        item = Item(one, None, str(one["resourceType"]), "")
        wanted = [*declared(one, place), *(named if one is resource else ())]
        issues += [issue for claim in wanted for issue in _conforms(run, item, claim)]
        extension.check(item, run)
        issues += run.issues()
    return issues


def _conforms(run: Run, item: Item, claim: Claim) -> Iterator[Issue]:
    waiting, seen = [claim.profile], {claim.profile}
    while waiting:
        name = waiting.pop()
        profile = run.conform(item, name)
        if profile is None:
            yield from _unloaded(str(item.value["resourceType"]), name, claim.place)
        else:
            waiting += [one for one in profile.imposed if one not in seen]
            seen.update(profile.imposed)


def _unloaded(type: str, name: str, place: str) -> Iterator[Issue]:
    """R4's own definition of a type need not be loaded: each resource has been held to its own already."""
    url, version = parse(name)
    if not structure.is_own(url) or version not in R4:
        words = f"{name} is not loaded, or what it rests on is not: nothing is said about it"
        yield Issue("not-found", words, (place,), "information")
    elif url.removeprefix(structure.STRUCTURE) not in {type, "Resource", "DomainResource"}:
        yield Issue("invalid", f"{name} is R4's definition of another type; this is a {type}", (place,))


def _by_url(resource: Resource) -> Mapping[str, Any]:
    """A Bundle's resources, by what references within it call them."""
    found: dict[str, Any] = {}
    for entry in resource.get("entry", ()) if resource["resourceType"] == "Bundle" else ():
        one = entry.get("resource")
        if one is not None:
            found[entry.get("fullUrl", "")] = one
            if "id" in one:
                found.setdefault(f"{one['resourceType']}/{one['id']}", one)
    return found
