"""New York: what a plan and a Health Home do for a member is held against who is responsible for what."""

from __future__ import annotations

import httpx
import pytest

from tests.answers import places, refusal, rules
from tests.coordination.memory import BASE, coding
from tests.scenarios.iowa import Json, kept, parameters, put
from tests.scenarios.new_york import (
    HAL,
    HOME,
    MEMBER,
    OLA,
    OTHER,
    PAT,
    PLAN,
    acting,
    asa,
    day,
    enrolled,
    named,
    new_york,
)
from tests.scenarios.new_york_care import (
    AIDE,
    appendix,
    check,
    code,
    look,
    noon,
    ordered,
    over,
    planned,
    position,
    resolver,
    task_of,
    told,
    visit,
)


@pytest.mark.requirement("NY-08", "NY-09", "NY-12")
@pytest.mark.parametrize("program", ["ny-mltcp", "ny-map"])
async def test_services_where_they_belong_are_no_issue(client: httpx.AsyncClient, program: str) -> None:
    await new_york(client, program)
    await kept(
        client,
        planned("p", PLAN, "personal-care", "long-term-services", contributor=[{"reference": HOME}]),
        ordered("r", "health-home-care-management", HAL),
        ordered("s", "other-outside-package", HOME),
        ordered("t", "adult-day-care", AIDE, requester={"reference": PAT}),
    )
    assert [] == await check(client)


@pytest.mark.requirement("NY-08", "NY-09", "NY-19")
async def test_service_of_the_wrong_one_is_for_the_right_one_to_resolve(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, ordered("r", "personal-care", HAL), planned("p", PLAN, "behavioral-health"))
    expected = [("wrong-party", ["CarePlan/p"], HOME), ("wrong-party", ["ServiceRequest/r"], PLAN)]
    found = await check(client)
    assert expected == told(found)
    assert ["ny-mltcp|1.0.0#NY-09", "ny-mltcp|1.0.0#NY-08"] == [one["reference"].rpartition("/")[2] for one in found]


@pytest.mark.requirement("NY-05", "NY-19")
async def test_service_of_both_is_found_and_never_refused(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, planned("p", PLAN, "adult-day-care"), planned("h", HOME, "adult-day-care"))
    (issue,) = await check(client)
    assert ("duplicate-coordination", ["CarePlan/h", "CarePlan/p"], PLAN) == (
        code(issue),
        sorted(item["reference"] for item in issue["implicated"]),
        resolver(issue),
    )
    sides = {side["code"][0]["text"]: side["detail"][0]["reference"] for side in issue["evidence"]}
    assert {PLAN: "CarePlan/p", HOME: "CarePlan/h"} == sides


@pytest.mark.requirement("NY-19")
async def test_services_one_after_the_other_are_not_done_twice(here: httpx.AsyncClient) -> None:
    first = ordered("r", "adult-day-care", PAT) | {"occurrencePeriod": {"start": day(-20), "end": day(-11)}}
    await kept(here, first, ordered("s", "adult-day-care", HAL, day(-10)))
    assert ["wrong-party"] == [code(one) for one in await check(here)]
    await kept(here, first, ordered("s", "adult-day-care", HAL, day(-11)))
    assert ["duplicate-coordination"] == [code(one) for one in await check(here)]


@pytest.mark.requirement("NY-05")
async def test_billing_party_says_whose_a_service_is(here: httpx.AsyncClient) -> None:
    tag = {"tag": [{"system": f"{BASE}/CodeSystem/ny-billing-party", "code": "plan"}]}
    await kept(here, ordered("r", "personal-care", HAL, meta=tag))
    assert [] == await check(here)


@pytest.mark.requirement("NY-08")
async def test_service_that_nobody_has_is_found(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "pers", None), ordered("s", "chha", AIDE))
    expected = [("no-owner", ["ServiceRequest/s"], PLAN), ("no-owner", ["ServiceRequest/r"], PLAN)]
    assert expected == told(await check(here))


