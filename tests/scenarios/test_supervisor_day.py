"""A supervisor's day over HTTP: what the night left, who is given to whom, what is refused, what was a mistake."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from server.coordination.facts import ENTERED_IN_ERROR
from server.coordination.program.plan_definition import RULE_PARAMETER
from tests.answers import refusal
from tests.coordination.memory import IA_HCBS, assigned, coding, episode, role, shipped, team
from tests.scenarios.iowa import DIRECTORY, MCO, asked, day, kept, midnight, parameters, put, roster, sent
from tests.scenarios.test_unassigned import told as findings

Json = dict[str, Any]

ANN, BOB, CLEO, DORA = (f"PractitionerRole/{name}" for name in ("ann", "bob", "cleo", "dora"))
LEA = f"PractitionerRole/{MCO}-central-manager"  # this supervisor
EAST = f"PractitionerRole/{MCO}-east-manager"
POLK = [{"use": "home", "city": "Des Moines", "district": "Polk", "state": "IA", "postalCode": "50309"}]
MISTAKE = {
    "modifierExtension": [{"url": ENTERED_IN_ERROR, "valueCodeableConcept": {"text": "Another member was meant"}}]
}


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Ann has 50 members, Bob 3, Cleo 2, Dora none; w1 to w3 have nobody. All live in Polk County."""
    people = roster({"ann": 50, "bob": 3, "cleo": 2, "dora": 0}, waiting=3)
    for one in people:
        if one["resourceType"] == "Patient":
            one["address"] = POLK
    await kept(client, shipped())
    await sent(client, json.loads(DIRECTORY.read_text()))
    await kept(client, *people)
    return client


async def waiting(client: httpx.AsyncClient, **more: str) -> list[tuple[str, str]]:
    """(why, reference) of what $unassigned lists."""
    answer = await client.get(f"Organization/{MCO}/$unassigned", params={"program": IA_HCBS} | more)
    assert 200 == answer.status_code, answer.text
    return [(why, reference) for why, reference, *_ in findings(answer.json())]


async def assign(client: httpx.AsyncClient, member: str, manager: str, **more: Any) -> httpx.Response:
    url, headers = f"Patient/{member}/$assign-care-manager", {"X-Acting-As": LEA}
    return await client.post(url, json=asked(manager, **more), headers=headers)


async def handoff(
    client: httpx.AsyncClient,
    member: str,
    to: str,
    reason: str = "area-cm-staffing",
    actor: str = LEA,
    **more: Any,
) -> httpx.Response:
    given = parameters(
        program=("valueCanonical", IA_HCBS),
        to=("valueReference", {"reference": to}),
        reason=("valueCodeableConcept", coding("ia-transfer-reason", reason)),
        **more,
    )
    return await client.post(f"Patient/{member}/$handoff", json=given, headers={"X-Acting-As": actor})


async def opened(client: httpx.AsyncClient, member: str, to: str, **more: Any) -> tuple[str, list[Json]]:
    """The transfer, and its steps in their order."""
    answer = await handoff(client, member, to, **more)
    assert 201 == answer.status_code, answer.text
    task = f"Task/{answer.json()['id']}"
    found = (await client.get("Task", params={"part-of": task})).json()["entry"]
    steps = [one["resource"] for one in found]
    return task, sorted(steps, key=lambda one: str(one["businessStatus"]["coding"][0]["code"]))


async def advance(client: httpx.AsyncClient, task: str, *evidence: str, actor: str = "", **more: Any) -> httpx.Response:
    given = parameters(**more)
    given["parameter"] += [{"name": "evidence", "valueReference": {"reference": one}} for one in evidence]
    return await client.post(f"{task}/$advance", json=given, headers={"X-Acting-As": actor} if actor else {})


async def told(client: httpx.AsyncClient, member: str, sender: str | None, *recipients: str, **more: Any) -> str:
    """A conversation, as it is on record."""
    phone = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", "code": "PHONE"}
    made = {
        "resourceType": "Communication",
        "status": "completed",
        "subject": {"reference": member},
        "recipient": [{"reference": one} for one in recipients],
        "medium": [{"coding": [phone]}],
        **({"sender": {"reference": sender}} if sender else {}),
        **more,
    }
    answer = await client.post("Communication", json={name: value for name, value in made.items() if value})
    assert 201 == answer.status_code, answer.text
    return f"Communication/{answer.json()['id']}"


