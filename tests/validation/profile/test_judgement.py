"""Definitions that are nonsense, or lead in circles, and resources of every kind: an answer comes all the same."""

from __future__ import annotations

from copy import deepcopy
from random import Random
from typing import Any

import pytest

from server.validation.element import validate
from tests import us_core
from tests.validation.loaded import BASE, Loaded, codes, found, profile, us_core_loaded
from tests.validation.profile.test_compiled import GOAL, goal

Json = dict[str, Any]
IMPOSE = "http://hl7.org/fhir/StructureDefinition/structuredefinition-imposeProfile"


def test_profiles_that_impose_one_another_end() -> None:
    def imposing(name: str, other: str) -> Json:
        extension = [{"url": IMPOSE, "valueCanonical": f"{BASE}/{other}"}]
        return profile("Goal", {"id": "Goal.note", "min": 1}, url=f"{BASE}/{name}", extension=extension)

    assert [("required", ("Goal.note",))] == codes(GOAL, imposing("a", "b"), imposing("b", "a"))


def test_data_type_profile_that_names_itself_ends() -> None:
    own = f"{BASE}/StructureDefinition/annotation"
    annotation = profile(
        "Annotation",
        {"id": "Annotation", "type": [{"code": "Annotation", "profile": [own]}]},
        {"id": "Annotation.time", "min": 1},
        kind="complex-type",
    )
    of = profile("Goal", {"id": "Goal.note", "type": [{"code": "Annotation", "profile": [own]}]})
    assert [("required", ("Goal.note[0].time",))] == codes(goal(note=[{"text": "a"}]), of, annotation)


def test_content_reference_to_itself_ends() -> None:
    of = profile("Goal", snapshot={"element": [
        {"id": "Goal", "path": "Goal"},
        {"id": "Goal.note", "path": "Goal.note", "min": 0, "max": "*", "contentReference": "#Goal.note"},
    ]})  # fmt: skip
    assert [] == codes(goal(note=[{"text": "a"}]), of)


@pytest.mark.parametrize(
    "elements",
    [
        [{"id": "Goal.note", "path": "Goal.note", "min": 1}],
        [{"id": "Patient", "path": "Patient"}],
        [{"id": "Goal", "path": "Goal"}, {"id": "Goal.note", "path": "Goal.note", "max": "many"}],
        [{"id": "Goal", "path": "Goal"}, {"id": "Goal.a.b:c.d", "path": "Goal.a.b.d", "min": 1}],
    ],
)
def test_snapshot_that_is_nonsense_says_nothing(elements: list[Json]) -> None:
    assert [] == codes(GOAL, profile("Goal", snapshot={"element": elements}))


def mutated(value: Any, chance: Random) -> Any:
    """A JSON value in which something is left out, doubled or another."""
    if isinstance(value, dict):
        return {name: mutated(item, chance) for name, item in value.items() if chance.random() > 0.02}
    if isinstance(value, list):
        items = [mutated(item, chance) for item in value if chance.random() > 0.02]
        return items + items[:1] if chance.random() < 0.1 else items
    if isinstance(value, str) and chance.random() < 0.02:
        return chance.choice(["#a", "Patient/1", "a|b", "value[x]", "2026"])
    return value


@pytest.mark.parametrize("seed", range(100))
def test_any_resource_and_any_profile_get_an_answer(seed: int) -> None:
    chance = Random(seed)
    resource = deepcopy(chance.choice(list(us_core.examples().values())))
    changed = mutated(resource, chance) | {"resourceType": resource["resourceType"]}
    if not validate(changed):
        found(changed, loaded=us_core_loaded())
    profiles = [one for one in us_core.definitions() if one.get("type") == resource["resourceType"]]
    for of in profiles[:1]:
        part = chance.choice(["snapshot", "differential"])
        other = {name: value for name, value in of.items() if name not in ("snapshot", "differential")}
        definition = other | {part: mutated(of[part], chance)}
        if not validate(definition):
            found(resource, definition, loaded=Loaded([definition]))


def test_contained_resources_that_refer_to_one_another_take_no_longer() -> None:
    reference = {"code": "Reference", "targetProfile": [f"{BASE}/StructureDefinition/list", f"{BASE}/other"]}
    lists = profile("List", {"id": "List.entry.item", "type": [reference]})
    other = profile("List", {"id": "List.entry.item", "type": [reference]}, url=f"{BASE}/other")
    base = {"resourceType": "List", "status": "current", "mode": "working"}
    entries = [{"item": {"reference": f"#{number}"}} for number in range(40)]
    contained = [{**base, "id": str(number), "entry": entries} for number in range(40)]
    assert [] == codes({**base, "contained": contained, "entry": entries}, lists, other)


def test_differential_without_an_end_is_no_snapshot() -> None:
    elements = [{"id": f"Goal.note:{number}", "path": "Goal.note", "sliceName": str(number)} for number in range(6000)]
    assert [] == codes(GOAL, profile("Goal", *elements))
