"""Asynchronous requests: https://hl7.org/fhir/R4/async.html"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from server.app import create_app
from server.interactions import asynchronous
from server.interactions.exchange import TYPE, Request, Response, Server
from server.interactions.routes import DISPATCH
from server.settings import Settings
from server.store.mongodb import leads
from tests.answers import entry, refusal, transaction
from tests.conftest import lifespan

LATER = {"Prefer": "respond-async"}
PATIENT = {"resourceType": "Patient", "id": "a", "name": [{"family": "Doe"}]}


async def begun(client: httpx.AsyncClient, method: str, place: str, **more: Any) -> str:
    """Ask for it to be done later. Answers where to ask about it."""
    headers = LATER | more.pop("headers", {})
    response = await client.request(method, place, headers=headers, **more)
    assert (202, "respond-async") == (response.status_code, response.headers["preference-applied"])
    return response.headers["content-location"]


async def done(client: httpx.AsyncClient, place: str, **more: Any) -> httpx.Response:
    """What is told once it is done."""
    async with asyncio.timeout(240):
        while (response := await client.get(place, **more)).status_code == 202:
            assert "retry-after" in response.headers
            await asyncio.sleep(0.01)
    return response


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> asyncio.Event:
    """Searches of a type wait for this."""
    released = asyncio.Event()
    search = DISPATCH["GET", TYPE]

    async def waiting(server: Server, request: Request) -> Response:
        await released.wait()
        return await search(server, request)

    monkeypatch.setitem(DISPATCH, ("GET", TYPE), waiting)  # type: ignore[arg-type]
    return released


async def test_search_is_answered_later(client: httpx.AsyncClient) -> None:
    content = json.dumps(PATIENT, indent=2)
    await client.put("Patient/a", content=content, headers={"Content-Type": "application/json"})
    place = await begun(client, "GET", "Patient?family=Doe")
    assert place.startswith("http://127.0.0.1/fhir/_async/")
    told = await done(client, place)
    manifest = told.json()
    assert (200, "application/json", False) == (
        told.status_code,
        told.headers["content-type"].partition(";")[0],
        manifest["requiresAccessToken"],
    )
    assert {"transactionTime", "request", "output", "error"} <= manifest.keys()
    assert "Doe" not in told.text
    (output,) = manifest["output"]
    answer = await client.get(output["url"], headers={"Accept": "application/fhir+ndjson"})
    assert ("Bundle", "application/fhir+ndjson", 1) == (
        output["type"],
        answer.headers["content-type"],
        len(answer.text.splitlines()),
    )
    assert (await client.get("Patient?family=Doe")).json() == answer.json()


async def test_operation_is_answered_later(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=PATIENT)
    (output,) = (await done(client, await begun(client, "GET", "Patient/a/$everything"))).json()["output"]
    (found,) = (await client.get(output["url"])).json()["entry"]
    assert "a" == found["resource"]["id"]


async def test_transaction_is_done_later(client: httpx.AsyncClient) -> None:
    place = await begun(client, "POST", "", json=transaction(entry("PUT", "Patient/a", PATIENT)))
    output = (await done(client, place)).json()["output"]
    assert "transaction-response" == (await client.get(output[0]["url"])).json()["type"]
    assert 200 == (await client.get("Patient/a")).status_code


async def test_refusal_is_told_later(client: httpx.AsyncClient) -> None:
    place = await begun(client, "GET", "Patient?birthdate=yesterday")
    assert (400, ["invalid"]) == refusal(await done(client, place))
    assert (404, ["not-found"]) == refusal(await client.get(f"{place}/1"))


async def test_what_is_in_hand_is_told(client: httpx.AsyncClient, slow: asyncio.Event) -> None:
    place = await begun(client, "GET", "Patient")
    waiting = await client.get(place)
    assert (202, "in progress") == (waiting.status_code, waiting.headers["x-progress"])
    assert (404, ["not-found"]) == refusal(await client.get(f"{place}/1"))
    slow.set()
    assert 200 == (await done(client, place)).status_code


async def test_what_is_forgotten_is_gone(client: httpx.AsyncClient, slow: asyncio.Event) -> None:
    place = await begun(client, "GET", "Patient")
    assert 202 == (await client.delete(place)).status_code
    assert (404, ["not-found"]) == refusal(await client.get(place))
    slow.set()
    other = await begun(client, "GET", "Patient")
    await done(client, other)
    assert 202 == (await client.delete(other)).status_code
    for gone in (other, f"{other}/1"):
        assert (404, ["not-found"]) == refusal(await client.get(gone))
    assert 404 == (await client.delete(other)).status_code


async def test_only_who_asked_is_told(client: httpx.AsyncClient) -> None:
    one, other = ({"X-Acting-As": f"Practitioner/{number}"} for number in (1, 2))
    place = await begun(client, "GET", "Patient", headers=one)
    assert 200 == (await done(client, place, headers=one)).status_code
    for headers in (other, {}):
        for url in (place, f"{place}/1"):
            assert (404, ["not-found"]) == refusal(await client.get(url, headers=headers))
        assert 404 == (await client.delete(place, headers=headers)).status_code


@pytest.mark.parametrize("place", ["_async/x", "_async/" + "0" * 32, "_async/..%2f..%2fcareplan.db", "_async"])
async def test_what_was_never_asked_for(client: httpx.AsyncClient, place: str) -> None:
    assert (404, ["not-found"]) == refusal(await client.get(place))


async def test_what_is_quick_is_answered_at_once(client: httpx.AsyncClient) -> None:
    answers = [
        await client.put("Patient/a", json=PATIENT, headers=LATER),
        await client.get("Patient/a", headers=LATER),
        await client.get("metadata", headers=LATER),
    ]
    assert [201, 200, 200] == [answer.status_code for answer in answers]


async def test_more_than_a_worker_takes_is_refused(
    client: httpx.AsyncClient, slow: asyncio.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asynchronous, "RUNNING", 2)
    places = [await begun(client, "GET", "Patient") for _ in range(2)]
    refused = await client.get("Patient", headers=LATER)
    assert ((503, ["throttled"]), "10") == (refusal(refused), refused.headers["retry-after"])
    slow.set()
    for place in places:
        await done(client, place)
    monkeypatch.setattr(asynchronous, "KEPT", 2)
    assert 503 == (await client.get("Patient", headers=LATER)).status_code
    await client.delete(places[0])
    await done(client, await begun(client, "GET", "Patient"))


ASKED = """
import asyncio, sys
from server.app.partition import server_of
from server.settings import Settings
from server.store.mongodb import leads

