"""create, plain and conditional: https://hl7.org/fhir/R4/http.html#create"""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.answers import ids, places, refusal
from tests.turns import longest_turn

PATIENT = {"resourceType": "Patient", "identifier": [{"system": "urn:member", "value": "1"}]}
JSON = {"Content-Type": "application/fhir+json"}


async def test_create_gives_an_id_and_says_where(client: httpx.AsyncClient) -> None:
    response = await client.post("Patient", json={**PATIENT, "id": "mine", "meta": {"versionId": "99"}})
    found = response.json()
    assert 201 == response.status_code
    assert "mine" != found["id"]
    assert ("1", 'W/"1"') == (found["meta"]["versionId"], response.headers["etag"])
    assert f"http://127.0.0.1/fhir/Patient/{found['id']}/_history/1" == response.headers["location"]


async def test_create_takes_whatever_is_valid(client: httpx.AsyncClient) -> None:
    """What a database's own form may not: names with dots and dollars, depth, what is long, every plane of Unicode."""
    nested: dict[str, object] = {"url": "urn:end", "valueString": "end"}
    for _ in range(46):
        nested = {"url": "http://a.b/$set", "extension": [nested]}
    odd = [".", "$", "a.b", "$set", "null", "\U0001f9d1\u200d\u2695\ufe0f", "\ufdd0", "e\u0301", "x" * 5000]
    resource = {
        "resourceType": "Patient",
        "extension": [nested],
        "identifier": [{"system": f"urn:{one[:9]}", "value": one} for one in odd],
        "name": [{"family": one, "given": odd} for one in odd],
        "birthDate": "0001-01-01",
    }
    made = await client.post("Patient", json=resource)
    assert (201, {**resource, "id": made.json()["id"], "meta": made.json()["meta"]}) == (made.status_code, made.json())
    for one in odd:
        found = (await client.get("Patient", params={"identifier": one.replace("$", "\\$")})).json()
        assert [made.json()] == [entry["resource"] for entry in found["entry"]]
    assert 1 == (await client.get("Patient?birthdate=lt0002")).json()["total"]


async def test_create_keeps_the_clients_meta(client: httpx.AsyncClient) -> None:
    meta = {"tag": [{"system": "urn:tag", "code": "a"}], "versionId": "7", "lastUpdated": "2001-01-01T00:00:00Z"}
    found = (await client.post("Patient", json={**PATIENT, "meta": meta})).json()["meta"]
    assert (meta["tag"], "1") == (found["tag"], found["versionId"])
    assert not found["lastUpdated"].startswith("2001")


@pytest.mark.parametrize(
    ("prefer", "expected"),
    [("return=minimal", None), ("return=representation", "Patient"), ("return=OperationOutcome", "OperationOutcome")],
)
async def test_create_answers_as_preferred(client: httpx.AsyncClient, prefer: str, expected: str | None) -> None:
    response = await client.post("Patient", json=PATIENT, headers={"Prefer": prefer})
    assert 201 == response.status_code
    assert expected == (response.json()["resourceType"] if response.content else None)
    assert {"location", "etag", "last-modified"} <= set(response.headers)


async def test_create_refuses_another_type(client: httpx.AsyncClient) -> None:
    assert (400, ["invalid"]) == refusal(await client.post("Group", json=PATIENT))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'"Patient"',
        b"{}",
        b'{"resourceType": "Patient"} x',
        b'{"resourceType": "Patient", "active": true, "active": false}',
        b'{"resourceType": "Observation", "valueQuantity": {"value": NaN}}',
        b'{"resourceType": "Patient", "name": [{"family": "\xff"}]}',
        b'{"resourceType": "Patient", "extension": ' + b"[" * 101 + b"]" * 101 + b"}",
    ],
)
async def test_create_refuses_what_is_no_resource(client: httpx.AsyncClient, content: bytes) -> None:
    status, codes = refusal(await client.post("Patient", content=content, headers=JSON))
    assert (400, True) == (status, codes[0] in {"structure", "invalid", "required"})
    assert 0 == (await client.get("Patient")).json()["total"]


async def test_create_says_all_that_is_wrong(client: httpx.AsyncClient) -> None:
    wrong = {"resourceType": "Patient", "gender": "woman", "birthDate": "1950-13-01", "nickname": "J"}
    response = await client.post("Patient", json=wrong)
    assert 422 == refusal(response)[0]
    assert {"Patient.gender", "Patient.birthDate", "Patient.nickname"} == set(places(response))
    assert 0 == (await client.get("Patient")).json()["total"]


