"""Tabular: the rows of a table, applied a bounded group at a time, and read back from what is stored.

https://hl7.org/fhir/R4/http.html#transaction

A group of rows is one transaction; one that is refused is taken in halves, so that what is refused is one row and never
its neighbours. Applied again, rows that are there already write nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import unquote

from mappings.csv_file import Row
from mappings.table import Stored, Table, Wrong, references
from mappings.template import criteria
from server.auth.access import Caller
from server.fhir import body
from server.ledger import Position, Resource, Version
from server.outcome import Issue, Problem
from server.repository import Repository

GROUP = 50  # rows of one transaction
AT_ONCE = 4  # transactions
PAGE = 1000  # resources that are read back at once
PASSING = {"unavailable", "throttled", "timeout", "no_store", "internal"}  # kinds that say nothing about a row
RELATED = {"Organization", "Patient"}  # whose identifiers a row tells

Perform = Callable[[Resource, str | None], Awaitable[Resource]]  # (transaction, key) -> its answer; Problem
Reject = Callable[[Row], None]
_ENTRY = re.compile(r"Bundle\.entry\[(\d+)\]\.resource\.?")


@dataclass(slots=True)
class Applied:
    """What became of rows: `written` are those by which something changed; the rest of `taken` was there already."""

    taken: int = 0
    written: int = 0
    rejected: int = 0


@dataclass(slots=True)
class Application:
    """Rows of a table on their way into the store. `start` is the ledger's head before them."""

    table: Table
    repository: Repository
    caller: Caller
    perform: Perform
    reject: Reject
    start: Position
    watch: Callable[[int], None] = lambda rows: None

    async def apply(self, rows: Iterable[Row]) -> Applied:
        """Take the rows, those about one resource in their order; some groups at once: none waits for a disk."""
        applied = Applied()
        for some in groups(self.table, rows, GROUP * AT_ONCE):
            sound, rejected = [row for row in some if not row.wrong], [row for row in some if row.wrong]
            parts = [sound[first : first + GROUP] for first in range(0, len(sound), GROUP)]
            for found in await asyncio.gather(*(self._take(part, applied) for part in parts)):
                rejected += found
            for row in sorted(rejected, key=lambda row: row.line):
                self.reject(row)
            applied.rejected += len(rejected)
            self.watch(len(some))
        return applied

    async def _take(self, rows: Sequence[Row], applied: Applied) -> list[Row]:
        """Apply the rows; those that are refused, with why."""
        try:
            answer = await self._performed(rows)
        except Problem as problem:
            if problem.kind in PASSING:
                raise
            if len(rows) == 1:
                return [rows[0]._replace(wrong=tuple(refused(self.table, rows[0], problem.issues)))]
            half = len(rows) // 2
            return [*await self._take(rows[:half], applied), *await self._take(rows[half:], applied)]
        applied.taken += len(rows)
        applied.written += self._written(answer, len(self.table.entries))
        return []

    async def _performed(self, rows: Sequence[Row]) -> Resource:
        """The answer to the rows' transaction, which is made again where somebody else has written meanwhile."""
        before: Resource = {}
        while True:
            there = await stored(self.repository, self.caller, self.table, rows)
            bundle = await asyncio.to_thread(transaction, self.table, rows, there)
            if not bundle["entry"]:
                return {}
            try:
                return await self.perform(bundle, None)
            except Problem as problem:
                if problem.kind != "precondition_failed" or bundle == before:
                    raise
                before = bundle

    def _written(self, answer: Resource, width: int) -> int:
        """How many rows wrote something: the entries of each stand together."""
        tags = [entry["response"].get("etag", 'W/"0"') for entry in answer.get("entry", ())]
        return sum(
            any(int(tag[3:-1]) > self.start for tag in tags[first : first + width])
            for first in range(0, len(tags), width)
        )


def groups(table: Table, rows: Iterable[Row], size: int) -> Iterable[list[Row]]:
    """Rows in their order, so many at a time, in none of which two are about the same resource."""
    group: list[Row] = []
    seen: set[str] = set()
    for row in rows:
        keys = set() if row.wrong else table.keys(row.values)
        if len(group) == size or not seen.isdisjoint(keys):
            yield group
            group, seen = [], set()
        group.append(row)
        seen |= keys
    if group:
        yield group


