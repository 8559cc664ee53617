"""A resource as the tree of its elements, and back: https://hl7.org/fhir/R4/json.html#primitive"""

from __future__ import annotations

from typing import Any

import pytest

from server.fhir import tree
from tests.us_core import examples

RESOURCES: list[dict[str, Any]] = [
    {"resourceType": "Patient"},
    {"resourceType": "Patient", "birthDate": "1950", "_birthDate": {"id": "a"}},
    {"resourceType": "Patient", "_birthDate": {"extension": [{"url": "urn:x", "valueBoolean": True}]}},
    {"resourceType": "Patient", "name": [{"given": ["A", None, "C"], "_given": [None, {"id": "b"}, None]}]},
    {"resourceType": "Patient", "name": [{"_given": [None, {"id": "b"}]}]},
    {
        "resourceType": "CarePlan",
        "contained": [{"resourceType": "Goal", "id": "g", "target": [{"dueDate": "2026"}]}],
        "activity": [{"detail": {"scheduledPeriod": {"start": "2026"}, "status": "in-progress"}}],
    },
]


@pytest.mark.parametrize("resource", RESOURCES)
def test_tree_is_the_resource(resource: dict[str, Any]) -> None:
    assert resource == tree.members(tree.of(resource))


def test_tree_of_every_example_is_the_resource() -> None:
    found = examples().values()
    assert len(found) > 100
    assert [] == [one["id"] for one in found if one != tree.members(tree.of(one))]
