"""fhir.resources' R4B models as an independent oracle: they and our validator agree, or the difference is named here.

R4B (4.3.0) changed some types of R4 (4.0.1) and lacks others; the tables say which. What the models do not check
(bindings, targets, invariants, empty arrays …) is in DIFFERENCES.
"""

from __future__ import annotations

import copy
import random
import re
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import cache
from typing import Any, NamedTuple

import pytest
from fhir.resources.R4B import get_fhir_model_class
from pydantic import BaseModel, ValidationError

from server.fhir.definition import PRIMITIVE_TYPES, RESOURCE_TYPES, elements
from server.fhir.definition import _table as table
from server.outcome import Issue
from server.validation.element import validate
from server.validation.invariant.condition import has
from tests.us_core import examples

MUTATIONS = 30  # of each of the 183 examples

Json = dict[str, Any]

# The models beside our table

R4_ONLY = {
    "EffectEvidenceSynthesis",
    "MedicinalProduct",
    "MedicinalProductAuthorization",
    "MedicinalProductContraindication",
    "MedicinalProductIndication",
    "MedicinalProductIngredient",
    "MedicinalProductInteraction",
    "MedicinalProductManufactured",
    "MedicinalProductPackaged",
    "MedicinalProductPharmaceutical",
    "MedicinalProductUndesirableEffect",
    "RiskEvidenceSynthesis",
    "SubstanceNucleicAcid",
    "SubstancePolymer",
    "SubstanceProtein",
    "SubstanceReferenceInformation",
    "SubstanceSourceMaterial",
    "SubstanceSpecification",
}  # R4B removed them: these types have no oracle

CHANGED_TYPES = {"Evidence", "EvidenceVariable", "EvidenceVariable.characteristic"}  # R4B made them anew

CHANGED_ELEMENTS = {
    # new data types and choices of R4B, and Meta no longer one of any type
    "ActivityDefinition": {"subjectCanonical"},
    "PlanDefinition": {"subjectCanonical"},
    "PlanDefinition.action": {"subjectCanonical"},
    "Extension": {"valueCodeableReference", "valueMeta", "valueRatioRange"},
    "ElementDefinition": {
        *("defaultValueCodeableReference", "defaultValueMeta", "defaultValueRatioRange"),
        *("fixedCodeableReference", "fixedMeta", "fixedRatioRange"),
        *("patternCodeableReference", "patternMeta", "patternRatioRange"),
    },
    "ElementDefinition.example": {"valueCodeableReference", "valueMeta", "valueRatioRange"},
    # cardinality
    "MarketingStatus": {"country", "dateRange"},
    # the model's own resourceType hides the element of that name
    "ExampleScenario.instance": {"resourceType"},
}


CHANGED_TARGETS = {
    "ActivityDefinition.productReference",
    "DiagnosticReport.subject",
    "Group.member.entity",
    "Observation.subject",
}  # R4B allows more of them


@cache
def model(type_name: str) -> type[BaseModel] | None:
    words = type_name.split(".")
    try:
        found: type[BaseModel] = get_fhir_model_class("".join(word[0].upper() + word[1:] for word in words))
    except ValueError:
        return None
    return found


COMPARED = [
    name for name in table("elements") if name not in PRIMITIVE_TYPES and name not in CHANGED_TYPES and model(name)
]


class Shape(NamedTuple):
    """What a model says of one element. Where it names no targets or codes, it knows of none."""

    repeats: bool
    required: bool
    targets: frozenset[str]
    codes: frozenset[str]


def shapes(type_name: str) -> dict[str, Shape]:
    found = model(type_name)
    assert found is not None
    said: dict[str, Shape] = {}
    for name, field in found.model_fields.items():
        extra: Any = field.json_schema_extra or {}
        if extra.get("element_property"):
            said[field.alias or name] = Shape(
                "List[" in str(field.annotation),
                field.is_required() or "element_required" in extra,
                frozenset(extra.get("enum_reference_types", ())),
                frozenset(extra.get("enum_values", ())),
            )
    return said


def test_types_without_a_model_are_those_that_r4b_removed() -> None:
    assert R4_ONLY == {name for name in RESOURCE_TYPES if model(name) is None}


