"""Escalation: bring what waits for an answer, and the liaisons' Tasks about it, up to date, by the background look.

A page of Tasks is in memory at a time, and a commit writes what one page calls for.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime
from typing import Any

from server.auth.access import Caller
from server.coordination import parting
from server.coordination.escalation import due, settled
from server.coordination.program.programs import active
from server.coordination.proposal import Kind
from server.coordination.rule import PROPOSED
from server.coordination.stored import read_many
from server.ledger import Change, Plan, View, micros
from server.repository import Repository

PAGE = "500"  # Tasks that are looked at together
OPEN = "requested,received,accepted,ready,in-progress,on-hold"

Due = Callable[[View, Sequence[str]], Any]  # (the Tasks of a page) -> what they call for


async def look(repository: Repository, caller: Caller, now: datetime) -> int:
    """How many Tasks were written; nothing is asked of the ledger where nothing is due."""
    return sum([await _looked(repository, caller, kind, now) for kind in PROPOSED])


async def _looked(repository: Repository, caller: Caller, kind: Kind[Any, Any], now: datetime) -> int:
    async def over(view: View, disputes: Sequence[str]) -> list[Change]:
        return await settled(kind, view, (await read_many(view, disputes)).values())

    async def late(view: View, waiting: Sequence[str]) -> list[Change]:
        programs = await active(view)
        parted = await parting.due(kind, view, waiting, programs, micros(now))
        there = {change.reference for change in parted}
        left = [one for one in waiting if one not in there]
        return [*parted, *await due(kind, view, left, programs, micros(now))]

    count = 0
    for code, called_for in ((kind.code, late), (kind.dispute, over)):
        async for tasks in pages(repository, caller, "Task", [("code", code), ("status", OPEN)]):
            count += await written(repository, caller, tasks, called_for)
    return count


async def pages(
    repository: Repository, caller: Caller, type: str, criteria: Sequence[tuple[str, str]]
) -> AsyncIterator[list[str]]:
    """The resources of a type that meet these, a page of them at a time."""
    query = await repository.parsed(type, [*criteria, ("_count", PAGE)], base_url="", lenient=False)
    token = None
    while True:
        page = await repository.search(caller, query, token)
        yield [version.reference for version in page.matches]
        if (token := page.next) is None:
            return


async def written(repository: Repository, caller: Caller, given: Sequence[str], called_for: Due) -> int:
    """Write what is called for, decided at the head; no commit where that is nothing."""

    async def decide(view: View) -> Plan:
        return Plan(await called_for(view, given))

    if not given or not (await decide(await repository.view(caller))).changes:
        return 0
    return len((await repository.commit(caller, decide, by_rule=True)).versions)
