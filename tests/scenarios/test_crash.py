"""kill -9 amid a load and amid writes over HTTP: nothing that was answered is lost, nothing is done twice."""

from __future__ import annotations

import asyncio
import os
import random
import re
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import httpx

from examples.population import population
from server.app.partition import opened
from server.auth.access import SYSTEM
from server.fhir.body import dumps, loads
from server.ledger import Cursor, Version
from server.settings import Settings
from tests.answers import entry, transaction
from tests.process import STARTED, base_of, careplan, head, killed, start, worker_of

CLIENTS = 8
BASE = "https://care.example.org/fhir"  # the same after each start, whatever the port
WHOLE = (0, "The ledger and its projections are whole\n")

# A load


def ledger(path: Path) -> list[tuple[Any, ...]]:
    """Every commit's id and every version's place and content, but for the time that it was made."""
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
        commits = list(connection.execute("SELECT position, id FROM commits WHERE position > 1"))  # after the programs
        versions = list(connection.execute("SELECT seq, method, type, id, CAST(body AS TEXT) FROM changes"))
    return commits + [(*place, re.sub('"lastUpdated":"[^"]*"', "", body)) for *place, body in versions]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """(how a command ended, what it said)"""
    said, _ = process.communicate(timeout=STARTED)
    return process.returncode, said


def test_killed_load_goes_on_to_the_same_end(tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.db", tmp_path / "broken.db"
    file = tmp_path / "population.ndjson"
    resources = [dumps(resource) for resource in population([40] * 10)]
    file.write_bytes(b"\n".join(resources))
    done = f"{len(resources):,} resources taken, {{}} of them written; 0 refused\n"
    assert (0, done.format(f"{len(resources):,}")) == ended(loading(whole, file))
    chance = random.Random(3)
    ends = []
    for after in sorted(chance.sample(range(head(whole)), 5)):
        load = loading(broken, file)
        while head(broken) < after and load.poll() is None:
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.1))  # into the commit that follows
        seen = head(broken)
        killed(load)
        ends.append(load.returncode)
        assert head(broken) >= seen
        if head(broken):
            assert WHOLE == ended(careplan("verify", store=f"sqlite:///{broken}"))
    assert {-signal.SIGKILL} <= {*ends} <= {-signal.SIGKILL, 0}  # a quick machine may be done with what was left
    code, said = ended(loading(broken, file))
    assert (0, done.split(",")[:2]) == (code, said.split(",")[:2])
    assert WHOLE == ended(careplan("verify", store=f"sqlite:///{broken}"))
    assert ledger(whole) == ledger(broken)


def loading(store: Path, file: Path) -> subprocess.Popen[str]:
    return careplan("load", file, stderr=subprocess.DEVNULL, store=f"sqlite:///{store}")


# Writes over HTTP


@dataclass(slots=True)
class Sent:
    """A request, under a key of its own, what it writes, and its answer (status, Location, body) if there was one."""

    name: str
    writes: tuple[str, ...]
    request: dict[str, Any]
    answer: tuple[int, str | None, bytes] | None = None


def a_write(number: int) -> Sent:
    """A create, a conditional create or a transaction."""
    name = f"n{number}"
    identified = {"identifier": [{"value": name}]}
    member = {"resourceType": "Patient", **identified}
    headers = {"Idempotency-Key": name, "Prefer": "return=representation"}
    if number % 3 == 0:
        return Sent(name, ("Patient",), {"url": "Patient", "json": member, "headers": headers})
    if number % 3 == 1:
        headers["If-None-Exist"] = f"identifier={name}"
        return Sent(name, ("Patient",), {"url": "Patient", "json": member, "headers": headers})
    subject = {"reference": "urn:uuid:5b4f0a3c-6c7c-4d6e-9d53-3a8b7f3d9f01"}
    plan = {"resourceType": "CarePlan", **identified, "status": "draft", "intent": "plan", "subject": subject}
    entries = [entry("POST", "CarePlan", plan), entry("POST", "Patient", member, subject["reference"])]
    return Sent(name, ("Patient", "CarePlan"), {"url": "", "json": transaction(*entries), "headers": headers})