@pytest.mark.parametrize("type_name", COMPARED)
def test_elements_agree_with_the_model(type_name: str) -> None:
    said, rows = shapes(type_name), elements(type_name)
    changed = CHANGED_ELEMENTS.get(type_name, set())
    assert changed >= said.keys() ^ rows.keys()
    for name in said.keys() & rows.keys() - changed:
        shape, row = said[name], rows[name]
        place = f"{type_name}.{name}"
        assert (place, shape.repeats) == (place, row.max is None)
        assert (place, shape.required) == (place, row.min > 0) or row.choice
        assert (
            (place, shape.targets) == (place, frozenset(row.targets)) or not shape.targets or place in CHANGED_TARGETS
        )
        if "+" in shape.codes:  # "draft | active | +": the model has the first few
            assert shape.codes - {"+"} <= (row.codes or set())
        elif shape.codes and row.codes:
            assert shape.codes == row.codes


# US Core's examples, whole and mutated


class Place(NamedTuple):
    """What an issue points to: the element's type, its JSON value, and what stands beside it under `_name`."""

    type: str
    value: Any
    beside: Any


class Difference(NamedTuple):
    """What our validator refuses and the models let pass."""

    why: str
    holds: Callable[[Issue, Place], bool]


ABSENT: Any = object()
EMPTY: tuple[Any, ...] = (None, [], {})
LOOSE = {"uri", "url", "canonical", "xhtml", "base64Binary"}
DATES = {"date", "dateTime", "instant"}
LAX = {"boolean", "decimal", "integer", "positiveInt", "unsignedInt"}

DIFFERENCES = (
    Difference("the models know no required bindings", lambda issue, place: issue.code == "code-invalid"),
    Difference("the models know no invariants", lambda issue, place: issue.code == "invariant"),
    Difference(
        "the models know no targets, nor what a relative reference looks like",
        lambda issue, place: issue.code == "value" and issue.expression[0].endswith(".reference"),
    ),
    Difference(
        "pydantic takes null, [] and {} for what is not there",
        lambda issue, place: place.value in EMPTY or place.beside in EMPTY,
    ),
    Difference("the models take any text for these types", lambda issue, place: place.type in LOOSE),
    Difference(
        "pydantic reads a number as seconds since 1970",
        lambda issue, place: place.type in DATES and isinstance(place.value, int | Decimal),
    ),
    Difference(
        "pydantic reads numbers and booleans from one another and from texts",
        lambda issue, place: place.type in LAX and isinstance(place.value, str | int | Decimal),
    ),
    Difference(
        "the models take a nested resource that does not name its type",
        lambda issue, place: issue.expression[0].endswith(".resourceType"),
    ),
    Difference(
        "the models do not align _given with given",
        lambda issue, place: isinstance(place.value, list) and isinstance(place.beside, list),
    ),
)

# What the models refuse and R4 allows: the model of Extension forgets each `_value[x]`
LACKING = re.compile(r".*[eE]xtension\.\d+\._value\w+").fullmatch


def place(resource: Json, expression: str) -> Place:
    """Follow an issue's expression; a choice is found under the name that stands."""
    type_name, value, beside = "Resource", resource, ABSENT
    for name, index in re.findall(r"\.(\w+)(?:\[(\d+)\])?", expression):
        if type_name == "Resource":
            type_name = str(value.get("resourceType"))
        if type_name in PRIMITIVE_TYPES:  # what follows stands in `_name`
            type_name, value = "Element", beside
        if type_name not in table("elements"):
            return Place("", value, ABSENT)
        rows = elements(type_name)
        row = next((row for row in rows.values() if name in (row.name, row.choice) and has(value, row.name)), None)
        if row is None:
            return Place("", ABSENT, ABSENT)
        type_name, value, beside = row.types[0], value.get(row.name, ABSENT), value.get(f"_{row.name}", ABSENT)
        if index:
            value, beside = at(value, int(index)), at(beside, int(index))
    return Place(type_name, value, beside)


def at(value: Any, index: int) -> Any:
    return value[index] if isinstance(value, list) and index < len(value) else ABSENT


def refused_by_model(resource: Json) -> list[str]:
    """The places that its model refuses; some kinds of JSON make a model fall over, which refuses them too."""
    found = model(resource["resourceType"])
    assert found is not None
    try:
        found.model_validate(copy.deepcopy(resource))
    except ValidationError as error:
        return [".".join(map(str, problem["loc"])) for problem in error.errors()]
    except (AttributeError, TypeError) as error:
        return [type(error).__name__]
    return []


