"""Roster: a coordination check of every member whom two organizations have together, a page of them at a time.

What is in memory is a page, however many there are. What is found is kept in commits of a few members each, decided at
the head; a member about whom nothing is to be written costs no commit. So a run that was broken off loses nothing, and
goes on at the cursor that was told last.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from typing import NamedTuple

from server.auth.access import Caller
from server.coordination.lead.terms import Terms, of
from server.coordination.program.programs import Programs, active
from server.coordination.responsibility.check import When, is_checked
from server.coordination.responsibility.detected_issue import Judged, agreed, as_kept, due, judged
from server.ledger import Change, Plan, Position, Resource, View, micros
from server.operations.call import aside
from server.outcome import Problem
from server.repository import Repository
from server.search.query import parse
from server.store.engine import Search

PAGE = 500  # episodes that are looked at together
FEW = 50  # members whose issues are written in one commit

Watch = Callable[[int, int, str], None]  # called with the episodes done, of how many, and where to go on from


class Asked(NamedTuple):
    """Whose members: of one organization or of all, of one program (a url) or of all; from a cursor on."""

    organization: str | None = None
    program: str | None = None
    cursor: str | None = None
    shown: int = 0  # issues that are kept for the answer


@dataclass(slots=True)
class Roster:
    """What was found. `members` counts those whom two organizations have, `concerned` those with an issue."""

    members: int = 0
    concerned: int = 0
    written: int = 0
    found: Counter[str] = field(default_factory=Counter)  # by DetectedIssue.code
    issues: list[Resource] = field(default_factory=list)


class _Episodes(NamedTuple):
    """A page: episodes and their members, at which position; the cursor of the next, and how many there are of all."""

    position: Position
    episodes: dict[str, str]
    next: str | None
    total: int


def _silent(done: int, of: int, cursor: str) -> None: ...


async def read(repository: Repository, caller: Caller, asked: Asked, when: When, watch: Watch = _silent) -> Roster:
    """What is found, as of whatever time; nothing is written."""
    found = Roster()
    async for page in _pages(repository, caller, asked, watch):
        view = await repository.view(caller, page.position)
        own = await aside(view, partial(_judged, page=page, when=when))
        _count(found, asked, page, await as_kept(view, await told(view, caller, own, when.now)))
    return found


async def kept(
    repository: Repository, caller: Caller, asked: Asked, watch: Watch = _silent, at: datetime | None = None
) -> Roster:
    """What is found as of now (or `at`), and kept: each page is brought up to date before the next one is read."""
    found = Roster()
    async for page in _pages(repository, caller, asked, watch):
        now = at or datetime.now(UTC)
        view = await repository.view(caller)
        own, changes = await aside(view, partial(_due, page=page, now=micros(now)))
        _count(found, asked, page, await as_kept(view, await told(view, caller, own, micros(now))))
        found.written += await _written(repository, caller, sorted(_members(changes)), now)
    return found


# Pages


async def _pages(repository: Repository, caller: Caller, asked: Asked, watch: Watch) -> AsyncIterator[_Episodes]:
    view = await repository.view(caller)
    programs = await active(view)
    if asked.organization and not (await view.read_many([asked.organization])).get(asked.organization):
        raise Problem.of(
            "not_found", f"There is no {asked.organization}; an organization is named as Organization/[id]"
        )
    types = sorted({type for program in _checked(programs, asked.program) for type in _types(program, asked)})
    if not types:
        return
    criteria = [("type", ",".join(types)), *([("organization", asked.organization)] if asked.organization else [])]
    filter = parse("EpisodeOfCare", criteria, base_url="", lenient=False).filter
    total = (await repository.store.search(Search("EpisodeOfCare", filter, count=0, total=True))).total or 0
    cursor, done, more = asked.cursor, 0, True
    while more:
        page = await repository.store.search(Search("EpisodeOfCare", filter, count=PAGE), cursor)
        view = await repository.view(caller, page.position)
        rows = await view.facts("subject", [one.reference for one in page.matches])
        yield _Episodes(
            page.position, {one: fact.data for one, some in rows.items() for fact in some}, page.next, total
        )
        done += len(page.matches)
        cursor, more = page.next, page.next is not None
        watch(done, total, cursor or "")


def _checked(programs: Programs, url: str | None) -> Iterable[Terms]:
    """The programs that are checked, in every version."""
    if url is not None:
        programs.meant(url)
    versions = (dated.program for dated in programs.versions())
    return [terms for one in versions if one.url in (url or one.url) and is_checked(one) and (terms := of(one))]


def _types(terms: Terms, asked: Asked) -> set[str]:
    """By which episodes the members are found: the organization's own, whichever of both it is."""
    partner = {str(terms.rule.parameters["partner"])}
    return partner | terms.program.types if asked.organization else partner


# What is found


async def _judged(view: View, page: _Episodes, when: When) -> list[Judged]:
    return await judged(view, sorted(set(page.episodes.values())), when)


async def _due(view: View, page: _Episodes, now: int) -> tuple[list[Judged], list[Change]]:
    patients = sorted(set(page.episodes.values()))
    found = await judged(view, patients, When(now))
    return found, await due(view, patients, found, now)


async def told(view: View, caller: Caller, found: list[Judged], now: int) -> list[Judged]:
    """What the caller may know: an organization, what is found with those with which it shares members now."""
    return found if caller.actor is None else await agreed(view, found, now)


def _members(changes: Iterable[Change]) -> set[str]:
    """Whom these issues are about."""
    issues = (one.resource or {} for one in changes if one.type == "DetectedIssue")
    return {one["patient"]["reference"] for one in issues}


async def _written(repository: Repository, caller: Caller, patients: Sequence[str], now: datetime) -> int:
    """Bring these members' issues up to date at the head, some in a commit. How many resources were written."""
    count = 0
    for start in range(0, len(patients), FEW):
        some = patients[start : start + FEW]

        async def decide(view: View, some: Sequence[str] = some) -> Plan:
            return Plan(await due(view, some, await judged(view, some, When(micros(now))), micros(now)))

        commit = await repository.commit(caller, decide, now=now, by_rule=True)
        count += len(commit.versions) if commit.appended else 0
    return count


def _count(found: Roster, asked: Asked, page: _Episodes, own: Sequence[Judged]) -> None:
    """Each member once, with the page that has the first of the member's episodes."""
    members: dict[int, bool] = {}
    for one in own:
        if _is_meant(one, asked) and _is_first(one, page, asked):
            members[id(one.asked.member)] = members.get(id(one.asked.member), False) or bool(one.issues)
            found.found.update(issue["code"]["coding"][0]["code"] for issue in one.issues)
            found.issues += one.issues[: max(0, asked.shown - len(found.issues))]
    found.members += len(members)
    found.concerned += sum(members.values())


def _is_meant(one: Judged, asked: Asked) -> bool:
    organizations = one.asked.pair.organizations
    return asked.program in (None, one.asked.terms.program.url) and (
        asked.organization is None or asked.organization in organizations
    )


def _is_first(one: Judged, page: _Episodes, asked: Asked) -> bool:
    types = _types(one.asked.terms, asked)
    own = [
        each.episode
        for each in one.asked.member.enrolments
        if not types.isdisjoint(each.types) and asked.organization in (None, each.organization)
    ]
    return min(own, default="") in page.episodes
