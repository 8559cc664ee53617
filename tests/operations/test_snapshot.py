"""$snapshot over HTTP: a profile that comes with the server, one that is given, and one whose base is not there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.validation.element import validate
from tests.answers import places
from tests.validation.loaded import profile

Json = dict[str, Any]
PROFILES = Path(__file__).parents[2] / "profiles"
DOCUMENT = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
HEADERS = {"Content-Type": "application/fhir+json"}


@pytest.fixture
async def transfers(client: httpx.AsyncClient) -> httpx.AsyncClient:
    for id in ("case-manager-transfer", "ia-transfer"):
        content = (PROFILES / f"StructureDefinition-{id}.json").read_bytes()
        assert 201 == (await client.put(f"StructureDefinition/{id}", content=content, headers=HEADERS)).status_code
    return client


def elements(response: httpx.Response) -> dict[str, Json]:
    assert 200 == response.status_code, response.text
    assert [] == validate(response.json())
    return {one["id"]: one for one in response.json()["snapshot"]["element"]}


async def test_snapshot_has_what_base_and_differential_say(transfers: httpx.AsyncClient) -> None:
    found = elements(await transfers.get("StructureDefinition/ia-transfer/$snapshot"))
    assert 1 == found["Task.reasonCode"]["min"]
    assert "required" == found["Task.reasonCode"]["binding"]["strength"]
    assert {"Task.input:from", "Task.businessStatus.coding:step", "Task.note"} <= found.keys()
    assert all("definition" in one for one in found.values())


async def test_snapshot_of_a_profile_that_is_given(client: httpx.AsyncClient) -> None:
    given = profile("Goal", {"id": "Goal.note", "min": 1, "short": "A note"}, name="N", status="draft", abstract=False)
    found = elements(await client.post("StructureDefinition/$snapshot", json=given))
    assert (1, "A note") == (found["Goal.note"]["min"], found["Goal.note"]["short"])


async def test_snapshot_of_what_is_not_loaded_is_refused(client: httpx.AsyncClient) -> None:
    given = profile("Goal", {"id": "Goal"}, name="N", status="draft", abstract=False, baseDefinition="urn:none")
    assert 422 == (await client.post("StructureDefinition/$snapshot", json=given)).status_code
    assert 404 == (await client.get("StructureDefinition/$snapshot?url=urn:none")).status_code
    assert 400 == (await client.get("StructureDefinition/$snapshot")).status_code


async def test_snapshot_of_what_names_no_element_of_its_base_is_refused(client: httpx.AsyncClient) -> None:
    said = ({"id": "Goal.note"}, {"id": "Goal.colour"}, {"id": "Goal.startDate"}, {"id": "Goal.note.colour"})
    given = profile("Goal", *said, name="N", status="draft", abstract=False)
    refused = await client.post("StructureDefinition/$snapshot", json=given)
    assert 422 == refused.status_code
    assert [f"StructureDefinition.differential.element[{place}]" for place in (1, 3)] == places(refused)


@pytest.mark.parametrize("line", re.findall(r"^GET (StructureDefinition/\S+)$", DOCUMENT, re.MULTILINE))
async def test_requests_of_the_document_are_answered(transfers: httpx.AsyncClient, line: str) -> None:
    assert 200 == (await transfers.get(line)).status_code
