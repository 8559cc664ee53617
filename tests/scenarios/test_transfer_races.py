"""Transfers and assignments at random, at four server processes on one store, one of them killed and started again.

Afterwards the whole history is read and judged, position by position, by a checker that knows nothing of the server's
own counting: no manager ever holds and is promised more members than the cap, a transfer goes through legal states
only, and who was transferred had one manager at every instant.

CAREPLAN_TEST_SECONDS says how long (15 by default).
"""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from server.app.partition import server_of
from server.settings import Settings
from tests.coordination.memory import (
    IA_HCBS,
    assigned,
    coding,
    episode,
    limited,
    organization,
    patient,
    practitioner,
    role,
    team,
)
from tests.process import STARTED, base_of, killed, start
from tests.scenarios.checker import (
    CAP,
    OPEN,
    Checker,
    client_of,
    code_of,
    given_of,
    parameters,
    put,
    reference_of,
)

Json = dict[str, Any]

SECONDS = float(os.environ.get("CAREPLAN_TEST_SECONDS", "15"))
PROCESSES = 4
ACTORS = 8
MANAGERS = [f"cm{n}" for n in range(6)]
HELD, WAITING = 20, 6  # members; the managers have 30 places
EXPECTED = {200, 201, 409, 412, 422}  # a race is won, or lost with a reason


# The race


@dataclass(slots=True)
class Race:
    """What the actors share: the servers, and what they have seen."""

    store: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    clients: list[httpx.AsyncClient] = field(default_factory=list)
    members: list[str] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    transfers: set[str] = field(default_factory=set)  # Tasks
    completed: int = 0  # transfers that an actor came upon
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def has_shown(self) -> bool:
        """Whether there is anything to judge, however slow the machine: a transfer, and a manager who was full."""
        return self.completed > 0 and self.answers["assign-care-manager 422"] > 0

    async def ask(self, random: Random, method: str, url: str, json: Json | None = None, match: str = "") -> Any:
        """One request at one of the servers; None where it was killed meanwhile, or refuses."""
        headers = {"If-Match": f'W/"{match}"'} if match else {}
        try:
            answer = await random.choice(self.clients).request(method, url, json=json, headers=headers)
        except (httpx.TransportError, RuntimeError):  # RuntimeError: the client was closed, for its server is gone
            self.answers["lost"] += 1
            return None
        what = url.rpartition("$")[2] if "$" in url else f"{method} {url.partition('/')[0].partition('?')[0]}".strip()
        self.answers[f"{what} {answer.status_code}"] += 1
        if answer.status_code not in EXPECTED:
            self.wrong.append(f"{method} {url}: {answer.status_code} {answer.text[:300]}")
        return answer.json() if answer.is_success else None


async def handoff(race: Race, random: Random) -> None:
    member, to = random.choice(race.members), random.choice(MANAGERS)
    asked = parameters(
        {"name": "program", "valueCanonical": IA_HCBS},
        {"name": "to", "valueReference": {"reference": f"PractitionerRole/{to}"}},
        {"name": "reason", "valueCodeableConcept": coding("ia-transfer-reason", "ratio-realignment")},
    )
    if opened := await race.ask(random, "POST", f"Patient/{member}/$handoff", asked):
        race.transfers.add(opened["id"])


async def advance(race: Race, random: Random) -> None:
    """The next step of some transfer with its evidence; at times another one, or without."""
    if not race.transfers:
        return
    id = random.choice(sorted(race.transfers))
    found = await race.ask(random, "GET", f"Task?_id={id}&_revinclude=Task:part-of")
    if not found:
        return
    parent, *parts = [one["resource"] for one in found["entry"]]
    steps = {code_of(one): one for one in parts}
    due = [code for code in sorted(steps) if steps[code]["status"] in OPEN]
    if not due:
        race.transfers.discard(id)
        race.completed += parent["status"] == "completed"
        return
    code = due[0] if random.random() < 0.9 else random.choice(sorted(steps))
    shown = await evidence(race, random, parent, code) if random.random() < 0.9 else []
    await race.ask(random, "POST", f"Task/{steps[code]['id']}/$advance", parameters(*shown))


