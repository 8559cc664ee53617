"""transaction: requests in one Bundle that happen together, or not at all: one decide, one commit.

https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from server.fhir import body, bundle
from server.fhir.bundle import ORDER, Links
from server.interactions import create, delete, entry, patch, update
from server.interactions.batch import batch
from server.interactions.entry import Entry
from server.interactions.exchange import (
    INSTANCE,
    INSTANCE_HISTORY,
    INSTANCE_OPERATION,
    SYSTEM_OPERATION,
    TYPE,
    TYPE_OPERATION,
    Request,
    Response,
    Server,
    parameters,
)
from server.interactions.replay import replay
from server.interactions.write import (
    Resolve,
    Target,
    Write,
    ahead,
    answer,
    check_versioned,
    commit,
    condition,
    key_of,
    multiple_matches,
    outcome_of,
)
from server.ledger import Change, Commit, IndexRow, Plan, Position, Version, View, micros
from server.outcome import Issue, Problem
from server.search.pool import Pool
from server.search.query import Query

WRITES: dict[tuple[str, str], tuple[Callable[[Server, Request], Awaitable[Write]], Resolve]] = {
    ("POST", TYPE): (create.prepare, create.resolve),
    ("PUT", INSTANCE): (update.prepare, update.resolve),
    ("PUT", TYPE): (update.prepare_conditional, update.resolve),
    ("PATCH", INSTANCE): (patch.prepare, patch.resolve),
    ("PATCH", TYPE): (patch.prepare_conditional, patch.resolve),
    ("DELETE", INSTANCE): (delete.prepare, delete.resolve),
    ("DELETE", TYPE): (delete.prepare_conditional, delete.resolve),
}
OPERATIONS = {SYSTEM_OPERATION, TYPE_OPERATION, INSTANCE_OPERATION}
READS = frozenset({"GET", "HEAD"})
OF_ITS_OWN = frozenset({INSTANCE, INSTANCE_HISTORY})  # where a transaction may read what it makes itself
LARGE = 1024 * 1024  # bytes from which a body is parsed on a thread, so that others are answered meanwhile
MAX_ISSUES = 200
TURN = 0.005  # seconds until others get theirs


async def transaction(server: Server, request: Request) -> Response:
    """POST [base]: a Bundle of type transaction, batch or history."""
    members, entries = await _parsed(request.content)
    kind = members.get("type") if members.get("resourceType") == "Bundle" else None
    if kind in ("transaction", "batch", "history"):  # it may be anything: no set takes that
        entry.check_elements("Bundle", members)
    if kind == "transaction":
        return await _transact(server, request, entries)
    if kind == "batch":
        return await batch(server, request, entries)
    if kind == "history":
        return await replay(server, request, entries)
    raise Problem.invalid("The base takes a Bundle of type batch, transaction or history", "Bundle.type")


async def _parsed(content: bytes) -> tuple[dict[str, Any], list[body.Entry]]:
    if len(content) > LARGE:
        return await asyncio.to_thread(body.parse_bundle, content)
    return body.parse_bundle(content)


async def _transact(server: Server, request: Request, entries: Sequence[body.Entry]) -> Response:
    if key_of(request) is None:
        request.content = b""  # its fingerprint is not asked for; a large one is not kept twice
    pause = Pause()
    found, writes = await _prepared(server, request, entries, pause)
    await _rehearse(server, found, OF_ITS_OWN if writes else frozenset())
    together = Together(server, writes, found)
    await together.read_conditions(request.base_url)
    made = None
    if writes:
        await _foresee(server, request, together, pause)
        try:
            made = await commit(server, request, together.decide)
        except Problem as problem:
            raise entry.placed_among(problem, together.written) from None
    return await _answer(server, request, found, together, made)


async def _rehearse(server: Server, entries: Sequence[Entry], later: Collection[str]) -> None:
    """Read before anything is written: a read that fails must refuse the whole, and after the commit it is too late.

    Whether what stands at a `later` place is there, only the head can tell.
    """
    for asked in entries:
        if asked.request.method in READS:
            try:
                await server.perform(asked.request)
            except Problem as problem:
                if problem.kind not in {"not_found", "gone"} or asked.request.place.shape not in later:
                    raise entry.placed(problem, asked.index) from None


async def _foresee(server: Server, request: Request, together: Together, pause: Pause) -> None:
    """Plan once on the state as it is now, so that the head, which most likely is the same, finds its rows made."""
    for part in together.parts:
        if part.write.type in together.searched and part.write.body is not None:
            await pause()
            part.rows = server.repository.searched(part.write.change(part.write.new_id))
    with ahead():
        plan = await together.plan(await server.repository.view(request.caller), pause)
        for change in plan.changes:
            await pause()
            server.repository.prepare(change)


async def _answer(
    server: Server, request: Request, entries: Sequence[Entry], together: Together, made: Commit | None
) -> Response:
    """The entries' answers, in the request's order; a write's holds its resource only where Prefer asks for it."""
    answers = [b""] * len(entries)
    if made is not None:
        for part, output in zip(together.parts, made.output, strict=True):
            told = await answer(server, part.entry.request, part.write.type, made, output)
            answers[part.entry.index] = entry.written(request.base_url, told)
    for asked in entries:
        if asked.request.method in READS:
            answers[asked.index] = entry.written(request.base_url, await entry.perform(server, asked))
    return Response(200, bundle.assembled("transaction-response", answers))