@pytest.mark.parametrize("criteria", ["identifier=urn:member|1", "?identifier=urn:member|1", "Patient?identifier=1"])
async def test_conditional_create_makes_one(client: httpx.AsyncClient, criteria: str) -> None:
    headers = {"If-None-Exist": criteria}
    first = await client.post("Patient", json=PATIENT, headers=headers)
    second = await client.post("Patient", json={**PATIENT, "active": True}, headers=headers)
    assert (201, 200) == (first.status_code, second.status_code)
    assert first.json() == second.json()
    assert first.headers["location"] == second.headers["location"]
    assert [first.json()["id"]] == ids(await client.get("Patient"))


async def test_conditional_create_where_two_match(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        await client.post("Patient", json=PATIENT)
    response = await client.post("Patient", json=PATIENT, headers={"If-None-Exist": "identifier=1"})
    assert (412, ["multiple-matches"]) == refusal(response)


@pytest.mark.parametrize("criteria", ["", "?", "nickname=x", "identifier=1&nickname=x"])
async def test_conditional_create_refuses_what_is_no_condition(client: httpx.AsyncClient, criteria: str) -> None:
    status, _ = refusal(await client.post("Patient", json=PATIENT, headers={"If-None-Exist": criteria}))
    assert status in {400, 412}
    assert 0 == (await client.get("Patient")).json()["total"]


@pytest.mark.parametrize("before", ["", "?", "Patient?", "http://127.0.0.1/fhir/Patient?"])
async def test_conditional_create_takes_a_question_mark_in_a_value(client: httpx.AsyncClient, before: str) -> None:
    member = {"resourceType": "Patient", "identifier": [{"system": "http://a.org/member?plan=7", "value": "1"}]}
    headers = {"If-None-Exist": f"{before}identifier=http://a.org/member?plan=7|1"}
    answers = [await client.post("Patient", json=member, headers=headers) for _ in range(2)]
    assert [201, 200] == [answer.status_code for answer in answers]


async def test_conditional_create_makes_one_however_many_race(client: httpx.AsyncClient) -> None:
    """HAPI 3141, Microsoft 1382, LinuxForHealth 2051: duplicates under concurrency."""
    headers = {"If-None-Exist": "identifier=urn:member|1"}
    answers = await asyncio.gather(*(client.post("Patient", json=PATIENT, headers=headers) for _ in range(100)))
    assert [200] * 99 + [201] == sorted(answer.status_code for answer in answers)
    assert 1 == len({answer.json()["id"] for answer in answers})


async def test_create_under_a_key_answers_the_same_twice(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "a-1"}
    first = await client.post("Patient", json=PATIENT, headers=headers)
    again = await client.post("Patient", json=PATIENT, headers=headers)
    assert (201, first.content) == (again.status_code, again.content)
    assert first.headers["location"] == again.headers["location"]
    assert 1 == (await client.get("Patient")).json()["total"]


async def test_create_under_a_key_of_another_request(client: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "a-1"}
    await client.post("Patient", json=PATIENT, headers=headers)
    assert (422, ["processing"]) == refusal(
        await client.post("Patient", json={"resourceType": "Patient"}, headers=headers)
    )


@pytest.mark.parametrize("key", ["", "k" * 256])
async def test_create_under_a_key_that_is_none(client: httpx.AsyncClient, key: str) -> None:
    response = await client.post("Patient", json=PATIENT, headers={"Idempotency-Key": key})
    assert (400, ["invalid"]) == refusal(response)


async def test_create_under_a_key_of_another_actor(client: httpx.AsyncClient) -> None:
    mine = {"Idempotency-Key": "a-1", "X-Acting-As": "Practitioner/1"}
    yours = {"Idempotency-Key": "a-1", "X-Acting-As": "Practitioner/2"}
    answers = [await client.post("Patient", json=PATIENT, headers=headers) for headers in (mine, yours)]
    assert [201, 201] == [answer.status_code for answer in answers]
    assert 2 == len({answer.json()["id"] for answer in answers})


async def test_create_refuses_a_conditional_reference(client: httpx.AsyncClient) -> None:
    goal = {
        "resourceType": "Goal",
        "lifecycleStatus": "active",
        "description": {"text": "Walk?"},
        "subject": {"reference": "Patient?identifier=urn:member|1"},
    }
    assert (422, ["not-supported"]) == refusal(await client.post("Goal", json=goal))
    await client.put("Patient/a", json={**PATIENT, "id": "a"})
    kept = await client.post("Goal", json={**goal, "subject": {"reference": "Patient/a"}})
    assert 201 == kept.status_code


async def test_create_of_what_is_large_leaves_others_their_turn(client: httpx.AsyncClient) -> None:
    plan = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient/1"},
        "note": [{"text": "x" * 50}] * 30_000,
    }
    response, turn = await longest_turn(client.post("CarePlan", json=plan))
    assert 201 == response.status_code
    assert turn < 10_000  # of the 90,000 that checking it takes
