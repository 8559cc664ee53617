"""Iowa's transfers over HTTP: five steps in their order, each with its evidence, and the switch in one commit."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.answers import refusal
from tests.coordination.memory import BASE, IA_HCBS, coding, organization, practitioner, role, shipped
from tests.scenarios.test_iowa_caseload import MCO, day, parameters, put, roster, sent, transaction

Json = dict[str, Any]
ANN, BOB, LEA = "PractitionerRole/ann", "PractitionerRole/bob", "PractitionerRole/lea"
MEMBER = "Patient/ann-0"
NEED = "area-member-needs"


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Ann has 3 members, Bob 2; Lea manages the area."""
    lea = role("lea", mco=MCO, code=[coding("cm-role", "area-manager")])
    people = [practitioner("lea"), lea, *roster({"ann": 3, "bob": 2})]
    await sent(client, transaction(shipped(), organization(MCO), *people))
    return client


async def handoff(
    client: httpx.AsyncClient, member: str = MEMBER, to: str = BOB, reason: str = NEED, **more: Any
) -> httpx.Response:
    asked = parameters(
        program=("valueCanonical", IA_HCBS),
        to=("valueReference", {"reference": to}),
        reason=("valueCodeableConcept", coding("ia-transfer-reason", reason)),
        **more,
    )
    return await client.post(f"{member}/$handoff", json=asked)


async def opened(client: httpx.AsyncClient, **more: Any) -> tuple[Json, list[Json]]:
    """The transfer, and its steps in their order."""
    response = await handoff(client, **more)
    assert 201 == response.status_code, response.text
    transfer = response.json()
    return transfer, await steps(client, transfer)


async def steps(client: httpx.AsyncClient, transfer: Json) -> list[Json]:
    found = (await client.get("Task", params={"part-of": f"Task/{transfer['id']}"})).json()["entry"]
    return sorted((one["resource"] for one in found), key=lambda one: str(step_of(one)))


def step_of(task: Json) -> str:
    return str(task["businessStatus"]["coding"][0]["code"])


async def advance(
    client: httpx.AsyncClient, task: Json, *evidence: str, actor: str = "", **more: Any
) -> httpx.Response:
    asked = parameters(**more)
    asked["parameter"] += [{"name": "evidence", "valueReference": {"reference": one}} for one in evidence]
    headers = {"X-Acting-As": actor} if actor else {}
    return await client.post(f"Task/{task['id']}/$advance", json=asked, headers=headers)


async def done(client: httpx.AsyncClient, task: Json, *evidence: str, **more: Any) -> Json:
    response = await advance(client, task, *evidence, **more)
    assert 200 == response.status_code, response.text
    found: Json = response.json()
    return found


async def stored(client: httpx.AsyncClient, resource: Json) -> str:
    response = await client.post(resource["resourceType"], json=resource)
    assert 201 == response.status_code, response.text
    return f"{resource['resourceType']}/{response.json()['id']}"


def told(sender: str | None, *recipients: str, medium: str | None = None, **more: Any) -> Json:
    """A Communication that is completed."""
    mode = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", "code": medium}]}
    return {
        "resourceType": "Communication",
        "status": "completed",
        "subject": {"reference": MEMBER},
        "recipient": [{"reference": one} for one in recipients],
        **({"sender": {"reference": sender}} if sender else {}),
        **({"medium": [mode]} if medium else {}),
        **more,
    }


LOCATION = ("valueCodeableConcept", coding("ia-reassign-consideration", "cm-location"))


async def inside(client: httpx.AsyncClient) -> list[str]:
    """The evidence of step 3."""
    return [
        await stored(client, told(LEA, ANN, BOB)),
        await stored(client, told(ANN, BOB, medium="PHONE")),
    ]


async def with_member(client: httpx.AsyncClient) -> list[str]:
    """The evidence of step 4 that the server does not make."""
    return [await stored(client, told(ANN, MEMBER, BOB, medium="PHONE"))]


async def run(client: httpx.AsyncClient, tasks: list[Json], until: int = 5) -> None:
    """Complete the steps up to one."""
    await done(client, tasks[0])
    if until > 1:
        await done(client, tasks[1], consideration=LOCATION)
    if until > 2:
        await done(client, tasks[2], *await inside(client))
    if until > 3:
        await done(client, tasks[3], *await with_member(client), mode=("valueCode", "phone-both"))
    if until > 4:
        await done(client, tasks[4])


async def manager(client: httpx.AsyncClient, member: str = MEMBER) -> list[str]:
    found = (await client.get(f"{member}/$care-manager")).json()["parameter"]
    parts = [one["part"] for one in found if one["name"] == "assignment"]
    return [part["valueReference"]["reference"] for one in parts for part in one if part["name"] == "manager"]


async def caseload(client: httpx.AsyncClient, who: str) -> dict[str, int]:
    found = (await client.get(f"{who}/$caseload", params={"program": IA_HCBS})).json()["parameter"]
    return {one["name"]: one["valueInteger"] for one in found}


async def state(client: httpx.AsyncClient, transfer: Json) -> tuple[str, str, str]:
    """(status, the current step, the state)."""
    found = (await client.get(f"Task/{transfer['id']}")).json()
    step, state = found["businessStatus"]["coding"]
    return found["status"], step["code"], state["code"]


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
    assert {"IA-11", "IA-16", "IA-17", "IA-18", "IA-19", "IA-21", "IA-22", "IA-23", "IA-24"} == needs.keys()


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
    assert "IA-16" in response.text


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
    assert (422, ["business-rule"]) == refusal(await put(iowa, tasks[1] | {"status": "completed"}))
    parent = (await iowa.get(f"Task/{transfer['id']}")).json()
    assert (409, ["conflict"]) == refusal(await put(iowa, parent | {"status": "completed"}))
    assert (409, ["conflict"]) == refusal(await iowa.delete(f"Task/{transfer['id']}"))


async def test_a_second_transfer_is_a_conflict(iowa: httpx.AsyncClient) -> None:
    await opened(iowa)
    assert (409, ["conflict"]) == refusal(await handoff(iowa))


async def test_who_has_nobody_is_assigned_first(iowa: httpx.AsyncClient) -> None:
    await sent(iowa, transaction(*roster({}, waiting=1)))
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