class Pause:
    """Gives others a turn, every few milliseconds of a long work."""

    def __init__(self) -> None:
        self.until = time.perf_counter() + TURN

    async def __call__(self) -> None:
        if time.perf_counter() > self.until:
            await asyncio.sleep(0)
            self.until = time.perf_counter() + TURN


async def _no_pause() -> None:
    """At the head nobody waits but the next commit."""


@dataclass(slots=True)
class Part:
    """A write of the transaction, the links that its resource has, and where others may search for it, its rows."""

    entry: Entry
    write: Write
    resolve: Resolve
    names: set[str] = field(default_factory=set)
    rows: Sequence[IndexRow] = ()
    made: dict[tuple[int, tuple[tuple[str, str], ...]], Change] = field(default_factory=dict)

    def is_new(self, target: Target) -> bool:
        """False where the write, as far as it has no links, is what stands."""
        current = target.current
        if target.keeps or current is None or current.body is None:
            return not target.keeps
        return self.write.change(target.id, current).stamped(current.position, current.at) != current.body

    def change(self, target: Target, links: dict[str, str]) -> Change:
        """The write with its links replaced. Made once for the same links: the head may decide again."""
        plain = self.write.change(target.id, target.current)
        if not links or plain.resource is None:
            return plain
        known = (id(plain), tuple(sorted(links.items())))
        if known not in self.made:
            resource, text = bundle.relinked(plain.resource, plain.text, plain.id, links)
            self.made[known] = Change(plain.method, plain.type, plain.id, resource, text)
        return self.made[known]


async def _prepared(
    server: Server, request: Request, entries: Sequence[body.Entry], pause: Pause
) -> tuple[list[Entry], list[Part]]:
    """Read and check every entry. Problem with what is wrong with all of them."""
    found: list[Entry] = []
    parts: list[Part] = []
    problems: list[Problem] = []
    for index, asked in enumerate(entries):
        await pause()
        try:
            read = entry.read(request, index, asked.members, asked.resource)
            found.append(read)
            if read.request.method not in READS:
                parts.append(await _part(server, read))
        except Problem as problem:
            problems.append(entry.placed(problem, index))
    if problems:
        issues = [issue for problem in problems for issue in problem.issues][:MAX_ISSUES]
        raise Problem.with_issues(problems[0].kind, issues)
    return found, parts


async def _part(server: Server, asked: Entry) -> Part:
    place = asked.request.place
    if place.shape in OPERATIONS:
        raise Problem.invalid(
            "An operation is a commit of its own and cannot be part of a transaction; send it alone or in a batch",
            "request.url",
        )
    if (asked.request.method, place.shape) not in WRITES:
        raise Problem.invalid(f"A transaction takes no {asked.request.method} of {place.shape}", "request.url")
    prepare, resolve = WRITES[asked.request.method, place.shape]
    return Part(asked, await prepare(server, asked.request), resolve)


