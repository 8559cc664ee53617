"""Many clients at once, over HTTP, at several processes on one store: one wins, none is lost, history is one order.

What other servers got wrong: HAPI 3141, Microsoft 1382, LinuxForHealth 2051 (conditional create made two), HAPI 8183
(conditional updates in transactions dropped), HAPI 5288 (a conflict corrupted history), HAPI 6900 (a resource that was
deleted could not be put again), Microsoft 5592 (a conflict surfaced as 500), HAPI 4190 and 5454 (pages and totals).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count, cycle, pairwise
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest

from server.app.partition import server_of
from server.ledger import Resource
from server.settings import Settings
from server.store.engine import Finding
from tests.answers import entry, ids, refusal, transaction
from tests.coordination.memory import (
    IA_HCBS,
    assigned,
    episode,
    organization,
    patient,
    practitioner,
    role,
    team,
)
from tests.process import serving, worker_of

WORKERS = 3
CLIENTS = 8
ROUNDS = 5
CAP = 50

JSON_PATCH = {"Content-Type": "application/json-patch+json"}

Clients = list[httpx.AsyncClient]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One server for all races. After them its history is one order, and its store whole."""
    store = f"sqlite:///{tmp_path_factory.mktemp('races')}/careplan.db"
    with (
        serving(store=store, workers=WORKERS, oversight_interval=0) as base,
        httpx.Client(base_url=f"{base}/", timeout=60) as client,
    ):
        client.put("Organization/mco", json=organization()).raise_for_status()
        yield base
        check_history(client)
    assert [] == asyncio.run(findings(store))


async def findings(store: str) -> list[Finding]:
    return [finding async for finding in server_of(Settings(store=store)).repository.store.verify()]


def check_history(client: httpx.Client) -> None:
    """No commit is missing and none is there twice; no resource has a version twice; time never falls."""
    seen: list[tuple[int, str]] = []
    moments: list[str] = []
    url: str | None = "_history?_count=1000"
    while url:
        page = client.get(url).raise_for_status().json()
        for each in page["entry"]:
            place = each["fullUrl"].removeprefix(str(client.base_url))
            seen.append((position(each["response"]["etag"]), place))
            moments.append(each["response"]["lastModified"])
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
    assert page["total"] == len(seen) == len(set(seen))
    positions = [position for position, _ in seen]
    assert sorted(positions, reverse=True) == positions
    assert set(range(1, positions[0] + 1)) == set(positions)
    assert sorted(moments, reverse=True) == moments


def position(etag: str) -> int:
    return int(etag.removeprefix('W/"').removesuffix('"'))


