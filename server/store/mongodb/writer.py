"""Writer: the one task of a process that writes.

Writes wait in a queue. The writer takes what waits as one group, decides each commit on the state after the one before,
inserts them all at once and brings the projection on; each is answered after that. Where another process was first, it
catches up, takes its turn, and decides again.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

import orjson
from pymongo.errors import PyMongoError

from server.ledger import Commit, Context, Decide, Position, Rules, Version
from server.outcome import Problem
from server.store.engine import Projections
from server.store.mongodb.ahead import Run, ask
from server.store.mongodb.append import AGAIN, DOUBT, Appender, Draft, Entry, check, draft, fill
from server.store.mongodb.failure import RETRY_AFTER, away, problem_of
from server.store.mongodb.head import HeadView, Waits
from server.store.mongodb.late import Late, Write, directly
from server.store.mongodb.reads import Reads
from server.store.mongodb.schema import SELECT_WITHIN, Collections, Document, one, some
from server.store.recorded import Head
from server.store.refusal import check_key, check_queue
from server.store.seq import MAX_CHANGES
from server.store.writer import Decided, Request, answer, decided

GROUP = 128  # commits that are inserted at once
STEPS = 3  # of catching up without a turn: others write faster than that


class Outcome(NamedTuple):
    """What became of a request, on the state after so many of its group's commits."""

    request: Request
    result: Commit | BaseException
    after: int


@dataclass(slots=True)
class Work:
    """What is done while nobody projects."""

    do: Write
    done: asyncio.Future[None]


class Behind(Exception):  # noqa: N818 - not an error: it is decided again once we are alone
    """A decide asks an index that has to be brought on first."""


