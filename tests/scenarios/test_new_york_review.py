"""New York: a lead who is there no more leads until both name the next one, and both are asked to."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.coordination.lead import review as of_leads
from server.operations import review
from server.settings import Settings
from tests.answers import entry, statuses, transaction
from tests.coordination.memory import BASE, coding, patient, practitioner, role
from tests.scenarios.iowa import Json, kept, put
from tests.scenarios.new_york import (
    HAL,
    HOME,
    MEMBER,
    NY_MAP,
    NY_MLTCP,
    OTHER,
    PAT,
    PLAN,
    acting,
    asa,
    day,
    enrolled,
    lead,
    manager,
    midnight,
    named,
    new_york,
    organization,
    proposed,
    respond,
)

LIAISON = "PractitionerRole/lia"


@pytest.fixture
async def here(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Hal leads, and the Health Home has a liaison."""
    await new_york(client, "ny-map", *manager(LIAISON, HOME, code=[coding("cm-role", "liaison")]))
    await named(client, effective=("valueDate", day(-30)))
    return client


async def look(settings: Settings, days: float = 0) -> int:
    """What a server beside this one writes so many days from now."""
    async with opened(settings) as server:
        return await review.look(server.repository, SYSTEM, datetime.now(UTC) + timedelta(days=days))


async def tasks(client: httpx.AsyncClient, member: str = MEMBER, **more: str) -> list[Json]:
    asked = {"code": f"{BASE}/CodeSystem/cm-task|lead-review", "patient": member, **more}
    return [one["resource"] for one in (await client.get("Task", params=asked)).json().get("entry", ())]


async def told(client: httpx.AsyncClient, member: str = MEMBER) -> dict[str, tuple[str, str]]:
    """(status, reason) of each Task by its owner."""
    found = await tasks(client, member)
    return {one["owner"]["reference"]: (one["status"], one["reasonCode"]["coding"][0]["code"]) for one in found}


def both(reason: str, status: str = "requested") -> dict[str, tuple[str, str]]:
    return {PLAN: (status, reason), LIAISON: (status, reason)}


def hal(**more: Any) -> list[Json]:
    return manager(HAL, HOME, **more)


async def has_left(client: httpx.AsyncClient, as_of: str | None = None) -> bool | None:
    response = await client.get(f"{MEMBER}/$lead", params={"asOf": as_of} if as_of else {})
    found = {one["name"]: one for one in response.json()["parameter"]}
    assert HAL == found["lead"]["valueReference"]["reference"]
    told: bool | None = found.get("left", {}).get("valueBoolean")
    return told


@pytest.mark.requirement("NY-20", "NY-21")
@pytest.mark.parametrize("door", ["PUT", "PATCH", "transaction", "conditional"])
@pytest.mark.parametrize("reason", ["role-inactive", "role-ended", "practitioner-inactive"])
async def test_commit_by_which_a_lead_leaves_asks_both_for_the_next(
    here: httpx.AsyncClient, reason: str, door: str
) -> None:
    person, in_role = hal()
    changed, more = {
        "role-inactive": (in_role, {"active": False}),
        "role-ended": (in_role, {"period": {"start": "2025-01-01", "end": day(-1)}}),
        "practitioner-inactive": (person, {"active": False}),
    }[reason]
    place = f"{changed['resourceType']}/{changed['id']}"
    if door == "PATCH":
        patch = [{"op": "add", "path": f"/{name}", "value": value} for name, value in more.items()]
        content = {"Content-Type": "application/json-patch+json"}
        response = await here.patch(place, json=patch, headers=content)
    elif door == "transaction":
        response = await here.post("", json=transaction(entry("PUT", place, {**changed, **more})))
        assert ["200"] == statuses(response)
    else:
        url = f"{changed['resourceType']}?_id={changed['id']}" if door == "conditional" else place
        response = await here.put(url, json={**changed, **more})
    assert 200 == response.status_code, response.text
    assert both(reason) == await told(here)
    for task in await tasks(here):
        assert (HAL, MEMBER) == (task["focus"]["reference"], task["for"]["reference"])
        version = (await here.get(place)).json()["meta"]["versionId"]
        assert version == task["meta"]["versionId"]  # the same commit


@pytest.mark.requirement("NY-20")
async def test_who_was_named_leads_until_both_name_the_next(here: httpx.AsyncClient, settings: Settings) -> None:
    await kept(here, *hal(period={"start": "2025-01-01", "end": day(-3)}))
    assert [None, None, True, True, True] == [await has_left(here, day(at)) for at in (-30, -3, -2, 0, 90)]
    assert True is await has_left(here)
    await kept(here, *hal(active=False))
    assert [None, True, True] == [await has_left(here, day(at)) for at in (-1, 0, 90)]
    assert 0 == await look(settings)