class Together:
    """The writes of one transaction. `decide` may run more than once; what it makes it keeps."""

    def __init__(self, server: Server, parts: Sequence[Part], entries: Sequence[Entry]) -> None:
        self.server = server
        self.now = micros(datetime.now(UTC))
        self.parts = sorted(parts, key=lambda part: ORDER[part.write.method])
        self.reads = [
            found for found in entries if found.request.place.shape in OF_ITS_OWN and found.request.method in READS
        ]
        names = _full_urls(parts).names()
        self.conditions: dict[str, tuple[Query, int]] = {}
        for part in self.parts:
            if part.write.patch is not None:
                part.names = part.write.patch.links_in(names)
            elif part.write.body is not None:
                part.names = bundle.links_in(part.write.body.resource, names)
                _check_named(part, names)
        self.has_versioned = any(bundle.versioned(name) for part in self.parts for name in part.names)
        self.searched = {part.write.type for part in self.parts if part.write.condition is not None}
        self.written: dict[str, int] = {}  # the entry of each resource, as it was planned last

    async def read_conditions(self, base_url: str) -> None:
        """Read the conditional references. Problem where one is no condition, placed at its entry."""
        for part in self.parts:
            for name in filter(bundle.is_conditional, part.names - self.conditions.keys()):
                type, _, criteria = name.partition("?")
                try:
                    query = await condition(self.server, type, parameters(criteria.encode()), base_url, type)
                except Problem as problem:
                    raise entry.placed(problem, part.entry.index) from None
                self.conditions[name] = (query, part.entry.index)
                self.searched.add(query.type)
        # whom an enrollment is of may hang on whose it is
        self.conditions = dict(sorted(self.conditions.items(), key=lambda one: one[1][0].type == "Patient"))

    async def decide(self, view: View) -> Plan:
        return await self.plan(view, _no_pause)

    async def plan(self, view: View, pause: Callable[[], Awaitable[None]]) -> Plan:
        """Find what each entry is of, then what each link is to, then write."""
        head = TransactionHead(view, self.searched, self.now)
        known = [part.write for part in self.parts if part.write.method != "POST" and part.write.condition is None]
        await head.look([f"{write.type}/{write.id}" for write in known])
        targets = []
        for part in self.parts:
            await pause()
            targets.append(await self._target(part, head))
        self.written = {
            f"{part.write.type}/{target.id}": part.entry.index for part, target in zip(self.parts, targets, strict=True)
        }
        links = self._links(targets)
        for name, (query, index) in self.conditions.items():
            await pause()
            found = await head.matching(query) or await self._enrolled(view, name, query, targets, links)
            links.absolute[name] = _one(found, name, query, index)
        changes = await self._changes(targets, links, view.position + 1, pause)
        if self.reads:
            await self._check_reads(view.with_(changes))
        return Plan(changes, self._output(targets))

    async def _enrolled(
        self, view: View, name: str, query: Query, targets: Sequence[Target], links: Links
    ) -> Sequence[str]:
        """Of whom enrollments are, by their number, where those wait for nobody to tell of the member."""
        episodes = []
        for part, target in zip(self.parts, targets, strict=True):
            if name in part.names:
                near = links.of(part.entry.full_url)
                episode = part.change(target, {one: near[one] for one in part.names if one in near}).resource
                if episode is None or part.write.type != "EpisodeOfCare":
                    return []
                episodes.append(episode)
        return await self.server.repository.enrolled(view, query, episodes)

    async def _target(self, part: Part, head: TransactionHead) -> Target:
        try:
            target = await part.resolve(part.write, head)
            check_versioned(self.server, part.write, target)
            if part.write.patch is not None and part.write.type in self.searched:
                part.rows = self.server.repository.searched(part.write.change(target.id, target.current))
            head.place(part, target)
        except Problem as problem:
            raise entry.placed(problem, part.entry.index) from None
        return target

    def _links(self, targets: Sequence[Target]) -> Links:
        links = Links()
        for part, target in zip(self.parts, targets, strict=True):
            if part.entry.full_url and part.write.body is not None:
                links.add(part.entry.full_url, f"{part.write.type}/{target.id}")
        return links

    async def _changes(
        self, targets: Sequence[Target], links: Links, position: Position, pause: Callable[[], Awaitable[None]]
    ) -> list[Change]:
        versions = {
            f"{part.write.type}/{target.id}": position if part.is_new(target) else _position(target)
            for part, target in zip(self.parts, targets, strict=True)
            if self.has_versioned
        }
        changes = []
        for part, target in zip(self.parts, targets, strict=True):
            await pause()
            if not target.keeps:
                near = links.of(part.entry.full_url) if part.names else {}
                found = {name: _linked(name, near, versions) for name in part.names}
                changes.append(part.change(target, {name: link for name, link in found.items() if link}))
        return changes

    async def _check_reads(self, after: View) -> None:
        places = [asked.request.place for asked in self.reads]
        versions = await after.read_many([f"{place.type}/{place.id}" for place in places])
        for asked, place in zip(self.reads, places, strict=True):
            version = versions.get(f"{place.type}/{place.id}")
            if version is None or (version.body is None and place.shape == INSTANCE):
                raise entry.placed(
                    Problem.not_found(f"There is no {place.type}/{place.id} to read", "request.url"), asked.index
                )

    def _output(self, targets: Sequence[Target]) -> list[dict[str, Any]]:
        """For each write, in the transaction's order, what its answer is made from."""
        found = [((part.write.type, target.id), target) for part, target in zip(self.parts, targets, strict=True)]
        written: dict[tuple[str, str], int] = {}
        for name, target in found:
            if not target.keeps:
                written[name] = len(written)
        return [outcome_of(target, written.get(name)) for name, target in found]


