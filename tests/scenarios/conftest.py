from __future__ import annotations

import httpx
import pytest

from tests.scenarios.new_york import new_york


@pytest.fixture
async def here(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """New York, with a member whom a plan and a Health Home have."""
    return await new_york(client)