async def evidence(race: Race, random: Random, parent: Json, code: str) -> list[Json]:
    """What a step of Iowa's takes, as parameters of $advance; the server makes the letter and the notices."""
    sender, receiver, member = given_of(parent)["from"], parent["owner"]["reference"], parent["for"]["reference"]
    if code == "2":
        weighed = coding("ia-reassign-consideration", "cm-location")
        return [{"name": "consideration", "valueCodeableConcept": weighed}]
    if code == "3":
        made = [told(member, None, sender, receiver), told(member, sender, receiver, medium="PHONE")]
    elif code == "4":
        made = [told(member, sender, receiver, member, medium="PHONE")]
    else:
        return []
    stored = [await race.ask(random, "POST", one["resourceType"], one) for one in made]
    found: list[Json] = [
        {"name": "evidence", "valueReference": {"reference": reference_of(one)}} for one in stored if one
    ]
    return found + ([{"name": "mode", "valueCode": "phone-both"}] if code == "4" else [])


def told(member: str, sender: str | None, *recipients: str, medium: str | None = None) -> Json:
    mode = {"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode", "code": medium}
    return {
        "resourceType": "Communication",
        "status": "completed",
        "subject": {"reference": member},
        "recipient": [{"reference": one} for one in recipients],
        **({"sender": {"reference": sender}} if sender else {}),
        **({"medium": [{"coding": [mode]}]} if medium else {}),
    }


async def give_up(race: Race, random: Random) -> None:
    if race.transfers:
        id = random.choice(sorted(race.transfers))
        asked = parameters({"name": "outcome", "valueCode": random.choice(["cancelled", "rejected"])})
        await race.ask(random, "POST", f"Task/{id}/$advance", asked)
        race.transfers.discard(id)


async def assign(race: Race, random: Random) -> None:
    if not race.waiting:
        return
    member, manager = random.choice(race.waiting), random.choice(MANAGERS)
    asked = parameters(
        {"name": "program", "valueCanonical": IA_HCBS},
        {"name": "manager", "valueReference": {"reference": f"PractitionerRole/{manager}"}},
    )
    if await race.ask(random, "POST", f"Patient/{member}/$assign-care-manager", asked):
        with suppress(ValueError):  # another actor was first to hear of it
            race.waiting.remove(member)
            race.members.append(member)


async def beside(race: Race, random: Random) -> None:
    """Another case manager by a plain update, which is refused while a transfer is open."""
    member = random.choice(race.members)
    found = await race.ask(random, "GET", f"CareTeam?subject=Patient/{member}")
    if not found or "entry" not in found:
        return
    team = found["entry"][0]["resource"]
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    *past, present = team["participant"]
    closed = {**present, "period": {**present["period"], "end": now}}
    following = assigned(f"PractitionerRole/{random.choice(MANAGERS)}", now)
    changed = team | {"participant": [*past, closed, following]}
    await race.ask(random, "PUT", f"CareTeam/{team['id']}", changed, team["meta"]["versionId"])


async def come_and_go(race: Race, random: Random) -> None:
    """One member leaves the program, another enrols: there is always somebody to assign."""
    if len(race.waiting) > WAITING or len(race.members) < HELD:
        return
    gone = race.members.pop(random.randrange(len(race.members)))
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    await race.ask(random, "PUT", f"EpisodeOfCare/{gone}", episode(gone, end=now, status="finished"))
    id = f"n{random.getrandbits(48):x}"
    if await race.ask(random, "POST", "", put(*member(id))):
        race.waiting.append(id)


ACTS = [handoff] * 4 + [advance] * 12 + [give_up, beside] + [assign] * 2 + [come_and_go]


