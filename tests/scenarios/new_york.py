"""New York over HTTP, as the scenarios tell it: a plan and a Health Home that have members together."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx

from tests.coordination.memory import BASE, coding, episode, patient, practitioner, role
from tests.scenarios.iowa import Json, kept, parameters

ROOT = Path(__file__).parents[2]
NEW_YORK = ZoneInfo("America/New_York")
NY_MLTCP, NY_MAP = (f"{BASE}/PlanDefinition/{name}" for name in ("ny-mltcp", "ny-map"))
PLAN, HOME, OTHER = (f"Organization/{name}" for name in ("plan", "home", "other-home"))
PAT, HAL, OLA = (f"PractitionerRole/{name}" for name in ("pat", "hal", "ola"))  # of the plan, the home, the other home
MEMBER = "Patient/m1"
FORM = f"{BASE}/Questionnaire/ny-care-planning-coordination"
TEMPLATE = f"{BASE}/Contract/ny-asa-template|2024-11-13"
TEXTS = ("ny-asa.txt", "ny-statement-and-certification.txt")


def day(offset: int) -> str:
    return (datetime.now(NEW_YORK).date() + timedelta(days=offset)).isoformat()


def midnight(offset: int) -> str:
    at = datetime.now(NEW_YORK).date() + timedelta(days=offset)
    return datetime(at.year, at.month, at.day, tzinfo=NEW_YORK).isoformat()


def shipped(name: str) -> Json:
    found: Json = json.loads((ROOT / "profiles" / f"PlanDefinition-{name}.json").read_text())
    return found


def organization(reference: str) -> Json:
    return {"resourceType": "Organization", "id": reference.partition("/")[2], "name": f"Organization {reference}"}


def manager(reference: str, at: str, **more: Any) -> list[Json]:
    id = reference.partition("/")[2]
    phone = [{"system": "phone", "value": "1-212-555-0100"}]
    code = "plan-care-manager" if at == PLAN else "hh-care-manager"
    there = {"mco": at.partition("/")[2], "code": [coding("cm-role", code)], "telecom": phone}
    return [practitioner(id), role(id, **there | more)]


def enrolled(
    member: str, program: str, at: str, start: str = "2025-01-01", end: str | None = None, **more: Any
) -> Json:
    """An episode of cm-program#<program>."""
    id = f"{member.partition('/')[2]}-{program}"
    about = {"patient": {"reference": member}, "type": [coding("cm-program", program)]}
    return episode(id, at.partition("/")[2], start, end, **about | more)


def text(name: str) -> bytes:
    return (ROOT / "examples" / name).read_bytes()


def asa(
    id: str = "asa",
    parties: tuple[str, str] = (PLAN, HOME),
    start: str = "2025-01-01",
    end: str | None = None,
    **more: Any,
) -> Json:
    """An executed agreement on the template's text."""
    signature = {
        "type": [{"system": "urn:iso-astm:E1762-95:2013", "code": "1.2.840.10065.1.12.1.1"}],
        "when": "2024-12-20T10:00:00-05:00",
    }
    signer = {"system": "http://terminology.hl7.org/CodeSystem/contractsignertypecodes", "code": "GRANTOR"}
    return {
        "resourceType": "Contract",
        "id": id,
        "status": "executed",
        "type": coding("ny-agreement", "asa"),
        "instantiatesUri": TEMPLATE,
        "applies": {"start": start, **({"end": end} if end else {})},
        "subject": [{"reference": party} for party in parties],
        "signer": [
            {"type": signer, "party": {"reference": party}, "signature": [{**signature, "who": {"reference": party}}]}
            for party in parties
        ],
        "legal": [
            {"contentAttachment": {"contentType": "text/plain", "data": base64.b64encode(text(name)).decode()}}
            for name in TEXTS
        ],
        **more,
    }


