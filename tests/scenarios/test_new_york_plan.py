"""New York: in MAP a plan and a Health Home have one active plan of care for a member, which is of both."""

from __future__ import annotations

import httpx
import pytest

from tests.answers import places, refusal
from tests.coordination.memory import patient, practitioner
from tests.scenarios.iowa import Json, kept, put, puts
from tests.scenarios.new_york import (
    HAL,
    HOME,
    MEMBER,
    OLA,
    PAT,
    PLAN,
    acting,
    asa,
    day,
    enrolled,
    named,
    new_york,
    shipped,
)
from tests.scenarios.new_york_care import ordered, planned
from tests.scenarios.new_york_plan import of_type, read, shared, sources


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


def unnamed(id: str, **more: object) -> Json:
    """An active CarePlan that does not say whose it is."""
    plan = shared(id, **more)
    del plan["contributor"]
    return plan


@pytest.mark.requirement("NY-11")
@pytest.mark.parametrize("actor", [HOME, HAL, PLAN, "Practitioner/pat", ""])
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_second_active_plan_that_names_nobody_is_refused(
    here: httpx.AsyncClient, actor: str, method: str
) -> None:
    await kept(here, shared("one"))
    place = "CarePlan" if method == "POST" else "CarePlan/two"
    response = await here.request(method, place, json=unnamed("two"), headers=acting(actor))
    assert (422, {"business-rule"}) == (response.status_code, {*refusal(response)[1]})
    part = unnamed("part", partOf=[{"reference": "CarePlan/one"}])
    assert 201 == (await here.put("CarePlan/part", json=part, headers=acting(actor))).status_code
    draft = unnamed("draft", status="draft")
    assert 201 == (await here.put("CarePlan/draft", json=draft, headers=acting(actor))).status_code


@pytest.mark.requirement("NY-11")
@pytest.mark.parametrize("actor", [HOME, HAL])
@pytest.mark.parametrize(
    "more",
    [
        {"author": {"reference": MEMBER}},
        {"author": {"reference": "Practitioner/of-nobody"}},
        {"author": {"display": "The Health Home"}},
        {
            "contributor": [{"reference": "#o"}],
            "contained": [{"resourceType": "Organization", "id": "o", "name": "The Health Home"}],
        },
    ],
)
async def test_plan_that_names_no_organization_is_whose_it_is_that_writes_it(
    here: httpx.AsyncClient, actor: str, more: Json
) -> None:
    await kept(here, practitioner("of-nobody"), shared("one"))
    second = unnamed("two") | more
    response = await here.put("CarePlan/two", json=second, headers=acting(actor))
    assert (422, {"business-rule"}) == (response.status_code, {*refusal(response)[1]})
    hospital = planned("hospital", "Organization/hospital", "personal-care")
    assert 201 == (await put(here, hospital)).status_code


@pytest.mark.requirement("NY-11")
async def test_plan_that_names_nobody_is_whose_it_is_that_writes_it(here: httpx.AsyncClient) -> None:
    alone = await here.put("CarePlan/one", json=unnamed("one"), headers=acting(HOME))
    assert (422, ["business-rule"], ["CarePlan.contributor"]) == (*refusal(alone), places(alone))
    await kept(here, unnamed("hospital"))  # nobody's in particular, and the first
    titled = unnamed("hospital", title="Discharge")
    await kept(here, shared("one"))
    assert 200 == (await here.put("CarePlan/hospital", json=titled, headers=acting(HOME))).status_code
    assert 200 == (await put(here, titled | {"title": "After discharge"})).status_code
    assert 200 == (await put(here, unnamed("hospital", status="completed"))).status_code
    assert (422, ["business-rule"]) == refusal(await put(here, titled))


@pytest.mark.requirement("NY-11")
@pytest.mark.parametrize(("program", "start"), [("ny-mltcp", "2025-02-01"), ("ny-map", "2022-01-01")])
async def test_plan_that_names_nobody_is_free_where_each_has_its_own(
    client: httpx.AsyncClient, program: str, start: str
) -> None:
    await new_york(client, program)
    period = {"start": start, "end": "2022-12-31"} if program == "ny-map" else {"start": start}
    await kept(client, planned("p", PLAN, "chha", period=period))
    answer = await client.put("CarePlan/two", json=unnamed("two", period=period), headers=acting(HOME))
    assert 201 == answer.status_code, answer.text


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
    found = (await here.get("Patient/m2/$coordination-check")).json()["entry"]
    (second,) = [
        entry["resource"] for entry in found if entry["resource"]["code"]["coding"][0]["code"] == "second-plan"
    ]
    assert ["CarePlan/h", "CarePlan/p"] == [item["reference"] for item in second["implicated"]]
    assert 200 == (await put(here, of_plan | {"title": "Hers"})).status_code
    assert 422 == (await put(here, shared("third") | about)).status_code
    assert 200 == (await put(here, of_home | {"status": "revoked"})).status_code
    assert 200 == (await put(here, shared("p") | about)).status_code
    assert "second-plan" not in (await here.get("Patient/m2/$coordination-check")).text


