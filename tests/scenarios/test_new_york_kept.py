"""New York: a proposal stays what it is, whatever code its Task is given later, by whatever door."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.answers import entry, refusal, transaction
from tests.coordination.memory import coding
from tests.scenarios.iowa import Json, opened, put, steps, three_managers
from tests.scenarios.new_york import HAL, MEMBER, PLAN, acting, lead, named, proposed, respond
from tests.scenarios.new_york_plan import proposal, shared, status
from tests.scenarios.new_york_plan import proposed as proposed_plan

CODES = {
    "lead-designation": "plan-acceptance",
    "plan-acceptance": "lead-designation",
}
DOORS = ("PUT", "PATCH", "transaction", "conditional")


async def written(
    client: httpx.AsyncClient, task: Json, door: str, actor: str = PLAN, **changed: Any
) -> httpx.Response:
    """The Task with these elements, through one of the doors."""
    body, headers = {**task, **changed}, acting(actor)
    if door == "PATCH":
        patch = [{"op": "add", "path": f"/{name}", "value": value} for name, value in changed.items()]
        content = {"Content-Type": "application/json-patch+json"}
        return await client.patch(f"Task/{task['id']}", json=patch, headers=headers | content)
    if door == "transaction":
        return await client.post("", json=transaction(entry("PUT", f"Task/{task['id']}", body)), headers=headers)
    url = f"Task?_id={task['id']}" if door == "conditional" else f"Task/{task['id']}"
    return await client.put(url, json=body, headers=headers)


async def of_kind(client: httpx.AsyncClient, kind: str) -> Json:
    """An open proposal of the kind; and a draft plan, which both have a part in."""
    assert 201 == (await put(client, shared("one", status="draft"))).status_code
    return await (proposed(client) if kind == "lead-designation" else proposed_plan(client))


@pytest.mark.requirement("NY-11", "NY-14")
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", sorted(CODES))
async def test_proposal_is_not_made_one_of_another_kind(here: httpx.AsyncClient, kind: str, door: str) -> None:
    task = await of_kind(here, kind)
    other = {"code": coding("cm-task", CODES[kind]), "focus": {"reference": "CarePlan/one"}}
    for actor in (PLAN, HAL, ""):
        assert (409, ["conflict"]) == refusal(await written(here, task, door, actor, **other))
    assert task == (await here.get(f"Task/{task['id']}")).json()
    assert 200 == (await respond(here, task)).status_code
    answered = (await here.get(f"Task/{task['id']}")).json()
    assert (409, ["conflict"]) == refusal(await written(here, answered, door, **other, status="requested"))
    assert ("active" if kind == "plan-acceptance" else "draft", kind == "lead-designation") == (
        await status(here),
        bool(await lead(here)),
    )


@pytest.mark.requirement("NY-11", "NY-14")
@pytest.mark.parametrize("kind", sorted(CODES))
@pytest.mark.parametrize(
    "code", ["case-manager-transfer", "case-manager-transfer-step", "service-plan-review", "health-home-offer", "other"]
)
async def test_proposal_is_made_no_other_task(here: httpx.AsyncClient, kind: str, code: str) -> None:
    task = await of_kind(here, kind)
    assert (409, ["conflict"]) == refusal(await written(here, task, "PUT", code=coding("cm-task", code)))
    assert task == (await here.get(f"Task/{task['id']}")).json()


@pytest.mark.requirement("NY-11", "NY-14")
async def test_draft_is_no_proposal_yet_and_opens_as_what_it_is_then(here: httpx.AsyncClient) -> None:
    await put(here, shared("one", status="draft"))
    first = await put(here, {**proposal(), "id": "t", "code": coding("cm-task", "lead-designation"), "status": "draft"})
    assert 201 == first.status_code, first.text
    response = await put(here, {**proposal(), "id": "t"}, headers=acting(PLAN))
    assert (200, "requested", MEMBER) == (
        response.status_code,
        response.json()["status"],
        response.json()["for"]["reference"],
    )
    assert "proposed" == response.json()["businessStatus"]["coding"][0]["code"]


@pytest.mark.requirement("NY-14")
async def test_proposal_that_is_answered_stays_what_it_was(here: httpx.AsyncClient) -> None:
    task = await named(here)
    for became in ("draft", "requested", "completed"):
        changed = {"code": coding("cm-task", "plan-acceptance"), "status": became}
        assert (409, ["conflict"]) == refusal(await written(here, task, "PUT", **changed))


@pytest.mark.requirement("IA-23")
@pytest.mark.parametrize("code", sorted(CODES))
async def test_transfer_and_its_steps_are_made_no_proposals(client: httpx.AsyncClient, code: str) -> None:
    await three_managers(client)
    transfer, _ = await opened(client)
    for task in (transfer, (await steps(client, transfer))[0]):
        response = await written(client, task, "PUT", "", code=coding("cm-task", code))
        assert 400 <= response.status_code < 500, response.text
        assert task == (await client.get(f"Task/{task['id']}")).json()
