"""Leads and plans at random, at four server processes on one store, one of them killed and started again.

Afterwards the whole history is read and judged, position by position, by a checker that knows nothing of the server's
own judgement: one proposal of a kind waits at a time, the CareTeams of both say the same of who leads, never two at an
instant, and who once had a lead has one at every later position; one plan is active, and both had their say.

CAREPLAN_TEST_SECONDS says how long (15 by default).
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from datetime import datetime
from itertools import combinations
from random import Random
from typing import Any

import httpx
import pytest

from server.app import server_of
from server.settings import Settings
from tests.coordination.memory import coding, patient
from tests.scenarios.new_york import (
    HAL,
    HOME,
    PAT,
    PLAN,
    acting,
    asa,
    enrolled,
    form,
    manager,
    need,
    organization,
    shipped,
)
from tests.scenarios.test_new_york_acceptance import proposal
from tests.scenarios.test_new_york_plan import shared
from tests.scenarios.test_transfer_races import (
    ACTORS,
    EXPECTED,
    SECONDS,
    Json,
    Race,
    Span,
    at,
    history,
    kill_one,
    parameters,
    put,
    race,
    reference_of,
)

__all__ = ("race",)  # the fixture

MEMBERS = [f"Patient/m{number}" for number in range(3)]
PARTIES = {PLAN: PAT, HOME: HAL}
REASON = {"text": "Not now"}


async def ask(race: Race, random: Random, actor: str, method: str, url: str, json: Json | None = None) -> Any:
    """One request of somebody at one of the servers; None where it was killed meanwhile, or refuses."""
    try:
        answer = await random.choice(race.clients).request(method, url, json=json, headers=acting(actor))
    except (httpx.TransportError, RuntimeError):  # RuntimeError: the client was closed, for its server is gone
        race.answers["lost"] += 1
        return None
    race.answers[f"{method} {url.rpartition('$')[2].partition('/')[0]} {answer.status_code}"] += 1
    if answer.status_code not in EXPECTED:
        race.wrong.append(f"{method} {url}: {answer.status_code} {answer.text[:300]}")
    return answer.json() if answer.is_success else None


async def propose(race: Race, random: Random) -> None:
    """A lead: now, or from some day on."""
    member, lead = random.choice(MEMBERS), random.choice([PAT, HAL])
    asked = parameters(
        {"name": "lead", "valueReference": {"reference": lead}},
        {"name": "primaryNeed", need()[0]: need()[1]},
        {"name": "form", "resource": form(lead, member=member)},
    )
    await ask(race, random, random.choice([*PARTIES]), "POST", f"{member}/$propose-lead", asked)


async def propose_plan(race: Race, random: Random) -> None:
    """A draft that replaces what is active, and the Task that proposes it."""
    member, actor = random.choice(MEMBERS), random.choice([*PARTIES])
    found = await ask(race, random, "", "GET", f"CarePlan?patient={member}&status=active")
    links = [{"reference": reference_of(one["resource"])} for one in (found or {}).get("entry", ())]
    id = f"p{random.getrandbits(48):x}"
    more = {"subject": {"reference": member}, "description": id, **({"replaces": links} if links else {})}
    if await ask(race, random, actor, "PUT", f"CarePlan/{id}", shared(id, status="draft") | more):
        task = proposal(f"CarePlan/{id}") | {"for": {"reference": member}}
        await ask(race, random, actor, "POST", "Task", task)


async def answer(race: Race, random: Random) -> None:
    """One of the proposals that wait is accepted, declined, withdrawn or countered, by whoever it may be."""
    found = await ask(race, random, "", "GET", "Task?status=requested&_count=20")
    tasks = [one["resource"] for one in (found or {}).get("entry", ())]
    if not tasks:
        return
    task = random.choice(tasks)
    response = random.choice(["accept"] * 3 + ["withdraw", "decline", "counter"])
    whose = task["requester" if response == "withdraw" else "owner"]["reference"]
    asked = parameters({"name": "response", "valueCode": response}, *_beside(task, response, random))
    actor = whose if random.random() < 0.9 else random.choice([*PARTIES])
    await ask(race, random, actor, "POST", f"Task/{task['id']}/$respond", asked)


def _beside(task: Json, response: str, random: Random) -> list[Json]:
    if response == "decline":
        return [{"name": "reason", "valueCodeableConcept": REASON}]
    if response != "counter":
        return []
    if kind_of(task) == "plan-acceptance":
        return [{"name": "plan", "valueReference": task["focus"]}]
    lead = random.choice([PAT, HAL])
    filled = form(lead, member=task["for"]["reference"])
    return [{"name": "lead", "valueReference": {"reference": lead}}, {"name": "form", "resource": filled}]


async def alone(race: Race, random: Random) -> None:
    """What nobody may: another plan made active, or a lead written into a CareTeam."""
    member, actor = random.choice(MEMBERS), random.choice([*PARTIES])
    id = f"a{random.getrandbits(48):x}"
    plan = shared(id) | {"subject": {"reference": member}}
    if await ask(race, random, actor, "PUT", f"CarePlan/{id}", plan):
        race.wrong.append(f"{actor} made CarePlan/{id} active alone")
    team = {
        "resourceType": "CareTeam",
        "status": "active",
        "subject": {"reference": member},
        "participant": [{"role": [coding("cm-role", "lead-care-manager")], "member": {"reference": HAL}}],
    }
    if await ask(race, random, actor, "POST", "CareTeam", team):
        race.wrong.append(f"{actor} named a lead alone")


ACTS = [propose] * 3 + [propose_plan] * 2 + [answer] * 6 + [alone]


async def act(race: Race, random: Random, until: float) -> None:
    loop = asyncio.get_running_loop()
    while loop.time() < until:
        await random.choice(ACTS)(race, random)


async def prepare(race: Race) -> None:
    people = [one for party, who in PARTIES.items() for one in (organization(party), *manager(who, party))]
    members = [
        one
        for member in MEMBERS
        for one in (
            patient(member.partition("/")[2]),
            enrolled(member, "ny-map", PLAN),
            enrolled(member, "ny-health-home", HOME),
        )
    ]
    for bundle in (put(shipped("ny-map")), put(*people, asa()), put(*members)):
        response = await race.clients[0].post("", json=bundle)
        assert response.is_success, response.text


@pytest.mark.requirement("NY-11", "NY-14", "NY-20")
async def test_leads_and_plans_at_random_never_break_what_must_hold(race: Race) -> None:
    await prepare(race)
    until = asyncio.get_running_loop().time() + SECONDS
    await asyncio.gather(kill_one(race, SECONDS / 2), *(act(race, Random(seed), until) for seed in range(ACTORS)))
    assert [] == race.wrong
    commits = await history(race.clients[-1])
    for client in race.clients:
        await client.aclose()
    checker = Checker()
    for position in sorted(commits):
        checker.apply(position, commits[position])
    print(f"{len(commits)} commits, {dict(checker.done)}, {dict(sorted(race.answers.items()))}")
    assert [] == checker.wrong
    assert checker.done["lead-designation"] > 0 < checker.done["plan-acceptance"]
    verified = server_of(Settings(store=race.store)).repository.store.verify()
    assert [] == [finding async for finding in verified]


# The checker


def kind_of(task: Json) -> str:
    return str(task["code"]["coding"][0]["code"])


class Checker:
    """Replays commits in their order; `wrong` tells what never may be."""

    def __init__(self) -> None:
        self.now: dict[str, Json] = {}
        self.led: set[str] = set()  # members who once had a lead
        self.wrong: list[str] = []
        self.done: Counter[str] = Counter()

    def apply(self, position: int, written: list[Json]) -> None:
        written = [one for one in written if one["resourceType"] in {"CarePlan", "CareTeam", "Task"}]
        if not written:
            return
        for task in (one for one in written if one["resourceType"] == "Task"):
            self.task(position, self.now.get(reference_of(task)), task)
        activated = [one for one in written if one["resourceType"] == "CarePlan" and self.is_activated(one)]
        self.now |= {reference_of(one): one for one in written}
        accepted = {one["focus"]["reference"] for one in written if one["resourceType"] == "Task" and "focus" in one}
        for plan in activated:
            if reference_of(plan) not in accepted:
                self.wrong.append(f"{position}: {reference_of(plan)} is active, and nobody accepted it")
        moment = at(written[0]["meta"]["lastUpdated"])
        for member in MEMBERS:
            self.waiting(position, member)
            self.leads(position, member, moment)

    def is_activated(self, plan: Json) -> bool:
        was = self.now.get(reference_of(plan), {})
        return bool(plan["status"] == "active" and was.get("status") != "active")

    def task(self, position: int, was: Json | None, task: Json) -> None:
        before = was["status"] if was else None
        if before not in {None, "requested"} and before != task["status"]:
            self.wrong.append(f"{position}: {reference_of(task)} goes from {before} to {task['status']}")
        if task["status"] == "completed" != before:
            self.done[kind_of(task)] += 1

    def of(self, type: str, member: str) -> list[Json]:
        about = "for" if type == "Task" else "subject"
        return [one for one in self.now.values() if one["resourceType"] == type and one[about]["reference"] == member]

    def waiting(self, position: int, member: str) -> None:
        """One proposal of a kind, and one active plan."""
        waiting = Counter(kind_of(one) for one in self.of("Task", member) if one["status"] == "requested")
        active = [one["id"] for one in self.of("CarePlan", member) if one["status"] == "active"]
        if len(active) > 1 or any(number > 1 for number in waiting.values()):
            self.wrong.append(f"{position}: {member} has {dict(waiting)} waiting and {active} active")

    def leads(self, position: int, member: str, moment: datetime) -> None:
        """Both teams say the same; never two at once; one from the first on."""
        said: dict[str, list[tuple[str, datetime, datetime]]] = defaultdict(list)
        for team in self.of("CareTeam", member):
            told = [Span(one) for one in team.get("participant", ())]
            said[team["managingOrganization"][0]["reference"]] += [(one.manager, one.start, one.end) for one in told]
        if said[PLAN] != said[HOME]:
            self.wrong.append(f"{position}: {member}'s teams differ: {dict(said)}")
        spans = [one for one in said[PLAN] if one[1] < one[2]]
        if any(one[1] < other[2] and other[1] < one[2] for one, other in combinations(spans, 2)):
            self.wrong.append(f"{position}: {member} has two leads: {spans}")
        holding = [one for one in spans if one[1] <= moment < one[2]]
        if holding:
            self.led.add(member)
        elif member in self.led:
            self.wrong.append(f"{position}: {member} has a lead no more: {spans}")
