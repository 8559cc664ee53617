"""New York: a plan and a Health Home name one lead together, under their agreement and on the form."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.answers import ids, places, refusal, rules
from tests.coordination.memory import BASE, coding, patient, role, team
from tests.scenarios.iowa import Json, kept, parameters, put, puts
from tests.scenarios.new_york import (
    FORM,
    HAL,
    HOME,
    MEMBER,
    NY_MAP,
    NY_MLTCP,
    OLA,
    OTHER,
    PAT,
    PLAN,
    ROOT,
    acting,
    asa,
    counter,
    day,
    enrolled,
    form,
    lead,
    manager,
    midnight,
    named,
    need,
    organization,
    propose,
    proposed,
    respond,
    shipped,
    teams,
)

AGENCY, AMY = "Organization/agency", "PractitionerRole/amy"


@pytest.mark.requirement("NY-14", "NY-15", "NY-20")
async def test_lead_is_named_by_both_on_the_members_needs(here: httpx.AsyncClient) -> None:
    task = await proposed(here)
    assert ("requested", "proposal", PLAN, HOME) == (
        task["status"],
        task["intent"],
        task["requester"]["reference"],
        task["owner"]["reference"],
    )
    assert "behavioral-health" == task["reasonCode"]["coding"][0]["code"]
    assert {} == await lead(here)
    response = await respond(here, task)
    assert (200, "completed") == (response.status_code, response.json()["status"])
    found = await lead(here)
    assert (HAL, HOME, "Contract/asa") == (found["lead"], found["organization"], found["agreement"])
    told = [(HAL, found["since"], None)]
    assert {PLAN: told, HOME: told} == await teams(here)


@pytest.mark.requirement("NY-14", "NY-21")
async def test_both_organizations_are_told_of_the_lead(here: httpx.AsyncClient) -> None:
    task = await named(here)
    found = (await here.get("Communication", params={"subject": MEMBER})).json()["entry"]
    notices = [entry["resource"] for entry in found]
    assert {PLAN, HOME} == {one["recipient"][0]["reference"] for one in notices}
    assert {f"Task/{task['id']}"} == {one["about"][0]["reference"] for one in notices}
    assert all("Manager hal (1-212-555-0100) leads" in one["payload"][0]["contentString"] for one in notices)


@pytest.mark.requirement("NY-21")
async def test_what_one_is_told_the_other_takes_not_away(here: httpx.AsyncClient) -> None:
    await named(here)
    (notice,) = ids(await here.get("Communication", params={"recipient": PLAN}))
    assert (403, ["forbidden"]) == refusal(await here.delete(f"Communication/{notice}", headers=acting(HOME)))
    assert 204 == (await here.delete(f"Communication/{notice}", headers=acting(PLAN))).status_code


@pytest.mark.requirement("NY-14")
async def test_nobody_answers_a_proposal_of_their_own_nor_for_others(here: httpx.AsyncClient) -> None:
    task = await proposed(here, actor=PAT)
    for actor in (PLAN, PAT, "Practitioner/pat", MEMBER):
        assert (422, ["business-rule"]) == refusal(await respond(here, task, actor=actor)), actor
    assert (404, ["not-found"]) == refusal(await respond(here, task, actor=OLA))
    assert {} == await lead(here)
    assert 200 == (await respond(here, task, actor="Practitioner/hal")).status_code
    assert HAL == (await lead(here))["lead"]


@pytest.mark.requirement("NY-14", "NY-20")
@pytest.mark.parametrize("method", ["PUT", "POST", "PATCH", "transaction"])
async def test_lead_is_named_by_nobody_alone_whatever_the_door(here: httpx.AsyncClient, method: str) -> None:
    of_hal = {"role": [coding("cm-role", "lead-care-manager")], "member": {"reference": HAL}}
    plain = team("m1", managingOrganization=[{"reference": HOME}])
    del plain["participant"]
    named = {**plain, "participant": [{**of_hal, "period": {"start": day(0)}}]}
    if method == "PATCH":
        await kept(here, plain)
        patch = [{"op": "add", "path": "/participant", "value": named["participant"]}]
        response = await here.patch("CareTeam/m1", json=patch, headers={"Content-Type": "application/json-patch+json"})
    elif method == "transaction":
        response = await here.post("", json=puts(named))
    else:
        url = "CareTeam" if method == "POST" else "CareTeam/m1"
        response = await here.request(method, url, json=named)
    assert (422, ["business-rule"]) == refusal(response)
    assert places(response)[0].endswith("participant[0]")
    assert {"NY-14"} == rules(response)
    assert {} == await lead(here)


@pytest.mark.requirement("NY-14")
@pytest.mark.parametrize("member", [{"display": "Hal"}, {"reference": "Practitioner/hal"}])
async def test_lead_whom_nobody_could_have_named_is_refused(here: httpx.AsyncClient, member: Json) -> None:
    participant = {"role": [coding("cm-role", "lead-care-manager")], "member": member}
    response = await put(here, team("m1", participant, managingOrganization=[{"reference": HOME}]))
    assert (422, ["business-rule"]) == refusal(response)
    assert ["CareTeam.participant[0].member"] == places(response)


@pytest.mark.requirement("NY-14", "NY-20")
async def test_lead_is_neither_ended_nor_changed_nor_dropped_by_one_organization(here: httpx.AsyncClient) -> None:
    await named(here)
    before = await teams(here)
    found = (await here.get("CareTeam", params={"patient": MEMBER})).json()["entry"]
    stored = next(one["resource"] for one in found if one["resource"]["managingOrganization"][0]["reference"] == PLAN)
    participant = stored["participant"][0]
    second = await put(here, {**stored, "participant": [participant, {**participant, "member": {"reference": PAT}}]})
    assert (422, {"NY-14", "NY-20"}) == (second.status_code, rules(second))
    for changed in (
        {**stored, "participant": [{**participant, "period": {**participant["period"], "end": day(1)}}]},
        {**stored, "status": "inactive"},
        {one: stored[one] for one in stored if one != "participant"},
    ):
        assert (422, ["business-rule"]) == refusal(await put(here, changed))
    assert (422, ["business-rule"]) == refusal(await here.delete(f"CareTeam/{stored['id']}"))
    other = {"member": {"reference": "Practitioner/pat"}, "role": [coding("cm-role", "nurse")]}
    response = await put(here, {**stored, "participant": [participant, other]})
    assert 200 == response.status_code, response.text
    await put(here, stored)
    assert before == await teams(here)


@pytest.mark.requirement("NY-14", "NY-20")
async def test_team_that_says_who_leads_stays_of_its_organization(here: httpx.AsyncClient) -> None:
    await named(here)
    before = await teams(here)
    found = (await here.get("CareTeam", params={"patient": MEMBER})).json()["entry"]
    stored = next(one["resource"] for one in found if one["resource"]["managingOrganization"][0]["reference"] == HOME)
    patch = [{"op": "replace", "path": "/managingOrganization/0/reference", "value": PLAN}]
    headers = {"Content-Type": "application/json-patch+json", **acting(HOME)}
    without = {name: stored[name] for name in stored if name != "managingOrganization"}
    for response in (
        await here.patch(f"CareTeam/{stored['id']}", json=patch, headers=headers),
        await put(here, without),
        await here.post("", json=puts({**stored, "managingOrganization": [{"reference": OTHER}]})),
    ):
        assert (422, ["business-rule"]) == refusal(response)
        assert places(response)[0].endswith(".managingOrganization")
    also = [*stored["managingOrganization"], {"reference": OTHER}]
    assert 200 == (await put(here, {**stored, "managingOrganization": also})).status_code
    assert 200 == (await put(here, stored)).status_code
    assert before == await teams(here)


@pytest.mark.requirement("NY-20")
async def test_next_lead_begins_as_the_former_ends(here: httpx.AsyncClient) -> None:
    await named(here, lead=HAL, effective=("valueDate", day(-30)))
    await named(here, lead=PAT, effective=("valueDate", day(10)))
    assert [None, HAL, HAL, PAT] == [(await lead(here, day(at))).get("lead") for at in (-31, -30, 9, 10)]
    told = [(HAL, midnight(-30), midnight(10)), (PAT, midnight(10), None)]
    assert {PLAN: told, HOME: told} == await teams(here)


@pytest.mark.requirement("NY-20")
async def test_lead_that_was_to_come_gives_way_to_one_agreed_on_later(here: httpx.AsyncClient) -> None:
    await named(here, lead=HAL, effective=("valueDate", day(30)))
    await named(here, lead=PAT, effective=("valueDate", day(10)))
    assert [None, PAT, PAT] == [(await lead(here, day(at))).get("lead") for at in (9, 10, 30)]


@pytest.mark.requirement("NY-20")
async def test_who_led_stays_in_the_record(here: httpx.AsyncClient) -> None:
    await named(here, lead=HAL, effective=("valueDate", day(-30)))
    await named(here, lead=PAT, effective=("valueDate", day(-10)))
    assert (409, ["conflict"]) == refusal(await propose(here, HAL, effective=("valueDate", day(-20))))
    assert (409, ["conflict"]) == refusal(await propose(here, HAL, effective=("valueDate", day(-11))))


@pytest.mark.requirement("NY-14")
async def test_program_is_named_in_the_version_that_is_in_force_as_the_lead_begins(here: httpx.AsyncClient) -> None:
    canonical = f"{BASE}/PlanDefinition/ny-map"
    response = await propose(here, program=("valueCanonical", f"{canonical}|9"))
    assert (422, ["not-found"]) == refusal(response)
    assert ["Parameters.parameter.where(name='program')"] == places(response)
    assert 201 == (await propose(here, program=("valueCanonical", f"{canonical}|1.0.0"))).status_code


@pytest.mark.requirement("NY-20")
@pytest.mark.parametrize("offset", [-10, 0])
async def test_who_led_is_not_replaced_from_their_first_instant_on(here: httpx.AsyncClient, offset: int) -> None:
    await named(here, lead=HAL, effective=("valueDate", day(offset)))
    response = await propose(here, PAT, effective=("valueDate", day(offset)))
    assert (409, ["conflict"]) == refusal(response)
    assert ["Parameters.parameter.where(name='effective')"] == places(response)
    await named(here, lead=PAT)
    assert [HAL, PAT] == [(await lead(here, at))["lead"] for at in (midnight(offset), None)]


@pytest.mark.requirement("NY-14")
async def test_who_is_at_a_partner_is_for_the_partner_to_say(here: httpx.AsyncClient) -> None:
    person, own = manager("PractitionerRole/mine", PLAN)
    assert 201 == (await put(here, person, headers=acting(HOME))).status_code
    assert (403, ["forbidden"]) == refusal(await put(here, own, headers=acting(HOME)))
    (_, pat), (_, hal) = manager(PAT, PLAN, active=False), manager(HAL, HOME, active=True)
    for response in (await put(here, pat, headers=acting(HOME)), await here.delete(PAT, headers=acting(HOME))):
        assert (403, ["forbidden"]) == refusal(response)
    for good, actor in ((own, PLAN), (hal, HOME), ({**own, "id": "x", "organization": {"reference": OTHER}}, HOME)):
        assert (await put(here, good, headers=acting(actor))).is_success


@pytest.mark.requirement("NY-14")
@pytest.mark.parametrize("actor", [HAL, "Practitioner/hal"])
async def test_person_who_is_inactive_acts_for_nobody(here: httpx.AsyncClient, actor: str) -> None:
    task = await proposed(here)
    assert 200 == (await here.get(MEMBER, headers=acting(actor))).status_code
    await kept(here, (await here.get("Practitioner/hal")).json() | {"active": False})
    assert 404 == (await here.get(MEMBER, headers=acting(actor))).status_code
    assert (404, ["not-found"]) == refusal(await respond(here, task, actor=actor))


@pytest.mark.requirement("NY-14")
async def test_proposal_is_declined_for_a_reason(here: httpx.AsyncClient) -> None:
    task = await proposed(here)
    assert (422, ["business-rule"]) == refusal(await respond(here, task, "decline"))
    declined = await respond(here, task, "decline", reason=("valueCodeableConcept", {"text": "Hal is on leave"}))
    assert ("rejected", "declined") == state(declined.json())
    assert {} == await lead(here)
    assert (409, ["conflict"]) == refusal(await respond(here, task))


@pytest.mark.requirement("NY-14", "NY-16")
async def test_counter_proposal_is_for_the_first_to_answer(here: httpx.AsyncClient) -> None:
    task = await proposed(here)
    response = await counter(here, task)
    assert 201 == response.status_code, response.text
    other = response.json()
    assert (HOME, PLAN, f"Task/{task['id']}") == (
        other["requester"]["reference"],
        other["owner"]["reference"],
        other["basedOn"][0]["reference"],
    )
    assert ("rejected", "countered") == state((await here.get(f"Task/{task['id']}")).json())
    assert (422, ["business-rule"]) == refusal(await respond(here, other, actor=HOME))
    assert ("completed", "accepted") == state((await respond(here, other, actor=PLAN)).json())
    assert (PAT, PLAN) == ((await lead(here))["lead"], (await lead(here))["organization"])


@pytest.mark.requirement("NY-14")
async def test_proposal_is_withdrawn_by_who_made_it(here: httpx.AsyncClient) -> None:
    task = await proposed(here)
    assert (422, ["business-rule"]) == refusal(await respond(here, task, "withdraw", actor=HOME))
    assert ("cancelled", "withdrawn") == state((await respond(here, task, "withdraw", actor=PLAN)).json())
    assert (409, ["conflict"]) == refusal(await respond(here, task))
    assert 201 == (await propose(here)).status_code


@pytest.mark.requirement("NY-14")
async def test_one_proposal_waits_at_a_time(here: httpx.AsyncClient) -> None:
    await proposed(here, lead=HAL, actor=PLAN)
    assert (409, ["conflict"]) == refusal(await propose(here, PAT, actor=HOME))


@pytest.mark.requirement("NY-14", "NY-20")
@pytest.mark.parametrize("actor", [HOME, ""])
@pytest.mark.parametrize("named", [{}, {"requester": {"reference": HOME}}])
async def test_one_proposal_waits_of_two_in_one_transaction(here: httpx.AsyncClient, actor: str, named: Json) -> None:
    forms = [form(HAL, id="f1"), form(PAT, id="f2")]
    tasks = [plain(HAL, "f1") | named | {"id": "t1"}, plain(PAT, "f2") | {"id": "t2"}]
    both = await here.post("", json=puts(*forms, *tasks), headers=acting(actor))
    assert (409, ["conflict"]) == refusal(both)
    alone = await here.post("", json=puts(*forms, tasks[0]), headers=acting(actor))
    assert 200 == alone.status_code, alone.text


@pytest.mark.requirement("NY-14")
@pytest.mark.parametrize("effective", [{}, {"effective": ("valueDate", day(10))}])
async def test_proposal_names_the_version_that_is_in_force(here: httpx.AsyncClient, effective: Json) -> None:
    ahead = {**shipped("ny-map"), "id": "ahead", "version": "9", "effectivePeriod": {"start": day(5)}}
    await kept(here, ahead)
    given, other = ("9", "1.0.0") if effective else ("1.0.0", "9")
    for version in (other, "10"):
        program = {"program": ("valueCanonical", f"{NY_MAP}|{version}")}
        assert (422, ["not-found"]) == refusal(await propose(here, **program, **effective))
    response = await propose(here, program=("valueCanonical", f"{NY_MAP}|{given}"), **effective)
    assert (201, f"{NY_MAP}|{given}") == (response.status_code, response.json().get("instantiatesCanonical"))


@pytest.mark.requirement("NY-14")
async def test_plain_writes_of_the_task_are_judged_alike(here: httpx.AsyncClient) -> None:
    task = await proposed(here)
    accepted = {**task, "status": "accepted"}
    assert (422, ["business-rule"]) == refusal(await put(here, accepted, headers={"X-Acting-As": PLAN}))
    other = {**task, "status": "accepted", "owner": {"reference": PLAN}}
    assert (409, ["conflict"]) == refusal(await put(here, other, headers={"X-Acting-As": HOME}))
    patch = [{"op": "replace", "path": "/status", "value": "accepted"}]
    json_patch = {"Content-Type": "application/json-patch+json", "X-Acting-As": HOME}
    response = await here.patch(f"Task/{task['id']}", json=patch, headers=json_patch)
    assert (200, ("completed", "accepted")) == (response.status_code, state(response.json()))
    assert HAL == (await lead(here))["lead"]
    again = {**response.json(), "status": "cancelled"}
    assert (409, ["conflict"]) == refusal(await put(here, again))
    assert (409, ["conflict"]) == refusal(await here.delete(f"Task/{task['id']}"))


def plain(lead: str, form: str) -> Json:
    """A plain Task that proposes a lead, on that form."""
    inputs = {"lead": lead, "form": f"QuestionnaireResponse/{form}"}
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "proposal",
        "code": coding("cm-task", "lead-designation"),
        "for": {"reference": MEMBER},
        "reasonCode": coding("ny-primary-need", "behavioral-health"),
        "input": [
            {"type": coding("cm-designation", name), "valueReference": {"reference": one}}
            for name, one in inputs.items()
        ],
    }


ALTERED: dict[str, Json] = {
    "businessStatus": coding("cm-designation-state", "accepted"),
    "output": [{"type": coding("cm-designation", "since"), "valueDateTime": "2025-01-01T00:00:00Z"}],
    "authoredOn": "2025-01-01T00:00:00Z",
    "basedOn": [{"reference": "Task/another"}],
    "intent": "order",
    "reasonCode": coding("ny-primary-need", "ltss"),
}


@pytest.mark.requirement("NY-14")
@pytest.mark.parametrize("element", ALTERED)
@pytest.mark.parametrize("actor", [PLAN, HOME, ""])
async def test_what_became_of_a_proposal_is_said_by_nobody_but_the_server(
    here: httpx.AsyncClient, element: str, actor: str
) -> None:
    task = await proposed(here)
    for status in ("requested", "received"):
        altered = {**task, element: ALTERED[element], "status": status}
        response = await put(here, altered, headers=acting(actor))
        assert (409, ["conflict"]) == refusal(response)
        assert [f"Task.{element}"] == places(response)
    patch = [{"op": "add", "path": f"/{element}", "value": ALTERED[element]}]
    headers = {"Content-Type": "application/json-patch+json", **acting(actor)}
    assert (409, ["conflict"]) == refusal(await here.patch(f"Task/{task['id']}", json=patch, headers=headers))
    assert (409, ["conflict"]) == refusal(await here.post("", json=puts(altered), headers=acting(actor)))
    assert 200 == (await put(here, {**task, "note": [{"text": "Whom to ask?"}]})).status_code


@pytest.mark.requirement("NY-14")
async def test_what_came_of_a_proposal_stays_as_the_server_said_it(here: httpx.AsyncClient) -> None:
    declined = await respond(here, await proposed(here), "decline", reason=("valueCodeableConcept", {"text": "Away"}))
    accepted = await named(here)
    for task, element, other in (
        (declined.json(), "statusReason", {"text": "She asked for another"}),
        (declined.json(), "businessStatus", coding("cm-designation-state", "accepted")),
        (accepted, "businessStatus", coding("cm-designation-state", "declined")),
        (accepted, "output", accepted["output"][:-1]),
    ):
        response = await put(here, {**task, element: other})
        assert (409, ["conflict"]) == refusal(response)
        assert [f"Task.{element}"] == places(response)
    theirs = {"type": {"text": "Call"}, "valueString": "made"}
    assert 200 == (await put(here, {**accepted, "output": [*accepted["output"], theirs]})).status_code


@pytest.mark.requirement("NY-14")
async def test_draft_of_a_proposal_became_nothing_yet(here: httpx.AsyncClient) -> None:
    draft = {
        "resourceType": "Task",
        "id": "draft",
        "status": "draft",
        "intent": "proposal",
        "code": coding("cm-task", "lead-designation"),
        "for": {"reference": MEMBER},
    }
    said = {**draft, "businessStatus": ALTERED["businessStatus"]}
    assert (422, ["required"]) == refusal(await put(here, said))
    assert 201 == (await put(here, {**draft, "businessStatus": {"text": "Being talked about"}})).status_code
    assert (422, ["required"]) == refusal(await put(here, {**said, "status": "cancelled"}))


@pytest.mark.requirement("NY-14")
async def test_proposal_sent_as_a_plain_task_is_completed_by_the_server(here: httpx.AsyncClient) -> None:
    written = (await here.post("QuestionnaireResponse", json=form())).json()
    task = plain(HAL, written["id"])
    response = await here.post("Task", json=task, headers={"X-Acting-As": PAT})
    assert 201 == response.status_code, response.text
    assert (PLAN, HOME) == tuple(response.json()[party]["reference"] for party in ("requester", "owner"))
    done = {**task, "status": "completed"}
    assert (422, ["required"]) == refusal(await here.post("Task", json=done))


@pytest.mark.requirement("NY-14", "NY-21")
async def test_update_leaves_what_the_server_filled_in(here: httpx.AsyncClient) -> None:
    task = plain(HAL, "f") | {"id": "t"}
    assert 200 == (await here.post("", json=puts(form(id="f"), task), headers=acting(HOME))).status_code
    first = (await here.get("Task/t")).json()
    again = await put(here, task, headers=acting(HOME))
    assert (200, first) == (again.status_code, again.json())
    described = (await put(here, task | {"description": "As talked about"}, headers=acting(HOME))).json()
    assert described["meta"]["versionId"] != first["meta"]["versionId"]
    assert first | {"description": "As talked about", "meta": described["meta"]} == described
    for other in ({"requester": {"reference": PLAN}}, {"owner": {"reference": OTHER}}, {"input": task["input"][:1]}):
        assert (409, ["conflict"]) == refusal(await put(here, task | other, headers=acting(HOME)))
    patch = [{"op": "remove", "path": "/requester"}]
    headers = {"Content-Type": "application/json-patch+json"}
    assert (409, ["conflict"]) == refusal(await here.patch("Task/t", json=patch, headers=headers | acting(HOME)))
    assert {} == await lead(here)
    accepted = await put(here, task | {"status": "accepted"}, headers=acting(PLAN))
    assert (200, ("completed", "accepted")) == (accepted.status_code, state(accepted.json()))
    assert HAL == (await lead(here))["lead"]
    assert (409, ["conflict"]) == refusal(await put(here, task, headers=acting(HOME)))


@pytest.mark.requirement("NY-13", "NY-16")
async def test_form_names_the_same_lead_or_nothing_is_written(here: httpx.AsyncClient) -> None:
    for wrong in (
        form(PAT),
        form(HAL, "ltss"),
        form(HAL, member="Patient/m2"),
        form(HAL, status="in-progress"),
        form(HAL, questionnaire="urn:example:another"),
        form(HAL, item=form()["item"][1:]),
        form(HAL, item=form()["item"][:1]),
        form(HAL, item=[form()["item"][0], {"linkId": "primary-need"}]),
    ):
        asked = parameters(lead=("valueReference", {"reference": HAL}), primaryNeed=need())
        asked["parameter"].append({"name": "form", "resource": wrong})
        response = await here.post(f"{MEMBER}/$propose-lead", json=asked)
        assert (422, ["business-rule"]) == refusal(response)
        assert {"NY-16"} == rules(response)
    assert 0 == (await here.get("QuestionnaireResponse", params={"_summary": "count"})).json()["total"]
    assert 0 == (await here.get("Task", params={"_summary": "count"})).json()["total"]


@pytest.mark.requirement("NY-06", "NY-16")
async def test_form_that_is_given_whole_is_of_who_gave_it(here: httpx.AsyncClient) -> None:
    await counter(here, await proposed(here))
    await kept(here, enrolled(MEMBER, "ny-health-home", OTHER) | {"id": "m1-other-home"})
    seen = [ids(await here.get("QuestionnaireResponse", headers=acting(one))) for one in (PLAN, HOME, OTHER)]
    assert [2, 2, 0] == [len(found) for found in seen]


@pytest.mark.requirement("NY-16")
async def test_form_names_the_same_person_by_role_or_as_the_practitioner(here: httpx.AsyncClient) -> None:
    (mine, other) = (form("Practitioner/hal"), form("Practitioner/pat"))
    asked = [parameters(lead=("valueReference", {"reference": HAL}), primaryNeed=need()) for _ in range(2)]
    for one, written in zip(asked, (other, mine), strict=True):
        one["parameter"].append({"name": "form", "resource": written})
    assert (422, ["business-rule"]) == refusal(await here.post(f"{MEMBER}/$propose-lead", json=asked[0]))
    assert 201 == (await here.post(f"{MEMBER}/$propose-lead", json=asked[1])).status_code


@pytest.mark.requirement("NY-16")
async def test_form_that_the_lead_stands_on_says_nothing_else_later(here: httpx.AsyncClient) -> None:
    task = await proposed(here)
    about = next(one for one in task["input"] if one["type"]["coding"][0]["code"] == "form")
    reference = about["valueReference"]["reference"]
    stored = (await here.get(reference)).json()
    for _ in range(2):
        for other in (form(PAT)["item"], form()["item"][:1]):
            assert (422, ["business-rule"]) == refusal(await put(here, {**stored, "item": other}))
        assert (422, ["business-rule"]) == refusal(await here.delete(reference))
        assert 200 == (await put(here, {**stored, "status": "amended"})).status_code
        await respond(here, task)
    assert reference == (await lead(here))["form"]


@pytest.mark.requirement("NY-13", "NY-16")
async def test_form_answers_whatever_its_questionnaire_requires(here: httpx.AsyncClient) -> None:
    ours = json.loads((ROOT / "profiles" / "Questionnaire-ny-care-planning-coordination.json").read_text())
    asked = {"linkId": "why", "type": "text", "required": True}
    await kept(here, ours, ours | {"id": "next", "version": "2.0.0", "item": [*ours["item"], asked]})
    response = await propose(here)
    assert (422, ["business-rule"]) == refusal(response)
    assert ({"NY-16"}, ["QuestionnaireResponse.item.where(linkId='why')"]) == (rules(response), places(response))
    told = form()["item"], {"linkId": "why", "answer": [{"valueString": "She knows him"}]}
    for good in (form(questionnaire=f"{FORM}|1.0.0"), form(item=[*told[0], told[1]])):
        task = await proposed(here, form=("resource", good))
        assert 200 == (await respond(here, task, "withdraw", actor=PLAN)).status_code


@pytest.mark.requirement("NY-15")
async def test_choice_rests_on_a_coded_primary_need(here: httpx.AsyncClient) -> None:
    response = await propose(here, primaryNeed=("valueCodeableConcept", {"text": "She likes Hal"}))
    assert (422, ["business-rule"]) == refusal(response)
    assert {"NY-15"} == rules(response)
    asked = parameters(lead=("valueReference", {"reference": HAL}), primaryNeed=need("bogus"))
    asked["parameter"].append({"name": "form", "resource": form(HAL, "bogus")})
    response = await here.post(f"{MEMBER}/$propose-lead", json=asked)
    assert (422, ["business-rule"]) == refusal(response)  # one thing is wrong
    assert places(response) == ["Parameters.parameter.where(name='primaryNeed')"]


@pytest.mark.requirement("NY-14")
async def test_lead_is_an_active_care_manager_of_one_of_both(here: httpx.AsyncClient) -> None:
    assert (422, ["business-rule"]) == refusal(await propose(here, OLA))
    assert (422, ["business-rule"]) == refusal(await propose(here, "PractitionerRole/nobody"))
    _, nowhere = manager(PAT, PLAN)
    await kept(here, {**{name: nowhere[name] for name in nowhere if name != "organization"}, "id": "nowhere"})
    response = await propose(here, "PractitionerRole/nowhere")
    assert (422, ["business-rule"]) == refusal(response)
    assert "None" not in response.text
    await kept(here, *manager(HAL, HOME, active=False))
    assert (422, ["business-rule"]) == refusal(await propose(here, HAL))


@pytest.mark.requirement("NY-04", "NY-14")
async def test_lead_is_for_a_member_of_both(here: httpx.AsyncClient) -> None:
    await kept(here, patient("m2"), enrolled("Patient/m2", "ny-map", PLAN))
    response = await propose(here, member="Patient/m2")
    assert (422, ["business-rule"]) == refusal(response)
    await kept(here, patient("m3"))
    assert (422, ["required"]) == refusal(await propose(here, member="Patient/m3"))
    await kept(here, enrolled("Patient/m2", "ny-health-home", HOME))
    assert 201 == (await propose(here, member="Patient/m2")).status_code


@pytest.mark.requirement("NY-14")
async def test_answer_is_of_who_does_not_act_for_the_proposer_too(here: httpx.AsyncClient) -> None:
    both = role("hal-at-plan", practitioner={"reference": "Practitioner/hal"}, mco="plan")
    await kept(here, both)
    task = await proposed(here, actor=HAL)
    assert (422, ["business-rule"]) == refusal(await respond(here, task, actor="Practitioner/hal"))
    assert {} == await lead(here)
    assert 200 == (await respond(here, task, "withdraw", actor="Practitioner/hal")).status_code
    assert 200 == (await respond(here, await proposed(here, actor=HAL), actor=PAT)).status_code


@pytest.mark.requirement("NY-14")
@pytest.mark.parametrize("over", [{"active": False}, {"period": {"end": day(-2)}}])
async def test_answer_is_of_nobody_whose_role_there_is_over(here: httpx.AsyncClient, over: Json) -> None:
    """Hal has been at the Health Home, and is at the plan."""
    task = await proposed(here, lead=PAT, actor=PAT)
    here_now = role("hal-at-plan", practitioner={"reference": "Practitioner/hal"}, mco="plan")
    await kept(here, here_now, manager(HAL, HOME, **over)[1])
    assert (422, ["business-rule"]) == refusal(await respond(here, task, actor="Practitioner/hal"))
    assert 200 == (await respond(here, task, actor=HOME)).status_code


# Where they part


@pytest.mark.requirement("NY-20", "ADJ-05")
@pytest.mark.parametrize(("program", "organization"), [("ny-map", PLAN), ("ny-health-home", HOME)])
async def test_lead_lapses_as_the_member_leaves_one_of_both(
    here: httpx.AsyncClient, program: str, organization: str
) -> None:
    await named(here, effective=("valueDate", day(-30)))
    ended = enrolled(MEMBER, program, organization, end=day(4), status="finished")
    response = await put(here, ended)
    assert 200 == response.status_code, response.text
    assert [HAL, None] == [(await lead(here, day(at))).get("lead") for at in (4, 5)]
    told = [(HAL, midnight(-30), midnight(5))]
    assert {PLAN: told, HOME: told} == await teams(here)
    found = (await here.get("Communication", params={"subject": MEMBER})).json()["entry"]
    lapsed = [one["resource"] for one in found if "no longer" in one["resource"]["payload"][0]["contentString"]]
    assert {PLAN, HOME} == {one["recipient"][0]["reference"] for one in lapsed}


@pytest.mark.requirement("NY-20", "NY-21")
@pytest.mark.parametrize(("program", "organization"), [("ny-map", PLAN), ("ny-health-home", HOME)])
@pytest.mark.parametrize("end", [370, None])
async def test_lead_goes_on_as_an_end_is_put_off_before_it_comes(
    here: httpx.AsyncClient, program: str, organization: str, end: int | None
) -> None:
    await named(here, effective=("valueDate", day(-30)))
    for until in (day(4), day(2), end and day(end)):
        assert 200 == (await put(here, enrolled(MEMBER, program, organization, end=until))).status_code
    told = [(HAL, midnight(-30), midnight(371) if end else None)]
    assert {PLAN: told, HOME: told} == await teams(here)
    assert [HAL, HAL, None if end else HAL] == [(await lead(here, day(at))).get("lead") for at in (5, 370, 371)]
    found = (await here.get("Communication", params={"subject": MEMBER, "_sort": "-_lastUpdated"})).json()["entry"]
    last = [one["resource"] for one in found][:2]
    assert {PLAN, HOME} == {one["recipient"][0]["reference"] for one in last}
    assert {bool(end)} == {"no longer" in one["payload"][0]["contentString"] for one in last}


@pytest.mark.requirement("NY-20")
async def test_next_segment_that_follows_at_once_puts_an_end_off(here: httpx.AsyncClient) -> None:
    await named(here)
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(4)))
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, start=day(5)) | {"id": "m1-segment-2"})
    assert [HAL, HAL] == [(await lead(here, day(at))).get("lead") for at in (4, 500)]


@pytest.mark.requirement("NY-20")
async def test_who_is_to_lead_after_an_end_that_is_put_off_does(here: httpx.AsyncClient) -> None:
    await named(here, lead=HAL)
    await named(here, lead=HAL, effective=("valueDate", day(20)))
    await named(here, lead=PAT, effective=("valueDate", day(10)))
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(4)))
    assert [HAL, None, None] == [(await lead(here, day(at))).get("lead") for at in (4, 10, 20)]
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME))
    assert [HAL, HAL, PAT, PAT] == [(await lead(here, day(at))).get("lead") for at in (4, 9, 10, 20)]


@pytest.mark.requirement("NY-20")
async def test_correction_of_an_enrolment_that_both_still_have_ends_no_lead(here: httpx.AsyncClient) -> None:
    await named(here, effective=("valueDate", day(-20)))
    for corrected in (
        {"start": day(-5)},
        {"start": day(-5), "end": day(0), "status": "finished"},
        {"start": day(-5)},
        {"start": "2025-01-01"},
    ):
        await kept(here, enrolled(MEMBER, "ny-health-home", HOME, **corrected))
    assert [HAL, HAL, HAL] == [(await lead(here, at)).get("lead") for at in (day(-10), None, day(500))]
    again = enrolled(MEMBER, "ny-health-home", HOME, start=day(-5)) | {"id": "m1-again"}
    wrong = enrolled(MEMBER, "ny-health-home", HOME, status="entered-in-error")
    await kept(here, again, wrong)
    assert HAL == (await lead(here, day(500)))["lead"]
    await kept(here, {**again, "status": "entered-in-error"})
    assert {} == await lead(here)


@pytest.mark.requirement("NY-20")
@pytest.mark.parametrize("before", [None, HAL])
async def test_acceptance_and_an_end_in_one_transaction_both_hold(here: httpx.AsyncClient, before: str | None) -> None:
    if before:
        await named(here, effective=("valueDate", day(-30)))
    accepted = {**await proposed(here, lead=PAT), "status": "accepted"}
    response = await here.post("", json=puts(accepted, enrolled(MEMBER, "ny-health-home", HOME, end=day(4))))
    assert 200 == response.status_code, response.text
    assert [before, PAT, None] == [(await lead(here, at)).get("lead") for at in (day(-1), None, day(5))]


@pytest.mark.requirement("NY-20")
async def test_lead_that_lapsed_is_named_anew(here: httpx.AsyncClient) -> None:
    await named(here, effective=("valueDate", day(-30)))
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(-2)))
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME))
    assert [HAL, None] == [(await lead(here, day(at))).get("lead") for at in (-2, 0)]


@pytest.mark.requirement("NY-20")
async def test_lead_who_is_named_as_an_end_is_known_leads_until_then(here: httpx.AsyncClient) -> None:
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(4)))
    await named(here, effective=("valueDate", day(-30)))
    assert [HAL, None] == [(await lead(here, day(at))).get("lead") for at in (4, 5)]
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME))
    assert HAL == (await lead(here, day(5)))["lead"]


@pytest.mark.requirement("NY-20", "ADJ-05")
async def test_lead_of_the_next_health_home_goes_on_beside_one_of_the_former(here: httpx.AsyncClient) -> None:
    moved = enrolled(MEMBER, "ny-health-home", OTHER, start=day(5)) | {"id": "m1-other-home"}
    await kept(here, asa("asa-2", (PLAN, OTHER)), moved)
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(4), **closed_for("1")))
    task = await proposed(here, lead=OLA, effective=("valueDate", day(5)))
    assert 200 == (await respond(here, task, actor=OTHER)).status_code
    await named(here, lead=HAL)
    assert [HAL, OLA] == [(await lead(here, day(at))).get("lead") for at in (4, 5)]


@pytest.mark.requirement("NY-20")
async def test_lead_of_an_episode_that_is_over_without_a_date_lapses_now(here: httpx.AsyncClient) -> None:
    await named(here, effective=("valueDate", day(-30)))
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, status="onhold"))
    assert HAL == (await lead(here))["lead"]
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, status="cancelled"))
    assert {} == await lead(here)
    assert HAL == (await lead(here, day(-1)))["lead"]


def closed_for(code: str) -> Json:
    """The extension that says why a segment ended."""
    return {
        "extension": [
            {"url": f"{BASE}/StructureDefinition/segment-end", "valueCodeableConcept": coding("ny-segment-end", code)}
        ]
    }


@pytest.mark.requirement("NY-20", "ADJ-05")
async def test_another_health_home_is_another_pair(here: httpx.AsyncClient) -> None:
    """Segment end code 1, transferred to another Health Home: the lead was agreed on with the former."""
    await named(here, effective=("valueDate", day(-30)))
    moved = enrolled(MEMBER, "ny-health-home", OTHER, start=day(5)) | {"id": "m1-other-home"}
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(4), **closed_for("1")), moved)
    assert [HAL, None] == [(await lead(here, day(at))).get("lead") for at in (4, 5)]
    assert (422, ["business-rule"]) == refusal(await propose(here, PAT, effective=("valueDate", day(5))))
    await kept(here, asa("asa-2", (PLAN, OTHER)))
    task = await proposed(here, lead=PAT, effective=("valueDate", day(5)))
    assert (422, ["business-rule"]) == refusal(await respond(here, task, actor=HOME))
    assert 200 == (await respond(here, task, actor=OTHER)).status_code
    assert [HAL, PAT] == [(await lead(here, day(at))).get("lead") for at in (4, 5)]


@pytest.mark.requirement("NY-20", "ADJ-05")
async def test_new_segment_at_the_same_health_home_ends_nothing(here: httpx.AsyncClient) -> None:
    """Segment end code 3, transferred to another care management agency, is no disenrollment."""
    await named(here, effective=("valueDate", day(-30)))
    again = enrolled(MEMBER, "ny-health-home", HOME, start=day(5)) | {"id": "m1-segment-2"}
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(4), **closed_for("3")), again)
    assert [HAL, HAL] == [(await lead(here, day(at))).get("lead") for at in (4, 500)]


@pytest.mark.requirement("NY-01", "NY-20")
async def test_another_program_of_the_same_plan_ends_nothing(here: httpx.AsyncClient) -> None:
    """From MAP to partial capitation at the same plan: the same two have the member, and one lead at a time."""
    await named(here, effective=("valueDate", day(-30)))
    ended = enrolled(MEMBER, "ny-map", PLAN, end=day(-1), status="finished")
    await kept(here, ended, enrolled(MEMBER, "ny-mltcp", PLAN, start=day(0)))
    assert [HAL, HAL] == [(await lead(here, day(at))).get("lead") for at in (-1, 500)]
    told = (await here.get("Communication", params={"subject": MEMBER})).json()["entry"]
    assert not [one for one in told if "no longer" in one["resource"]["payload"][0]["contentString"]]
    stored = (await here.get("CareTeam", params={"patient": MEMBER})).json()["entry"][0]["resource"]
    del stored["participant"]
    assert (422, ["business-rule"]) == refusal(await put(here, stored))
    assert NY_MLTCP in (await named(here, lead=PAT))["instantiatesCanonical"]
    assert [HAL, PAT] == [(await lead(here, day(at))).get("lead") for at in (-1, 500)]
    assert {(HAL, midnight(-30)), (PAT, (await lead(here))["since"])} == {
        (who, start) for found in (await teams(here)).values() for who, start, _ in found
    }
    await kept(here, enrolled(MEMBER, "ny-mltcp", PLAN, start=day(0), end=day(4), status="finished"))
    assert [PAT, None] == [(await lead(here, day(at))).get("lead") for at in (4, 5)]


@pytest.mark.requirement("NY-20")
async def test_another_program_of_another_plan_is_another_pair(here: httpx.AsyncClient) -> None:
    await named(here, effective=("valueDate", day(-30)))
    ended = enrolled(MEMBER, "ny-map", PLAN, end=day(-1), status="finished")
    moved = enrolled(MEMBER, "ny-mltcp", "Organization/plan-2", start=day(0))
    await kept(here, organization("Organization/plan-2"), ended, moved)
    assert {} == await lead(here)


@pytest.mark.requirement("NY-20")
async def test_nobody_is_named_for_who_has_left_since(here: httpx.AsyncClient) -> None:
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(-5), status="finished"))
    assert (422, ["business-rule"]) == refusal(await propose(here, effective=("valueDate", day(-30))))


@pytest.mark.requirement("ADJ-05")
async def test_new_number_ends_nothing(here: httpx.AsyncClient) -> None:
    """Segment end code 5: the next segment is of another record, which replaces the former."""
    await named(here, effective=("valueDate", day(-30)))
    link = [{"other": {"reference": MEMBER}, "type": "replaces"}]
    again = enrolled("Patient/m9", "ny-health-home", HOME, start=day(5))
    ended = enrolled(MEMBER, "ny-health-home", HOME, end=day(4), **closed_for("5"))
    await kept(here, patient("m9", link=link), ended, again)
    assert [HAL, HAL] == [(await lead(here, day(500), member)).get("lead") for member in (MEMBER, "Patient/m9")]


@pytest.mark.requirement("NY-14")
async def test_enrollment_of_who_has_a_lead_that_nobody_named_is_refused(here: httpx.AsyncClient) -> None:
    of_hal = {
        "role": [coding("cm-role", "lead-care-manager")],
        "member": {"reference": HAL},
        "period": {"start": "2025-01-01"},
    }
    await kept(here, patient("m2"), team("m2", of_hal, managingOrganization=[{"reference": HOME}]))
    response = await put(here, enrolled("Patient/m2", "ny-map", PLAN))
    assert (422, ["business-rule"]) == refusal(response)


@pytest.mark.requirement("NY-20")
async def test_records_that_each_have_a_lead_are_not_merged_into_two_leads(here: httpx.AsyncClient) -> None:
    await kept(
        here,
        patient("m2"),
        enrolled("Patient/m2", "ny-map", PLAN),
        enrolled("Patient/m2", "ny-health-home", HOME),
    )
    await named(here, lead=HAL)
    await named(here, lead=PAT, member="Patient/m2")
    link = [{"other": {"reference": MEMBER}, "type": "replaced-by"}]
    assert (422, ["business-rule"]) == refusal(await put(here, patient("m2", link=link)))


def state(task: Json) -> tuple[str, str]:
    return task["status"], task["businessStatus"]["coding"][0]["code"]


# Agencies, closures, and rules that are in force by date


def agency(**more: Any) -> list[Json]:
    """An agency, and a care manager there."""
    return [{**organization(AGENCY), **more}, *manager(AMY, AGENCY)]


def affiliation(end: str | None = None, **more: Any) -> Json:
    return {
        "resourceType": "OrganizationAffiliation",
        "id": "a",
        "organization": {"reference": HOME},
        "participatingOrganization": {"reference": AGENCY},
        "period": {"start": "2025-01-01", **({"end": end} if end else {})},
        **more,
    }


@pytest.mark.requirement("NY-14", "NY-20")
@pytest.mark.parametrize("how", ["part", "part of a part", "affiliated"])
async def test_care_manager_of_an_agency_leads_for_the_health_home(here: httpx.AsyncClient, how: str) -> None:
    if how == "affiliated":
        await kept(here, *agency(), affiliation())
    elif how == "part":
        await kept(here, *agency(partOf={"reference": HOME}))
    else:
        branch = {**organization("Organization/branch"), "partOf": {"reference": HOME}}
        await kept(here, branch, *agency(partOf={"reference": "Organization/branch"}))
    task = await proposed(here, lead=AMY)
    assert (404, ["not-found"]) == refusal(await respond(here, task, actor=AGENCY))
    assert 200 == (await respond(here, task)).status_code
    found = await lead(here)
    assert (AMY, HOME) == (found["lead"], found["organization"])
    await kept(here, *manager("PractitionerRole/abe", AGENCY))
    for operation in ("$comprehensive-plan", "$member-file"):
        for actor, status in ((AMY, 200), ("Practitioner/amy", 200), ("PractitionerRole/abe", 403), (AGENCY, 403)):
            response = await here.get(f"{MEMBER}/{operation}", headers=acting(actor))
            assert status == response.status_code, (operation, actor, response.text)


@pytest.mark.requirement("NY-14", "NY-20")
async def test_lead_is_the_care_manager_whom_others_find(here: httpx.AsyncClient) -> None:
    assert ({}, [PLAN]) == await care_manager(here)
    await named(here)
    since = (await lead(here))["since"]
    for query in ({}, {"program": NY_MAP}, {"asOf": since}):
        found, contacts = await care_manager(here, **query)
        assert (NY_MAP, HAL, "hal", since, True, []) == (
            found["program"],
            found["manager"],
            found["practitioner"],
            found["since"],
            found["lead"],
            contacts,
        )
        assert HAL in str((await here.get(found["careTeam"])).json()["participant"])
    assert ({}, [PLAN]) == await care_manager(here, asOf=day(-1))
    assert ({}, []) == await care_manager(here, program=NY_MLTCP)
    whole = (await here.get(f"{MEMBER}/$member-file", headers=acting(HAL))).json()
    assert 3 == json.dumps(whole["entry"][0]).count("Manager hal</td>")  # who has the member, and on both teams
    await named(here, lead=PAT)
    assert PAT == (await care_manager(here))[0]["manager"]
    for actor, status in ((HAL, 403), (PAT, 200), (PLAN, 200)):
        assert status == (await here.get(f"{MEMBER}/$member-file", headers=acting(actor))).status_code
    await kept(here, *manager(PAT, PLAN, active=False))
    assert ({}, [PLAN]) == await care_manager(here)  # who has left is nobody to call


async def care_manager(client: httpx.AsyncClient, **query: str) -> tuple[Json, list[str]]:
    """What $care-manager says of who manages the member's care, and whom to call where there is nobody."""
    response = await client.get(f"{MEMBER}/$care-manager", params=query)
    assert 200 == response.status_code, response.text
    given = response.json().get("parameter", ())
    contacts = [f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in given if "resource" in one]
    told: Json = {}
    for part in (part for one in given if one["name"] == "assignment" for part in one["part"]):
        value = next(part[name] for name in part if name != "name")
        told[part["name"]] = value.get("reference", value.get("id")) if isinstance(value, dict) else value
    return told, contacts