async def answer_of(client: httpx.AsyncClient, sent: Sent) -> tuple[int, str | None, bytes]:
    answer = await client.post(**sent.request)
    assert answer.is_success, answer.text
    return answer.status_code, answer.headers.get("location"), answer.content


class Writers:
    """Clients that write one after another, and keep what they were answered."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.stopping = False

    async def write(self, base: str, enough: int) -> list[asyncio.Task[None]]:
        """Come back once so many more are answered; the clients go on until the server is gone."""
        remaining = asyncio.Semaphore(0)
        lanes = [asyncio.create_task(self._one_after_another(base, remaining)) for _ in range(CLIENTS)]
        for _ in range(enough):
            await remaining.acquire()
        return lanes

    async def _one_after_another(self, base: str, answered: asyncio.Semaphore) -> None:
        async with httpx.AsyncClient(base_url=f"{base}/", timeout=STARTED) as client:
            while not self.stopping:
                sent = a_write(len(self.sent))
                self.sent.append(sent)
                try:
                    sent.answer = await answer_of(client, sent)
                except httpx.TransportError:
                    return
                answered.release()

    async def send_again(self, base: str) -> None:
        """What was cut off is done, once; what was answered lately is answered alike."""
        cut = [sent for sent in self.sent if sent.answer is None]
        async with httpx.AsyncClient(base_url=f"{base}/", timeout=STARTED) as client:
            for sent in cut:
                sent.answer = await answer_of(client, sent)
            for sent in [*cut, *self.sent[-2 * CLIENTS :]]:
                assert sent.answer == await answer_of(client, sent)


async def check(store: str, writers: Writers) -> None:
    """The store is whole; what was answered is there, and all that was sent is there whole and once, or not at all."""
    async with opened(Settings(store=store, base_url=BASE)) as server:
        assert [] == [finding async for finding in server.repository.store.verify()]
        versions = await server.repository.changes(SYSTEM, Cursor(0, 0), 1_000_000)
    bodies = {version.body for version in versions}
    written = Counter((version.type, name) for version in versions for name in _names(version))
    for sent in writers.sent:
        times = {written[type, sent.name] for type in sent.writes}
        assert times == {1} or (sent.answer is None and times == {0})
        if sent.answer is not None and sent.answer[1] is not None:
            assert sent.answer[2] in bodies
    assert set(written.values()) == {1}


def _names(version: Version) -> list[str]:
    if version.type not in {"Patient", "CarePlan"}:
        return []
    return [each["value"] for each in loads(version.body or b"")["identifier"]]


async def test_killed_server_keeps_what_it_answered_and_does_a_request_once(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/careplan.db"
    chance = random.Random(5)
    writers = Writers()
    for _ in range(4):
        async with until_killed(store) as (base, process):
            await writers.send_again(base)
            lanes = await writers.write(base, chance.randrange(20, 150))
            await asyncio.sleep(chance.uniform(0, 0.02))
            killed(process)
            await asyncio.gather(*lanes)
        assert any(sent.answer is None for sent in writers.sent)
        await check(store, writers)
    async with until_killed(store) as (base, _):
        await writers.send_again(base)
    await check(store, writers)
    assert all(sent.answer for sent in writers.sent)


async def test_killed_worker_takes_nothing_with_it(tmp_path: Path) -> None:
    """The others go on, also where it held the store's lock; a client that sends again is answered."""
    store = f"sqlite:///{tmp_path}/careplan.db"
    writers = Writers()
    async with until_killed(store) as (base, _), httpx.AsyncClient(base_url=f"{base}/", timeout=STARTED) as client:
        for _ in range(3):
            lanes = await writers.write(base, 40)
            os.kill(await worker_of(client), signal.SIGKILL)
            writers.stopping = True
            await asyncio.gather(*lanes)
            await writers.send_again(base)
            writers.stopping = False
    assert all(sent.answer for sent in writers.sent)
    await check(store, writers)


@asynccontextmanager
async def until_killed(store: str) -> AsyncIterator[tuple[str, subprocess.Popen[str]]]:
    """A server of two processes, at its base URL."""
    process = start(store=store, base_url=BASE, workers=2)
    try:
        yield await asyncio.to_thread(base_of, process), process
    finally:
        killed(process)
