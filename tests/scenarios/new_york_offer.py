"""New York: Ann, to whom a Health Home is offered: what shows that she is eligible, and what she answers."""

from __future__ import annotations

from typing import Any

import httpx

from tests.coordination.memory import BASE, coding, patient
from tests.scenarios.iowa import Json, kept
from tests.scenarios.new_york import PLAN, day, enrolled, new_york

OFFER, OVERLAP = (f"{BASE}/CodeSystem/cm-task|{code}" for code in ("health-home-offer", "enrollment-overlap"))
ANN = "Patient/ann"


async def ann(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Ann, who is nowhere enrolled."""
    await new_york(client)
    await kept(client, patient("ann"))
    return client


def evidence(id: str = "need", value: Any = 121, code: str = "expected-ltc-days", **more: Any) -> Json:
    """An Observation about Ann: of days, or a Quantity, or a boolean."""
    kind = {bool: "valueBoolean", int: "valueInteger", dict: "valueQuantity"}[type(value)]
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "code": coding("cm-evidence", code),
        "subject": {"reference": ANN},
        "effectiveDateTime": day(-5),
        kind: value,
        **more,
    }


def eligible(**more: Any) -> Json:
    return evidence("eligible", True, "health-home-eligible", **more)


def plan(program: str = "ny-mltcp", at: str = PLAN, **more: Any) -> Json:
    return enrolled(ANN, program, at, day(0), **more)


def consent(id: str, type: str, **more: Any) -> Json:
    return {
        "resourceType": "Consent",
        "id": id,
        "status": "active",
        "scope": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/consentscope", "code": "treatment"}]},
        "category": [coding("cm-consent", "health-home")],
        "patient": {"reference": ANN},
        "performer": [{"reference": ANN}],
        "dateTime": day(-1),
        "policyRule": {"text": "Health Home enrollment"},
        "provision": {"type": type},
        **more,
    }


async def tasks(client: httpx.AsyncClient, code: str, **more: str) -> list[Json]:
    found = await client.get("Task", params={"code": code, "patient": ANN, **more})
    return [entry["resource"] for entry in found.json().get("entry", ())]
