"""How filters are compiled for SQLite: that the planner seeks, whatever the size of the index."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from server.search.filter import (
    And,
    Chain,
    Contains,
    Equal,
    Filter,
    Has,
    Hierarchy,
    Ids,
    Near,
    Not,
    Present,
    Range,
    Updated,
    Words,
)
from server.store.engine import Sort
from server.store.sqlite import compile, order, schema
from server.store.sqlite.compile import Compiler
from server.store.sqlite.tables import Tables

CODE = Equal("CarePlan.status", (b"active",))
SUBJECT = Equal("CarePlan.subject", ("Patient/1",))
DATE = Range("CarePlan.date", b"a", b"z", b"b", b"c")
IDENTIFIER = Equal("Patient.identifier", (b"1",))


@pytest.fixture
def tables(tmp_path: Path) -> Tables:
    connection = schema.connect(str(tmp_path / "careplan.db"))
    schema.create(connection, "default", "test")
    return Tables(connection)


@pytest.mark.parametrize("at", [None, 7])
@pytest.mark.parametrize(
    "filter",
    [
        SUBJECT,
        And((SUBJECT, CODE)),
        And((CODE, DATE, SUBJECT)),
        And((SUBJECT, Not(CODE))),
        And((SUBJECT, Not(Present("CarePlan.date")))),
        And((SUBJECT, Updated(1, 2))),
        And((Ids(("1",)), CODE, DATE)),
        Chain("CarePlan.subject", "Patient", IDENTIFIER),
        And((CODE, Chain("CarePlan.subject", "Patient", IDENTIFIER))),
        And((Chain("CarePlan.subject", "Patient", And((IDENTIFIER, Range("Patient.name", b"a", b"b")))), DATE)),
        Has("CarePlan", "CarePlan.subject", Equal("CarePlan.identifier", (b"1",))),
        And((SUBJECT, Chain("CarePlan.subject", "Patient", Range("Patient.name", b"a", b"b")))),
        Not(Chain("CarePlan.subject", "Patient", Chain("Patient.link", "Patient", IDENTIFIER))),
        And((SUBJECT, Not(Has("Goal", "Goal.subject", DATE)))),
        And((Has("Goal", "Goal.subject", Equal("Goal.identifier", (b"1",))), CODE)),
        Hierarchy("CarePlan.location", "Location.partof", ("Location/1",)),
        And((SUBJECT, Hierarchy("CarePlan.location", "Location.partof", ("Location/1",), upward=True))),
        And((SUBJECT, Not(Hierarchy("CarePlan.location", "Location.partof", ("Location/1",))))),
        Near("CarePlan.place", 41.6, -93.6, 1000),
        And((SUBJECT, Near("CarePlan.place", 41.6, -93.6, 1000))),
    ],
)
def test_set_seeks_the_whole_key(tables: Tables, filter: Filter, at: int | None) -> None:
    compiler = Compiler(tables, at)
    plan = _plan(tables, compiler.set("CarePlan", filter), compiler)
    assert [] == [step for step in plan if "rows" in step and not _is_seek(step)]


def _plan(tables: Tables, sql: str, compiler: Compiler) -> list[str]:
    rows = tables.connection.execute(f"EXPLAIN QUERY PLAN {sql}", compiler.bindings)
    return [str(row[3]) for row in rows]


def _is_seek(step: str) -> bool:
    """By a whole key, or by a resource and a name: never through all the rows of a name."""
    return "name=? AND key" in step or "rid=? AND name=?" in step


@pytest.mark.parametrize("at", [None, 7])
def test_candidates_are_looked_for_in_a_set_that_is_read_once(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, at: int | None
) -> None:
    monkeypatch.setattr(Compiler, "count", lambda compiler, filter, most: 100)
    compiler = Compiler(tables, at)
    names = And((Range("CarePlan.title", b"a", b"b"), DATE))
    plan = _plan(tables, compiler.set("CarePlan", names), compiler)
    assert [] == [step for step in plan if "rows" in step and "name=? AND key" not in step]
    assert (1 if at is None else 2) == sum("LIST SUBQUERY" in step for step in plan)


@pytest.mark.parametrize("at", [None, 7])
def test_contains_looks_at_each_different_key_once_where_few_have_many_rows(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, at: int | None
) -> None:
    monkeypatch.setattr(compile, "SAMPLE", 32)
    connection = tables.connection
    connection.execute("INSERT INTO names(name) VALUES ('Patient.family'), ('Patient.given')")
    rows = [(number, b"key%d" % (rid % 2 if number == 1 else rid), rid, 1) for number in (1, 2) for rid in range(32)]
    connection.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", rows)
    for index, is_repeated in (("Patient.family", True), ("Patient.given", False)):
        compiler = Compiler(tables, at)
        sql = compiler.set("Patient", Contains(index, b"y1"))
        plan = _plan(tables, sql, compiler)
        assert is_repeated == any("name=? AND key=?" in step for step in plan)
        found = {rid for (rid,) in connection.execute(sql, compiler.bindings)}
        assert {rid for number, key, rid, _ in rows if (number == 1) == is_repeated and b"y1" in key} == found


@pytest.mark.parametrize("at", [None, 7])
@pytest.mark.parametrize("sort", ["CarePlan.date", "_lastUpdated", "_id"])
@pytest.mark.parametrize("descending", [False, True])
def test_many_are_walked_in_order_and_not_sorted(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, sort: str, descending: bool, at: int | None
) -> None:
    monkeypatch.setattr(order, "WALK", -1)
    ran: list[str] = []
    with tables.connection:
        tables.connection.set_exec_trace(lambda cursor, sql, bindings: ran.append(sql) or True)
        order.rids(tables, [("CarePlan", CODE)], [Sort(sort, descending)], at, 0, 10)
        tables.connection.set_exec_trace(None)
    walk = next(sql for sql in ran if "ORDER BY" in sql)
    unbound = (None,) * max(map(int, re.findall(r"\?(\d+)", walk)))
    steps = [row[3] for row in tables.connection.execute(f"EXPLAIN QUERY PLAN {walk}", unbound)]
    assert [] == [step for step in steps if "TEMP B-TREE FOR ORDER BY" in step]


@pytest.mark.parametrize("at", [None, 7])
def test_words_of_few_candidates_are_looked_for_in_their_own_texts(
    tables: Tables, monkeypatch: pytest.MonkeyPatch, at: int | None
) -> None:
    monkeypatch.setattr(Compiler, "count", lambda compiler, filter, most: most)
    said = Words("content", ("plan",))
    for filter, first in (
        (And((SUBJECT, said)), "texts_rid"),
        (And((CODE, said)), "SCAN w VIRTUAL"),
    ):
        compiler = Compiler(tables, at)
        plan = _plan(tables, compiler.set("CarePlan", filter), compiler)
        assert first in next(step for step in plan if step.split()[1] in ("t", "w"))
