"""Random resources that name one another, and random searches that go from one to the next.

They come of a seed: few of each type, closely linked, and paths that there are, so that much is found. Not every
resource is valid, but each of its values is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

from tests.search.naive import BASE, PARAMETERS, Json
from tests.search.world import COMPARTMENTS, LINKS, PARENTS, World, named

IDS = ("1", "2", "3")
MAX_STEPS = 4

Made = Callable[[Random], Any]


def _to(type: str, code: str) -> Made:
    """A reference to what a parameter may name, however it is written; a few lead nowhere."""

    def made(chance: Random) -> Any:
        found = f"{chance.choice(LINKS[type, code])}/{chance.choice([*IDS * 4, 'nowhere'])}"
        return {"reference": chance.choice([found, found, f"{BASE}/{found}", f"{found}/_history/2"])}

    return made


def _one_of(*values: Any) -> Made:
    return lambda chance: chance.choice(values)


def _few(item: Made, name: str = "") -> Made:
    """One or two items, each at a member's name where one is given."""
    return lambda chance: [{name: item(chance)} if name else item(chance) for _ in range(chance.choice((1, 1, 2)))]


_NAME = _one_of("Ana", "ana maría", "Bo")
_CODINGS = [{"system": system, "code": code} for system in ("urn:a", "urn:b") for code in ("M", "m", "8480-6")]
_QUANTITIES = [{"value": value, "system": "urn:a", "code": "mg"} for value in (5, 5.4, 100)]
_MEMBERS: dict[str, dict[str, Made]] = {
    "Patient": {
        "gender": _one_of("male", "female"),
        "name": _few(_NAME, "family"),
        "managingOrganization": _to("Patient", "organization"),
        "link": _few(_to("Patient", "link"), "other"),
    },
    "Observation": {
        "code": lambda chance: {"coding": [chance.choice(_CODINGS)]},
        "valueQuantity": _one_of(*_QUANTITIES),
        "subject": _to("Observation", "subject"),
        "encounter": _to("Observation", "encounter"),
        "hasMember": _few(_to("Observation", "has-member")),
    },
    "Encounter": {
        "status": _one_of("planned", "finished"),
        "subject": _to("Encounter", "subject"),
        "partOf": _to("Encounter", "part-of"),
        "location": _few(_to("Encounter", "location"), "location"),
        "serviceProvider": _to("Encounter", "service-provider"),
    },
    "Location": {
        "name": _NAME,
        "partOf": _to("Location", "partof"),
        "managingOrganization": _to("Location", "organization"),
    },
    "Organization": {"name": _NAME, "active": _one_of(True, False), "partOf": _to("Organization", "partof")},
    "List": {
        "status": _one_of("current", "retired"),
        "subject": _to("List", "subject"),
        "encounter": _to("List", "encounter"),
        "entry": _few(_to("List", "item"), "item"),
    },
}
TYPES = tuple(sorted(_MEMBERS))


# What stands at the end of a path, as modifier=value: much of it is there.
_ENDS: dict[str, dict[str, tuple[str, ...]]] = {
    "Patient": {
        "gender": ("=male", "=female,male", ":not=male", ":in=urn:vs:few", ":not-in=urn:vs:few", ":missing=true"),
        "family": ("=ana", ":exact=Ana", ":contains=mar", ":missing=false"),
        "organization": (":missing=true", ":Organization=1"),
    },
    "Observation": {
        "code": (
            "=M",
            "=urn:a|",
            "=urn:b|8480-6,m",
            ":not=urn:a|M",
            ":below=urn:a|M",
            ":above=urn:a|m",
            ":missing=true",
        ),
        "value-quantity": ("=5", "=gt5||mg", "=le100|urn:a|mg", "=ne5.4", ":missing=false"),
        "code-value-quantity": ("=M$5", "=urn:a|m$gt5", "=8480-6$le100||mg"),
        "encounter": (":missing=true",),
        "subject": (":Patient=1", ":Location=2"),
    },
    "Encounter": {"status": ("=planned", ":not=planned", ":missing=true"), "part-of": (":missing=true",)},
    "Location": {"name": ("=ana", "=bo,an", ":exact=Bo", ":contains=mar"), "partof": (":missing=false",)},
    "Organization": {"name": ("=ana", ":contains=o"), "active": ("=true", ":not=true"), "partof": (":missing=true",)},
    "List": {"status": ("=current", ":not=current"), "item": (":Patient=1", ":List=2", ":missing=true")},
}


def resource(type: str, id: str, chance: Random) -> Json:
    """A resource with most of its members."""
    members = {name: made(chance) for name, made in _MEMBERS[type].items() if chance.random() < 0.8}
    return {"resourceType": type, "id": id, **members}


def population(chance: Random) -> list[Json]:
    """Most of the resources that there may be."""
    return [resource(type, id, chance) for type in TYPES for id in IDS if chance.random() < 0.9]


