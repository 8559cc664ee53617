"""The API's pages for a person."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.types import ASGIApp

from server.fhir.definition import RESOURCE_TYPES
from server.interactions.capabilities import search_parameters_of
from server.operations.registry import OPERATIONS

LINK = re.compile(r'href="([^"]+)"')


@pytest.fixture
async def browser(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1", headers={"Accept": "text/html,*/*;q=0.8"}
    )


async def test_start_leads_everywhere(browser: httpx.AsyncClient) -> None:
    start = await browser.get("/")
    assert start.headers["content-type"].startswith("text/html")
    for link in set(LINK.findall(start.text)):
        assert 200 == (await browser.get(link)).status_code, link


async def test_api_lists_types_and_operations(browser: httpx.AsyncClient) -> None:
    text = (await browser.get("/api")).text
    assert {f"/api/{type}" for type in RESOURCE_TYPES} <= set(LINK.findall(text))
    assert all(f"${code}" in text for code in OPERATIONS)


async def test_page_of_a_type(browser: httpx.AsyncClient) -> None:
    response = await browser.get("/api/CarePlan")
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert all(f"<code>{one['name']}</code>" in response.text for one in search_parameters_of("CarePlan"))
    assert "$validate" in response.text
    local = [link for link in LINK.findall(response.text) if link.startswith("/")]
    assert {200} == {(await browser.get(link)).status_code for link in set(local)}


@pytest.mark.parametrize("type", ["Nothing", "<script>alert(1)</script>", "Resource"])
async def test_page_of_no_type(browser: httpx.AsyncClient, type: str) -> None:
    response = await browser.get(f"/api/{type}")
    assert 404 == response.status_code
    assert "script" not in response.text
