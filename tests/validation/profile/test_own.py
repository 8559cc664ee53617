"""Our own profiles: their snapshots are made by the server, and every example in the repository conforms."""

from __future__ import annotations

import json
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.fhir import body
from server.outcome import Issue
from server.validation.element import validate
from server.validation.profile import snapshot, structure
from server.validation.profile.judgement import Claim, judge
from tests import us_core
from tests.scenarios.iowa import opened, run, steps, three_managers
from tests.validation.loaded import Loaded

Json = dict[str, Any]
ROOT = Path(__file__).parents[3]
BASE = "https://careplan-server.org/fhir/StructureDefinition"
PROFILES = {"CarePlan": "icp", "CareTeam": "ict", "Goal": "icp-goal", "ServiceRequest": "referral"}
PROFILES |= {"EpisodeOfCare": "enrollment"}


@cache
def shipped() -> list[Json]:
    return [body.parse(path.read_bytes()).resource for path in sorted((ROOT / "profiles").glob("*.json"))]


@cache
def loaded() -> Loaded:
    return Loaded(one for one in shipped() if "url" in one)


@cache
def demo() -> list[Json]:
    return [body.parse(line).resource for line in (ROOT / "examples" / "demo.ndjson").read_bytes().splitlines()]


def wrong(resource: Json, profile: str = "", definitions: Loaded | None = None) -> list[Issue]:
    claims = [Claim(f"{BASE}/{profile}", "profile")] if profile else []
    return [one for one in judge(definitions or loaded(), resource, claims) if one.severity == "error"]


@pytest.mark.parametrize(
    "definition",
    [one for one in shipped() if one["resourceType"] == "StructureDefinition"],
    ids=lambda one: str(one["id"]),
)
def test_snapshot_is_made(definition: Json) -> None:
    elements = snapshot.elements(loaded(), structure.read(definition))
    assert elements is not None
    made = {one["id"]: one for one in elements}
    for said in definition["differential"]["element"]:
        assert said.get("min", made[said["id"]]["min"]) == made[said["id"]]["min"], said["id"]


def test_every_example_conforms() -> None:
    directory = json.loads((ROOT / "examples" / "iowa-directory.json").read_text())
    resources = [*demo(), *shipped(), *(entry["resource"] for entry in directory["entry"])]
    assert {} == {one["id"]: found for one in resources if (found := wrong(one, PROFILES.get(one["resourceType"], "")))}


def test_examples_conform_to_us_core_where_it_is_loaded() -> None:
    both = Loaded([*us_core.definitions(), *(one for one in shipped() if "url" in one)])
    for kind, profile in PROFILES.items():
        resource = next(one for one in demo() if one["resourceType"] == kind)
        assert [] == wrong(resource, profile, both)


def first(kind: str, **more: Any) -> Json:
    resource = deepcopy(next(one for one in demo() if one["resourceType"] == kind))
    return {name: value for name, value in (resource | more).items() if value is not None}


CM_ROLE = {"coding": [{"system": "https://careplan-server.org/fhir/CodeSystem/cm-role", "code": "cbcm"}]}


@pytest.mark.parametrize(
    ("resource", "code", "place"),
    [
        (first("CarePlan", goal=None), "invariant", "CarePlan"),
        (first("CarePlan", careTeam=None), "invariant", "CarePlan"),
        (first("CarePlan", period={"end": "2026-12-31"}), "required", "CarePlan.period.start"),
        (first("CarePlan", intent="order"), "value", "CarePlan.intent"),
        (first("CarePlan", category=None), "required", "CarePlan.category"),
        (first("CarePlan", subject={"reference": "Group/1"}), "structure", "CarePlan.subject"),
        (first("CareTeam", managingOrganization=None), "required", "CareTeam.managingOrganization"),
        (
            first("CareTeam", participant=[{"role": [CM_ROLE], "member": {"reference": "PractitionerRole/1"}}]),
            "invariant",
            "CareTeam",
        ),
        (first("CareTeam", participant=[{"role": [CM_ROLE]}]), "required", "CareTeam.participant[0].member"),
        (first("Goal", target=None), "invariant", "Goal"),
        (first("Goal", startDate=None), "required", "Goal.start"),
        (first("Goal", target=[{"measure": {"text": "m"}}]), "required", "Goal.target[0].due"),
        (first("ServiceRequest", code=None), "required", "ServiceRequest.code"),
        (first("ServiceRequest", authoredOn=None), "required", "ServiceRequest.authoredOn"),
        (first("EpisodeOfCare", period=None), "required", "EpisodeOfCare.period"),
        (first("EpisodeOfCare", type=None), "required", "EpisodeOfCare.type"),
    ],
)
def test_what_a_profile_refuses(resource: Json, code: str, place: str) -> None:
    assert (code, (place,)) in [
        (one.code, one.expression) for one in wrong(resource, PROFILES[resource["resourceType"]])
    ]


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    return await three_managers(client)


@pytest.mark.requirement("IA-06")
async def test_transfer_and_its_steps_conform(iowa: httpx.AsyncClient) -> None:
    transfer, tasks = await opened(iowa)
    assert [] == wrong(transfer, "ia-transfer")
    assert 5 == len(tasks)
    assert [] == [issue for step in tasks for issue in wrong(step, "case-manager-transfer-step")]
    for change, place in (
        ({"reasonCode": None}, "Task.reasonCode"),
        ({"reasonCode": {"coding": [{"system": "urn:x", "code": "y"}]}}, "Task.reasonCode"),
        ({"reasonCode": {"text": "she moved"}}, "Task.reasonCode"),
        ({"owner": {"reference": "Practitioner/1"}}, "Task.owner"),
        ({"input": transfer["input"][1:] * 2}, "Task.input"),
        ({"code": {"text": "transfer"}}, "Task.code"),
        ({"intent": "plan"}, "Task.intent"),
    ):
        twin = {name: value for name, value in (transfer | change).items() if value is not None}
        assert place in [path for issue in wrong(twin, "ia-transfer") for path in issue.expression], change


async def test_transfer_conforms_to_its_end(iowa: httpx.AsyncClient) -> None:
    transfer, tasks = await opened(iowa)
    await run(iowa, tasks)
    ended = (await iowa.get(f"Task/{transfer['id']}")).json()
    assert "completed" == ended["status"]
    assert [] == wrong(ended, "ia-transfer")
    done = await steps(iowa, transfer)
    assert [] == [issue for step in done for issue in wrong(step, "case-manager-transfer-step")]


def test_own_profiles_are_valid_themselves() -> None:
    assert {} == {one["id"]: issues for one in shipped() if (issues := validate(one))}
