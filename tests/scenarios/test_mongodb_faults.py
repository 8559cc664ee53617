"""Servers on one MongoDB while servers are killed or held, and while the database itself is killed.

Clients assign members to managers who have one place left, create on condition, update the version that they have read,
and send transactions again under their key until they are answered. Afterwards the history is read and judged, position
by position: no cap was ever passed, what was answered is there, nothing is there twice, and every update was built on
the version that it named.

CAREPLAN_TEST_SECONDS says how long each takes (15 by default): docs/stores.md.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from server.app.partition import opened, server_of
from server.auth.access import SYSTEM
from server.fhir.body import loads
from server.ledger import Cursor
from server.settings import Settings
from tests.answers import refusal
from tests.coordination.memory import (
    IA_HCBS,
    assigned,
    episode,
    limited,
    organization,
    patient,
    practitioner,
    role,
    team,
)
from tests.mongodb import NAMED, mongodb, running
from tests.process import base_of, free_port, killed
from tests.scenarios.checker import CAP, Checker, client_of, parameters, put, reference_of

Json = dict[str, Any]

SECONDS = float(os.environ.get("CAREPLAN_TEST_SECONDS", "15"))
ACTORS = 8
PAUSE = 0.25  # seconds at most between two requests of an actor
PATIENCE = 90.0  # seconds in which whatever is asked is answered
MANAGERS = [f"cm{n}" for n in range(3)]
COUNTERS = [f"counter{n}" for n in range(2)]
EXPECTED = {200, 201, 409, 412, 422}  # a race is won, or lost with a reason
ONCE, TOKEN, BUILT_ON = "urn:once", "urn:token", "urn:built-on"


@dataclass(slots=True)
class Crowd:
    """What the actors share: the servers, what was answered, and what must never be."""

    store: str
    processes: list[subprocess.Popen[str]] = field(default_factory=list)
    clients: list[httpx.AsyncClient] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)  # members without a manager
    held: list[str] = field(default_factory=list)
    number: int = 0  # of the next conditional create
    answered: list[tuple[str, str, str]] = field(default_factory=list)  # reference, version, token
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def has_shown(self) -> bool:
        """Whether there is anything to judge, however slow the machine: a manager who was full, and what was made."""
        full, updated = (self.answers[one] for one in ("POST assign-care-manager 422", "PUT Basic 200"))
        return min(full, updated, self.number) > 0

    async def ask(self, random: Random, method: str, url: str, json: Json | None = None, **headers: str) -> Any:
        """One request at one of the servers; None where that was killed or refuses, and where its database is away."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            answer = await random.choice(self.clients).request(method, url, json=json, headers=named)
        except httpx.TimeoutException:
            self.wrong.append(f"{method} {url} was not answered in {PATIENCE} s")
            return None
        except (httpx.TransportError, RuntimeError):  # RuntimeError: the client was closed, for its server is gone
            self.answers["lost"] += 1
            return None
        self.answers[f"{method} {url.partition('?')[0].rpartition('$')[2].partition('/')[0]} {answer.status_code}"] += 1
        if answer.status_code == 503:
            refusal(answer)
        elif answer.status_code not in EXPECTED:
            self.wrong.append(f"{method} {url}: {answer.status_code} {answer.text[:300]}")
        return answer if answer.is_success else None

    def kept(self, resource: Json, token: str) -> None:
        """What was answered is to be found."""
        self.answered.append((reference_of(resource), resource["meta"]["versionId"], token))


def identified(resource: Json, **values: str) -> Json:
    names = {"once": ONCE, "token": TOKEN, "built_on": BUILT_ON}
    return {**resource, "identifier": [{"system": names[name], "value": value} for name, value in values.items()]}


def identifiers(resource: Json) -> dict[str, str]:
    return {one["system"]: one["value"] for one in resource.get("identifier", ())}