def changed(chance: Random) -> tuple[str, str, Json | None]:
    """(type, id, the resource as it is written anew; None where it is deleted)"""
    type, id = chance.choice(TYPES), chance.choice(IDS)
    return type, id, None if chance.random() < 0.3 else resource(type, id, chance)


@dataclass(frozen=True, slots=True)
class Search:
    """One search of a type, and of a compartment where `within` names one."""

    type: str
    within: str | None
    criteria: tuple[tuple[str, str], ...]
    includes: tuple[tuple[str, str], ...]
    count: int


def search(around: World, chance: Random) -> Search:
    """A search whose paths there are, from some resource to some other; its ends may be otherwise."""
    start = chance.choice(list(around.values()))
    type, within = start["resourceType"], None
    places = [compartment for compartment, of in COMPARTMENTS if of == type]
    if places and chance.random() < 0.3:
        within = f"{chance.choice(places)}/{chance.choice(IDS)}"
    criteria = [_criterion(around, start, chance) for _ in range(chance.choice((0, 1, 1, 2) if within else (1, 1, 2)))]
    includes = [_include(type, chance) for _ in range(chance.randrange(3))]
    return Search(type, within, tuple(criteria), tuple(includes), chance.randint(1, 6))


def _criterion(around: World, one: Json, chance: Random) -> tuple[str, str]:
    """(name, value) of a parameter some steps away."""
    name = ""
    for _ in range(chance.randint(0, MAX_STEPS)):
        steps = [*_forward(around, one), *_backward(around, one)]
        if not steps:
            break
        written, one = chance.choice(steps)
        name += chance.choice(written)
    code, value = _end(one["resourceType"], chance)
    operator = _OPERATORS.get(PARAMETERS.get((one["resourceType"], code), ("",))[0])
    if operator and "_has:" not in name and "," not in value and chance.random() < 0.4:
        said = f"{name}{code} {operator} {value}"
        return "_filter", chance.choice((said, f"not({said})"))
    return name + code, value


_OPERATORS = {"token": "eq", "reference": "re", "string": "sw"}  # that mean what the parameter alone does


def _forward(around: World, one: Json) -> Iterator[tuple[tuple[str, ...], Json]]:
    """The steps to what a resource names, each as it may be written."""
    for (type, code), targets in LINKS.items():
        if type == one["resourceType"]:
            for target in sorted(named(one, code) & around.keys()):
                typed = f"{code}:{target.partition('/')[0]}."
                yield (typed, f"{code}.") if len(targets) == 1 else (typed,), around[target]


def _backward(around: World, one: Json) -> Iterator[tuple[tuple[str, ...], Json]]:
    """The steps to what names a resource."""
    own = f"{one['resourceType']}/{one['id']}"
    for (source, code), targets in LINKS.items():
        if one["resourceType"] in targets:
            for other in around.values():
                if other["resourceType"] == source and own in named(other, code):
                    yield (f"_has:{source}:{code}:",), other


def _end(type: str, chance: Random) -> tuple[str, str]:
    """A parameter of the type: its id, a List that it is in, what it refers to, or what it says."""
    links = [(code, targets) for (of, code), targets in LINKS.items() if of == type]
    match chance.randrange(6):
        case 0:
            return chance.choice(("_id", "_id:not", "_list")), chance.choice((*IDS, "1,2"))
        case 1 | 2 if links:
            return _referring(*chance.choice(links), chance)
    code = chance.choice(list(_ENDS[type]))
    modifier, _, value = chance.choice(_ENDS[type][code]).partition("=")
    return code + modifier, value


def _referring(code: str, targets: Sequence[str], chance: Random) -> tuple[str, str]:
    """A reference by its id, its type and id, or all that stands above or below it."""
    lined = [target for target in targets if target in PARENTS]
    modifier = chance.choice(("", ":above", ":below")) if lined else ""
    id = chance.choice(IDS)
    whole = f"{chance.choice(lined if modifier else targets)}/{id}"
    return code + modifier, chance.choice((whole, f"{BASE}/{whole}", id, f"{id},{whole}"))


def _include(type: str, chance: Random) -> tuple[str, str]:
    """(name, value) of what comes along with resources of a type."""
    name, is_iterated = chance.choice(("_include", "_revinclude")), chance.random() < 0.5
    links = [
        (source, code, targets)
        for (source, code), targets in LINKS.items()
        if is_iterated or (type == source if name == "_include" else type in targets)
    ]
    source, code, targets = chance.choice(links)
    typed = f"{source}:{code}:{chance.choice(targets if name == '_include' or is_iterated else (type,))}"
    written = chance.choice((typed, f"{source}:{code}", f"{source}:{code}", f"{source}:*", "*"))
    return f"{name}:iterate" if is_iterated else name, written
