"""OpenAPI: https://spec.openapis.org/oas/v3.1.0"""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest
from fastapi.openapi.models import OpenAPI

from server.interactions.exchange import INSTANCE_OPERATION, SYSTEM_OPERATION, TYPE_OPERATION
from server.interactions.openapi import HEADERS, INTERACTIONS, QUERY
from server.interactions.routes import DISPATCH
from server.operations.registry import OPERATIONS

Json = dict[str, Any]


@pytest.fixture
async def general(client: httpx.AsyncClient) -> Json:
    return await document(client)


@pytest.fixture
async def plan(client: httpx.AsyncClient) -> Json:
    return await document(client, "CarePlan")


async def document(client: httpx.AsyncClient, type: str = "") -> Json:
    response = await client.get(f"http://127.0.0.1/openapi.json{f'?type={type}' if type else ''}")
    found: Json = response.json()
    return found


def asked(document: Json) -> list[tuple[str, str, Json]]:
    """(method, path, what is said of it)."""
    return [(method, path, one) for path, item in document["paths"].items() for method, one in item.items()]


def test_document_is_openapi(general: Json, plan: Json) -> None:
    for found in (general, plan):
        OpenAPI.model_validate(found)
        ids = [one["operationId"] for _, _, one in asked(found)]
        assert len(ids) == len(set(ids))


def test_document_describes_every_interaction() -> None:
    operations = {SYSTEM_OPERATION, TYPE_OPERATION, INSTANCE_OPERATION}
    assert {place for place in DISPATCH if place[1] not in operations} == set(INTERACTIONS)


def test_document_has_every_operation(general: Json) -> None:
    paths = general["paths"]
    for code, row in OPERATIONS.items():
        assert any(path.endswith(f"/${code}") for path in paths)
        found = [one for path, one in paths.items() if path.endswith(f"/${code}")]
        assert all(("get" in one) == row.gets for one in found)
    assert "/health" in paths


def test_document_declares_each_parameter_of_a_path(general: Json, plan: Json) -> None:
    for _, path, one in [*asked(general), *asked(plan)]:
        declared = {part["name"] for part in one.get("parameters", ()) if part["in"] == "path"}
        assert set(re.findall(r"\{(\w+)\}", path)) == declared


def test_every_parameter_is_described() -> None:
    used = {name for one in INTERACTIONS.values() for name in one.parameters}
    assert used == HEADERS.keys() | QUERY.keys()


async def test_document_of_a_type_has_its_search_parameters(client: httpx.AsyncClient, plan: Json) -> None:
    statement = (await client.get("metadata")).json()["rest"][0]["resource"]
    listed = next(one["searchParam"] for one in statement if one["type"] == "CarePlan")
    said = {one["name"] for one in plan["paths"]["/fhir/CarePlan"]["get"]["parameters"]}
    assert {one["name"] for one in listed} <= said


async def test_what_is_described_is_there(client: httpx.AsyncClient, plan: Json) -> None:
    """No path of a type is one that the server does not know."""
    await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})
    values = {"compartment": "Patient", "id": "a", "vid": "1"}
    for method, path, _ in asked(plan):
        place = path.removeprefix("/fhir/").format(**values)
        response = await client.request(method, place)
        assert response.status_code != 405, (method, place)
        assert response.status_code < 500, (method, place)


async def test_document_of_no_type(client: httpx.AsyncClient) -> None:
    assert 404 == (await client.get("http://127.0.0.1/openapi.json?type=Nothing")).status_code
