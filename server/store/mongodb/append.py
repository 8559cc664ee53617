"""Append: commits into the ledger by unique inserts, and from there into the projection.

Whoever inserts a commit at a position has that position. The projection follows from the ledger, so that anybody may
make it of anybody's commit, and twice does no harm.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

import bson
from pymongo import InsertOne, UpdateOne
from pymongo.errors import BulkWriteError, ConnectionFailure, PyMongoError, WriteConcernError

from server.fhir import body
from server.ledger import FactRow, IndexRow, Position, Version
from server.outcome import Problem
from server.store import chain
from server.store.engine import Projections
from server.store.mongodb.document import Document, Standing, document_of
from server.store.mongodb.reads import Reads
from server.store.mongodb.schema import MAX_DOCUMENT, Collections, answering
from server.store.seq import seq_of

DOUBT = 30.0  # seconds in which it must come out whether an insert landed
AGAIN = 0.1  # seconds until it is tried again
_DUPLICATE = 11000
_CAUGHT = 16  # commits that are looked for at once
_SURELY_SMALL = 4_000_000  # bytes of bodies, which with all that is stored beside them stay below MAX_DOCUMENT


@dataclass(slots=True)
class Head:
    """The end of the ledger: its last commit's position, instant and hash."""

    position: Position
    at: int
    hash: bytes


@dataclass(slots=True)
class Entry:
    """A version that a commit writes, and what it is indexed by; `digest` is its body's."""

    version: Version
    rows: Sequence[IndexRow] = ()
    facts: Sequence[FactRow] = ()


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
    """The commit after `head`. Problem too_costly where MongoDB would not take it."""
    position = head.position + 1
    changes, links = [], []
    for entry in entries:
        version = entry.version
        digest = chain.digest(version.body)
        links.append((version.method, version.type, version.id, digest))
        changes.append(
            {"method": version.method, "type": version.type, "id": version.id, "digest": digest, "body": version.body}
        )
    hash = chain.link(head.hash, position, id, at, actor, links)
    document = {
        "_id": position,
        "id": id,
        "at": at,
        "actor": actor,
        "fingerprint": fingerprint,
        "answer": answer,
        "hash": hash,
        "changes": changes,
    }
    made = Draft(document, entries, Head(position, at, hash))
    _check_size(made)
    return made


def _check_size(made: Draft) -> None:
    if sum(len(entry.version.body or b"") for entry in made.entries) < _SURELY_SMALL and len(made.entries) < 5000:
        return
    documents = [made.document, *(document_of(each.version, None, each.rows, each.facts) for each in made.entries)]
    if any(len(bson.encode(each)) > MAX_DOCUMENT for each in documents):
        raise Problem.of(
            "too_costly",
            f"One commit holds at most {MAX_DOCUMENT // 1_000_000} MB in this store; send it in several",
        )


