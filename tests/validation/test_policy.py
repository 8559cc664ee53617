"""What becomes of a false claim, at every door, and when a profile becomes another."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from server.app import create_app
from server.app.partition import server_of
from server.outcome import Problem
from server.settings import Settings
from server.validation.policy import Policy, parse
from tests.conftest import lifespan
from tests.validation.loaded import profile

Json = dict[str, Any]
GOAL: Json = {
    "resourceType": "Goal",
    "lifecycleStatus": "active",
    "description": {"text": "Walk"},
    "subject": {"reference": "Patient/1"},
}
NOTED = profile("Goal", {"id": "Goal.note", "min": 1}, name="Noted", status="active", abstract=False)
NOTE = {"note": [{"text": "a"}]}


def claiming(version: str = "", **more: Any) -> Json:
    return GOAL | {"meta": {"profile": [NOTED["url"] + (f"|{version}" if version else "")]}} | more


async def store(client: httpx.AsyncClient, *definitions: Json) -> None:
    for number, definition in enumerate(definitions):
        id = f"d{number}-{definition.get('version')}"
        response = await client.put(f"StructureDefinition/{id}", json=definition | {"id": id})
        assert response.status_code in {200, 201}, response.text


async def test_false_claim_is_refused_at_every_door(client: httpx.AsyncClient) -> None:
    await store(client, NOTED)
    assert 422 == (await client.post("Goal", json=claiming())).status_code
    assert 422 == (await client.put("Goal/1", json=claiming(id="1"))).status_code
    entry = {"resource": claiming(), "request": {"method": "POST", "url": "Goal"}}
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": [entry]}
    refused = await client.post("", json=bundle)
    assert (422, ["Bundle.entry[0].resource.note"]) == (
        refused.status_code,
        refused.json()["issue"][0]["expression"],
    )
    assert 201 == (await client.put("Goal/1", json=claiming(id="1", **NOTE))).status_code
    patch = [{"op": "remove", "path": "/note"}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert 422 == (await client.patch("Goal/1", json=patch, headers=headers)).status_code
    assert 201 == (await client.post("Goal", json=GOAL)).status_code


async def test_claim_of_what_is_not_loaded_may_stand(client: httpx.AsyncClient) -> None:
    assert 201 == (await client.post("Goal", json=claiming())).status_code


async def test_profile_that_changes_holds_from_the_next_write(client: httpx.AsyncClient) -> None:
    await store(client, NOTED)
    assert 422 == (await client.post("Goal", json=claiming())).status_code
    await store(client, NOTED | {"differential": {"element": [{"id": "Goal.note", "path": "Goal.note"}]}})
    assert 201 == (await client.post("Goal", json=claiming())).status_code
    assert 204 == (await client.delete("StructureDefinition/d0-1")).status_code
    assert 201 == (await client.post("Goal", json=claiming())).status_code


async def test_each_version_of_a_profile_holds_for_who_names_it(client: httpx.AsyncClient) -> None:
    lax = NOTED | {"version": "2", "differential": {"element": [{"id": "Goal", "path": "Goal"}]}}
    await store(client, NOTED, lax)
    assert 422 == (await client.post("Goal", json=claiming("1"))).status_code
    assert 201 == (await client.post("Goal", json=claiming("2"))).status_code
    assert 201 == (await client.post("Goal", json=claiming())).status_code
    assert 201 == (await client.post("Goal", json=claiming("3"))).status_code


async def test_profile_in_the_same_transaction_holds_already(client: httpx.AsyncClient) -> None:
    entries = [
        {"resource": NOTED | {"id": "n"}, "request": {"method": "PUT", "url": "StructureDefinition/n"}},
        {"resource": claiming(), "request": {"method": "POST", "url": "Goal"}},
    ]
    bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
    assert 422 == (await client.post("", json=bundle)).status_code


@pytest.mark.parametrize(("profiles", "status"), [("warn", 201), ("off", 201), ("off,Goal=enforce", 422)])
async def test_policy_says_what_becomes_of_a_false_claim(settings: Settings, profiles: str, status: int) -> None:
    app = create_app(settings.model_copy(update={"profiles": profiles}))
    transport = httpx.ASGITransport(app)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as client:
        await store(client, NOTED)
        response = await client.post("Goal", json=claiming(), headers={"Prefer": "return=OperationOutcome"})
        assert status == response.status_code
        told = [issue["code"] for issue in response.json()["issue"]]
        assert ("required" in told) == (profiles != "off")


def test_setting_that_names_no_type_stops_the_server(settings: Settings) -> None:
    with pytest.raises(Problem) as refused:
        server_of(settings.model_copy(update={"profiles": "warn,Gaol=off"}))
    assert "invalid" == refused.value.kind


def test_policy_is_read_type_by_type() -> None:
    policy = parse("warn, Goal=enforce,Observation=off")
    assert Policy("warn", {"Goal": "enforce", "Observation": "off"}) == policy
    assert ("enforce", "warn") == (policy.of("Goal"), policy.of("Patient"))


@pytest.mark.parametrize("text", ["", "on", "Goal=enforce", "warn,Gaol=off", "warn,Goal=on"])
def test_policy_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"level"):
        parse(text)
