"""CSV: what is no table is refused with its line, within bounds; what was written is read back as it was."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mappings.csv_file import MAX_LINE, NotCsv, guarded, plain, rejected, rows, written
from mappings.table import tables
from tests.mappings.strategies import row_values

TABLE = tables()["ny-roster"]
NAMES = ",".join(TABLE.names)
LINE = "E1,P1,C1,Lee,Ann,1950-01-02,F,map,2026-01-01,"


def read(content: bytes, size: int = 7) -> list[dict[str, str]]:
    """The rows' values, the file in small pieces."""
    pieces = [content[place : place + size] for place in range(0, len(content), size)]
    return [dict(row.values) for row in rows(TABLE, pieces)]


@given(st.lists(row_values(TABLE), max_size=5), st.integers(1, 50), st.booleans())
@settings(deadline=None)
def test_rows_are_read_as_they_were_written(found: list[dict[str, str]], size: int, has_mark: bool) -> None:
    text = written(TABLE.names, found)
    content = text.encode("utf-8-sig" if has_mark else "utf-8")
    assert found == read(content, size)
    assert found == read(content.replace(b"\r\n", b"\n"), size)


@given(st.text(st.characters(exclude_categories=("Cc", "Cs"))))
def test_no_value_is_taken_for_a_formula(value: str) -> None:
    value = value.strip(" ")
    assert guarded(value)[:1] not in {"=", "+", "-", "@"}
    assert value == plain(guarded(value))


@pytest.mark.parametrize("value", ["'t Hooft", "O'Brien", "'"])
def test_name_with_an_apostrophe_stays_as_it_is(value: str) -> None:
    assert value == guarded(value) == plain(value)


def test_columns_may_stand_in_any_order_and_what_is_not_required_may_lack() -> None:
    text = "CIN, family ,plan_type,enrollment,plan,start\nC1,Lee,map,E1,P1,2026-01-01\n\n"
    (row,) = read(text.encode())
    assert ("C1", "E1", False) == (row["cin"], row["enrollment"], "gender" in row)


@pytest.mark.parametrize("given", ['"Ann, B"', ' "Ann, B"', '  "Ann, B"'])
def test_quoted_value_may_have_blanks_before_it(given: str) -> None:
    (row,) = read(f"{NAMES}\nE1,P1,C1,Lee,{given},1950-01-02,F,map,2026-01-01,\n".encode())
    assert "Ann, B" == row["given"]


@pytest.mark.parametrize("blank", ["", " "])
def test_line_break_within_a_quoted_value_is_one_row_that_is_wrong(blank: str) -> None:
    text = f'{NAMES}\nE1,P1,C1,Lee,{blank}"Ann\nB",1950-01-02,F,map,2026-01-01,\n{LINE}\n'
    wrong, right = rows(TABLE, [text.encode()])
    assert ([(2, "given")], (), 4) == ([one[:2] for one in wrong.wrong], right.wrong, right.line)
    assert "Ann\nB" == next(csv.DictReader(io.StringIO(rejected(TABLE, [wrong]))))["given"]


@pytest.mark.parametrize(
    ("column", "birth_date", "start"),
    [
        ("start", "2090-01-01", "2026-01-01"),
        ("start", "1950-01-02", "0001-01-01"),
        ("birth_date", "1850-01-02", "2026-01-01"),
    ],
)
def test_day_that_cannot_be_is_told(column: str, birth_date: str, start: str) -> None:
    text = f"{NAMES}\nE1,P1,C1,Lee,Ann,{birth_date},F,map,{start},\n"
    (row,) = rows(TABLE, [text.encode()])
    assert {column} == {one.column for one in row.wrong}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", 1),
        (f"{NAMES}\n{LINE}\n".encode("utf-16"), 1),
        (f"{NAMES}\n".encode() + LINE.replace("Lee", "L\u00e9e").encode("latin-1"), 2),
        (f"{NAMES},nickname\n".encode(), 1),
        (f"{NAMES},cin\n".encode(), 1),
        (b"enrollment,plan\n", 1),
        (NAMES.replace(",", ";").encode(), 1),
        (f'{NAMES}\n{LINE}\nE2,"P1\n'.encode(), 3),
        (f'{NAMES}\nE2,"P1"x,\n'.encode(), 2),
        (f"{NAMES}\n{LINE}\nE2,\0\n".encode(), 3),
        (f"{NAMES}\n{LINE}{'x' * MAX_LINE}\n".encode(), 2),
        (f"{NAMES}\n".encode() + b"x" * (2 * MAX_LINE), 2),
        (f'{NAMES}\n"'.encode() + b"x\n" * MAX_LINE * 2, 2),
    ],
    ids=range(13),
)
def test_what_is_no_table_is_refused_with_its_line(content: bytes, line: int) -> None:
    with pytest.raises(NotCsv) as found:
        read(content, 1000)
    assert line == found.value.line


def test_rows_that_are_wrong_are_told_by_line_and_column_and_can_be_sent_again() -> None:
    text = f'{NAMES}\n{LINE}\nE2,P1,C2,"Le\ne",,,Q,map,2026-01-01,\nE3,P1\n'
    found = list(rows(TABLE, [text.encode()]))
    assert [[], [(3, "family"), (3, "gender")], [(5, "")]] == [
        [(one.line, one.column) for one in row.wrong] for row in found
    ]
    again = rejected(TABLE, found[1:])
    assert ["family gender", ""] == [one["rejection_column"] for one in csv.DictReader(io.StringIO(again))]
    corrected = again.replace("Le\ne", "Lee").replace(",Q,", ",M,")
    assert [()] == [row.wrong for row in rows(TABLE, [corrected.encode()])][:1]