class Appender:
    """The ledger's end, as this process knows it, and what writes there."""

    def __init__(self, collections: Collections, reads: Reads, projections: Projections, partition: str) -> None:
        self.commits = collections.commits
        self.versions = collections.versions
        self.marks = collections.marks
        self.reads = reads
        self.projections = projections
        self.head = Head(0, 0, chain.genesis(partition))

    async def append(self, drafts: Sequence[Draft]) -> int:
        """Insert commits, one after the other; how many landed. Another process has the position of the next one.

        A connection that is lost leaves an insert in doubt: it is sent again, the same commit to the same position, and
        what is there then tells. Problem unavailable where even that cannot be found out.
        """
        landed, until = 0, time.monotonic() + DOUBT
        while landed < len(drafts):
            try:
                await self.commits.insert_many([each.document for each in drafts[landed:]], ordered=True)
                return len(drafts)
            except BulkWriteError as error:
                failed = [each for each in error.details["writeErrors"] if each["code"] != _DUPLICATE]
                if failed:
                    raise Problem.of("unavailable", f"The database refused a write: {failed[0]['errmsg']}") from None
                if error.details["writeErrors"]:
                    landed += int(error.details["writeErrors"][0]["index"])
                    if not await self._is_ours(drafts[landed].document, until):
                        return landed
                    landed += 1
            except (ConnectionFailure, WriteConcernError):
                if time.monotonic() > until:
                    raise _in_doubt() from None
                await asyncio.sleep(AGAIN)
        return landed

    async def _is_ours(self, document: Document, until: float) -> bool:
        """Whether a commit that was refused as a duplicate is its own: it had landed. Asked until a majority tells."""
        asked = {"$or": [{"_id": document["_id"]}, {"id": document["id"]}]}
        while time.monotonic() < until:
            with suppress(PyMongoError):
                found = {int(each["_id"]): each["id"] async for each in self.commits.find(asked, {"id": 1})}
                if found:
                    return bool(found.get(document["_id"]) == document["id"])
            await asyncio.sleep(AGAIN)
        raise _in_doubt()

    async def catch_up(self) -> None:
        """Come to the ledger's end; what is in it and not in the projection is carried on."""
        applied = await self.reads.head()
        if applied > self.head.position:
            with answering():
                found = await self.commits.find_one({"_id": applied}, {"at": 1, "hash": 1})
            assert found is not None, "what is applied is in the ledger"
            self.head = _head_of(found)
        while await self.step():
            pass

    async def step(self) -> bool:
        """Carry on the projection over the next commits of the ledger; whether there were any."""
        drafts = [self._read(document) for document in await self._next()]
        if drafts:
            await self.project(drafts)
            self.head = drafts[-1].head
        return bool(drafts)

    async def _next(self) -> list[Document]:
        """The next commits of the ledger, without a gap."""
        start = self.head.position + 1
        with answering():
            found = await self.commits.find({"_id": {"$in": [*range(start, start + _CAUGHT)]}}).to_list()
        by_position = {int(document["_id"]): document for document in found}
        documents = []
        while start in by_position:
            documents.append(by_position[start])
            start += 1
        return documents

    async def is_last(self) -> bool:
        """Whether the ledger ends where this process knows it to end."""
        with answering():
            return await self.commits.find_one({"_id": self.head.position + 1}, {"_id": 1}) is None

    def _read(self, document: Document) -> Draft:
        return Draft(document, list(entries_of(document, self.projections)), _head_of(document))

    async def projected(self, drafts: Sequence[Draft]) -> None:
        """As `project`, tried again while the database is away: what is in the ledger is to be answered for."""
        until = time.monotonic() + DOUBT
        while True:
            try:
                await self.project(drafts)
            except Problem:
                if time.monotonic() > until:
                    raise _in_doubt() from None
                await asyncio.sleep(AGAIN)
            else:
                return

    async def project(self, drafts: Sequence[Draft]) -> None:
        """Bring the projection on over these commits, which are in the ledger; durable when it returns."""
        entries = [entry for each in drafts for entry in each.entries]
        standing: dict[str, Standing | None] = {}
        for each in reversed(drafts):
            standing |= each.standing
        missing = {entry.version.reference for entry in entries} - standing.keys()
        standing |= await self.reads.standing(missing, seq_of(drafts[0].head.position))
        operations, last = self._operations(entries, standing)
        with answering():
            try:
                await self.versions.bulk_write(operations, ordered=False)
            except BulkWriteError as error:
                if any(each["code"] != _DUPLICATE for each in error.details["writeErrors"]):
                    raise
            position = drafts[-1].head.position
            await self.marks.update_one(
                {"_id": "head"}, {"$max": {"applied": position, **{f"last.{type}": at for type, at in last.items()}}}
            )
        self.reads.known.applied = max(self.reads.known.applied, position)

    def _operations(
        self, entries: Iterable[Entry], standing: Mapping[str, Standing | None]
    ) -> tuple[list[InsertOne[Document] | UpdateOne], dict[str, Position]]:
        """The versions, and the ends of those before them; and when each type changed last."""
        now = dict(standing)
        operations: list[InsertOne[Document] | UpdateOne] = []
        last: dict[str, Position] = {}
        for entry in entries:
            version = entry.version
            before = now.get(version.reference)
            made = document_of(version, before, entry.rows, entry.facts)
            operations.append(InsertOne(made))
            if before is not None:
                operations.append(UpdateOne({"_id": before.seq}, {"$set": {"until": version.position}}))
            now[version.reference] = Standing(made["_id"], made["born"], version.body is not None)
            last[version.type] = version.position
        return operations, last


def entries_of(document: Document, projections: Projections) -> Iterable[Entry]:
    """What a commit of the ledger writes."""
    position, at = int(document["_id"]), int(document["at"])
    for ordinal, change in enumerate(document["changes"]):
        content = change["body"]
        version = Version(change["type"], change["id"], position, ordinal, change["method"], at, content)
        if content is None:
            yield Entry(version)
        else:
            resource = body.loads(content)
            yield Entry(version, projections.rows(resource), projections.facts(resource))


def _head_of(document: Document) -> Head:
    return Head(int(document["_id"]), int(document["at"]), document["hash"])


def _in_doubt() -> Problem:
    return Problem.of(
        "unavailable",
        "The database was lost while it was written to: whether this was written is not known. Send it again once it "
        "is back, best with an Idempotency-Key",
    )
