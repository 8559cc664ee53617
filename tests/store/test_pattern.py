"""Patterns of ranges: they match what lies between, and nothing else."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from server.store.mongodb.pattern import between, exactly

digits = st.text("0189af", max_size=4)
eight = st.text("0189af", min_size=3, max_size=3)


@given(digits, digits, digits)
def test_between_matches_what_begins_in_the_range(low: str, high: str, text: str) -> None:
    assert (low <= text < high) == bool(re.search(f"^x={between(low, high)}", f"x={text}"))


def test_between_long_bounds_is_no_deeper_than_a_server_takes() -> None:
    pattern = between("1" + "a" * 2000, "2" + "b" * 2000)
    assert 150 > pattern.count("(")
    for text, expected in [
        ("1" + "a" * 2001, True),
        ("1b", True),
        ("2" + "b" * 1999, True),
        ("2c", False),
        ("19", False),
    ]:
        assert expected == bool(re.search(f"^x={pattern}", f"x={text}"))


@given(eight | st.just(""), eight | st.just(""), digits, eight)
def test_exactly_matches_an_end_in_the_range(low: str, high: str, before: str, end: str) -> None:
    expected = low <= end and (not high or end < high)
    pattern = f"^{re.escape(before)}{exactly(low, high)}$" if low or high else ""
    assert expected == bool(re.search(pattern, before + end))
