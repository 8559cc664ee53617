"""New York: the one plan of both organizations: made, proposed, and read as a document."""

from __future__ import annotations

from typing import Any

import httpx

from server.fhir import body
from server.validation.element import validate
from tests.coordination.memory import coding
from tests.scenarios.iowa import Json
from tests.scenarios.new_york import HOME, MEMBER, PLAN, acting
from tests.scenarios.new_york_care import planned

SOURCE = "https://careplan-server.org/fhir/StructureDefinition/plan-item-source"


def shared(id: str, *contributors: str, **more: object) -> Json:
    """An active CarePlan with these contributors, by default both organizations."""
    links = [{"reference": one} for one in contributors or (PLAN, HOME)]
    plan = planned(id, PLAN, "personal-care", contributor=links, **more)
    del plan["author"]
    return plan


async def read(client: httpx.AsyncClient, actor: str = "", **query: str) -> Json:
    response = await client.get(f"{MEMBER}/$comprehensive-plan", params=query, headers=acting(actor))
    assert 200 == response.status_code, response.text
    found: Json = response.json()
    assert [] == validate(body.parse(response.content).resource)
    return found


def of_type(bundle: Json, type: str) -> list[Json]:
    return [one["resource"] for one in bundle["entry"] if one["resource"]["resourceType"] == type]


def sources(plan: Json) -> list[tuple[str, str | None]]:
    """Of each activity of the one plan: (where it comes from, whose it is)."""
    told = []
    for activity in plan["activity"]:
        (source,) = [one for one in activity["extension"] if one["url"] == SOURCE]
        parts = {one["url"]: one["valueReference"]["reference"] for one in source["extension"]}
        told.append((parts["source"], parts.get("organization")))
    return sorted(told, key=str)


def proposal(plan: str = "CarePlan/one", **more: Any) -> Json:
    """A plain Task that proposes a plan."""
    return {
        "resourceType": "Task",
        "status": "requested",
        "intent": "proposal",
        "code": coding("cm-task", "plan-acceptance"),
        "focus": {"reference": plan},
        "for": {"reference": MEMBER},
        **more,
    }


async def proposed(client: httpx.AsyncClient, plan: str = "CarePlan/one", actor: str = PLAN, **more: Any) -> Json:
    response = await client.post("Task", json=proposal(plan, **more), headers=acting(actor))
    assert 201 == response.status_code, response.text
    found: Json = response.json()
    return found


async def status(client: httpx.AsyncClient, plan: str = "CarePlan/one") -> str:
    found: str = (await client.get(plan)).json()["status"]
    return found


def goal(id: str, value: float, due: str, **more: Any) -> Json:
    measure = {"coding": [{"system": "http://loinc.org", "code": "4548-4", "display": "Hemoglobin A1c"}]}
    percent = {"value": value, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"}
    return {
        "resourceType": "Goal",
        "id": id,
        "lifecycleStatus": "active",
        "description": {"text": f"Goal {id}"},
        "subject": {"reference": MEMBER},
        "target": [{"measure": measure, "detailQuantity": percent, "dueDate": due}],
        **more,
    }
