"""Match, held against a naive reading of the specification, for random resources and random searches."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings

from server.search.filter import ALL, And, Chain, Contains, Equal, Has, Hierarchy, Ids, Not, Or, Present, Range, Updated
from server.search.match import matches
from tests.search import naive
from tests.search.asked import MORE, finds
from tests.search.strategies import searches


@settings(max_examples=1000 * MORE)
@given(searches())
def test_matches_as_the_specification_reads(search: tuple[dict[str, Any], str, str]) -> None:
    resource, name, value = search
    assert naive.satisfies(resource, name, value) == finds(resource, (name, value))


ROWS = [("T.a", b"abc"), ("T.a", b"k" * 4 + b"\0" * 7 + b"\5"), ("T.r", "Patient/1")]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        (ALL, True),
        (Or(()), False),
        (Not(Or(())), True),
        (Equal("T.a", (b"x", b"abc")), True),
        (Equal("T.a", (b"ab",)), False),
        (Equal("T.r", ("Patient/1",)), True),
        (Equal("T.r", (b"Patient/1",)), False),
        (Range("T.a", b"a", b"b"), True),
        (Range("T.a", b"abc", b"abd"), True),
        (Range("T.a", b"ab", b"abc"), False),
        (Range("T.a", b"k", b"l", b"\0" * 7 + b"\5", None), True),
        (Range("T.a", b"k", b"l", None, b"\0" * 7 + b"\5"), False),
        (Range("T.r", b"", b"\xff"), False),
        (Contains("T.a", b"bc"), True),
        (Contains("T.a", b"bc", 1), False),
        (Present("T.r"), True),
        (Present("T.b"), False),
        (Ids(("1", "2")), True),
        (Ids(("2",)), False),
        (Updated(100, None), True),
        (Updated(None, 100), False),
        (Updated(None, 101), True),
        (And((Present("T.a"), Not(Present("T.b")))), True),
        (Or((Present("T.b"), Ids(("1",)))), True),
    ],
)
def test_matches_each_filter(filter: Any, expected: bool) -> None:
    assert expected == matches(filter, "T", "1", 100, ROWS)


@pytest.mark.parametrize(
    "filter",
    [Chain("T.r", "Patient", ALL), Has("Task", "Task.focus", ALL), Hierarchy("T.r", "Patient.link", ("Patient/1",))],
)
def test_matches_refuses_to_step_to_other_resources(filter: Any) -> None:
    with pytest.raises(ValueError, match="another resource"):
        matches(filter, "T", "1", 100, ROWS)
