"""Repository: the one door to the data. Every read and write is made here, as one caller.

Index rows and facts are derived before the ledger is held; preconditions and rules are decided at its head.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from server.auth import recalled
from server.auth import sight as of
from server.auth.access import Caller, acting
from server.auth.seen import Seen, SeenView
from server.auth.shown import Shown
from server.auth.sight import PATIENT, Sight
from server.auth.stamp import stamped
from server.auth.writing import admitted
from server.ledger import (
    Change,
    Commit,
    Context,
    Cursor,
    Decide,
    IndexRow,
    Plan,
    Position,
    Resource,
    Version,
    View,
    micros,
)
from server.outcome import Problem
from server.repository.conformance import Conformance
from server.repository.containers import Containers
from server.search import query
from server.search.concepts import Terminology, no_terminology, resolved
from server.search.filter import ALL, And, Equal
from server.search.include import Include
from server.search.query import Query
from server.store.engine import Follow, Named, Page, Projections, Search, Sort, Store

KEYS = uuid.UUID("6a0f2a6e-0f5c-5d0c-9a43-6f6f0f6a7d11")  # the namespace of commit ids made from idempotency keys

DEFAULT_COUNT = 50  # resources a page
MAX_COUNT = 1000
FOLLOWED = 500  # versions that a follower is given at once
IDENTIFIER = f"{PATIENT}.identifier"
PATIENCE = 60.0  # seconds after which it looks whether anything came, though nothing woke it


class Repository:
    """Reads and writes of one partition."""

    def __init__(self, store: Store, projections: Projections, terminology: Terminology = no_terminology) -> None:
        self.store = store
        self.projections = projections
        self.terminology = terminology
        self.conformance = Conformance(store, projections)
        self._acting = recalled.Memory()

    async def read(self, caller: Caller, type: str, id: str, at: Position | None = None) -> Version:
        """The current version (or that at a position). Problem not_found, or gone where it was deleted."""
        version = await self.store.read(type, id, at)
        if version is None or not await self._is_seen(caller, version):
            raise Problem.not_found(f"There is no {type} with the id {id!r}")
        return _living(version)

    async def vread(self, caller: Caller, type: str, id: str, position: Position) -> Version:
        """One version. Problem not_found, or gone where that version is the deletion."""
        version = await self.store.vread(type, id, position)
        if version is None or not await self._is_seen(caller, version):
            raise Problem.not_found(f"{type}/{id} has no version {position}")
        return _living(version)

    async def check_seen(self, caller: Caller, type: str, id: str) -> None:
        """Problem not_found for what is hidden from the caller, or was never there."""
        if caller.actor is not None:
            version = await self.store.read(type, id)
            if version is None or not await self._is_seen(caller, version):
                raise Problem.not_found(f"There is no {type}/{id}")

    async def _sight(self, caller: Caller) -> Sight | None:
        """What a caller sees, as of now; None for the local system, which sees all."""
        if caller.actor is None:
            return None
        last = await self.store.last(*recalled.TYPES)
        view = self._acting.of(await self.store.view(), last)
        return of.sight(await acting(view, caller.actor, micros(datetime.now(UTC))))

    def _shown(self, sight: Sight) -> Shown:
        return Shown(self.store, sight, self.projections.rows)

    async def _is_seen(self, caller: Caller, version: Version) -> bool:
        """Whether a resource is seen, by its current version; where that is a deletion, by what was deleted."""
        if caller.actor is None:
            return True
        sight = await self._sight(caller)
        return sight is None or bool(await self._shown(sight).of([version], listed=False))

    async def parsed(
        self,
        types: str | Sequence[str],
        parameters: Sequence[tuple[str, str]],
        *,
        base_url: str,
        lenient: bool,
        within: str | None = None,
    ) -> Query:
        """Read a search's parameters, by R4's definitions and the stored ones. Problem as `search.query.parse`."""
        asked = partial(query.parse, types, parameters, base_url=base_url, lenient=lenient, within=within)
        return await self.conformance.parsed(asked)

    async def search(self, caller: Caller, query: Query, page: str | None = None) -> Page:
        """A page of matches and what they include. A page's token holds the position that it was taken at."""
        search, sight = _search(query), await self._sight(caller)
        if sight is not None:
            search = _guarded(search, sight)
        if query.asks:
            search = await self._resolved(search)
        if query.contained != "false":
            return await Containers(self.store, self.projections.rows).page(query, search)
        found = await self.store.search(search, page)
        return found if sight is None or page is None else await self._shown(sight).still(found)

    async def _resolved(self, search: Search) -> Search:
        """The search with the codes that its filters ask the terminology for."""
        parts = [(type, await resolved(filter, self.terminology)) for type, filter in search.parts]
        return replace(search, filter=parts[0][1], others=tuple(parts[1:]))

    async def history(
        self,
        caller: Caller,
        type: str | None = None,
        id: str | None = None,
        *,
        since: int | None = None,
        at: tuple[int, int] | None = None,
        count: int = DEFAULT_COUNT,
        page: str | None = None,
        only: Collection[Named] | None = None,
    ) -> Page:
        """Versions, newest first; deletions have no body. Made `since` an instant, current at some time of `at`.

        Instants are microseconds since the epoch; a period is half-open. `only` narrows it to these.
        """
        current = await self.store.read(type, id) if type and id else None
        if type and id and (current is None or not await self._is_seen(caller, current)):
            raise Problem.not_found(f"There is no {type} with the id {id!r}")
        told = partial(self.store.history, type, id, since=since, at=at, only=only)
        sight = await self._sight(caller)
        if sight is None or (type is not None and sight.clause(type) == ALL):
            return await told(count=min(count, MAX_COUNT), page=page)
        return await self._shown(sight).history(told, min(count, MAX_COUNT), page, listed=id is None)

    async def changes(self, caller: Caller, after: Cursor, limit: int) -> list[Version]:
        """What the ledger has after a cursor, oldest first."""
        found, sight = await self.store.changes(after, limit), await self._sight(caller)
        return found if sight is None else await self._shown(sight).of(found)

    async def follow(self, caller: Caller, after: Cursor, limit: int = FOLLOWED) -> AsyncIterator[list[Version]]:
        """What the ledger has after a cursor, oldest first and at most so many at once; then what comes, as it comes.

        Without an end. A Problem (the database is away) ends it: begin again after the last version that was seen.
        """
        seen = after.position
        while True:
            if versions := await self.store.changes(after, limit):
                sight = await self._sight(caller)
                if shown := versions if sight is None else await self._shown(sight).of(versions):
                    yield shown
                after = Cursor(versions[-1].position, versions[-1].ordinal)
                seen = max(seen, after.position)
            else:  # a commit may hold no version: then the head is beyond `after`, and nothing is there
                seen = await self.store.beyond(seen, PATIENCE)

    async def view(self, caller: Caller, at: Position | None = None) -> View:
        """The state at a position (default: now), which stays as it is while others write."""
        if at is not None and at > await self.store.head():
            raise Problem.invalid(f"The ledger has not reached position {at}", "http.at")
        view, sight = await self.store.view(at), await self._sight(caller)
        if sight is None:
            return view
        present = None if at is None else Seen(await self.store.view(), sight, self.projections.rows)
        return SeenView(view, Seen(view, sight, self.projections.rows, present=present), decides=False)

    @staticmethod
    async def enrolled(view: View, of: Query, episodes: Sequence[Resource]) -> list[str]:
        """The ids of the Patients, two at most, whom a view's caller enrols by their identifier without seeing them."""
        if not isinstance(view, SeenView) or of.type != PATIENT:
            return []
        asked = of.filter
        if not isinstance(asked, Equal) or asked.index != IDENTIFIER:
            return []
        return [version.id for version in await view.enrolled(asked, episodes)]

    async def head(self, caller: Caller) -> Position:
        return await self.store.head()

    async def position_at(self, caller: Caller, at: int) -> Position:
        """The head's position as it was at an instant, in microseconds since the epoch."""
        return await self.store.position_at(at)

    def prepare(self, change: Change) -> Change:
        """Fill the change's index rows and facts, so that the head of the ledger need not be held for it."""
        self.store.prepare(change)
        return change

    def searched(self, change: Change) -> list[IndexRow]:
        """All rows that a condition may find a change by: those of stored parameters too, which no commit carries."""
        if change.resource is None:
            return []
        return [*(self.prepare(change).rows or ()), *self.conformance.late_rows(change.type, change.resource)]

    async def commit(
        self,
        caller: Caller,
        decide: Decide,
        *,
        key: str | None = None,
        fingerprint: bytes = b"",
        override: Mapping[str, Any] | None = None,
        now: datetime | None = None,
        by_rule: bool = False,
    ) -> Commit:
        """Decide at the head, under the rules, and append; returns when it is durable.

        `key` is the request's Idempotency-Key and `fingerprint` what the request was: sent again, the first answer
        comes again. What is written `by_rule` follows from rules, which may write what the caller may not: that the
        caller wrote it is said all the same.
        """
        sight = await self._sight(caller)
        if sight is not None:
            decide = self._as_seen(decide, sight, by_rule=by_rule)
        id = new_id() if key is None else str(uuid.uuid5(KEYS, f"{caller.actor or ''}\0{key}"))
        context = Context(id, now or datetime.now(UTC), caller.actor, override)
        return await self.store.commit(decide, context, fingerprint=None if key is None else fingerprint)

    def _as_seen(self, decide: Decide, sight: Sight, *, by_rule: bool) -> Decide:
        """The decide on what a caller sees, what it writes held to what the caller may write."""

        async def decided(view: View) -> Plan:
            seen = Seen(view, sight, self.projections.rows)
            plan = await decide(SeenView(view, seen, decides=True))
            if not plan.changes:
                return plan
            for change in plan.changes:
                self.prepare(change)
            written = stamped(seen, plan.changes, ()) if by_rule else admitted(seen, plan.changes)
            return replace(plan, changes=await written)

        return decided


