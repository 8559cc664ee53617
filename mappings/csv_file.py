"""CSV: a table's rows as lines of fields, in UTF-8.

https://www.rfc-editor.org/rfc/rfc4180

Read a piece at a time, within bounds: a file that is no CSV is refused as a whole, with its line, before any row of it
counts. A value that a spreadsheet would take for a formula is written with an apostrophe before it, which is taken away
when it is read.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import NamedTuple

from mappings.table import Table, Wrong

MAX_LINE = 1 << 16  # characters of one line
FORMULA = frozenset("=+-@\t\r")  # what a spreadsheet takes for the beginning of one
REJECTION = ("rejection_column", "rejection_reason")  # what a file of rejected rows has beside its own columns


class Row(NamedTuple):
    """One row: the line of the file on which it begins, its values by column, and what is wrong with them."""

    line: int
    values: Mapping[str, str]
    wrong: tuple[Wrong, ...] = ()


class NotCsv(Exception):  # noqa: N818 - the file's word for it
    """The file cannot be read on from a line, and why."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line, self.why = line, why


def rows(table: Table, pieces: Iterable[bytes]) -> Iterator[Row]:
    """The rows of a file. NotCsv where it is none, or where its first line is not of the table's columns."""
    reader = csv.reader(_lines(pieces), strict=True, skipinitialspace=True)
    names: list[str] | None = None
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            raise NotCsv(line, f"not CSV: {error}; a quotation mark within a quoted field is written twice") from None
        if names is None:
            names = _header(table, fields, line)
        elif any(fields):
            yield _row(table, names, fields, line)
    if names is None:
        raise NotCsv(1, f"the file is empty; its first line names the columns: {', '.join(table.names)}")


def _lines(pieces: Iterable[bytes]) -> Iterator[str]:
    """The file's lines, each with its end."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    number, rest = 1, ""
    for index, piece in enumerate(chain(filter(None, pieces), [b""])):
        if index == 0 and piece.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            raise NotCsv(1, "the file is in UTF-16; accepted is UTF-8, with a byte order mark or without")
        try:
            rest += decoder.decode(piece, final=not piece)
        except UnicodeDecodeError as error:
            before = error.object[: error.start].count(b"\n")
            raise NotCsv(number + before, f"not UTF-8 ({error.reason}); accepted is UTF-8") from None
        *whole, rest = rest.split("\n")
        for line in whole:
            yield _bounded(f"{line}\n", number)
            number += 1
        _bounded(rest, number)
    if rest:
        yield rest


def _bounded(line: str, number: int) -> str:
    if len(line) > MAX_LINE:
        raise NotCsv(number, f"longer than {MAX_LINE} characters")
    if "\0" in line:
        raise NotCsv(number, "it holds a NUL character, which is no text")
    return line


def _header(table: Table, fields: Sequence[str], line: int) -> list[str]:
    names = [field.strip().lower() for field in fields]
    accepted = ", ".join(table.names)
    hint = "; fields are separated by commas" if len(names) == 1 else ""
    if unknown := [name for name in names if name not in {*table.names, *REJECTION}]:
        raise NotCsv(line, f"there is no column {unknown[0][:40]!r} in {table.name}; there are {accepted}{hint}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise NotCsv(line, f"the column {twice[0]} stands twice")
    if missing := [one.name for one in table.columns if one.required and one.name not in names]:
        raise NotCsv(line, f"the columns {', '.join(missing)} are missing; there are {accepted}{hint}")
    return names


def _row(table: Table, names: Sequence[str], fields: Sequence[str], line: int) -> Row:
    given = dict(zip(names, map(plain, fields), strict=False))
    there = (column for column in table.columns if column.name in names or column.default)
    values = {column.name: given.get(column.name, "") or column.default for column in there}
    if len(fields) != len(names):
        return Row(line, values, (Wrong(line, "", f"it has {len(fields)} fields; the first line names {len(names)}"),))
    return Row(line, values, tuple(Wrong(line, column, why) for column, why in table.wrong(values)))


def written(names: Sequence[str], rows: Iterable[Mapping[str, str]], *, header: bool = True) -> str:
    """Rows as CSV, in the order of the names."""
    text = io.StringIO()
    writer = csv.writer(text)
    if header:
        writer.writerow(names)
    writer.writerows([guarded(row.get(name, "")) for name in names] for row in rows)
    return text.getvalue()


def rejected(table: Table, rows: Iterable[Row], *, header: bool = True) -> str:
    """The rows that were not taken, each with why; corrected, the file can be sent again."""
    told = (
        {
            **row.values,
            REJECTION[0]: " ".join(dict.fromkeys(one.column for one in row.wrong if one.column)),
            REJECTION[1]: "; ".join(one.why for one in row.wrong),
        }
        for row in rows
    )
    return written([*table.names, *REJECTION], told, header=header)


def guarded(value: str) -> str:
    """A value that no spreadsheet takes for a formula."""
    return f"'{value}" if value[:1] in FORMULA or _is_guarded(value) else value


def plain(value: str) -> str:
    """A value without what `guarded` put before it, and without blanks around it."""
    value = value.strip(" ")
    return value[1:] if _is_guarded(value) else value


def _is_guarded(value: str) -> bool:
    return len(value) > 1 and value[0] == "'" and (value[1] in FORMULA or value[1] == "'")