@pytest.mark.requirement("NY-14")
@pytest.mark.parametrize(
    "more", [{"active": False}, {"end": "2025-12-31"}, {"organization": {"reference": OTHER}}], ids=str
)
async def test_care_manager_of_an_agency_that_works_for_neither_leads_not(here: httpx.AsyncClient, more: Json) -> None:
    await kept(here, *agency(), affiliation(**more))
    response = await propose(here, AMY)
    assert (422, ["business-rule"]) == refusal(response)
    assert ["Parameters.parameter.where(name='lead')"] == places(response)


@pytest.mark.requirement("NY-20", "NY-21")
async def test_lead_lapses_as_the_health_home_closes(here: httpx.AsyncClient) -> None:
    await named(here)
    closed = organization(HOME) | {"active": False}
    version = (await put(here, closed)).json()["meta"]["versionId"]
    assert {} == await lead(here)
    told = (await here.get("Communication", params={"recipient": PLAN, "_sort": "-_lastUpdated"})).json()["entry"]
    assert version == told[0]["resource"]["meta"]["versionId"]
    assert (422, ["business-rule"]) == refusal(await propose(here, PAT))
    assert 200 == (await put(here, closed | {"alias": ["Home"]})).status_code
    await put(here, organization(HOME))
    await named(here, lead=PAT)
    assert PAT == (await lead(here))["lead"]


