"""Engine: the contract that every store engine keeps. A Store holds one partition: a ledger with its own order."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import orjson

from server.ledger import (
    Change,
    Commit,
    Context,
    Cursor,
    Decide,
    FactRow,
    IndexRow,
    LateIndex,
    Position,
    Resource,
    Rules,
    Version,
    View,
)
from server.outcome import Issue
from server.search.filter import Filter
from server.store.jobs import Jobs
from server.store.recorded import Head, Recorded

WORDS = "words"  # the index of texts, which an engine may make late


@dataclass(frozen=True, slots=True)
class Sort:
    """Order by the least (descending: the greatest) key of an index; "_lastUpdated" and "_id" are no indexes.

    Where the index's keys are not in the values' order (codes, references), `value` reads it from the resource.
    """

    index: str
    descending: bool = False
    value: Callable[[Resource], Any] | None = None


@dataclass(frozen=True, slots=True)
class Follow:
    """An include: the index of references to follow, forward or (reverse) backward.

    None follows every reference of the source type, which is "*" for those of all types.
    """

    index: str | None
    source_type: str
    target_type: str | None = None
    iterate: bool = False
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class Search:
    """What the engine answers: resources of `type` that satisfy `filter`, a page of them, and what they include.

    `others` are further types, each with a filter of its own; then `sort` is by "_id", "_lastUpdated" or a `value`.
    `seen` says what is asked of the resources of a type that come along, at every step.
    """

    type: str
    filter: Filter
    sort: tuple[Sort, ...] = ()
    count: int = 50
    total: bool = False
    follow: tuple[Follow, ...] = ()
    others: tuple[tuple[str, Filter], ...] = ()
    explain: bool = False
    seen: Callable[[str], Filter] | None = None

    @property
    def parts(self) -> tuple[tuple[str, Filter], ...]:
        return ((self.type, self.filter), *self.others)


Named = tuple[str, Position | None]  # a resource ("Patient/1") in all its versions, or in one


class Page(NamedTuple):
    """A page at one position. The links to others are opaque tokens that carry the position; None where there is none.

    `plan` says how the page was found and what that cost, where the search asked for it. `created` are, of a
    history's versions, those that made a resource where none was, or none any more.
    """

    position: Position
    matches: tuple[Version, ...]
    included: tuple[Version, ...] = ()
    total: int | None = None
    next: str | None = None
    issues: tuple[Issue, ...] = ()
    previous: str | None = None
    first: str | None = None
    last: str | None = None
    plan: tuple[str, ...] = ()
    created: frozenset[Cursor] = frozenset()


def no_texts(resource: Resource) -> tuple[str, str]:
    """Of a store whose resources are not searched by their words."""
    return "", ""


def no_indexes(resources: Iterable[Resource]) -> Sequence[LateIndex]:
    """Of a store that makes no indexes of what is stored in it."""
    return ()


class Projections(NamedTuple):
    """What the store derives from a resource, handed in as pure functions, and a name that changes when they do.

    What a search may wait for, because it is made when the store finds the time: the rows of the indexes that the
    stored SearchParameters define, and on SQLite `texts`, the narrative's words and all others'.
    """

    rows: Callable[[Resource], Sequence[IndexRow]]
    facts: Callable[[Resource], Sequence[FactRow]]
    version: str
    texts: Callable[[Resource], tuple[str, str]] = no_texts
    indexes: Callable[[Iterable[Resource]], Sequence[LateIndex]] = no_indexes

    def fill(self, change: Change) -> None:
        """Set the change's rows and facts, where they are not set."""
        if change.rows is None:
            change.rows = () if change.resource is None else self.rows(change.resource)
        if change.facts is None:
            change.facts = () if change.resource is None else self.facts(change.resource)


async def no_rules(context: Context, before: View, changes: Sequence[Change], after: View) -> Sequence[Change]:
    """The Rules of a store that has none."""
    return ()


def fact_text(data: Any) -> str:
    """A fact's data as it is stored."""
    return orjson.dumps(data, option=orjson.OPT_SORT_KEYS).decode()


class Finding(NamedTuple):
    """Something wrong that `verify` found: where, and what."""

    place: str
    what: str


class Ledger(Protocol):
    """A store's ledger alone, for who copies it: read while others write, and nothing of it is changed."""

    async def head(self) -> Head:
        """The last commit that is answered for."""
        ...

    async def hash(self, position: Position) -> bytes | None:
        """A commit's hash; None where there is no such commit."""
        ...

    def commits(self, after: Position, until: Position) -> AsyncGenerator[Recorded, None]:
        """The commits after a position and up to another, in order, few in memory at once."""
        ...


