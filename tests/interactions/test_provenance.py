"""X-Provenance: https://hl7.org/fhir/R4/provenance.html#header"""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.answers import entry, ids, places, refusal, statuses, transaction

PROVENANCE: dict[str, Any] = {
    "resourceType": "Provenance",
    "recorded": "2026-01-01T00:00:00Z",
    "agent": [{"who": {"reference": "Practitioner/1"}}],
    "reason": [{"coding": [{"system": "urn:reason", "code": "why"}]}],
}
HEADERS = {"X-Provenance": json.dumps(PROVENANCE)}


def patient(id: str) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id}


async def stored(client: httpx.AsyncClient) -> list[dict[str, Any]]:
    return [found["resource"] for found in (await client.get("Provenance")).json().get("entry", ())]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_provenance_is_stored_with_what_it_is_of(client: httpx.AsyncClient, method: str) -> None:
    await client.put("Patient/a", json=patient("a"))
    response = await client.request(
        method,
        "Patient" if method == "POST" else "Patient/a",
        json=None if method == "DELETE" else {**patient("a"), "active": True},
        headers=HEADERS,
    )
    assert response.status_code < 300
    (found,) = await stored(client)
    target = f"Patient/{response.json()['id']}" if method == "POST" else "Patient/a"
    assert ([{"reference": target}], PROVENANCE["reason"]) == (found["target"], found["reason"])
    assert response.headers["etag"] == f'W/"{found["meta"]["versionId"]}"'
    assert [found["id"]] == ids(await client.get(f"Provenance?target={target}"))


async def test_provenance_of_a_transaction(client: httpx.AsyncClient) -> None:
    bundle = transaction(entry("PUT", "Patient/a", patient("a")), entry("PUT", "Patient/b", patient("b")))
    assert ["201", "201"] == statuses(await client.post("", json=bundle, headers=HEADERS))
    (found,) = await stored(client)
    assert [{"reference": "Patient/a"}, {"reference": "Patient/b"}] == found["target"]


async def test_provenance_of_a_batch_is_of_each_entry(client: httpx.AsyncClient) -> None:
    entries = [entry("PUT", f"Patient/{id}", patient(id)) for id in "ab"]
    assert ["201", "201"] == statuses(await client.post("", json=transaction(*entries, type="batch"), headers=HEADERS))
    assert ["Patient/a", "Patient/b"] == sorted(found["target"][0]["reference"] for found in await stored(client))


async def test_provenance_of_nothing_is_not_stored(client: httpx.AsyncClient) -> None:
    assert 204 == (await client.delete("Patient/a", headers=HEADERS)).status_code
    assert [] == await stored(client)


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("{", 400),
        ("", 400),
        ('{"resourceType":"Patient"}', 400),
        ('{"resourceType":"Provenance"}', 422),
        (json.dumps({**PROVENANCE, "recorded": "soon"}), 422),
    ],
)
async def test_provenance_that_is_none(client: httpx.AsyncClient, header: str, status: int) -> None:
    response = await client.put("Patient/a", json=patient("a"), headers={"X-Provenance": header})
    assert status == refusal(response)[0]
    assert {"http.X-Provenance"} == set(places(response))
    assert 404 == (await client.get("Patient/a")).status_code


async def test_provenance_under_a_key_is_stored_once(client: httpx.AsyncClient) -> None:
    headers = {**HEADERS, "Idempotency-Key": "k"}
    first = await client.post("Patient", json=patient("x"), headers=headers)
    again = await client.post("Patient", json=patient("x"), headers=headers)
    assert (201, first.json()) == (again.status_code, again.json())
    assert 1 == len(await stored(client))
