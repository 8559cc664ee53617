"""What the application serves beside FHIR, and that FHIR's traffic goes to its base."""

from __future__ import annotations

import json
from pathlib import Path

import httpx
import pytest
from starlette.types import ASGIApp

from server import guide
from server.app import application, create_app, opened, servers_of
from server.auth.access import SYSTEM
from server.fhir.body import parse
from server.ledger import Change, Plan, View
from server.outcome import Problem
from server.settings import Settings
from tests.answers import refusal
from tests.conftest import lifespan

ROOT = Path(__file__).parent.parent


@pytest.fixture
async def beside(app: ASGIApp) -> httpx.AsyncClient:
    """A client of what is beside FHIR."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


async def test_health_says_ready(beside: httpx.AsyncClient) -> None:
    for place in ("/health", "/health/ready"):
        response = await beside.get(place)
        assert (200, {"live": True, "ready": True, "position": 0}) == (response.status_code, response.json())
    assert {"live": True} == (await beside.get("/health/live")).json()


@pytest.mark.parametrize("place", ["/", "/health", "/metrics", "/docs", "/openapi.json"])
async def test_head_is_taken_where_get_is(beside: httpx.AsyncClient, place: str) -> None:
    got, headed = await beside.get(place), await beside.head(place)
    assert (got.status_code, got.headers["content-type"], b"") == (
        headed.status_code,
        headed.headers["content-type"],
        headed.content,
    )


async def test_requests_are_logged_at_debug_and_not_what_they_are_of(
    settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    app = create_app(settings.model_copy(update={"log_level": "debug"}))
    transport = httpx.ASGITransport(app)
    async with lifespan(app), httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as client:
        await client.get("Patient/secret?_elements=name", headers={"X-Request-Id": "mine"})
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (told,) = [line for line in lines if line["event"] == "request"]
    assert ("mine", "GET", "[type]/[id]", 404) == (told["request"], told["method"], told["place"], told["status"])
    assert "secret" not in json.dumps(lines)


async def test_failure_is_logged_without_its_words(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(name: str) -> str:
        raise KeyError(name)

    monkeypatch.setattr(guide, "page", broken)
    transport = httpx.ASGITransport(create_app(settings))
    async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
        assert 500 == (await client.get("/docs/Doe")).status_code
    (logged,) = map(json.loads, capsys.readouterr().err.splitlines())
    assert ("KeyError", "error") == (logged["error"], logged["level"])
    assert "Doe" not in json.dumps(logged)


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


async def test_index_tells_where_everything_is(beside: httpx.AsyncClient) -> None:
    html = await beside.get("/", headers={"Accept": "text/html"})
    assert html.headers["content-type"].startswith("text/html")
    places = (await beside.get("/")).json()
    assert "/fhir/metadata" in places.values()
    for place in places.values():
        assert place in html.text
        assert (
            200
            == (
                await beside.get(place.replace("/fhir", "/fhir/metadata", 1) if place == "/fhir" else place)
            ).status_code
        )


@pytest.mark.parametrize("place", ["/fhirx", "/nothing", "/Patient"])
async def test_other_places_are_not_fhir(beside: httpx.AsyncClient, place: str) -> None:
    response = await beside.get(place)
    assert (404, "application/json") == (response.status_code, response.headers["content-type"])


@pytest.mark.parametrize("place", ["/fhir", "/fhir/"])
async def test_base_is_fhir(beside: httpx.AsyncClient, place: str) -> None:
    assert (405, ["not-supported"]) == refusal(await beside.put(place))


async def test_opened_is_under_the_rules(settings: Settings) -> None:
    """A write that comes by no HTTP is judged as any other."""
    program = (ROOT / "profiles" / "PlanDefinition-ia-hcbs.json").read_bytes().replace(b'"caseload-cap"', b'"no-rule"')
    body = parse(program)

    async def decide(view: View) -> Plan:
        return Plan([Change("PUT", body.type, "p", {**body.resource, "id": "p"}, body.text("p"))])

    async with opened(settings) as server:
        with pytest.raises(Problem) as raised:
            await server.repository.commit(SYSTEM, decide)
        assert 422 == raised.value.status
        assert 0 == await server.repository.head(SYSTEM)


async def test_a_store_of_other_definitions_is_refused(settings: Settings) -> None:
    async with opened(settings):
        pass
    with pytest.raises(Problem) as raised:
        async with opened(settings.model_copy(update={"base_url": "https://other.example/fhir"})):
            pass
    assert "unavailable" == raised.value.kind
