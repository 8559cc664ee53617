"""Servers of their own on one MongoDB: what one has answered the other has, whatever ends the one."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Iterator

import httpx
import pymongo
import pytest

from server.app import server_of
from server.settings import Settings
from tests.mongodb import mongodb
from tests.process import base_of, killed, start

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
