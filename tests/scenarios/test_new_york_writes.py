"""New York: what a write makes both organizations do, or undoes, is told in the same commit, and never refused."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.answers import entry, transaction
from tests.coordination.memory import BASE, coding, patient, practitioner, role, team
from tests.scenarios.iowa import Json, kept
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
    shipped,
)
from tests.scenarios.new_york_care import (
    AIDE,
    appendix,
    code,
    issues,
    noon,
    ordered,
    planned,
    position,
    resolver,
    standing,
    tasks,
    visit,
)

RULE = f"{BASE}/StructureDefinition/issue-rule"


@pytest.fixture
async def here(client: httpx.AsyncClient) -> httpx.AsyncClient:
    return await new_york(client, "ny-mltcp")


TWICE = ("duplicate-coordination", ["ServiceRequest/r", "ServiceRequest/s"])


@pytest.mark.requirement("NY-05", "NY-08", "NY-19")
async def test_second_of_both_is_found_in_its_own_commit(here: httpx.AsyncClient) -> None:
    first = await here.put("ServiceRequest/r", json=ordered("r", "personal-care", PAT), headers=acting(PLAN))
    assert (201, []) == (first.status_code, await standing(here))
    second = await here.put("ServiceRequest/s", json=ordered("s", "personal-care", HAL), headers=acting(HOME))
    assert 201 == second.status_code
    (issue,) = await issues(here)
    (task,) = await tasks(here, owner=PLAN)
    written = int(second.json()["meta"]["versionId"])
    assert [written, written] == [int(one["meta"]["versionId"]) for one in (issue, task)]
    assert [TWICE] == await standing(here)
    assert (f"DetectedIssue/{issue['id']}", "requested") == (task["focus"]["reference"], task["status"])


@pytest.mark.requirement("NY-19")
async def test_issue_tells_the_rule_both_sides_and_who_resolves_it(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", PAT), ordered("s", "personal-care", HAL))
    (issue,) = await issues(here)
    rules = [one["valueCanonical"] for one in issue["extension"] if one["url"] == RULE]
    assert [f"{BASE}/PlanDefinition/ny-mltcp|1.0.0#{one}" for one in ("NY-19", "NY-08")] == rules
    assert rules[0] == issue["reference"]
    assert f"{PLAN} has the primary role by {rules[1]}" in issue["detail"]
    assert "New York State Department of Health" in issue["detail"]
    sides = {one["code"][0]["text"]: [each["reference"] for each in one["detail"]] for one in issue["evidence"]}
    assert {PLAN: ["ServiceRequest/r"], HOME: ["ServiceRequest/s"]} == sides
    assert PLAN == resolver(issue)


@pytest.mark.requirement("NY-10")
async def test_plans_list_holds_no_health_home_work(here: httpx.AsyncClient) -> None:
    await kept(
        here,
        ordered("r", "health-home-care-management", PAT),
        ordered("s", "behavioral-health", None),
        ordered("t", "other-outside-package", PAT),
        planned("p", HOME, "personal-care"),
    )
    owned = {(one["owner"]["reference"], code(found)) for found in await issues(here) for one in await of(here, found)}
    assert {(HOME, "wrong-party"), (HOME, "no-owner"), (PLAN, "wrong-party")} == owned
    (own,) = await tasks(here, owner=PLAN)
    assert "personal" in own["description"].lower()


async def of(client: httpx.AsyncClient, issue: Json) -> list[Json]:
    return await tasks(client, focus=f"DetectedIssue/{issue['id']}")


@pytest.mark.requirement("NY-19")
@pytest.mark.parametrize(
    "change", [{"status": "revoked"}, {"status": "entered-in-error"}, {"performer": [{"reference": PAT}]}]
)
async def test_what_is_over_is_resolved_by_the_write_that_ends_it(here: httpx.AsyncClient, change: Json) -> None:
    second = ordered("s", "personal-care", HAL)
    await kept(here, ordered("r", "personal-care", PAT), second)
    await kept(here, second | change)
    (issue,) = await issues(here)
    (task,) = await tasks(here)
    assert "resolved" == issue["mitigation"][0]["action"]["coding"][0]["code"]
    assert "completed" == task["status"]
    await kept(here, second)
    assert ([TWICE], ["requested"]) == (await standing(here), [one["status"] for one in await tasks(here)])


async def test_deletion_resolves_too(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", PAT), ordered("s", "personal-care", HAL))
    assert 204 == (await here.delete("ServiceRequest/s")).status_code
    assert [] == await standing(here)


async def test_item_that_is_another_members_from_now_on_is_this_ones_no_more(here: httpx.AsyncClient) -> None:
    await kept(here, patient("m9"), ordered("r", "personal-care", PAT), ordered("s", "personal-care", HAL))
    await kept(here, ordered("s", "personal-care", HAL) | {"subject": {"reference": "Patient/m9"}})
    assert [] == await standing(here)


async def test_third_item_joins_the_issue_that_stands(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", PAT), ordered("s", "personal-care", HAL))
    (before,) = await issues(here)
    await kept(here, ordered("t", "personal-care", HAL))
    (after,) = await issues(here)
    assert before["id"] == after["id"]
    assert before["identifiedDateTime"] == after["identifiedDateTime"]
    assert [("duplicate-coordination", [f"ServiceRequest/{one}" for one in "rst"])] == await standing(here)


@pytest.mark.requirement("NY-19")
async def test_what_somebody_resolved_stays_so_until_there_is_more(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", PAT), ordered("s", "personal-care", HAL))
    (task,) = await tasks(here)
    done = await here.put(f"Task/{task['id']}", json={**task, "status": "completed"}, headers=acting(PLAN))
    assert 200 == done.status_code
    (issue,) = await issues(here)
    assert "settled" == issue["mitigation"][0]["action"]["coding"][0]["code"]
    await kept(here, ordered("s", "personal-care", HAL, note=[{"text": "as agreed"}]), ordered("u", "pers", PAT))
    await here.post(f"{MEMBER}/$coordination-check", json={"resourceType": "Parameters"})
    assert ([], ["completed"]) == (await standing(here), [one["status"] for one in await tasks(here)])
    await kept(here, ordered("t", "personal-care", HAL))
    (again,) = await issues(here)
    assert (issue["id"], "requested") == (again["id"], (await tasks(here))[0]["status"])
    assert 1 == len(await standing(here))


async def test_issue_that_somebody_mitigates_ends_its_task(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", PAT), ordered("s", "personal-care", HAL))
    (issue,) = await issues(here)
    agreed = {"action": {"text": "The plan takes mornings, the home evenings"}, "date": day(0)}
    await kept(here, {**issue, "mitigation": [agreed]})
    assert ["completed"] == [one["status"] for one in await tasks(here)]
    await kept(here, ordered("s", "personal-care", HAL, note=[{"text": "as agreed"}]))
    assert [] == await standing(here)


async def test_task_that_somebody_is_at_goes_on_as_items_join(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", PAT), ordered("s", "personal-care", HAL))
    (task,) = await tasks(here)
    await kept(here, {**task, "status": "in-progress", "note": [{"text": "called them"}]})
    await kept(here, ordered("t", "personal-care", HAL))
    (after,) = await tasks(here)
    assert ("in-progress", "called them", task["authoredOn"]) == (
        after["status"],
        after["note"][0]["text"],
        after["authoredOn"],
    )


async def test_task_that_is_rejected_leaves_the_issue_open(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", PAT), ordered("s", "personal-care", HAL))
    (task,) = await tasks(here)
    await kept(here, {**task, "status": "rejected"})
    await kept(here, ordered("s", "personal-care", HAL, note=[{"text": "not ours"}]))
    assert ([TWICE], ["rejected"]) == (await standing(here), [one["status"] for one in await tasks(here)])


@pytest.mark.requirement("NY-12")
async def test_appendix_that_is_agreed_on_changes_what_is_found(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", PAT))
    assert [] == await standing(here)
    await kept(here, asa(term=appendix(("personal-care", "in-plan", HOME), code="appendix-a")))
    assert [("wrong-party", ["ServiceRequest/r"])] == await standing(here)
    await kept(here, asa(term=appendix(("chha", "in-plan", PLAN), code="appendix-a")))
    assert [("not-allocated", ["ServiceRequest/r"])] == await standing(here)
    await kept(here, asa())
    assert [] == await standing(here)


async def test_service_of_both_is_found_where_the_appendix_lets_either_have_it(here: httpx.AsyncClient) -> None:
    terms = appendix(("adult-day-care", "in-plan", HOME), code="appendix-a")
    terms[0]["asset"][0]["valuedItem"].append({"responsible": {"reference": PLAN}})
    await kept(here, asa(term=terms), ordered("r", "adult-day-care", HAL))
    assert [] == await standing(here)
    await kept(here, ordered("s", "adult-day-care", PAT))
    assert [("duplicate-coordination", ["ServiceRequest/r", "ServiceRequest/s"])] == await standing(here)


@pytest.mark.requirement("NY-04", "NY-19")
async def test_enrolling_in_the_second_program_finds_what_was_there(client: httpx.AsyncClient) -> None:
    await new_york(client, "ny-mltcp")
    other = {"subject": {"reference": "Patient/m2"}}
    await kept(client, patient("m2"), enrolled("Patient/m2", "ny-mltcp", PLAN))
    await kept(client, ordered("r", "behavioral-health", PAT) | other)
    assert [] == await standing(client, "Patient/m2")
    await kept(client, enrolled("Patient/m2", "ny-health-home", HOME))
    assert [("wrong-party", ["ServiceRequest/r"])] == await standing(client, "Patient/m2")
    await kept(client, enrolled("Patient/m2", "ny-health-home", HOME, end=day(-1), status="finished"))
    assert [] == await standing(client, "Patient/m2")


@pytest.mark.requirement("NY-14")
async def test_lead_that_is_named_is_who_resolves_what_is_not_allocated(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", None, PAT))
    (before,) = await issues(here)
    assert PLAN == resolver(before)
    await named(here)
    (after,) = await issues(here)
    assert (before["id"], HOME) == (after["id"], resolver(after))
    assert [HOME] == [one["owner"]["reference"] for one in await tasks(here)]


@pytest.mark.requirement("NY-09")
async def test_agency_does_it_for_whom_it_works_for(here: httpx.AsyncClient) -> None:
    engaged = {
        "resourceType": "OrganizationAffiliation",
        "id": "a",
        "organization": {"reference": HOME},
        "participatingOrganization": {"reference": AIDE},
    }
    aides = {"resourceType": "Organization", "id": "aides", "name": "Aides"}
    await kept(here, aides, ordered("r", "personal-care", PAT), ordered("s", "personal-care", AIDE))
    assert [("no-owner", ["ServiceRequest/s"])] == await standing(here)
    await kept(here, engaged, ordered("s", "personal-care", AIDE, note=[{"text": "for the Health Home"}]))
    assert [TWICE] == await standing(here)


# Contacts and teams


@pytest.mark.requirement("NY-05", "NY-19")
async def test_contact_of_one_kind_by_both_is_found_as_it_is_written(here: httpx.AsyncClient) -> None:
    await kept(here, visit("v", PLAN, noon(-20)))
    assert [] == await standing(here)
    await kept(here, visit("w", HOME, noon(-2)))
    assert [("duplicate-coordination", ["Encounter/v", "Encounter/w"])] == await standing(here)
    await kept(here, visit("w", HOME, noon(-2), "phone"))
    assert [] == await standing(here)


def called(id: str, sender: str, at: str, **more: object) -> Json:
    return {
        "resourceType": "Communication",
        "id": id,
        "status": "completed",
        "category": [{"coding": [{"system": "urn:example:contact", "code": "monthly-call"}]}],
        "subject": {"reference": MEMBER},
        "sender": {"reference": sender},
        "sent": at,
        **more,
    }


async def test_monthly_call_by_both_is_found_and_their_letters_to_one_another_are_not(here: httpx.AsyncClient) -> None:
    await kept(here, called("c", PAT, noon(-9)), called("d", HAL, noon(-1), recipient=[{"reference": PLAN}]))
    assert [] == await standing(here)
    await kept(here, called("d", HAL, noon(-1), recipient=[{"reference": MEMBER}]))
    assert [("duplicate-coordination", ["Communication/c", "Communication/d"])] == await standing(here)


def nursed(id: str, at: str, *people: str, code: str = "nurse", **more: object) -> Json:
    """A CareTeam of an organization with a nurse."""
    participants = [{"role": [coding("cm-role", code)], "member": {"reference": one}} for one in people]
    return team(id, *participants, subject={"reference": MEMBER}, managingOrganization=[{"reference": at}], **more)


NURSES = [practitioner("nan"), practitioner("ned"), role("nan", mco="plan"), role("ned", mco="home")]


@pytest.mark.requirement("NY-19")
async def test_role_on_both_teams_by_different_people_is_found(here: httpx.AsyncClient) -> None:
    await kept(here, *NURSES, nursed("t1", PLAN, "PractitionerRole/nan"))
    await kept(here, nursed("t2", HOME, "PractitionerRole/ned"))
    assert [("duplicate-coordination", ["CareTeam/t1", "CareTeam/t2"])] == await standing(here)
    await kept(here, nursed("t2", HOME, "Practitioner/nan"))
    assert [] == await standing(here)  # the same person
    await kept(here, nursed("t2", HOME, "Practitioner/ned"))
    assert [("duplicate-coordination", ["CareTeam/t1", "CareTeam/t2"])] == await standing(here)
    allowed = appendix(("nurse", "in-plan", HOME), code="appendix-a")
    allowed[0]["asset"][0]["type"] = [coding("cm-role", "nurse")]
    allowed[0]["asset"][0]["valuedItem"].append({"responsible": {"reference": PLAN}})
    await kept(here, asa(term=allowed))
    assert [] == await standing(here)


async def test_lead_on_both_teams_is_no_duplicate(here: httpx.AsyncClient) -> None:
    await named(here)
    assert [] == await standing(here)


async def test_team_of_both_organizations_is_compared_with_none(here: httpx.AsyncClient) -> None:
    both = [{"reference": PLAN}, {"reference": HOME}]
    await kept(here, *NURSES, nursed("t1", PLAN, "PractitionerRole/nan"))
    await kept(here, nursed("t2", HOME, "PractitionerRole/ned") | {"managingOrganization": both})
    assert [] == await standing(here)


# Races, transactions, and whom it costs nothing


@pytest.mark.requirement("NY-19")
async def test_two_who_write_at_once_make_one_issue(here: httpx.AsyncClient) -> None:
    for round in range(8):
        pair = (("r", PAT, PLAN), ("s", HAL, HOME))
        written = await asyncio.gather(
            *(
                here.put(
                    f"ServiceRequest/{name}{round}",
                    json=ordered(f"{name}{round}", None, by, code=coding("ny-service", f"kind-{round}")),
                    headers=acting(actor),
                )
                for name, by, actor in pair
            )
        )
        assert {201} == {one.status_code for one in written}
    twice = [items for found, items in await standing(here) if found == "duplicate-coordination"]
    assert [[f"ServiceRequest/r{one}", f"ServiceRequest/s{one}"] for one in range(8)] == twice


async def test_both_in_one_transaction_make_one_issue(here: httpx.AsyncClient) -> None:
    entries = [entry("PUT", f"ServiceRequest/{id}", ordered(id, "pers", by)) for id, by in (("r", PAT), ("s", HAL))]
    response = await here.post("", json=transaction(*entries))
    assert 200 == response.status_code, response.text
    assert (2, [TWICE]) == (len(response.json()["entry"]), await standing(here))


async def test_merged_records_are_checked_as_one_member(here: httpx.AsyncClient) -> None:
    old = patient("old", link=[{"other": {"reference": MEMBER}, "type": "replaced-by"}])
    await kept(here, patient("old"), ordered("r", "personal-care", HAL) | {"subject": {"reference": "Patient/old"}})
    assert [] == await standing(here)
    await kept(here, old)
    assert [("wrong-party", ["ServiceRequest/r"])] == await standing(here)
    await kept(here, patient("old"))
    assert [] == await standing(here)


async def test_write_for_a_member_of_one_alone_writes_nothing_else(here: httpx.AsyncClient) -> None:
    await kept(here, patient("m2"), enrolled("Patient/m2", "ny-mltcp", PLAN))
    before = await position(here)
    await kept(here, ordered("r", "behavioral-health", PAT) | {"subject": {"reference": "Patient/m2"}})
    assert before + 1 == await position(here)
    assert [] == await issues(here, "Patient/m2")


async def test_two_health_homes_are_compared_with_the_plan_each(here: httpx.AsyncClient) -> None:
    second = enrolled(MEMBER, "ny-health-home", OTHER) | {"id": "second-home"}
    await kept(here, second, ordered("r", "personal-care", PAT), ordered("s", "personal-care", OLA))
    assert [TWICE] == [one for one in await standing(here) if one[0] == "duplicate-coordination"]


@pytest.mark.requirement("NY-12")
async def test_program_with_another_table_changes_what_is_found(here: httpx.AsyncClient) -> None:
    await kept(here, ordered("r", "personal-care", PAT), ordered("s", "chha", AIDE))
    changed = shipped("ny-mltcp") | {"version": "1.1.0"}
    for action in changed["action"]:
        if action["id"] == "NY-08":
            action["action"] = action["action"][:1]
    await kept(here, changed)
    found = {(code, *items) for code, items in await standing(here)}
    assert ("not-allocated", "ServiceRequest/r") in found
