"""How filters are compiled for SQLite: that the planner seeks, whatever the size of the index."""

from __future__ import annotations

from pathlib import Path

import pytest

from server.search.filter import And, Chain, Equal, Filter, Has, Ids, Not, Present, Range, Updated
from server.store.sqlite import schema
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
