"""New York: the one plan of care is proposed by one organization and accepted by the other before it is active."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.answers import entry, places, refusal, transaction
from tests.coordination.memory import coding
from tests.scenarios.iowa import Json, kept, parameters, put, puts
from tests.scenarios.new_york import HAL, HOME, MEMBER, OLA, PAT, PLAN, acting, asa, day, enrolled, new_york, respond
from tests.scenarios.new_york_care import ordered, planned
from tests.scenarios.new_york_plan import goal, of_type, proposal, proposed, read, shared, sources, status

REASON = ("valueCodeableConcept", {"text": "The aide's hours are too few"})


async def propose(client: httpx.AsyncClient, actor: str = PLAN) -> httpx.Response:
    asked = parameters(propose=("valueBoolean", True))
    return await client.post(f"{MEMBER}/$comprehensive-plan", json=asked, headers=acting(actor))


async def active(client: httpx.AsyncClient) -> list[str]:
    found = (await client.get("CarePlan", params={"patient": MEMBER, "status": "active"})).json()
    return [entry["resource"]["id"] for entry in found.get("entry", ())]


@pytest.mark.requirement("NY-11")
async def test_merged_plan_is_proposed_by_one_and_active_as_the_other_accepts(here: httpx.AsyncClient) -> None:
    await kept(here, planned("p", PLAN, "personal-care", status="draft"), ordered("r", "other-outside-package", HAL))
    await kept(here, planned("h", HOME, "behavioral-health", status="draft"))
    response = await propose(here)
    assert 201 == response.status_code, response.text
    composition, plan = (entry["resource"] for entry in response.json()["entry"][:2])
    (task,) = of_type(response.json(), "Task")
    assert ("preliminary", "draft") == (composition["status"], plan["status"])
    assert [("CarePlan/h", HOME), ("CarePlan/p", PLAN), ("ServiceRequest/r", HOME)] == sources(plan)
    assert (plan, task) == (
        (await here.get(f"CarePlan/{plan['id']}")).json(),
        (await here.get(f"Task/{task['id']}")).json(),
    )
    assert ("requested", PLAN, HOME, f"CarePlan/{plan['id']}") == (
        task["status"],
        task["requester"]["reference"],
        task["owner"]["reference"],
        task["focus"]["reference"],
    )
    assert [] == await active(here)
    done = await respond(here, task)
    assert (200, "completed") == (done.status_code, done.json()["status"])
    assert [plan["id"]] == await active(here)
    assert ["revoked", "revoked"] == [await status(here, one) for one in ("CarePlan/p", "CarePlan/h")]
    whole = await read(here, HOME)
    assert ("final", "active") == tuple(one["resource"]["status"] for one in whole["entry"][:2])
    assert [("CarePlan/h", HOME), ("CarePlan/p", PLAN), ("ServiceRequest/r", HOME)] == sources(
        whole["entry"][1]["resource"]
    )
    assert (409, ["conflict"]) == refusal(await propose(here))


@pytest.mark.requirement("NY-11", "NY-14")
async def test_what_became_of_a_proposed_plan_is_said_by_nobody_but_the_server(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one", status="draft"))
    output = [{"type": coding("cm-acceptance", "since"), "valueDateTime": "2025-01-01T00:00:00Z"}]
    task = await proposed(here, output=output)
    assert "output" not in task
    for element, other in (
        ("businessStatus", coding("cm-designation-state", "accepted")),
        ("output", output),
        ("authoredOn", "2025-01-01T00:00:00Z"),
    ):
        response = await put(here, {**task, element: other}, headers=acting(PLAN))
        assert (409, ["conflict"]) == refusal(response)
        assert [f"Task.{element}"] == places(response)
    done = {**task, "status": "accepted", "businessStatus": coding("cm-designation-state", "declined")}
    response = await put(here, done, headers=acting(HOME))
    assert (200, "accepted") == (response.status_code, response.json()["businessStatus"]["coding"][0]["code"])
    without = {name: value for name, value in response.json().items() if name != "output"}
    assert (409, ["conflict"]) == refusal(await put(here, without))


@pytest.mark.requirement("NY-11")
@pytest.mark.parametrize("program", ["ny-map", "ny-mltcp"])
@pytest.mark.parametrize("actor", [PLAN, HOME, ""])
async def test_plan_that_both_accepted_is_deleted_by_nobody(
    client: httpx.AsyncClient, program: str, actor: str
) -> None:
    await new_york(client, program)
    await kept(client, shared("one", status="draft"), shared("two", status="draft"))
    assert 200 == (await respond(client, await proposed(client))).status_code
    for state in ("active", "revoked"):
        await put(client, (await client.get("CarePlan/one")).json() | {"status": state}, headers=acting(HOME))
        assert (422, ["business-rule"]) == refusal(await client.delete("CarePlan/one", headers=acting(actor)))
        response = await client.post("", json=transaction(entry("DELETE", "CarePlan/one")), headers=acting(actor))
        assert (422, ["business-rule"]) == refusal(response)
    again = (await client.get("CarePlan/one")).json() | {"status": "active"}
    assert 200 == (await put(client, again, headers=acting(PLAN))).status_code
    assert 204 == (await client.delete("CarePlan/two", headers=acting(actor))).status_code


@pytest.mark.requirement("NY-11")
async def test_active_plan_of_both_is_deleted_by_neither_while_both_have_the_member(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one"))
    for actor in (PLAN, HOME):
        assert (422, ["business-rule"]) == refusal(await here.delete("CarePlan/one", headers=acting(actor)))
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(-1), status="finished"))
    assert 204 == (await here.delete("CarePlan/one", headers=acting(PLAN))).status_code


@pytest.mark.requirement("NY-11")
async def test_partial_capitation_may_agree_on_one_plan_too(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, planned("p", PLAN, "personal-care"), planned("h", HOME, "behavioral-health"))
    response = await propose(client, HAL)
    (task,) = of_type(response.json(), "Task")
    assert (201, PLAN) == (response.status_code, task["owner"]["reference"])
    assert ["active", "active"] == [await status(client, one) for one in ("CarePlan/p", "CarePlan/h")]
    assert 200 == (await respond(client, task, actor=PAT)).status_code
    assert ["completed", "completed"] == [await status(client, one) for one in ("CarePlan/p", "CarePlan/h")]
    assert [task["focus"]["reference"].partition("/")[2]] == await active(client)


@pytest.mark.requirement("NY-11")
@pytest.mark.parametrize("door", ["PUT", "POST", "PATCH", "transaction", "conditional"])
async def test_plan_of_both_is_made_active_by_nobody_alone(here: httpx.AsyncClient, door: str) -> None:
    headers = acting(PLAN)
    if door == "PATCH":
        await kept(here, shared("one", status="draft"))
        patch = [{"op": "replace", "path": "/status", "value": "active"}]
        content = {"Content-Type": "application/json-patch+json"}
        response = await here.patch("CarePlan/one", json=patch, headers=headers | content)
    elif door == "transaction":
        response = await here.post("", json=puts(shared("one")), headers=headers)
    elif door == "conditional":
        response = await here.put(f"CarePlan?patient={MEMBER}", json=shared("one"), headers=headers)
    else:
        url = "CarePlan" if door == "POST" else "CarePlan/one"
        response = await here.request(door, url, json=shared("one"), headers=headers)
    assert (422, ["business-rule"]) == refusal(response)
    assert places(response)[0].endswith(".status")
    assert "plan-acceptance" in response.json()["issue"][0]["diagnostics"]
    assert [] == await active(here)


@pytest.mark.requirement("NY-11")
async def test_local_system_speaks_for_both(here: httpx.AsyncClient) -> None:
    assert 201 == (await put(here, shared("one"))).status_code
    assert 200 == (await put(here, shared("one", period={"start": day(-1)}))).status_code


@pytest.mark.requirement("NY-11")
async def test_plain_task_proposes_a_draft_and_a_plain_patch_accepts_it(here: httpx.AsyncClient) -> None:
    await put(here, shared("one", status="draft"), headers=acting(PAT))
    task = await proposed(here, actor=PAT)
    patch = [{"op": "replace", "path": "/status", "value": "completed"}]
    headers = {"Content-Type": "application/json-patch+json"}
    for actor, refused in ((PAT, 422), (PLAN, 422), (MEMBER, 422), (OLA, 404)):
        response = await here.patch(f"Task/{task['id']}", json=patch, headers=headers | acting(actor))
        assert refused == response.status_code, (actor, response.text)
    response = await here.patch(f"Task/{task['id']}", json=patch, headers=headers | acting(HAL))
    assert 200 == response.status_code, response.text
    assert ("accepted", "active") == (
        response.json()["businessStatus"]["coding"][0]["code"],
        await status(here),
    )
    assert {"since", "agreement"} == {one["type"]["coding"][0]["code"] for one in response.json()["output"]}


@pytest.mark.requirement("NY-11")
async def test_one_of_two_plans_in_one_transaction_waits(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one", status="draft"), shared("two", status="draft"))
    tasks = [proposal(f"CarePlan/{plan}", id=plan) for plan in ("one", "two")]
    both = await here.post("", json=puts(*tasks), headers=acting(PLAN))
    assert (409, ["conflict"]) == refusal(both)
    first, again = [await put(here, tasks[0], headers=acting(PLAN)) for _ in range(2)]
    assert (201, 200, first.json()) == (first.status_code, again.status_code, again.json())
    declined = tasks[0] | {"status": "rejected", "statusReason": {"text": "Not yet"}}
    response = await put(here, declined, headers=acting(HOME))
    assert (200, PLAN) == (response.status_code, response.json()["requester"]["reference"])


@pytest.mark.requirement("NY-11")
async def test_what_is_accepted_is_what_was_proposed(here: httpx.AsyncClient) -> None:
    plan = shared("one", status="draft")
    await put(here, plan, headers=acting(PLAN))
    task = await proposed(here)
    await put(here, plan | {"period": {"start": day(0), "end": day(30)}}, headers=acting(PLAN))
    assert (409, ["conflict"]) == refusal(await respond(here, task))
    await put(here, plan | {"title": "Ours"}, headers=acting(PLAN))  # says the same of what is agreed on
    assert 200 == (await respond(here, task)).status_code
    assert "active" == await status(here)


@pytest.mark.requirement("NY-11")
async def test_work_goes_on_with_an_accepted_plan_and_its_content_is_agreed_on_anew(here: httpx.AsyncClient) -> None:
    await put(here, shared("one", status="draft"), headers=acting(PLAN))
    await respond(here, await proposed(here))
    plan = (await here.get("CarePlan/one")).json()
    progress = {**plan["activity"][0], "progress": [{"time": day(0), "text": "Begun"}]}
    progress["detail"] = progress["detail"] | {"status": "on-hold"}
    assert 200 == (await put(here, plan | {"activity": [progress]}, headers=acting(HAL))).status_code
    other = [{"detail": plan["activity"][0]["detail"] | {"code": coding("ny-service", "chha")}}]
    changed = plan | {"activity": other}
    assert (422, ["business-rule"]) == refusal(await put(here, changed, headers=acting(HAL)))
    following = shared("two", status="draft", replaces=[{"reference": "CarePlan/one"}], activity=other)
    await put(here, following, headers=acting(HAL))
    task = await proposed(here, "CarePlan/two", actor=HOME)
    assert 200 == (await respond(here, task, actor=PLAN)).status_code
    assert (["two"], "completed") == (await active(here), await status(here))


@pytest.mark.requirement("NY-11")
async def test_plan_is_declined_for_a_reason_withdrawn_or_countered(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one", status="draft"), shared("other", status="draft", description="Ours"))
    task = await proposed(here)
    assert (409, ["conflict"]) == refusal(await here.post("Task", json=proposal(), headers=acting(HOME)))
    assert (422, ["business-rule"]) == refusal(await respond(here, task, "decline"))
    assert (422, ["business-rule"]) == refusal(await respond(here, task, "withdraw"))
    assert 200 == (await respond(here, task, "decline", reason=REASON)).status_code
    assert (409, ["conflict"]) == refusal(await respond(here, task))
    task = await proposed(here)
    assert 200 == (await respond(here, task, "withdraw", actor=PLAN)).status_code
    task = await proposed(here)
    assert (400, ["required"]) == refusal(await respond(here, task, "counter"))
    countered = await respond(here, task, "counter", plan=("valueReference", {"reference": "CarePlan/other"}))
    assert (201, PLAN) == (countered.status_code, countered.json()["owner"]["reference"])
    assert [{"reference": f"Task/{task['id']}"}] == countered.json()["basedOn"]
    former = (await here.get(f"Task/{task['id']}")).json()
    assert ("rejected", "countered") == (former["status"], former["businessStatus"]["coding"][0]["code"])
    whole = shared("x", status="draft", description="Yours and ours")
    asked = parameters(response=("valueCode", "counter"))
    asked["parameter"].append({"name": "plan", "resource": whole})
    again = await here.post(f"Task/{countered.json()['id']}/$respond", json=asked, headers=acting(PLAN))
    assert (201, HOME) == (again.status_code, again.json()["owner"]["reference"])
    assert 200 == (await respond(here, again.json())).status_code
    assert [again.json()["focus"]["reference"]] == [f"CarePlan/{one}" for one in await active(here)]


@pytest.mark.requirement("NY-11", "NY-06")
async def test_proposal_is_of_a_draft_of_both_under_an_agreement(here: httpx.AsyncClient) -> None:
    of_one = shared("half", PLAN, status="draft")
    await kept(here, of_one, shared("one", status="draft"), shared("old", PLAN, status="completed"))
    for plan, path in (("CarePlan/half", "CarePlan.contributor"), ("CarePlan/old", "CarePlan.status")):
        response = await here.post("Task", json=proposal(plan), headers=acting(PLAN))
        assert (422, path) == (response.status_code, places(response)[0])
    assert 422 == (await here.post("Task", json=proposal("CarePlan/none"), headers=acting(PLAN))).status_code
    assert 403 == (await here.post("Task", json=proposal(), headers=acting(OLA))).status_code
    assert 422 == (await here.post("Task", json=proposal(), headers=acting(MEMBER))).status_code
    task = await proposed(here)
    await kept(here, asa(end=day(-1)))
    assert (422, ["business-rule"]) == refusal(await respond(here, task))
    assert "draft" == await status(here)
    assert 200 == (await respond(here, task, "withdraw", actor=PLAN)).status_code
    assert (422, ["business-rule"]) == refusal(await here.post("Task", json=proposal(), headers=acting(PLAN)))


@pytest.mark.requirement("NY-11")
async def test_plan_that_is_active_for_the_same_time_is_replaced(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one"), shared("two", status="draft"))
    response = await here.post("Task", json=proposal("CarePlan/two"), headers=acting(PLAN))
    assert (422, ["CarePlan.replaces"]) == (response.status_code, places(response))


@pytest.mark.requirement("NY-11")
async def test_nobody_replaces_anothers_plan(here: httpx.AsyncClient) -> None:
    theirs = planned("hospital", "Organization/hospital", "chha")
    links = [{"reference": "CarePlan/hospital"}]
    await kept(here, theirs, shared("one", status="draft", replaces=links))
    await respond(here, await proposed(here))
    assert "active" == await status(here, "CarePlan/hospital")


@pytest.mark.requirement("NY-11")
async def test_both_propose_at_once_and_an_acceptance_meets_a_change(here: httpx.AsyncClient) -> None:
    plan = shared("one", status="draft")
    await kept(here, plan, planned("p", PLAN, "chha", status="draft"))
    for number in range(5):
        answers = await asyncio.gather(propose(here), here.post("Task", json=proposal(), headers=acting(HOME)))
        assert [201, 409] == sorted(one.status_code for one in answers)
        (task,) = (await here.get("Task", params={"status": "requested"})).json()["entry"]
        mine = task["resource"]
        await respond(here, mine, "withdraw", actor=mine["requester"]["reference"])
        task = await proposed(here)
        version = {"If-Match": (await here.get("CarePlan/one")).headers["ETag"]}
        changed = put(here, plan | {"description": f"Version {number}"}, headers=acting(PLAN) | version)
        one, other = await asyncio.gather(respond(here, task), changed)
        assert (one.status_code, other.status_code) in {(409, 200), (200, 412)}, (one.text, other.text)
        assert (await status(here) == "active") == (one.status_code == 200)
        if one.status_code == 200:
            break
        await respond(here, task, "withdraw", actor=PLAN)


@pytest.mark.requirement("NY-11")
async def test_two_acceptances_at_once_are_one(here: httpx.AsyncClient) -> None:
    await kept(here, shared("one", status="draft"))
    task = await proposed(here)
    answers = await asyncio.gather(respond(here, task), respond(here, task), respond(here, task, "withdraw", PLAN))
    assert [200, 409, 409] == sorted(one.status_code for one in answers)
    ended = (await here.get(f"Task/{task['id']}")).json()["status"]
    assert ("active" if ended == "completed" else "draft") == await status(here)


# What contradicts


async def contradictions(client: httpx.AsyncClient) -> list[Json]:
    found = of_type(await read(client), "DetectedIssue")
    return [one for one in found if "contradiction" == one["code"]["coding"][0]["code"]]


@pytest.mark.requirement("NY-11", "ADJ-11", "ADJ-13")
async def test_goals_that_contradict_each_other_stand_side_by_side(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, goal("gp", 7, day(90)), goal("gh", 8, day(90)))
    await kept(client, planned("p", PLAN, "personal-care", goal=[{"reference": "Goal/gp"}]))
    await kept(client, planned("h", HOME, "behavioral-health", goal=[{"reference": "Goal/gh"}]))
    (issue,) = await contradictions(client)
    assert ["Goal/gp", "Goal/gh"] == [one["reference"] for one in issue["implicated"]]
    assert {PLAN, HOME} == {one["code"][0]["text"] for one in issue["evidence"]}
    (section,) = [
        one for one in (await read(client))["entry"][0]["resource"]["section"] if "What contradicts" == one["title"]
    ]
    row = f"<td>Hemoglobin A1c</td><td>7 % by {day(90)}</td><td>8 % by {day(90)}</td>"
    assert row in section["text"]["div"]
    assert ["Goal/gp", "Goal/gh"] == [one["reference"] for one in section["entry"]]
    await kept(client, goal("gh", 7, day(90)))
    assert [] == await contradictions(client)
    await kept(client, goal("gh", 7, day(91)))
    assert 1 == len(await contradictions(client))
    await kept(client, goal("gh", 7, day(91), lifecycleStatus="cancelled"))
    assert [] == await contradictions(client)


@pytest.mark.requirement("NY-11", "ADJ-11")
async def test_services_of_a_kind_in_another_frequency_stand_side_by_side(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")

    def weekly(id: str, of: str, times: int) -> Json:
        plan = planned(id, of, "personal-care")
        timing = {"repeat": {"frequency": times, "period": 1, "periodUnit": "wk"}}
        aide = [{"display": "Aides of Queens"}]
        tag = {"system": "https://careplan-server.org/fhir/CodeSystem/ny-billing-party"}
        plan["meta"] = {"tag": [tag | {"code": "plan" if of == PLAN else "health-home"}]}
        plan["activity"][0]["detail"] |= {"scheduledTiming": timing, "performer": aide}
        return plan

    await kept(client, weekly("p", PLAN, 5), weekly("h", HOME, 3))
    (issue,) = await contradictions(client)
    assert "5 times per week, Aides of Queens | 3 times per week, Aides of Queens" in issue["detail"]
    await kept(client, weekly("h", HOME, 5))
    assert [] == await contradictions(client)


@pytest.mark.requirement("NY-11", "ADJ-11")
async def test_need_that_the_two_meet_otherwise_stands_side_by_side(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    need = [{"coding": [{"system": "urn:example:need", "code": "falls", "display": "Falls"}]}]
    of_plan, of_home = planned("p", PLAN, "personal-care"), planned("h", HOME, "pers")
    for plan in (of_plan, of_home):
        plan["activity"][0]["detail"]["reasonCode"] = need
    await kept(client, of_plan, of_home)
    (issue,) = await contradictions(client)
    assert issue["detail"].startswith("Need Falls:")


@pytest.mark.requirement("NY-11", "ADJ-11")
async def test_need_in_the_same_words_stands_side_by_side_too(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    of_plan = planned("p", PLAN, "personal-care")
    of_plan["activity"][0]["detail"]["reasonCode"] = [{"text": "Fear of  falling"}]
    in_words, apart = [{"coding": [{"display": "fear of falling"}]}], [{"text": "Hunger"}]
    await kept(client, of_plan, ordered("r", "behavioral-health", HOME, reasonCode=in_words))
    (issue,) = await contradictions(client)
    assert issue["detail"].startswith("Need Fear of  falling:")
    assert {"CarePlan/p", "ServiceRequest/r"} == {one["reference"] for one in issue["implicated"]}
    await kept(client, ordered("r", "behavioral-health", HOME, reasonCode=apart))
    assert [] == await contradictions(client)
    assert "<td>Hunger</td>" in await section(client, "Services in full")
    displayed = [{"display": "Fear of falling"}]
    await kept(client, ordered("r", "behavioral-health", HOME, reasonReference=displayed))
    assert 1 == len(await contradictions(client))
    assert "<td>Fear of falling</td>" in await section(client, "Services in full")


async def section(client: httpx.AsyncClient, title: str) -> str:
    """What a person reads of one section of the document."""
    sections = (await read(client))["entry"][0]["resource"]["section"]
    return "".join(one["text"]["div"] for one in sections if title == one["title"])


@pytest.mark.requirement("ADJ-11", "ADJ-13")
async def test_informal_supports_are_those_on_the_members_own_record_too(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, planned("p", PLAN, "personal-care"))
    assert "Nothing is on record" in await section(client, "Informal supports")
    daughter = {
        "name": {"text": "Rosa Diaz"},
        "relationship": [{"text": "Daughter"}, {"text": "Emergency contact"}],
        "telecom": [{"system": "phone", "use": "home", "value": "1-212-555-0188"}],
    }
    former = {"name": {"text": "Juan Diaz"}, "period": {"end": day(-1)}}
    aunt = {"relationship": [{"text": "Aunt"}], "telecom": [{"system": "phone", "value": "1-212-555-0199"}]}
    await kept(client, {"resourceType": "Patient", "id": "m1", "contact": [daughter, former, aunt]})
    told = await section(client, "Informal supports")
    assert "<td>Rosa Diaz, Daughter, Emergency contact</td><td>1-212-555-0188</td>" in told
    assert "<td>Aunt</td><td>1-212-555-0199</td>" in told
    assert "Juan Diaz" not in told


@pytest.mark.requirement("ADJ-11", "ADJ-13")
async def test_document_has_the_fields_of_the_states_plan(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    about = {
        "name": [{"text": "Dora Diaz"}],
        "birthDate": "1940-02-03",
        "telecom": [{"system": "phone", "value": "1-212-555-0177"}],
        "communication": [{"language": {"coding": [{"system": "urn:ietf:bcp:47", "code": "es"}], "text": "Spanish"}}],
        "generalPractitioner": [{"display": "Dr. Park"}],
    }
    daughter = {
        "resourceType": "RelatedPerson",
        "id": "rosa",
        "patient": {"reference": MEMBER},
        "name": [{"text": "Rosa Diaz"}],
        "relationship": [{"text": "Daughter"}],
        "telecom": [{"system": "phone", "value": "1-212-555-0188"}],
    }
    patient = {"resourceType": "Patient", "id": "m1", **about}
    await kept(client, patient, daughter, planned("p", PLAN, "personal-care"))
    await kept(client, planned("h", HOME, "behavioral-health"))
    text = "".join(one["text"]["div"] for one in (await read(client))["entry"][0]["resource"]["section"])
    of_member = ("Dora Diaz", "1940-02-03", "1-212-555-0177", "Spanish", "Dr. Park")
    supports = ("Rosa Diaz", "Daughter", "1-212-555-0188")
    for told in (*of_member, *supports, "2025-02-01 to no end", "in-plan", "linked with CarePlan/p"):
        assert told in text, told