@pytest.fixture
async def clients(base: str) -> AsyncIterator[Clients]:
    """Clients of one connection each, spread over all the workers."""
    async with AsyncExitStack() as stack:
        found: Clients = []
        serves: list[int] = []
        for _ in range(100 * CLIENTS):
            client = httpx.AsyncClient(base_url=f"{base}/", limits=httpx.Limits(max_connections=1), timeout=60)
            await stack.enter_async_context(client)
            worker = await worker_of(client)
            if serves.count(worker) < -(-CLIENTS // WORKERS):
                found.append(client)
                serves.append(worker)
            if len(found) == CLIENTS:
                break
        assert (CLIENTS, WORKERS) == (len(found), len(set(serves)))
        yield found


async def head(client: httpx.AsyncClient) -> int:
    while "position" not in (health := (await client.get(f"{client.base_url}".replace("/fhir/", "/health"))).json()):
        pass  # a store that is slow is not waited for there
    found: int = health["position"]
    return found


async def stored(client: httpx.AsyncClient, *resources: Resource) -> None:
    entries = [entry("PUT", f"{each['resourceType']}/{each['id']}", each) for each in resources]
    answer = await client.post("", json=transaction(*entries))
    assert answer.is_success, answer.text


# The cap


def without(name: str, resource: Resource) -> Resource:
    return {member: value for member, value in resource.items() if member != name}


async def by_put(client: httpx.AsyncClient, member: str, manager: str) -> httpx.Response:
    return await client.put(f"CareTeam/{member}", json=team(member, assigned(manager)))


async def by_post(client: httpx.AsyncClient, member: str, manager: str) -> httpx.Response:
    return await client.post("CareTeam", json=without("id", team(member, assigned(manager))))


async def by_transaction(client: httpx.AsyncClient, member: str, manager: str) -> httpx.Response:
    made = entry("PUT", f"CareTeam/{member}", team(member, assigned(manager)))
    beside = entry("POST", "Basic", {"resourceType": "Basic", "code": {"text": member}})
    return await client.post("", json=transaction(beside, made))


async def by_conditional_update(client: httpx.AsyncClient, member: str, manager: str) -> httpx.Response:
    condition = {"subject": f"Patient/{member}"}
    return await client.put("CareTeam", params=condition, json=without("id", team(member, assigned(manager))))


async def by_patch(client: httpx.AsyncClient, member: str, manager: str) -> httpx.Response:
    """The team is there, and has nobody."""
    operations = [{"op": "add", "path": "/participant", "value": team(member, assigned(manager))["participant"]}]
    return await client.patch(f"CareTeam/{member}", content=json.dumps(operations), headers=JSON_PATCH)


async def by_operation(client: httpx.AsyncClient, member: str, manager: str) -> httpx.Response:
    asked = [
        {"name": "program", "valueCanonical": IA_HCBS},
        {"name": "manager", "valueReference": {"reference": manager}},
    ]
    return await client.post(
        f"Patient/{member}/$assign-care-manager", json={"resourceType": "Parameters", "parameter": asked}
    )


async def by_episode(client: httpx.AsyncClient, member: str, manager: str) -> httpx.Response:
    """The assignment is there already; that the member is enrolled makes it count."""
    return await client.put(f"EpisodeOfCare/{member}", json=episode(member))


Door = Callable[[httpx.AsyncClient, str, str], Awaitable[httpx.Response]]
DOORS: dict[str, list[Door]] = {
    "put": [by_put],
    "post": [by_post],
    "transaction": [by_transaction],
    "conditional": [by_conditional_update],
    "patch": [by_patch],
    "operation": [by_operation],
    "episode": [by_episode],
    "any": [by_put, by_post, by_transaction, by_conditional_update, by_patch, by_operation, by_episode],
}


def before(door: Door, member: str, manager: str) -> list[Resource]:
    """A member who is one write away from the manager."""
    if door is by_episode:
        return [patient(member), team(member, assigned(manager))]
    return [patient(member), episode(member), without("participant", team(member))][: 2 if door is by_post else 3]


@pytest.mark.requirement("IA-04")
@pytest.mark.parametrize("name", DOORS)
async def test_of_those_who_want_the_last_place_exactly_one_gets_it(clients: Clients, name: str) -> None:
    doors = [DOORS[name][number % len(DOORS[name])] for number in range(CLIENTS)]
    for round in range(ROUNDS):
        id = f"{name}-{round}"
        manager = f"PractitionerRole/{id}"
        held = [f"{id}-h{number}" for number in range(CAP - 1)]
        wanted = [f"{id}-w{number}" for number in range(CLIENTS)]
        await stored(
            clients[0],
            *(practitioner(id), role(id)),
            *(made for member in held for made in (patient(member), episode(member), team(member, assigned(manager)))),
            *(made for door, member in zip(doors, wanted, strict=True) for made in before(door, member, manager)),
        )
        start = await head(clients[0])
        answers = await asyncio.gather(
            *(door(client, member, manager) for door, client, member in zip(doors, clients, wanted, strict=True))
        )
        won = [answer for answer in answers if answer.is_success]
        assert 1 == len(won), [answer.text for answer in answers]
        for answer in answers:
            assert answer in won or refusal(answer) == (422, ["business-rule"])
        assert start + 1 == await head(clients[0])
        caseload = (await clients[0].get(f"{manager}/$caseload", params={"program": IA_HCBS})).json()
        counted = {part["name"]: part.get("valueInteger") for part in caseload["parameter"]}
        assert (CAP, 0) == (counted["members"], counted["remaining"])


# Conditional writes and versions


MEMBER = {"resourceType": "Patient", "identifier": [{"system": "urn:member", "value": "1"}]}


async def test_conditional_creates_of_one_identifier_make_one_resource(base: str) -> None:
    headers = {"If-None-Exist": "identifier=urn:member|1", "Prefer": "return=minimal"}

    async def create(times: int) -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=f"{base}/", timeout=60) as client:
            return [await client.post("Patient", json=MEMBER, headers=headers) for _ in range(times)]

    answers = [answer for made in await asyncio.gather(*(create(20) for _ in range(100))) for answer in made]
    assert [200] * 1999 + [201] == sorted(answer.status_code for answer in answers)
    assert 1 == len({answer.headers["etag"] for answer in answers})
    async with httpx.AsyncClient(timeout=60) as client:
        assert 1 == (await client.get(f"{base}/Patient?identifier=urn:member|1")).json()["total"]


