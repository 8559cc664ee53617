"""New York: liaisons, and the meetings of a plan's and a Health Home's staff, with what they were for and who came."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.answers import ids, refusal
from tests.coordination.memory import BASE, coding
from tests.scenarios.iowa import Json, kept, put
from tests.scenarios.new_york import HAL, HOME, MEMBER, PAT, PLAN, ROOT, manager, new_york

GOALS = ["team-approach", "avoid-duplication", "outcomes", "qi"]
MINUTES = {
    "resourceType": "DocumentReference",
    "id": "minutes",
    "status": "current",
    "type": {"text": "Minutes"},
    "content": [{"attachment": {"contentType": "text/plain", "data": "Tm9uZQ=="}}],
}


CODES = "CodeSystem-ny-meeting-goal"


def published(name: str) -> Json:
    found: Json = json.loads((ROOT / "profiles" / f"{name}.json").read_text())
    return found


@pytest.fixture
async def here(client: httpx.AsyncClient) -> httpx.AsyncClient:
    liaison = {"code": [coding("cm-role", "liaison")]}
    await new_york(client)
    await kept(client, *map(published, ("StructureDefinition-ny-meeting", "ValueSet-ny-meeting-goal", CODES)))
    await kept(client, *manager(PAT, PLAN, **liaison), *manager(HAL, HOME, **liaison), MINUTES)
    return client


def meeting(id: str, *goals: str, came: str = "accepted") -> Json:
    """A meeting that took place, on these goals, about the member."""
    return {
        "resourceType": "Appointment",
        "id": id,
        "meta": {"profile": [f"{BASE}/StructureDefinition/ny-meeting"]},
        "status": "fulfilled",
        "reasonCode": [coding("ny-meeting-goal", goal) for goal in goals],
        "supportingInformation": [{"reference": "DocumentReference/minutes"}, {"reference": MEMBER}],
        "start": f"2026-0{len(goals)}-15T10:00:00-05:00",
        "end": f"2026-0{len(goals)}-15T11:00:00-05:00",
        "participant": [
            {"actor": {"reference": PAT}, "status": "accepted"},
            {"actor": {"reference": HAL}, "status": came},
        ],
    }


@pytest.mark.requirement("NY-17")
async def test_liaisons_of_each_organization_are_found(here: httpx.AsyncClient) -> None:
    liaisons = {"role": f"{BASE}/CodeSystem/cm-role|liaison"}
    for organization, expected in ((PLAN, "pat"), (HOME, "hal")):
        found = await here.get("PractitionerRole", params=liaisons | {"organization": organization})
        assert [expected] == ids(found)


@pytest.mark.requirement("NY-17", "NY-18")
async def test_meetings_are_found_by_their_goals_who_came_and_whom_they_were_about(here: httpx.AsyncClient) -> None:
    await kept(here, meeting("one", "team-approach"), meeting("two", *GOALS[1:3], came="declined"))
    covered = {}
    for goal in GOALS:
        asked = {"reason-code": f"{BASE}/CodeSystem/ny-meeting-goal|{goal}", "_sort": "date"}
        covered[goal] = ids(await here.get("Appointment", params=asked))
    assert {"team-approach": ["one"], "avoid-duplication": ["two"], "outcomes": ["two"], "qi": []} == covered
    assert ["one", "two"] == ids(await here.get("Appointment", params={"actor": HAL, "_sort": "date"}))
    attended = (await here.get("Appointment/two")).json()["participant"]
    assert ["accepted", "declined"] == [one["status"] for one in attended]
    assert ["one", "two"] == ids(
        await here.get("Appointment", params={"supporting-info": "DocumentReference/minutes", "_sort": "date"})
    )


@pytest.mark.requirement("NY-18")
async def test_meeting_is_for_one_of_the_four_goals_with_both(here: httpx.AsyncClient) -> None:
    assert 422 == (await put(here, meeting("one", "lunch"))).status_code
    assert (
        422 == (await put(here, {**meeting("one", "qi"), "participant": meeting("one")["participant"][:1]})).status_code
    )
    nothing = meeting("one", "qi")
    del nothing["reasonCode"]
    assert 422 == refusal(await put(here, nothing))[0]
    assert 201 == (await put(here, meeting("one", *GOALS))).status_code