@pytest.mark.requirement("NY-19")
@pytest.mark.parametrize("form", ["request", "activity"])
async def test_service_that_both_perform_is_done_twice_and_not_nobodys(client: httpx.AsyncClient, form: str) -> None:
    await new_york(client, "ny-mltcp")
    both = [{"reference": HOME}, {"reference": PAT}]
    plan = planned("r", PLAN, "personal-care")
    plan["activity"][0]["detail"]["performer"] = both
    await kept(client, plan if form == "activity" else ordered("r", "personal-care", None, performer=both))
    (issue,) = await check(client)
    assert ("duplicate-coordination", PLAN) == (code(issue), resolver(issue))
    assert [PLAN, HOME] == [one["code"][0]["text"] for one in issue["evidence"]]
    assert PLAN == (await task_of(client, issue))["owner"]["reference"]


@pytest.mark.requirement("NY-12")
async def test_service_that_the_table_does_not_list_is_not_allocated(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", None, HAL))
    assert [("not-allocated", ["ServiceRequest/r"], HOME)] == told(await check(here))  # who has it, NY-10
    await kept(here, ordered("r", None, None))
    assert {("not-allocated", PLAN), ("no-owner", PLAN)} == {(one, who) for one, _, who in told(await check(here))}
    await named(here)
    assert {("not-allocated", HOME), ("no-owner", HOME)} == {(one, who) for one, _, who in told(await check(here))}


@pytest.mark.requirement("NY-09", "NY-11")
@pytest.mark.parametrize(
    ("program", "at", "expected"),
    [
        ("ny-map", "2022-12-31", ["wrong-party"]),
        ("ny-map", "2023-01-01", ["not-allocated"]),
        ("ny-mltcp", "2022-12-31", ["wrong-party"]),
        ("ny-mltcp", "2023-01-01", ["wrong-party"]),
    ],
)
async def test_behavioral_health_is_carved_in_to_map_alone_on_the_day(
    client: httpx.AsyncClient, program: str, at: str, expected: list[str]
) -> None:
    since = {"start": "2020-01-01"}
    both = [enrolled(MEMBER, program, PLAN, **since), enrolled(MEMBER, "ny-health-home", HOME, **since)]
    await new_york(client, program)
    await kept(client, *both, ordered("r", "behavioral-health", PAT, "2022-01-01"), asa(start="2020-01-01"))
    assert expected == [code(one) for one in await check(client, asOf=at)]


@pytest.mark.requirement("NY-09", "NY-11", "NY-19")
async def test_period_is_judged_by_the_table_of_each_of_its_days(client: httpx.AsyncClient) -> None:
    since = {"start": "2020-01-01"}
    both = [enrolled(MEMBER, "ny-map", PLAN, **since), enrolled(MEMBER, "ny-health-home", HOME, **since)]
    await new_york(client, "ny-map")
    await kept(client, *both, ordered("r", "behavioral-health", PAT, "2022-06-01"), asa(start="2020-01-01"))
    assert ["wrong-party"] == await over(client, "2022-12-01", "2022-12-31")
    assert ["not-allocated"] == await over(client, "2023-01-01", "2023-01-31")
    assert ["not-allocated", "wrong-party"] == await over(client, "2022-12-15", "2023-01-15")
    assert ["not-allocated", "wrong-party"] == await over(client, "2022-12-15")  # until now
    assert [] == await over(client, "2022-01-01", "2022-05-31")
    assert ["not-allocated"] == [code(one) for one in await check(client, asOf="2023-01-02")]  # as it is on the day


@pytest.mark.requirement("NY-08", "NY-19")
async def test_period_reaches_to_its_end_and_over_that_of_an_enrolment(here: httpx.AsyncClient) -> None:
    await kept(
        here, ordered("r", "behavioral-health", PAT, day(8)), asa(term=appendix(("behavioral-health", "in-plan", HOME)))
    )
    for start in (-20, 5, 10):
        assert ["wrong-party"] == await over(here, day(start), day(40))
    assert [] == await over(here, day(-20), day(7))
    assert [] == await over(here, day(-20))  # until now
    assert [] == await over(here, day(-20), day(40), asOf=("valueDate", day(0)))
    assert ["wrong-party"] == await over(here, day(-20), "9999-12-31")
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(20)))
    assert ["wrong-party"] == await over(here, day(-20), day(40))
    assert [] == await over(here, day(21), day(40))
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(7)))
    assert [] == await over(here, day(-20), day(40))