@pytest.mark.requirement("NY-20", "NY-21")
async def test_task_is_done_as_the_next_lead_is_accepted(here: httpx.AsyncClient, settings: Settings) -> None:
    await kept(here, *hal(active=False))
    task = await proposed(here, lead=PAT)
    assert both("role-inactive") == await told(here)
    assert 200 == (await respond(here, task)).status_code
    assert both("role-inactive", "completed") == await told(here)
    assert PAT == (await lead(here))["lead"]
    assert 0 == await look(settings)
    await kept(here, *hal(active=True), *manager(PAT, PLAN, active=False))
    assert 4 == len(await tasks(here))
    assert 2 == len(await tasks(here, status="requested"))


@pytest.mark.requirement("NY-20")
async def test_task_is_done_as_the_lead_lapses(here: httpx.AsyncClient, settings: Settings) -> None:
    await kept(here, *hal(active=False))
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(4)))
    assert both("role-inactive") == await told(here)
    assert [0, 2, 0] == [await look(settings, days) for days in (3, 6, 6)]
    assert both("role-inactive", "completed") == await told(here)


@pytest.mark.requirement("NY-20")
async def test_end_of_the_enrolment_that_is_on_file_is_no_answer(here: httpx.AsyncClient, settings: Settings) -> None:
    await kept(here, enrolled(MEMBER, "ny-map", PLAN, end=day(300)))
    await kept(here, *hal(active=False))
    assert both("role-inactive") == await told(here)
    await kept(here, enrolled(MEMBER, "ny-map", PLAN, end=day(-1), status="finished"))
    assert both("role-inactive", "completed") == await told(here)
    assert 0 == await look(settings)


@pytest.mark.requirement("NY-20")
async def test_who_comes_back_is_asked_about_no_more_and_anew_where_they_leave_again(
    here: httpx.AsyncClient, settings: Settings
) -> None:
    await kept(here, *hal(active=False))
    await kept(here, *hal())
    assert both("role-inactive", "cancelled") == await told(here)
    assert 0 == await look(settings)
    await kept(here, *hal(period={"end": day(-1)}))
    assert both("role-ended") == await told(here)
    assert 2 == len(await tasks(here))


@pytest.mark.requirement("NY-20")
async def test_what_somebody_settled_stays_so(here: httpx.AsyncClient, settings: Settings) -> None:
    await kept(here, *hal(active=False))
    for task in await tasks(here):
        assert 200 == (await put(here, {**task, "status": "completed"})).status_code
    assert 0 == await look(settings)
    await kept(here, *hal(active=False, telecom=[{"system": "phone", "value": "1-212-555-0199"}]))
    assert both("role-inactive", "completed") == await told(here)
    await kept(here, *hal())
    await kept(here, *hal(active=False))
    assert both("role-inactive") == await told(here)


@pytest.mark.requirement("NY-20", "NY-21", "ADJ-05")
@pytest.mark.parametrize("died", [{"deceasedBoolean": True}, {"deceasedDateTime": "2026-01-05"}])
async def test_death_asks_both_to_end_the_enrolment_with_which_the_lead_ends(
    here: httpx.AsyncClient, settings: Settings, died: Json
) -> None:
    await kept(here, patient("m1", **died))
    assert both("member-deceased") == await told(here)
    assert HAL == (await lead(here))["lead"]
    assert 0 == await look(settings)
    await kept(here, patient("m1"))
    assert both("member-deceased", "cancelled") == await told(here)
    await kept(here, patient("m1", **died))
    assert both("member-deceased") == await told(here)
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(-1), status="finished"))
    assert both("member-deceased", "completed") == await told(here)
    assert {} == await lead(here)


@pytest.mark.requirement("NY-20")
async def test_death_and_a_lead_who_left_are_two_things(here: httpx.AsyncClient) -> None:
    await kept(here, patient("m1", deceasedBoolean=True))
    await kept(here, *hal(active=False))
    assert ["member-deceased", "member-deceased", "role-inactive", "role-inactive"] == sorted(
        one["reasonCode"]["coding"][0]["code"] for one in await tasks(here)
    )


@pytest.mark.requirement("NY-20", "NY-21")
async def test_role_that_ends_with_time_is_found_by_the_look(here: httpx.AsyncClient, settings: Settings) -> None:
    await kept(here, *hal(period={"start": "2025-01-01", "end": day(9)}))
    assert {} == await told(here)
    assert [0, 2, 0] == [await look(settings, days) for days in (9 - 1, 11, 12)]
    assert both("role-ended") == await told(here)
    await named(here, lead=PAT)
    assert both("role-ended", "completed") == await told(here)


