from __future__ import annotations

import pytest

from server.search import include
from server.search.include import Include
from tests.search.asked import BASE, places, refused

PLAN = {
    "resourceType": "CarePlan",
    "subject": {"reference": "Patient/1"},
    "careTeam": [{"reference": f"{BASE}/CareTeam/2/_history/7"}, {"reference": "https://other.org/fhir/CareTeam/3"}],
    "author": {"display": "somebody"},
}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (Include("CarePlan", "subject"), ["Patient/1"]),
        (Include("CarePlan", "subject", "Patient"), ["Patient/1"]),
        (Include("CarePlan", "subject", "Group"), []),
        (Include("CarePlan", "care-team"), ["CareTeam/2"]),
        (Include("CarePlan", "*"), ["Patient/1", "CareTeam/2"]),
        (Include("CarePlan", "*", "CareTeam"), ["CareTeam/2"]),
        (Include("Task", "subject"), []),
    ],
)
def test_targets(asked: Include, expected: list[str]) -> None:
    assert sorted(expected) == sorted(include.targets(PLAN, asked, BASE))


@pytest.mark.parametrize(
    ("value", "iterate", "reverse", "expected", "index"),
    [
        ("CarePlan:subject", False, False, Include("CarePlan", "subject"), "CarePlan.subject"),
        ("CarePlan:subject:Patient", False, False, Include("CarePlan", "subject", "Patient"), "CarePlan.subject"),
        ("Patient:organization", True, False, Include("Patient", "organization", None, True), "Patient.organization"),
        ("CarePlan:*", False, False, Include("CarePlan", "*"), None),
        ("*", False, False, Include("CarePlan", "*"), None),
        ("*", True, False, Include("*", "*", None, True), None),
        ("*", False, True, Include("*", "*"), None),
        ("Task:focus", False, True, Include("Task", "focus"), "Task.focus"),
        ("Provenance:*", False, True, Include("Provenance", "*"), None),
    ],
)
def test_parse(value: str, iterate: bool, reverse: bool, expected: Include, index: str | None) -> None:
    (found,) = include.parse(value, ("CarePlan",), iterate, reverse)
    assert (expected, index) == (found, found.index)


def test_parse_of_every_reference_is_of_each_type_that_is_searched() -> None:
    types = ("CarePlan", "Goal")
    assert (Include("CarePlan", "*"), Include("Goal", "*")) == include.parse("*", types, iterate=False, reverse=False)
    assert 1 == len(include.parse("Provenance:target", types, iterate=False, reverse=True))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("_include", "subject"),
        ("_include", "CarePlan"),
        ("_include", "CarePlan:status"),
        ("_include", "CarePlan:nothing"),
        ("_include", "Nothing:subject"),
        ("_include", "CarePlan:subject:Nothing"),
        ("_include", "CarePlan:subject:Practitioner"),
        ("_include:again", "CarePlan:subject"),
        ("_include", "*:*"),
        ("_revinclude", "Encounter:location"),
    ],
)
def test_parse_refuses(name: str, value: str) -> None:
    assert [("invalid", f"http.{name}")] == places(refused("CarePlan", (name, value)))