async def test_updates_with_if_match_lose_none(clients: Clients) -> None:
    """Each client adds one to a number that it read, and tries again where another was first."""

    async def add(client: httpx.AsyncClient, times: int) -> None:
        while times:
            found = await client.get("Patient/counter")
            counted = found.json()
            counted["multipleBirthInteger"] += 1
            answer = await client.put("Patient/counter", json=counted, headers={"If-Match": found.headers["etag"]})
            assert answer.status_code == 200 or (412, ["conflict"]) == refusal(answer)
            times -= answer.is_success

    await clients[0].put("Patient/counter", json=patient("counter", multipleBirthInteger=0))
    await asyncio.gather(*(add(client, 10) for client in clients))
    history = (await clients[0].get("Patient/counter/_history?_count=1000")).json()
    numbers = [each["resource"]["multipleBirthInteger"] for each in history["entry"]]
    assert [*range(10 * CLIENTS, -1, -1)] == numbers


async def test_patches_without_if_match_lose_none(clients: Clients) -> None:
    """Each is applied to what stands when it is its turn, at whatever process it came in."""
    await stored(clients[0], {"resourceType": "Patient", "id": "patched", "name": [{"family": "Doe"}]})

    async def patch(client: httpx.AsyncClient, number: int) -> httpx.Response:
        operations = [{"op": "add", "path": "/name/-", "value": {"family": f"Roe{number}"}}]
        return await client.patch("Patient/patched", content=json.dumps(operations), headers=JSON_PATCH)

    sent = ROUNDS * CLIENTS
    answers = await asyncio.gather(*(patch(clients[number % CLIENTS], number) for number in range(sent)))
    assert {200} == {answer.status_code for answer in answers}
    assert sent == len({answer.headers["etag"] for answer in answers})
    families = {name["family"] for name in (await clients[0].get("Patient/patched")).json()["name"]}
    assert {"Doe", *(f"Roe{number}" for number in range(sent))} == families


async def test_conditional_updates_in_concurrent_transactions_are_all_there(clients: Clients) -> None:
    shared = {"resourceType": "Basic", "identifier": [{"system": "urn:shared", "value": "1"}]}

    async def write(client: httpx.AsyncClient, name: str) -> tuple[str, str]:
        """(the version that is answered, what was written as it)"""
        entries = [
            entry("PUT", "Basic?identifier=urn:shared|1", {**shared, "code": {"text": name}}),
            entry("POST", "Basic", {"resourceType": "Basic", "code": {"text": f"beside {name}"}}),
        ]
        answer = await client.post("", json=transaction(*entries))
        return answer.raise_for_status().json()["entry"][0]["response"]["etag"], name

    writes = [write(client, f"{number} {turn}") for number, client in enumerate(clients) for turn in range(5)]
    answered = await asyncio.gather(*writes)
    (id,) = ids(await clients[0].get("Basic", params={"identifier": "urn:shared|1"}))
    history = (await clients[0].get(f"Basic/{id}/_history?_count=1000")).json()["entry"]
    assert sorted(answered) == sorted((each["response"]["etag"], each["resource"]["code"]["text"]) for each in history)
    twice = [entry("PUT", "Basic?identifier=urn:shared|1", {**shared, "code": {"text": text}}) for text in "ab"]
    assert (400, ["invalid"]) == refusal(await clients[0].post("", json=transaction(*twice)))


