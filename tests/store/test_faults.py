"""What must hold when the machine fails: kill -9, a write or an fsync that fails, a disk that is full."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from server.outcome import Problem
from server.store.sqlite import SqliteStore
from tests.store.contract import PROJECTIONS, patient, plan, write


async def _write_until_killed(path: str, name: str) -> None:
    """Commit transactions of two resources, four at once, and print each once it is acknowledged."""
    store = SqliteStore(path, PROJECTIONS)
    await store.open()

    async def one_after_another(lane: int) -> None:
        for number in range(1_000_000):
            id = f"{name}-{lane}-{number}"
            commit = await write(store, patient(id, id), plan(id, f"Patient/{id}", title="x" * 2000))
            print(json.dumps([id, commit.position]), flush=True)

    await asyncio.gather(*(one_after_another(lane) for lane in range(4)))


def _killed_while_writing(path: Path, round: int, chance: random.Random) -> dict[str, int]:
    """Two processes write and are killed at a random time; what they had been told is durable."""
    writers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.store.test_faults", str(path), f"r{round}w{number}"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for number in range(2)
    ]
    lines = [writer.stdout.readline() for writer in writers if writer.stdout for _ in range(5)]  # before one is killed
    for writer in writers:
        time.sleep(chance.uniform(0.01, 0.3))
        writer.send_signal(signal.SIGKILL)
    lines += [line for writer in writers for line in writer.communicate()[0].splitlines()]
    acknowledged = {}
    for line in lines:
        with contextlib.suppress(json.JSONDecodeError):  # the last line may be cut
            id, position = json.loads(line)
            acknowledged[id] = position
    return acknowledged


async def test_kill_loses_nothing_acknowledged(tmp_path: Path) -> None:
    path = tmp_path / "careplan.db"
    chance = random.Random(5)
    acknowledged: dict[str, int] = {}
    for round in range(6):
        acknowledged |= await asyncio.to_thread(_killed_while_writing, path, round, chance)
        store = SqliteStore(path, PROJECTIONS)
        await store.open()
        assert [] == [finding async for finding in store.verify()]
        for id, position in acknowledged.items():
            for type in ("Patient", "CarePlan"):
                version = await store.read(type, id)
                assert version is not None, f"{id} was acknowledged and is gone"
                assert position == version.position
        await store.close()
    assert len(acknowledged) > 50


class _FaultyFile(apsw.VFSFile):
    def __init__(self, vfs: str, name: str | apsw.URIFilename | None, flags: list[int], owner: FaultyDisk) -> None:
        super().__init__(vfs, name, flags)
        self.owner = owner

    def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802 - SQLite's name
        self.owner.count("write")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:  # noqa: N802
        self.owner.count("sync")
        super().xSync(flags)


class FaultyDisk(apsw.VFS):
    """SQLite's file system, which fails when it is told to."""

    def __init__(self) -> None:
        self.failing: dict[str, type[apsw.Error]] = {}
        super().__init__("faulty", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> _FaultyFile:  # noqa: N802
        return _FaultyFile("unix", name, flags, self)

    def count(self, what: str) -> None:
        if what in self.failing:
            raise self.failing[what]("made to fail")


@pytest.fixture
def disk() -> Iterator[FaultyDisk]:
    disk = FaultyDisk()
    yield disk
    disk.unregister()


async def test_failed_sync_stops_the_writes(tmp_path: Path, disk: FaultyDisk) -> None:
    store = SqliteStore(tmp_path / "careplan.db", PROJECTIONS)
    await store.open()
    await write(store, patient("kept", "x"))
    disk.failing["sync"] = apsw.IOError
    with pytest.raises(Problem) as refused:
        await write(store, patient("lost", "x"))
    assert "unavailable" == refused.value.kind
    disk.failing.clear()
    with pytest.raises(Problem) as refused:
        await write(store, patient("later", "x"))
    assert "unavailable" == refused.value.kind
    assert await store.read("Patient", "kept") is not None
    await store.close()
    again = SqliteStore(tmp_path / "careplan.db", PROJECTIONS)
    await again.open()
    await write(again, patient("later", "x"))
    assert [] == [finding async for finding in again.verify()]
    await again.close()


async def test_full_disk_refuses_and_reading_goes_on(tmp_path: Path, disk: FaultyDisk) -> None:
    store = SqliteStore(tmp_path / "careplan.db", PROJECTIONS)
    await store.open()
    await write(store, patient("kept", "x"))
    disk.failing["write"] = apsw.FullError
    with pytest.raises(Problem) as refused:
        await write(store, patient("lost", "x"))
    assert ("no_store", 507) == (refused.value.kind, refused.value.status)
    assert await store.read("Patient", "lost") is None
    disk.failing.clear()
    await write(store, patient("later", "x"))
    assert 2 == await store.head()
    assert [] == [finding async for finding in store.verify()]
    await store.close()


async def test_store_held_by_another_program_refuses_and_goes_on(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "careplan.db", PROJECTIONS)
    await store.open()
    store.writer.tables.connection.set_busy_timeout(1)
    other = apsw.Connection(str(tmp_path / "careplan.db"))
    other.execute("BEGIN IMMEDIATE")  # without the flock that our own processes hold
    with pytest.raises(Problem) as refused:
        await write(store, patient("lost", "x"))
    assert ("unavailable", None) == (refused.value.kind, store.refusing)
    other.execute("ROLLBACK")
    await write(store, patient("later", "x"))
    assert 1 == await store.head()
    await store.close()


if __name__ == "__main__":
    asyncio.run(_write_until_killed(sys.argv[1], sys.argv[2]))
