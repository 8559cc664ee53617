"""Table: files of rows into a store and out of it, on the command line; of any length, for little memory."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

from mappings.csv_file import REJECTION, NotCsv, Row, rejected, rows, written
from mappings.table import Resource, Table, tables
from server.auth.access import SYSTEM
from server.fhir import body
from server.fhir.reference import own
from server.interactions.exchange import Request, Server, locate
from server.load.load import overriding
from server.operations.tabular import Application, Applied, groups, told, transaction
from server.outcome import Problem

PIECE = 1 << 16  # bytes that are read at once
GROUP = 500  # rows of one transaction that is converted, and not applied


def named(name: str) -> Table:
    """Problem invalid where there is no such table."""
    if name not in tables():
        raise Problem.invalid(f"There is no table {name!r}; there are {', '.join(tables())}")
    return tables()[name]


def read(table: Table, path: Path) -> Iterator[Row]:
    """The rows of a file. Problem invalid, with the line, where it is no CSV or none of this table."""
    try:
        yield from rows(table, _pieces(path))
    except NotCsv as error:
        raise Problem.invalid(f"{path}: {error}. Nothing of it was taken") from None


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(PIECE):
            yield piece


def count(table: Table, path: Path) -> int:
    """How many rows a file has, each of which can be read: before the first one counts."""
    return sum(1 for _ in read(table, path))


async def load_table(
    server: Server,
    table: Table,
    path: Path,
    refuse: Callable[[Row], None],
    watch: Callable[[int], None],
    override: Mapping[str, Any] | None = None,
) -> Applied:
    """Apply a file's rows. What was broken off is applied again: rows that are there already write nothing."""
    if override is not None:
        server = overriding(server, override)

    async def perform(bundle: Resource, key: str | None) -> Resource:
        headers = {b"prefer": b"return=minimal"} | ({b"idempotency-key": key.encode()} if key else {})
        answer = await server.perform(Request("POST", locate(""), own(), headers=headers, content=body.dumps(bundle)))
        found: Resource = json.loads(answer.body)
        return found

    start = await server.repository.head(SYSTEM)
    application = Application(table, server.repository, SYSTEM, perform, refuse, start, watch)
    return await application.apply(read(table, path))


class Rejections:
    """A file of the rows that were not taken, which is written as they come; there is none without one."""

    def __init__(self, table: Table, path: Path | None) -> None:
        self.table, self.path = table, path
        self.file: TextIO | None = None

    def add(self, row: Row) -> None:
        if self.path is None:
            return
        if self.file is None:
            self.file = self.path.open("w", encoding="utf-8", newline="")
            self.file.write(written([*self.table.names, *REJECTION], []))
        self.file.write(rejected(self.table, [row], header=False))

    def close(self) -> None:
        if self.file is not None:
            self.file.close()


def converted(table: Table, path: Path, refuse: Callable[[Row], None]) -> Iterator[bytes]:
    """The transactions that a file's rows become, one a line."""
    for group in groups(table, _sound(read(table, path), refuse), GROUP):
        yield body.dumps(transaction(table, group)) + b"\n"


def _sound(rows: Iterable[Row], refuse: Callable[[Row], None]) -> Iterator[Row]:
    for row in rows:
        if row.wrong:
            refuse(row)
        else:
            yield row


async def export_table(server: Server, table: Table, out: TextIO, watch: Callable[[int], None]) -> int:
    """Write what is stored, as of one position; answers how many rows there are."""
    out.write(written(table.names, []))
    number = 0
    async for some in told(server.repository, SYSTEM, table):
        out.write(written(table.names, some, header=False))
        number += len(some)
        watch(len(some))
    return number