def unexplained(resource: Json, issues: list[Issue]) -> list[Issue]:
    """Our issues less those that DIFFERENCES explains."""
    return [
        issue
        for issue in issues
        if not any(difference.holds(issue, place(resource, issue.expression[0])) for difference in DIFFERENCES)
    ]


def test_examples_are_accepted_by_both() -> None:
    refused = {
        name: (validate(resource), refused_by_model(resource))
        for name, resource in examples().items()
        if validate(resource) or refused_by_model(resource)
    }
    assert {} == refused
    assert 183 == len(examples())


def test_mutated_examples_are_judged_alike() -> None:
    """Each example is changed in one place, MUTATIONS times; the seed makes each run the same."""
    rng = random.Random(61)
    judged: Counter[tuple[bool, bool]] = Counter()
    apart: list[Any] = []
    for name, resource in examples().items():
        for _ in range(MUTATIONS):
            mutant = copy.deepcopy(resource)
            change = mutate(mutant, rng)
            ours, theirs = validate(mutant), refused_by_model(mutant)
            judged[bool(ours), bool(theirs)] += 1
            if not theirs and (unexplained_issues := unexplained(mutant, ours)):
                apart.append((name, change, unexplained_issues))
            if not ours and not all(map(LACKING, theirs)):
                apart.append((name, change, theirs))
    assert [] == apart
    assert judged[True, True] > 1000
    assert judged[False, False] > 1000


WRONG: tuple[Any, ...] = (
    *(None, True, 0, -1, 7, Decimal("1.5"), [], {}, [None], [{}], ["x"], [1]),
    *("", "x", " x", "a b", "2026-02-30", "2026-01-01", "2026-01-01T10:00:00", "2026-01-01T10:00:00Z", "12:00:00"),
    *("http://example.org", "urn:uuid:1", "QQ==", "Practitioner/1", "#x", "final", "active"),
    *({"id": "x"}, {"display": "x"}, {"value": 1}, {"text": "x"}, {"extension": [{"url": "u", "valueCode": "x"}]}),
)


def mutate(resource: Json, rng: random.Random) -> str:
    """Change one member or item at random; answers what was done."""
    container, key = rng.choice(list(members(resource)))
    change = rng.choice((drop, replace, replace, replace, wrap, repeat, rename, add_beside, move))
    change(container, key, rng, resource)
    return f"{change.__name__} {key}"


def members(value: Any) -> Iterator[tuple[Any, Any]]:
    for key, item in list(value.items() if isinstance(value, dict) else enumerate(value)):
        if key != "resourceType":
            yield value, key
        if isinstance(item, dict | list):
            yield from members(item)


def drop(container: Any, key: Any, rng: random.Random, resource: Json) -> None:
    del container[key]


def replace(container: Any, key: Any, rng: random.Random, resource: Json) -> None:
    container[key] = copy.deepcopy(rng.choice(WRONG))


def wrap(container: Any, key: Any, rng: random.Random, resource: Json) -> None:
    value = container[key]
    container[key] = value[0] if isinstance(value, list) and value else [value]


def repeat(container: Any, key: Any, rng: random.Random, resource: Json) -> None:
    """Twice in an array; in an object, the same value under one of its siblings' names."""
    if isinstance(container, list):
        container.insert(key, copy.deepcopy(container[key]))
    else:
        container[rng.choice([name for name in container if name != "resourceType"])] = copy.deepcopy(container[key])


def rename(container: Any, key: Any, rng: random.Random, resource: Json) -> None:
    if isinstance(container, dict):
        container[rng.choice((f"{key}x", f"{key}s", key[:-1], key.title(), "valueString"))] = container.pop(key)


def add_beside(container: Any, key: Any, rng: random.Random, resource: Json) -> None:
    extension = {"extension": [{"url": "u", "valueCode": "x"}]}
    if isinstance(container, dict):
        container[f"_{key}"] = rng.choice(({"id": "x"}, extension, [{"id": "x"}], [extension], None, {}, "x"))


def move(container: Any, key: Any, rng: random.Random, resource: Json) -> None:
    other, name = rng.choice(list(members(resource)))
    container[key] = copy.deepcopy(other[name])
