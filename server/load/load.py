"""load: take files in the order given, a chunk of them one commit, and say what was refused and why.

Chunks are made ready in processes beside this one and committed here, in order. A chunk that the rules refuse is
taken in halves, so that what is refused is one resource and never its neighbours. A chunk's key is the request's
Idempotency-Key: a load that was broken off and is run again goes on where it stopped.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from server.auth.access import SYSTEM, Caller
from server.fhir.reference import own
from server.interactions.exchange import Request, Server, locate
from server.ledger import Change, Commit, Decide, Plan, View
from server.load.chunk import Chunk, Placed, Prepared, Refusal, chunks, prepare
from server.load.package import absent
from server.load.report import Report, Watch
from server.load.source import digest, files, manifest
from server.outcome import Issue, Problem
from server.repository import Repository
from server.store.engine import Projections
from server.validation.conformance import held

SMALL = 8 << 20  # bytes of files that are not worth starting processes for
PASSING = {"unavailable", "throttled", "timeout", "no_store", "internal"}  # kinds that say nothing about a resource


async def load(
    server: Server,
    paths: Iterable[Path],
    *,
    workers: int = 1,
    override: Mapping[str, Any] | None = None,
    examples: bool = True,
    watch: Watch = lambda read, resources: None,
) -> Report:
    """Load the files. `workers` make chunks ready; `override` is every commit's; `examples` of packages may be left."""
    report = Report()
    found = files(paths)
    if override is not None:
        server = overriding(server, override)
    loading = _Loading(server, report, await server.repository.head(SYSTEM))
    with _executor(found, workers, server.repository.projections) as executor:
        try:
            async for chunk, prepared in _ahead(executor, _chunks(found, report, examples), 2 * workers + 1):
                before = report.taken + len(report.refused)
                await loading.take(chunk, prepared)
                watch(chunk.read, report.taken + len(report.refused) - before)
            await loading.perform_again()
            report.absent += await absent(await server.repository.view(SYSTEM), filter(None, map(manifest, found)))
        finally:
            executor.shutdown(wait=True, cancel_futures=True)
    return report


def _executor(found: list[Path], workers: int, projections: Projections) -> Executor:
    """Where chunks are made ready: processes of their own, or for little a thread."""
    if sum(path.stat().st_size for path in found) < SMALL:
        return ThreadPoolExecutor(1, initializer=_start, initargs=(projections,))
    pool = ProcessPoolExecutor(workers, get_context("spawn"), _start, (projections,))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # the processes inherit it: Ctrl-C is for this one
    try:
        for _ in range(workers):
            pool.submit(int)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    return pool


_projections: Projections  # of the process that makes chunks ready


def _start(projections: Projections) -> None:
    global _projections
    _projections = projections


def _prepare(chunk: Chunk) -> Prepared:
    return prepare(chunk, _projections)


def _chunks(found: list[Path], report: Report, examples: bool) -> Iterator[Chunk]:
    """Every file's chunks; a file that cannot be read, or not to its end, is refused from there on."""
    for path in found:
        try:
            yield from chunks(path, digest(path), examples=examples)
        except Problem as problem:
            report.refused.append(Refusal(str(path), problem.issues))


async def _ahead(executor: Executor, todo: Iterator[Chunk], depth: int) -> AsyncIterator[tuple[Chunk, Prepared]]:
    """Chunks in their order, each with what it was made into; `depth` of them are in hand at once."""
    loop = asyncio.get_running_loop()
    waiting: deque[tuple[Chunk, asyncio.Future[Prepared]]] = deque()
    for chunk in chain(todo, [None] * depth):
        if chunk is not None:
            waiting.append((chunk, loop.run_in_executor(executor, _prepare, chunk)))
        if waiting and (chunk is None or len(waiting) >= depth):
            first, prepared = waiting.popleft()
            yield first, await prepared


def overriding(server: Server, override: Mapping[str, Any]) -> Server:
    """The server, with an override on every commit that names none."""
    return replace(server, repository=_Overriding(server.repository, override))


class _Overriding(Repository):
    """The repository, with an override on every commit that names none."""

    def __init__(self, repository: Repository, override: Mapping[str, Any]) -> None:
        super().__init__(repository.store, repository.projections, repository.terminology)
        self.override = override

    async def commit(self, caller: Caller, decide: Decide, *, override: Any = None, **rest: Any) -> Commit:
        return await super().commit(caller, decide, override=override or self.override, **rest)