@pytest.mark.requirement("NY-06", "NY-19")
async def test_period_tells_of_each_two_who_had_the_member_as_far_as_they_share(here: httpx.AsyncClient) -> None:
    former = enrolled(MEMBER, "ny-health-home", OTHER, end=day(-21)) | {"id": "former"}
    await kept(here, former, enrolled(MEMBER, "ny-health-home", HOME, start=day(-20)))
    await kept(
        here,
        ordered("r", "chha", OLA, occurrencePeriod={"start": day(-60), "end": day(-30)}),
        ordered("s", "chha", HAL, day(-10)),
    )
    assert ["wrong-party"] * 2 == await over(here, day(-50), day(0))
    assert ["wrong-party"] == await over(here, day(-50), day(0), PLAN)  # with the former one there is no agreement
    asked = parameters(period=("valuePeriod", {"start": day(-50), "end": day(-25)}))
    response = await here.post(f"{MEMBER}/$coordination-check", json=asked, headers=acting(PLAN))
    assert (422, ["business-rule"]) == refusal(response)
    await kept(here, asa("former", (PLAN, OTHER)))
    assert ["wrong-party"] * 2 == await over(here, day(-50), day(0), PLAN)


@pytest.mark.requirement("ADJ-12")
async def test_transportation_is_carved_out_on_the_day(client: httpx.AsyncClient) -> None:
    since = {"start": "2020-01-01"}
    both = [enrolled(MEMBER, "ny-map", PLAN, **since), enrolled(MEMBER, "ny-health-home", HOME, **since)]
    await new_york(client, "ny-map")
    await kept(client, *both, ordered("r", "transportation", PAT, "2022-01-01"))
    assert [] == await check(client, asOf="2024-02-29")
    assert [("wrong-party", ["ServiceRequest/r"], HOME)] == told(await check(client, asOf="2024-03-01"))


@pytest.mark.requirement("NY-11", "NY-12")
async def test_appendix_of_the_agreement_decides_alone(here: httpx.AsyncClient) -> None:
    rows = [("behavioral-health", "in-plan", PLAN), ("personal-care", "in-plan", None)]
    await kept(here, asa(term=appendix(*rows)))
    await kept(
        here,
        ordered("r", "behavioral-health", HAL),
        ordered("s", "personal-care", PAT),
        ordered("t", "chha", PAT),
    )
    found = await check(here)
    assert [
        ("wrong-party", ["ServiceRequest/r"], PLAN),
        ("not-allocated", ["ServiceRequest/t"], PLAN),
        ("not-allocated", ["ServiceRequest/s"], PLAN),
    ] == told(found)
    assert {f"{BASE}/Contract/asa"} == {one["reference"] for one in found}


def row(type: Json, whose: Json) -> list[Json]:
    """Contract.term: an appendix of one row."""
    (term,) = appendix(("personal-care", "in-plan", None))
    (asset,) = term["asset"]
    return [term | {"asset": [asset | {"type": [type], "valuedItem": [{"responsible": whose}]}]}]


@pytest.mark.requirement("NY-12")
async def test_row_of_the_appendix_in_words_is_of_what_is_ordered_in_the_same_words(here: httpx.AsyncClient) -> None:
    await kept(here, asa(term=row({"text": "Reading  aloud"}, {"reference": HOME})))
    await kept(here, ordered("r", None, HAL))
    assert [] == await check(here)
    await kept(here, ordered("r", None, PAT))
    (issue,) = await look(here)
    assert ("wrong-party", HOME, f"{BASE}/Contract/asa") == (code(issue), resolver(issue), issue["reference"])
    assert issue["detail"].startswith("Reading  aloud is coordinated by Organization/plan")
    await kept(here, ordered("r", "behavioral-health", HAL))
    assert ["not-allocated"] == [code(one) for one in await check(here)]  # it is the only row, and decides alone


