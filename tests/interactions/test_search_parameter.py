"""SearchParameters that are stored: https://hl7.org/fhir/R4/searchparameter.html"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from server.app import create_app
from server.settings import Settings
from server.store.sqlite import late, writer
from tests.answers import ids, refusal
from tests.conftest import lifespan
from tests.interactions.test_capabilities import resource as stated

EYES = {
    "resourceType": "SearchParameter",
    "id": "eyes",
    "url": "http://a.org/SearchParameter/eyes",
    "name": "Eyes",
    "description": "The color of the eyes",
    "status": "active",
    "code": "eyes",
    "base": ["Patient"],
    "type": "token",
    "expression": "Patient.extension('http://a.org/eyes').value.ofType(code)",
}


def patient(id: str, color: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id,
        "extension": [{"url": "http://a.org/eyes", "valueCode": color}],
        "name": [{"family": f"F{id}"}],
    }


@pytest.fixture
async def other(client: httpx.AsyncClient, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Another worker on the same store."""
    again = create_app(settings)
    async with lifespan(again):
        transport = httpx.ASGITransport(again)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as found:
            yield found


async def put(client: httpx.AsyncClient, *resources: dict[str, Any]) -> None:
    for each in resources:
        response = await client.put(f"{each['resourceType']}/{each['id']}", json=each)
        assert response.is_success, response.text


async def test_stored_parameter_finds_what_was_there_and_what_comes(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    await put(client, patient("a", "green"), patient("b", "blue"))
    assert 400 == refusal(await client.get("Patient?eyes=green", headers={"Prefer": "handling=strict"}))[0]
    await put(client, EYES)
    for each in (client, other):
        assert ["a"] == ids(await each.get("Patient?eyes=green"))
    await put(other, patient("c", "green"), patient("a", "brown"))
    for each in (client, other):
        assert ["c"] == ids(await each.get("Patient?eyes=green"))
        assert ["a", "c"] == ids(await each.get("Patient?eyes:not=blue"))
        assert ["b", "a", "c"] == ids(await each.get("Patient?_sort=eyes"))
        assert ["c"] == ids(await each.get("Patient?_filter=eyes eq green and name sw f"))
    await put(client, {"resourceType": "Goal", "id": "g", "lifecycleStatus": "active", "description": {"text": "x"},
                       "subject": {"reference": "Patient/c"}})  # fmt: skip
    assert ["g"] == ids(await other.get("Goal?subject:Patient.eyes=green"))


async def test_stored_parameter_that_retires_is_gone(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    await put(client, patient("a", "green"), EYES)
    assert ["a"] == ids(await other.get("Patient?eyes=green"))
    await put(client, {**EYES, "status": "retired"})
    for each in (client, other):
        assert 400 == refusal(await each.get("Patient?eyes=green", headers={"Prefer": "handling=strict"}))[0]
    await client.delete("SearchParameter/eyes")
    await put(client, {**EYES, "expression": "Patient.name.family", "type": "string"})
    assert ["a"] == ids(await other.get("Patient?eyes=fa"))


async def test_statement_lists_stored_parameters_and_their_progress(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUIET", 3600)
    monkeypatch.setattr(writer, "STEP", 0)
    monkeypatch.setattr(late, "_CHUNK", 2)
    await put(client, *(patient(f"p{number}", "green") for number in range(9)), EYES)
    assert "Being indexed: 0.0% is done" == (await listed(client))["documentation"]
    assert 9 == (await client.get("Patient?eyes=green&_total=accurate")).json()["total"]
    found = await listed(client)
    assert ("Indexed", EYES["url"], "token") == (found["documentation"], found["definition"], found["type"])


async def listed(client: httpx.AsyncClient) -> dict[str, Any]:
    statement = (await client.get("metadata")).json()
    return next(found for found in stated(statement, "Patient")["searchParam"] if found["name"] == "eyes")


async def test_search_before_it_is_ready_is_told_how_far_it_is(
    client: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUIET", 3600)
    await put(client, *(patient(f"p{number}", "green") for number in range(9)), EYES)
    hasty = create_app(settings.model_copy(update={"search_timeout": 0}))
    async with lifespan(hasty):
        transport = httpx.ASGITransport(hasty)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as asked:
            response = await asked.get("Patient?eyes=green")
    assert (503, ["throttled"]) == refusal(response)
    assert "5" == response.headers["retry-after"]
    assert "Patient.eyes" in response.json()["issue"][0]["diagnostics"]


async def test_parameter_that_cannot_be_searched_is_stored_and_says_why(client: httpx.AsyncClient) -> None:
    await put(client, {**EYES, "expression": "Patient.name.given.first()"})
    response = await client.get("Patient?eyes=green", headers={"Prefer": "handling=strict"})
    assert (400, ["invalid"]) == refusal(response)
    assert "SearchParameter/eyes" in response.json()["issue"][0]["diagnostics"]
    assert "eyes" not in {
        found["name"] for found in stated((await client.get("metadata")).json(), "Patient")["searchParam"]
    }
