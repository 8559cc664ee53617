"""Rows in groups: in their order, bounded, and none beside another one about the same resource."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mappings.csv_file import Row
from mappings.table import Wrong, tables
from server.operations.tabular import groups, refused, transaction
from server.outcome import Issue

TABLE = tables()["ny-tracking"]
VALUES = {"record": "A", "cin": "C1", "health_home": "H1", "segment_type": "E", "start": "2026-01-01"}
SEGMENTS = st.lists(st.tuples(st.sampled_from("abcde"), st.booleans()), max_size=30)


def row(line: int, segment: str = "S1", is_wrong: bool = False) -> Row:
    wrong = (Wrong(line, "start", "no date"),) if is_wrong else ()
    return Row(line, VALUES | {"segment": segment}, wrong)


@given(SEGMENTS, st.integers(1, 7))
def test_groups_keep_the_order_and_have_no_resource_twice(segments: list[tuple[str, bool]], size: int) -> None:
    rows = [row(line, *one) for line, one in enumerate(segments, 2)]
    found = list(groups(TABLE, rows, size))
    assert rows == [one for group in found for one in group]
    for group in found:
        assert 1 <= len(group) <= size
        sound = [one.values["segment"] for one in group if not one.wrong]
        assert len(set(sound)) == len(sound)
        assert len(sound) == len(transaction(TABLE, [one for one in group if not one.wrong]).get("entry", ()))


def test_refusal_is_told_by_the_column_that_it_is_about() -> None:
    unknown = "No Patient matches the conditional reference 'Patient?identifier={}|C1'"
    system = "https://careplan-server.org/fhir/sid/ny-cin"
    issues = [
        Issue("conflict", unknown.format(system)),
        Issue("business-rule", "It ends before it begins", ("Bundle.entry[0].resource.period.end",)),
        Issue("business-rule", "Nobody knows why"),
        Issue("informational", "By the way", severity="information"),
    ]
    assert ["cin", "end", ""] == [one.column for one in refused(TABLE, row(2), issues)]