@pytest.mark.requirement("NY-12")
@pytest.mark.parametrize("whose", [PAT, "Practitioner/pat"])
async def test_role_that_the_appendix_names_stands_for_its_organization(here: httpx.AsyncClient, whose: str) -> None:
    await kept(here, asa(term=row(coding("ny-service", "behavioral-health"), {"reference": whose})))
    await kept(here, ordered("r", "behavioral-health", PLAN))
    assert [] == await check(here)
    await kept(here, ordered("r", "behavioral-health", HOME))
    assert [("wrong-party", ["ServiceRequest/r"], PLAN)] == told(await check(here))


@pytest.mark.requirement("NY-12")
@pytest.mark.parametrize(
    ("term", "where"),
    [
        (row({"coding": [{"display": "Peer support"}]}, {"reference": HOME}), "type"),
        (row({"text": "Peer support"}, {"display": "The Health Home"}), "valuedItem.responsible"),
    ],
)
async def test_row_that_names_no_service_or_nobody_is_refused(
    here: httpx.AsyncClient, term: list[Json], where: str
) -> None:
    response = await put(here, asa(term=term))
    assert ((422, ["business-rule"]), {"NY-06"}) == (refusal(response), rules(response))
    assert [f"Contract.term[0].asset[0].{where}"] == places(response)
    assert 200 == (await put(here, asa(term=term, status="amended"))).status_code  # no agreement in force
    other = [term[0] | {"type": {"text": "Our own"}}]
    assert 200 == (await put(here, asa(term=other))).status_code


@pytest.mark.requirement("NY-12")
async def test_service_for_which_a_third_one_is_responsible_is_outside_both(here: httpx.AsyncClient) -> None:
    await kept(here, asa(term=appendix(("transportation", "out-of-plan", "Organization/broker"))))
    await kept(here, ordered("r", "transportation", HAL))
    assert [("outside-both", ["ServiceRequest/r"], HOME)] == told(await check(here))


@pytest.mark.requirement("NY-19")
async def test_check_answers_what_somebody_resolved_as_resolved(here: httpx.AsyncClient) -> None:
    await kept(here, visit("v", PLAN, noon(-9)), visit("w", HOME, noon(-2)))
    (issue,) = await look(here)
    task = await task_of(here, issue)
    await kept(here, task | {"status": "completed"})
    stored = (await here.get(f"DetectedIssue/{issue['id']}")).json()["mitigation"]
    assert "settled" == stored[0]["action"]["coding"][0]["code"]
    assert [[stored]] * 2 == [
        [one.get("mitigation") for one in found] for found in (await check(here), await look(here))
    ]
    roster = (await here.get(f"{PLAN}/$coordination-check")).json()["entry"]
    assert [stored] == [one["resource"]["mitigation"] for one in roster[1:]]
    await kept(here, visit("x", HOME, noon(-1)))
    assert [None] == [one.get("mitigation") for one in await check(here)]


@pytest.mark.requirement("NY-05", "NY-19")
async def test_contact_that_names_nobody_is_of_whom_its_writer_acts_for(here: httpx.AsyncClient) -> None:
    await kept(here, visit("v", PLAN, noon(-9)))
    unnamed = {name: value for name, value in visit("w", HOME, noon(-2)).items() if name != "serviceProvider"}
    await kept(here, unnamed)
    assert [] == await check(here)
    for actor in (HAL, HOME):
        response = await here.put("Encounter/w", json=unnamed, headers={"X-Acting-As": actor})
        assert response.status_code == 200, response.text
        (tag,) = response.json()["meta"]["tag"]
        assert "health-home" == tag["code"]
        assert ["duplicate-coordination"] == [code(one) for one in await check(here)]
    made = await here.post("Encounter", json=unnamed, headers={"X-Acting-As": PLAN})
    assert (201, "plan") == (made.status_code, made.json()["meta"]["tag"][0]["code"])