async def act(race: Race, random: Random, until: float) -> None:
    loop = asyncio.get_running_loop()
    while loop.time() < until or not race.has_shown:
        await random.choice(ACTS)(race, random)


async def kill_one(race: Race, after: float) -> None:
    """End one of the processes as a power switch would, and start another on its store."""
    await asyncio.sleep(after)
    await asyncio.to_thread(killed, race.processes[0])
    race.processes[0] = start(store=race.store)
    base = await asyncio.to_thread(base_of, race.processes[0])
    former, race.clients[0] = race.clients[0], client_of(base)
    await former.aclose()


def member(id: str) -> list[Json]:
    return [patient(id, name=[{"text": f"Member {id}"}]), episode(id)]


@pytest.fixture
def race(tmp_path: Path) -> Iterator[Race]:
    """Four servers on one store."""
    made = Race(f"sqlite:///{tmp_path}/careplan.db")
    try:
        for _ in range(PROCESSES):
            made.processes.append(start(store=made.store))
        made.clients = [client_of(base_of(process)) for process in made.processes]
        yield made
    finally:
        for process in made.processes:
            process.terminate()
        for process in made.processes:
            process.wait(STARTED)
            assert process.stdout is not None
            process.stdout.close()


async def prepare(race: Race) -> None:
    """Members with a manager each, and some who wait for one."""
    phone = [{"system": "phone", "value": "1-515-555-0100"}]
    resources: list[Json] = [organization()]
    for id in MANAGERS:
        resources += [practitioner(id), role(id, telecom=phone)]
    for n in range(HELD + WAITING):
        id = f"m{n}"
        resources += member(id)
        if n < HELD:
            resources.append(team(id, assigned(f"PractitionerRole/{MANAGERS[n % len(MANAGERS)]}")))
        (race.members if n < HELD else race.waiting).append(id)
    for bundle in (put(limited(CAP)), put(*resources)):
        answer = await race.clients[0].post("", json=bundle)
        assert answer.is_success, answer.text


@pytest.mark.requirement("IA-04", "IA-07", "IA-27")
async def test_transfers_and_assignments_at_random_never_break_what_must_hold(race: Race) -> None:
    await prepare(race)
    until = asyncio.get_running_loop().time() + SECONDS
    await asyncio.gather(kill_one(race, SECONDS / 2), *(act(race, Random(seed), until) for seed in range(ACTORS)))
    assert [] == race.wrong
    commits = await history(race.clients[-1])
    waiting = await unassigned(race.clients[-1])
    for client in race.clients:
        await client.aclose()
    checker = Checker()
    for position in sorted(commits):
        checker.apply(position, commits[position])
    checker.finish()
    print(f"{len(commits)} commits, {checker.completed} transfers completed, {dict(sorted(race.answers.items()))}")
    assert [] == checker.wrong
    assert (True, CAP) == (checker.completed > 0, checker.fullest)
    assert checker.waiting() == waiting
    verified = server_of(Settings(store=race.store)).repository.store.verify()
    assert [] == [finding async for finding in verified]


# Afterwards


async def history(client: httpx.AsyncClient) -> dict[int, list[Json]]:
    """Every version of every resource, by position."""
    commits: dict[int, list[Json]] = defaultdict(list)
    url: str | None = "_history?_count=1000"
    while url:
        page = (await client.get(url)).raise_for_status().json()
        for one in page["entry"]:
            commits[int(one["response"]["etag"][3:-1])].append(one["resource"])
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    assert set(range(1, max(commits) + 1)) == set(commits)
    return commits


async def unassigned(client: httpx.AsyncClient) -> set[str]:
    """The members whom the server lists as without a manager."""
    asked = {"program": IA_HCBS, "why": "no-manager"}
    found = (await client.get("Organization/mco/$unassigned", params=asked)).raise_for_status().json()
    return {reference_of(one["resource"]) for one in found.get("entry", ()) if one["search"]["mode"] == "match"}
