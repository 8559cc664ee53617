"""$convert: a file of rows in; the transactions that they become out, or what came of applying them.

https://hl7.org/fhir/R4/bundle.html
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Sequence
from typing import Any

from mappings.csv_file import NotCsv, Row, rejected, rows, written
from mappings.table import Resource, Table, tables
from server.operations.call import Answer, Call
from server.operations.parameters import Output, place
from server.operations.tabular import Application, groups, told, transaction
from server.outcome import Issue, Problem

CSV = "text/csv"
MOST = 10_000  # rows whose transactions are answered, and that are read back at once


async def convert(call: Call) -> Answer:
    """Every row is read before the first one counts: a file that is no CSV is refused as a whole."""
    table = named(call)
    found = await asyncio.to_thread(_read, table, _content(call))
    if not call.inputs.one("apply"):
        return Answer(await asyncio.to_thread(_converted, table, found))
    if call.perform is None:
        raise Problem.of("not_supported", "Rows are applied by a request of their own, not within a transaction")
    refused: list[Row] = []
    start = await call.repository.head(call.caller)
    watch = _telling(call, len(found))
    application = Application(table, call.repository, call.caller, call.perform, refused.append, start, watch)
    applied = await application.apply(found)
    counts: list[Output] = [("rows", len(found)), ("taken", applied.taken), ("written", applied.written)]
    return Answer([*counts, *_rejection(table, refused)])


def _telling(call: Call, total: int) -> Callable[[int], None]:
    """Says how far it is to whoever asks meanwhile."""
    done = 0

    def watch(rows: int) -> None:
        nonlocal done
        done += rows
        call.watch(done, total, "")

    return watch


async def table(call: Call) -> Answer:
    """$table: what is stored, as a table."""
    asked = named(call)
    found = []
    async for some in told(call.repository, call.caller, asked, call.inputs.one("organization")):
        found += some
        if len(found) > MOST:
            why = f"More than {MOST} rows are for the command line: careplan export --table {asked.name}"
            raise Problem.of("too_costly", why)
    text = written(asked.names, found)
    if call.csv:
        return Answer(table=text)
    return Answer([("return", _binary(text))])


def named(call: Call) -> Table:
    """The table that is asked for. Problem invalid where there is none of that name."""
    name, known = call.inputs.one("table"), tables()
    if name not in known:
        raise Problem.invalid(f"There is no table {name[:80]!r}; there are {', '.join(known)}", place("table"))
    return known[name]


def _content(call: Call) -> bytes:
    binary = call.inputs.one("content")
    media_type = str(binary.get("contentType", "")).partition(";")[0].strip().lower()
    if media_type != CSV or not isinstance(binary.get("data"), str):
        why = f"content is a Binary of contentType {CSV} with its data, or the body itself, declared as {CSV}"
        raise Problem.with_issues("invalid", [Issue("value", why, (place("content"),))])
    try:
        return base64.b64decode("".join(binary["data"].split()), validate=True)
    except ValueError:
        raise Problem.invalid("content.data is no base64", place("content")) from None


def _read(table: Table, content: bytes) -> list[Row]:
    try:
        return list(rows(table, [content]))
    except NotCsv as error:
        raise Problem.invalid(f"{error}. Nothing of it was taken", place("content")) from None


def _converted(table: Table, found: Sequence[Row]) -> list[Output]:
    if len(found) > MOST:
        why = f"At most {MOST} rows are converted at once; here are {len(found)}. Apply them, or use careplan convert"
        raise Problem.of("too_costly", why, place("content"))
    sound, wrong = [row for row in found if not row.wrong], [row for row in found if row.wrong]
    bundles = [("bundle", transaction(table, group)) for group in groups(table, sound, MOST)]
    return [("rows", len(found)), *bundles, *_rejection(table, wrong)]


def _rejection(table: Table, refused: Sequence[Row]) -> list[Output]:
    """Each thing that is wrong, and the rows with it as a file that can be corrected and sent again."""
    if not refused:
        return []
    told = [
        ("rejected", [("row", one.line), *([("column", one.column)] if one.column else []), ("reason", one.why)])
        for row in refused
        for one in row.wrong
    ]
    return [*told, ("rejection", _binary(rejected(table, refused)))]


def _binary(text: str) -> Resource:
    data: dict[str, Any] = {"data": base64.b64encode(text.encode()).decode()} if text else {}
    return {"resourceType": "Binary", "contentType": f"{CSV};charset=utf-8", **data}
