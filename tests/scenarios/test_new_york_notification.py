"""New York: each organization is told of the other's changes to a shared member's plan, needs and services."""

from __future__ import annotations

import httpx
import pytest

from tests.answers import refusal
from tests.coordination.memory import patient
from tests.scenarios.iowa import Json, kept, put, puts
from tests.scenarios.new_york import (
    HAL,
    HOME,
    MEMBER,
    PAT,
    PLAN,
    acting,
    asa,
    day,
    enrolled,
    respond,
)
from tests.scenarios.new_york_care import ordered
from tests.scenarios.new_york_plan import goal, proposed, shared


async def told(client: httpx.AsyncClient, recipient: str) -> list[Json]:
    found = (await client.get("Communication", params={"recipient": recipient, "_sort": "_lastUpdated"})).json()
    return [entry["resource"] for entry in found.get("entry", ())]


def about(notice: Json) -> list[str]:
    return [one["reference"] for one in notice["about"]]


def need(id: str = "c", **more: str) -> Json:
    about = {"subject": {"reference": MEMBER}, "code": {"text": "Falls"}}
    return {"resourceType": "Condition", "id": id, **about, **more}


@pytest.mark.requirement("NY-21")
@pytest.mark.parametrize("actor", [PLAN, PAT])
async def test_other_organization_is_told_of_plan_need_and_service(here: httpx.AsyncClient, actor: str) -> None:
    for resource in (ordered("r", "personal-care", PLAN), need(), goal("g", 7, day(90))):
        response = await put(here, resource, headers=acting(actor))
        assert 201 == response.status_code, response.text
        latest = (await told(here, HOME))[-1]
        assert [f"{resource['resourceType']}/{resource['id']}"] == about(latest)
        assert (MEMBER, actor) == (latest["subject"]["reference"], latest["sender"]["reference"])
        assert response.json()["meta"]["versionId"] == latest["meta"]["versionId"]  # the same commit
    assert (3, []) == (len(await told(here, HOME)), await told(here, PLAN))


@pytest.mark.requirement("NY-21")
async def test_one_is_told_once_of_all_that_a_commit_changes_and_of_nothing_that_does_not(
    here: httpx.AsyncClient,
) -> None:
    both = puts(ordered("r", "personal-care", PLAN), need())
    for _ in range(2):
        assert 200 == (await here.post("", json=both, headers=acting(PLAN))).status_code
        (notice,) = await told(here, HOME)
        assert ["ServiceRequest/r", "Condition/c"] == about(notice)
    patch = [{"op": "replace", "path": "/code/text", "value": "Falls at night"}]
    headers = {"Content-Type": "application/json-patch+json"}
    await here.patch("Condition/c", json=patch, headers=headers | acting(HAL))
    (notice,) = await told(here, PLAN)
    assert "Condition/c is changed: Falls at night" in [one["contentString"] for one in notice["payload"]]
    await here.delete("ServiceRequest/r", headers=acting(PLAN))
    assert ["ServiceRequest/r"] == about((await told(here, HOME))[-1])


@pytest.mark.requirement("NY-21")
async def test_acceptance_of_a_plan_is_told_and_drafts_are_not(here: httpx.AsyncClient) -> None:
    await put(here, shared("one", status="draft"), headers=acting(PLAN))
    task = await proposed(here)
    assert [] == await told(here, HOME)
    await respond(here, task)
    (notice,) = await told(here, PLAN)
    assert ["CarePlan/one"] == about(notice)
    assert [] == await told(here, HOME)


@pytest.mark.requirement("NY-21")
async def test_who_acts_for_neither_tells_both_and_the_local_system_nobody(here: httpx.AsyncClient) -> None:
    await put(here, need("system"))
    assert [] == await told(here, HOME)
    response = await put(here, need("other"), headers=acting(MEMBER))
    assert 201 == response.status_code, response.text
    assert [["Condition/other"]] * 2 == [about(one) for to in (PLAN, HOME) for one in await told(here, to)]


@pytest.mark.requirement("NY-21", "NY-06")
async def test_nothing_is_told_where_nothing_is_shared(here: httpx.AsyncClient) -> None:
    await kept(here, patient("m2"), enrolled("Patient/m2", "ny-map", PLAN))
    await put(here, need() | {"subject": {"reference": "Patient/m2"}}, headers=acting(PLAN))
    await kept(here, asa(end=day(-1)))
    await put(here, need("late"), headers=acting(PLAN))
    assert [] == await told(here, HOME)


@pytest.mark.requirement("NY-21")
async def test_refused_write_tells_nothing(here: httpx.AsyncClient) -> None:
    response = await put(here, shared("one", PLAN), headers=acting(PLAN))
    assert (422, {"business-rule"}) == (response.status_code, set(refusal(response)[1]))
    assert [] == await told(here, HOME)


@pytest.mark.requirement("NY-21")
async def test_change_that_takes_something_to_another_member_is_told_of_both(here: httpx.AsyncClient) -> None:
    await kept(here, patient("m2"), enrolled("Patient/m2", "ny-map", PLAN))
    await kept(here, enrolled("Patient/m2", "ny-health-home", HOME), need())
    await put(here, need() | {"subject": {"reference": "Patient/m2"}}, headers=acting(PLAN))
    assert {MEMBER, "Patient/m2"} == {one["subject"]["reference"] for one in await told(here, HOME)}
