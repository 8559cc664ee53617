"""What the application serves beside FHIR, and that FHIR's traffic goes to its base."""

from __future__ import annotations

import json

import httpx
import pytest

from server import guide
from server.app import create_app
from server.settings import Settings
from tests.answers import refusal
from tests.conftest import lifespan


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


@pytest.mark.parametrize("place", ["/fhirx", "/nothing", "/Patient"])
async def test_other_places_are_not_fhir(beside: httpx.AsyncClient, place: str) -> None:
    response = await beside.get(place)
    assert (404, "application/json") == (response.status_code, response.headers["content-type"])


@pytest.mark.parametrize("place", ["/fhir", "/fhir/"])
async def test_base_is_fhir(beside: httpx.AsyncClient, place: str) -> None:
    assert (405, ["not-supported"]) == refusal(await beside.put(place))