class Writer:
    """The task and its queue; it runs on the loop that opened the store."""

    def __init__(
        self,
        collections: Collections,
        reads: Reads,
        projections: Projections,
        partition: str,
        rules: Rules,
        late: Late,
        *,
        queue_limit: int,
    ) -> None:
        self.counted: Counter[str] = Counter()
        self.waiting = 0
        self.wrote = asyncio.Event()
        self.appender = Appender(collections, reads, projections, partition)
        self.appender.lost = self._turn_away
        self._collections = collections
        self._reads = reads
        self._projections = projections
        self._rules = rules
        self._late = late
        self._queue_limit = queue_limit
        self._turnstile = self.appender.turnstile
        self._is_behind = True  # as far as is known: others may have written
        self._has_met = False  # another writer, and has taken no ticket since
        self._queue: asyncio.Queue[Request | Work | None] = asyncio.Queue()
        self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """Finish the groups in hand, answer them, and let go."""
        self._queue.put_nowait(None)
        await self._task

    async def commit(self, decide: Decide, context: Context, *, fingerprint: bytes | None = None) -> Commit:
        check_queue(self.waiting, self._queue_limit)
        self.waiting += 1
        done: asyncio.Future[Commit] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(Request(decide, context, fingerprint, done))
        return await done

    async def alone(self, do: Write) -> None:
        """Do something while nobody projects, of this process or another."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put_nowait(Work(do, done))
        await done

    async def _run(self) -> None:
        again: list[Request] = []
        stopping = False
        while again or not stopping:
            taken = [] if again else [await self._queue.get()]
            while len(again) + len(taken) < GROUP and not self._queue.empty():
                taken.append(self._queue.get_nowait())
            stopping = stopping or None in taken
            group = again + [each for each in taken if isinstance(each, Request)]
            again = await self._answered(group) if group else []
            for each in taken:
                if isinstance(each, Work):
                    await self._worked(each)
            if not again and (self._queue.empty() or self._turnstile.is_alone):
                await self._leave()

    async def _worked(self, work: Work) -> None:
        try:
            await self._alone()
            await work.do()
        except Exception as error:  # noqa: BLE001 - whatever it is, who asked is told
            if not work.done.done():
                work.done.set_exception(_told(error))
        else:
            if not work.done.done():
                work.done.set_result(None)
        with suppress(Problem):  # the turn lapses
            await self._turnstile.leave()
        self._is_behind = True

    async def _alone(self) -> None:
        """Take a turn in which nobody else projects.

        What the ledger has and the projection has not, somebody may be projecting who saw nothing of our ticket, or
        waits for its end. Then another is taken, a moment later.
        """
        self._is_behind = True
        while True:
            await self._turnstile.leave()
            await self._turnstile.take(alone=True)
            if await self.appender.is_applied():
                return
            await self._turnstile.leave()
            await asyncio.sleep(AGAIN)
            await self.appender.catch_up(STEPS)

    async def _answered(self, group: list[Request]) -> list[Request]:
        """Answer what can be answered of a group; the others are to be decided again."""
        since = time.monotonic()
        try:
            outcomes = await self._group(group)
        except Exception as error:  # noqa: BLE001 - whatever it is, none of the group was answered and each is told
            self._is_behind = True
            outcomes = [Outcome(request, _told(error), 0) for request in group]
            if time.monotonic() - since > SELECT_WITHIN / 1000:
                self._turn_away()
        for outcome in outcomes:
            self._answer(outcome)
        answered = {id(outcome.request) for outcome in outcomes}
        return [request for request in group if id(request) not in answered]

    def _turn_away(self) -> None:
        """Answer what waits while the database is away: each would wait for it anew."""
        waiting = [self._queue.get_nowait() for _ in range(self._queue.qsize())]
        for each in waiting:
            if isinstance(each, Request):
                self._answer(Outcome(each, away(), 0))
            else:
                self._queue.put_nowait(each)

    def _answer(self, outcome: Outcome) -> None:
        self.waiting -= 1
        done = outcome.request.done
        if done.done():
            return  # whoever asked went away; the commit stands
        if isinstance(outcome.result, BaseException):
            done.set_exception(outcome.result)
        else:
            done.set_result(outcome.result)

    async def _group(self, group: list[Request]) -> list[Outcome]:
        """Decide and append. What was decided on a state that was not the ledger's end is left out."""
        if self._turnstile.ticket is None:
            if self._is_behind and not self._has_met:
                self._has_met = self._is_behind = not await self.appender.catch_up(STEPS)
            if self._has_met:
                await self._turnstile.take()
                self._is_behind = True
        if self._is_behind:
            await self.appender.catch_up()
            self._is_behind = False
        try:
            drafts, outcomes = await self._decided(group)
        except Behind:
            await self._alone()
            return []
        landed, is_called = await self._appended(drafts)
        if landed < len(drafts) or (not drafts and not await self.appender.is_last()):
            self._is_behind = self._has_met = True
            self.counted["conflicts"] += 1
            if not landed:
                return []
        if is_called or self._turnstile.is_alone:
            await self._called()
        self.counted["groups"] += 1
        self.counted["commits"] += landed
        return [outcome for outcome in outcomes if outcome.after <= landed]

    async def _appended(self, drafts: Sequence[Draft]) -> tuple[int, bool]:
        """How many of these landed, and are projected; and whether another waits."""
        if not drafts:
            return 0, await self._is_called()
        until = time.monotonic() + DOUBT
        landed = await self.appender.append(drafts, until)
        if not landed:
            return 0, False
        is_called = await self.appender.projected(drafts[:landed], until)
        self.appender.head = drafts[landed - 1].head
        self.wrote.set()
        return landed, is_called

    async def _is_called(self) -> bool:
        """Whether another waits; where that cannot be found out now, it is asked again after the next insert."""
        try:
            return await self._turnstile.is_called()
        except Problem:
            return False

    async def _called(self) -> None:
        """Another waits: let it in, and come behind it."""
        self._has_met = True
        if self._turnstile.ticket is not None:
            self._is_behind = True
            with suppress(Problem):  # the turn lapses; what has landed has landed
                await self._turnstile.leave()

    async def _leave(self) -> None:
        """Nothing is to be written now: others need not wait. That another was met is known until the next turn."""
        if self._turnstile.ticket is None:
            return
        self._has_met, self._is_behind = False, True
        with suppress(Problem):  # the turn lapses
            await self._turnstile.leave()

    async def _decided(self, group: list[Request]) -> tuple[list[Draft], list[Outcome]]:
        drafts: list[Draft] = []
        outcomes: list[Outcome] = []
        head = self.appender.head
        view = HeadView(self._reads, head.position, self._reached)
        known = await self._known(group)
        if len(group) > 1:
            view.at = max(time.time_ns() // 1000, head.at)
            await ask(view, map(self._run_of, group))
        keys: set[str] = set()
        for request in group:
            if request.fingerprint is not None and request.context.commit_id in keys:
                continue  # the same key twice: it is answered from the ledger, in the next group
            try:
                made = await self._one(request, drafts[-1].head if drafts else head, view, known)
            except Waits:
                continue
            except (PyMongoError, Behind):
                raise
            except Exception as problem:  # noqa: BLE001 - the client's or the decide's; the rest of the group goes on
                outcomes.append(Outcome(request, _told(problem), len(drafts)))
                continue
            if isinstance(made, Commit):
                outcomes.append(Outcome(request, made, len(drafts)))
                continue
            written, commit = made
            written.standing = {
                entry.version.reference: view.standing.get(entry.version.reference) for entry in written.entries
            }
            drafts.append(written)
            view.write(written)
            keys.add(request.context.commit_id)
            outcomes.append(Outcome(request, commit, len(drafts)))
        return drafts, outcomes

    async def _reached(self, name: str, position: Position) -> None:
        """Return once a late index has come to a position."""
        if self._turnstile.is_alone:
            await self._late.reached(name, position, directly)
        elif not await self._late.has_reached(name, position):
            raise Behind

    def _run_of(self, request: Request) -> Run:
        return lambda view: decided(view, request.decide, request.context, self._rules, self._projections)

    async def _one(
        self, request: Request, head: Head, view: HeadView, known: Mapping[str, Document]
    ) -> Commit | tuple[Draft, Commit]:
        """Decide one commit; what it answers, where it writes nothing, or what it writes."""
        context = request.context
        if request.fingerprint is not None and (before := known.get(context.commit_id)):
            return await self._again(request, before)
        view.at = max(time.time_ns() // 1000, head.at)
        made = await decided(view, request.decide, context, self._rules, self._projections)
        new = [(change, now) for change, now, is_new in made.changes if is_new]
        if len(new) >= MAX_CHANGES:
            raise Problem.of("too_costly", f"One commit writes at most {MAX_CHANGES - 1} resources")
        if not new and request.fingerprint is None:
            kept = tuple(now for _, now, _ in made.changes if now is not None)
            return Commit(head.position, context.commit_id, head.at, kept, made.output, appended=False)
        for change, _ in new:
            fill(change, self._projections)
        position, at = head.position + 1, view.at
        entries = [
            Entry(
                Version(
                    change.type,
                    change.id,
                    position,
                    ordinal,
                    change.method,
                    at,
                    None if change.resource is None else change.stamped(position, at),
                ),
                change.rows or (),
                change.facts or (),
                change.words or {},
            )
            for ordinal, (change, _) in enumerate(new)
        ]
        kept_answer = None if request.fingerprint is None else answer(position, made)
        written = draft(head, context.commit_id, at, context.actor, request.fingerprint, kept_answer, entries)
        check(written)
        return written, Commit(position, context.commit_id, at, _versions(made, entries), made.output)

    async def _known(self, group: Sequence[Request]) -> dict[str, Document]:
        """The commits that the idempotency keys of a group made before, by the key."""
        keys = [each.context.commit_id for each in group if each.fingerprint is not None]
        if not keys:
            return {}
        fields = {"id": 1, "at": 1, "fingerprint": 1, "answer": 1}
        commits = self._collections.commits
        places = self._reads.mirror.keyed(keys, self.appender.head.position)
        if places is None:
            found = await some(commits, {"id": {"$in": keys}}, fields)
        else:
            asked = (one(commits, {"_id": each}, fields) for each in places)
            found = [each for each in await asyncio.gather(*asked) if each is not None]
        return {each["id"]: each for each in found}

    async def _again(self, request: Request, found: Document) -> Commit:
        """The answer that an idempotency key was given before."""
        check_key(found["fingerprint"], request.fingerprint)
        output, places = orjson.loads(found["answer"])
        versions = [await self._reads.vread(type, id, version) for type, id, version in places]
        kept = tuple(version for version in versions if version is not None)
        return Commit(int(found["_id"]), request.context.commit_id, int(found["at"]), kept, output)


def _told(error: Exception) -> Exception:
    """What whoever asked is told, of what was not written."""
    if isinstance(error, Problem) and error.kind == "timeout":
        return Problem.of(
            "timeout",
            "The database took too long to answer what this write had to know: nothing was written. Send it again "
            "later, or, where it has a condition, a narrower one",
            headers={"Retry-After": RETRY_AFTER},
        )
    return (problem_of(error) or error) if isinstance(error, PyMongoError) else error


def _versions(made: Decided, entries: Sequence[Entry]) -> tuple[Version, ...]:
    """What the commit answers with, in the order of its changes."""
    fresh = iter(entries)
    versions = [next(fresh).version if is_new else now for _, now, is_new in made.changes]
    return tuple(version for version in versions if version is not None)
