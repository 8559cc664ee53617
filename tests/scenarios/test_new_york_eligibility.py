"""New York: whom a plan is for (more than 120 days), and the Health Home that is offered to all who are eligible."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.answers import ids, refusal
from tests.coordination.memory import BASE, coding, patient
from tests.scenarios.iowa import Json, kept, put
from tests.scenarios.new_york import HOME, MEMBER, OTHER, PLAN, acting, day, enrolled, shipped
from tests.scenarios.new_york_offer import ANN, OFFER, OVERLAP, ann, consent, eligible, evidence, plan, tasks

UCUM = "http://unitsofmeasure.org"


@pytest.fixture
async def here(client: httpx.AsyncClient) -> httpx.AsyncClient:
    return await ann(client)


def quantity(value: float, unit: str, **more: Any) -> Json:
    return {"value": value, "system": UCUM, "code": unit, "unit": unit, **more}


async def flags(client: httpx.AsyncClient) -> list[Json]:
    """Those that hold: only these have the tag."""
    tag = f"{BASE}/CodeSystem/cm-flag|eligibility-evidence"
    found = await client.get("Flag", params={"_tag": tag, "patient": ANN})
    return [entry["resource"] for entry in found.json().get("entry", ())]


async def answer(client: httpx.AsyncClient, task: Json, status: str = "completed", **more: Any) -> httpx.Response:
    return await put(client, {**task, "status": status, **more})


def shown(id: str) -> list[Json]:
    return [{"type": {"text": "answer"}, "valueReference": {"reference": f"Consent/{id}"}}]


async def offered(client: httpx.AsyncClient) -> Json:
    await kept(client, eligible(), plan())
    (task,) = await tasks(client, OFFER)
    return task


@pytest.mark.requirement("NY-02")
@pytest.mark.parametrize(
    ("value", "status"),
    [
        (119, 422),
        (120, 422),
        (121, 201),
        (quantity(120, "d"), 422),
        (quantity(120.01, "d"), 201),
        (quantity(17, "wk"), 422),
        (quantity(17.5, "wk"), 201),
        (quantity(3, "mo"), 422),
        (quantity(4, "mo"), 201),
        (quantity(1, "a"), 201),
        (quantity(120, "d", comparator=">"), 201),
        (quantity(120, "d", comparator=">="), 422),
        (quantity(200, "d", comparator="<"), 422),
        (quantity(3000, "h"), 422),
        ({"value": 121, "unit": "days"}, 201),
        ({"value": 120, "unit": "Days"}, 422),
        ({"value": 200, "unit": "visits"}, 422),
        ({"value": 200, "unit": "days", "system": "urn:example", "code": "d"}, 422),
        ({"value": 200}, 422),
    ],
    ids=str,
)
@pytest.mark.parametrize("program", ["ny-mltcp", "ny-map"])
async def test_enrollment_is_for_a_need_of_more_than_120_days(
    here: httpx.AsyncClient, program: str, value: Any, status: int
) -> None:
    await kept(here, evidence(value=value))
    response = await put(here, plan(program))
    assert status == response.status_code, response.text
    if status == 422:
        assert (422, ["business-rule"]) == refusal(response)
        issue = response.json()["issue"][0]
        assert issue["details"]["text"].endswith("#NY-02")
        assert "more than 120 days" in issue["diagnostics"]
        assert "Observation/need" in issue["diagnostics"]
    else:
        assert [] == await flags(here)


@pytest.mark.requirement("NY-02")
async def test_evidence_that_is_no_number_is_told_as_such(here: httpx.AsyncClient) -> None:
    said = {name: value for name, value in evidence().items() if name != "valueInteger"} | {"valueString": "150"}
    await kept(here, said)
    response = await put(here, plan())
    assert (422, ["business-rule"]) == refusal(response)
    assert "says no number" in response.json()["issue"][0]["diagnostics"]


@pytest.mark.requirement("NY-02")
async def test_enrollment_by_patch_and_in_one_transaction_with_its_evidence(here: httpx.AsyncClient) -> None:
    await kept(here, evidence(value=120), plan(status="waitlist"))
    patch = {"headers": {"Content-Type": "application/json-patch+json"}}
    for status in ("planned", "active"):
        body = f'[{{"op": "replace", "path": "/status", "value": "{status}"}}]'
        response = await here.patch("EpisodeOfCare/ann-ny-mltcp", content=body, **patch)
        assert (422, ["business-rule"]) == refusal(response)
    await kept(here, evidence(value=150), plan())


@pytest.mark.requirement("NY-02")
async def test_latest_evidence_as_of_the_enrollment_counts_and_no_mistake(here: httpx.AsyncClient) -> None:
    await kept(here, evidence("first", 90, effectiveDateTime=day(-30)), evidence("second", 200))
    await kept(here, evidence("later", 30, effectiveDateTime=day(+9)), evidence("draft", 10, status="preliminary"))
    assert 201 == (await put(here, plan())).status_code
    await kept(here, patient("bob"), plan(status="cancelled"), evidence("second", 200, status="entered-in-error"))
    assert (422, ["business-rule"]) == refusal(await put(here, plan()))
    await kept(here, evidence("first", 90, effectiveDateTime=day(-30), status="entered-in-error"))
    assert (422, ["business-rule"]) == refusal(await put(here, plan())), "what is later counts where there is no other"


@pytest.mark.requirement("NY-02")
@pytest.mark.parametrize(("number", "status"), [(120, 422), (121, 201)])
async def test_answer_to_the_question_is_evidence(here: httpx.AsyncClient, number: int, status: int) -> None:
    response = {
        "resourceType": "QuestionnaireResponse",
        "id": "asked",
        "questionnaire": f"{BASE}/Questionnaire/ny-ltc-need|1.0.0",
        "status": "completed",
        "subject": {"reference": ANN},
        "authored": day(-1),
        "item": [{"linkId": "expected-days", "answer": [{"valueInteger": number}]}],
    }
    await kept(here, response)
    assert status == (await put(here, plan())).status_code


@pytest.mark.requirement("NY-02")
async def test_enrollment_without_evidence_flags_the_member_until_it_comes(here: httpx.AsyncClient) -> None:
    assert 201 == (await put(here, plan())).status_code
    (flag,) = await flags(here)
    assert ("active", PLAN, ANN) == (flag["status"], flag["author"]["reference"], flag["subject"]["reference"])
    await kept(here, evidence(value=100))
    assert ["active"] == [one["status"] for one in await flags(here)]
    await kept(here, evidence("assessed", 130, effectiveDateTime=day(0)))
    assert [] == await flags(here)
    over = (await here.get(f"Flag/{flag['id']}")).json()
    assert ("inactive", True) == (over["status"], "end" in over["period"])


@pytest.mark.requirement("NY-02")
@pytest.mark.parametrize(
    ("changed", "number", "status", "flagged"),
    [
        ({"missing": "refuse"}, None, 422, 0),
        ({"missing": "admit"}, None, 201, 0),
        ({"rule-severity": "warn"}, 120, 201, 1),
        ({"limit": 100}, 120, 201, 0),
    ],
    ids=str,
)
async def test_programs_file_says_how_strict_it_is(
    here: httpx.AsyncClient, changed: dict[str, Any], number: int | None, status: int, flagged: int
) -> None:
    program = shipped("ny-mltcp")
    rule = next(one for one in program["action"] if one["id"] == "NY-02")
    for extension in rule["extension"]:
        inner = extension.get("extension")
        if inner and inner[0]["valueCode"] in changed:
            member = next(name for name in inner[1] if name != "url")
            inner[1][member] = changed[inner[0]["valueCode"]]
        elif "valueCode" in extension and "rule-severity" in changed:
            extension["valueCode"] = changed["rule-severity"]
    await kept(here, program, *([evidence(value=number)] if number else []))
    assert status == (await put(here, plan())).status_code
    assert flagged == len(await flags(here))


@pytest.mark.requirement("NY-02")
async def test_enrollment_is_judged_by_the_program_of_its_first_day(here: httpx.AsyncClient) -> None:
    stricter = shipped("ny-mltcp") | {"version": "2.0.0", "effectivePeriod": {"start": day(30)}}
    rule = next(one for one in stricter["action"] if one["id"] == "NY-02")
    (limit,) = [one["extension"][1] for one in rule["extension"] if "valueInteger" in one.get("extension", ({}, {}))[1]]
    limit["valueInteger"] = 180
    await kept(here, stricter, evidence(value=150))
    later = plan(status="planned") | {"period": {"start": day(30)}}
    response = await put(here, later)
    assert (422, ["business-rule"]) == refusal(response)
    assert "ny-mltcp|2.0.0" in response.json()["issue"][0]["details"]["text"]
    assert 201 == (await put(here, later | {"period": {"start": day(29)}})).status_code


@pytest.mark.requirement("NY-02")
async def test_what_is_enrolled_stays_so_and_its_correction_passes(here: httpx.AsyncClient) -> None:
    await kept(here, evidence(value=200), plan())
    await kept(here, evidence(value=30))
    later = plan(period={"start": day(0), "end": day(40)})
    assert 200 == (await put(here, later)).status_code
    assert 200 == (await put(here, later | {"status": "onhold"})).status_code
    assert 200 == (await put(here, later)).status_code


@pytest.mark.requirement("NY-03")
async def test_health_home_is_offered_in_the_commit_that_makes_a_member_eligible(here: httpx.AsyncClient) -> None:
    first = await here.put("EpisodeOfCare/ann-ny-mltcp", json=plan())
    assert [] == await tasks(here, OFFER)
    second = await put(here, eligible())
    (task,) = await tasks(here, OFFER)
    assert 201 == first.status_code == second.status_code
    assert second.json()["meta"]["versionId"] == task["meta"]["versionId"]
    assert ("requested", PLAN) == (task["status"], task["owner"]["reference"])
    await kept(here, eligible(valueBoolean=False))
    assert ["cancelled"] == [one["status"] for one in await tasks(here, OFFER)]


@pytest.mark.requirement("NY-03")
async def test_condition_makes_eligible_and_who_is_in_a_health_home_is_offered_none(here: httpx.AsyncClient) -> None:
    clinical = {"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": "active"}
    condition = {
        "resourceType": "Condition",
        "id": "c",
        "clinicalStatus": {"coding": [clinical]},
        "code": coding("cm-evidence", "health-home-eligible"),
        "subject": {"reference": ANN},
    }
    await kept(here, plan(), enrolled(ANN, "ny-health-home", HOME, day(0)), condition)
    assert [] == await tasks(here, OFFER)
    await kept(here, enrolled(ANN, "ny-health-home", HOME, day(0), status="cancelled"))
    assert ["requested"] == [one["status"] for one in await tasks(here, OFFER)]


@pytest.mark.requirement("NY-03")
@pytest.mark.parametrize("actor", [PLAN, ""])
async def test_what_became_of_an_offer_is_said_by_nobody_but_the_server(here: httpx.AsyncClient, actor: str) -> None:
    task = await offered(here)
    for state, status in (("accepted", "requested"), ("enrolled", "in-progress")):
        said = {**task, "status": status, "businessStatus": coding("cm-offer-state", state)}
        assert (409, ["conflict"]) == refusal(await put(here, said, headers=acting(actor)))
    own = {**task, "status": "in-progress", "businessStatus": {"text": "Called twice"}}
    assert 200 == (await put(here, own, headers=acting(actor))).status_code


@pytest.mark.requirement("NY-03")
async def test_offer_is_accepted_by_the_members_consent_and_followed_by_the_enrollment(
    here: httpx.AsyncClient,
) -> None:
    task = await offered(here)
    related = {
        "resourceType": "RelatedPerson",
        "id": "son",
        "patient": {"reference": ANN},
    }
    by_son = consent("by-son", "permit", performer=[{"reference": "RelatedPerson/son"}])
    stranger = consent("stranger", "permit", performer=[{"reference": "Practitioner/pat"}])
    other = consent("other", "permit", patient={"reference": MEMBER}, performer=[{"reference": MEMBER}])
    former = {**related, "id": "former", "period": {"end": "2020-01-01"}}
    by_former = consent("former", "permit", performer=[{"reference": "RelatedPerson/former"}])
    await kept(here, related, former, by_former, by_son, stranger, other, consent("draft", "permit", status="draft"))
    for output in ([], shown("stranger"), shown("former"), shown("other"), shown("draft"), shown("nowhere")):
        response = await answer(here, task, **({"output": output} if output else {}))
        assert (422, ["business-rule"]) == refusal(response)
    for status in ("cancelled", "failed", "entered-in-error"):
        assert (422, ["business-rule"]) == refusal(await answer(here, task, status, output=shown("by-son")))
    assert 200 == (await answer(here, task, output=shown("by-son"))).status_code
    accepted = await here.get("Task", params={"business-status": f"{BASE}/CodeSystem/cm-offer-state|accepted"})
    assert [task["id"]] == ids(accepted)
    assert (409, ["conflict"]) == refusal(await answer(here, task, "requested"))
    assert (409, ["conflict"]) == refusal(await answer(here, task, output=shown("other"))), "what was answered stays"
    assert (409, ["conflict"]) == refusal(await here.delete(f"Task/{task['id']}"))
    assert 201 == (await put(here, enrolled(ANN, "ny-health-home", HOME, day(0)))).status_code
    (followed,) = await tasks(here, OFFER)
    assert ["enrolled"] == [one["code"] for one in followed["businessStatus"]["coding"]]
    assert "EpisodeOfCare/ann-ny-health-home" == followed["output"][-1]["valueReference"]["reference"]


@pytest.mark.requirement("NY-03", "NY-04")
async def test_declined_is_for_a_reason_and_enrolling_then_takes_a_later_consent(here: httpx.AsyncClient) -> None:
    task = await offered(here)
    await kept(here, consent("no", "deny"))
    home = enrolled(ANN, "ny-health-home", HOME, day(0))
    assert (422, ["business-rule"]) == refusal(await answer(here, task, output=shown("no")))
    reason = {"statusReason": {"text": "Wants no further care manager"}}
    response = await answer(here, task, "rejected", output=shown("no"), **reason)
    assert "declined" == response.json()["businessStatus"]["coding"][0]["code"]
    response = await put(here, home)
    assert (422, ["business-rule"]) == refusal(response)
    assert response.json()["issue"][0]["details"]["text"].endswith("#NY-03")
    await kept(here, eligible(effectiveDateTime=day(0)) | {"id": "again"})
    assert 1 == len(await tasks(here, OFFER)), "an answer stands"
    await kept(here, consent("yes", "permit", dateTime=day(0)))
    assert 201 == (await put(here, home)).status_code


@pytest.mark.requirement("NY-03", "NY-04")
async def test_acceptance_and_enrollment_are_one_transaction_too(here: httpx.AsyncClient) -> None:
    task = await offered(here)
    home = enrolled(ANN, "ny-health-home", HOME, day(0))
    await kept(here, consent("yes", "permit"), {**task, "status": "completed", "output": shown("yes")}, home)
    (followed,) = await tasks(here, OFFER)
    assert "enrolled" == followed["businessStatus"]["coding"][0]["code"]


@pytest.mark.requirement("NY-04")
async def test_member_is_in_a_plan_and_a_health_home_and_two_of_a_kind_are_settled(here: httpx.AsyncClient) -> None:
    await kept(here, plan(), enrolled(ANN, "ny-health-home", HOME, day(0)))
    assert [] == await tasks(here, OVERLAP)
    second = enrolled(ANN, "ny-health-home", OTHER, day(0)) | {"id": "second"}
    assert 201 == (await put(here, second)).status_code
    assert [("requested", OTHER)] == [(one["status"], one["owner"]["reference"]) for one in await tasks(here, OVERLAP)]
    ended = enrolled(ANN, "ny-health-home", HOME, day(-9), day(-1), status="finished")
    assert 200 == (await put(here, ended)).status_code
    assert ["completed"] == [one["status"] for one in await tasks(here, OVERLAP)]
    assert 201 == (await put(here, plan("ny-map"))).status_code
    assert [("requested", "EpisodeOfCare/ann-ny-map")] == [
        (one["status"], one["focus"]["reference"]) for one in await tasks(here, OVERLAP, status="requested")
    ]


def coverage(kind: str, end: str | None = None, **more: Any) -> Json:
    return {
        "resourceType": "Coverage",
        "id": "c",
        "status": "active",
        "type": coding("ny-plan", kind),
        "beneficiary": {"reference": ANN},
        "payor": [{"reference": PLAN}],
        "period": {"start": day(-90), **({"end": end} if end else {})},
        **more,
    }


@pytest.mark.requirement("NY-01", "ADJ-10")
async def test_kind_of_plan_is_that_of_the_program(here: httpx.AsyncClient) -> None:
    await kept(here, coverage("map"))
    response = await put(here, plan("ny-mltcp"))
    assert (422, ["business-rule"]) == refusal(response)
    assert response.json()["issue"][0]["details"]["text"].endswith("#NY-01")
    assert 201 == (await put(here, plan("ny-map"))).status_code
    assert (422, ["business-rule"]) == refusal(await put(here, coverage("mltcp")))
    assert 200 == (await put(here, coverage("mltcp", day(-1)))).status_code
    pace = coverage("map", type={"coding": [{"system": "urn:example", "code": "pace"}]})
    assert 200 == (await put(here, pace)).status_code
    over = plan("ny-map", status="finished") | {"period": {"start": day(-9), "end": day(-1)}}
    await kept(here, over, coverage("mltcp"), plan("ny-mltcp"))


@pytest.mark.requirement("NY-02", "NY-03", "NY-04")
async def test_plan_and_health_home_do_all_this_as_themselves(here: httpx.AsyncClient) -> None:
    as_plan, as_home = ({"headers": {"X-Acting-As": one}} for one in (PLAN, HOME))
    assert 201 == (await put(here, plan(), **as_plan)).status_code
    assert 1 == len(await flags(here))
    assert 201 == (await put(here, evidence(value=130), **as_plan)).status_code
    assert [] == await flags(here)
    assert 201 == (await put(here, eligible(), **as_plan)).status_code
    (task,) = await tasks(here, OFFER)
    assert 201 == (await put(here, consent("yes", "permit"), **as_plan)).status_code
    answered = {**task, "status": "completed", "output": shown("yes")}
    assert 200 == (await put(here, answered, **as_plan)).status_code
    home = enrolled(ANN, "ny-health-home", HOME, day(0))
    assigned = {
        "resourceType": "Task",
        "id": "assigned",
        "status": "requested",
        "intent": "order",
        "code": coding("cm-task", "health-home-assignment"),
        "for": {"reference": ANN},
        "requester": {"reference": PLAN},
        "owner": {"reference": HOME},
    }
    assert 201 == (await put(here, assigned, **as_plan)).status_code
    assert 201 == (await put(here, home, **as_home)).status_code
    (followed,) = await tasks(here, OFFER)
    assert "enrolled" == followed["businessStatus"]["coding"][0]["code"]


@pytest.mark.requirement("NY-03")
async def test_offer_ends_as_its_evidence_is_deleted_or_the_member_leaves(here: httpx.AsyncClient) -> None:
    await offered(here)
    assert 204 == (await here.delete("Observation/eligible")).status_code
    assert ["cancelled"] == [one["status"] for one in await tasks(here, OFFER)]
    await kept(here, eligible() | {"id": "again"})
    assert ["cancelled", "requested"] == sorted(one["status"] for one in await tasks(here, OFFER))
    await kept(here, plan(status="finished", period={"start": day(-9), "end": day(-1)}))
    assert ["cancelled", "cancelled"] == [one["status"] for one in await tasks(here, OFFER)]


@pytest.mark.requirement("NY-03")
async def test_one_offer_is_made_and_one_answer_stands_whoever_comes_first(here: httpx.AsyncClient) -> None:
    made = await asyncio.gather(put(here, plan()), put(here, eligible()), put(here, eligible() | {"id": "second"}))
    assert [201] * 3 == [one.status_code for one in made]
    (task,) = await tasks(here, OFFER)
    await kept(here, consent("yes", "permit"), consent("no", "deny"))
    declined = answer(here, task, "rejected", output=shown("no"), statusReason={"text": "No"})
    answers = await asyncio.gather(answer(here, task, output=shown("yes")), declined)
    assert [200, 409] == sorted(one.status_code for one in answers)
    (kept_answer,) = await tasks(here, OFFER)
    first = "completed" if answers[0].status_code == 200 else "rejected"
    state = {"completed": "accepted", "rejected": "declined"}[first]
    assert (first, state) == (kept_answer["status"], kept_answer["businessStatus"]["coding"][0]["code"])


# Ways round


@pytest.mark.requirement("NY-02")
async def test_who_is_enrolled_on_hold_first_is_judged_as_who_is_enrolled(here: httpx.AsyncClient) -> None:
    await kept(here, evidence(value=120))
    assert (422, ["business-rule"]) == refusal(await put(here, plan(status="onhold")))
    assert 201 == (await put(here, plan(status="waitlist"))).status_code
    assert (422, ["business-rule"]) == refusal(await put(here, plan(status="onhold")))
    await kept(here, evidence(value=121))
    for status in ("onhold", "active", "onhold", "active"):
        assert 200 == (await put(here, plan(status=status))).status_code


@pytest.mark.requirement("NY-02")
async def test_who_is_enrolled_on_hold_without_evidence_is_flagged(here: httpx.AsyncClient) -> None:
    assert 201 == (await put(here, plan(status="onhold"))).status_code
    flags = (await here.get("Flag", params={"subject": ANN})).json()["entry"]
    assert ["active"] == [one["resource"]["status"] for one in flags]


@pytest.mark.requirement("NY-04")
async def test_who_comes_back_from_hold_beside_another_is_asked_about(here: httpx.AsyncClient) -> None:
    first = enrolled(ANN, "ny-health-home", HOME, day(-9))
    other = enrolled(ANN, "ny-health-home", OTHER, day(-5)) | {"id": "other"}
    await kept(here, plan(), first)
    await kept(here, {**first, "status": "onhold"})
    await kept(here, other)
    assert [] == await tasks(here, OVERLAP)
    await kept(here, first)
    assert ["requested"] == [one["status"] for one in await tasks(here, OVERLAP)]


@pytest.fixture
async def declined(here: httpx.AsyncClient) -> httpx.AsyncClient:
    """Ann has declined the Health Home."""
    task = await offered(here)
    await kept(here, consent("no", "deny"))
    response = await answer(here, task, "rejected", output=shown("no"), statusReason={"text": "No"})
    assert 200 == response.status_code, response.text
    return here


@pytest.mark.requirement("NY-03")
@pytest.mark.parametrize(
    "later",
    [
        {"performer": [{"reference": "Practitioner/pat"}]},
        {"performer": []},
        {"provision": {"type": "permit", "period": {"end": day(-1)}}},
        {"provision": {"type": "permit", "period": {"start": day(9)}}},
        {"dateTime": day(-20)},
    ],
)
async def test_what_was_declined_is_permitted_by_who_may_decide_and_in_its_time(
    declined: httpx.AsyncClient, later: Json
) -> None:
    given = {name: value for name, value in (consent("yes", "permit", dateTime=day(0)) | later).items() if value}
    await kept(declined, given)
    for status in ("active", "onhold", "planned"):
        home = enrolled(ANN, "ny-health-home", HOME, day(0), status=status)
        assert (422, ["business-rule"]) == refusal(await put(declined, home)), status
    await kept(declined, consent("yes", "permit", dateTime=day(0)))
    assert 201 == (await put(declined, enrolled(ANN, "ny-health-home", HOME, day(0)))).status_code


@pytest.mark.requirement("NY-03")
@pytest.mark.parametrize(
    "changed",
    [
        {"provision": {"type": "permit"}},
        {"status": "inactive"},
        {"status": "entered-in-error"},
        {"dateTime": day(-9)},
        {"category": [{"text": "Other"}]},
        {"performer": [{"reference": "Practitioner/pat"}]},
    ],
)
async def test_evidence_of_an_answer_stays_what_was_decided(declined: httpx.AsyncClient, changed: Json) -> None:
    assert (409, ["conflict"]) == refusal(await put(declined, consent("no", "deny") | changed))
    assert (409, ["conflict"]) == refusal(await declined.delete("Consent/no"))
    assert 200 == (await put(declined, consent("no", "deny", policyRule={"text": "As signed"}))).status_code
    home = enrolled(ANN, "ny-health-home", HOME, day(0))
    assert (422, ["business-rule"]) == refusal(await put(declined, home))


@pytest.mark.requirement("NY-03")
async def test_permission_may_end_and_is_else_kept(here: httpx.AsyncClient) -> None:
    task = await offered(here)
    await kept(here, consent("yes", "permit"))
    assert 200 == (await answer(here, task, output=shown("yes"))).status_code
    assert (409, ["conflict"]) == refusal(await put(here, consent("yes", "deny")))
    assert (409, ["conflict"]) == refusal(await here.delete("Consent/yes"))
    ended = {"provision": {"type": "permit", "period": {"end": day(0)}}}
    assert 200 == (await put(here, consent("yes", "permit", **ended))).status_code
    assert 200 == (await put(here, consent("yes", "permit", status="inactive"))).status_code


@pytest.mark.requirement("NY-03")
async def test_offer_is_not_accepted_by_a_permission_that_is_over(here: httpx.AsyncClient) -> None:
    task = await offered(here)
    await kept(here, consent("yes", "permit", provision={"type": "permit", "period": {"end": day(-1)}}))
    assert (422, ["business-rule"]) == refusal(await answer(here, task, output=shown("yes")))


# What comes later


async def flagged(client: httpx.AsyncClient) -> list[str]:
    found = (await client.get("Flag", params={"subject": ANN})).json()
    return [one["resource"]["status"] for one in found.get("entry", ())]


@pytest.mark.requirement("NY-02")
@pytest.mark.parametrize("how", ["corrected", "entered-in-error", "deleted", "corrected by another"])
async def test_evidence_that_is_taken_away_leaves_a_flag(here: httpx.AsyncClient, how: str) -> None:
    await kept(here, evidence(value=130), plan())
    assert [] == await flagged(here)
    if how == "deleted":
        assert 204 == (await here.delete("Observation/need")).status_code
    elif how == "corrected by another":
        await kept(here, evidence(value=13, status="corrected"), evidence("other", value=20, effectiveDateTime=day(-9)))
    else:
        changed = {"valueInteger": 13} if how == "corrected" else {}
        await kept(here, evidence(value=130, status=how) | changed)
    assert ["active"] == await flagged(here)
    assert 200 == (await put(here, plan(period={"start": day(0), "end": day(90)}))).status_code
    await kept(here, evidence("again", value=121, effectiveDateTime=day(0)))
    assert ["inactive"] == await flagged(here)


@pytest.mark.requirement("NY-02")
async def test_evidence_that_is_one_of_two_is_not_missed(here: httpx.AsyncClient) -> None:
    await kept(here, evidence(value=130, effectiveDateTime=day(-9)), evidence("other", value=140), plan())
    assert 204 == (await here.delete("Observation/other")).status_code
    assert [] == await flagged(here)


@pytest.mark.requirement("NY-04")
@pytest.mark.parametrize(
    ("status", "settled"), [("entered-in-error", "cancelled"), ("cancelled", "cancelled"), ("waitlist", "completed")]
)
async def test_overlap_is_settled_whatever_becomes_of_either(
    here: httpx.AsyncClient, status: str, settled: str
) -> None:
    first = enrolled(ANN, "ny-health-home", HOME, day(-9))
    second = enrolled(ANN, "ny-health-home", OTHER, day(-5)) | {"id": "second"}
    await kept(here, plan(), first)
    await kept(here, second)
    assert ["requested"] == [one["status"] for one in await tasks(here, OVERLAP)]
    assert 200 == (await here.get(ANN, headers=acting(OTHER))).status_code
    await kept(here, second | {"status": status})
    assert [settled] == [one["status"] for one in await tasks(here, OVERLAP)]
    seen = (await here.get(ANN, headers=acting(OTHER))).status_code
    assert (404 if settled == "cancelled" else 200) == seen, "an enrollment that never was lets nobody see"


@pytest.mark.requirement("NY-04")
async def test_overlap_is_settled_as_an_enrolment_is_deleted(here: httpx.AsyncClient) -> None:
    await kept(here, plan(), enrolled(ANN, "ny-health-home", HOME, day(-9)))
    await kept(here, enrolled(ANN, "ny-health-home", OTHER, day(-5)) | {"id": "second"})
    assert 204 == (await here.delete("EpisodeOfCare/second")).status_code
    assert ["cancelled"] == [one["status"] for one in await tasks(here, OVERLAP)]


@pytest.mark.requirement("NY-03")
@pytest.mark.parametrize("answered", [False, True])
async def test_enrollment_that_never_was_gives_the_offer_back(here: httpx.AsyncClient, answered: bool) -> None:
    task = await offered(here)
    if answered:
        await kept(here, consent("yes", "permit"))
        assert 200 == (await answer(here, task, output=shown("yes"))).status_code
    home = enrolled(ANN, "ny-health-home", HOME, day(0))
    await kept(here, home)

    async def state() -> tuple[str, str | None]:
        (found,) = await tasks(here, OFFER)
        told = found.get("businessStatus", {}).get("coding", [{}])
        return found["status"], told[0].get("code")

    assert ("completed", "enrolled") == await state()
    await kept(here, home | {"status": "entered-in-error"})
    assert (("completed", "accepted") if answered else ("requested", None)) == await state()
    await kept(here, home)
    assert ("completed", "enrolled") == await state()
    await kept(here, home | {"status": "finished", "period": {"start": day(0), "end": day(0)}})
    assert ("completed", "enrolled") == await state()
