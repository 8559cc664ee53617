"""Overrides over HTTP: where a program lets somebody pass a rule for a coded reason, and what is kept of it.

Iowa's program allows none; the one here, made of it, lets an area's manager pass the cap and the rule of one at a time.
"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from server.coordination.program.plan_definition import RULE_OVERRIDE
from tests.answers import entry, refusal
from tests.answers import transaction as bundle
from tests.coordination.memory import (
    IA_HCBS,
    assigned,
    coding,
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

ANN, BOB, BOSS = "PractitionerRole/ann", "PractitionerRole/bob", "PractitionerRole/boss"
EMERGENCY = {"coding": [{"system": "urn:reasons", "code": "emergency"}]}
WHIM = {"coding": [{"system": "urn:reasons", "code": "whim"}]}


def allowing() -> Json:
    """A cap of 3, and an override of it and of one at a time, by area managers in an emergency."""
    program = limited(3)
    by = {"url": "role", "valueCoding": coding("cm-role", "area-manager")["coding"][0]}
    reason = {"url": "reason", "valueCoding": EMERGENCY["coding"][0]}
    for action in program["action"]:
        if action["id"] in {"IA-01", "IA-04"}:
            action["extension"].append({"url": RULE_OVERRIDE, "extension": [by, reason]})
    return program


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Ann has the three members that a cap of 3 lets her have; m4 has nobody, and Bob has b1."""
    await kept(client, limited(3), organization())
    for id in ("ann", "bob"):
        await kept(client, practitioner(id), role(id))
    await kept(client, practitioner("boss"), role("boss", code=[coding("cm-role", "area-manager")]))
    for id, manager in (("m1", ANN), ("m2", ANN), ("m3", ANN), ("b1", BOB)):
        await kept(client, patient(id), episode(id), team(id, assigned(manager)))
    await kept(client, patient("m4"), episode("m4"))
    return client


async def by_operation(client: httpx.AsyncClient, actor: str, reason: Json) -> httpx.Response:
    asked = [
        {"name": "program", "valueCanonical": IA_HCBS},
        {"name": "manager", "valueReference": {"reference": ANN}},
        {"name": "override", "valueCodeableConcept": reason},
    ]
    given = {"resourceType": "Parameters", "parameter": asked}
    return await client.post("Patient/m4/$assign-care-manager", json=given, headers={"X-Acting-As": actor})


async def by_handoff(client: httpx.AsyncClient, actor: str, reason: Json) -> httpx.Response:
    asked = [
        {"name": "program", "valueCanonical": IA_HCBS},
        {"name": "to", "valueReference": {"reference": ANN}},
        {"name": "reason", "valueCodeableConcept": coding("ia-transfer-reason", "area-cm-staffing")},
        {"name": "requester", "valueReference": {"reference": BOSS}},
        {"name": "override", "valueCodeableConcept": reason},
    ]
    given = {"resourceType": "Parameters", "parameter": asked}
    return await client.post("Patient/b1/$handoff", json=given, headers={"X-Acting-As": actor})


def grounds(actor: str, reason: Json) -> dict[str, str]:
    """The headers of a plain write that overrides a rule."""
    made = {
        "resourceType": "Provenance",
        "recorded": "2026-03-10T12:00:00-05:00",
        "reason": [reason],
        "agent": [{"who": {"reference": actor}}],
    }
    return {"X-Acting-As": actor, "X-Provenance": json.dumps(made)}


async def by_update(client: httpx.AsyncClient, actor: str, reason: Json) -> httpx.Response:
    return await client.put("CareTeam/m4", json=team("m4", assigned(ANN)), headers=grounds(actor, reason))


async def by_transaction(client: httpx.AsyncClient, actor: str, reason: Json) -> httpx.Response:
    made = bundle(entry("PUT", "CareTeam/m4", team("m4", assigned(ANN))))
    return await client.post("", json=made, headers=grounds(actor, reason))


DOORS = pytest.mark.parametrize("door", [by_operation, by_update, by_transaction])


async def members(client: httpx.AsyncClient) -> int:
    answer = (await client.get("PractitionerRole/ann/$caseload")).json()
    found: int = next(one["valueInteger"] for one in answer["parameter"] if one["name"] == "members")
    return found