def form(lead: str = HAL, *needs: str, member: str = MEMBER, **more: Any) -> Json:
    """The completed form, which names the lead."""
    system = f"{BASE}/CodeSystem/ny-primary-need"
    answers = [{"valueCoding": {"system": system, "code": need}} for need in needs or ("behavioral-health",)]
    return {
        "resourceType": "QuestionnaireResponse",
        "questionnaire": FORM,
        "status": "completed",
        "subject": {"reference": member},
        "item": [
            {"linkId": "lead", "answer": [{"valueReference": {"reference": lead}}]},
            {"linkId": "primary-need", "answer": answers},
        ],
        **more,
    }


async def new_york(client: httpx.AsyncClient, program: str = "ny-map", *more: Json) -> httpx.AsyncClient:
    """Both programs, a plan and two Health Homes with a care manager each, and a member of the plan and the first."""
    people = [*manager(PAT, PLAN), *manager(HAL, HOME), *manager(OLA, OTHER)]
    organizations = [organization(one) for one in (PLAN, HOME, OTHER)]
    await kept(client, shipped("ny-mltcp"), shipped("ny-map"), *organizations, *people)
    member = [patient("m1"), enrolled(MEMBER, program, PLAN), enrolled(MEMBER, "ny-health-home", HOME)]
    await kept(client, asa(), *member, *more)
    return client


def need(code: str = "behavioral-health") -> tuple[str, Json]:
    return "valueCodeableConcept", coding("ny-primary-need", code)


async def propose(
    client: httpx.AsyncClient, lead: str = HAL, actor: str = PLAN, member: str = MEMBER, **more: Any
) -> httpx.Response:
    asked = parameters(**{"lead": ("valueReference", {"reference": lead}), "primaryNeed": need()} | more)
    if "form" not in more:
        asked["parameter"].append({"name": "form", "resource": form(lead, member=member)})
    return await client.post(f"{member}/$propose-lead", json=asked, headers=acting(actor))


def acting(actor: str) -> dict[str, str]:
    return {"X-Acting-As": actor} if actor else {}


async def proposed(client: httpx.AsyncClient, **more: Any) -> Json:
    response = await propose(client, **more)
    assert 201 == response.status_code, response.text
    found: Json = response.json()
    return found


async def respond(
    client: httpx.AsyncClient, task: Json, response: str = "accept", actor: str = HOME, **more: Any
) -> httpx.Response:
    asked = parameters(response=("valueCode", response), **more)
    return await client.post(f"Task/{task['id']}/$respond", json=asked, headers=acting(actor))


async def counter(client: httpx.AsyncClient, task: Json, lead: str = PAT, actor: str = HOME) -> httpx.Response:
    asked = parameters(response=("valueCode", "counter"), lead=("valueReference", {"reference": lead}))
    asked["parameter"].append({"name": "form", "resource": form(lead)})
    return await client.post(f"Task/{task['id']}/$respond", json=asked, headers=acting(actor))


async def named(client: httpx.AsyncClient, lead: str = HAL, **more: Any) -> Json:
    """A lead whom both have named: the Task."""
    response = await respond(client, await proposed(client, lead=lead, **more))
    assert 200 == response.status_code, response.text
    found: Json = response.json()
    return found


async def lead(client: httpx.AsyncClient, as_of: str | None = None, member: str = MEMBER) -> dict[str, str]:
    """What $lead answers, its references as strings."""
    response = await client.get(f"{member}/$lead", params={"asOf": as_of} if as_of else {})
    assert 200 == response.status_code, response.text
    found = [one for one in response.json().get("parameter", ()) if one["name"] != "left"]
    return {one["name"]: one.get("valueDateTime") or one["valueReference"]["reference"] for one in found}


async def teams(client: httpx.AsyncClient, member: str = MEMBER) -> dict[str, list[tuple[str, str, str | None]]]:
    """The leads that each organization's CareTeams tell: (who, from, until)."""
    found = (await client.get("CareTeam", params={"patient": member})).json().get("entry", ())
    told: dict[str, list[tuple[str, str, str | None]]] = {}
    for one in (entry["resource"] for entry in found):
        for participant in one.get("participant", ()):
            when = participant.get("period", {})
            who = participant["member"]["reference"]
            organization = one["managingOrganization"][0]["reference"]
            told.setdefault(organization, []).append((who, when["start"], when.get("end")))
    return told
