"""Jobs: asynchronous requests as files that all workers share, so that each can tell how far any of them is.

https://hl7.org/fhir/R4/async.html

A job is a record, which whoever works on it holds locked, and an answer. The lock ends with the process that holds it;
a record that nobody holds and that has no status is one that was broken off.
"""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import re
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

EXPIRES = 86_400  # seconds that a job is kept

Record = dict[str, Any]
_ID = re.compile(r"[0-9a-f]{32}").fullmatch


@dataclass(frozen=True, slots=True)
class Jobs:
    """The jobs of a directory; `tasks` are those that this process works on."""

    directory: Path
    tasks: dict[str, asyncio.Task[None]] = field(default_factory=dict)

    def begin(self, id: str, record: Record) -> int:
        """Write a record down. Answers the descriptor that holds it, until `finish` or `let_go`."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        held = os.open(self._record(id), os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        fcntl.flock(held, fcntl.LOCK_EX)
        os.write(held, json.dumps(record).encode())
        return held

    def finish(self, id: str, held: int, record: Record, answer: bytes) -> None:
        """Write the answer, then the record that tells of it; nothing where the job was forgotten meanwhile."""
        if self._record(id).exists():
            self._answer(id).write_bytes(answer)
            written = json.dumps(record).encode()
            os.pwrite(held, written, 0)
            os.ftruncate(held, len(written))

    def tell(self, id: str, words: str) -> None:
        """Write down how far a job is; nothing where it was forgotten meanwhile."""
        if self._record(id).exists():
            fresh = self._progress(id).with_suffix(".fresh")
            fresh.write_text(words)
            fresh.replace(self._progress(id))

    def told(self, id: str) -> str:
        """How far a job is, as far as it told."""
        try:
            return self._progress(id).read_text()
        except FileNotFoundError:
            return "in progress"

    def owner(self, id: str) -> str | None:
        """Who asked. KeyError where there is no such job."""
        if not _ID(id):
            raise KeyError(id)
        try:
            found: Record = json.loads(self._record(id).read_bytes())
        except (FileNotFoundError, ValueError):
            raise KeyError(id) from None
        caller: str | None = found["caller"]
        return caller

    def read(self, id: str) -> Record | None:
        """The record; None while somebody works on it. KeyError where there is no such job."""
        try:
            with self._record(id).open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
                record: Record = json.loads(file.read())
                return record
        except BlockingIOError:
            return None
        except FileNotFoundError:
            raise KeyError(id) from None

    def answer(self, id: str) -> bytes:
        return self._answer(id).read_bytes()

    def forget(self, id: str) -> None:
        self._record(id).unlink(missing_ok=True)
        self._answer(id).unlink(missing_ok=True)
        self._progress(id).unlink(missing_ok=True)
        if (task := self.tasks.get(id)) is not None:
            task.cancel()

    def sweep(self) -> int:
        """Forget what is too old; answers how many are left."""
        left = 0
        for path in self.directory.glob("*.json"):
            with suppress(FileNotFoundError):
                if time.time() - path.stat().st_mtime > EXPIRES:
                    self.forget(path.stem)
                else:
                    left += 1
        return left

    async def close(self) -> None:
        """Break off what this process works on: whoever asks is told so."""
        tasks = list(self.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _record(self, id: str) -> Path:
        return self.directory / f"{id}.json"

    def _progress(self, id: str) -> Path:
        return self.directory / f"{id}.progress"

    def _answer(self, id: str) -> Path:
        return self.directory / f"{id}.answer"
