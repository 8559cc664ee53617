"""The generator of an Iowa-like population."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from examples.population import CAP, COUNTIES, directory, population, spread
from server.fhir.body import Body
from server.validation.element import validate

DEMO = Path(__file__).parent.parent.parent / "examples" / "demo.ndjson"


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("reference"), str):
            yield node["reference"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for item in node:
            yield from references(item)


def test_same_arguments_give_the_same_lines() -> None:
    assert list(population([5, 3], seed=4)) == list(population([5, 3], seed=4))
    assert list(population([5, 3], seed=4)) != list(population([5, 3], seed=5))


def test_no_resource_comes_twice_or_refers_to_a_later_one() -> None:
    seen: set[str] = set()
    for resource in population([9, 7, 8, 6], unassigned=5):
        own = f"{resource['resourceType']}/{resource['id']}"
        assert own not in seen
        seen.add(own)
        assert set(references(resource)) <= seen


def test_every_resource_is_valid() -> None:
    assert [] == [
        issue for resource in population([20, 20, 20], unassigned=9) for issue in validate(Body.of(resource).resource)
    ]


def test_each_manager_holds_its_load() -> None:
    held: Counter[str] = Counter()
    for resource in population([4, 51, 7], unassigned=3):
        if resource["resourceType"] == "CareTeam":
            held.update(
                p["member"]["reference"]
                for p in resource["participant"]
                if p.get("period", {"end": 1}).keys() == {"start"}
            )
    assert [4, 51, 7] == [held[f"PractitionerRole/cm-000{n}"] for n in (1, 2, 3)]


def test_prefix_tells_two_populations_apart() -> None:
    of_members = {r["id"] for r in population([3], prefix="b-") if r["resourceType"] in ("Patient", "PractitionerRole")}
    shared = {r["id"] for r in directory()}
    assert {"b-cm-0001", "b-member-00001", "b-member-00002", "b-member-00003"} == of_members - shared


def test_directory_has_every_county_of_the_population_in_an_area() -> None:
    counties = {r["name"]: r for r in directory() if r["resourceType"] == "Location" and "position" in r}
    for county in COUNTIES:
        found = counties[f"{county.name} County"]
        assert (f"ia-{county.slug}", county.latitude) == (found["id"], found["position"]["latitude"])
        assert found["partOf"]["reference"] in {"Location/ia-central", "Location/ia-east", "Location/ia-west"}


@pytest.mark.parametrize(("members", "managers"), [(30_000, 700), (900, 21), (10, 3), (35_000, 700), (7, 7)])
def test_spread_gives_every_member_a_manager_within_the_cap(members: int, managers: int) -> None:
    loads = spread(members, managers, Random(1))
    assert (members, managers) == (sum(loads), len(loads))
    assert max(loads) <= CAP
    assert min(loads) >= 0


def test_demo_is_what_the_generator_makes() -> None:
    made = population([49, 14, 9, 8], unassigned=6)
    assert [json.loads(line) for line in DEMO.read_text().splitlines()] == list(made)
