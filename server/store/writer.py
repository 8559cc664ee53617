"""Writer: what happens to one commit at the head of the ledger, whatever the engine: decide, rules, what is new."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from server.ledger import Change, Commit, Context, Decide, Position, Rules, Version, View
from server.outcome import Problem
from server.store.engine import Projections

ROUNDS = 4  # in which the rules come to rest: what follows from a write, what follows from that, and so on


@dataclass(slots=True)
class Request:
    """A commit that waits for the writer."""

    decide: Decide
    context: Context
    fingerprint: bytes | None
    done: asyncio.Future[Commit]


class Decided(NamedTuple):
    """Each change with the version that stands now, and whether it makes a new one. `output` is the plan's."""

    changes: tuple[tuple[Change, Version | None, bool], ...]
    output: Any


async def decided(view: View, decide: Decide, context: Context, rules: Rules, projections: Projections) -> Decided:
    """Run one decide and the rules on the state at the head. Raises Problem; writes nothing."""
    plan = await decide(view)
    changes = plan.changes
    _once_each(changes)
    for change in changes:
        projections.fill(change)
    changes = await _ruled(view, changes, context, rules, projections)
    if len(changes) > 1:
        await view.read_many([change.reference for change in changes])  # at one question; a view remembers
    found = []
    for change in changes:
        now = await view.read(change.type, change.id)
        found.append((change, now, _is_new(change, now)))
    return Decided(tuple(found), plan.output)


async def _ruled(
    view: View, changes: list[Change], context: Context, rules: Rules, projections: Projections
) -> list[Change]:
    """The changes and what the rules add to them, or put in their place; what was added is judged again, to rest."""
    for _ in range(ROUNDS):
        further = await rules(context, view, changes, view.with_(changes))
        if not further:
            return changes
        merged = {change.reference: change for change in changes}
        for change in further:
            projections.fill(change)
            merged[change.reference] = change
        changes = list(merged.values())
    raise RuntimeError("the rules do not come to rest: a change that they made calls for another")


def _once_each(changes: Sequence[Change]) -> None:
    seen: set[str] = set()
    for change in changes:
        if change.reference in seen:
            raise Problem.invalid(f"{change.reference} is written twice in one commit; a commit writes a resource once")
        seen.add(change.reference)


def _is_new(change: Change, now: Version | None) -> bool:
    if change.resource is None:
        return now is not None and now.body is not None
    return now is None or now.body is None or change.stamped(now.position, now.at) != now.body


def answer(position: Position, made: Decided) -> bytes:
    """What a repeated key answers from: the output, and which versions the commit answered with."""
    places = [
        (change.type, change.id, position if is_new or now is None else now.position)
        for change, now, is_new in made.changes
        if is_new or now is not None
    ]
    return orjson.dumps([made.output, places])
