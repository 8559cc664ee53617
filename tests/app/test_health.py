"""What operators ask of a server: whether it is ready, and its numbers."""

from __future__ import annotations

import httpx
import pytest

from server.app import application
from server.app.partition import servers_of
from server.settings import Settings
from tests.answers import refusal
from tests.conftest import lifespan


async def test_health_says_ready(beside: httpx.AsyncClient) -> None:
    for place in ("/health", "/health/ready"):
        response = await beside.get(place)
        assert (200, {"live": True, "ready": True, "position": 0}) == (response.status_code, response.json())
    assert {"live": True} == (await beside.get("/health/live")).json()


@pytest.mark.usefixtures("in_a_file")
async def test_health_is_not_ready_where_no_write_is_taken(settings: Settings) -> None:
    servers = servers_of(settings)
    server = servers["default"]
    app = application(servers, settings)
    async with (
        lifespan(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1") as found,
    ):
        server.repository.store.writer.refusing = "The disk failed"
        ready, live, read = [await found.get(place) for place in ("/health", "/health/live", "/fhir/Patient")]
        written = await found.put("/fhir/Patient/a", json={"resourceType": "Patient", "id": "a"})
    assert [503, 200, 200] == [ready.status_code, live.status_code, read.status_code]
    assert "The disk failed" == ready.json()["why"]
    assert (503, ["transient"]) == refusal(written)


async def test_metrics_count_requests(client: httpx.AsyncClient, beside: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})
    await client.get("Patient/a?_elements=name")
    text = (await beside.get("/metrics")).text
    counted = 'careplan_request_seconds_count{method="GET",partition="default",place="[type]/[id]",status="200"}'
    assert counted in text
    assert 'careplan_position{partition="default"} 1.0' in text
    assert "_elements" not in text
