"""The guide that the server serves under /docs."""

from __future__ import annotations

import re

import httpx
import pytest
from starlette.types import ASGIApp

from server import guide

PAGES = sorted(str(path.relative_to(guide.DOCS).with_suffix("")) for path in guide.DOCS.rglob("*.md"))


@pytest.fixture
async def beside(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")


@pytest.mark.parametrize("name", PAGES)
async def test_page_is_served_and_its_links_hold(beside: httpx.AsyncClient, name: str) -> None:
    answer = await beside.get(f"/docs/{name}")
    assert (200, "text/html; charset=utf-8") == (answer.status_code, answer.headers["content-type"])
    for link in re.findall(r'href="(/docs/[^"#]*)', answer.text):
        assert 200 == (await beside.get(link)).status_code, link
    assert "<script" not in answer.text
    assert "src=" not in answer.text


def test_every_page_is_reached_from_the_index() -> None:
    seen, found = set(), {"index"}
    while new := found - seen:
        seen |= new
        for name in new:
            found |= set(re.findall(r'href="/docs/([^"#]+)', guide.page(name) or ""))
    assert set(PAGES) == seen


async def test_docs_begins_with_the_index(beside: httpx.AsyncClient) -> None:
    assert (await beside.get("/docs/index")).text == (await beside.get("/docs")).text


@pytest.mark.parametrize("name", ["nothing", "../README", "..%2fREADME", "/etc/passwd", "decisions", "%00", "a" * 5000])
async def test_what_is_no_page_is_not_found(beside: httpx.AsyncClient, name: str) -> None:
    assert 404 == (await beside.get(f"/docs/{name}")).status_code