async def through(client: httpx.AsyncClient, steps: list[Json], member: str, former: str, following: str) -> None:
    """All five steps of Iowa's."""
    ids = [f"Task/{one['id']}" for one in steps]
    weighed = ("valueCodeableConcept", coding("ia-reassign-consideration", "cm-location"))
    notice = await told(client, member, LEA, former, following, medium=[])
    inside = [notice, await told(client, member, former, following)]
    introduction = await told(client, member, former, member, following)
    for answer in (
        await advance(client, ids[0]),
        await advance(client, ids[1], consideration=weighed),
        await advance(client, ids[2], *inside),
        await advance(client, ids[3], introduction, mode=("valueCode", "phone-both")),
        await advance(client, ids[4]),
    ):
        assert 200 == answer.status_code, answer.text


async def managers(client: httpx.AsyncClient, member: str, **more: str) -> list[str]:
    answer = (await client.get(f"Patient/{member}/$care-manager", params=more)).json()
    parts = [one["part"] for one in answer.get("parameter", ()) if one["name"] == "assignment"]
    return [part["valueReference"]["reference"] for each in parts for part in each if part["name"] == "manager"]


@pytest.mark.requirement("IA-04", "IA-06", "IA-07", "IA-10", "IA-11", "IA-25")
async def test_day_of_a_supervisor(iowa: httpx.AsyncClient) -> None:
    # In the morning: three members wait, and Cleo's last day was yesterday.
    await put(iowa, role("cleo", mco=MCO, period={"end": day(-1)}))
    assert [
        *(("no-manager", f"Patient/w{n}") for n in (1, 2, 3)),
        *(("manager-left", f"Patient/cleo-{n}") for n in (0, 1)),
    ] == await waiting(iowa)
    for member in ("w1", "cleo-0"):
        contacts = (await iowa.get(f"Patient/{member}/$care-manager")).json()["parameter"]
        assert ["ia-molina-case-management", "ia-molina-central-manager"] == [one["resource"]["id"] for one in contacts]

    # Those who wait are given to who has room; the cap holds, whoever asks and for whatever reason.
    assert 201 == (await assign(iowa, "w1", BOB)).status_code
    assert 201 == (await assign(iowa, "w2", BOB)).status_code
    reason = ("valueCodeableConcept", {"coding": [{"system": "urn:reasons", "code": "emergency"}]})
    for more in ({}, {"override": reason}):
        assert (422, ["business-rule"]) == refusal(await assign(iowa, "w3", ANN, **more))
    assert 201 == (await assign(iowa, "w3", DORA)).status_code

    # Who may open a transfer is the area's manager: neither a colleague of another area nor a case manager.
    for actor in (EAST, ANN):
        refused = await handoff(iowa, "cleo-0", BOB, actor=actor)
        assert (422, ["business-rule"]) == refusal(refused)
    task, steps = await opened(iowa, "cleo-0", BOB)
    assert ("transfer-of-leaver", task) in await waiting(iowa)

    # The area's manager talks with the member first, and that is on record with the first step.
    talk = await told(iowa, "Patient/cleo-0", LEA, "Patient/cleo-0", about=[{"reference": task}])
    assert 200 == (await advance(iowa, f"Task/{steps[0]['id']}", talk, actor=LEA)).status_code
    first = (await iowa.get(f"Task/{steps[0]['id']}")).json()
    assert [talk] == [one["valueReference"]["reference"] for one in first["output"]]

    # By the evening only Cleo's other member is left to be seen to.
    other, rest = await opened(iowa, "cleo-1", DORA)
    await through(iowa, rest, "Patient/cleo-1", CLEO, DORA)
    assert [DORA] == await managers(iowa, "cleo-1")
    assert [("manager-left", "Patient/cleo-0"), ("transfer-of-leaver", task)] == await waiting(iowa)
    history = (await iowa.get(f"{other}/_history")).json()["entry"]
    assert ["completed", "requested"] == [history[n]["resource"]["status"] for n in (0, -1)]


@pytest.mark.requirement("IA-07")
async def test_who_is_to_get_a_member_leaves_and_the_transfer_waits_until_it_is_cancelled(
    iowa: httpx.AsyncClient,
) -> None:
    task, steps = await opened(iowa, "bob-0", DORA)
    await put(iowa, role("dora", mco=MCO, active=False))
    assert ("transfer-of-leaver", task) in await waiting(iowa)
    assert (409, ["conflict"]) == refusal(await advance(iowa, f"Task/{steps[0]['id']}"))
    cancelled = await advance(iowa, task, actor=LEA, outcome=("valueCode", "cancelled"))
    assert 200 == cancelled.status_code, cancelled.text
    assert [] == [found for found in await waiting(iowa) if found[0] != "no-manager"]
    assert [BOB] == await managers(iowa, "bob-0")


