"""US Core 6.1.0: its own examples conform, and what breaks a rule of its care coordination profiles does not.

https://hl7.org/fhir/us/core/STU6.1/profiles-and-extensions.html

A failing twin is an example in which one rule is broken. The rules are read from HL7's snapshots, so that none is
forgotten; what they mean is written by hand below.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any, NamedTuple

import pytest

from server.fhir.definition import elements
from server.validation.element import validate
from tests import us_core
from tests.validation.loaded import found, us_core_loaded

Json = dict[str, Any]
CORE = "http://hl7.org/fhir/us/core/StructureDefinition/"
EXAMPLES = {
    "us-core-careplan": "CarePlan-colonoscopy",
    "us-core-careteam": "CareTeam-example",
    "us-core-goal": "Goal-goal-1",
    "us-core-servicerequest": "ServiceRequest-rehab",
}


def errors(resource: Json) -> list[tuple[str, tuple[str, ...]]]:
    issues = found(resource, loaded=us_core_loaded())
    return [(issue.code, issue.expression) for issue in issues if issue.severity == "error"]


def example(profile: str) -> Json:
    resource = deepcopy(us_core.examples()[EXAMPLES[profile]])
    assert f"{CORE}{profile}" in [name.partition("|")[0] for name in resource["meta"]["profile"]]
    return resource


def test_examples_conform() -> None:
    wrong = {name: errors(resource) for name, resource in us_core.examples().items() if errors(resource)}
    assert {} == wrong


class Rule(NamedTuple):
    """What a profile says of one element beyond R4: the element's id, and in which way."""

    element: str
    way: str


def rules(profile: str) -> Iterator[Rule]:
    """Every rule of a snapshot that R4's type does not have, for what can be broken by an error."""
    definition = next(one for one in us_core.definitions() if one.get("url") == CORE + profile)
    for element in definition["snapshot"]["element"][1:]:
        row = row_of(element["path"])
        if element["min"] > (row.min if row else 0):
            yield Rule(element["id"], "min")
        if row and element["max"] != ("*" if row.max is None else str(row.max)):
            yield Rule(element["id"], "max")
        if any(name.startswith(("fixed", "pattern")) for name in element):
            yield Rule(element["id"], "value")
        binding = element.get("binding", {})
        if binding.get("strength") == "required" and binding["valueSet"].partition("|")[0] != (row and row.binding):
            yield Rule(element["id"], "binding")
        if narrowed(element):
            yield Rule(element["id"], "type")


def row_of(path: str) -> Any:
    parent, _, name = path.rpartition(".")
    try:
        rows = elements(parent)
    except KeyError:
        return None if parent not in TYPED else elements(TYPED[parent]).get(name)
    return rows.get(name)


TYPED = {"CarePlan.text": "Narrative", "CareTeam.text": "Narrative"}


def narrowed(element: Json) -> bool:
    """A choice of fewer types, or a reference to other targets."""
    parent, _, name = element["path"].rpartition(".")
    types = element.get("type", [])
    if name.endswith("[x]") and parent in {"Goal", "Goal.target", "ServiceRequest"}:
        rows = [row for row in elements(parent).values() if row.choice == name.removesuffix("[x]")]
        return {row.types[0] for row in rows} > {one["code"] for one in types}
    return any("us/core" in target for one in types for target in one.get("targetProfile", ()))


# What breaks each rule, and where that is found