@pytest.mark.requirement("NY-20")
async def test_role_that_is_extended_is_no_end(here: httpx.AsyncClient, settings: Settings) -> None:
    await kept(here, *hal(period={"end": day(2)}))
    assert 2 == await look(settings, 4)
    await kept(here, *hal(period={"end": day(20)}))
    assert [2, 2] == [await look(settings, days) for days in (4, 30)]
    assert both("role-ended") == await told(here)


@pytest.mark.requirement("NY-20")
async def test_next_lead_who_is_agreed_on_is_no_question(here: httpx.AsyncClient, settings: Settings) -> None:
    await named(here, lead=PAT, effective=("valueDate", day(10)))
    await kept(here, *hal(active=False))
    assert ({}, 0) == (await told(here), await look(settings))
    await kept(here, *manager(PAT, PLAN, period={"end": day(5)}))
    assert 2 == await look(settings)
    assert {PAT} == {one["focus"]["reference"] for one in await tasks(here)}


@pytest.mark.requirement("NY-20")
async def test_leads_of_many_are_left_to_the_look(
    here: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(of_leads, "MANY", 1)
    monkeypatch.setattr(review, "FEW", 2)
    for number in range(2, 5):
        own = f"Patient/m{number}"
        await kept(here, patient(f"m{number}"), enrolled(own, "ny-map", PLAN), enrolled(own, "ny-health-home", HOME))
        await named(here, member=own)
    await kept(here, *hal(active=False))
    assert {} == await told(here)
    assert [8, 0] == [await look(settings), await look(settings)]
    assert both("role-inactive") == await told(here, "Patient/m4")


@pytest.mark.requirement("NY-20")
async def test_person_who_is_inactive_and_one_who_died_are_found_by_the_look(
    here: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(of_leads, "MANY", 0)
        await kept(here, practitioner("hal") | {"active": False}, patient("m1", deceasedBoolean=True))
    assert {} == await told(here)
    assert [4, 0] == [await look(settings), await look(settings)]


@pytest.mark.requirement("NY-20")
async def test_who_leads_nobody_is_asked_about_by_nobody(here: httpx.AsyncClient, settings: Settings) -> None:
    await kept(here, *manager(PAT, PLAN, active=False))
    await kept(here, practitioner("pat") | {"active": False}, patient("m2", deceasedBoolean=True))
    await kept(here, role("nurse", mco="plan", active=False))
    assert (0, {}) == (await look(settings), await told(here))


@pytest.mark.requirement("NY-20")
async def test_each_of_both_sees_the_task_and_nobody_else(here: httpx.AsyncClient) -> None:
    await kept(here, asa("asa-2", (PLAN, OTHER)), *hal(active=False))
    for actor, number in ((PLAN, 2), (HOME, 2), (LIAISON, 2), (OTHER, 0)):
        asked = {"code": f"{BASE}/CodeSystem/cm-task|lead-review"}
        found = (await here.get("Task", params=asked, headers=acting(actor))).json()
        assert number == len(found.get("entry", ())), actor


@pytest.mark.requirement("NY-20")
async def test_next_lead_takes_over_at_the_instant_at_which_both_agree(here: httpx.AsyncClient) -> None:
    await kept(here, *hal(period={"start": "2025-01-01", "end": day(-3)}))
    await named(here, lead=PAT, effective=("valueDate", day(3)))
    assert [HAL, HAL, HAL, PAT] == [(await lead(here, day(at))).get("lead") for at in (-4, -1, 2, 3)]
    assert midnight(3) == (await lead(here, day(3)))["since"]


async def lacking(client: httpx.AsyncClient, organization: str = PLAN, actor: str = "", **more: str) -> list[list[str]]:
    """(why, whom, since which day) of $unassigned."""
    asked = {"program": NY_MAP, **more}
    response = await client.get(f"{organization}/$unassigned", params=asked, headers=acting(actor))
    assert 200 == response.status_code, response.text
    found = []
    for one in response.json().get("entry", ()):
        for extension in one.get("extension", ()):
            parts = {part["url"]: part for part in extension["extension"]}
            since = parts.get("since", {}).get("valueDateTime", "")[:10]
            found.append([parts["why"]["valueCoding"]["code"], one["resource"]["id"], since])
    return found


@pytest.mark.requirement("NY-14", "NY-20")
async def test_members_of_both_whom_nobody_leads_are_listed_to_each(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-map", patient("m2"), enrolled("Patient/m2", "ny-map", PLAN, start="2026-01-01"))
    none = [["no-lead", "m1", "2025-01-01"]]
    for party in (PLAN, HOME):
        assert none == await lacking(client, party) == await lacking(client, party, party)
    assert [] == await lacking(client, OTHER)
    await kept(client, enrolled("Patient/m2", "ny-health-home", HOME, start="2026-02-01"))
    assert [*none, ["no-lead", "m2", "2026-02-01"]] == await lacking(client)
    assert none == await lacking(client, asOf="2026-01-31")
    assert [] == await lacking(client, program=NY_MLTCP)
    await named(client, effective=("valueDate", day(-30)))
    assert ["m2"] == [one[1] for one in await lacking(client)]
    assert none == (await lacking(client, asOf=day(-31), why="no-lead"))[:1]
    await kept(client, *hal(period={"start": "2025-01-01", "end": day(-3)}))
    assert ["lead-left", "m1", day(-2)] == (await lacking(client))[-1]
    await kept(client, enrolled(MEMBER, "ny-health-home", HOME, end=day(-2), status="finished"))
    assert ["m2"] == [one[1] for one in await lacking(client)]


@pytest.mark.requirement("NY-20")
async def test_members_of_others_are_listed_to_nobody(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-map", patient("m2"), enrolled("Patient/m2", "ny-map", PLAN))
    await kept(client, enrolled("Patient/m2", "ny-health-home", OTHER), asa("asa-2", (PLAN, OTHER)))
    for actor, own in ((OTHER, ["m2"]), (HOME, ["m1"]), (PAT, ["m1", "m2"]), (PLAN, ["m1", "m2"])):
        assert own == [one[1] for one in await lacking(client, PLAN, actor)], actor


AGENCY, AMY = "Organization/agency", "PractitionerRole/amy"


def engaged(**more: Any) -> Json:
    return {
        "resourceType": "OrganizationAffiliation",
        "id": "a",
        "organization": {"reference": HOME},
        "participatingOrganization": {"reference": AGENCY},
        "period": {"start": "2025-01-01"},
        **more,
    }


@pytest.fixture
async def agencys(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Amy, of an agency that works for the Health Home, leads."""
    liaison = manager(LIAISON, HOME, code=[coding("cm-role", "liaison")])
    await new_york(client, "ny-map", *liaison, organization(AGENCY), *manager(AMY, AGENCY), engaged())
    await named(client, lead=AMY)
    return client


@pytest.mark.requirement("NY-20", "ADJ-05")
@pytest.mark.parametrize(
    "end",
    [
        engaged(active=False),
        engaged(period={"start": "2025-01-01", "end": day(-1)}),
        organization(AGENCY) | {"active": False},
    ],
)
async def test_agency_that_works_for_neither_any_more_is_asked_about(
    agencys: httpx.AsyncClient, settings: Settings, end: Json
) -> None:
    await kept(agencys, end)
    assert both("agency-ended") == await told(agencys)
    assert AMY == (await lead(agencys))["lead"]
    assert 0 == await look(settings)
    await kept(agencys, engaged(), organization(AGENCY))
    assert both("agency-ended", "cancelled") == await told(agencys)


@pytest.mark.requirement("NY-20")
async def test_agency_whose_engagement_is_deleted_or_ends_with_time_is_asked_about(
    agencys: httpx.AsyncClient, settings: Settings
) -> None:
    await kept(agencys, engaged(period={"start": "2025-01-01", "end": day(5)}))
    assert [0, 2, 0] == [await look(settings, days) for days in (3, 7, 7)]
    assert both("agency-ended") == await told(agencys)
    await kept(agencys, engaged())
    assert both("agency-ended", "cancelled") == await told(agencys)
    assert 204 == (await agencys.delete("OrganizationAffiliation/a")).status_code
    assert both("agency-ended") == await told(agencys)


@pytest.mark.requirement("NY-20")
async def test_who_is_accepted_as_they_leave_is_asked_about_or_not_accepted(client: httpx.AsyncClient) -> None:
    await new_york(client)
    for number in range(6):
        await kept(client, *hal())
        task = await proposed(client)
        asked = [respond(client, task), put(client, hal(active=False)[1])]
        accepted, left = await asyncio.gather(*asked) if number % 2 else (await asyncio.gather(*asked[::-1]))[::-1]
        assert 200 == left.status_code, left.text
        assert accepted.status_code in (200, 422), accepted.text
        waiting = await tasks(client, status="requested")
        assert (2 if 200 == accepted.status_code else 0) == len(waiting)
        if 200 != accepted.status_code:
            assert 200 == (await respond(client, task, "withdraw", actor=PLAN)).status_code
        else:
            await named(client, lead=PAT)


@pytest.mark.requirement("NY-20")
async def test_two_looks_at_once_ask_once(here: httpx.AsyncClient, settings: Settings) -> None:
    await kept(here, *hal(period={"start": "2025-01-01", "end": day(1)}))
    assert 2 == sum(await asyncio.gather(look(settings, 3), look(settings, 3)))
    assert both("role-ended") == await told(here)
