"""Copy: a ledger into another store, commit by commit as it is: positions, instants, ids, answers, bytes and hashes.

What is copied is checked on the way, so that the copy's chain ends in the same hash. The target's own ledger tells how
far a copy has come: run again, it goes on from there, whatever ended it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import NamedTuple

from server.ledger import Position
from server.outcome import Problem
from server.store import chain
from server.store.engine import Ledger, Receiver, Store
from server.store.recorded import Head, Recorded, gathered, wrong

Progress = Callable[[int, int], None]


class Copied(NamedTuple):
    """What became of a copy: the target's position before, the head that both have now, and where the source is."""

    before: Position
    head: Head
    source: Position


async def copy(source: Store, target: Store, progress: Progress = lambda done, of: None) -> Copied:
    """Bring `target` to the position that `source` has now; the source may go on being written to.

    `progress(done, of)` counts each position twice: when it is copied, and when what is made late has come to it.
    Problem conflict where the target holds anything that is not the beginning of the source's ledger, or the source is
    damaged.
    """
    if source.partition != target.partition:
        raise Problem.conflict(
            f"The hash chain of the partition {source.partition!r} is its own: it cannot become {target.partition!r}"
        )
    async with source.ledger() as ledger, target.receiving() as receiver:
        head, start = await ledger.head(), await receiver.head()
        await _check_begins(ledger, receiver, head, start)
        await receiver.begin()
        end = head.position
        async with aclosing(gathered(_checked(ledger, start, head, source.partition))) as groups:
            async for commits in groups:
                await receiver.append(commits)
                progress(commits[-1].position, 2 * end)
        await receiver.finish(lambda done, of: progress(end + end * done // max(of, 1), 2 * end))
        return Copied(start.position, head, (await ledger.head()).position)


async def _check_begins(ledger: Ledger, receiver: Receiver, head: Head, start: Head) -> None:
    """Problem conflict where what the target holds is not the beginning of the source's ledger."""
    if start.position == 0 or start.hash == await ledger.hash(start.position):
        return
    same = await _shared(ledger, receiver, min(head.position, start.position))
    if same == head.position:
        raise Problem.conflict(
            f"The target is ahead: it is at position {start.position:,}, the source at {same:,}. Copy the other way "
            f"round, if that is meant. {_INSTEAD}"
        )
    if same == 0:
        raise Problem.conflict(f"The target holds another ledger, of {start.position:,} positions. {_INSTEAD}")
    raise Problem.conflict(f"The target has gone its own way from position {same + 1:,} on. {_INSTEAD}")


_INSTEAD = "Else name a file that does not exist yet, or a database that is empty"


async def _shared(ledger: Ledger, receiver: Receiver, most: Position) -> Position:
    """The last position that two ledgers share: a hash covers all before it, so that halving finds it."""
    low, high = 0, most
    while low < high:
        middle = (low + high + 1) // 2
        if await ledger.hash(middle) == await receiver.hash(middle):
            low = middle
        else:
            high = middle - 1
    return low


async def _checked(ledger: Ledger, start: Head, head: Head, partition: str) -> AsyncGenerator[Recorded, None]:
    """The commits that are missing, each found to follow from the one before. Problem conflict for damage."""
    before = start if start.position else Head(0, 0, chain.genesis(partition))
    async with aclosing(ledger.commits(start.position, head.position)) as commits:
        async for commit in commits:
            for what in wrong(commit, before):
                raise _damaged(commit.position, what)
            before = commit.head
            yield commit
    if before.position < head.position:
        raise _damaged(before.position + 1, "it is missing")


def _damaged(position: Position, what: str) -> Problem:
    return Problem.conflict(
        f"The source is damaged at commit {position}: {what}. What comes before it was copied, and nothing after; "
        "`careplan verify` of the source tells all that is wrong"
    )