@pytest.mark.requirement("NY-11")
async def test_partial_capitation_allows_linked_plans(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    first, second = planned("p", PLAN, "chha"), planned("h", HOME, "pers")
    assert [201, 201] == [(await put(client, plan)).status_code for plan in (first, second)]
    assert [{"reference": "CarePlan/p"}] == (await client.get("CarePlan/h")).json()["supportingInfo"]
    version = (await client.get("CarePlan/h")).headers["ETag"]
    assert version == (await put(client, second)).headers["ETag"]  # the link is kept, whoever leaves it out
    assert [{"reference": "CarePlan/h"}] == (await put(client, first | {"title": "Hers"})).json()["supportingInfo"]
    plans = [one for one in of_type(await read(client), "CarePlan") if one["id"] in "ph"]
    assert 2 == len([one for one in plans if "supportingInfo" in one])


@pytest.mark.requirement("NY-11")
@pytest.mark.parametrize(
    ("period", "statuses"),
    [({"start": "2022-01-01", "end": "2022-12-31"}, [201, 201]), ({"start": "2022-01-01"}, [422, 422])],
)
async def test_plans_for_the_time_before_the_carve_in_are_each_ones_own(
    client: httpx.AsyncClient, period: Json, statuses: list[int]
) -> None:
    await new_york(client)
    since = {"start": "2021-01-01"}
    await kept(
        client,
        enrolled(MEMBER, "ny-map", PLAN, **since),
        enrolled(MEMBER, "ny-health-home", HOME, **since),
    )
    plans = planned("p", PLAN, "chha", period=period), planned("h", HOME, "pers", period=period)
    assert statuses == [(await put(client, plan)).status_code for plan in plans]


@pytest.mark.requirement("NY-11")
async def test_next_years_plan_begins_as_this_ones_ends(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one", period={"start": day(-100), "end": day(10)}))
    assert 422 == (await put(here, shared("two", period={"start": day(10)}))).status_code
    assert 201 == (await put(here, shared("two", period={"start": day(11)}))).status_code
    longer = shared("one", period={"start": day(-100), "end": day(11)})
    assert (422, ["business-rule"]) == refusal(await put(here, longer))


@pytest.mark.requirement("NY-11")
@pytest.mark.parametrize("kind", ["PUT", "PATCH", "transaction"])
async def test_the_one_plan_stays_the_one_of_both(here: httpx.AsyncClient, kind: str) -> None:
    await kept(here, shared("one"))
    nobodys = shared("one")
    del nobodys["contributor"]
    if kind == "PATCH":
        patch = [{"op": "remove", "path": "/contributor"}]
        response = await here.patch("CarePlan/one", json=patch, headers={"Content-Type": "application/json-patch+json"})
    elif kind == "transaction":
        response = await here.post("", json=puts(nobodys))
    else:
        response = await put(here, nobodys)
    assert (422, ["business-rule"]) == refusal(response)
    assert places(response)[0].endswith(".contributor")
    of_others = shared("one", "Organization/hospital")
    assert (422, ["business-rule"]) == refusal(await put(here, of_others))


@pytest.mark.requirement("NY-11")
async def test_plans_that_are_parts_of_one_another_are_two(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one"))
    first = shared("two", partOf=[{"reference": "CarePlan/three"}])
    second = shared("three", partOf=[{"reference": "CarePlan/two"}])
    status, codes = refusal(await here.post("", json=puts(first, second)))
    assert (422, {"business-rule"}) == (status, set(codes))


@pytest.mark.requirement("NY-11")
async def test_plan_comes_to_be_a_members_who_has_one_already(here: httpx.AsyncClient) -> None:
    await kept(here, patient("m2"), enrolled("Patient/m2", "ny-map", PLAN))
    await kept(here, enrolled("Patient/m2", "ny-health-home", HOME))
    about = {"subject": {"reference": "Patient/m2"}}
    await kept(here, shared("one"), shared("two") | about)
    assert (422, ["business-rule"]) == refusal(await put(here, shared("two")))
    merged = patient("m2", link=[{"other": {"reference": MEMBER}, "type": "replaced-by"}])
    response = await put(here, merged)
    assert (422, ["business-rule"], ["Patient.link"]) == (*refusal(response), places(response))
    await kept(here, shared("two", status="completed") | about)
    assert 200 == (await put(here, merged)).status_code


@pytest.mark.requirement("NY-11", "NY-04")
async def test_enrolment_waits_for_no_plan_and_what_then_is_twice_is_found(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, planned("p", PLAN, "chha"), planned("h", HOME, "pers"))
    former = enrolled(MEMBER, "ny-mltcp", PLAN, end=day(-1), status="finished")
    await kept(client, former, enrolled(MEMBER, "ny-map", PLAN, start=day(0)))
    assert "second-plan" in (await client.get(f"{MEMBER}/$coordination-check")).text
    assert 200 == (await put(client, planned("p", PLAN, "chha", title="Hers"))).status_code
    assert 422 == (await put(client, shared("third"))).status_code


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


# One plan to read


@pytest.mark.requirement("NY-11")
async def test_comprehensive_plan_has_every_item_of_both_with_its_source(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    goal = {
        "resourceType": "Goal",
        "id": "g",
        "lifecycleStatus": "active",
        "description": {"text": "Walk <unaided>"},
        "subject": {"reference": MEMBER},
    }
    await kept(client, goal, planned("p", PLAN, "personal-care", "chha", goal=[{"reference": "Goal/g"}]))
    await kept(client, planned("h", HOME, "behavioral-health"), ordered("r", "other-outside-package", HAL))
    await kept(
        client, planned("past", PLAN, "pers", status="completed"), planned("draft", PLAN, "pers", status="draft")
    )
    found = await read(client)
    composition, plan = found["entry"][0]["resource"], found["entry"][1]["resource"]
    assert ("document", "Composition", "preliminary") == (
        found["type"],
        composition["resourceType"],
        composition["status"],
    )
    assert ("draft", [PLAN, HOME]) == (plan["status"], [one["reference"] for one in plan["contributor"]])
    expected = [("CarePlan/h", HOME), ("CarePlan/p", PLAN), ("CarePlan/p", PLAN), ("ServiceRequest/r", HOME)]
    assert expected == sources(plan)
    assert ["Goal/g"] == [one["reference"] for one in plan["goal"]]
    assert "Walk &lt;unaided&gt;" in composition["section"][2]["text"]["div"]
    assert {"h", "p", plan["id"]} == {one["id"] for one in of_type(found, "CarePlan")}


@pytest.mark.requirement("NY-11", "NY-19")
async def test_what_both_have_is_told_side_by_side_and_not_chosen(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, planned("p", PLAN, "adult-day-care"), planned("h", HOME, "adult-day-care"))
    found = await read(client)
    assert [("CarePlan/h", HOME), ("CarePlan/p", PLAN)] == sources(found["entry"][1]["resource"])
    _, services, _, settled, *_ = found["entry"][0]["resource"]["section"]
    row = "<td>Adult day care</td><td>CarePlan/p activity[0]</td><td>CarePlan/h activity[0]</td>"
    assert row in services["text"]["div"]
    assert "duplicate-coordination" in settled["text"]["div"]
    codes = [one["code"]["coding"][0]["code"] for one in of_type(found, "DetectedIssue")]
    assert ["duplicate-coordination", "contradiction"] == codes  # each has it performed by itself


@pytest.mark.requirement("NY-19")
async def test_what_the_other_has_as_not_to_be_done_contradicts_under_the_rule_against_duplication(
    client: httpx.AsyncClient,
) -> None:
    await new_york(client, "ny-mltcp")
    avoided = planned("h", HOME, "adult-day-care")
    avoided["activity"][0]["detail"]["doNotPerform"] = True
    await kept(client, planned("p", PLAN, "adult-day-care"), avoided)
    (issue,) = of_type(await read(client), "DetectedIssue")
    assert "contradiction" == issue["code"]["coding"][0]["code"]
    assert "not to be done" in issue["detail"]
    assert "Rule NY-19" in issue["detail"]
    assert {"CarePlan/p", "CarePlan/h"} == {one["reference"] for one in issue["implicated"]}


@pytest.mark.requirement("NY-11", "NY-13")
async def test_shared_plan_is_the_one_plan_and_has_the_form_of_the_lead(here: httpx.AsyncClient) -> None:
    await named(here)
    await kept(here, shared("one"))
    found = await read(here)
    composition, plan = found["entry"][0]["resource"], found["entry"][1]["resource"]
    assert ("active", "final") == (plan["status"], composition["status"])
    (form,) = of_type(found, "QuestionnaireResponse")
    assert [f"QuestionnaireResponse/{form['id']}"] == [one["reference"] for one in plan["supportingInfo"]]
    assert "Manager hal (1-212-555-0100) leads since" in composition["section"][0]["text"]["div"]


@pytest.mark.requirement("NY-11", "ADJ-13")
async def test_care_team_has_the_lead_of_both_though_no_plan_names_a_team(here: httpx.AsyncClient) -> None:
    await named(here)
    found = await read(here)
    (section,) = [one for one in found["entry"][0]["resource"]["section"] if one["title"] == "Care team"]
    teams = [one["reference"] for one in section["entry"]]
    assert {PLAN, HOME} == {one["managingOrganization"][0]["reference"] for one in of_type(found, "CareTeam")}
    assert (2, 1) == (len(teams), section["text"]["div"].count("Manager hal"))


@pytest.mark.requirement("NY-11")
async def test_one_plan_is_that_of_the_day_that_is_asked_about(client: httpx.AsyncClient) -> None:
    """Before 2023 each had its own; on a day for which no plan is, nothing is agreed on; nor where one is over."""
    await new_york(client)
    since = {"start": "2022-01-01"}
    await kept(client, asa(start="2022-01-01"), enrolled(MEMBER, "ny-map", PLAN, start="2022-01-01"))
    await kept(client, enrolled(MEMBER, "ny-health-home", HOME, start="2022-01-01"))
    await kept(client, planned("p", PLAN, "chha", period=since | {"end": "2022-06-30"}))
    await kept(client, planned("h", HOME, "pers", period=since | {"end": "2022-06-30"}))
    await kept(client, shared("former", period={"start": day(-60), "end": day(-31)}))
    await kept(client, shared("one", period={"start": day(-10)}))
    told = []
    for at in ("2022-06-01", "2022-12-01", day(-40), day(-20), day(0)):
        composition, plan = (entry["resource"] for entry in (await read(client, asOf=at))["entry"][:2])
        told.append((composition["status"], plan["status"], len(plan.get("activity", ()))))
    nothing, agreed = ("preliminary", "draft", 0), ("final", "active", 1)
    assert [("preliminary", "draft", 2), nothing, agreed, nothing, agreed] == told


@pytest.mark.requirement("NY-06")
async def test_plan_is_shared_under_an_agreement_and_with_those_two(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one"))
    for actor in (PLAN, PAT, HOME, "Practitioner/hal", MEMBER):
        await read(here, actor)
    for actor in (OLA, "Organization/other-home", "Patient/m2"):
        response = await here.get(f"{MEMBER}/$comprehensive-plan", headers=acting(actor))
        assert (404, ["not-found"]) == refusal(response)
    await kept(here, asa(end=day(-1)))
    assert (422, ["business-rule"]) == refusal(await here.get(f"{MEMBER}/$comprehensive-plan"))
    await read(here, asOf=day(-1))


@pytest.mark.requirement("NY-06", "NY-11")
async def test_without_an_agreement_the_one_plan_is_of_one_alone(here: httpx.AsyncClient) -> None:
    await kept(here, asa(end=day(-1)))
    response = await put(here, shared("one"))
    assert (422, ["business-rule"], ["CarePlan.contributor"]) == (*refusal(response), places(response))
    assert "NY-06" in response.json()["issue"][0]["details"]["text"]
    assert 201 == (await put(here, planned("p", PLAN, "chha"))).status_code
    await kept(here, asa())
    assert 200 == (await put(here, planned("p", PLAN, "chha", title="Hers"))).status_code
    assert 200 == (await put(here, shared("p"))).status_code
    await kept(here, asa(end=day(-1)))
    assert 200 == (await put(here, shared("p", title="Ours"))).status_code


async def test_member_of_one_alone_has_no_comprehensive_plan(here: httpx.AsyncClient) -> None:
    for actor in (None, PLAN, MEMBER):
        before = await here.get(f"{MEMBER}/$comprehensive-plan?asOf=2020-01-01", headers=acting(actor) if actor else {})
        assert (422, ["required"]) == refusal(before)
    await kept(here, patient("m2"), enrolled("Patient/m2", "ny-map", PLAN))
    assert (422, ["required"]) == refusal(await here.get("Patient/m2/$comprehensive-plan"))
    response = await here.get("Patient/m2/$comprehensive-plan", headers=acting(HAL))
    assert (404, ["not-found"]) == refusal(response)


@pytest.mark.requirement("NY-11")
async def test_comprehensive_plan_of_an_earlier_position_is_as_it_was(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one"))
    before = (await here.get("http://127.0.0.1/health")).json()["position"]
    await kept(here, shared("one", title="Another"))
    found = await read(here, at=str(before))
    assert [None] == [one.get("title") for one in of_type(found, "CarePlan") if one["id"] == "one"]