@pytest.mark.requirement("ADJ-05", "NY-20")
@pytest.mark.parametrize(("code", "leads"), [*((code, None) for code in "1247"), ("3", HAL), ("5", HAL)])
async def test_end_code_ends_the_lead_or_is_no_disenrollment(
    here: httpx.AsyncClient, code: str, leads: str | None
) -> None:
    await named(here, effective=("valueDate", day(-30)))
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(4), **closed_for(code)))
    assert [HAL, leads] == [(await lead(here, day(at))).get("lead") for at in (4, 5)]
    gone = enrolled(MEMBER, "ny-health-home", OTHER, start=day(9)) | {"id": "m1-other-home"}
    await kept(here, gone)
    assert None is (await lead(here, day(9))).get("lead")


@pytest.mark.requirement("ADJ-05")
async def test_end_code_is_for_segments_of_its_type_that_are_over(here: httpx.AsyncClient) -> None:
    def segment(code: str, type: str, **more: Any) -> Json:
        ended = closed_for(code)
        kind = {"url": f"{BASE}/StructureDefinition/segment-type", "valueCode": type}
        return enrolled(MEMBER, "ny-health-home", HOME, **{**ended, "extension": [*ended["extension"], kind], **more})

    assert 200 == (await put(here, segment("2", "outreach", end=day(-1)))).status_code
    response = await put(here, segment("2", "enrollment", end=day(-1)))
    assert (422, ["business-rule"]) == refusal(response)
    assert 200 == (await put(here, segment("4", "enrollment", end=day(-1)))).status_code
    assert 200 == (await put(here, segment("11", "enrollment", end=day(-1)))).status_code
    assert (422, ["business-rule"]) == refusal(await put(here, segment("4", "enrollment", status="active")))


