"""The words that all rooms share: Change, Plan, Version, Fact, Commit, View. Types only; no room's logic.

Every write is a *commit*, appended to one ordered ledger. Its *position* (1, 2, 3 …) is the versionId of every
resource that it wrote, the ETag, the paging snapshot and the history order. A cursor is (position, ordinal).
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

Position = int
Resource = dict[str, Any]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Cursor(NamedTuple):
    """A place in the ledger: the commit's position and the change's ordinal in it."""

    position: Position
    ordinal: int


class Version(NamedTuple):
    """One version of one resource, as the ledger holds it. `body` is None where the version is a deletion."""

    type: str
    id: str
    position: Position
    ordinal: int
    method: str  # POST, PUT, PATCH or DELETE: history's entry.request.method
    at: int  # microseconds since the epoch, never falling from one position to the next
    body: bytes | None

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"

    @property
    def etag(self) -> str:
        return f'W/"{self.position}"'


class Fact(NamedTuple):
    """An answer that rules need and no search parameter gives. `data` is JSON; `source` is the resource it is of."""

    kind: str
    key: str
    data: Any
    source: str


IndexRow = tuple[str, bytes | str]  # (index name "CarePlan.status", key); a str key is a local reference "Patient/1"
FactRow = tuple[str, str, Any]  # (kind, key, data)


@dataclass(slots=True)
class Change:
    """One resource to be written or, where `resource` is None, deleted.

    `text` is the body's bytes before and after its version stamp, which only the head of the ledger knows.
    `rows`, `facts` and `words` (an engine's own) are what the projections get; the store makes them before the ledger
    is held, and its writer makes those of what a decide made itself. `judged` is what validation found by the profiles
    that the resource declares, so that the head need not judge again.
    """

    method: str
    type: str
    id: str
    resource: Resource | None = None
    text: tuple[bytes, bytes] = (b"", b"")
    rows: Sequence[IndexRow] | None = field(default=None, repr=False)
    facts: Sequence[FactRow] | None = field(default=None, repr=False)
    words: Any = field(default=None, repr=False)
    judged: dict[str, Any] = field(default_factory=dict, repr=False)
    is_derived: bool = False  # made by a rule, from what it has judged

    @property
    def reference(self) -> str:
        return f"{self.type}/{self.id}"

    def stamped(self, position: Position, at: int) -> bytes:
        """The body as it is stored and sent: the client's bytes, with this version's stamp."""
        head, tail = self.text
        return b'%b"versionId":"%d","lastUpdated":"%b"%b' % (head, position, instant(at).encode(), tail)


@dataclass(slots=True)
class Plan:
    """What a decide wants: changes, in order, and an output that is JSON (kept where the request has a key)."""

    changes: list[Change] = field(default_factory=list)
    output: Any = None


@dataclass(frozen=True, slots=True)
class Commit:
    """What became of a commit. `versions` follow the plan's changes; one that changed nothing is the stored version."""

    position: Position  # the head's, where nothing was appended
    id: str
    at: int
    versions: tuple[Version, ...]
    output: Any = None
    appended: bool = True


class LateIndex(NamedTuple):
    """An index of one resource type that the store makes when it finds the time: its name, and a resource's rows."""

    name: str
    type: str
    rows: Callable[[Resource], Sequence[IndexRow]]


@dataclass(frozen=True, slots=True)
class Context:
    """The inputs of a commit that decides and rules may use in the place of a clock and randomness."""

    commit_id: str
    now: datetime  # the request's instant, aware
    actor: str | None = None  # "PractitionerRole/7"; None is the local system caller, who may do all
    override: Mapping[str, Any] | None = None  # CodeableConcept: the coded reason of an override that a rule may allow
    base_url: str = ""  # under which absolute references are local ones

    def derive(self, name: str) -> str:
        """An id that a rule makes: the same each time the same commit is decided."""
        return str(uuid.uuid5(uuid.UUID(self.commit_id), name))


class View(Protocol):
    """The state at the ledger's head, earlier commits of the same group included. Decides read only through it."""

    @property
    def position(self) -> Position: ...

    async def read(self, type: str, id: str) -> Version | None:
        """The current version, a deletion included; None where the id was never used."""
        ...

    async def read_many(self, references: Iterable[str]) -> dict[str, Version]:
        """What `read` finds of each reference "Type/id", those never used left out. One query a type, however many."""
        ...

    async def vread(self, type: str, id: str, position: Position) -> Version | None:
        """One version, which an earlier commit wrote."""
        ...

    async def search(self, type: str, filter: Any, limit: int) -> list[Version]:
        """The first `limit` current resources that satisfy a search.filter.Filter."""
        ...

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        """The facts of a kind under each key; a key without facts has an empty list. One query, however many keys."""
        ...

    def with_(self, changes: Sequence[Change]) -> View:
        """The state after these changes."""
        ...


Decide = Callable[[View], Awaitable[Plan]]

# (context, before, changes, after) -> further changes; raises Problem to refuse the commit
Rules = Callable[[Context, View, Sequence[Change], View], Awaitable[Sequence[Change]]]


def micros(moment: datetime) -> int:
    """Microseconds since the epoch."""
    return (moment - EPOCH) // timedelta(microseconds=1)


def instant(at: int) -> str:
    """Microseconds since the epoch as FHIR's instant, in UTC with milliseconds."""
    seconds, rest = divmod(at, 1_000_000)
    return f"{_second(seconds)}.{rest // 1000:03d}Z"


@lru_cache(256)
def _second(seconds: int) -> str:
    return (EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
