"""Iowa over HTTP, as the scenarios tell it: who is there, and what a client asks of the server."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from tests.answers import entry, transaction
from tests.coordination.memory import (
    IA_HCBS,
    assigned,
    coding,
    episode,
    organization,
    patient,
    practitioner,
    role,
    shipped,
    team,
)

Json = dict[str, Any]
IOWA = ZoneInfo("America/Chicago")
DIRECTORY = Path(__file__).parents[2] / "examples" / "iowa-directory.json"
PHYSICAL_TYPE = "http://terminology.hl7.org/CodeSystem/location-physical-type"
MCO = "ia-molina"
CAP = 50
ANN, BOB, CY, LEA = (f"PractitionerRole/{name}" for name in ("ann", "bob", "cy", "lea"))
MEMBER = "Patient/ann-0"
NEED = "area-member-needs"
LOCATION = ("valueCodeableConcept", coding("ia-reassign-consideration", "cm-location"))


def day(offset: int) -> str:
    return (datetime.now(IOWA).date() + timedelta(days=offset)).isoformat()


def midnight(offset: int) -> str:
    at = datetime.now(IOWA).date() + timedelta(days=offset)
    return datetime(at.year, at.month, at.day, tzinfo=IOWA).isoformat()


def parameters(**values: Any) -> Json:
    """Parameters of `name=("valueType", value)`."""
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, type: value} for name, (type, value) in values.items()],
    }


def asked(manager: str = ANN, **more: Any) -> Json:
    return parameters(program=("valueCanonical", IA_HCBS), manager=("valueReference", {"reference": manager}), **more)


def roster(managers: dict[str, int], *, waiting: int = 0) -> list[Json]:
    """Case managers, each with so many members, and members who have nobody: w1, w2 …"""
    found: list[Json] = []
    for name, number in managers.items():
        found.append(practitioner(name, telecom=[{"system": "phone", "value": "1-515-555-0100"}]))
        found.append(role(name, mco=MCO, telecom=[{"system": "email", "value": f"{name}@mco.example"}]))
        for index in range(number):
            id = f"{name}-{index}"
            found += [patient(id), episode(id, MCO), team(id, assigned(f"PractitionerRole/{name}"))]
    for index in range(1, waiting + 1):
        found += [patient(f"w{index}"), episode(f"w{index}", MCO)]
    return found


def puts(*resources: Json) -> Json:
    """The transaction that puts them."""
    return transaction(*(entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in resources))


async def sent(client: httpx.AsyncClient, bundle: Json) -> Json:
    response = await client.post("", json=bundle)
    assert 200 == response.status_code, response.text
    found: Json = response.json()
    return found


async def kept(client: httpx.AsyncClient, *resources: Json) -> Json:
    """The answer to one transaction that puts them all."""
    return await sent(client, puts(*resources))


async def put(client: httpx.AsyncClient, resource: Json, **more: Any) -> httpx.Response:
    return await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource, **more)


async def near_the_cap(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The program, the plans, and Ann, who has 49 members, Bob one; w1 to w9 have nobody."""
    await kept(client, shipped())
    await sent(client, json.loads(DIRECTORY.read_text()))
    await kept(client, *roster({"ann": CAP - 1, "bob": 1}, waiting=9))
    return client


async def three_managers(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Ann has 3 members, Bob 2, Cy 1; Lea manages the area."""
    lea = role("lea", mco=MCO, code=[coding("cm-role", "area-manager")])
    people = [practitioner("lea"), lea, *roster({"ann": 3, "bob": 2, "cy": 1})]
    await kept(client, shipped(), organization(MCO), *people)
    return client


async def handoff(
    client: httpx.AsyncClient, member: str = MEMBER, to: str = BOB, reason: str = NEED, actor: str = "", **more: Any
) -> httpx.Response:
    asked = parameters(
        program=("valueCanonical", IA_HCBS),
        to=("valueReference", {"reference": to}),
        reason=("valueCodeableConcept", coding("ia-transfer-reason", reason)),
        **more,
    )
    return await client.post(f"{member}/$handoff", json=asked, headers={"X-Acting-As": actor} if actor else {})


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


async def inside(client: httpx.AsyncClient, member: str = MEMBER) -> list[str]:
    """The evidence of step 3."""
    about = {"subject": {"reference": member}}
    return [
        await stored(client, told(LEA, ANN, BOB, **about)),
        await stored(client, told(ANN, BOB, medium="PHONE", **about)),
    ]


async def with_member(client: httpx.AsyncClient, member: str = MEMBER) -> list[str]:
    """The evidence of step 4 that the server does not make."""
    return [await stored(client, told(ANN, member, BOB, medium="PHONE", subject={"reference": member}))]


async def run(client: httpx.AsyncClient, tasks: list[Json], until: int = 5, member: str = MEMBER) -> None:
    """Complete the steps up to one."""
    await done(client, tasks[0])
    if until > 1:
        await done(client, tasks[1], consideration=LOCATION)
    if until > 2:
        await done(client, tasks[2], *await inside(client, member))
    if until > 3:
        await done(client, tasks[3], *await with_member(client, member), mode=("valueCode", "phone-both"))
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


def populations(of: Json) -> dict[str, int]:
    return {one["code"]["coding"][0]["code"]: one["count"] for one in of["population"]}


def extensions(of: Json, name: str) -> list[Json]:
    return [one for one in of.get("extension", []) if one["url"].endswith(f"/{name}")]