@pytest.mark.requirement("NY-12")
async def test_other_appendix_and_other_times_leave_the_programs_table(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", PAT))
    await kept(here, asa(term=appendix(("personal-care", "in-plan", HOME), code="appendix-a")))
    assert [] == await check(here)
    later = appendix(("personal-care", "in-plan", HOME), applies={"start": day(10)})
    await kept(here, asa(term=later))
    assert ["not-allocated"] == [code(one) for one in await check(here)]
    assert ["wrong-party"] == [code(one) for one in await check(here, asOf=day(10))]


@pytest.mark.requirement("NY-19")
async def test_same_kind_of_contact_by_both_in_the_window_is_found(here: httpx.AsyncClient) -> None:
    await kept(here, visit("v", PLAN, noon(-29)), visit("w", HOME, noon(-2)), visit("x", HOME, noon(-3), "phone"))
    (issue,) = await check(here)
    assert ("duplicate-coordination", ["Encounter/v", "Encounter/w"], PLAN) == (
        code(issue),
        sorted(item["reference"] for item in issue["implicated"]),
        resolver(issue),
    )
    assert PLAN == (await task_of(here, issue))["owner"]["reference"]
    await kept(here, visit("v", PLAN, noon(-33)))
    assert [] == await check(here)
    response = await here.post(
        f"{MEMBER}/$coordination-check",
        json={
            "resourceType": "Parameters",
            "parameter": [{"name": "period", "valuePeriod": {"start": day(-60), "end": day(0)}}],
        },
    )
    assert "entry" not in response.json()  # 31 days apart


@pytest.mark.requirement("NY-19")
@pytest.mark.parametrize("since", [-20, 5, 10])
@pytest.mark.parametrize("until", [7, 9, 40])
async def test_time_that_is_asked_about_goes_to_its_end_also_where_that_is_to_come(
    here: httpx.AsyncClient, since: int, until: int
) -> None:
    await kept(here, ordered("r", "chha", HOME, day(8)))
    for end in (None, day(8), day(30)):
        await kept(
            here, ordered("r", "chha", HOME, day(8), occurrencePeriod={"start": day(8)} | ({"end": end} if end else {}))
        )
        found = await over(here, day(min(since, until)), day(until))
        assert (["wrong-party"] if until > 8 and (since < 9 or end != day(8)) else []) == found


@pytest.mark.requirement("NY-19")
@pytest.mark.parametrize(
    ("type", "expected"),
    [
        ([[{"text": "Monthly home visit"}], [{"text": "monthly  HOME visit "}]], 1),
        ([[{"text": "Monthly home visit"}], [{"text": "Monthly phone call"}]], 0),
        ([[], []], 1),  # of one class
    ],
)
async def test_contacts_without_codes_are_of_one_kind_by_their_words_or_class(
    here: httpx.AsyncClient, type: list[list[Json]], expected: int
) -> None:
    for id, by, at, one in (("v", PLAN, -3, type[0]), ("w", HOME, -2, type[1])):
        whole = visit(id, by, noon(at)) | {"type": one}
        await kept(here, {name: value for name, value in whole.items() if value})
    assert ["duplicate-coordination"] * expected == [code(one) for one in await check(here)]


@pytest.mark.requirement("NY-19")
async def test_services_in_the_same_words_are_done_twice_unless_one_is_only_proposed(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", None, PAT), ordered("s", None, HAL, code={"text": "reading ALOUD"}))
    assert "duplicate-coordination" in [code(one) for one in await check(here)]
    found = await here.get("DetectedIssue", params={"code": f"{BASE}/CodeSystem/issue|duplicate-coordination"})
    assert 1 == found.json()["total"]
    await kept(here, ordered("s", None, HAL, code={"text": "reading ALOUD"}, intent="proposal"))
    assert ["not-allocated"] == [code(one) for one in await check(here)]


@pytest.mark.requirement("NY-12")
async def test_issue_says_which_service_it_is_about(here: httpx.AsyncClient) -> None:
    bare = {"coding": [{"system": "urn:example:service", "code": "companion"}]}
    await kept(here, ordered("r", None, HAL, code=bare))
    (issue,) = await check(here)
    assert issue["detail"].startswith("companion: not allocated")


@pytest.mark.requirement("NY-10")
async def test_health_home_work_is_not_the_plans_whoever_leads(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, asa(term=appendix(("personal-care", "in-plan", PLAN), code="appendix-a")))
    await named(client, PAT)
    await kept(client, ordered("r", "health-home-care-management", HAL))
    assert [("not-allocated", ["ServiceRequest/r"], HOME)] == told(await check(client))


@pytest.mark.requirement("NY-10", "NY-19")
async def test_findings_are_kept_with_a_task_for_whoever_resolves_them(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, planned("p", PLAN, "behavioral-health"))
    (issue,) = await look(client)
    task = (await client.get("Task", params={"focus": f"DetectedIssue/{issue['id']}"})).json()["entry"][0]["resource"]
    assert ("requested", HOME, MEMBER) == (task["status"], task["owner"]["reference"], task["for"]["reference"])
    assert 0 == (await client.get("Task", params={"owner": PLAN})).json()["total"]  # no Health Home work in its list
    before = await position(client)
    assert [issue["id"]] == [one["id"] for one in await look(client)]
    assert before == await position(client)
    await kept(client, planned("p", PLAN, "personal-care"))
    assert [] == await look(client)
    stored = (await client.get(f"DetectedIssue/{issue['id']}")).json()
    assert "resolved" == stored["mitigation"][0]["action"]["coding"][0]["code"]
    assert "completed" == (await client.get(f"Task/{task['id']}")).json()["status"]
    await kept(client, planned("p", PLAN, "behavioral-health"))
    assert [issue["id"]] == [one["id"] for one in await look(client)]
    assert "requested" == (await client.get(f"Task/{task['id']}")).json()["status"]


async def test_member_of_one_alone_has_nothing_to_check(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "behavioral-health", PAT))
    await kept(here, enrolled(MEMBER, "ny-health-home", HOME, end=day(-1), status="finished"))
    assert [] == await check(here)
    assert [] == await look(here)
    assert 404 == (await here.get("Patient/nobody/$coordination-check")).status_code


async def test_a_check_that_is_asked_for_by_get_keeps_nothing(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", HAL))
    before = await position(here)
    assert ["wrong-party"] == [code(one) for one in await check(here)]
    assert before == await position(here)


@pytest.mark.requirement("NY-10", "NY-19")
async def test_who_does_it_twice_does_not_close_what_another_has_to_resolve(here: httpx.AsyncClient) -> None:
    await kept(here, asa(), visit("v", PLAN, noon(-9)), visit("w", HOME, noon(-2)))
    (issue,) = await look(here)
    task = await task_of(here, issue)
    assert PLAN == task["owner"]["reference"]
    done = {"action": {"text": "done"}}
    for resource in (task | {"status": "completed"}, task | {"status": "rejected"}, issue | {"mitigation": [done]}):
        place = f"{resource['resourceType']}/{resource['id']}"
        for actor, status in ((HOME, 403), (HAL, 403)):
            response = await here.put(place, json=resource, headers={"X-Acting-As": actor})
            assert status == response.status_code, response.text
            assert "forbidden" == response.json()["issue"][0]["code"]
    assert [None] == [one.get("mitigation") for one in await check(here)]
    noted = task | {"note": [{"text": "ours was a hand-over"}]}
    for actor, resource in ((HOME, noted), (PAT, noted | {"status": "completed"})):
        response = await here.put(f"Task/{task['id']}", json=resource, headers={"X-Acting-As": actor})
        assert 200 == response.status_code, response.text
    assert ["settled"] == [one["mitigation"][0]["action"]["coding"][0]["code"] for one in await check(here)]


@pytest.mark.requirement("NY-19")
async def test_task_that_is_taken_up_again_opens_its_issue(here: httpx.AsyncClient) -> None:
    await kept(here, visit("v", PLAN, noon(-9)), visit("w", HOME, noon(-2)))
    (issue,) = await look(here)
    task = await task_of(here, issue)
    await kept(here, task | {"status": "completed"})
    assert [True] == ["mitigation" in one for one in await check(here)]
    await kept(here, task | {"status": "in-progress"})
    assert [False] == ["mitigation" in one for one in await check(here)]
    stored = (await here.get(f"DetectedIssue/{issue['id']}")).json()
    assert "mitigation" not in stored
    await kept(here, visit("w", HOME, noon(-2), status="cancelled"))
    assert "completed" == (await task_of(here, issue))["status"]
    again = await here.put(f"Task/{task['id']}", json=task | {"status": "requested"})
    assert (409, "conflict") == (again.status_code, again.json()["issue"][0]["code"])


@pytest.mark.requirement("NY-12")
async def test_appendix_that_contradicts_itself_allocates_nothing(here: httpx.AsyncClient) -> None:
    rows = appendix(("behavioral-health", "in-plan", PLAN), ("behavioral-health", "out-of-plan", HOME))
    await kept(here, asa(term=rows), ordered("r", "behavioral-health", HAL))
    assert ["not-allocated"] == [code(one) for one in await check(here)]


@pytest.mark.requirement("NY-19")
async def test_contact_before_the_window_counts_beside_one_in_it(here: httpx.AsyncClient) -> None:
    await kept(here, visit("v", PLAN, noon(-31)), visit("w", HOME, noon(-1)))
    (issue,) = await check(here)
    assert ["Encounter/v", "Encounter/w"] == sorted(one["reference"] for one in issue["implicated"])
    await kept(here, visit("w", HOME, noon(-32)))
    assert [] == await check(here)
    await kept(here, visit("w", HOME, noon(-1), period={"end": noon(-1)}))
    assert 1 == len(await check(here))


def team(id: str, by: str, nurse: str, status: str = "active", **period: str) -> Json:
    seat = {"role": [{"text": "Nurse", **coding("cm-role", "nurse")}], "member": {"reference": nurse}}
    return {
        "resourceType": "CareTeam",
        "id": id,
        "status": status,
        "subject": {"reference": MEMBER},
        "managingOrganization": [{"reference": by}],
        "participant": [seat | ({"period": period} if period else {})],
    }


@pytest.mark.requirement("NY-19")
@pytest.mark.parametrize("over", [{"status": "inactive"}, {"start": day(-200), "end": day(-1)}])
async def test_role_that_is_over_is_no_duplicate(here: httpx.AsyncClient, over: dict[str, str]) -> None:
    await kept(here, team("t", PLAN, PAT), team("u", HOME, HAL))
    (issue,) = await look(here)
    assert ["CareTeam/t", "CareTeam/u"] == sorted(one["reference"] for one in issue["implicated"])
    await kept(here, team("u", HOME, HAL, **over))
    assert [] == await check(here)
    stored = (await here.get(f"DetectedIssue/{issue['id']}")).json()
    assert "resolved" == stored["mitigation"][0]["action"]["coding"][0]["code"]
    assert "completed" == (await task_of(here, issue))["status"]


@pytest.mark.requirement("NY-04", "NY-19")
async def test_service_of_the_other_of_two_health_homes_is_not_nobodys(here: httpx.AsyncClient) -> None:
    await kept(
        here, enrolled(MEMBER, "ny-health-home", OTHER) | {"id": "second"}, ordered("r", "other-outside-package", OLA)
    )
    assert [] == await check(here)
    await kept(here, ordered("r", "other-outside-package", AIDE))
    assert ["no-owner"] * 2 == [code(one) for one in await check(here)]


@pytest.mark.requirement("NY-05", "NY-10", "NY-12")
async def test_health_home_work_that_nobody_has_is_not_on_the_plans_list(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    await kept(client, asa(term=appendix(("personal-care", "in-plan", PLAN), code="appendix-a")))
    await kept(client, ordered("r", "health-home-care-management", None), ordered("s", "chha", None))
    expected = {("ServiceRequest/r", HOME), ("ServiceRequest/s", PLAN)}
    assert expected == {(item, who) for _, (item,), who in told(await look(client))}
