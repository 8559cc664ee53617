"""Corrections over HTTP: an assignment that was a mistake is marked as one, never held, and stays in the history."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from server.coordination.facts import ENTERED_IN_ERROR
from tests.answers import places, refusal
from tests.coordination.memory import (
    IA_HCBS,
    assigned,
    episode,
    limited,
    organization,
    patient,
    practitioner,
    role,
    team,
)
from tests.scenarios.iowa import kept

Json = dict[str, Any]

ANN, BOB = "PractitionerRole/ann", "PractitionerRole/bob"
MISTAKE = {"modifierExtension": [{"url": ENTERED_IN_ERROR, "valueCodeableConcept": {"text": "Another Ann was meant"}}]}


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """m1 was given to Ann by mistake in February 2025; Ann, whose limit is 3, has m2 and m3 too."""
    await kept(client, limited(3), organization())
    for id in ("ann", "bob"):
        await kept(client, practitioner(id), role(id))
    for id in ("m1", "m2", "m3", "m4"):
        await kept(client, patient(id), episode(id))
    await kept(client, team("m1", assigned(ANN, "2025-02-01")), team("m2", assigned(ANN)), team("m3", assigned(ANN)))
    return client


async def assign(client: httpx.AsyncClient, member: str, manager: str, start: str | None = None) -> httpx.Response:
    asked: list[Json] = [
        {"name": "program", "valueCanonical": IA_HCBS},
        {"name": "manager", "valueReference": {"reference": manager}},
    ]
    asked += [{"name": "start", "valueDate": start}] if start else []
    given = {"resourceType": "Parameters", "parameter": asked}
    return await client.post(f"Patient/{member}/$assign-care-manager", json=given)


async def managers(client: httpx.AsyncClient, member: str, as_of: str) -> list[str]:
    answer = (await client.get(f"Patient/{member}/$care-manager", params={"asOf": as_of})).json()
    parts = [one["part"] for one in answer.get("parameter", ()) if one["name"] == "assignment"]
    return [part["valueReference"]["reference"] for each in parts for part in each if part["name"] == "manager"]


async def counted(client: httpx.AsyncClient, manager: str) -> int:
    answer = (await client.get(f"{manager}/$caseload")).json()
    found: int = next(one["valueInteger"] for one in answer["parameter"] if one["name"] == "members")
    return found


@pytest.mark.requirement("IA-04", "IA-27")
@pytest.mark.parametrize(
    "corrected",
    [
        team("m1", assigned(ANN, "2025-02-01", **MISTAKE)),
        team("m1", assigned(ANN, "2025-02-01"), status="entered-in-error", **MISTAKE),
    ],
    ids=["participant", "team"],
)
async def test_mistaken_assignment_is_marked_and_the_right_one_made_from_its_start(
    iowa: httpx.AsyncClient, corrected: Json
) -> None:
    assert 422 == (await assign(iowa, "m4", ANN)).status_code
    await kept(iowa, corrected)
    assert 2 == await counted(iowa, ANN)
    assert 201 == (await assign(iowa, "m4", ANN)).status_code
    assert 201 == (await assign(iowa, "m1", BOB, "2025-02-01")).status_code
    assert [BOB] == await managers(iowa, "m1", "2025-02-01")
    found = (await iowa.get("CareTeam/m1/_history")).json()["entry"]
    first = found[-1]["resource"]["participant"][0]
    assert (ANN, False) == (first["member"]["reference"], "modifierExtension" in first)
    assert any("modifierExtension" in str(each["resource"]) for each in found[:-1])
    earlier = {"asOf": "2025-03-01", "at": found[-1]["resource"]["meta"]["versionId"]}
    said = (await iowa.get("Patient/m1/$care-manager", params=earlier)).json()
    assert ANN in str(said)


@pytest.mark.requirement("IA-27")
async def test_mistaken_team_is_one_by_its_status_with_the_reason_of_a_provenance(iowa: httpx.AsyncClient) -> None:
    mistaken = team("m1", assigned(ANN, "2025-02-01"), status="entered-in-error")
    grounds = {
        "resourceType": "Provenance",
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"who": {"reference": BOB}}],
    }
    answer = await iowa.put("CareTeam/m1", json=mistaken, headers={"X-Provenance": json.dumps(grounds)})
    assert (422, ["CareTeam.status"]) == (answer.status_code, places(answer))
    grounds |= {"reason": [{"text": "Another Ann was meant"}]}
    answer = await iowa.put("CareTeam/m1", json=mistaken, headers={"X-Provenance": json.dumps(grounds)})
    assert 200 == answer.status_code, answer.text
    assert [] == await managers(iowa, "m1", "2025-02-01")
    assert 2 == await counted(iowa, ANN)
    kept_with = (await iowa.get("Provenance", params={"target": "CareTeam/m1"})).json()
    assert "Another Ann was meant" == kept_with["entry"][0]["resource"]["reason"][0]["text"]
    assert 201 == (await assign(iowa, "m1", BOB, "2025-02-01")).status_code


@pytest.mark.requirement("IA-27")
@pytest.mark.parametrize(
    "without",
    [
        team("m1"),
        team("m1", assigned(BOB, "2025-02-01")),
        team("m1", assigned(ANN, "2025-02-01"), status="proposed"),
        team("m1", assigned(ANN, "2025-02-01"), status="entered-in-error"),
        team("m1", assigned(ANN, "2025-02-01", modifierExtension=[{"url": ENTERED_IN_ERROR}])),
        team("m1", assigned(ANN, "2025-02-01", extension=MISTAKE["modifierExtension"])),
        team("m1", assigned(ANN, "2025-02-01"), extension=MISTAKE["modifierExtension"]),
    ],
    ids=["dropped", "overwritten", "never held", "status, no reason", "no reason", "no modifier", "team, no modifier"],
)
async def test_mistake_is_not_corrected_in_silence(iowa: httpx.AsyncClient, without: Json) -> None:
    answer = await iowa.put("CareTeam/m1", json=without)
    assert 422 == refusal(answer)[0]
    assert [ANN] == await managers(iowa, "m1", "2025-02-01")


@pytest.mark.requirement("IA-27")
async def test_mistake_cannot_be_made_right_over_the_cap(iowa: httpx.AsyncClient) -> None:
    mistaken = team("m1", assigned(ANN, "2025-02-01", **MISTAKE))
    await kept(iowa, mistaken, team("m4", assigned(ANN)))
    answer = await iowa.put("CareTeam/m1", json=team("m1", assigned(ANN, "2025-02-01")))
    assert (422, ["business-rule"]) == refusal(answer)
    assert ["CareTeam.participant[0]"] == places(answer)
