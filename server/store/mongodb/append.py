"""Append: commits into the ledger by unique inserts, and from there into the projection.

Whoever inserts a commit at a position has that position. The projection follows from the ledger, so that anybody may
make it of anybody's commit, and twice does no harm.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import bson
import structlog
from bson.errors import BSONError
from pymongo import UpdateMany, UpdateOne
from pymongo.errors import BulkWriteError, PyMongoError, ServerSelectionTimeoutError

from server.fhir import body
from server.ledger import Change, FactRow, IndexRow, Position, Version
from server.outcome import Problem
from server.store import chain
from server.store.engine import Projections
from server.store.mongodb.document import Document, Standing, document_of, place, said
from server.store.mongodb.failure import RETRY_AFTER, answering, codes_of, is_passing, problem_of, written_errors
from server.store.mongodb.reads import Reads
from server.store.mongodb.schema import (
    MAX_DOCUMENT,
    SELECT_WITHIN,
    TOGETHER,
    Collections,
    insert,
    one,
    update,
    whole,
)
from server.store.mongodb.turnstile import Turnstile
from server.store.recorded import Head, Recorded, RecordedChange, recorded
from server.store.seq import seq_of

DOUBT = 30.0  # seconds in which it must come out what became of a group of commits
AGAIN = 0.1  # seconds until it is tried again
_CAUGHT = 16  # commits that are looked for at once

_log = structlog.get_logger("mongodb")


@dataclass(slots=True)
class Entry:
    """A version that a commit writes, and what it is found by."""

    version: Version
    rows: Sequence[IndexRow] = ()
    facts: Sequence[FactRow] = ()
    words: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def document(self, before: Standing | None) -> Document:
        return document_of(self.version, before, self.rows, self.facts, self.words)


@dataclass(slots=True)
class Draft:
    """A commit that is decided: its document, and its entries."""

    document: Document
    entries: list[Entry]
    head: Head
    standing: dict[str, Standing | None] = field(default_factory=dict)


def draft(
    head: Head,
    id: str,
    at: int,
    actor: str | None,
    fingerprint: bytes | None,
    answer: bytes | None,
    entries: list[Entry],
) -> Draft:
    """The commit after `head`."""
    versions = [entry.version for entry in entries]
    bodies = [(version.method, version.type, version.id, version.body) for version in versions]
    return drafted(recorded(head, id, at, actor, fingerprint, answer, bodies), entries)


def drafted(commit: Recorded, entries: list[Entry]) -> Draft:
    """A commit as it is inserted."""
    document = {
        "_id": place(commit.position),
        "id": commit.id,
        "at": commit.at,
        "actor": commit.actor,
        "fingerprint": commit.fingerprint,
        "answer": commit.answer,
        "hash": commit.hash,
        "changes": [change._asdict() for change in commit.changes],
    }
    return Draft(document, entries, commit.head)


def recorded_of(document: Document) -> Recorded:
    """A commit as it was inserted."""
    changes = tuple(RecordedChange(**change) for change in document["changes"])
    id, actor, fingerprint, answer = (document[name] for name in ("id", "actor", "fingerprint", "answer"))
    position, at = int(document["_id"]), int(document["at"])
    return Recorded(position, id, at, actor, fingerprint, answer, document["hash"], changes)


def check(made: Draft) -> None:
    """Problem too_costly or unprocessable where MongoDB would not take a commit, or what is projected of it.

    What is in the ledger has to be projected: all that may be refused is refused before.
    """
    documents = [made.document, *(each.document(None) for each in made.entries)]
    try:
        size = max(len(bson.encode(each)) for each in documents)
    except (BSONError, UnicodeError, OverflowError) as error:
        raise Problem.of(
            "unprocessable", f"MongoDB has no form for a value in this commit ({type(error).__name__})"
        ) from None
    if size > MAX_DOCUMENT:
        raise Problem.of(
            "too_costly",
            f"A commit holds at most {MAX_DOCUMENT // 1_000_000} MB in this store, and so does a resource with its "
            f"index and its words: this comes to {size / 1_000_000:.1f} MB. Send it in several",
        )


def fill(change: Change, projections: Projections) -> None:
    """Make what a version is found by, where it is not made."""
    projections.fill(change)
    if change.words is None and change.resource is not None:
        change.words = said(projections.texts(change.resource))


class Appender:
    """The ledger's end, as this process knows it, and what writes there."""

    def __init__(self, collections: Collections, reads: Reads, projections: Projections, partition: str) -> None:
        self.commits = collections.commits
        self.versions = collections.versions
        self.marks = collections.marks
        self.reads = reads
        self.projections = projections
        self.turnstile = Turnstile(collections.turns, reads)
        self.head = Head(0, 0, chain.genesis(partition))
        self.lost: Callable[[], None] = lambda: None  # called while the database has been away for long
        self.refusing: str | None = None  # why no commit can be answered

    async def append(self, drafts: Sequence[Draft], until: float) -> int:
        """Insert commits, one after the other; how many landed. Another process has the position of the next one.

        A connection that is lost leaves an insert in doubt: it is sent again, the same commit to the same position, and
        what is there then tells. Problem unavailable where even that cannot be found out until then, or where nothing
        was sent, because there is no server to send it to.
        """
        landed, is_sent = 0, False
        while landed < len(drafts):
            try:
                await whole(self.commits.insert_many([each.document for each in drafts[landed:]], ordered=True))
                return len(drafts)
            except PyMongoError as error:
                if is_passing(error):
                    is_sent = is_sent or not _is_unsent(error, drafts)
                    if not is_sent:
                        raise problem_of(error) or error from None
                    await self._pause(until)
                    continue
                is_sent = True
                if not isinstance(error, BulkWriteError):
                    raise problem_of(error) or error from None
                landed += int(written_errors(error)[0]["index"])
                if codes_of(error) and not landed:
                    raise problem_of(error) or error from None
                if codes_of(error) or not await self._is_ours(drafts[landed].document, until):
                    return landed  # what has landed is answered; a commit that is refused is so again, by itself
                landed += 1
        return landed

    async def _is_ours(self, document: Document, until: float) -> bool:
        """Whether a commit that was refused as a duplicate is its own: it had landed. Asked until a majority tells."""
        while True:
            with suppress(Problem):
                found = await one(self.commits, {"_id": document["_id"]}, {"id": 1})
                if found or await one(self.commits, {"id": document["id"]}, {"id": 1}):
                    return found is not None and bool(found["id"] == document["id"])
            await self._pause(until)

    async def _pause(self, until: float) -> None:
        """Wait for a moment. Problem unavailable where it is too late for that."""
        left = until - time.monotonic()
        if left < 0:
            raise _in_doubt()
        if DOUBT - left > SELECT_WITHIN / 1000:
            self.lost()
        await asyncio.sleep(AGAIN)

    async def catch_up(self, steps: int | None = None) -> bool:
        """Come to the ledger's end, in fewer steps than these; whether it did. What is not projected is carried on.

        Where others write all the time, only who has the turn comes to the end.
        """
        while steps is None or steps > 0:
            await self._skip()
            if not await self.step():
                return True
            steps = None if steps is None else steps - 1
        return False

    async def _skip(self) -> None:
        """Come to where the projection is."""
        applied = await self.reads.head()
        if applied > self.head.position:
            found = await one(self.commits, {"_id": place(applied)}, {"at": 1, "hash": 1})
            assert found is not None, "what is applied is in the ledger"
            self.head = Head(applied, int(found["at"]), found["hash"])

    async def step(self) -> bool:
        """Carry on the projection over the next commits of the ledger; whether there were any."""
        drafts = [self._read(document) for document in await self._next()]
        if drafts:
            await self.project(drafts)
            self.head = drafts[-1].head
        return bool(drafts)

    async def _next(self) -> list[Document]:
        """The next commits of the ledger, without a gap; mostly there is none."""
        start = self.head.position + 1
        first = await self._at(start)
        if first is None:
            return []
        documents = [first]
        for each in await asyncio.gather(*(self._at(start + n) for n in range(1, _CAUGHT))):
            if each is None:
                break
            documents.append(each)
        return documents

    async def _at(self, position: Position) -> Document | None:
        return await one(self.commits, {"_id": place(position)})

    async def is_applied(self) -> bool:
        """Whether all that the ledger has is projected."""
        return await one(self.commits, {"_id": place(await self.reads.head() + 1)}, {"_id": 1}) is None

    async def is_last(self) -> bool:
        """Whether the ledger ends where this process knows it to end."""
        return await one(self.commits, {"_id": place(self.head.position + 1)}, {"_id": 1}) is None

    def _read(self, document: Document) -> Draft:
        commit = recorded_of(document)
        return Draft(document, list(entries_of(commit, self.projections)), commit.head)

    async def projected(self, drafts: Sequence[Draft], until: float) -> bool:
        """As `project`, tried again while the database is away: what is in the ledger is to be answered for."""
        while True:
            try:
                return await self.project(drafts)
            except Problem:
                if self.refusing:
                    raise
            await self._pause(until)

    async def project(self, drafts: Sequence[Draft]) -> bool:
        """Bring the projection on over these commits, which are in the ledger; durable when it returns.

        Returns whether another process waits to write.
        Problem unavailable where the database does not take it, now or, as `refusing` tells, at all.
        """
        try:
            is_called = await self._project(drafts)
        except PyMongoError as error:
            position = drafts[0].head.position
            _log.error("not projected", position=position, codes=codes_of(error))
            self.refusing = (
                f"The database refuses what is projected of commit {position} or one soon after, which the ledger has; "
                f"no write is taken until it does not (its codes: {codes_of(error)}). Reading goes on"
            )
            raise Problem.of("unavailable", self.refusing) from None
        self.refusing = None
        return is_called

    async def _project(self, drafts: Sequence[Draft]) -> bool:
        entries = [entry for each in drafts for entry in each.entries]
        standing: dict[str, Standing | None] = {}
        for each in reversed(drafts):
            standing |= each.standing
        missing = {entry.version.reference for entry in entries} - standing.keys()
        standing |= await self.reads.standing(missing, seq_of(drafts[0].head.position))
        inserts, ends, last = self._projected(entries, standing)
        with answering():
            _, is_called = await asyncio.gather(insert(self.versions, inserts), self.turnstile.passed())
            await update(self.versions, _ended(ends))
            position = drafts[-1].head.position
            mark = {"applied": position, **{f"last.{type}": at for type, at in last.items()}}
            await whole(self.marks.update_one({"_id": "head"}, {"$max": mark}))
        self.reads.mirror.follow([each.document for each in drafts], inserts)
        self.reads.known.applied = max(self.reads.known.applied, position)
        return is_called

    def _projected(
        self, entries: Iterable[Entry], standing: Mapping[str, Standing | None]
    ) -> tuple[list[Document], dict[int, Position], dict[str, Position]]:
        """The versions; where those before them end; and when each type changed last."""
        now = dict(standing)
        inserts: list[Document] = []
        ends: dict[int, Position] = {}
        last: dict[str, Position] = {}
        for entry in entries:
            version = entry.version
            before = now.get(version.reference)
            made = entry.document(before)
            inserts.append(made)
            if before is not None:
                ends[before.seq] = version.position
            now[version.reference] = Standing(int(made["_id"]), made["born"], version.body is not None)
            last[version.type] = version.position
        return inserts, ends, last


