"""delete, plain and conditional: https://hl7.org/fhir/R4/http.html#delete"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from server.app import create_app
from server.settings import Settings
from tests.answers import ids, refusal
from tests.conftest import lifespan

PATIENT: dict[str, Any] = {"resourceType": "Patient", "identifier": [{"value": "1"}]}


async def stored(client: httpx.AsyncClient, *ids: str) -> None:
    for id in ids:
        await client.put(f"Patient/{id}", json={**PATIENT, "id": id})


async def test_delete_takes_a_resource_away(client: httpx.AsyncClient) -> None:
    await stored(client, "a")
    response = await client.delete("Patient/a")
    assert (204, b"", 'W/"2"') == (response.status_code, response.content, response.headers["etag"])
    assert [] == ids(await client.get("Patient?identifier=1"))


async def test_delete_of_what_is_not_there(client: httpx.AsyncClient) -> None:
    await stored(client, "a")
    assert [204, 204, 204] == [(await client.delete(f"Patient/{id}")).status_code for id in ("a", "a", "nobody")]
    assert 2 == (await client.get("Patient/a/_history")).json()["total"]


async def test_delete_tells_where_that_is_preferred(client: httpx.AsyncClient) -> None:
    await stored(client, "a")
    response = await client.delete("Patient/a", headers={"Prefer": "return=OperationOutcome"})
    assert (200, ["informational"]) == refusal(response)


@pytest.mark.parametrize(("tag", "expected"), [('W/"1"', 204), ('W/"2"', 412)])
async def test_delete_of_a_version(client: httpx.AsyncClient, tag: str, expected: int) -> None:
    await stored(client, "a")
    assert expected == (await client.delete("Patient/a", headers={"If-Match": tag})).status_code


async def test_conditional_delete_of_the_one_that_matches(client: httpx.AsyncClient) -> None:
    await stored(client, "a")
    assert 204 == (await client.delete("Patient?identifier=1")).status_code
    assert 410 == (await client.get("Patient/a")).status_code


async def test_conditional_delete_where_none_matches(client: httpx.AsyncClient) -> None:
    assert 204 == (await client.delete("Patient?identifier=1")).status_code


async def test_conditional_delete_where_two_match(client: httpx.AsyncClient) -> None:
    await stored(client, "a", "b")
    assert (412, ["multiple-matches"]) == refusal(await client.delete("Patient?identifier=1"))
    assert ["a", "b"] == sorted(ids(await client.get("Patient")))


@pytest.mark.parametrize("place", ["Patient", "Patient?nickname=1", "Patient?identifier="])
async def test_conditional_delete_refuses_what_is_no_condition(client: httpx.AsyncClient, place: str) -> None:
    await stored(client, "a")
    status, _ = refusal(await client.delete(place))
    assert status in {400, 412}
    assert ["a"] == ids(await client.get("Patient"))


@pytest.fixture
async def several(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server whose conditional delete takes all that match, with a and b of family Doe, and c."""
    app = create_app(settings.model_copy(update={"conditional_delete": "multiple"}))
    transport = httpx.ASGITransport(app)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as client:
        for id, family in (("a", "Doe"), ("b", "Doe"), ("c", "Roe")):
            await client.put(f"Patient/{id}", json={"resourceType": "Patient", "id": id, "name": [{"family": family}]})
        yield client


async def test_conditional_delete_of_all_that_match(several: httpx.AsyncClient) -> None:
    response = await several.delete("Patient?family=Doe")
    assert (204, b"") == (response.status_code, response.content)
    assert ["c"] == ids(await several.get("Patient"))
    versions = [entry["response"]["etag"] for entry in (await several.get("_history?_count=2")).json()["entry"]]
    assert ['W/"4"', 'W/"4"'] == versions
    assert 204 == (await several.delete("Patient?family=Doe")).status_code
    assert 5 == (await several.get("_history?_count=1")).json()["total"]
    told = await several.delete("Patient?family=Roe", headers={"Prefer": "return=OperationOutcome"})
    assert (200, "OperationOutcome") == (told.status_code, told.json()["resourceType"])
    resources = (await several.get("metadata")).json()["rest"][0]["resource"]
    assert {"multiple"} == {found["conditionalDelete"] for found in resources}


@pytest.mark.parametrize("place", ["Patient", "Patient?colour=red"])
async def test_conditional_delete_of_all_needs_a_condition(several: httpx.AsyncClient, place: str) -> None:
    assert refusal(await several.delete(place))[0] in {400, 412}
    assert 3 == len(ids(await several.get("Patient")))


async def test_conditional_delete_of_a_version_is_of_one(several: httpx.AsyncClient) -> None:
    response = await several.delete("Patient?family=Doe", headers={"If-Match": 'W/"1"'})
    assert (412, ["multiple-matches"]) == refusal(response)
