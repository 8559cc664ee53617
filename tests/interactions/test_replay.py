"""A history Bundle sent to the base: https://hl7.org/fhir/R4/http.html#other-bundles"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from server.app import create_app
from server.settings import Settings
from tests.answers import entry, ids, statuses, transaction
from tests.conftest import lifespan


@pytest.fixture
async def other(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of another server."""
    app = create_app(Settings(store=f"sqlite:///{tmp_path}/other.db", demo=False, log_level="error"))
    transport = httpx.ASGITransport(app)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as client:
        yield client


def patient(id: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, **elements}


async def test_history_of_one_server_is_written_at_another(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    created = (await client.post("Patient", json={"resourceType": "Patient"})).json()["id"]
    await client.put("Patient/a", json=patient("a", active=True))
    patch = b'[{"op": "replace", "path": "/active", "value": false}]'
    await client.patch("Patient/a", content=patch, headers={"Content-Type": "application/json-patch+json"})
    await client.put("Patient/b", json=patient("b"))
    await client.delete("Patient/b")
    history = (await client.get("_history")).json()
    answer = await other.post("", json=history)
    assert ("batch-response", ["204", "201", "200", "201", "201"]) == (answer.json()["type"], statuses(answer))
    assert sorted(["a", created]) == sorted(ids(await other.get("Patient")))
    assert 410 == (await other.get("Patient/b")).status_code
    versions = (await other.get("Patient/a/_history")).json()["entry"]
    assert [False, True] == [one["resource"]["active"] for one in versions]


@pytest.mark.parametrize(
    ("wrong", "status"),
    [
        (entry("GET", "Patient/a"), "400"),
        ({"resource": patient("a")}, "400"),
        (entry("PUT", "Patient/a"), "400"),
        (entry("POST", "Patient", {"resourceType": "Patient"}), "400"),
        (entry("PUT", "Patient/a", patient("a", gender="x")), "422"),
        (entry("DELETE", "Patient?_id=a&_id=b"), "204"),
        ({"request": {"method": "DELETE"}}, "400"),
        ({"request": "x"}, "400"),
    ],
)
async def test_entry_that_is_wrong_is_alone_in_it(
    client: httpx.AsyncClient, wrong: dict[str, Any], status: str
) -> None:
    bundle = transaction(wrong, entry("PUT", "Patient/right", patient("right")), type="history")
    assert [status, "201"] == statuses(await client.post("", json=bundle))