def _ended(ends: Mapping[int, Position]) -> list[UpdateOne | UpdateMany]:
    """The ends of the versions that others came after: one by one, or where those are too many by commit."""
    if len(ends) <= TOGETHER:
        return [UpdateOne({"_id": place(seq)}, {"$set": {"until": until}}) for seq, until in ends.items()]
    by_commit: dict[Position, list[str]] = {}
    for seq, until in ends.items():
        by_commit.setdefault(until, []).append(place(seq))
    return [UpdateMany({"_id": {"$in": ids}}, {"$set": {"until": until}}) for until, ids in by_commit.items()]


def entries_of(commit: Recorded, projections: Projections) -> Iterable[Entry]:
    """What a commit of the ledger writes."""
    for version in commit.versions():
        if version.body is None:
            yield Entry(version)
        else:
            resource = body.loads(version.body)
            words = said(projections.texts(resource))
            yield Entry(version, projections.rows(resource), projections.facts(resource), words)


def made_of(
    projections: Projections, commit: Document, standing: Callable[[str], Standing | None]
) -> Iterator[Document]:
    """The versions of a commit of the ledger, as they are inserted; `standing` tells the last one before each."""
    for entry in entries_of(recorded_of(commit), projections):
        yield entry.document(standing(entry.version.reference))


def _is_unsent(error: PyMongoError, drafts: Sequence[Draft]) -> bool:
    """Whether nothing of these went out: the driver found no server, and they are one message."""
    size = sum(len(bson.encode(each.document)) for each in drafts)
    return isinstance(error, ServerSelectionTimeoutError) and size < MAX_DOCUMENT


def _in_doubt() -> Problem:
    return Problem.of(
        "unavailable",
        "The database was lost while it was written to: whether this was written is not known. Send it again once it "
        "is back, best with an Idempotency-Key",
        headers={"Retry-After": RETRY_AFTER},
    )
