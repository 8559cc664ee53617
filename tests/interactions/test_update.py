"""update, plain and conditional: https://hl7.org/fhir/R4/http.html#update"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.answers import ids, places, refusal


def patient(id: str | None = "a", **elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", **({"id": id} if id else {}), **elements}


IDENTIFIED = {"identifier": [{"system": "urn:member", "value": "1"}]}


async def test_update_makes_what_is_not_there(client: httpx.AsyncClient) -> None:
    response = await client.put("Patient/a", json=patient())
    assert (201, "a") == (response.status_code, response.json()["id"])
    assert "http://127.0.0.1/fhir/Patient/a/_history/1" == response.headers["location"]


async def test_update_makes_a_new_version(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient())
    response = await client.put("Patient/a", json=patient(active=True))
    assert (200, "2", 'W/"2"') == (
        response.status_code,
        response.json()["meta"]["versionId"],
        response.headers["etag"],
    )
    assert "http://127.0.0.1/fhir/Patient/a/_history/2" == response.headers["content-location"]


async def test_update_with_what_is_stored_makes_no_version(client: httpx.AsyncClient) -> None:
    first = await client.put("Patient/a", json=patient(active=True))
    again = await client.put("Patient/a", json=patient(active=True))
    assert (200, first.json(), 'W/"1"') == (again.status_code, again.json(), again.headers["etag"])
    assert 1 == (await client.get("Patient/a/_history")).json()["total"]


async def test_update_brings_back_what_was_deleted(client: httpx.AsyncClient) -> None:
    """HAPI 6900: a false 409 on PUT of a deleted resource."""
    await client.put("Patient/a", json=patient())
    await client.delete("Patient/a")
    response = await client.put("Patient/a", json=patient())
    assert (201, 'W/"3"') == (response.status_code, response.headers["etag"])
    assert 200 == (await client.get("Patient/a")).status_code


async def test_update_brings_back_what_was_deleted_in_the_version_that_the_client_knows(
    client: httpx.AsyncClient,
) -> None:
    await client.put("Patient/a", json=patient())
    deleted = await client.delete("Patient/a")
    gone = await client.get("Patient/a")
    assert ('W/"2"', 'W/"2"') == (deleted.headers["etag"], gone.headers["etag"])
    answers = [
        await client.put("Patient/a", json=patient(), headers={"If-Match": tag}) for tag in ('W/"1"', "*", 'W/"2"')
    ]
    assert [412, 412, 201] == [answer.status_code for answer in answers]
    await client.delete("Patient/a")
    assert 412 == (await client.delete("Patient/a", headers={"If-Match": 'W/"4"'})).status_code


@pytest.mark.parametrize("id", ["b", "A", None, 1])
async def test_update_refuses_another_id_in_the_body(client: httpx.AsyncClient, id: Any) -> None:
    status, _ = refusal(
        await client.put("Patient/a", json={"resourceType": "Patient", "id": id} if id else patient(None))
    )
    assert status in {400, 422}
    assert 404 == (await client.get("Patient/a")).status_code


@pytest.mark.parametrize("id", ["a_b", "a" * 65, "ä", "a b"])
async def test_update_refuses_what_is_no_id(client: httpx.AsyncClient, id: str) -> None:
    assert (400, ["invalid"]) == refusal(await client.put(f"Patient/{id}", json=patient(id)))


async def test_update_refuses_another_type(client: httpx.AsyncClient) -> None:
    assert (400, ["invalid"]) == refusal(await client.put("Group/a", json=patient()))


async def test_update_of_the_version_that_stands(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient())
    response = await client.put("Patient/a", json=patient(active=True), headers={"If-Match": 'W/"1"'})
    assert 200 == response.status_code


@pytest.mark.parametrize("tag", ['W/"7"', '"x"', 'W/"0", W/"2"'])
async def test_update_of_a_version_that_is_stale(client: httpx.AsyncClient, tag: str) -> None:
    await client.put("Patient/a", json=patient())
    response = await client.put("Patient/a", json=patient(active=True), headers={"If-Match": tag})
    assert (412, ["conflict"]) == refusal(response)
    assert "active" not in (await client.get("Patient/a")).json()


async def test_update_refuses_if_match_that_is_no_etag(client: httpx.AsyncClient) -> None:
    response = await client.put("Patient/a", json=patient(), headers={"If-Match": 'W/"1" or so'})
    assert (400, ["invalid"]) == refusal(response)


async def test_update_with_if_match_of_what_is_not_there(client: httpx.AsyncClient) -> None:
    response = await client.put("Patient/a", json=patient(), headers={"If-Match": 'W/"1"'})
    assert (412, ["conflict"]) == refusal(response)


async def test_update_of_any_version_that_stands(client: httpx.AsyncClient) -> None:
    headers = {"If-Match": "*"}
    absent = await client.put("Patient/a", json=patient(), headers=headers)
    await client.put("Patient/a", json=patient())
    present = await client.put("Patient/a", json=patient(active=True), headers=headers)
    assert ((412, ["conflict"]), 200) == (refusal(absent), present.status_code)


async def test_update_unless_at_a_version(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient())
    answers = [
        await client.put("Patient/a", json=patient(active=True), headers={"If-None-Match": tag})
        for tag in ('W/"1"', 'W/"7"')
    ]
    assert [412, 200] == [answer.status_code for answer in answers]


async def test_update_only_where_there_is_none(client: httpx.AsyncClient) -> None:
    headers = {"If-None-Match": "*"}
    first = await client.put("Patient/a", json=patient(), headers=headers)
    second = await client.put("Patient/a", json=patient(active=True), headers=headers)
    assert (201, (412, ["conflict"])) == (first.status_code, refusal(second))


async def test_updates_that_race_for_one_version_lose_none(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient())
    racing = (
        client.put("Patient/a", json=patient(multipleBirthInteger=number), headers={"If-Match": 'W/"1"'})
        for number in range(50)
    )
    answers = await asyncio.gather(*racing)
    assert [200] + [412] * 49 == sorted(answer.status_code for answer in answers)
    assert 2 == (await client.get("Patient/a/_history")).json()["total"]


async def test_update_under_a_key_answers_the_same_twice(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient())
    headers = {"Idempotency-Key": "k", "If-Match": 'W/"1"'}
    first = await client.put("Patient/a", json=patient(active=True), headers=headers)
    again = await client.put("Patient/a", json=patient(active=True), headers=headers)
    assert (200, first.content, 'W/"2"') == (again.status_code, again.content, again.headers["etag"])


async def test_conditional_update_makes_one_where_none_matches(client: httpx.AsyncClient) -> None:
    response = await client.put("Patient?identifier=urn:member|1", json=patient(None, **IDENTIFIED))
    assert 201 == response.status_code
    assert [response.json()["id"]] == ids(await client.get("Patient"))


async def test_conditional_update_takes_the_id_that_the_client_names(client: httpx.AsyncClient) -> None:
    response = await client.put("Patient?identifier=urn:member|1", json=patient("mine", **IDENTIFIED))
    assert (201, "mine") == (response.status_code, response.json()["id"])


@pytest.mark.parametrize("id", [None, "a"])
async def test_conditional_update_of_the_one_that_matches(client: httpx.AsyncClient, id: str | None) -> None:
    await client.put("Patient/a", json=patient(**IDENTIFIED))
    response = await client.put("Patient?identifier=1", json=patient(id, **IDENTIFIED, active=True))
    assert (200, "a", "2") == (response.status_code, response.json()["id"], response.json()["meta"]["versionId"])


async def test_conditional_update_refuses_another_id(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient(**IDENTIFIED))
    response = await client.put("Patient?identifier=1", json=patient("b", **IDENTIFIED))
    assert (400, ["invalid"]) == refusal(response)


async def test_conditional_update_refuses_an_id_that_another_has(client: httpx.AsyncClient) -> None:
    await client.put("Patient/b", json=patient("b"))
    response = await client.put("Patient?identifier=1", json=patient("b", **IDENTIFIED))
    assert (409, ["conflict"]) == refusal(response)


async def test_conditional_update_where_two_match(client: httpx.AsyncClient) -> None:
    for id in "ab":
        await client.put(f"Patient/{id}", json=patient(id, **IDENTIFIED))
    response = await client.put("Patient?identifier=1", json=patient(None, **IDENTIFIED))
    assert (412, ["multiple-matches"]) == refusal(response)


@pytest.mark.parametrize("place", ["Patient", "Patient?nickname=x", "Patient?_format=json"])
async def test_conditional_update_refuses_what_is_no_condition(client: httpx.AsyncClient, place: str) -> None:
    status, _ = refusal(await client.put(place, json=patient(None)))
    assert status in {400, 412}


async def test_conditional_updates_that_race_make_one(client: httpx.AsyncClient) -> None:
    racing = (client.put("Patient?identifier=1", json=patient(None, **IDENTIFIED)) for _ in range(50))
    answers = await asyncio.gather(*racing)
    assert [200] * 49 + [201] == sorted(answer.status_code for answer in answers)
    assert 1 == len({answer.json()["id"] for answer in answers})


@pytest.mark.parametrize("place", ["Patient/a", "Patient?_id=a"])
async def test_update_refuses_a_part_of_a_resource(client: httpx.AsyncClient, place: str) -> None:
    whole = {"resourceType": "Patient", "id": "a", "name": [{"family": "Doe"}], "birthDate": "1950-01-01"}
    await client.put("Patient/a", json=whole)
    part = (await client.get("Patient/a?_elements=name")).json()
    response = await client.put(place, json=part)
    assert ((422, ["processing"]), ["Patient.meta.tag"]) == (refusal(response), places(response))
    assert "1950-01-01" == (await client.get("Patient/a")).json()["birthDate"]