def _position(target: Target) -> Position:
    return target.current.position if target.current else 0


def _linked(name: str, near: Mapping[str, str], versions: Mapping[str, Position]) -> str | None:
    """What a name stands for: another entry's resource, or the version of it that this transaction leaves."""
    if name in near:
        return near[name]
    reference = near.get(bundle.versioned(name))
    return f"{reference}/_history/{versions[reference]}" if reference and reference in versions else None


def _full_urls(parts: Sequence[Part]) -> Links:
    """The names of the transaction's own resources. Problem invalid (400) where two go by the same."""
    links = Links()
    for part in parts:
        url = part.entry.full_url
        if url and part.write.body is not None:
            if url in links.absolute:
                problem = Problem.invalid(f"The fullUrl {url[:200]!r} stands twice in the Bundle", "fullUrl")
                raise entry.placed(problem, part.entry.index)
            links.add(url, url)
    return links


def _check_named(part: Part, names: Collection[str]) -> None:
    """Problem invalid (400) where a link is to an entry that the Bundle does not have: it would lead nowhere."""
    assert part.write.body is not None
    found = bundle.urns_in(part.write.body.resource) if "urn:" in part.write.body.source else set()
    for name in sorted(name for name in found if name not in names and bundle.versioned(name) not in names):
        text = (
            f"No entry has the fullUrl {name[:200]!r}: give the entry it, or name what is elsewhere by its URL or its "
            "identifier"
        )
        raise entry.placed(Problem.invalid(text, part.write.type), part.entry.index)


def _one(found: Sequence[str], name: str, query: Query, index: int) -> str:
    """The one resource that a conditional reference means, of those that it finds."""
    if len(found) == 1:
        return f"{query.type}/{found[0]}"
    problem = (
        multiple_matches(query)
        if found
        else Problem.of("precondition_failed", f"No {query.type} matches the conditional reference {name[:200]!r}")
    )
    raise entry.placed(
        Problem.with_issues(problem.kind, [_at_resource(issue, query) for issue in problem.issues]), index
    )


def _at_resource(issue: Issue, query: Query) -> Issue:
    return Issue(issue.code, issue.diagnostics, (query.type,), issue.severity, issue.details)


class TransactionHead:
    """The head, with what the transaction's own entries, those before the one in hand, make of it."""

    def __init__(self, view: View, searched: set[str], now: int) -> None:
        self.view = view
        self.written: dict[str, set[str]] = {}
        self.pools = {type: Pool(type, now) for type in searched}
        self._seen: dict[str, Version | None] = {}

    async def look(self, references: Sequence[str]) -> None:
        """Read all these at one question, before they are asked for one by one."""
        self._seen = dict.fromkeys(references) | await self.view.read_many(references)

    async def read(self, type: str, id: str) -> Version | None:
        reference = f"{type}/{id}"
        return self._seen[reference] if reference in self._seen else await self.view.read(type, id)

    async def matching(self, query: Query) -> Sequence[str]:
        """As the other entries leave it."""
        own = self.written.get(query.type, set())
        stored = await self.view.search(query.type, query.filter, 2 + len(own))
        found = [version.id for version in stored if version.id not in own]
        return [*found, *self.pools[query.type].matching(query.filter)][:2]

    async def selected(self, query: Query) -> Sequence[str]:
        """As it was before, and what the other entries add: that two entries write one resource must not be missed."""
        stored = await self.view.search(query.type, query.filter, 2)
        return list(dict.fromkeys([*(found.id for found in stored), *self.pools[query.type].matching(query.filter)]))[
            :2
        ]

    def place(self, part: Part, target: Target) -> None:
        """Take the entry's resource into account. Problem invalid (400) where another entry writes it too."""
        type, id = part.write.type, target.id
        if target.keeps and part.write.method == "POST":
            return
        ids = self.written.setdefault(type, set())
        if id and id in ids:
            raise Problem.invalid(f"{type}/{id} is written by another entry too; a transaction writes it once")
        ids.add(id)
        if type in self.pools and (part.write.body is not None or part.write.patch is not None):
            self.pools[type].add(id, part.rows)
