"""Iowa's transfers over HTTP: five steps in their order, each with its evidence, and the switch in one commit."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.answers import refusal
from tests.coordination.memory import BASE, IA_HCBS, coding, organization, role
from tests.scenarios.iowa import (
    ANN,
    BOB,
    CY,
    LEA,
    LOCATION,
    MCO,
    MEMBER,
    NEED,
    PHYSICAL_TYPE,
    advance,
    caseload,
    day,
    done,
    handoff,
    inside,
    kept,
    manager,
    opened,
    parameters,
    put,
    puts,
    roster,
    run,
    sent,
    state,
    step_of,
    steps,
    three_managers,
    with_member,
)

Json = dict[str, Any]


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    return await three_managers(client)


@pytest.mark.requirement("IA-06", "IA-07", "IA-10")
async def test_handoff_opens_five_steps_and_holds_the_place(iowa: httpx.AsyncClient) -> None:
    transfer, tasks = await opened(iowa, requester=("valueReference", {"reference": LEA}))
    assert list("12345") == [step_of(one) for one in tasks]
    assert LEA == transfer["requester"]["reference"]
    assert BOB == transfer["owner"]["reference"]
    assert f"{IA_HCBS}|1.0.0" == transfer["instantiatesCanonical"]
    assert [ANN] == await manager(iowa)
    assert {"members": 2, "reserved": 1, "limit": 50, "remaining": 47} == await caseload(iowa, BOB)
    assert {"members": 3, "reserved": 0, "limit": 50, "remaining": 47} == await caseload(iowa, ANN)
    needs = {
        one["type"]["text"]: one["valueCode"]
        for task in tasks
        for one in task.get("input", ())
        if "text" in one["type"]
    }
    assert {"IA-11", "IA-15", "IA-16", "IA-17", "IA-18", "IA-19", "IA-21", "IA-22", "IA-23", "IA-24"} == needs.keys()


@pytest.mark.requirement("IA-07", "IA-16", "IA-17", "IA-18", "IA-19", "IA-21", "IA-23")
async def test_advance_goes_through_five_steps_to_the_switch(iowa: httpx.AsyncClient) -> None:
    transfer, tasks = await opened(iowa)
    assert ("requested", "1", "requested") == await state(iowa, transfer)
    await run(iowa, tasks, 2)
    assert ("requested", "3", "planned") == await state(iowa, transfer)
    await done(iowa, tasks[2], *await inside(iowa))
    assert ("accepted", "4", "file-access-granted") == await state(iowa, transfer)
    await done(iowa, tasks[3], *await with_member(iowa), mode=("valueCode", "phone-both"))
    assert ("in-progress", "5", "contacts-scheduled") == await state(iowa, transfer)
    assert [ANN] == await manager(iowa)
    step = await done(iowa, tasks[4])
    assert "completed" == step["status"]
    assert ("completed", "5", "completed") == await state(iowa, transfer)
    assert [BOB] == await manager(iowa)
    former, following = (await iowa.get("CareTeam/ann-0")).json()["participant"]
    assert former["period"]["end"] == following["period"]["start"]
    assert {"members": 3, "reserved": 0, "limit": 50, "remaining": 47} == await caseload(iowa, BOB)
    assert 1 == len({(await iowa.get(one)).headers["etag"] for one in (f"Task/{transfer['id']}", "CareTeam/ann-0")})


@pytest.mark.requirement("IA-07")
async def test_advance_out_of_order_names_what_is_outstanding(iowa: httpx.AsyncClient) -> None:
    _, tasks = await opened(iowa)
    await done(iowa, tasks[0])
    response = await advance(iowa, tasks[2], *await inside(iowa))
    assert (409, ["conflict"]) == refusal(response)
    assert f"Task/{tasks[1]['id']}" in response.text
    await done(iowa, tasks[1])
    response = await advance(iowa, tasks[3], *await with_member(iowa), mode=("valueCode", "phone-both"))
    assert (409, ["conflict"]) == refusal(response)
    assert all(row in response.text for row in ("IA-17", "IA-18"))


@pytest.mark.requirement("IA-17", "IA-18")
async def test_advance_without_evidence_names_each_that_is_missing(iowa: httpx.AsyncClient) -> None:
    _, tasks = await opened(iowa)
    await run(iowa, tasks, 2)
    response = await advance(iowa, tasks[2])
    assert (422, ["business-rule", "business-rule"]) == refusal(response)
    assert [f"{IA_HCBS}|1.0.0#IA-17", f"{IA_HCBS}|1.0.0#IA-18"] == [
        issue["details"]["text"] for issue in response.json()["issue"]
    ]


async def test_advance_twice_is_a_conflict(iowa: httpx.AsyncClient) -> None:
    _, tasks = await opened(iowa)
    await done(iowa, tasks[0])
    assert (409, ["conflict"]) == refusal(await advance(iowa, tasks[0]))


async def test_cancel_leaves_the_assignment_and_frees_the_place(iowa: httpx.AsyncClient) -> None:
    transfer, tasks = await opened(iowa)
    await run(iowa, tasks, 4)
    await done(iowa, transfer, outcome=("valueCode", "cancelled"), note=("valueString", "The member moves away"))
    assert "cancelled" == (await state(iowa, transfer))[0]
    assert ["completed"] * 4 + ["cancelled"] == [one["status"] for one in await steps(iowa, transfer)]
    assert [ANN] == await manager(iowa)
    assert {"members": 2, "reserved": 0, "limit": 50, "remaining": 48} == await caseload(iowa, BOB)
    await opened(iowa)


@pytest.mark.requirement("IA-07")
async def test_a_plain_put_is_held_to_the_same_rules(iowa: httpx.AsyncClient) -> None:
    transfer, tasks = await opened(iowa)
    assert (409, ["conflict"]) == refusal(await put(iowa, tasks[1] | {"status": "completed"}))
    assert 200 == (await put(iowa, tasks[0] | {"status": "completed"})).status_code
    assert ("requested", "2", "requested") == await state(iowa, transfer)
    assert 200 == (await put(iowa, tasks[1] | {"status": "completed"})).status_code
    assert (422, ["business-rule"] * 2) == refusal(await put(iowa, tasks[2] | {"status": "completed"}))
    parent = (await iowa.get(f"Task/{transfer['id']}")).json()
    assert (409, ["conflict"]) == refusal(await put(iowa, parent | {"status": "completed"}))
    assert (409, ["conflict"]) == refusal(await iowa.delete(f"Task/{transfer['id']}"))


async def test_a_second_transfer_is_a_conflict(iowa: httpx.AsyncClient) -> None:
    await opened(iowa)
    assert (409, ["conflict"]) == refusal(await handoff(iowa))


async def test_who_has_nobody_is_assigned_first(iowa: httpx.AsyncClient) -> None:
    await kept(iowa, *roster({}, waiting=1))
    response = await handoff(iowa, "Patient/w1")
    assert (409, ["conflict"]) == refusal(response)
    assert "$assign-care-manager" in response.text


@pytest.mark.requirement("IA-08", "IA-09")
async def test_handoff_takes_the_coded_reasons(iowa: httpx.AsyncClient) -> None:
    response = await handoff(iowa, reason="because")
    assert (422, ["business-rule"]) == refusal(response)
    assert f"{BASE}/CodeSystem/ia-transfer-reason|ratio-realignment" in response.text


async def test_effective_is_the_switch_where_it_is_to_come(iowa: httpx.AsyncClient) -> None:
    _, tasks = await opened(iowa, effective=("valueDate", day(10)))
    await run(iowa, tasks)
    assert [ANN] == await manager(iowa)
    former, following = (await iowa.get("CareTeam/ann-0")).json()["participant"]
    assert former["period"]["end"] == following["period"]["start"]
    assert following["period"]["start"].startswith(day(10))


# By whom


@pytest.mark.requirement("IA-10")
async def test_the_manager_of_the_area_opens_a_transfer(iowa: httpx.AsyncClient) -> None:
    refused = await handoff(iowa, actor=ANN)
    assert (422, ["business-rule"]) == refusal(refused)
    assert f"{IA_HCBS}|1.0.0#IA-10" == refused.json()["issue"][0]["details"]["text"]
    response = await handoff(iowa, actor=LEA)
    assert 201 == response.status_code
    assert LEA == response.json()["requester"]["reference"]
    assert response.json()["authoredOn"].startswith(day(0))


@pytest.mark.requirement("IA-10")
async def test_the_manager_of_another_area_opens_none_here(iowa: httpx.AsyncClient) -> None:
    area = {
        "resourceType": "Location",
        "id": "east",
        "physicalType": {"coding": [{"system": PHYSICAL_TYPE, "code": "area"}]},
        "address": {"state": "IA", "district": "Scott"},
    }
    lea = role("lea", mco=MCO, code=[coding("cm-role", "area-manager")], location=[{"reference": "Location/east"}])
    home = {"use": "home", "state": "IA", "district": "Polk"}
    member = (await iowa.get(MEMBER)).json()
    await kept(iowa, area, lea, member | {"address": [home]})
    assert (422, ["business-rule"]) == refusal(await handoff(iowa, actor=LEA))
    await kept(iowa, member | {"address": [home | {"district": "Scott"}]})
    assert 201 == (await handoff(iowa, actor=LEA)).status_code


@pytest.mark.requirement("IA-07", "IA-17", "IA-18", "IA-20", "IA-21", "IA-24")
async def test_each_step_is_done_by_whom_it_is_for(iowa: httpx.AsyncClient) -> None:
    transfer, tasks = await opened(iowa, actor=LEA)
    assert (422, ["business-rule"]) == refusal(await advance(iowa, tasks[0], actor=BOB))
    await done(iowa, tasks[0], actor=LEA)
    await done(iowa, tasks[1], consideration=LOCATION, actor=LEA)
    assert (422, ["business-rule"]) == refusal(await advance(iowa, tasks[2], *await inside(iowa), actor=CY))
    await done(iowa, tasks[2], *await inside(iowa), actor=ANN)
    assert (422, ["business-rule"]) == refusal(
        await advance(iowa, transfer, outcome=("valueCode", "rejected"), actor=ANN)
    )
    await done(iowa, tasks[3], *await with_member(iowa), mode=("valueCode", "phone-both"), actor=ANN)
    step = await done(iowa, tasks[4], note=("valueString", "All told"), actor=BOB)
    assert [{"reference": BOB}] == [one["authorReference"] for one in step["note"]]
    assert [BOB] == await manager(iowa)


@pytest.mark.parametrize(
    ("outcome", "actor"),
    [("rejected", BOB), ("cancelled", LEA), ("failed", ANN)],
    ids=["rejected", "cancelled", "failed"],
)
async def test_a_transfer_that_is_given_up_leaves_all_as_it_was(
    iowa: httpx.AsyncClient, outcome: str, actor: str
) -> None:
    transfer, tasks = await opened(iowa, actor=LEA)
    await run(iowa, tasks, 2)
    step = await done(iowa, tasks[2], outcome=("valueCode", outcome), note=("valueString", "No"), actor=actor)
    assert (outcome, "No") == (step["status"], step["statusReason"]["text"])
    assert outcome == (await state(iowa, transfer))[0]
    assert [ANN] == await manager(iowa)
    assert {"members": 2, "reserved": 0, "limit": 50, "remaining": 48} == await caseload(iowa, BOB)
    assert (409, ["conflict"]) == refusal(await advance(iowa, tasks[3]))


async def test_outcomes_and_inputs_that_there_are_not(iowa: httpx.AsyncClient) -> None:
    _, tasks = await opened(iowa)
    for wrong in ({"outcome": ("valueCode", "done")}, {"mode": ("valueCode", "by-post")}, {"consideration": LOCATION}):
        assert (400, ["invalid"]) == refusal(await advance(iowa, tasks[0], **wrong))
    assert (400, ["invalid"]) == refusal(await advance(iowa, tasks[0], "Communication/none"))
    plain = {"resourceType": "Task", "id": "plain", "status": "requested", "intent": "order"}
    await put(iowa, plain)
    assert (422, ["not-supported"]) == refusal(await advance(iowa, plain))


# By other doors


@pytest.mark.requirement("IA-07")
async def test_a_patch_and_a_transaction_are_held_to_the_same_rules(iowa: httpx.AsyncClient) -> None:
    transfer, tasks = await opened(iowa)
    patch = [{"op": "replace", "path": "/status", "value": "completed"}]
    headers = {"Content-Type": "application/json-patch+json"}
    out_of_order = await iowa.patch(f"Task/{tasks[1]['id']}", content=json.dumps(patch), headers=headers)
    assert (409, ["conflict"]) == refusal(out_of_order)
    assert 200 == (await iowa.patch(f"Task/{tasks[0]['id']}", content=json.dumps(patch), headers=headers)).status_code
    parent = (await iowa.get(f"Task/{transfer['id']}")).json()
    weighed = {"type": LOCATION[1], "valueCodeableConcept": LOCATION[1]}
    both = puts(parent | {"input": [*parent["input"], weighed]}, tasks[1] | {"status": "completed"})
    await sent(iowa, both)
    assert ("requested", "3", "planned") == await state(iowa, transfer)
    response = await iowa.post("", json=puts(tasks[2] | {"status": "completed"}))
    assert (422, ["business-rule", "business-rule"]) == refusal(response)


@pytest.mark.requirement("IA-06")
async def test_a_transfer_posted_plainly_is_one_as_well(iowa: httpx.AsyncClient) -> None:
    task = {
        "resourceType": "Task",
        "instantiatesCanonical": IA_HCBS,
        "status": "requested",
        "intent": "order",
        "code": coding("cm-task", "case-manager-transfer"),
        "for": {"reference": MEMBER},
        "owner": {"reference": BOB},
    }
    assert (422, ["business-rule"]) == refusal(await iowa.post("Task", json=task))
    response = await iowa.post("Task", json=task | {"reasonCode": coding("ia-transfer-reason", NEED)})
    assert 201 == response.status_code, response.text
    await run(iowa, await steps(iowa, response.json()))
    assert [BOB] == await manager(iowa)


async def test_an_idempotency_key_gives_the_first_answer(iowa: httpx.AsyncClient) -> None:
    asked = parameters(
        program=("valueCanonical", IA_HCBS),
        to=("valueReference", {"reference": BOB}),
        reason=("valueCodeableConcept", coding("ia-transfer-reason", NEED)),
    )
    first, again = [
        await iowa.post(f"{MEMBER}/$handoff", json=asked, headers={"Idempotency-Key": "one"}) for _ in range(2)
    ]
    assert (201, first.json()) == (again.status_code, again.json())
    tasks = await steps(iowa, first.json())
    url, headers = f"Task/{tasks[0]['id']}/$advance", {"Idempotency-Key": "two"}
    first, again = [await iowa.post(url, json=parameters(), headers=headers) for _ in range(2)]
    assert (200, first.json()) == (again.status_code, again.json())
    await done(iowa, tasks[1], consideration=LOCATION)
    await done(iowa, tasks[2], *await inside(iowa))
    introduced = await with_member(iowa)
    asked = parameters(mode=("valueCode", "phone-both"), evidence=("valueReference", {"reference": introduced[0]}))
    url, headers = f"Task/{tasks[3]['id']}/$advance", {"Idempotency-Key": "three"}
    first, again = [await iowa.post(url, json=asked, headers=headers) for _ in range(2)]
    assert (200, first.json()) == (again.status_code, again.json())
    letters = await iowa.get("DocumentReference", params={"patient": MEMBER})
    assert 1 == letters.json()["total"]


# What is made


@pytest.mark.requirement("IA-19", "IA-22", "IA-23", "IA-24")
async def test_all_that_a_transfer_leaves_can_be_read(iowa: httpx.AsyncClient) -> None:
    order = {
        "resourceType": "ServiceRequest",
        "id": "home-care",
        "status": "active",
        "intent": "order",
        "subject": {"reference": MEMBER},
        "performer": [{"reference": "Organization/home-care"}],
    }
    await kept(iowa, organization("home-care"), order)
    transfer, tasks = await opened(iowa)
    await run(iowa, tasks)
    about = [one["resource"] for one in (await iowa.get("Communication")).json()["entry"]]
    told = {
        link["reference"]
        for one in about
        if {"reference": f"Task/{transfer['id']}"} in one.get("about", ())
        for link in one["recipient"]
    }
    assert {MEMBER, ANN, BOB, "Organization/home-care"} == told
    letter = (await iowa.get("DocumentReference", params={"patient": MEMBER})).json()["entry"][0]["resource"]
    assert ["text/html", "application/pdf"] == [one["attachment"]["contentType"] for one in letter["content"]]
    contacts = (await iowa.get("CommunicationRequest", params={"patient": MEMBER})).json()["entry"][0]["resource"]
    assert BOB == contacts["sender"]["reference"]
    grounds = (await iowa.get("Provenance", params={"target": f"Task/{transfer['id']}"})).json()
    assert 1 == grounds["total"]
    file = await iowa.get(f"{MEMBER}/$member-file", headers={"X-Acting-As": BOB})
    assert 200 == file.status_code


# Many at once


async def one_of(*answers: Any) -> list[int]:
    """The status of each of several requests at once, in order."""
    return sorted(one.status_code for one in await asyncio.gather(*answers))


@pytest.fixture
async def full(iowa: httpx.AsyncClient) -> httpx.AsyncClient:
    """Bob has 49 members: one place is left."""
    await kept(iowa, *roster({"bob": 49}), *roster({}, waiting=4))
    return iowa


@pytest.mark.requirement("IA-04")
async def test_of_two_transfers_one_takes_the_last_place(full: httpx.AsyncClient) -> None:
    asked = [handoff(full, f"Patient/ann-{number}") for number in range(3)]
    assert [201, 422, 422] == await one_of(*asked)
    assert {"members": 49, "reserved": 1, "limit": 50, "remaining": 0} == await caseload(full, BOB)


@pytest.mark.requirement("IA-04")
async def test_of_transfers_and_assignments_one_takes_the_last_place(full: httpx.AsyncClient) -> None:
    assigned_to_bob = parameters(program=("valueCanonical", IA_HCBS), manager=("valueReference", {"reference": BOB}))
    asked = [full.post(f"Patient/w{number}/$assign-care-manager", json=assigned_to_bob) for number in (1, 2, 3)]
    asked += [handoff(full, f"Patient/ann-{number}") for number in range(3)]
    assert [201, 422, 422, 422, 422, 422] == await one_of(*asked)
    found = await caseload(full, BOB)
    assert (50, 0) == (found["members"] + found["reserved"], found["remaining"])


async def test_of_a_completion_and_a_cancellation_one_comes_first(iowa: httpx.AsyncClient) -> None:
    for number in range(3):
        member = f"Patient/ann-{number}"
        transfer, tasks = await opened(iowa, member=member)
        await run(iowa, tasks, 4, member)
        cancel = advance(iowa, transfer, outcome=("valueCode", "cancelled"))
        assert [200, 409] == await one_of(advance(iowa, tasks[4]), cancel)
        ended = (await state(iowa, transfer))[0]
        assert [BOB if ended == "completed" else ANN] == await manager(iowa, member)
        assert 0 == (await caseload(iowa, BOB))["reserved"]


async def test_a_step_is_completed_once(iowa: httpx.AsyncClient) -> None:
    _, tasks = await opened(iowa)
    assert [200, 409, 409, 409] == await one_of(*[advance(iowa, tasks[0]) for _ in range(4)])


async def test_a_member_is_in_one_transfer(iowa: httpx.AsyncClient) -> None:
    assert [201, 409, 409, 409] == await one_of(*[handoff(iowa) for _ in range(4)])
