"""Recorded: a commit as the ledger has it, whatever the engine, and whether it follows from the one before it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import NamedTuple

from server.ledger import Position, Version
from server.outcome import Problem
from server.store import chain

CHANGES = 500  # of commits that are taken at once
BYTES = 4 << 20  # of their bodies


class Head(NamedTuple):
    """The end of a ledger: its last commit's position, instant and hash."""

    position: Position
    at: int
    hash: bytes


class RecordedChange(NamedTuple):
    """`body` is None for a deletion, which has no digest, and where the bytes were erased, whose digest stays."""

    method: str
    type: str
    id: str
    digest: bytes
    body: bytes | None


class Recorded(NamedTuple):
    """A commit with all that is kept of it; `at` is in microseconds since the epoch.

    `fingerprint` and `answer` are of a request with an Idempotency-Key, which is then the commit's `id`.
    """

    position: Position
    id: str
    at: int
    actor: str | None
    fingerprint: bytes | None
    answer: bytes | None
    hash: bytes
    changes: tuple[RecordedChange, ...]

    @property
    def head(self) -> Head:
        """The end of the ledger once this is in it."""
        return Head(self.position, self.at, self.hash)

    @property
    def size(self) -> int:
        """The bytes of its bodies."""
        return sum(len(change.body or b"") for change in self.changes)

    def versions(self) -> list[Version]:
        """What it wrote, in order."""
        return [
            Version(change.type, change.id, self.position, ordinal, change.method, self.at, change.body)
            for ordinal, change in enumerate(self.changes)
        ]


def recorded(
    head: Head,
    id: str,
    at: int,
    actor: str | None,
    fingerprint: bytes | None,
    answer: bytes | None,
    bodies: Sequence[tuple[str, str, str, bytes | None]],
) -> Recorded:
    """The commit after `head`; `bodies` are (method, type, id, body) in order."""
    position = head.position + 1
    changes = tuple(RecordedChange(method, type, id, chain.digest(body), body) for method, type, id, body in bodies)
    hash = chain.link(head.hash, position, id, at, actor, [change[:4] for change in changes])
    return Recorded(position, id, at, actor, fingerprint, answer, hash, changes)


def wrong(commit: Recorded, before: Head) -> Iterator[str]:
    """What of a commit does not follow from the end of the ledger before it, or is not what was written."""
    if commit.position != before.position + 1:
        yield f"the ledger goes from position {before.position} to {commit.position}"
    if commit.at < before.at:
        yield "its instant is before that of the commit before it"
    for change in commit.changes:
        if change.body is not None and chain.digest(change.body) != change.digest:
            yield f"the body of {change.type}/{change.id} is not the one that was written"
    links = [change[:4] for change in commit.changes]
    if chain.link(before.hash, commit.position, commit.id, commit.at, commit.actor, links) != commit.hash:
        yield "its hash does not follow from the commit before it and its own changes"


async def gathered(commits: AsyncGenerator[Recorded, None]) -> AsyncGenerator[list[Recorded], None]:
    """So many at a time that asking for them, or writing them, is worth it, and memory stays flat.

    Where there can be no more, those that there are come first.
    """
    some: list[Recorded] = []
    changes = size = 0
    try:
        async with aclosing(commits):
            async for commit in commits:
                some.append(commit)
                changes += len(commit.changes)
                size += commit.size
                if changes >= CHANGES or size >= BYTES:
                    yield some
                    some, changes, size = [], 0, 0
    except Problem:
        if some:
            yield some
        raise
    if some:
        yield some
