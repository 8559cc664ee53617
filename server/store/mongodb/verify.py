"""Verify: the ledger against its hash chain, the projection against the ledger."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from typing import Any

import orjson
from pymongo import ASCENDING, DESCENDING

from server.fhir import body
from server.ledger import Position, Version
from server.search.filter import MARK
from server.store import chain
from server.store.engine import Finding, Named, Projections
from server.store.mongodb.append import Entry, entries_of, recorded_of
from server.store.mongodb.document import OPEN, Document, Standing, keys, place, standing_of
from server.store.mongodb.failure import answering
from server.store.mongodb.late import Late
from server.store.mongodb.reads import Mark, Reads, named, start_of
from server.store.mongodb.schema import ANSWER_WITHIN, one, some
from server.store.recorded import Head, Recorded, gathered, wrong
from server.store.refusal import COPYING
from server.store.seq import ORDINAL_BITS, seq_of


async def findings(
    reads: Reads, late: Late, partition: str, projections: Projections, progress: Callable[[int, int], None]
) -> AsyncIterator[Finding]:
    """Everything that is wrong, at one position: nothing, if all is well.

    Some hundred changes are looked at together; of those before, only each type's last is remembered.
    """
    mark = await reads.mark()
    checked = _Checked(reads, late, projections, mark)
    await checked.prepare()
    before = Head(0, 0, chain.genesis(partition))
    async with aclosing(gathered(checked.commits())) as groups:
        async for commits in groups:
            for commit in commits:
                for what in wrong(commit, before):
                    yield Finding(f"commit {commit.position}", what)
                before = commit.head
            for finding in await checked.group(commits):
                yield finding
            progress(before.position, mark.applied)
    if before.position < mark.applied:
        yield Finding(f"commit {before.position + 1}", "it is missing from the ledger")
    async for finding in checked.rest():
        yield finding


class _Checked:
    """The projection, made again in the ledger's order and compared."""

    def __init__(self, reads: Reads, late: Late, projections: Projections, mark: Mark) -> None:
        self.reads = reads
        self.late = late
        self.projections = projections
        self.mark = mark
        self.reached: dict[str, int] = {}
        self.last: dict[str, Position] = {}
        self.count = 0
        self.torn: set[str] = set()  # resources of which a version is missing: what follows from it is told once
        self.unreadable: list[Finding] = []

    async def prepare(self) -> None:
        found = await some(self.reads.collections.marks, {"followed": {"$exists": True}})
        self.reached = {each["_id"]: int(each["followed"]) for each in found}
        self.indexes = await self.late.defined()

    async def commits(self) -> AsyncGenerator[Recorded, None]:
        """What can be read of the ledger."""
        commits = self.reads.collections.commits
        for start in range(0, self.mark.applied, _READ):
            asked = {"_id": {"$gt": place(start), "$lte": place(min(start + _READ, self.mark.applied))}}
            with answering():
                async with commits.find(asked, max_time_ms=ANSWER_WITHIN).sort("_id", ASCENDING) as found:
                    async for document in found:
                        try:
                            yield recorded_of(document)
                        except (KeyError, TypeError, ValueError) as error:
                            self.unreadable.append(
                                Finding(f"commit {int(document['_id'])}", f"it cannot be read: {error}")
                            )

    async def group(self, commits: Sequence[Recorded]) -> list[Finding]:
        """What is wrong with the projection of these."""
        first, last = seq_of(commits[0].position), seq_of(commits[-1].position + 1)
        stored = {
            int(each["_id"]): each for each in await self.reads.all({"_id": {"$gte": place(first), "$lt": place(last)}})
        }
        references = {f"{change.type}/{change.id}" for commit in commits for change in commit.changes}
        standing = await self.reads.standing(references, first)
        self.mark = self.mark._replace(horizon=(await self.reads.mark()).horizon)  # they may be pruned meanwhile
        found = [*self.unreadable, *await self._answers(commits)]
        self.unreadable.clear()
        for commit in commits:
            found += self._commit(commit, stored, standing)
        return found

    async def _answers(self, commits: Sequence[Recorded]) -> list[Finding]:
        """What the answers to keys name and the projection does not have."""
        wanted: dict[Position, list[Named]] = {}
        unread = []
        for commit in commits:
            if commit.fingerprint is not None:
                try:
                    _, places = orjson.loads(commit.answer or b"")
                    wanted[commit.position] = [(f"{type}/{id}", int(version)) for type, id, version in places]
                except (ValueError, TypeError):
                    unread.append(commit.position)
        asked = [named(each) for places in wanted.values() for each in places]
        there = await self.reads.all({"$or": asked}, {"reference": 1}) if asked else []
        known = {(each["reference"], int(each["_id"]) >> ORDINAL_BITS) for each in there}
        unread += [position for position, places in wanted.items() if not known.issuperset(places)]
        return [
            Finding(f"commit {each}", "what its Idempotency-Key is answered with cannot be read") for each in unread
        ]

    def _commit(
        self, commit: Recorded, stored: Mapping[int, Document], standing: dict[str, Standing]
    ) -> Iterator[Finding]:
        try:
            entries = list(entries_of(commit, self.projections))
        except Exception as error:  # noqa: BLE001 - there is no end to what a changed body can be
            yield Finding(f"commit {commit.position}", f"what it wrote cannot be read: {error}")
            entries = [Entry(version) for version in commit.versions()]
        for entry in entries:
            version = entry.version
            expected = entry.document(standing.get(version.reference))
            self.count += 1
            self.last[version.type] = version.position
            standing[version.reference] = standing_of(expected)
            yield from self._version(version, expected, stored.get(int(expected["_id"])))

    def _version(self, version: Version, expected: Document, found: Document | None) -> Iterator[Finding]:
        if found is None:
            self.torn.add(version.reference)
            yield Finding(version.reference, f"version {version.position} is missing from the projection")
            return
        if "keys" not in found and int(found["until"]) > self.mark.horizon and "live" in expected:
            yield Finding(version.reference, f"version {version.position} has lost its keys")
        names = _different(expected, found)
        if version.reference in self.torn:
            names = [name for name in names if name not in _FOLLOWING]
        if not self._has_late(found, version.body):
            names.append("late")
        for name in names:
            yield Finding(version.reference, f"{name} of version {version.position} is not what the ledger says")

    def _has_late(self, found: Document, content: bytes | None) -> bool:
        """Whether a version has all that was made of it late, as far as each index has come."""
        if content is None or int(found["until"]) <= self.mark.horizon:
            return True
        required: set[str] = set()
        for index in self.indexes.values():
            if index.type == found["type"] and self.reached.get(index.name, 0) >= int(found["_id"]):
                required |= set(keys(index.rows(body.loads(content))))
        return required <= set(found.get("late", ()))

    async def rest(self) -> AsyncIterator[Finding]:
        for finding in self.unreadable:
            yield finding
        count = 0
        async with aclosing(self._spans()) as spans:
            async for reference, position, until, next in spans:
                count += 1
                is_open = until > self.mark.applied
                if is_open and until != OPEN and not await self._is_written(until):
                    yield Finding(reference, f"version {position} ends at {until}, where the ledger has no commit")
                elif until != next and not (next is None and is_open) and reference not in self.torn:
                    place = "there is no later one" if next is None else f"the next one is {next}"
                    yield Finding(
                        reference, f"version {position} ends at {'no position' if is_open else until}; {place}"
                    )
        if count > self.count:
            yield Finding("versions", f"{count - self.count} are of no change in the ledger")
        if foreign := await self.reads.count({"reference": {"$exists": False}}):
            yield Finding("versions", f"{foreign} are of no resource: no store wrote them")
        if {type: at for type, at in self.mark.last.items() if at <= self.mark.applied} != self.last:
            yield Finding("marks", "when each type changed last is not what the ledger says")
        if await self._is_behind():
            yield Finding("applied", f"the projections are not of the ledger's last position; {await self._who()}")

    async def _spans(self) -> AsyncGenerator[tuple[str, Position, Position, Position | None], None]:
        """Each version: its resource, its position, until when it held, and the position of the next one."""
        below: Document = {"_id": {"$lt": start_of(self.mark.applied + 1)}, "reference": {"$exists": True}}
        order = [("reference", DESCENDING), ("_id", ASCENDING)]
        held: tuple[str, Position, Position] | None = None
        while found := await self.reads.all(below, {"reference": 1, "until": 1}, order, _SPANS):
            for each in found:
                now = each["reference"], int(each["_id"]) >> ORDINAL_BITS, int(each["until"])
                if held is not None:
                    yield *held, now[1] if held[0] == now[0] else None
                held = now
            last = found[-1]
            same = {"reference": last["reference"], "_id": {"$gt": last["_id"]}}
            below["$or"] = [{"reference": {"$lt": last["reference"]}}, same]
        if held is not None:
            yield *held, None

    async def _who(self) -> str:
        """Who carries the projections on."""
        settings = await one(self.reads.collections.marks, {"_id": "settings"})
        is_copied = settings is not None and settings["projections"].startswith(COPYING)
        return "the same `careplan copy` again finishes it" if is_copied else "a server carries them on"

    async def _is_written(self, position: Position) -> bool:
        """Whether the ledger has a commit there: it goes on while this is looked at."""
        return await one(self.reads.collections.commits, {"_id": place(position)}, {"_id": 1}) is not None

    async def _is_behind(self) -> bool:
        """Whether nobody brings the projection on to the ledger's end; who writes does so within a moment."""
        for _ in range(_LOOKS):
            applied = await self.reads.head()
            if await one(self.reads.collections.commits, {"_id": place(applied + 1)}, {"_id": 1}) is None:
                return False
            await asyncio.sleep(_MOMENT)
            if applied != await self.reads.head():
                return False
        return True


_READ = 1000  # commits that one question answers; the driver holds few of them at once
_SPANS = 10_000  # versions
_LOOKS = 2
_MOMENT = 0.5  # seconds
_FOLLOWING = {"born", "is_new"}  # of a version: they follow from the one before
_PRUNED = {"keys", "low", "high", "words", "said"}  # of versions that ended before the horizon


def _different(expected: Document, found: Document) -> list[str]:
    """The fields that are not as they should be; what is made late, and the end, are looked at apart."""
    names = (expected.keys() | found.keys()) - {"late", "until"}
    if "keys" not in found:
        names -= _PRUNED
    wrong = {name for name in names if _own(name, expected.get(name)) != _own(name, found.get(name))}
    return sorted(wrong - {"said"} if "words" in wrong else wrong)  # the same words, in their order


def _own(name: str, value: Any) -> Any:
    """A field without what stored SearchParameters added to it."""
    if name in ("low", "high") and value is not None:
        return {code: each for code, each in value.items() if MARK not in code}
    return value
