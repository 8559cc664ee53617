"""Tables: every row that is right becomes resources from which it is read back, as it was."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mappings.table import Table, references, tables
from tests.mappings.strategies import row_values

TRACKING = tables()["ny-tracking"]
SEGMENT = {"record": "A", "segment": "S1", "cin": "C1", "health_home": "H1", "segment_type": "E", "start": "2026-01-01"}


@pytest.mark.requirement("ADJ-06")
def test_tables_are_the_rosters_assignments_and_tracking_files() -> None:
    assert ["ny-assignment", "ny-roster", "ny-tracking"] == list(tables())
    assert all("are ours" in table.description for table in tables().values())


@pytest.mark.requirement("ADJ-06")
@given(st.data())
@pytest.mark.parametrize("name", tables())
@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow], max_examples=60, deadline=None)
def test_row_is_read_back_from_what_it_became(name: str, data: st.DataObject) -> None:
    table = tables()[name]
    row = data.draw(row_values(table))
    base, others = stored(table, row)
    expected = None if row.get("record") == "D" else row
    assert expected == table.values(base, others)


def stored(table: Table, row: dict[str, str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a server keeps of a row: the resource that it is read from, and those that this refers to."""
    entries = {one["name"]: made for one, made in zip(table.entries, table.bundle(row, 2), strict=True)}
    base = entries[table.rows["entry"]]["resource"]
    others: dict[str, Any] = {made["fullUrl"]: made["resource"] for made in entries.values()}
    for link in references(base):
        type, _, criterion = link.partition("?identifier=")
        if criterion:
            system, _, value = criterion.partition("|")
            others[link] = {"resourceType": type, "identifier": [{"system": system, "value": unquote(value)}]}
    return base, others


def wrong(**changed: str) -> list[str]:
    return [column for column, _ in TRACKING.wrong(SEGMENT | changed)]


@pytest.mark.requirement("ADJ-05")
@pytest.mark.parametrize("code", list("123457"))
@pytest.mark.parametrize("kind", ["D", "A"])
@pytest.mark.parametrize("type", ["O", "E", "B"])
def test_segment_ends_by_the_codes_kinds_and_types_that_go_together(code: str, kind: str, type: str) -> None:
    kinds = {"1": "A", "2": "A", "3": "A", "4": "D", "5": "A", "7": "AD"}
    expected = kind in kinds[code] and (code != "2" or type == "O")
    end = {"end": "2026-02-01", "end_code": code, "end_kind": kind, "segment_type": type}
    assert expected == (wrong(**end, new_cin="C2" if code == "5" else "") == [])


@pytest.mark.requirement("ADJ-05")
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, []),
        ({"segment": ""}, ["segment"]),
        ({"segment": "a|b"}, ["segment"]),
        ({"segment_type": "X"}, ["segment_type"]),
        ({"start": "2026-2-1"}, ["start"]),
        ({"start": "20260201"}, ["start"]),
        ({"end": "2026-02-01"}, ["end_kind"]),
        ({"end_code": "1", "end_kind": "A"}, ["end"]),
        ({"end": "2025-12-31", "end_kind": "A", "end_code": "1"}, ["end"]),
        ({"end": "2026-02-01", "end_kind": "A", "end_code": "6"}, ["end_code"]),
        ({"end": "2026-02-01", "end_kind": "A", "end_code": "5"}, ["new_cin"]),
        ({"new_cin": "C2"}, ["new_cin"]),
    ],
    ids=str,
)
def test_what_is_wrong_is_told_by_its_column(changed: dict[str, str], expected: list[str]) -> None:
    assert expected == wrong(**changed)


def test_outreach_alone_is_no_enrollment_in_a_health_home() -> None:
    made = {type: str(TRACKING.bundle(SEGMENT | {"segment_type": type}, 2)) for type in "OEB"}
    assert {"O": False, "E": True, "B": True} == {type: "ny-health-home" in text for type, text in made.items()}


def test_column_of_a_place_in_a_resource() -> None:
    places = ("status", "period.end", "patient", "managingOrganization.reference", "extension[0].value", "nothing", "")
    expected = ["record", "end", "cin", "health_home", "end_kind", "", ""]
    assert expected == [TRACKING.column(0, place) for place in places]
