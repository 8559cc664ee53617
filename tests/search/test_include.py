from __future__ import annotations

import pytest

from server.search import include
from server.search.custom import definitions
from server.search.include import Include
from tests.search.asked import places, refused
from tests.search.test_custom import parameter


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
        ("Patient:organization", True, True, Include("Patient", "organization", None, True), "Patient.organization"),
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


def test_parse_of_a_stored_parameter_names_its_own_index() -> None:
    custom = definitions([parameter("sponsor", "Patient.generalPractitioner", "reference", target=["Organization"])])
    index = custom.parameters["Patient", "sponsor"].index
    (found,) = include.parse("Patient:sponsor", ("Patient",), iterate=False, reverse=False, custom=custom)
    assert (Include("Patient", "sponsor", None, False, index), index) == (found, found.index)
    every = include.parse("*", ("Patient",), iterate=True, reverse=False, custom=custom)
    assert [None, index] == [each.index for each in every]
    of_goals = include.parse("Goal:*", ("Goal",), iterate=False, reverse=False, custom=custom)
    assert [None] == [each.index for each in of_goals]


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
