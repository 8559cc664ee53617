"""Oversight: bring the Flags and Tasks of breaches up to date, by whoever asks: a report, a load, the background look.

The numbers are counted beside the requests, at one position. What follows from them is written in one commit, which is
decided at the head: where the ledger moved meanwhile, those whom it is about are counted again there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from server.auth.access import Caller
from server.coordination.caseload import census, oversight
from server.coordination.caseload.oversight import Breaches, Due, Look
from server.coordination.program.programs import Programs, active
from server.ledger import Change, Plan, Position, View, micros
from server.operations.call import aside
from server.repository import Repository
from server.search.filter import ALL

MAX_ORGANIZATIONS = 10_000


class Seen(NamedTuple):
    """What a look at a position found to be written."""

    position: Position
    due: list[tuple[Look, Due]]
    taken_back: Sequence[Change] = ()  # Flags of programs that are no more
    organizations: Sequence[str] = ()  # where these were looked for


async def look(repository: Repository, caller: Caller, now: datetime | None = None) -> int:
    """Look at every program with limits, at every organization. How many resources were written."""
    view = await repository.view(caller)
    seen = await aside(view, lambda asked: _seen_by_all(asked, micros(now or datetime.now(UTC))))
    return await written(repository, caller, seen)


async def _seen_by_all(view: View, now: int) -> Seen:
    programs = await active(view)
    organizations = [one.reference for one in await view.search("Organization", ALL, MAX_ORGANIZATIONS)]
    found: list[tuple[Look, Breaches]] = []
    for url in _limiting(programs):
        wanted = programs.near(url, now)
        counted, _ = await census.census(view, organizations, programs, wanted)
        for organization, one in counted.items():
            at = Look(organization, programs, wanted, now)
            found.append((at, await oversight.breaches(view, at, one)))
            one.let_go()
    taken_back = await oversight.without_program(view, organizations, programs, now)
    return (await seen(view, found))._replace(taken_back=taken_back, organizations=organizations)


def _limiting(programs: Programs) -> Iterable[str]:
    return [url for url in programs if any(any(one.program.of_kind("caseload-cap")) for one in programs.by_url[url])]


async def seen(view: View, found: Iterable[tuple[Look, Breaches]]) -> Seen:
    """What these breaches call for."""
    due = [(at, await oversight.due(view, at, breaches)) for at, breaches in found]
    return Seen(view.position, [(at, one) for at, one in due if one.changes])


async def written(repository: Repository, caller: Caller, seen: Seen) -> int:
    """Write it, all at once; nothing is asked of the ledger where there is nothing to write."""
    if not (seen.due or seen.taken_back):
        return 0
    now = micros(datetime.now(UTC))

    async def decide(view: View) -> Plan:
        if view.position == seen.position:
            return Plan([*(change for _, due in seen.due for change in due.changes), *seen.taken_back])
        changes = [change for at, due in seen.due for change in await _again(view, at, due)]
        if seen.taken_back:
            programs = await active(view)
            changes += await oversight.without_program(view, seen.organizations, programs, now)
        return Plan(changes)

    commit = await repository.commit(caller, decide, by_rule=True)
    return len(commit.versions) if commit.appended else 0


async def _again(view: View, at: Look, due: Due) -> list[Change]:
    """What is due at the head of those who were due something."""
    programs = await active(view)
    if at.wanted.url not in programs:
        return []
    here = Look(at.organization, programs, programs.near(at.wanted.url, at.now), at.now)
    found = await oversight.breaches_of(view, here, due.subjects)
    return (await oversight.due(view, here, found, due.subjects)).changes