async def enroll(crowd: Crowd, random: Random) -> None:
    """A member comes, in a transaction under a key: sent until it is answered, and at times once more."""
    id = token = uuid.UUID(int=random.getrandbits(128)).hex
    bundle = put(identified(patient(id), token=token), episode(id))
    until = time.monotonic() + PATIENCE
    while (first := await crowd.ask(random, "POST", "", bundle, Idempotency_Key=token)) is None:
        if time.monotonic() > until:
            crowd.wrong.append(f"{token} was not taken in {PATIENCE} s")
            return
        await asyncio.sleep(0.2)
    places = [one["response"]["etag"][3:-1] for one in first.json()["entry"]]
    crowd.answered += [(f"Patient/{id}", places[0], token), (f"EpisodeOfCare/{id}", places[1], "")]
    crowd.waiting.append(id)
    again = await crowd.ask(random, "POST", "", bundle, Idempotency_Key=token) if random.random() < 0.3 else None
    if again is not None and again.json()["entry"] != first.json()["entry"]:
        crowd.wrong.append(f"{token} is answered in two ways")


async def assign(crowd: Crowd, random: Random) -> None:
    if not crowd.waiting:
        await enroll(crowd, random)
        return
    member, manager = random.choice(crowd.waiting), random.choice(MANAGERS)
    asked = parameters(
        {"name": "program", "valueCanonical": IA_HCBS},
        {"name": "manager", "valueReference": {"reference": f"PractitionerRole/{manager}"}},
    )
    if answer := await crowd.ask(random, "POST", f"Patient/{member}/$assign-care-manager", asked):
        crowd.kept(answer.json(), "")
        with suppress(ValueError):  # another actor was first to hear of it
            crowd.waiting.remove(member)
            crowd.held.append(member)


async def leave(crowd: Crowd, random: Random) -> None:
    """There is a place again."""
    if len(crowd.held) < len(MANAGERS) * (CAP - 1):
        return
    member = crowd.held.pop(random.randrange(len(crowd.held)))
    finished = episode(member, end="2026-11-01", status="finished")
    if answer := await crowd.ask(random, "PUT", f"EpisodeOfCare/{member}", finished):
        crowd.kept(answer.json(), "")


async def create_once(crowd: Crowd, random: Random) -> None:
    number, token = str(crowd.number), uuid.UUID(int=random.getrandbits(128)).hex
    made = identified({"resourceType": "Patient"}, once=number, token=token)
    answer = await crowd.ask(random, "POST", "Patient", made, If_None_Exist=f"identifier={ONCE}|{number}")
    if answer is not None:
        crowd.kept(answer.json(), token if answer.status_code == 201 else "")
        crowd.number = max(crowd.number, int(number) + (random.random() < 0.5))


async def update(crowd: Crowd, random: Random) -> None:
    id, token = random.choice(COUNTERS), uuid.UUID(int=random.getrandbits(128)).hex
    if (found := await crowd.ask(random, "GET", f"Basic/{id}")) is None:
        return
    read = found.json()
    changed = identified(read, token=token, built_on=read["meta"]["versionId"])
    if answer := await crowd.ask(random, "PUT", f"Basic/{id}", changed, If_Match=found.headers["etag"]):
        crowd.kept(answer.json(), token)


ACTS: list[Callable[[Crowd, Random], Awaitable[None]]] = [
    *([assign] * 4), *([update] * 4), *([create_once] * 3), enroll, leave, leave
]  # fmt: skip


async def act(crowd: Crowd, random: Random, until: float) -> None:
    while time.monotonic() < until or not crowd.has_shown:
        await random.choice(ACTS)(crowd, random)
        await asyncio.sleep(random.uniform(0, PAUSE))


async def prepare(crowd: Crowd) -> None:
    """Each manager has one place left."""
    phone = [{"system": "phone", "value": "1-515-555-0100"}]
    resources: list[Json] = [organization()]
    for id in MANAGERS:
        resources += [practitioner(id), role(id, telecom=phone)]
    for n in range(len(MANAGERS) * (CAP - 1)):
        id = f"m{n}"
        resources += [patient(id), episode(id), team(id, assigned(f"PractitionerRole/{MANAGERS[n % len(MANAGERS)]}"))]
        crowd.held.append(id)
    resources += [{"resourceType": "Basic", "id": id, "code": {"text": "counter"}} for id in COUNTERS]
    for bundle in (put(limited(CAP)), put(*resources)):
        answer = await crowd.clients[0].post("", json=bundle)
        assert answer.is_success, answer.text


