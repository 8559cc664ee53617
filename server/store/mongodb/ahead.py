"""Ahead: what the decides of a group ask, asked for all of them at once.

Decides run one after another, each on the state after the one before, and each would wait for its own questions. So
before that all of them run on the state before the group, side by side: what they ask at the same time is asked
together, and the view keeps the answers. What they come to there is thrown away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.ledger import Change, Fact, Position, Version, View
from server.outcome import Problem
from server.store.mongodb.head import HeadView, steps
from server.store.overlay import Overlay

_Running = Coroutine["Question", None, Any]
Run = Callable[[View], _Running]


@dataclass(frozen=True, slots=True)
class Question:
    """What a decide waits for: resources, facts of a kind, or a search."""

    references: Sequence[str] = ()
    facts: tuple[str, Sequence[str]] | None = None
    search: tuple[str, Any, int] | None = None

    def __await__(self) -> Generator[Question, None, None]:
        yield self


@dataclass(slots=True)
class _Asked:
    """What is asked together."""

    references: set[str] = field(default_factory=set)
    facts: dict[str, set[str]] = field(default_factory=dict)
    searches: dict[tuple[str, Any], int] = field(default_factory=dict)

    def add(self, question: Question) -> None:
        self.references.update(question.references)
        if question.facts is not None:
            kind, keys = question.facts
            self.facts.setdefault(kind, set()).update(keys)
        if question.search is not None:
            type, filter, limit = question.search
            self.searches[type, filter] = max(limit, self.searches.get((type, filter), 0))


class _Stops(Exception):  # noqa: N818 - not an error: what follows depends on what no other decide asks as well
    """A decide asks what is not asked ahead."""


async def ask(view: HeadView, runs: Iterable[Run]) -> None:
    """Have a view of the state before a group know what its decides will ask. Problem unavailable."""
    waiting = [run(Ahead(view)) for run in runs]
    room = len(waiting)  # for what earlier commits of the group write: their own come in its place
    try:
        while waiting:
            asked, waiting = await _gone_on(waiting)
            await asyncio.gather(
                view.look(asked.references),
                *(view.learn(kind, keys) for kind, keys in asked.facts.items()),
                *(view.find(type, filter, limit + room) for (type, filter), limit in asked.searches.items()),
            )
    except Problem as problem:
        if problem.kind == "unavailable":  # of anything else whoever asks again is told
            raise
    finally:
        for each in waiting:
            each.close()


async def _gone_on(runs: Iterable[_Running]) -> tuple[_Asked, list[_Running]]:
    """Each up to its next question; those that have come to their end are left out."""
    asked, waiting = _Asked(), []
    for each in runs:
        try:
            asked.add(each.send(None))
        except StopIteration:
            continue
        except Exception:  # noqa: BLE001, S112 - it is decided again, and answered then
            continue
        waiting.append(each)
        await asyncio.sleep(0)  # others have their turn
    return asked, waiting


class Ahead:
    """The View of a decide that is run ahead: it waits until what it asks is known."""

    def __init__(self, view: HeadView) -> None:
        self._view = view

    @property
    def position(self) -> Position:
        return self._view.position

    async def read(self, type: str, id: str) -> Version | None:
        reference = f"{type}/{id}"
        return (await self.read_many([reference])).get(reference)

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        wanted = list(references)
        await Question(references=wanted)
        return self._view.seen(wanted)

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        raise _Stops

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        if steps(filter):
            raise _Stops
        await Question(search=(type, filter, limit))
        return self._view.found(type, filter, limit)

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        wanted = list(keys)
        await Question(facts=(kind, wanted))
        return self._view.learned(kind, wanted)

    def with_(self, changes: Sequence[Change]) -> View:
        return Overlay(self, changes, self._view.at)
