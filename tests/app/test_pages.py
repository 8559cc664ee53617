"""What a person with a browser finds first."""

from __future__ import annotations

import httpx


async def test_index_tells_where_everything_is(beside: httpx.AsyncClient) -> None:
    html = await beside.get("/", headers={"Accept": "text/html"})
    assert html.headers["content-type"].startswith("text/html")
    places = (await beside.get("/")).json()
    assert "/fhir/metadata" in places.values()
    for place in places.values():
        assert place in html.text
        asked = "/fhir/metadata" if place == "/fhir" else place
        assert 200 == (await beside.get(asked)).status_code