# Afterwards


async def judged(crowd: Crowd) -> Checker:
    """The history, replayed; and the store, verified. The servers are gone."""
    commits = await history(crowd.store)
    versions = [(position, one) for position in sorted(commits) for one in commits[position]]
    checker = Checker()
    for position in sorted(commits):
        checker.apply(position, commits[position])
    crowd.wrong += checker.wrong
    there = {(reference_of(one), one["meta"]["versionId"]): identifiers(one).get(TOKEN, "") for _, one in versions}
    crowd.wrong += [
        f"{reference}/_history/{version} was answered and is not there"
        for reference, version, token in crowd.answered
        if (reference, version) not in there or (token and token != there[reference, version])
    ]
    for system in (TOKEN, ONCE):
        times = Counter(value for _, one in versions if (value := identifiers(one).get(system)))
        crowd.wrong += [f"{system} {value} is there {count} times" for value, count in times.items() if count > 1]
    crowd.wrong += built_on_another(versions)
    verified = server_of(quiet(crowd.store)).repository.store.verify()
    crowd.wrong += [str(finding) async for finding in verified]
    told = {name: crowd.answers[name] for name in sorted(crowd.answers)}
    print(f"{len(commits)} commits, fullest {checker.fullest}, {told}")
    return checker


async def history(store: str) -> dict[int, list[Json]]:
    """Every version of every resource, by position, as the ledger has them."""
    commits: dict[int, list[Json]] = defaultdict(list)
    async with opened(quiet(store)) as server:
        after = Cursor(0, 0)
        while found := await server.repository.changes(SYSTEM, after, 500):
            for version in found:
                commits[version.position].append(loads(version.body or b"{}"))
            after = Cursor(found[-1].position, found[-1].ordinal)
        assert list(range(1, await server.repository.head(SYSTEM) + 1)) == sorted(commits)
    return commits


def quiet(store: str) -> Settings:
    """The tests' database looks through all that it has at each question, which takes its time."""
    return Settings(store=store, search_timeout=PATIENCE)


def built_on_another(versions: list[tuple[int, Json]]) -> list[str]:
    """Updates whose resource stood in another version than they named, and versions and instants out of order."""
    wrong, last, instant = [], dict[str, str](), ""
    for position, one in versions:
        reference, built_on = reference_of(one), identifiers(one).get(BUILT_ON)
        if built_on is not None and built_on != last.get(reference):
            wrong.append(f"{position}: {reference} was built on {built_on}, and {last.get(reference)} stood")
        if one["meta"]["versionId"] != str(position) or one["meta"]["lastUpdated"] < instant:
            wrong.append(f"{position}: {reference} is out of order: {one['meta']}")
        last[reference], instant = one["meta"]["versionId"], one["meta"]["lastUpdated"]
    return wrong


# Servers that are killed, or held


