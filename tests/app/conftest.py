from __future__ import annotations

import httpx
import pytest
from starlette.types import ASGIApp


@pytest.fixture
async def beside(app: ASGIApp) -> httpx.AsyncClient:
    """A client of what is beside FHIR."""
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")
