"""Jobs as files beside the store's, which the processes of one machine share.

A job is a record, which whoever works on it holds locked, and an answer. The lock ends with the process that holds it.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import time
from contextlib import suppress
from pathlib import Path

from server.store.jobs import EXPIRES, IN_PROGRESS, Jobs, Record, is_job


class SqliteJobs(Jobs):
    """The jobs of a directory."""

    def __init__(self, directory: Path) -> None:
        super().__init__()
        self.directory = directory
        self._held: dict[str, int] = {}

    async def begin(self, id: str, record: Record) -> None:
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(self._record(id), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._held[id] = held
        fcntl.flock(held, fcntl.LOCK_EX)
        os.write(held, json.dumps(record).encode())

    async def finish(self, id: str, record: Record, answer: bytes) -> None:
        """The answer first, then the record that tells of it."""
        if self._record(id).exists():
            self._answer(id).write_bytes(answer)
            written = json.dumps(record).encode()
            os.pwrite(self._held[id], written, 0)
            os.ftruncate(self._held[id], len(written))

    def let_go(self, id: str) -> None:
        os.close(self._held.pop(id))

    def tell(self, id: str, words: str) -> None:
        if self._record(id).exists():
            fresh = self._progress(id).with_suffix(".fresh")
            fresh.write_text(words)
            fresh.replace(self._progress(id))

    async def told(self, id: str) -> str:
        try:
            return self._progress(id).read_text()
        except FileNotFoundError:
            return IN_PROGRESS

    async def owner(self, id: str) -> str | None:
        if not is_job(id):
            raise KeyError(id)
        try:
            found: Record = json.loads(self._record(id).read_bytes())
        except (FileNotFoundError, ValueError):
            raise KeyError(id) from None
        caller: str | None = found["caller"]
        return caller

    async def read(self, id: str) -> Record | None:
        try:
            with self._record(id).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                record: Record = json.loads(file.read())
                return record
        except BlockingIOError:
            return None
        except FileNotFoundError:
            raise KeyError(id) from None

    async def answer(self, id: str) -> bytes:
        return self._answer(id).read_bytes()

    async def remove(self, id: str) -> None:
        self._unlinked(id)

    def _unlinked(self, id: str) -> None:
        for path in (self._record(id), self._answer(id), self._progress(id)):
            path.unlink(missing_ok=True)

    async def sweep(self) -> int:
        return await asyncio.to_thread(self._swept)

    def _swept(self) -> int:
        left = 0
        for path in self.directory.glob("*.json"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > EXPIRES:
                    self._unlinked(path.stem)
                else:
                    left += 1
        return left

    def _record(self, id: str) -> Path:
        return self.directory / f"{id}.json"

    def _progress(self, id: str) -> Path:
        return self.directory / f"{id}.progress"

    def _answer(self, id: str) -> Path:
        return self.directory / f"{id}.answer"
