"""read and vread: https://hl7.org/fhir/R4/http.html#read"""

from __future__ import annotations

import httpx
import pytest

from server.fhir.definition import RESOURCE_TYPES
from tests.answers import refusal

# Two decimals that a float would change, an escape, a letter beyond ASCII, an order of the client's own.
OBSERVATION = (
    '{ "status": "final", "resourceType":"Observation",\n "code": {"text": "Gewicht \\u00fc und ü"},\n'
    ' "valueQuantity": {"value": 1.10, "unit": "kg"}, "component": [ {"code": {"text": "x"},'
    ' "valueQuantity": {"value": 0.000000100 }} ] }'
)


async def stored(client: httpx.AsyncClient, **resource: object) -> dict[str, object]:
    response = await client.post("Patient", json={"resourceType": "Patient", **resource})
    assert response.status_code == 201, response.text
    found: dict[str, object] = response.json()
    return found


async def test_read_answers_with_the_version_in_headers_and_body(client: httpx.AsyncClient) -> None:
    patient = await stored(client)
    response = await client.get(f"Patient/{patient['id']}")
    assert (200, patient) == (response.status_code, response.json())
    assert 'W/"1"' == response.headers["etag"]
    assert {"versionId", "lastUpdated"} == set(response.json()["meta"])
    assert f"http://127.0.0.1/fhir/Patient/{patient['id']}/_history/1" == response.headers["content-location"]
    assert response.headers["last-modified"].endswith(" GMT")


async def test_read_keeps_the_clients_text(client: httpx.AsyncClient) -> None:
    created = await client.post("Observation", content=OBSERVATION, headers={"Content-Type": "application/fhir+json"})
    id = created.json()["id"]
    text = (await client.get(f"Observation/{id}")).text
    stamp = f',"id":"{id}","meta":{{"versionId":"1","lastUpdated":"{created.json()["meta"]["lastUpdated"]}"}}'
    assert OBSERVATION == text.replace(stamp, "")


async def test_read_of_an_unknown_id(client: httpx.AsyncClient) -> None:
    assert (404, ["not-found"]) == refusal(await client.get("Patient/nobody"))


async def test_read_of_a_deleted_resource(client: httpx.AsyncClient) -> None:
    patient = await stored(client)
    await client.delete(f"Patient/{patient['id']}")
    assert (410, ["deleted"]) == refusal(await client.get(f"Patient/{patient['id']}"))


async def test_vread_answers_each_version(client: httpx.AsyncClient) -> None:
    patient = await stored(client, active=True)
    place = f"Patient/{patient['id']}"
    await client.put(place, json={"resourceType": "Patient", "id": patient["id"], "active": False})
    await client.delete(place)
    assert patient == (await client.get(f"{place}/_history/1")).json()
    second = await client.get(f"{place}/_history/2")
    assert (False, 'W/"2"') == (second.json()["active"], second.headers["etag"])
    assert (410, ["deleted"]) == refusal(await client.get(f"{place}/_history/3"))


@pytest.mark.parametrize("version", ["2", "0", "-1", "first", "99999999999999999999", "١"])
async def test_vread_of_an_unknown_version(client: httpx.AsyncClient, version: str) -> None:
    patient = await stored(client)
    assert (404, ["not-found"]) == refusal(await client.get(f"Patient/{patient['id']}/_history/{version}"))


@pytest.mark.parametrize("tags", ['W/"1"', '"1"', 'W/"7", W/"1"', "*"])
async def test_read_of_what_the_client_has(client: httpx.AsyncClient, tags: str) -> None:
    patient = await stored(client)
    response = await client.get(f"Patient/{patient['id']}", headers={"If-None-Match": tags})
    assert (304, b"", 'W/"1"') == (response.status_code, response.content, response.headers["etag"])


async def test_read_of_what_the_client_has_an_older_version_of(client: httpx.AsyncClient) -> None:
    patient = await stored(client)
    response = await client.get(f"Patient/{patient['id']}", headers={"If-None-Match": 'W/"0"'})
    assert 200 == response.status_code


async def test_read_of_what_has_not_changed_since(client: httpx.AsyncClient) -> None:
    patient = await stored(client)
    modified = (await client.get(f"Patient/{patient['id']}")).headers["last-modified"]
    unchanged = await client.get(f"Patient/{patient['id']}", headers={"If-Modified-Since": modified})
    changed = await client.get(
        f"Patient/{patient['id']}", headers={"If-Modified-Since": "Mon, 01 Jan 2024 00:00:00 GMT"}
    )
    unread = await client.get(f"Patient/{patient['id']}", headers={"If-Modified-Since": "some day"})
    assert [304, 200, 200] == [unchanged.status_code, changed.status_code, unread.status_code]


async def test_read_takes_the_etag_before_the_date(client: httpx.AsyncClient) -> None:
    patient = await stored(client)
    headers = {"If-None-Match": 'W/"0"', "If-Modified-Since": "Fri, 01 Jan 2100 00:00:00 GMT"}
    assert 200 == (await client.get(f"Patient/{patient['id']}", headers=headers)).status_code


async def test_read_of_a_part(client: httpx.AsyncClient) -> None:
    patient = await stored(client, active=True, birthDate="1950-01-01", name=[{"family": "Doe"}])
    part = (await client.get(f"Patient/{patient['id']}?_elements=birthDate,name")).json()
    assert {"resourceType", "id", "meta", "birthDate", "name"} == set(part)
    assert ["SUBSETTED"] == [tag["code"] for tag in part["meta"]["tag"]]


@pytest.mark.parametrize("summary", ["some", "count"])
async def test_read_refuses_a_summary_that_is_none(client: httpx.AsyncClient, summary: str) -> None:
    patient = await stored(client)
    assert (400, ["invalid"]) == refusal(await client.get(f"Patient/{patient['id']}?_summary={summary}"))


async def test_read_ignores_a_parameter_without_a_value(client: httpx.AsyncClient) -> None:
    patient = await stored(client)
    whole = await client.get(f"Patient/{patient['id']}?_summary=&_elements=")
    assert patient == whole.json()


@pytest.mark.parametrize("type", sorted(RESOURCE_TYPES))
async def test_read_is_for_every_type(client: httpx.AsyncClient, type: str) -> None:
    assert (404, ["not-found"]) == refusal(await client.get(f"{type}/nothing"))
