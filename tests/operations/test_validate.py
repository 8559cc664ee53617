"""$validate over HTTP: R4's structure, what is declared, and a profile that is named."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.turns import longest_turn
from tests.validation.test_policy import GOAL, NOTED, claiming, store

Json = dict[str, Any]
R4 = "http://hl7.org/fhir/StructureDefinition"


async def told(client: httpx.AsyncClient, url: str, resource: Json) -> list[tuple[str, str, list[str]]]:
    response = await client.post(url, json=resource)
    assert 200 == response.status_code, response.text
    return [(one["severity"], one["code"], one.get("expression", [])) for one in response.json()["issue"]]


async def test_validate_by_the_profile_that_is_named(client: httpx.AsyncClient) -> None:
    await store(client, NOTED)
    assert ("error", "required", ["Goal.note"]) in await told(client, f"Goal/$validate?profile={NOTED['url']}|1", GOAL)
    assert ("information", "informational", []) in await told(client, "Goal/$validate", GOAL)


async def test_validate_by_the_profile_that_is_declared(client: httpx.AsyncClient) -> None:
    await store(client, NOTED)
    assert [("error", "required", ["Goal.note"])] == await told(client, "Goal/$validate", claiming())


async def test_validate_by_a_profile_that_is_not_loaded_is_an_error(client: httpx.AsyncClient) -> None:
    found = await told(client, "Goal/$validate?profile=urn:p&mode=profile", GOAL)
    assert [("error", "not-found", ["Parameters.parameter.where(name='profile')"])] == found
    declared = await told(client, "Goal/$validate", claiming())
    assert ("information", "not-found", ["Goal.meta.profile[0]"]) in declared


@pytest.mark.parametrize(
    ("expected", "profile"),
    [
        (("information", "informational", []), f"{R4}/Goal"),
        (("information", "informational", []), f"{R4}/Goal|4.0.1"),
        (("information", "informational", []), f"{R4}/DomainResource"),
        (("error", "invalid", ["Parameters.parameter.where(name='profile')"]), f"{R4}/Patient"),
        (("error", "not-found", ["Parameters.parameter.where(name='profile')"]), f"{R4}/Goal|5.0.0"),
    ],
)
async def test_validate_by_r4s_own_definition(
    client: httpx.AsyncClient, expected: tuple[str, str, list[str]], profile: str
) -> None:
    assert [expected] == await told(client, f"Goal/$validate?profile={profile}", GOAL)


async def test_create_refuses_to_be_declared_another_type(client: httpx.AsyncClient) -> None:
    own, other = ({**GOAL, "meta": {"profile": [f"{R4}/{type}"]}} for type in ("Goal", "Patient"))
    assert 201 == (await client.post("Goal", json=own)).status_code
    refused = await client.post("Goal", json=other)
    assert (422, [["Goal.meta.profile[0]"]]) == (
        refused.status_code,
        [issue["expression"] for issue in refused.json()["issue"]],
    )


async def test_validate_says_nothing_of_profiles_where_the_structure_is_wrong(client: httpx.AsyncClient) -> None:
    await store(client, NOTED)
    broken = {name: value for name, value in claiming().items() if name != "subject"}
    assert [("error", "required", ["Goal.subject"])] == await told(client, "Goal/$validate", broken)


async def test_validate_the_stored_resource(client: httpx.AsyncClient) -> None:
    await client.put("Goal/1", json=GOAL | {"id": "1"})
    await store(client, NOTED)
    response = await client.get("Goal/1/$validate", params={"profile": NOTED["url"]})
    assert ["required"] == [one["code"] for one in response.json()["issue"]]


@pytest.mark.parametrize("is_stored", [False, True])
async def test_validate_of_what_is_large_leaves_others_their_turn(client: httpx.AsyncClient, is_stored: bool) -> None:
    noted = {"note": [{"text": "x" * 200}]}
    goals = [claiming(id=f"g{number}", **(noted if number % 2 else {})) for number in range(3000)]
    bundle = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": goal} for goal in goals]}
    assert 201 == (await client.put("Bundle/b", json=bundle | {"id": "b"})).status_code
    await store(client, NOTED)
    asked = client.get("Bundle/b/$validate") if is_stored else client.post("Bundle/$validate", json=bundle)
    response, turn = await longest_turn(asked)
    assert 1500 == sum(issue["code"] == "required" for issue in response.json()["issue"])
    assert turn < 50_000  # of the 330,000 that judging it takes