@pytest.mark.requirement("ADJ-05")
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("segment-end", {"valueCoding": coding("ny-segment-end", "3")["coding"][0]}),
        ("segment-end", {"valueCode": "3"}),
        ("segment-type", {"valueCodeableConcept": {"text": "enrollment"}}),
    ],
)
async def test_end_code_that_is_said_in_a_way_that_is_not_read_is_refused(
    here: httpx.AsyncClient, name: str, said: Json
) -> None:
    await named(here)
    url = f"{BASE}/StructureDefinition/{name}"
    ended = enrolled(MEMBER, "ny-health-home", HOME, end=day(-1), status="finished", extension=[{"url": url, **said}])
    response = await put(here, ended)
    assert (422, ["business-rule"]) == refusal(response)
    assert [f"EpisodeOfCare.extension('{url}')"] == places(response)
    assert HAL == (await lead(here))["lead"]


@pytest.mark.requirement("NY-06", "NY-14")
async def test_rules_about_leads_and_agreements_hold_in_their_own_time(here: httpx.AsyncClient) -> None:
    program = shipped("ny-map")
    for action in program["action"]:
        if action["id"] in {"NY-06", "NY-14"}:
            start = day(-10) if action["id"] == "NY-14" else day(10)
            url = f"{BASE}/StructureDefinition/rule-period"
            action["extension"].append({"url": url, "valuePeriod": {"start": start}})
    await kept(here, program, asa(end=day(-100)))
    response = await propose(here, effective=("valueDate", day(-11)))
    assert (422, ["business-rule"]) == refusal(response)
    assert "NY-14" in response.json()["issue"][0]["details"]["text"]
    response = await propose(here, effective=("valueDate", day(10)))
    assert "NY-06" in response.json()["issue"][0]["details"]["text"]
    task = await named(here, effective=("valueDate", day(9)))
    assert "agreement" not in {one["type"]["coding"][0]["code"] for one in task["output"]}
    assert (HAL, False) == ((await lead(here, day(9)))["lead"], "agreement" in await lead(here, day(9)))