def new_id() -> str:
    """A UUID of version 7: in the order of time, so that new resources stand together in the store's B-trees."""
    rest = int.from_bytes(os.urandom(10))
    low = 7 << 76 | (rest >> 68 & 0xFFF) << 64 | 2 << 62 | rest & ((1 << 62) - 1)
    text = f"{time.time_ns() // 1_000_000:012x}{low:020x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _living(version: Version) -> Version:
    if version.body is None:
        raise Problem.of(
            "gone",
            f"{version.reference} was deleted in version {version.position}; PUT brings it back",
            headers={"ETag": version.etag},
        )
    return version


def _search(query: Query) -> Search:
    """The query in the store's words."""
    counting = query.summary == "count"
    count = DEFAULT_COUNT if query.count is None else min(query.count, MAX_COUNT)
    return Search(
        query.type,
        query.filter,
        tuple(Sort(sort.index or sort.code, sort.descending, sort.value) for sort in query.sort),
        0 if counting else count,
        counting or not count or query.total != "none",
        (*map(_follow, query.include), *(replace(_follow(each), reverse=True) for each in query.revinclude)),
        query.others,
        query.explain,
    )


def _guarded(search: Search, sight: Sight) -> Search:
    """The search for what is seen, none of whose steps leads through what is not."""
    (_, first), *others = [
        (type, And((sight.guarded(filter), clause)) if (clause := sight.clause(type)) != ALL else sight.guarded(filter))
        for type, filter in search.parts
    ]
    # how it was found would tell of what is hidden
    return replace(search, filter=first, others=tuple(others), seen=sight.clause, explain=False)


def _follow(include: Include) -> Follow:
    return Follow(include.index, include.source_type, include.target_type, include.iterate)