async def test_deletes_and_restores_of_one_resource_are_never_refused(clients: Clients) -> None:
    async def turn(client: httpx.AsyncClient, number: int) -> list[httpx.Response]:
        made = patient("fleeting", multipleBirthInteger=number)
        return [await client.put("Patient/fleeting", json=made), await client.delete("Patient/fleeting")]

    turns = await asyncio.gather(*(turn(client, number) for number, client in enumerate(clients) for _ in range(5)))
    assert {200, 201, 204} == {answer.status_code for answers in turns for answer in answers}
    history = (await clients[0].get("Patient/fleeting/_history?_count=1000")).json()["entry"]
    methods = [each["request"]["method"] for each in reversed(history)]
    assert ("PUT", "DELETE") == (methods[0], methods[-1])
    assert ("DELETE", "DELETE") not in pairwise(methods)
    created = [answer for answers in turns for answer in answers if answer.status_code == 201]
    assert methods.count("DELETE") == len(created)


async def test_a_request_sent_many_times_under_one_key_is_done_once(clients: Clients) -> None:
    for round in range(ROUNDS):
        start = await head(clients[0])
        headers = {"Idempotency-Key": f"round {round}"}
        sent = [client.post("Patient", json={"resourceType": "Patient"}, headers=headers) for client in clients]
        answers = await asyncio.gather(*sent)
        assert {201} == {answer.status_code for answer in answers}
        assert 1 == len({(answer.headers["location"], answer.content) for answer in answers})
        assert start + 1 == await head(clients[0])


# Pages


ROLLING = 40  # resources that are there at every moment


def rolled(family: str, number: int, **more: Any) -> dict[str, Any]:
    made = patient(f"{family}-{number:06}", name=[{"family": family}], **more)
    return entry("PUT", f"Patient/{made['id']}", made)


@asynccontextmanager
async def rolling(client: httpx.AsyncClient, family: str) -> AsyncIterator[asyncio.Event]:
    """Meanwhile in each commit the oldest goes, a new one comes, and one between is changed; the event tells of each.

    Ids go up, so that what is there at any moment is a run of numbers.
    """
    started = await client.post("", json=transaction(*(rolled(family, number) for number in range(ROLLING))))
    assert started.is_success, started.text
    done = False
    moved = asyncio.Event()

    async def roll() -> None:
        for oldest in count():
            if done:
                return
            gone = entry("DELETE", f"Patient/{family}-{oldest:06}")
            changed = rolled(family, oldest + 1 + oldest * 7 % (ROLLING - 1), active=oldest % 2 == 0)
            answer = await client.post("", json=transaction(gone, rolled(family, oldest + ROLLING), changed))
            assert answer.is_success, answer.text
            moved.set()

    task = asyncio.create_task(roll())
    try:
        yield moved
    finally:
        done = True
        await task


@pytest.mark.parametrize("sort", ["", "_id", "-_id", "family", "_lastUpdated", "-gender"])
async def test_pages_are_of_one_position_while_others_write(clients: Clients, sort: str) -> None:
    family = f"roll{sort.replace('_', 'u').replace('-', 'd')}"
    asked = {"family:exact": family, "_count": "7", "_total": "accurate"} | ({"_sort": sort} if sort else {})
    async with rolling(clients[0], family) as moved, rolling(clients[1], f"{family}noise"):
        for _ in range(ROUNDS):
            found = await paged(clients[2:], asked, moved)
            numbers = [int(resource["id"].rpartition("-")[2]) for resource in found]
            assert [*range(min(numbers), min(numbers) + ROLLING)] == sorted(numbers)
            versions = [int(resource["meta"]["versionId"]) for resource in found]
            assert {"_id": sorted(numbers), "-_id": sorted(numbers, reverse=True)}.get(sort, numbers) == numbers
            assert sort != "_lastUpdated" or sorted(versions) == versions


async def paged(clients: Clients, asked: dict[str, str], moved: asyncio.Event) -> list[Resource]:
    """All pages' resources, each page from another process and after other writes; every page tells the same total."""
    url: str | None = f"Patient?{urlencode(asked)}"
    found: list[Resource] = []
    for client in cycle(clients):
        if url is None:
            break
        page = (await client.get(url)).raise_for_status().json()
        assert ROLLING == page["total"]
        found += [each["resource"] for each in page["entry"]]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), None)
        moved.clear()
        await moved.wait()
    return found
