"""What must hold on MongoDB when a process is paused in mid-write, or its connection is cut at any step."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from server.ledger import Commit
from server.outcome import Problem
from server.store.engine import Store
from server.store.mongodb import MongodbStore, turnstile
from tests.proxy import proxied
from tests.store.contract import PROJECTIONS, context, create_once, delete, patient, plan, write, writes
from tests.store.paused import STEPS


def stopped(pid: int) -> None:
    """Return once a process has stopped itself."""
    while " T " not in Path(f"/proc/{pid}/stat").read_text():
        time.sleep(0.02)


@pytest.mark.parametrize("step", STEPS)
async def test_holder_of_a_turn_that_is_paused_and_wakes_late_does_no_harm(database: str, step: str) -> None:
    """Its turn lapses, others write what it was about to; then it goes on where it was."""
    store = MongodbStore(database, PROJECTIONS, follows=False)
    await store.open()
    await write(store, patient("a", "x"))
    command = [sys.executable, "-m", "tests.store.paused", database, step]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    await asyncio.wait_for(asyncio.to_thread(stopped, process.pid), 60)
    store.writer._has_met = True
    made = (await store.commit(create_once("one", "early"), context())).output
    for n in range(3):
        await write(store, patient("a", f"x{n}"), patient("late", f"one{n}"))
    process.send_signal(signal.SIGCONT)
    output, position = json.loads((await process.communicate())[0])
    assert {"created", "found"} == {made, output}
    after = await write(store, patient("a", "last"), delete("Patient", "early"))
    assert after.position == await store.head() > position
    history = await store.history(None, None, since=None, at=None, count=100, page=None)
    assert 1 == sum(b'"value":"one"' in (version.body or b"") for version in history.matches)
    assert [] == [finding async for finding in store.verify()]
    await store.close()


async def _changed(store: Store, key: str, number: int) -> Commit:
    return await store.commit(writes(patient("a", f"v{number}")), context(key), fingerprint=b"f")


async def _created(store: Store, key: str, number: int) -> Commit:
    return await store.commit(writes(patient(f"c{number}", "x")), context(key), fingerprint=b"f")


async def _transacted(store: Store, key: str, number: int) -> Commit:
    changes = [patient("a", f"t{number}"), *(plan(f"t{number}-{n}", "Patient/a") for n in range(4))]
    return await store.commit(writes(*changes), context(key), fingerprint=b"f")


async def _conditionally(store: Store, key: str, number: int) -> Commit:
    return await store.commit(create_once(f"once{number}", f"o{key}"), context(key), fingerprint=b"f")


async def _meeting(store: Store, key: str, number: int) -> Commit:
    """It has to take a turn, and to wait until that of another, who is gone, has lapsed."""
    assert isinstance(store, MongodbStore)
    store.writer._has_met = True
    return await store.commit(writes(patient("a", f"m{number}")), context(key), fingerprint=b"f")


@pytest.mark.parametrize("is_sent_on", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("commit", [_created, _changed, _transacted, _conditionally, _meeting])
async def test_connection_cut_at_each_step_loses_and_doubles_nothing(
    database: str,
    commit: Callable[[Store, str, int], Awaitable[Commit]],
    is_sent_on: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever message of a commit is the last one: under its key it is there once, with one answer."""
    monkeypatch.setattr(turnstile, "LAPSE", 0.1)
    parts = urlsplit(database)
    async with proxied(parts.hostname or "", parts.port or 0) as (proxy, port):
        store = MongodbStore(f"mongodb://127.0.0.1:{port}{parts.path}", PROJECTIONS, follows=False)
        await store.open()
        await write(store, patient("a", "x"))
        proxy.arm(0, is_sent_on)
        await store.collections.turns.insert_one({"_id": 1})
        answers = [await commit(store, str(uuid.uuid4()), 0)]
        cut, steps = 0, proxy.count
        assert steps > 4
        for step in range(1, steps + 2):
            key = str(uuid.uuid4())
            if commit is _meeting:
                await store.collections.turns.insert_one({"_id": await store.writer._turnstile._last() + 1})
            proxy.arm(step, is_sent_on)
            answer: Commit | None = None
            while answer is None:
                with suppress(Problem):
                    answer = await commit(store, key, step)
            cut += proxy.cut_at is None
            proxy.cut_at = None
            assert answer == await commit(store, key, step)
            answers.append(answer)
        assert cut >= 4  # which every commit sends; whose turn it is it looks more often at times than at others
        assert 1 + len(answers) == await store.head()
        assert [*range(2, 2 + len(answers))] == [answer.position for answer in answers]
        for answer in answers:
            for version in answer.versions:
                assert version == await store.vread(version.type, version.id, version.position)
        found = await store.history(None, None, since=None, at=None, count=1000, page=None)
        assert found.total == 1 + sum(len(answer.versions) for answer in answers)
        assert [] == [finding async for finding in store.verify()]
        await store.close()
