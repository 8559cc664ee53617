"""New York: references under the server's own base URL, in whatever paper, are of what is here."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from server.app import create_app
from server.settings import Settings
from tests.conftest import lifespan
from tests.coordination.memory import coding
from tests.scenarios.iowa import kept
from tests.scenarios.new_york import HAL, HOME, MEMBER, PAT, PLAN, asa, lead, named, new_york, respond
from tests.scenarios.new_york_care import issues, ordered, standing, tasks
from tests.scenarios.new_york_plan import proposed, read, shared

BASE = "https://care.example.org/fhir"


@pytest.fixture
async def here(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(settings.model_copy(update={"base_url": BASE}))
    async with (
        lifespan(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1/fhir/") as client,
    ):
        yield await new_york(client)


def absolute(value: Any) -> Any:
    """With every reference as a URL under the base."""
    if isinstance(value, list):
        return [absolute(one) for one in value]
    if not isinstance(value, dict):
        return value
    found = {name: absolute(one) for name, one in value.items()}
    if isinstance(link := found.get("reference"), str) and not link.startswith("http"):
        found["reference"] = f"{BASE}/{link}"
    return found


@pytest.mark.requirement("NY-06", "NY-11", "NY-12", "NY-14", "NY-16")
async def test_papers_with_absolute_references_are_of_this_server(here: httpx.AsyncClient) -> None:
    services = [("personal-care", HOME)]
    assets = [
        {"type": [coding("ny-service", one)], "valuedItem": [{"responsible": {"reference": whose}}]}
        for one, whose in services
    ]
    term = [{"type": coding("ny-appendix", "appendix-b"), "offer": {"text": "Services"}, "asset": assets}]
    await kept(here, absolute(asa(term=term)))
    await named(here, lead=HAL)
    form = (await here.get((await lead(here))["form"])).json()
    await kept(here, absolute(form))  # says the same of the lead
    plan = absolute(shared("one", status="draft", replaces=[{"reference": "CarePlan/old"}]))
    await kept(here, absolute(shared("old", status="active")), plan)
    assert 200 == (await respond(here, await proposed(here))).status_code
    assert ["active", "completed"] == [(await here.get(f"CarePlan/{id}")).json()["status"] for id in ("one", "old")]
    whole = (await read(here))["entry"][1]["resource"]
    assert ("active", [PLAN, HOME]) == (whole["status"], [one["reference"] for one in whole["contributor"]])
    found = (await here.get(f"{MEMBER}/$coordination-check")).json()["entry"]
    wrong = [one["resource"] for one in found if one["resource"]["code"]["coding"][0]["code"] == "wrong-party"]
    assert [HOME] == [one["extension"][0]["valueReference"]["reference"] for one in wrong]


@pytest.mark.requirement("NY-19")
async def test_items_and_tasks_with_absolute_references_are_of_this_server(here: httpx.AsyncClient) -> None:
    await kept(here, absolute(ordered("r", "personal-care", PAT)), absolute(ordered("s", "personal-care", HAL)))
    (issue,) = await issues(here)
    assert {"ServiceRequest/r", "ServiceRequest/s"} == {one["reference"] for one in issue["implicated"]}
    (task,) = await tasks(here)
    await kept(here, absolute(task) | {"status": "completed"})
    assert [] == await standing(here)
    (issue,) = await issues(here)
    assert "settled" == issue["mitigation"][0]["action"]["coding"][0]["code"]
