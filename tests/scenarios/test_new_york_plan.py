"""New York: in MAP a plan and a Health Home have one active plan of care for a member, which is of both."""

from __future__ import annotations

import httpx
import pytest

from tests.answers import places, refusal
from tests.coordination.memory import patient
from tests.scenarios.iowa import Json, kept, put, puts
from tests.scenarios.new_york import HAL, HOME, PAT, PLAN, day, enrolled, new_york, shipped
from tests.scenarios.test_new_york_coordination import planned


@pytest.fixture
async def here(client: httpx.AsyncClient) -> httpx.AsyncClient:
    return await new_york(client)


def shared(id: str, *contributors: str, **more: object) -> Json:
    """An active CarePlan with these contributors, by default both organizations."""
    links = [{"reference": one} for one in contributors or (PLAN, HOME)]
    plan = planned(id, PLAN, "personal-care", contributor=links, **more)
    del plan["author"]
    return plan


@pytest.mark.requirement("NY-11")
@pytest.mark.parametrize("door", ["PUT", "POST", "transaction", "PATCH"])
async def test_second_active_plan_by_either_is_refused_whatever_the_door(here: httpx.AsyncClient, door: str) -> None:
    await kept(here, shared("one"))
    second = shared("two", HAL, PAT)
    if door == "PATCH":
        await kept(here, second | {"status": "draft"})
        patch = [{"op": "replace", "path": "/status", "value": "active"}]
        headers = {"Content-Type": "application/json-patch+json"}
        response = await here.patch("CarePlan/two", json=patch, headers=headers)
    elif door == "transaction":
        response = await here.post("", json=puts(second))
    else:
        response = await here.request(door, "CarePlan" if door == "POST" else "CarePlan/two", json=second)
    assert (422, ["business-rule"]) == refusal(response)
    assert "NY-11" in response.json()["issue"][0]["details"]["text"]


@pytest.mark.requirement("NY-11")
async def test_the_one_plan_has_both_as_contributors(here: httpx.AsyncClient) -> None:
    response = await put(here, planned("p", PLAN, "personal-care"))
    assert (422, ["business-rule"], ["CarePlan.contributor"]) == (*refusal(response), places(response))
    assert 201 == (await put(here, shared("p", PAT, HAL))).status_code
    assert (422, ["business-rule"]) == refusal(await put(here, shared("p", PAT)))
    assert 200 == (await put(here, shared("p", PAT, HOME))).status_code
    assert 200 == (await put(here, shared("p", PAT, status="completed"))).status_code


@pytest.mark.requirement("NY-11")
async def test_drafts_parts_and_plans_of_others_are_no_second_plan(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one"))
    part = planned("part", HOME, "behavioral-health", partOf=[{"reference": "CarePlan/one"}])
    of_nobody = planned("hospital", "Organization/hospital", "personal-care")
    assert [201, 201, 201] == [
        (await put(here, plan)).status_code
        for plan in (planned("draft", HOME, "chha", status="draft"), part, of_nobody)
    ]


@pytest.mark.requirement("NY-11")
async def test_next_plan_takes_the_place_of_the_former_in_one_transaction(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one"))
    await kept(here, shared("one") | {"status": "completed"}, shared("two"))
    assert 200 == (await put(here, shared("two", PAT, HAL))).status_code


@pytest.mark.requirement("NY-11")
async def test_two_plans_that_were_there_before_can_be_worked_on_and_not_multiplied(here: httpx.AsyncClient) -> None:
    await kept(here, patient("m2"), enrolled("Patient/m2", "ny-map", PLAN))
    about = {"subject": {"reference": "Patient/m2"}}
    of_plan, of_home = planned("p", PLAN, "chha") | about, planned("h", HOME, "pers") | about
    await kept(here, of_plan, of_home)
    await kept(here, enrolled("Patient/m2", "ny-health-home", HOME))
    assert 200 == (await put(here, of_plan | {"title": "Hers"})).status_code
    assert 422 == (await put(here, shared("third") | about)).status_code
    assert 200 == (await put(here, of_home | {"status": "revoked"})).status_code
    assert 200 == (await put(here, shared("p") | about)).status_code


@pytest.mark.requirement("NY-11")
async def test_partial_capitation_allows_linked_plans(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    assert [201, 201] == [
        (await put(client, plan)).status_code for plan in (planned("p", PLAN, "chha"), planned("h", HOME, "pers"))
    ]


@pytest.mark.requirement("NY-11")
async def test_before_the_carve_in_the_rule_is_not_applied(here: httpx.AsyncClient) -> None:
    program = shipped("ny-map")
    rule = next(one for one in program["action"] if one["id"] == "NY-11")
    assert {"start": "2023-01-01"} == rule["extension"][0]["valuePeriod"]
    rule["extension"][0]["valuePeriod"] = {"start": day(1)}
    await kept(here, program)
    assert [201, 201] == [
        (await put(here, plan)).status_code for plan in (planned("p", PLAN, "chha"), planned("h", HOME, "pers"))
    ]