@dataclass(slots=True)
class _Loading:
    """A load under way."""

    server: Server
    report: Report
    start: int  # the ledger's head before the load
    again: list[tuple[str, str]] = field(default_factory=list)  # key and file of each Bundle that was refused

    async def take(self, chunk: Chunk, prepared: Prepared) -> None:
        self.report.refused += prepared.refused
        for number, run in enumerate(_runs(prepared.changes)):
            await self._commit(f"{chunk.key}.{number}", run)
        for bundle in prepared.bundles:
            try:
                await self._perform(chunk.key, bundle.place, bundle.data)
            except Problem as problem:
                _blamed(problem)
                self.again.append((chunk.key, bundle.place))

    async def _commit(self, key: str, placed: list[Placed]) -> None:
        async def decide(view: View) -> Plan:
            return Plan(await _chosen(view, placed))

        try:
            commit = await self.server.repository.commit(SYSTEM, decide, key=key)
        except Problem as problem:
            await self._halve(key, placed, _blamed(problem))
            return
        self.report.taken += len(placed)
        self.report.written += sum(version.position > self.start for version in commit.versions[: len(placed)])

    async def _halve(self, key: str, placed: list[Placed], issues: list[Issue]) -> None:
        if len(placed) == 1:
            self.report.refused.append(Refusal(placed[0].place, issues))
            return
        half = len(placed) // 2
        await self._commit(f"{key}a", placed[:half])
        await self._commit(f"{key}b", placed[half:])

    async def perform_again(self) -> None:
        """Bundles that were refused, after all others: what they refer to may have come later."""
        for key, place in self.again:
            try:
                await self._perform(key, place, await asyncio.to_thread(Path(place).read_bytes))
            except Problem as problem:
                self.report.refused.append(Refusal(place, _blamed(problem)))

    async def _perform(self, key: str, place: str, data: bytes) -> None:
        """A transaction or a batch, as POST [base] does it."""
        headers = {b"idempotency-key": key.encode(), b"prefer": b"return=minimal"}
        request = Request("POST", locate(""), own(), headers=headers, content=data)
        response = await self.server.perform(request)
        self._answered(place, json.loads(response.body))

    def _answered(self, place: str, answer: dict[str, Any]) -> None:
        for index, entry in enumerate(answer.get("entry", ())):
            response = entry["response"]
            if int(response["status"][:3]) < 400:
                self.report.taken += 1
                self.report.written += int(response.get("etag", 'W/"0"')[3:-1]) > self.start
            else:
                issues = [_issue(issue) for issue in response.get("outcome", {}).get("issue", ())]
                self.report.refused.append(Refusal(f"{place} Bundle.entry[{index}]", issues))


async def _chosen(view: View, placed: list[Placed]) -> list[Change]:
    """The changes: a definition keeps its id, unless another version of it has that id."""
    wanted = {
        (each.change.reference, each.versioned.resource["url"], each.versioned.resource["version"])
        for each in placed
        if each.versioned is not None and each.versioned.resource is not None
    }
    told = await held(view, sorted(wanted)) if wanted else {}
    return [_version(each, told) for each in placed]


def _version(placed: Placed, told: Mapping[tuple[str, str, str], tuple[bool, str]]) -> Change:
    if placed.versioned is None or placed.versioned.resource is None:
        return placed.change
    resource = placed.versioned.resource
    taken, stands = told[placed.change.reference, resource["url"], resource["version"]]
    return placed.versioned if taken or stands == placed.versioned.reference else placed.change


def _blamed(problem: Problem) -> list[Issue]:
    """What is wrong with what was written; a Problem that is not of that kind ends the load."""
    if problem.kind in PASSING:
        raise problem
    return problem.issues


def _issue(issue: dict[str, Any]) -> Issue:
    return Issue(issue["code"], issue.get("diagnostics", ""), tuple(issue.get("expression", ())), issue["severity"])


def _runs(placed: list[Placed]) -> Iterator[list[Placed]]:
    """Runs in which no resource comes twice: a commit writes a resource once."""
    run: list[Placed] = []
    seen: set[str] = set()
    for each in placed:
        if each.change.reference in seen:
            yield run
            run, seen = [], set()
        seen.add(each.change.reference)
        run.append(each)
    if run:
        yield run
