"""What a search means among resources that name one another: https://hl7.org/fhir/R4/search.html said again.

A world is all that stands, by reference ("Patient/1"). As tests/search/naive.py, which judges one resource, it has no
index, follows every step of a question through every resource, and takes its time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from tests.search import naive
from tests.search.naive import BASE, Json

World = Mapping[str, Json]
Asked = Iterable[tuple[str, str]]  # (name, value)

# The parameters by which a type belongs to a compartment: https://hl7.org/fhir/R4/compartmentdefinition.html
COMPARTMENTS: Mapping[tuple[str, str], Sequence[str]] = {
    ("Patient", "Patient"): ("link",),
    ("Patient", "Observation"): ("subject",),
    ("Patient", "Encounter"): ("patient",),
    ("Patient", "List"): ("subject",),
    ("Encounter", "Encounter"): (),
    ("Encounter", "Observation"): ("encounter",),
}
PARENTS = {"Encounter": "part-of", "Location": "partof", "Organization": "partof"}


def found(world: World, type: str, asked: Asked, within: str | None = None) -> set[str]:
    """The ids of the matches; `within` a compartment."""
    asked = list(asked)
    return {
        one["id"]
        for one in world.values()
        if one["resourceType"] == type
        and (within is None or belongs(one, within))
        and all(finds(world, one, name, value) for name, value in asked)
    }


def finds(world: World, one: Json, name: str, value: str) -> bool:
    """Whether a resource is among the matches of `name=value`."""
    if name.startswith("_has:"):
        _, source, code, rest = name.split(":", 3)
        pointing = [other for other in world.values() if other["resourceType"] == source]
        return any(_reference(one) in named(other, code) and finds(world, other, rest, value) for other in pointing)
    if name == "_filter":
        path, _, sought = value.removeprefix("not(").removesuffix(")").split(" ")
        return finds(world, one, path, sought) != value.startswith("not(")
    link, dot, rest = name.partition(".")
    if dot:
        code, _, type = link.partition(":")
        targets = [world[reference] for reference in named(one, code) if reference in world]
        return any(finds(world, target, rest, value) for target in targets if type in ("", target["resourceType"]))
    return _finds_itself(world, one, name, value)


def _finds_itself(world: World, one: Json, name: str, value: str) -> bool:
    code, _, modifier = name.partition(":")
    if code == "_id":
        return (one["id"] in value.split(",")) != (modifier == "not")
    if code == "_list":
        lists = [world[f"List/{id}"] for id in value.split(",") if f"List/{id}" in world]
        return any(_reference(one) in named(each, "item") for each in lists)
    if modifier in ("above", "below") and (one["resourceType"], code) in LINKS:
        sought = [root for each in value.split(",") for root in _roots(one["resourceType"], code, each)]
        return any(not named(one, code).isdisjoint(line(world, root, modifier)) for root in sought)
    return naive.satisfies(one, name, value)


def _reference(one: Json) -> str:
    return f"{one['resourceType']}/{one['id']}"


def named(one: Json, code: str) -> set[str]:
    """The resources of this server that one names by a parameter, whichever version it names."""
    _, select = naive.PARAMETERS[one["resourceType"], code]
    return {_local(element["reference"]) for element in select(one) if "reference" in element}


def _local(literal: str) -> str:
    return literal.removeprefix(f"{BASE}/").partition("/_history")[0]


def _roots(type: str, code: str, value: str) -> list[str]:
    """What `value` names, of the types that stand in a hierarchy."""
    value = _local(value)
    return [value] if "/" in value else [f"{target}/{value}" for target in LINKS[type, code] if target in PARENTS]


def line(world: World, root: str, modifier: str) -> set[str]:
    """A resource with all that is below it, or above it."""
    code = PARENTS[root.partition("/")[0]]
    of_type = [one for one in world.values() if one["resourceType"] == root.partition("/")[0]]
    found, before = {root}, set[str]()
    while found != before:
        before = set(found)
        for one in of_type:
            if modifier == "below" and not named(one, code).isdisjoint(found):
                found.add(_reference(one))
            elif modifier == "above" and _reference(one) in found:
                found |= named(one, code)
    return found


def belongs(one: Json, within: str) -> bool:
    """Whether a resource is in the compartment of "Patient/1"."""
    codes = COMPARTMENTS[within.partition("/")[0], one["resourceType"]]
    return _reference(one) == within or any(within in named(one, code) for code in codes)


def included(world: World, matches: Iterable[str], includes: Asked) -> set[str]:
    """What comes along with the matches of a page: what they name or what names them; iterated, what that does too."""
    includes = list(includes)
    seen = set(matches)
    frontier, found, first = set(seen), set[str](), True
    while frontier:
        step = {
            reference
            for name, value in includes
            if first or name.endswith(":iterate")
            for reference in (_backward if name.startswith("_rev") else _forward)(world, frontier, value)
        }
        frontier = step - seen
        seen |= frontier
        found |= frontier
        first = False
    return found


def _forward(world: World, frontier: set[str], value: str) -> Iterator[str]:
    for reference in frontier:
        yield from (target for target in _followed(world[reference], value) if target in world)


def _backward(world: World, frontier: set[str], value: str) -> Iterator[str]:
    for reference, one in world.items():
        if not frontier.isdisjoint(_followed(one, value)):
            yield reference


def _followed(one: Json, value: str) -> set[str]:
    """What a resource names by `source:parameter:target`, or by all that it has where the parameter is *."""
    source, code, target = (*value.split(":"), "", "")[:3] if value != "*" else ("*", "*", "")
    if source not in (one["resourceType"], "*"):
        return set()
    found = set(_all_named(one)) if code == "*" else named(one, code)
    return {reference for reference in found if not target or reference.startswith(f"{target}/")}


def _all_named(element: Any) -> Iterator[str]:
    if isinstance(element, dict):
        for name, value in element.items():
            if name == "reference":
                yield _local(value)
            yield from _all_named(value)
    elif isinstance(element, list):
        for item in element:
            yield from _all_named(item)


# (type, code) of each parameter that names resources -> the types of this world that it may name
LINKS: Mapping[tuple[str, str], Sequence[str]] = {
    ("Patient", "link"): ("Patient",),
    ("Patient", "organization"): ("Organization",),
    ("Observation", "subject"): ("Patient", "Location"),
    ("Observation", "patient"): ("Patient",),
    ("Observation", "encounter"): ("Encounter",),
    ("Observation", "has-member"): ("Observation",),
    ("Encounter", "subject"): ("Patient",),
    ("Encounter", "patient"): ("Patient",),
    ("Encounter", "part-of"): ("Encounter",),
    ("Encounter", "location"): ("Location",),
    ("Encounter", "service-provider"): ("Organization",),
    ("Location", "partof"): ("Location",),
    ("Location", "organization"): ("Organization",),
    ("Organization", "partof"): ("Organization",),
    ("List", "subject"): ("Patient", "Location"),
    ("List", "patient"): ("Patient",),
    ("List", "encounter"): ("Encounter",),
    ("List", "item"): ("Patient", "Observation", "Encounter", "Location", "Organization", "List"),
}
