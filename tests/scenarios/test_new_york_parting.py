"""New York: what was proposed between two organizations is over where they have the member together no more."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import httpx
import pytest

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.operations import escalation
from server.settings import Settings
from tests.answers import refusal, rules
from tests.scenarios.iowa import Json, kept, put
from tests.scenarios.new_york import (
    HAL,
    HOME,
    MEMBER,
    OLA,
    OTHER,
    PAT,
    PLAN,
    asa,
    day,
    enrolled,
    lead,
    organization,
    propose,
    proposed,
    respond,
)
from tests.scenarios.new_york_plan import proposed as proposed_plan
from tests.scenarios.new_york_plan import shared


async def look(settings: Settings, days: float = 0) -> int:
    async with opened(settings) as server:
        return await escalation.look(server.repository, SYSTEM, datetime.now(UTC) + timedelta(days=days))


async def state(client: httpx.AsyncClient, task: Json) -> tuple[str, str]:
    found = (await client.get(f"Task/{task['id']}")).json()
    return found["status"], found["businessStatus"]["coding"][0]["code"]


def ending(offset: int) -> Json:
    return enrolled(MEMBER, "ny-health-home", HOME, end=day(offset), status="finished" if offset < 0 else "active")


def next_home(offset: int) -> Json:
    return enrolled(MEMBER, "ny-health-home", OTHER, start=day(offset)) | {"id": "m1-other-home"}


@pytest.mark.requirement("NY-11", "NY-14", "NY-20")
async def test_proposals_are_over_in_the_commit_that_parts_the_two(here: httpx.AsyncClient) -> None:
    await put(here, shared("one", status="draft"))
    of_lead, of_plan = await proposed(here, lead=PAT, actor=HOME), await proposed_plan(here, actor=HOME)
    await kept(here, ending(-1), next_home(0), asa("asa-2", (PLAN, OTHER)))
    for task in (of_lead, of_plan):
        assert ("cancelled", "lapsed") == await state(here, task)
        assert (409, ["conflict"]) == refusal(await respond(here, task, actor=PLAN))
    assert {} == await lead(here)
    assert 200 == (await respond(here, await proposed(here, lead=OLA), actor=OTHER)).status_code
    assert OLA == (await lead(here))["lead"]


@pytest.mark.requirement("NY-14", "NY-20")
async def test_nobody_accepts_for_a_pair_that_has_the_member_no_more(here: httpx.AsyncClient) -> None:
    """The former Health Home's proposal is not made one with the next Health Home, which has agreed on nothing."""
    task = await proposed(here, lead=PAT, actor=HOME, effective=("valueDate", day(8)))
    await kept(here, ending(5), next_home(6), asa("asa-2", (PLAN, OTHER)))
    assert (422, ["business-rule"]) == refusal(response := await respond(here, task, actor=PLAN))
    assert {"NY-14"} == rules(response)
    assert {} == await lead(here, day(8))


@pytest.mark.requirement("NY-14", "NY-20")
async def test_end_to_come_lets_the_proposal_wait_until_then(here: httpx.AsyncClient, settings: Settings) -> None:
    task = await proposed(here, lead=HAL)
    await kept(here, ending(3), next_home(4), asa("asa-2", (PLAN, OTHER)))
    assert ("requested", "proposed") == await state(here, task)
    assert [0, 1, 0] == [await look(settings, days) for days in (2, 5, 5)]
    assert ("cancelled", "lapsed") == await state(here, task)


@pytest.mark.requirement("NY-14")
async def test_proposal_of_another_pair_keeps_nobody_from_proposing(here: httpx.AsyncClient) -> None:
    await proposed(here, lead=HAL)
    await kept(here, ending(3), next_home(4), asa("asa-2", (PLAN, OTHER)))
    assert 201 == (await propose(here, OLA, effective=("valueDate", day(6)))).status_code
    assert (409, ["conflict"]) == refusal(await propose(here, PAT, effective=("valueDate", day(6))))


@pytest.mark.requirement("NY-14", "NY-20")
async def test_proposal_is_over_as_one_of_both_closes(here: httpx.AsyncClient, settings: Settings) -> None:
    task = await proposed(here, lead=HAL)
    await kept(here, {**organization(HOME), "active": False})
    assert [1, 0] == [await look(settings), await look(settings)]
    assert ("cancelled", "lapsed") == await state(here, task)


@pytest.mark.requirement("NY-14", "ADJ-05")
async def test_what_ends_nothing_ends_no_proposal(here: httpx.AsyncClient, settings: Settings) -> None:
    task = await proposed(here, lead=HAL)
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, status="onhold"))
    await kept(here, enrolled(MEMBER, "ny-map", PLAN, end=day(-1), status="finished"))
    assert ("cancelled", "lapsed") == await state(here, task)
    await kept(here, enrolled(MEMBER, "ny-mltcp", PLAN, start=day(0)))
    other = await proposed(here, lead=HAL)
    again = enrolled(MEMBER, "ny-health-home", HOME, start=day(0)) | {"id": "m1-segment-2"}
    await kept(here, ending(-1), again)
    assert (0, ("requested", "proposed")) == (await look(settings), await state(here, other))
