"""Verify: the ledger against its hash chain, the projection against the ledger."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

from server.fhir import body
from server.ledger import Position
from server.search.filter import MARK
from server.store import chain
from server.store.engine import WORDS, Finding, Projections
from server.store.mongodb.append import entries_of, recorded_of
from server.store.mongodb.document import OPEN, Document, Standing, document_of, keys, said
from server.store.mongodb.late import Late
from server.store.mongodb.reads import Mark, Reads
from server.store.mongodb.schema import one, some
from server.store.seq import seq_of


async def findings(
    reads: Reads, late: Late, partition: str, projections: Projections, progress: Callable[[int, int], None]
) -> AsyncIterator[Finding]:
    """Everything that is wrong, at one position: nothing, if all is well."""
    mark = await reads.mark()
    checked = _Checked(reads, late, projections, mark)
    await checked.prepare()
    hash, last = chain.genesis(partition), 0
    for position in range(1, mark.applied + 1):
        document = await one(reads.collections.commits, {"_id": position})
        if document is None:
            yield Finding(f"commit {position}", "it is missing from the ledger")
            continue
        for what in _wrong(document, hash, last):
            yield Finding(f"commit {position}", what)
        hash, last = document["hash"], int(document["at"])
        async for finding in checked.commit(document):
            yield finding
        progress(position, mark.applied)
    async for finding in checked.rest():
        yield finding


def _wrong(document: Document, hash: bytes, last: int) -> list[str]:
    found, links = [], []
    if document["at"] < last:
        found.append("its instant is before that of the commit before it")
    for change in document["changes"]:
        links.append((change["method"], change["type"], change["id"], change["digest"]))
        if change["body"] is not None and chain.digest(change["body"]) != change["digest"]:
            found.append(f"the body of {change['type']}/{change['id']} is not the one that was written")
    position, at = int(document["_id"]), int(document["at"])
    if chain.link(hash, position, document["id"], at, document["actor"], links) != document["hash"]:
        found.append("its hash does not follow from the commit before it and its own changes")
    return found


class _Checked:
    """The projection, made again in the ledger's order and compared."""

    def __init__(self, reads: Reads, late: Late, projections: Projections, mark: Mark) -> None:
        self.reads = reads
        self.late = late
        self.projections = projections
        self.mark = mark
        self.standing: dict[str, Standing] = {}
        self.reached: dict[str, int] = {}
        self.last: dict[str, Position] = {}
        self.count = 0

    async def prepare(self) -> None:
        found = await some(self.reads.collections.marks, {"followed": {"$exists": True}})
        self.reached = {each["_id"]: int(each["followed"]) for each in found}
        self.indexes = await self.late.defined()

    async def commit(self, document: Document) -> AsyncIterator[Finding]:
        try:
            entries = list(entries_of(recorded_of(document), self.projections))
        except Exception as error:  # noqa: BLE001 - there is no end to what a changed body can be
            yield Finding(f"commit {document['_id']}", f"what it wrote cannot be read: {error}")
            return
        position = int(document["_id"])
        condition = {"_id": {"$gte": seq_of(position), "$lt": seq_of(position + 1)}}
        stored = {int(each["_id"]): each for each in await self.reads.all(condition)}
        ends: dict[int, Position] = {}
        for entry in entries:
            version = entry.version
            before = self.standing.get(version.reference)
            expected = document_of(version, before, entry.rows, entry.facts)
            found = stored.get(expected["_id"])
            self.count += 1
            self.last[version.type] = position
            if before is not None:
                ends[before.seq] = position
            self.standing[version.reference] = Standing(expected["_id"], expected["born"], version.body is not None)
            if found is None:
                yield Finding(version.reference, f"version {position} is missing from the projection")
                continue
            if "keys" not in found and int(found["until"]) > self.mark.horizon and "live" in expected:
                yield Finding(version.reference, f"version {position} has lost its keys")
            for name in [*_different(expected, found), *self._late(found, version.body)]:
                yield Finding(version.reference, f"{name} of version {position} is not what the ledger says")
        async for finding in self._ended(ends):
            yield finding

    def _late(self, found: Document, content: bytes | None) -> Iterator[str]:
        """What of a version was made late and is wrong, as far as each index has come."""
        if content is None or int(found["until"]) <= self.mark.horizon:
            return
        resource = body.loads(content)
        texts = said(self.projections.texts(resource))
        is_due = self.reached.get(WORDS, 0) >= int(found["_id"])
        if any(found.get(name) != each for name, each in texts.items()) and (is_due or "words" in found):
            yield "words"
        required: set[str] = set()
        for index in self.indexes.values():
            rows = keys(index.rows(resource)) if index.type == found["type"] else ()
            required |= set(rows) if self.reached.get(index.name, 0) >= int(found["_id"]) else set()
        if not required <= set(found.get("late", ())):
            yield "late"

    async def _ended(self, ends: dict[int, Position]) -> AsyncIterator[Finding]:
        """The versions that this commit's came after."""
        if not ends:
            return
        for each in await self.reads.all({"_id": {"$in": list(ends)}}, {"until": 1, "reference": 1}):
            if int(each["until"]) != ends[int(each["_id"])]:
                yield Finding(each["reference"], f"a version ends at {each['until']}, and not at {ends[each['_id']]}")

    async def rest(self) -> AsyncIterator[Finding]:
        below = {"_id": {"$lt": seq_of(self.mark.applied + 1)}}
        if extra := await self.reads.count(below) - self.count:
            yield Finding("versions", f"{extra} are of no change in the ledger")
        held = await self.reads.all({**below, "until": OPEN}, {"_id": 1})
        if {int(each["_id"]) for each in held} != {each.seq for each in self.standing.values()}:
            yield Finding("versions", "those that hold are not the last of each resource")
        if {type: at for type, at in self.mark.last.items() if at <= self.mark.applied} != self.last:
            yield Finding("marks", "when each type changed last is not what the ledger says")


_PRUNED = {"keys", "low", "high"}  # of versions that ended before the horizon
_LATE = {"late", "words", "said"}


def _different(expected: Document, found: Document) -> list[str]:
    """The fields that are not as they should be; those that are made late are looked at apart."""
    names = (expected.keys() | found.keys()) - _LATE - {"until"}
    if "keys" not in found:
        names -= _PRUNED
    return sorted(name for name in names if _own(name, expected.get(name)) != _own(name, found.get(name)))


def _own(name: str, value: Any) -> Any:
    """A field without what stored SearchParameters added to it."""
    if name in ("low", "high") and value is not None:
        return {code: each for code, each in value.items() if MARK not in code}
    return value