def transaction(table: Table, rows: Iterable[Row], there: Stored | None = None) -> Resource:
    """The transaction that takes these rows, into what is there; without it, as if nothing were."""
    entries = [entry for row in rows for entry in table.bundle(row.values, row.line, there)]
    return {"resourceType": "Bundle", "type": "transaction", "entry": entries}


async def stored(repository: Repository, caller: Caller, table: Table, rows: Sequence[Row]) -> Stored:
    """What is stored of what the rows change: a search for each type of resource, and one look for what these name."""
    view = await repository.view(caller)
    found: dict[str, list[Resource]] = {}
    links: set[str] = set()
    for type, conditions in _conditions(table, rows):
        sought = ",".join(value for _, value in conditions)
        query = await repository.parsed(type, [("identifier", sought)], base_url="", lenient=False)
        versions = await view.search(type, query.filter, 2 * len(conditions))
        resources, more = await asyncio.to_thread(_parsed, versions)
        links |= more
        by_value = _by_identifier(resources)
        found |= {url: by_value[value] for url, value in conditions if value in by_value}
    others = await view.read_many(links) if links else {}
    today = datetime.now(UTC).date().isoformat()
    return Stored(found, {link: body.loads(one.body) for link, one in others.items() if one.body}, today)


def _conditions(table: Table, rows: Sequence[Row]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """For each conditional update: its type, and of each row (its URL, the identifier that it seeks)."""
    for entry in table.entries:
        if entry["request"]["method"] == "PUT":
            urls = [criteria(entry["request"]["url"], row.values) for row in rows]
            yield entry["resource"]["resourceType"], [(url, unquote(url.partition("=")[2])) for url in urls]


def _by_identifier(resources: Iterable[Resource]) -> dict[str, list[Resource]]:
    found: dict[str, list[Resource]] = {}
    for one in resources:
        for identifier in one.get("identifier", ()):
            found.setdefault(f"{identifier.get('system')}|{identifier.get('value')}", []).append(one)
    return found


def refused(table: Table, row: Row, issues: Sequence[Issue]) -> list[Wrong]:
    """What a transaction of one row was refused for, by column where one can be told."""
    return [
        Wrong(row.line, table.sought(row.values, issue.diagnostics) or _column(table, issue), issue.diagnostics)
        for issue in issues
        if issue.severity in ("error", "fatal")
    ]


def _column(table: Table, issue: Issue) -> str:
    for place in issue.expression:
        if found := _ENTRY.match(place):
            return table.column(int(found[1]), place[found.end() :])
    return ""


async def told(
    repository: Repository, caller: Caller, table: Table, organization: str | None = None
) -> AsyncIterator[list[Mapping[str, str]]]:
    """What is stored as rows, a page of resources at a time, all as of one position; those of any party, or of one."""
    type, parameters = table.search
    asked = [*parameters, *([("_filter", _of(table.rows["organization"], organization))] if organization else [])]
    query = await repository.parsed(type, [*asked, ("_count", str(PAGE))], base_url="", lenient=False)
    token = None
    while True:
        page = await repository.search(caller, query, token)
        resources, links = await asyncio.to_thread(_parsed, page.matches)
        versions = await (await repository.view(caller, page.position)).read_many(links)
        yield await asyncio.to_thread(_rows, table, resources, versions)
        if (token := page.next) is None:
            return


def _of(parameters: Iterable[str], organization: str) -> str:
    """The `_filter` of what refers to the organization by any of these parameters."""
    return " or ".join(f"{name} re {body.dumps(organization).decode()}" for name in parameters)


def _parsed(found: Iterable[Version]) -> tuple[list[Resource], set[str]]:
    """The resources, and what of theirs a row tells something of."""
    resources = [body.loads(version.body) for version in found if version.body]
    links = (link for one in resources for link in references(one))
    return resources, {link for link in links if link.partition("/")[0] in RELATED}


def _rows(table: Table, resources: Iterable[Resource], versions: Mapping[str, Version]) -> list[Mapping[str, str]]:
    others = {link: body.loads(version.body) for link, version in versions.items() if version.body}
    return [row for one in resources if (row := table.values(one, others)) is not None]