class Receiver(Ledger, Protocol):
    """The ledger of a store that is copied into, and that nobody else has open meanwhile."""

    async def begin(self) -> None:
        """From now on, until `finish`, no server takes the store for whole."""
        ...

    async def append(self, commits: Sequence[Recorded]) -> None:
        """Write these at the end, as they are, and what the projections get of them; durable when it returns.

        Problem too_costly for a commit that this engine cannot hold, conflict where somebody else wrote.
        """
        ...

    async def finish(self, progress: Callable[[int, int], None]) -> None:
        """Bring on what is made late, and let servers in. `progress(done, of)` is of positions."""
        ...


class Store(Protocol):
    """One partition's ledger and projections. Opened once in each process; many processes may share one store.

    Whatever asks the database may wait for it; an engine whose database is in the process answers without waiting.
    """

    partition: str
    jobs: Jobs

    @property
    def refusing(self) -> str | None:
        """Why no write is taken any more."""
        ...

    async def open(self, rules: Rules = ..., *, later: bool = ...) -> None:
        """Make or check what is kept, and take writes. Problem unavailable where that cannot be.

        With `later`, a store whose database is elsewhere, and away, goes on trying by itself: until it is open, whoever
        asks it gets Problem unavailable.
        """
        ...

    async def close(self) -> None:
        """Finish the group of commits in hand, answer it, and let go."""
        ...

    async def commit(self, decide: Decide, context: Context, *, fingerprint: bytes | None = None) -> Commit:
        """Decide at the head and append, all or nothing; return when it is durable.

        With a fingerprint, the commit's id is an idempotency key: where it is in the ledger the first answer comes
        again, and Problem unprocessable where it was another request.
        """
        ...

    def prepare(self, change: Change) -> None:
        """Make what the projections get of a change, so that the head of the ledger need not be held for it."""
        ...

    async def leads(self, what: str) -> bool:
        """True where this process alone does something, from the first True on until it closes the store or ends."""
        ...

    async def head(self) -> Position: ...

    async def read(self, type: str, id: str, at: Position | None = None) -> Version | None: ...

    async def vread(self, type: str, id: str, position: Position) -> Version | None: ...

    async def search(self, search: Search, page: str | None = None) -> Page: ...

    async def history(
        self,
        type: str | None,
        id: str | None,
        *,
        since: int | None,
        at: tuple[int, int] | None,
        count: int,
        page: str | None,
        only: Collection[Named] | None = None,
    ) -> Page:
        """Versions, newest first: those made since an instant, and those that were current within a period.

        Instants are microseconds since the epoch; a period is half-open. `only` narrows it to these.
        """
        ...

    async def changes(self, after: Cursor, limit: int) -> list[Version]:
        """What the ledger has after a cursor, oldest first."""
        ...

    async def beyond(self, position: Position, within: float) -> Position:
        """The head, as soon as it is beyond a position, whichever process wrote; after so many seconds, what it is.

        Who waits is woken: at once by a commit of this process, within a moment by one of another.
        """
        ...

    async def position_at(self, at: int) -> Position:
        """The head's position as it was at an instant (microseconds since the epoch)."""
        ...

    async def view(self, at: Position | None = None) -> View:
        """The state at a position (default: now), which stays as it is while others write."""
        ...

    def verify(self, progress: Callable[[int, int], None] = ...) -> AsyncIterator[Finding]: ...

    async def rebuild(self, progress: Callable[[int, int], None]) -> None: ...

    async def backup(self, target: str, progress: Callable[[int, int], None] = ...) -> None:
        """The live store, as it is at one position, as a store in a new file."""
        ...

    def ledger(self) -> AbstractAsyncContextManager[Ledger]:
        """The ledger of a store that need not be open here. Problem unavailable where there is none."""
        ...

    def receiving(self) -> AbstractAsyncContextManager[Receiver]:
        """The store to copy into, made now if there is none. Problem unavailable while it is open anywhere."""
        ...

    async def statistics(self) -> dict[str, Any]: ...

    async def following(self) -> Mapping[str, float]:
        """How much of the ledger each index that is made late has followed, from 0 to 1: "words", and custom ones."""
        ...

    async def last(self, *types: str) -> Position:
        """The position of the last change to any resource of these types; 0 where there was none."""
        ...
