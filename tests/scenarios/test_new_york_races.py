"""Two organizations at once: whoever comes first counts, the other is told so, and there is never a second lead."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import httpx
import pytest

from tests.scenarios.new_york import HAL, HOME, MEMBER, PAT, PLAN, propose, proposed, respond, teams

ROUNDS = 5


async def at_once(*asked: Awaitable[httpx.Response]) -> list[int]:
    answers = await asyncio.gather(*asked)
    return sorted(one.status_code for one in answers)


@pytest.mark.requirement("NY-14")
async def test_both_propose_at_once(here: httpx.AsyncClient) -> None:
    for _ in range(ROUNDS):
        asked = [propose(here, HAL, actor=PLAN), propose(here, PAT, actor=HOME), propose(here, PAT, actor=PLAN)]
        assert [201, 409, 409] == await at_once(*asked)
        found = (await here.get("Task", params={"status": "requested"})).json()["entry"]
        (task,) = [entry["resource"] for entry in found]
        await respond(here, task, "withdraw", actor=task["requester"]["reference"])


@pytest.mark.requirement("NY-14", "NY-20")
@pytest.mark.parametrize("other", ["accept", "withdraw", "decline"])
async def test_accepted_and_answered_otherwise_at_once(here: httpx.AsyncClient, other: str) -> None:
    before = 0
    for number in range(ROUNDS):
        task = await proposed(here, lead=(HAL, PAT)[number % 2])
        actor = PLAN if other == "withdraw" else HOME
        reason = {"reason": ("valueCodeableConcept", {"text": "Not now"})} if other == "decline" else {}
        asked = [respond(here, task), respond(here, task, other, actor, **reason)]
        assert [200, 409] == await at_once(*(asked if number % 2 else asked[::-1]))
        ended = (await here.get(f"Task/{task['id']}")).json()["status"]
        told = await teams(here)
        named = len(told.get(HOME, ()))
        assert named - before == (ended == "completed")
        assert told.get(PLAN) == told.get(HOME)
        before = named


@pytest.mark.requirement("NY-20")
async def test_at_every_ledger_position_there_is_at_most_one_lead(here: httpx.AsyncClient) -> None:
    for number in range(ROUNDS):
        task = await proposed(here, lead=(HAL, PAT)[number % 2])
        assert [200, 409] == await at_once(respond(here, task), respond(here, task))
    head = (await here.get("http://127.0.0.1/health")).json()["position"]
    seen = []
    for at in range(1, head + 1):
        response = await here.get(f"{MEMBER}/$lead", params={"at": at})
        if response.status_code != 404:
            assert 200 == response.status_code, response.text
            seen.append([one for one in response.json().get("parameter", ()) if one["name"] == "lead"])
    assert all(len(one) <= 1 for one in seen)
    first = next(index for index, one in enumerate(seen) if one)
    assert all(seen[first:])  # once designated there is one
