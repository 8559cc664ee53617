"""Composition/[id]/$document: https://hl7.org/fhir/R4/composition-operation-document.html"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from server.fhir import body
from server.validation.element import validate
from tests.answers import refusal

COMPOSITION: dict[str, Any] = {
    "resourceType": "Composition",
    "id": "c",
    "status": "final",
    "type": {"text": "Care plan"},
    "subject": {"reference": "Patient/a"},
    "date": "2026-01-01",
    "author": [{"reference": "Practitioner/p"}, {"reference": "Practitioner/p"}],
    "title": "The plan",
    "section": [{"title": "Goals", "entry": [{"reference": "Goal/g"}]}],
}
GOAL = {
    "resourceType": "Goal",
    "id": "g",
    "lifecycleStatus": "active",
    "description": {"text": "x"},
    "subject": {"reference": "Patient/a"},
}
PERSIST = {"resourceType": "Parameters", "parameter": [{"name": "persist", "valueBoolean": True}]}


@pytest.fixture
async def composed(client: httpx.AsyncClient) -> httpx.AsyncClient:
    for one in ({"resourceType": "Patient", "id": "a"}, {"resourceType": "Practitioner", "id": "p"}, GOAL, COMPOSITION):
        assert 201 == (await client.put(f"{one['resourceType']}/{one['id']}", json=one)).status_code
    return client


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_document_holds_all_that_is_referred_to(composed: httpx.AsyncClient, method: str) -> None:
    response = await composed.request(method, "Composition/c/$document")
    bundle = response.json()
    assert (200, "document") == (response.status_code, bundle["type"])
    assert ["Composition", "Patient", "Practitioner", "Goal"] == [
        one["resource"]["resourceType"] for one in bundle["entry"]
    ]
    assert [] == validate(body.parse(response.content).resource)
    assert 0 == (await composed.get("Bundle")).json()["total"]


async def test_document_is_stored_where_it_is_asked_for(composed: httpx.AsyncClient) -> None:
    response = await composed.post("Composition/c/$document", json=PERSIST)
    assert 201 == response.status_code
    stored = await composed.get(response.headers["location"])
    assert (200, "document", 4) == (stored.status_code, stored.json()["type"], len(stored.json()["entry"]))
    assert (400, ["invalid"]) == refusal(await composed.get("Composition/c/$document?persist=true"))


async def test_document_of_which_something_is_missing(composed: httpx.AsyncClient) -> None:
    await composed.delete("Goal/g")
    assert (422, ["not-found"]) == refusal(await composed.get("Composition/c/$document"))
    assert (404, ["not-found"]) == refusal(await composed.get("Composition/nothing/$document"))


async def test_document_by_a_graph(client: httpx.AsyncClient) -> None:
    for resource in (COMPOSITION, GOAL, {"resourceType": "Patient", "id": "a"}):
        assert 201 == (await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)).status_code
    graph = {
        "resourceType": "GraphDefinition",
        "url": "urn:example:goals",
        "name": "Goals",
        "status": "active",
        "start": "Composition",
        "link": [{"path": "Composition.section.entry", "target": [{"type": "Goal"}]}],
    }
    assert 201 == (await client.post("GraphDefinition", json=graph)).status_code
    found = (await client.get("Composition/c/$document?graph=urn:example:goals")).json()
    assert ["Composition", "Goal"] == [one["resource"]["resourceType"] for one in found["entry"]]
    assert [] == validate(body.parse(body.dumps(found)).resource)
    assert (404, ["not-found"]) == refusal(await client.get("Composition/c/$document?graph=urn:example:none"))


@pytest.mark.parametrize("id", ["c", "http://127.0.0.1/fhir/Composition/c"])
async def test_document_of_a_composition_that_is_named(composed: httpx.AsyncClient, id: str) -> None:
    response = await composed.get("Composition/$document", params={"id": id})
    assert (200, "c") == (response.status_code, response.json()["entry"][0]["resource"]["id"])


async def test_document_of_what_is_not_named_here(composed: httpx.AsyncClient) -> None:
    assert (400, ["required"]) == refusal(await composed.get("Composition/$document"))
    assert (400, ["invalid"]) == refusal(await composed.get("Composition/c/$document?id=c"))
    assert (404, ["not-found"]) == refusal(await composed.get("Composition/$document?id=none"))
    elsewhere = await composed.get("Composition/$document?id=http://example.org/fhir/Composition/c")
    assert (422, ["processing"]) == refusal(elsewhere)
