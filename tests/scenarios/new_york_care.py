"""New York: what is ordered, planned and done for the member, and what a coordination check finds in it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import httpx

from tests.coordination.memory import BASE, coding
from tests.scenarios.iowa import Json, parameters
from tests.scenarios.new_york import MEMBER, NEW_YORK, acting

AIDE = "Organization/aides"
RESOLVER = f"{BASE}/StructureDefinition/issue-resolver"


def ordered(id: str, service: str | None, by: str | None, start: str = "2025-02-01", **more: Any) -> Json:
    """A ServiceRequest for a service of ny-service, performed by `by`."""
    return {
        "resourceType": "ServiceRequest",
        "id": id,
        "status": "active",
        "intent": "order",
        "subject": {"reference": MEMBER},
        "code": coding("ny-service", service) if service else {"text": "Reading aloud"},
        "occurrencePeriod": {"start": start},
        **({"performer": [{"reference": by}]} if by else {}),
        **more,
    }


def planned(id: str, author: str, *services: str, **more: Any) -> Json:
    """An active CarePlan of an organization, with an activity for each service."""
    return {
        "resourceType": "CarePlan",
        "id": id,
        "status": "active",
        "intent": "plan",
        "subject": {"reference": MEMBER},
        "author": {"reference": author},
        "period": {"start": "2025-02-01"},
        "activity": [
            {
                "detail": {
                    "status": "in-progress",
                    "code": coding("ny-service", one),
                    "performer": [{"reference": author}],
                }
            }
            for one in services
        ],
        **more,
    }


def visit(id: str, by: str, at: str, kind: str = "home-visit", **more: Any) -> Json:
    return {
        "resourceType": "Encounter",
        "id": id,
        "status": "finished",
        "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HH"},
        "type": [{"coding": [{"system": "urn:example:contact", "code": kind}]}],
        "subject": {"reference": MEMBER},
        "serviceProvider": {"reference": by},
        "period": {"start": at, "end": at},
        **more,
    }


def noon(offset: int) -> str:
    return (datetime.now(NEW_YORK) + timedelta(days=offset)).replace(microsecond=0).isoformat()


def appendix(*rows: tuple[str, str, str | None], code: str = "appendix-b", **more: Any) -> list[Json]:
    """Contract.term: (service, scope, whose)."""
    return [
        {
            "type": coding("ny-appendix", code),
            "offer": {"text": "Services and responsibilities"},
            "asset": [
                {
                    "type": [coding("ny-service", service)],
                    "subtype": [coding("ny-benefit-scope", scope)],
                    **({"valuedItem": [{"responsible": {"reference": whose}}]} if whose else {}),
                }
                for service, scope, whose in rows
            ],
            **more,
        }
    ]


async def check(client: httpx.AsyncClient, **query: str) -> list[Json]:
    response = await client.get(f"{MEMBER}/$coordination-check", params=query)
    assert 200 == response.status_code, response.text
    return [entry["resource"] for entry in response.json().get("entry", ())]


async def over(
    client: httpx.AsyncClient, start: str, end: str | None = None, actor: str = "", **more: Any
) -> list[str]:
    """The codes of what a check of a period finds."""
    asked = parameters(period=("valuePeriod", {"start": start, **({"end": end} if end else {})}), **more)
    response = await client.post(f"{MEMBER}/$coordination-check", json=asked, headers=acting(actor))
    assert 200 == response.status_code, response.text
    return sorted(code(entry["resource"]) for entry in response.json().get("entry", ()))


async def look(client: httpx.AsyncClient) -> list[Json]:
    """A check whose findings are kept."""
    response = await client.post(f"{MEMBER}/$coordination-check", json={"resourceType": "Parameters"})
    assert 200 == response.status_code, response.text
    return [entry["resource"] for entry in response.json().get("entry", ())]


async def task_of(client: httpx.AsyncClient, issue: Json) -> Json:
    """The Task of an issue."""
    found = await client.get("Task", params={"focus": f"DetectedIssue/{issue['id']}"})
    (task,) = (entry["resource"] for entry in found.json()["entry"])
    return dict(task)


async def position(client: httpx.AsyncClient) -> int:
    found: int = (await client.get("http://127.0.0.1/health")).json()["position"]
    return found


def code(issue: Json) -> str:
    return str(issue["code"]["coding"][0]["code"])


def resolver(issue: Json) -> str | None:
    found = [one["valueReference"]["reference"] for one in issue.get("extension", ()) if one["url"] == RESOLVER]
    return str(found[0]) if found else None


def told(issues: list[Json]) -> list[tuple[str, list[str], str | None]]:
    """(code, the items, whose it is to resolve)."""
    return [(code(one), [item["reference"] for item in one["implicated"]], resolver(one)) for one in issues]


async def issues(client: httpx.AsyncClient, member: str = MEMBER) -> list[Json]:
    """The issues that are kept, resolved ones too."""
    found = await client.get("DetectedIssue", params={"patient": member, "_count": "500"})
    return [one["resource"] for one in found.json().get("entry", ())]


async def standing(client: httpx.AsyncClient, member: str = MEMBER) -> list[tuple[str, list[str]]]:
    """(code, items) of what is to be resolved."""
    found = [one for one in await issues(client, member) if "mitigation" not in one]
    return sorted((code(one), sorted(item["reference"] for item in one["implicated"])) for one in found)


async def tasks(client: httpx.AsyncClient, **query: str) -> list[Json]:
    """The Tasks of issues."""
    asked = {"code": f"{BASE}/CodeSystem/cm-task|coordination-issue", "_count": "500", **query}
    return [one["resource"] for one in (await client.get("Task", params=asked)).json().get("entry", ())]