async def test_transfer_whose_day_has_passed_is_late(iowa: httpx.AsyncClient) -> None:
    task, steps = await opened(iowa, "bob-0", DORA, effective=("valueDateTime", midnight(0)))
    assert ("transfer-late", task) in await waiting(iowa)
    assert ("transfer-late", task) not in await waiting(iowa, asOf=day(-1))
    await through(iowa, steps, "Patient/bob-0", BOB, DORA)
    assert "transfer-late" not in {why for why, _ in await waiting(iowa)}
    assert [[BOB], [DORA]] == [await managers(iowa, "bob-0", asOf=at) for at in (day(-1), midnight(0))]


async def test_transfer_is_overdue_where_the_program_says_by_when(iowa: httpx.AsyncClient) -> None:
    due = [{"url": "name", "valueCode": "due-days"}, {"url": "value", "valueInteger": 1}]
    program = shipped()
    protocol = next(action for action in program["action"] if action["id"] == "IA-07")
    protocol["extension"].append({"url": RULE_PARAMETER, "extension": due})
    await put(iowa, program)
    task, _ = await opened(iowa, "bob-0", DORA)
    assert {"end": day(1)} == (await iowa.get(task)).json()["restriction"]["period"]
    for offset, is_overdue in ((0, False), (1, False), (2, True)):
        assert is_overdue == (("transfer-overdue", task) in await waiting(iowa, asOf=midnight(offset)))


@pytest.mark.requirement("IA-27")
async def test_mistake_found_while_a_transfer_is_open_leaves_nobody_with_two_managers(iowa: httpx.AsyncClient) -> None:
    task, steps = await opened(iowa, "bob-0", DORA)
    corrected = team("bob-0", assigned(BOB, **MISTAKE))
    assert 200 == (await put(iowa, corrected)).status_code
    assert ("no-manager", "Patient/bob-0") in await waiting(iowa)
    beside = team("bob-0", assigned(BOB, **MISTAKE), assigned("PractitionerRole/ann", midnight(0)))
    refused = await put(iowa, beside)  # Ann is full, and nobody comes beside a transfer
    assert (422, {"business-rule"}) == (refused.status_code, set(refusal(refused)[1]))
    await through(iowa, steps, "Patient/bob-0", BOB, DORA)
    assert [DORA] == await managers(iowa, "bob-0")
    assert [[], []] == [await managers(iowa, "bob-0", asOf=at) for at in (day(-30), day(-1))]
    assert "completed" == (await iowa.get(task)).json()["status"]
    found = (await iowa.get("CareTeam/bob-0/_history")).json()["entry"]
    marked = ["modifierExtension" in one["resource"]["participant"][0] for one in found]
    assert (False, True) == (marked[-1], all(marked[:-1]))


@pytest.mark.requirement("IA-27")
async def test_mistaken_transfer_is_corrected_by_marking_whom_it_brought(iowa: httpx.AsyncClient) -> None:
    _, steps = await opened(iowa, "bob-0", DORA)
    await through(iowa, steps, "Patient/bob-0", BOB, DORA)
    found = (await iowa.get("CareTeam/bob-0")).json()
    former, following = found["participant"]
    reopened = {**former, "period": {"start": former["period"]["start"]}}
    silent = await put(iowa, found | {"participant": [reopened, following]})
    assert (422, {"business-rule"}) == (silent.status_code, set(refusal(silent)[1]))
    marked = {**following, **MISTAKE}
    assert 200 == (await put(iowa, found | {"participant": [former, marked]})).status_code
    assert ("no-manager", "Patient/bob-0") in await waiting(iowa)
    start = ("valueDateTime", former["period"]["end"])
    answer = await assign(iowa, "bob-0", BOB, start=start)
    assert 201 == answer.status_code, answer.text
    assert [BOB] == await managers(iowa, "bob-0")
    periods = [one["period"] for one in answer.json()["participant"]]
    assert periods[0]["end"] == periods[2]["start"]


async def test_enrolled_members_of_a_closed_episode_wait_for_nobody(iowa: httpx.AsyncClient) -> None:
    await put(iowa, episode("w1", MCO, end=day(-1), status="finished"))
    assert ("no-manager", "Patient/w1") not in await waiting(iowa)
