"""$meta, $meta-add, $meta-delete: https://hl7.org/fhir/R4/resource-operation-meta.html"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.answers import refusal

RED, BLUE = {"system": "urn:colour", "code": "red"}, {"system": "urn:colour", "code": "blue"}
SECRET = {"system": "urn:secrecy", "code": "R"}
PROFILE = "http://example.org/StructureDefinition/a"


def patient(id: str, **meta: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, "meta": meta}


async def asked(client: httpx.AsyncClient, place: str, **meta: Any) -> httpx.Response:
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "meta", "valueMeta": meta}]}
    return await client.post(place, json=parameters)


def told(response: httpx.Response) -> dict[str, Any]:
    """The labels that are answered."""
    assert 200 == response.status_code, response.text
    (part,) = response.json()["parameter"]
    assert "return" == part["name"]
    return {name: value for name, value in part["valueMeta"].items() if name in {"profile", "security", "tag"}}


@pytest.fixture
async def labelled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    await client.put("Patient/a", json=patient("a", tag=[RED], profile=[PROFILE]))
    await client.put("Patient/b", json=patient("b", tag=[BLUE, RED]))
    await client.put(
        "Group/c",
        json={"resourceType": "Group", "id": "c", "type": "person", "actual": True, "meta": {"security": [SECRET]}},
    )
    return client


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("Patient/a/$meta", {"tag": [RED], "profile": [PROFILE]}),
        ("Patient/$meta", {"tag": [RED, BLUE], "profile": [PROFILE]}),
        ("Group/$meta", {"security": [SECRET]}),
        ("$meta", {"tag": [RED, BLUE], "profile": [PROFILE], "security": [SECRET]}),
    ],
)
async def test_meta(labelled: httpx.AsyncClient, place: str, expected: dict[str, Any]) -> None:
    assert expected == told(await labelled.get(place))


async def test_meta_where_nothing_is_labelled_has_no_empty_object(client: httpx.AsyncClient) -> None:
    assert {"resourceType": "Parameters"} == (await client.get("Task/$meta")).json()


async def test_meta_add(labelled: httpx.AsyncClient) -> None:
    added = await asked(labelled, "Patient/a/$meta-add", tag=[RED | {"display": "again"}, BLUE], security=[SECRET])
    assert {"tag": [RED, BLUE], "profile": [PROFILE], "security": [SECRET]} == told(added)
    assert 2 == (await labelled.get("Patient?_tag=urn:colour|blue")).json()["total"]
    assert "4" == (await labelled.get("Patient/a")).json()["meta"]["versionId"]


async def test_meta_delete(labelled: httpx.AsyncClient) -> None:
    deleted = await asked(labelled, "Patient/b/$meta-delete", tag=[RED, SECRET], profile=[PROFILE])
    assert {"tag": [BLUE]} == told(deleted)
    assert {} == told(await asked(labelled, "Patient/b/$meta-delete", tag=[BLUE]))
    assert "tag" not in (await labelled.get("Patient/b")).json()["meta"]


async def test_meta_that_changes_nothing_makes_no_version(labelled: httpx.AsyncClient) -> None:
    assert {"tag": [RED], "profile": [PROFILE]} == told(await asked(labelled, "Patient/a/$meta-add", tag=[RED]))
    await asked(labelled, "Patient/a/$meta-delete", tag=[BLUE])
    assert 1 == (await labelled.get("Patient/a/_history")).json()["total"]


async def test_meta_added_at_once_is_all_there(labelled: httpx.AsyncClient) -> None:
    tags = [{"system": "urn:n", "code": str(number)} for number in range(20)]
    await asyncio.gather(*(asked(labelled, "Patient/a/$meta-add", tag=[tag]) for tag in tags))
    assert 21 == len(told(await labelled.get("Patient/a/$meta"))["tag"])


@pytest.mark.parametrize("operation", ["$meta-add", "$meta-delete"])
async def test_meta_of_what_is_not_there(labelled: httpx.AsyncClient, operation: str) -> None:
    assert (404, ["not-found"]) == refusal(await asked(labelled, f"Patient/nobody/{operation}", tag=[RED]))
    assert (404, ["not-found"]) == refusal(await labelled.get("Patient/nobody/$meta"))
    assert (405, ["not-supported"]) == refusal(await labelled.get(f"Patient/a/{operation}"))
    assert 400 == (await labelled.post(f"Patient/a/{operation}", json={"resourceType": "Parameters"})).status_code
    assert (404, ["not-found"]) == refusal(await asked(labelled, f"Patient/{operation}", tag=[RED]))