# Who leads stays who they are


@pytest.mark.requirement("NY-14", "NY-20")
@pytest.mark.parametrize("actor", ["", HOME])
@pytest.mark.parametrize(
    ("changed", "element"),
    [({"practitioner": {"reference": "Practitioner/pat"}}, "practitioner"), ({"mco": "other-home"}, "organization")],
)
async def test_lead_is_made_nobody_else_by_one_alone(
    here: httpx.AsyncClient, changed: Json, element: str, actor: str
) -> None:
    _, hal = manager(HAL, HOME, **changed)
    await named(here)
    response = await here.put(HAL, json=hal, headers=acting(actor))
    assert (422, ["business-rule"]) == refusal(response)
    assert ({"NY-14"}, [f"PractitionerRole.{element}"]) == (rules(response), places(response))
    assert "$propose-lead" in response.text
    assert (422, ["business-rule"]) == refusal(await here.post("", json=puts(hal)))
    _, left = manager(HAL, HOME, active=False)
    assert 200 == (await put(here, left)).status_code
    assert HAL == (await lead(here))["lead"]


@pytest.mark.requirement("NY-14", "NY-20")
async def test_role_that_leads_no_more_goes_on_elsewhere_and_stays_the_persons(here: httpx.AsyncClient) -> None:
    await named(here, effective=("valueDate", day(-30)))
    await named(here, lead=PAT)
    _, elsewhere = manager(HAL, OTHER)
    assert 200 == (await put(here, elsewhere)).status_code
    found = await lead(here, day(-1))
    assert (HAL, HOME) == (found["lead"], found["organization"])
    _, another = manager(HAL, OTHER, practitioner={"reference": "Practitioner/ola"})
    assert (422, ["business-rule"]) == refusal(await put(here, another))
    assert (422, ["business-rule"]) == refusal(await here.delete(HAL))
    for free in (OLA, "Practitioner/ola", OTHER):
        assert 204 == (await here.delete(free)).status_code


