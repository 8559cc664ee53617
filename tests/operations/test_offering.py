"""What is to be offered and was not, as the background look sees to it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.operations import offering
from server.settings import Settings
from tests.scenarios.iowa import kept
from tests.scenarios.new_york import day, shipped
from tests.scenarios.new_york_offer import OFFER, ann, eligible, plan, tasks


@pytest.fixture
async def here(client: httpx.AsyncClient) -> httpx.AsyncClient:
    return await ann(client)


async def look(settings: Settings, days: float = 0) -> int:
    """What a server beside this one writes so many days from now."""
    async with opened(settings) as server:
        return await offering.look(server.repository, SYSTEM, datetime.now(UTC) + timedelta(days=days))


@pytest.mark.requirement("NY-03")
async def test_member_who_was_eligible_before_the_rule_is_offered_it(
    here: httpx.AsyncClient, settings: Settings
) -> None:
    whole = shipped("ny-mltcp")
    without = {**whole, "action": [one for one in whole["action"] if one["id"] != "NY-03"]}
    await kept(here, without)
    await kept(here, plan(), eligible())
    assert 0 == await look(settings)
    await kept(here, whole)
    assert [] == await tasks(here, OFFER)
    assert [1, 0] == [await look(settings), await look(settings)]
    assert ["requested"] == [one["status"] for one in await tasks(here, OFFER)]


@pytest.mark.requirement("NY-03")
async def test_offer_is_over_with_the_enrollment_that_time_ends(here: httpx.AsyncClient, settings: Settings) -> None:
    await kept(here, plan(period={"start": day(0), "end": day(3)}), eligible())
    assert ["requested"] == [one["status"] for one in await tasks(here, OFFER)]
    assert [0, 1, 0] == [await look(settings, days) for days in (2, 5, 6)]
    assert ["cancelled"] == [one["status"] for one in await tasks(here, OFFER)]
