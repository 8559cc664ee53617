from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.coordination import period
from server.coordination.period import ALWAYS, NEVER, Interval, Step
from server.ledger import micros

IOWA = "America/Chicago"


def at(*parts: int) -> int:
    return micros(datetime(*parts, tzinfo=UTC))  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("expected", "start", "end"),
    [
        ((at(2025, 1, 1, 6), at(2025, 1, 2, 6)), "2025-01-01", "2025-01-01"),
        ((at(2025, 7, 1, 5), at(2025, 8, 1, 5)), "2025-07", "2025-07"),
        ((at(2025, 1, 1, 6), at(2026, 1, 1, 6)), "2025", "2025"),
        ((at(2025, 1, 1, 6), at(2025, 6, 1, 5)), "2025-01-01T00:00:00-06:00", "2025-06-01T00:00:00-05:00"),
        ((at(2025, 1, 1), at(2025, 1, 1, 0, 0, 1)), "2025-01-01T00:00:00Z", "2025-01-01T00:00:01Z"),
        ((ALWAYS, NEVER), None, None),
        ((at(9999, 12, 31, 6), NEVER), "9999-12-31", "9999-12-31"),
    ],
)
def test_between_reads_dates_in_the_programs_zone_and_ends_with_their_day(
    expected: tuple[int, int], start: str | None, end: str | None
) -> None:
    assert expected == period.between(start, end, IOWA)


def test_between_spans_the_change_of_the_clocks() -> None:
    low, high = period.between("2026-03-08", "2026-03-08", IOWA)
    assert 23 * 3600 * 1_000_000 == high - low


def test_starts_refuses_what_is_no_date() -> None:
    with pytest.raises(ValueError, match="no dateTime"):
        period.starts("yesterday", IOWA)


def test_text_names_the_offset_of_the_zone() -> None:
    assert "2026-01-01T00:00:00-06:00" == period.text(at(2026, 1, 1, 6), IOWA)
    assert "2026-07-01T00:00:00.250-05:00" == period.text(at(2026, 7, 1, 5) + 250_000, IOWA)


@pytest.mark.parametrize("micros", [0, 1, 999, 1000, 1001, 999_999])
def test_text_of_what_a_text_says_is_that_text(micros: int) -> None:
    text = period.text(at(2026, 7, 1, 5) + micros, IOWA)
    assert text == period.text(period.starts(text, IOWA), IOWA)


@pytest.mark.parametrize(
    ("expected", "date", "zone"),
    [("1850-01-01T05:50:36+00:00", "1850-01-01", IOWA), ("1840-01-01T15:56:08+00:00", "1840-01-01", "Asia/Manila")],
)
def test_text_is_in_utc_where_fhir_cannot_write_the_zones_offset(expected: str, date: str, zone: str) -> None:
    text = period.text(period.starts(date, zone), zone)
    assert (expected, period.starts(date, zone)) == (text, period.starts(text, zone))


def test_text_stays_within_the_calendar() -> None:
    assert "0001-01-02" == period.text(period.starts("0001", IOWA), IOWA)[:10]
    assert "9999-12-29" == period.text(NEVER, IOWA)[:10]


def test_days_are_of_the_calendar_not_of_24_hours() -> None:
    assert 1 == period.days(period.starts("2026-03-08", IOWA), period.starts("2026-03-09", IOWA), IOWA)


# Sets of instants, held against Python's own sets

points = st.integers(0, 12)
lists = st.lists(st.tuples(points, points).map(lambda pair: Interval(*pair)), max_size=5)


def instants(intervals: list[Interval]) -> set[int]:
    return {point for low, high in intervals for point in range(low, high)}


@given(lists, lists)
def test_union_intersection_and_difference_are_those_of_sets(some: list[Interval], others: list[Interval]) -> None:
    one, other = period.union(some), period.union(others)
    assert instants(some) == instants(one)
    assert instants(one) & instants(other) == instants(period.intersection(one, other))
    assert instants(one) - instants(other) == instants(period.difference(one, other))
    assert all(low < high for low, high in one)
    assert all(one[index].high < one[index + 1].low for index in range(len(one) - 1))


@given(st.lists(lists.map(period.union), max_size=4))
def test_steps_count_the_lists_that_hold(several: list[list[Interval]]) -> None:
    steps = period.steps(several)
    for point in range(13):
        assert sum(point in instants(one) for one in several) == period.count_at(steps, point)


def test_within_begins_at_the_window() -> None:
    steps = [Step(0, 1), Step(5, 2), Step(9, 1), Step(12, 0)]
    assert [Step(3, 1), Step(5, 2)] == list(period.within(steps, Interval(3, 9)))
    assert [] == list(period.within(steps, Interval(3, 3)))