@pytest.mark.requirement("NY-20")
async def test_nothing_that_a_lead_rests_on_is_deleted(here: httpx.AsyncClient) -> None:
    await named(here, effective=("valueDate", day(5)))
    for reference in (HAL, "Practitioner/hal", MEMBER, PLAN, HOME):
        response = await here.delete(reference)
        assert (422, ["business-rule"]) == refusal(response), reference
        assert ({"NY-20"}, [reference.partition("/")[0]]) == (rules(response), places(response))
    assert HAL == (await lead(here, day(5)))["lead"]


@pytest.mark.requirement("NY-20")
@pytest.mark.parametrize("actor", [PLAN, HOME])
async def test_lead_who_has_left_and_member_who_has_died_are_found_by_both(here: httpx.AsyncClient, actor: str) -> None:
    asked = "CareTeam?status=active&participant:PractitionerRole.active=false", "CareTeam?patient.deceased=true"
    await named(here)
    assert [[], []] == [ids(await here.get(one, headers=acting(actor))) for one in asked]
    role, member = (await here.get(HAL)).json(), (await here.get(MEMBER)).json()
    await kept(here, role | {"active": False}, member | {"deceasedDateTime": day(-1)})
    assert [2, 2] == [len(ids(await here.get(one, headers=acting(actor)))) for one in asked]
    assert HAL == (await lead(here))["lead"]