CODED = {"coding": [{"system": "http://example.org", "code": "other"}]}
TWINS: dict[tuple[str, Rule], tuple[Json, tuple[str, str]]] = {
    ("us-core-careplan", Rule("CarePlan.text.status", "binding")): (
        {"text": {"status": "empty", "div": '<div xmlns="http://www.w3.org/1999/xhtml">None</div>'}},
        ("code-invalid", "CarePlan.text.status"),
    ),
    ("us-core-careplan", Rule("CarePlan.category", "min")): ({"category": None}, ("required", "CarePlan.category")),
    ("us-core-careplan", Rule("CarePlan.category:AssessPlan", "min")): (
        {"category": [CODED]},
        ("required", "CarePlan.category"),
    ),
    ("us-core-careplan", Rule("CarePlan.category:AssessPlan", "max")): (
        {
            "category": [{"coding": [{"system": f"{CORE[:-20]}CodeSystem/careplan-category", "code": "assess-plan"}]}]
            * 2
        },
        ("structure", "CarePlan.category"),
    ),
    ("us-core-careplan", Rule("CarePlan.category:AssessPlan", "value")): (
        {"category": [{"coding": [{"system": "http://example.org", "code": "assess-plan"}]}]},
        ("required", "CarePlan.category"),
    ),
    ("us-core-careplan", Rule("CarePlan.subject", "type")): (
        {"subject": {"reference": "Group/1"}},
        ("structure", "CarePlan.subject"),
    ),
    ("us-core-careteam", Rule("CareTeam.subject", "min")): ({"subject": None}, ("required", "CareTeam.subject")),
    ("us-core-careteam", Rule("CareTeam.subject", "type")): (
        {"subject": {"reference": "Group/1"}},
        ("structure", "CareTeam.subject"),
    ),
    ("us-core-careteam", Rule("CareTeam.participant", "min")): (
        {"participant": None},
        ("required", "CareTeam.participant"),
    ),
    ("us-core-careteam", Rule("CareTeam.participant.role", "min")): (
        {"participant": [{"member": {"reference": "Practitioner/1"}}]},
        ("required", "CareTeam.participant[0].role"),
    ),
    ("us-core-careteam", Rule("CareTeam.participant.role", "max")): (
        {"participant": [{"role": [CODED, CODED], "member": {"reference": "Practitioner/1"}}]},
        ("structure", "CareTeam.participant[0].role"),
    ),
    ("us-core-careteam", Rule("CareTeam.participant.member", "min")): (
        {"participant": [{"role": [CODED]}]},
        ("required", "CareTeam.participant[0].member"),
    ),
    ("us-core-goal", Rule("Goal.subject", "type")): (
        {"subject": {"reference": "Organization/1"}},
        ("structure", "Goal.subject"),
    ),
    ("us-core-careteam", Rule("CareTeam.participant.member", "type")): (
        {
            "contained": [{"resourceType": "Practitioner", "id": "p", "active": True}],
            "participant": [{"role": [CODED], "member": {"reference": "#p"}}],
        },
        ("structure", "CareTeam.participant[0].member"),
    ),
    ("us-core-servicerequest", Rule("ServiceRequest.requester", "type")): (
        {
            "contained": [{"resourceType": "Organization", "id": "o", "identifier": [{"value": "1"}]}],
            "requester": {"reference": "#o"},
        },
        ("structure", "ServiceRequest.requester"),
    ),
    ("us-core-servicerequest", Rule("ServiceRequest.code", "min")): (
        {"code": None},
        ("required", "ServiceRequest.code"),
    ),
    ("us-core-servicerequest", Rule("ServiceRequest.subject", "type")): (
        {"subject": {"reference": "Device/1"}},
        ("structure", "ServiceRequest.subject"),
    ),
}

# An open slice that nobody has to fill, told by its binding: what is not of the value set is just not in the slice
CANNOT_BREAK = {("us-core-servicerequest", Rule("ServiceRequest.category:us-core", "binding"))}


def test_every_rule_has_a_failing_twin() -> None:
    assert {(profile, rule) for profile in EXAMPLES for rule in rules(profile)} == TWINS.keys() | CANNOT_BREAK


@pytest.mark.parametrize(("profile", "rule"), TWINS, ids=lambda one: one.element if isinstance(one, Rule) else one)
def test_failing_twin_fails_by_its_rule(profile: str, rule: Rule) -> None:
    change, (code, place) = TWINS[profile, rule]
    twin = {name: value for name, value in (example(profile) | change).items() if value is not None}
    assert [] == [issue for issue in validate(twin) if issue.severity == "error"]
    assert (code, (place,)) in errors(twin)
    assert {place} <= {path for _, paths in errors(twin) for path in paths}


def test_twins_of_other_profiles() -> None:
    patient = deepcopy(us_core.examples()["Patient-example"])
    assert [("required", ("Patient.identifier",))] == errors({k: v for k, v in patient.items() if k != "identifier"})
    nameless = patient | {"name": [{"text": "Amy"}]}
    assert [("invariant", ("Patient.name[0]",))] == errors(nameless)
    race = deepcopy(patient["extension"])
    race[0]["extension"] = [part for part in race[0]["extension"] if part["url"] != "text"]
    assert "required" in {code for code, _ in errors(patient | {"extension": race})}
