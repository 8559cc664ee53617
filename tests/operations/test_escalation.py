"""Leads and plans that are not settled in time, as the liaisons learn of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.operations import escalation
from server.settings import Settings
from tests.coordination.memory import BASE, coding, patient
from tests.scenarios.iowa import kept, parameters, put
from tests.scenarios.new_york import HAL, HOME, PLAN, acting, counter, enrolled, manager, new_york, proposed, respond
from tests.scenarios.new_york_plan import proposed as proposed_plan
from tests.scenarios.new_york_plan import shared

LIAISON = "PractitionerRole/lia"


async def look(settings: Settings, days: float) -> int:
    """What a server beside this one writes so many days from now."""
    async with opened(settings) as server:
        return await escalation.look(server.repository, SYSTEM, datetime.now(UTC) + timedelta(days=days))


async def disputes(client: httpx.AsyncClient, code: str = "lead-dispute") -> dict[str, str]:
    """The status of each Task by its owner."""
    found = (await client.get("Task", params={"code": f"{BASE}/CodeSystem/cm-task|{code}"})).json()
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
    assert {LIAISON: "completed", PLAN: "completed"} == await disputes(client)
    assert 0 == await look(settings, 16)


@pytest.mark.requirement("NY-14")
async def test_counter_proposal_begins_no_new_time(client: httpx.AsyncClient, settings: Settings) -> None:
    await new_york(client)
    other = (await counter(client, await proposed(client, lead=HAL))).json()
    assert 2 == await look(settings, 14.1)
    assert {HOME: "requested", PLAN: "requested"} == await disputes(client)
    third = (await counter(client, other, lead=HAL, actor=PLAN)).json()
    assert 0 == await look(settings, 20)
    assert {HOME: "requested", PLAN: "requested"} == await disputes(client)
    await respond(client, third, "withdraw", actor=PLAN)
    assert {HOME: "completed", PLAN: "completed"} == await disputes(client)
    assert 0 == await look(settings, 20)


@pytest.mark.requirement("NY-11", "NY-17")
@pytest.mark.parametrize("program", ["ny-map", "ny-mltcp"])
@pytest.mark.parametrize("answer", ["accept", "decline", "withdraw"])
async def test_plan_that_is_not_answered_in_time_is_for_the_liaisons(
    client: httpx.AsyncClient, settings: Settings, program: str, answer: str
) -> None:
    await new_york(client, program)
    await kept(client, *manager(LIAISON, HOME, code=[coding("cm-role", "liaison")]))
    await put(client, shared("one", status="draft"))
    task = await proposed_plan(client)
    assert [0, 2, 0] == [await look(settings, days) for days in (13.9, 14.1, 15)]
    assert {LIAISON: "requested", PLAN: "requested"} == await disputes(client, "plan-dispute")
    assert {} == await disputes(client)
    reason = {"reason": ("valueCodeableConcept", {"text": "Too few hours"})} if answer == "decline" else {}
    response = await respond(client, task, answer, PLAN if answer == "withdraw" else HOME, **reason)
    assert 200 == response.status_code, response.text
    assert {LIAISON: "completed", PLAN: "completed"} == await disputes(client, "plan-dispute")
    assert 0 == await look(settings, 16)


@pytest.mark.requirement("NY-11")
async def test_other_plan_begins_no_new_time(client: httpx.AsyncClient, settings: Settings) -> None:
    await new_york(client)
    await put(client, shared("one", status="draft"))
    await put(client, shared("two", status="draft"))
    asked = parameters(response=("valueCode", "counter"), plan=("valueReference", {"reference": "CarePlan/two"}))
    first = await proposed_plan(client)
    response = await client.post(f"Task/{first['id']}/$respond", json=asked, headers=acting(HOME))
    assert 201 == response.status_code, response.text
    assert [0, 2] == [await look(settings, days) for days in (13.9, 14.1)]
    assert 200 == (await respond(client, response.json(), actor=PLAN)).status_code
    assert {HOME: "completed", PLAN: "completed"} == await disputes(client, "plan-dispute")


@pytest.mark.requirement("NY-14", "NY-17")
async def test_liaison_who_has_left_is_none(client: httpx.AsyncClient, settings: Settings) -> None:
    await new_york(client)
    await kept(client, *manager(LIAISON, HOME, code=[coding("cm-role", "liaison")], period={"end": "2026-01-31"}))
    await proposed(client)
    assert 2 == await look(settings, 14.1)
    assert {HOME, PLAN} == set(await disputes(client))


@pytest.mark.requirement("NY-14")
async def test_more_proposals_than_a_page_are_all_looked_at(
    client: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(escalation, "PAGE", "2")
    await new_york(client)
    for number in range(2, 7):
        own = f"Patient/m{number}"
        await kept(client, patient(f"m{number}"), enrolled(own, "ny-map", PLAN), enrolled(own, "ny-health-home", HOME))
        await proposed(client, member=own)
    assert [10, 0] == [await look(settings, 14.1), await look(settings, 14.1)]