def bare(store: str) -> subprocess.Popen[str]:
    """A server whose store has only what the test puts there: the more there is, the longer each question takes."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CAREPLAN_")}
    environment |= {"CAREPLAN_STORE": store, "CAREPLAN_OVERSIGHT_INTERVAL": "0", "CAREPLAN_LOG_LEVEL": "warning"}
    port = free_port()
    told = f"print('http://127.0.0.1:{port}/fhir', flush=True)"
    serve = (
        f"import uvicorn; {told}; uvicorn.run('server.app:create_app', factory=True, port={port}, loop='uvloop', "
        "lifespan='on', http='server.protocol:BoundedProtocol', ws='none', log_config=None, access_log=False)"
    )
    command = [sys.executable, "-c", serve]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, process_group=0)


@asynccontextmanager
async def serving(store: str, count: int) -> AsyncIterator[Crowd]:
    """Servers on one store, with managers and members."""
    crowd = Crowd(store)
    try:
        for number in (1, count - 1):  # the first makes the store; all at once would wait for one another
            started = [bare(store) for _ in range(number)]
            crowd.processes += started
            crowd.clients += [client_of(await asyncio.to_thread(base_of, process)) for process in started]
        await prepare(crowd)
        yield crowd
    finally:
        for client in crowd.clients:
            await client.aclose()
        for process in crowd.processes:
            if process.returncode is None:
                killed(process)


async def harm(crowd: Crowd, random: Random, until: float) -> None:
    """Kill servers as a power switch would, and start others in their place; hold some, until their turn has lapsed."""
    while time.monotonic() < until - 5 or not crowd.answers["killed"]:
        await asyncio.sleep(random.uniform(0.5, 2.5))
        place = random.randrange(len(crowd.processes))
        process = crowd.processes[place]
        if random.random() < 0.3:
            os.kill(process.pid, signal.SIGSTOP)
            await asyncio.sleep(random.uniform(2.5, 4))
            os.kill(process.pid, signal.SIGCONT)
            crowd.answers["held"] += 1
            continue
        await asyncio.to_thread(killed, process)
        crowd.answers["killed"] += 1
        crowd.processes[place] = bare(crowd.store)
        base = await asyncio.to_thread(base_of, crowd.processes[place])
        former, crowd.clients[place] = crowd.clients[place], client_of(base)
        await former.aclose()


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with mongodb() as uri:
        yield uri


async def test_killed_and_held_servers_break_no_cap_and_lose_and_double_nothing(uri: str) -> None:
    async with serving(f"{uri.rstrip('/')}/careplan-test-{uuid.uuid4().hex[:12]}", 4) as crowd:
        until = time.monotonic() + SECONDS
        await asyncio.gather(harm(crowd, Random(7), until), *(act(crowd, Random(n), until) for n in range(ACTORS)))
    checker = await judged(crowd)
    assert [] == crowd.wrong
    assert CAP == checker.fullest
    assert crowd.answers["killed"] > 0


# The database, killed


async def outage(crowd: Crowd, random: Random, database: ExitStack, again: Callable[[], object]) -> None:
    """Kill the database in mid-write. Until it is back the servers say so, and then they go on by themselves."""
    await asyncio.to_thread(database.close)
    crowd.answers["outages"] += 1
    since = time.monotonic()
    asked = [("GET", "Basic/counter0"), ("GET", "Patient?identifier=x"), ("POST", "Patient")]
    client = crowd.clients[0]
    read, searched, written, health = await asyncio.gather(
        *(client.request(method, url, json=patient("x") if method == "POST" else None) for method, url in asked),
        client.get(str(client.base_url).replace("/fhir/", "/health")),
    )
    assert (503, ["transient"]) == refusal(read) == refusal(searched) == refusal(written)
    assert (503, False, True) == (health.status_code, health.json()["ready"], health.json()["live"])
    assert 200 == (await client.get(str(client.base_url).replace("/fhir/", "/health/live"))).status_code
    metrics = await client.get(str(client.base_url).replace("/fhir/", "/metrics"))
    assert 200 == metrics.status_code, metrics.text
    await asyncio.sleep(max(0.0, random.uniform(1, 8) - (time.monotonic() - since)))
    await asyncio.to_thread(again)
    for client in crowd.clients:
        await ready(client)


async def ready(client: httpx.AsyncClient) -> None:
    until = time.monotonic() + PATIENCE
    while (health := await client.get(str(client.base_url).replace("/fhir/", "/health"))).status_code != 200:
        assert time.monotonic() < until, health.text
        await asyncio.sleep(0.2)


@pytest.mark.skipif(NAMED in os.environ, reason="a database of somebody's own is not killed")
async def test_killed_database_is_told_and_loses_and_doubles_nothing(tmp_path: Path) -> None:
    state = tmp_path / "state"
    state.mkdir()
    listen = f"127.0.0.1:{free_port()}"
    with ExitStack() as database:

        def again() -> None:
            database.enter_context(running(str(state), listen))

        again()
        async with serving(f"mongodb://{listen}/careplan", 2) as crowd:
            until = time.monotonic() + SECONDS
            acting = asyncio.gather(*(act(crowd, Random(n), until) for n in range(ACTORS)))
            random = Random(11)
            while time.monotonic() < until - SECONDS / 3 or not crowd.answers["outages"]:
                await asyncio.sleep(random.uniform(1.5, 4))
                await outage(crowd, random, database, again)
            await acting
        checker = await judged(crowd)
    assert [] == crowd.wrong
    assert CAP >= checker.fullest
