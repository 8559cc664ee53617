"""Leads that are not settled in time, as the liaisons learn of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from server.app import opened
from server.auth.access import SYSTEM
from server.operations import escalation
from server.settings import Settings
from tests.coordination.memory import BASE, coding
from tests.scenarios.iowa import kept
from tests.scenarios.new_york import HAL, HOME, PLAN, counter, manager, new_york, proposed, respond

LIAISON = "PractitionerRole/lia"


async def look(settings: Settings, days: float) -> int:
    """What a server beside this one writes so many days from now."""
    async with opened(settings) as server:
        return await escalation.look(server.repository, SYSTEM, datetime.now(UTC) + timedelta(days=days))


async def disputes(client: httpx.AsyncClient) -> dict[str, str]:
    """The status of each Task by its owner."""
    found = (await client.get("Task", params={"code": f"{BASE}/CodeSystem/cm-task|lead-dispute"})).json()
    tasks = [entry["resource"] for entry in found.get("entry", ())]
    return {task["owner"]["reference"]: task["status"] for task in tasks}


@pytest.mark.requirement("NY-14", "NY-17")
async def test_proposal_that_is_not_settled_in_time_is_for_the_liaisons(
    client: httpx.AsyncClient, settings: Settings
) -> None:
    await new_york(client)
    await kept(client, *manager(LIAISON, HOME, code=[coding("cm-role", "liaison")]))
    task = await proposed(client)
    assert [0, 2, 0] == [await look(settings, days) for days in (13.9, 14.1, 15)]
    assert {LIAISON: "requested", PLAN: "requested"} == await disputes(client)
    assert 200 == (await respond(client, task)).status_code
    assert [2, 0] == [await look(settings, days) for days in (15, 16)]
    assert {LIAISON: "completed", PLAN: "completed"} == await disputes(client)


@pytest.mark.requirement("NY-14")
async def test_counter_proposal_begins_no_new_time(client: httpx.AsyncClient, settings: Settings) -> None:
    await new_york(client)
    other = (await counter(client, await proposed(client, lead=HAL))).json()
    assert 2 == await look(settings, 14.1)
    assert {HOME: "requested", PLAN: "requested"} == await disputes(client)
    third = (await counter(client, other, lead=HAL, actor=PLAN)).json()
    assert 0 == await look(settings, 20)
    await respond(client, third, "withdraw", actor=PLAN)
    assert 2 == await look(settings, 20)
