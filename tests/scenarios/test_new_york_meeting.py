"""New York: liaisons, and the meetings of a plan's and a Health Home's staff, with what they were for and who came."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.answers import ids, refusal
from tests.coordination.memory import BASE, coding, patient
from tests.scenarios.iowa import Json, kept, parameters, put
from tests.scenarios.new_york import HAL, HOME, MEMBER, OTHER, PAT, PLAN, ROOT, enrolled, manager, new_york

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


async def coverage(client: httpx.AsyncClient, organization: str = PLAN, **more: str) -> dict[str, tuple[int, int]]:
    """Of each group (numerator, denominator)."""
    response = await client.get(f"{organization}/$meeting-coverage", params=more)
    assert 200 == response.status_code, response.text
    return {
        group["code"]["coding"][0]["code"]: (group["population"][1]["count"], group["population"][0]["count"])
        for group in response.json()["group"]
    }


@pytest.mark.requirement("NY-17", "NY-18")
async def test_coverage_tells_the_goals_who_came_and_whom_nobody_discussed(here: httpx.AsyncClient) -> None:
    second = [patient("m2"), enrolled("Patient/m2", "ny-map", PLAN), enrolled("Patient/m2", "ny-health-home", HOME)]
    alone = [patient("m3"), enrolled("Patient/m3", "ny-map", PLAN)]
    booked = meeting("later", "qi") | {"status": "booked"}
    without = meeting("two", *GOALS[1:3], came="declined")
    without["supportingInformation"] = without["supportingInformation"][1:]
    await kept(here, *second, *alone, booked, meeting("one", "team-approach"), without)
    everything = {
        "team-approach": (1, 2),
        "avoid-duplication": (1, 2),
        "outcomes": (1, 2),
        "qi": (0, 2),
        "attendance": (1, 2),
        "minutes": (1, 2),
        "shared-members": (1, 2),
    }
    for organization, partner in ((PLAN, HOME), (HOME, PLAN)):
        assert everything == await coverage(here, organization) == await coverage(here, organization, partner=partner)
    assert {(0, 0)} == set((await coverage(here, partner=OTHER)).values())
    january = {"start": "2026-01-01", "end": "2026-01-31"}
    asked = parameters(period=("valuePeriod", january), detail=("valueBoolean", True))
    report = (await here.post(f"{PLAN}/$meeting-coverage", json=asked)).json()
    assert ["Appointment/one"] == [one["reference"] for one in report["evaluatedResource"]]
    lists = {f"#{one['id']}": [item["item"]["reference"] for item in one["entry"]] for one in report["contained"]}
    members = report["group"][-1]["population"]
    assert [["Patient/m1", "Patient/m2"], ["Patient/m1"]] == [
        lists[one["subjectResults"]["reference"]] for one in members
    ]
    assert 404 == (await here.get("Organization/nobody/$meeting-coverage")).status_code
