"""Told to stop amid writes, the server answers all that it took; what it answered is there, and nothing else is."""

from __future__ import annotations

import asyncio
import json
import signal
from itertools import count
from pathlib import Path

import httpx
import pytest

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.fhir import body
from server.repository import Repository
from server.search.filter import ALL
from server.settings import Settings
from tests.process import STARTED, running

CLIENTS = 8
ENOUGH = 60  # answers, before it is told to stop


class InHand:
    """A request whose head the server has read and whose body it waits for, on a connection of its own."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.content = json.dumps(member(name)).encode()

    async def begin(self, base: httpx.URL) -> None:
        self.reader, self.writer = await asyncio.open_connection(base.host, base.port)
        self.writer.write(
            b"POST /fhir/Patient HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/fhir+json\r\n"
            b"Expect: 100-continue\r\nContent-Length: %d\r\n\r\n" % len(self.content)
        )
        assert b"HTTP/1.1 100 Continue\r\n\r\n" == await self.reader.readuntil(b"\r\n\r\n")

    async def finish(self) -> bytes:
        """The answer, to the connection's end."""
        self.writer.write(self.content)
        answer = await self.reader.read()
        self.writer.close()
        return answer


def member(name: str) -> dict[str, object]:
    return {"resourceType": "Patient", "identifier": [{"value": name}]}


async def keep_writing(base: str, lane: int, answered: list[str], enough: asyncio.Event) -> None:
    """Write one after another until the server closes the connection; names of what it answered are kept."""
    async with httpx.AsyncClient(timeout=STARTED) as client:
        for number in count():
            name = f"{lane}-{number}"
            try:
                answer = await client.post(f"{base}/Patient", json=member(name))
            except httpx.TransportError:
                return
            assert 201 == answer.status_code
            answered.append(name)
            if len(answered) >= ENOUGH:
                enough.set()


@pytest.mark.parametrize("workers", [1, 2])
async def test_stop_answers_what_is_in_hand(tmp_path: Path, workers: int) -> None:
    store = f"sqlite:///{tmp_path}/careplan.db"
    answered: list[str] = []
    enough = asyncio.Event()
    with running(store=store, workers=workers) as (base, process):
        held = [InHand(f"held-{number}") for number in range(CLIENTS)]
        for each in held:
            await each.begin(httpx.URL(base))
        writing = [asyncio.create_task(keep_writing(base, lane, answered, enough)) for lane in range(CLIENTS)]
        await enough.wait()
        process.send_signal(signal.SIGTERM)
        await asyncio.gather(*writing)
        for each in held:
            assert (await each.finish()).startswith(b"HTTP/1.1 201 ")
        assert 0 == await asyncio.to_thread(process.wait, STARTED)
    async with opened(Settings(store=store)) as server:
        assert sorted([*answered, *(each.name for each in held)]) == await names(server.repository)
        assert [] == [finding async for finding in server.repository.store.verify()]


async def names(repository: Repository) -> list[str]:
    found = await (await repository.view(SYSTEM)).search("Patient", ALL, 1_000_000)
    return sorted(body.loads(version.body or b"")["identifier"][0]["value"] for version in found)