@DOORS
@pytest.mark.requirement("IA-04")
async def test_iowas_cap_is_overridden_by_nobody(iowa: httpx.AsyncClient, door: Any) -> None:
    answer = await door(iowa, BOSS, EMERGENCY)
    assert (422, ["business-rule"]) == refusal(answer)
    assert "allows no override" in answer.json()["issue"][0]["diagnostics"]
    assert 3 == await members(iowa)
    assert 0 == (await iowa.get("Provenance", params={"_summary": "count"})).json()["total"]


@DOORS
async def test_override_by_whom_the_rule_names_is_kept_in_the_same_commit(iowa: httpx.AsyncClient, door: Any) -> None:
    await kept(iowa, allowing())
    answer = await door(iowa, BOSS, EMERGENCY)
    assert answer.is_success, answer.text
    assert 4 == await members(iowa)
    [provenance] = (await iowa.get("Provenance", params={"agent": BOSS})).json()["entry"]
    made = provenance["resource"]
    assert [EMERGENCY] == made["reason"]
    history = (await iowa.get(f"{made['target'][0]['reference']}/_history")).json()["entry"]
    assert made["meta"]["versionId"] == history[0]["resource"]["meta"]["versionId"]
    assert "CareTeam" == history[0]["resource"]["resourceType"]


@DOORS
@pytest.mark.parametrize(("actor", "reason"), [(BOSS, WHIM), (BOSS, {"text": "emergency"}), (BOB, EMERGENCY)])
async def test_override_by_another_or_for_another_reason_is_refused(
    iowa: httpx.AsyncClient, door: Any, actor: str, reason: Json
) -> None:
    await kept(iowa, allowing())
    answer = await door(iowa, actor, reason)
    assert (422, ["business-rule"]) == refusal(answer)
    diagnostics = answer.json()["issue"][0]["diagnostics"]
    assert "cm-role|area-manager" in diagnostics
    assert "urn:reasons|emergency" in diagnostics
    assert 3 == await members(iowa)


@DOORS
@pytest.mark.parametrize("gone", [{"active": False}, {"period": {"end": "2026-01-01"}}])
async def test_override_by_who_has_left_is_refused(iowa: httpx.AsyncClient, door: Any, gone: Json) -> None:
    """Who has left acts for nobody."""
    await kept(iowa, allowing(), role("boss", code=[coding("cm-role", "area-manager")]) | gone)
    refused = (404, ["not-found"]) if door is by_operation else (403, ["forbidden"])
    assert refused == refusal(await door(iowa, BOSS, EMERGENCY))


@pytest.mark.requirement("IA-04")
async def test_handoff_to_who_is_full_is_overridden_by_nobody_in_iowa(iowa: httpx.AsyncClient) -> None:
    answer = await by_handoff(iowa, BOSS, EMERGENCY)
    assert (422, ["business-rule"]) == refusal(answer)
    assert "allows no override" in answer.json()["issue"][0]["diagnostics"]


async def test_handoff_to_who_is_full_is_overridden_where_the_rule_allows_it(iowa: httpx.AsyncClient) -> None:
    await kept(iowa, allowing())
    assert (422, ["business-rule"]) == refusal(await by_handoff(iowa, BOSS, WHIM))
    answer = await by_handoff(iowa, BOSS, EMERGENCY)
    assert 201 == answer.status_code, answer.text
    [provenance] = (await iowa.get("Provenance", params={"agent": BOSS})).json()["entry"]
    assert [EMERGENCY] == provenance["resource"]["reason"]
    assert {"reference": f"Task/{answer.json()['id']}"} in provenance["resource"]["target"]
    assert answer.json()["meta"]["versionId"] == provenance["resource"]["meta"]["versionId"]


async def test_override_of_one_at_a_time(iowa: httpx.AsyncClient) -> None:
    both = team("b1", assigned(BOB), assigned("PractitionerRole/cleo"))
    await kept(iowa, practitioner("cleo"), role("cleo"))
    answer = await iowa.put("CareTeam/b1", json=both, headers=grounds(BOSS, EMERGENCY))
    assert (422, ["business-rule"]) == refusal(answer)
    await kept(iowa, allowing())
    answer = await iowa.put("CareTeam/b1", json=both, headers=grounds(BOSS, EMERGENCY))
    assert answer.is_success, answer.text
