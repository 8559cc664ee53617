"""Jobs: what a store keeps of asynchronous requests, so that each server on it can tell how far any of them is.

https://hl7.org/fhir/R4/async.html

A job is a record, and at last the record and the answer of what came of it. Whoever works on a job shows that it lives;
a job that nobody works on and that has no status is one that was broken off.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from typing import Any

EXPIRES = 86_400  # seconds that a job is kept
IN_PROGRESS = "in progress"

Record = dict[str, Any]
is_job = re.compile(r"[0-9a-f]{32}").fullmatch


class Jobs(ABC):
    """The jobs of one partition; `tasks` are those that this process works on, by id."""

    def __init__(self) -> None:
        self.tasks: dict[str, asyncio.Task[None]] = {}

    @abstractmethod
    async def begin(self, id: str, record: Record) -> None:
        """Write a record down. It is this process's, until `finish` or `let_go`."""

    @abstractmethod
    async def finish(self, id: str, record: Record, answer: bytes) -> None:
        """Write what came of it; nothing where the job was forgotten, or told as broken off, meanwhile."""

    @abstractmethod
    def let_go(self, id: str) -> None:
        """This process does no more for a job."""

    @abstractmethod
    def tell(self, id: str, words: str) -> None:
        """Write down, soon, how far a job is."""

    @abstractmethod
    async def told(self, id: str) -> str:
        """How far a job is, as far as it told."""

    @abstractmethod
    async def owner(self, id: str) -> str | None:
        """Who asked. KeyError where there is no such job."""

    @abstractmethod
    async def read(self, id: str) -> Record | None:
        """The record; None while somebody works on it. KeyError where there is no such job."""

    @abstractmethod
    async def answer(self, id: str) -> bytes: ...

    @abstractmethod
    async def remove(self, id: str) -> None:
        """Whatever is kept of a job is gone."""

    @abstractmethod
    async def sweep(self) -> int:
        """Forget what is too old; answers how many are left."""

    async def forget(self, id: str) -> None:
        """Remove a job, and break it off where it is this process's."""
        await self.remove(id)
        if (task := self.tasks.get(id)) is not None:
            task.cancel()

    async def close(self) -> None:
        """Break off what this process works on: whoever asks is told so."""
        tasks = list(self.tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
