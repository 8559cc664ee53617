"""Servers of their own on one MongoDB: what one has answered the other has, whatever ends the one."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator

import httpx
import pymongo
import pytest
from pymongo import monitoring

from server.app import create_app
from server.app.partition import server_of
from server.settings import Settings
from tests.answers import entry, statuses, transaction
from tests.conftest import lifespan
from tests.mongodb import mongodb
from tests.process import base_of, killed, start
from tests.store.test_mongodb import Commands

ASKED = ["find versions", "insert commits", "insert versions", "update versions", "update marks"]
JOE = {"resourceType": "Patient", "id": "joe", "name": [{"family": "Doe"}]}


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with mongodb() as uri:
        yield uri


@pytest.fixture
async def store(uri: str) -> AsyncIterator[str]:
    name = f"careplan-test-{uuid.uuid4().hex[:12]}"
    yield f"{uri.rstrip('/')}/{name}"
    with pymongo.MongoClient[dict[str, object]](uri) as client:
        client.drop_database(name)


async def test_two_servers_share_one_ledger_and_one_is_killed(store: str) -> None:
    first, second = (start(store=store, oversight_interval=0) for _ in range(2))
    try:
        async with (
            httpx.AsyncClient(base_url=f"{base_of(first)}/", timeout=60) as here,
            httpx.AsyncClient(base_url=f"{base_of(second)}/", timeout=60) as there,
        ):
            made = await here.put("Patient/joe", json=JOE)
            assert (201, JOE["name"]) == (made.status_code, (await there.get("Patient/joe")).json()["name"])
            assert 1 == (await there.get("Patient?family=doe")).json()["total"]
            once = {"If-None-Exist": "identifier=urn:mrn|1"}
            resource = {"resourceType": "Patient", "identifier": [{"system": "urn:mrn", "value": "1"}]}
            answers = await asyncio.gather(
                *(client.post("Patient", json=resource, headers=once) for client in (here, there) for _ in range(4))
            )
            assert [200] * 7 + [201] == sorted(answer.status_code for answer in answers)
            stale = await here.put("Patient/joe", json=JOE | {"active": True}, headers={"If-Match": 'W/"1"'})
            assert 412 == stale.status_code
            killed(first)
            etag = (await there.get("Patient/joe")).headers["etag"]
            changed = await there.put("Patient/joe", json=JOE | {"active": True}, headers={"If-Match": etag})
            assert 200 == changed.status_code
    finally:
        for process in (first, second):
            if process.stdout is not None and not process.stdout.closed:
                killed(process)
    verified = server_of(Settings(store=store)).repository.store.verify()
    assert [] == [finding async for finding in verified]


async def test_transaction_asks_as_often_however_many_it_updates(store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over HTTP, with the care rules: what its entries are of is asked for at once."""
    commands = Commands()
    monkeypatch.setattr(monitoring, "_LISTENERS", monitoring._LISTENERS._replace(command_listeners=[commands]))
    application = create_app(Settings(store=store, demo=False, log_level="error", oversight_interval=0))
    transport = httpx.ASGITransport(application)
    counted = []
    async with (
        lifespan(application),
        httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as client,
    ):
        for gender in ("male", "female"):
            for count in (2, 20):
                people = ({"resourceType": "Patient", "id": f"{count}-{n}", "gender": gender} for n in range(count))
                bundle = transaction(*(entry("PUT", f"Patient/{one['id']}", one) for one in people))
                commands.sent.clear()
                assert ["201" if gender == "male" else "200"] * count == statuses(await client.post("", json=bundle))
                counted.append(Counter(commands.sent) & Counter(dict.fromkeys(ASKED, 99)))
    assert counted[0] == counted[1]
    assert counted[2] == counted[3]
    assert 12 > max(found.total() for found in counted)