async def work():
    store = server_of(Settings()).repository.store
    await store.open()
    await store.jobs.begin("f" * 32, {"caller": None, "request": "POST", "at": 0, "status": 0})
    store.jobs.tasks["f" * 32] = asyncio.current_task()
    print("begun", flush=True)
    await asyncio.to_thread(sys.stdin.read)

asyncio.run(work())
"""


async def test_what_a_killed_worker_had_in_hand_is_broken_off(
    client: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock ends with the process; a beat is missed after a while. What is told then stays told."""
    worker = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ASKED, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "CAREPLAN_STORE": settings.store},
    )  # fmt: skip
    assert worker.stdout is not None
    assert b"begun\n" == await worker.stdout.readline()
    place = "_async/" + "f" * 32
    assert 202 == (await client.get(place)).status_code
    worker.kill()
    await worker.communicate()
    monkeypatch.setattr(leads, "LAPSE", 0.1)
    for _ in range(1000):
        if (told := await client.get(place)).status_code != 202:
            break
        await asyncio.sleep(0.05)
    assert (500, ["exception"]) == refusal(told)
    assert (404, ["not-found"]) == refusal(await client.get(f"{place}/1"))
    assert 202 == (await client.delete(place)).status_code
    assert 404 == (await client.get(place)).status_code


async def test_any_server_answers_for_any_other(settings: Settings, slow: asyncio.Event) -> None:
    one, other = create_app(settings), create_app(settings)
    async with lifespan(one), lifespan(other), _client(one) as asking, _client(other) as asked:
        place = await begun(asking, "GET", "Patient")
        assert 202 == (await asked.get(place)).status_code
        slow.set()
        (output,) = (await done(asked, place)).json()["output"]
        assert "Bundle" == (await asked.get(output["url"])).json()["resourceType"]
        assert 202 == (await asked.delete(place)).status_code
        assert 404 == (await asking.get(place)).status_code


async def test_what_a_server_that_stops_has_in_hand_is_broken_off(settings: Settings, slow: asyncio.Event) -> None:
    one, other = create_app(settings), create_app(settings)
    async with lifespan(other), _client(other) as asked:
        async with lifespan(one), _client(one) as asking:
            place = await begun(asking, "GET", "Patient")
            assert 202 == (await asked.get(place)).status_code
        assert (500, ["exception"]) == refusal(await asked.get(place))


def _client(app: ASGIApp) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1/fhir/")
