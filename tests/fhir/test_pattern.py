"""Patterns that others wrote: which are taken."""

from __future__ import annotations

import pytest

from server.fhir.pattern import bounded


@pytest.mark.parametrize(
    "text", ["[0-9]{10}", "^a+$", "a*b+", "(a|b)c*", "[A-Z]{1,3}-[0-9]*", "x?", r"\d+\.\d+", "(?:ab)c"]
)
def test_bounded_pattern_is_taken(text: str) -> None:
    assert text == bounded(text).pattern


@pytest.mark.parametrize(
    "text",
    [
        "(a+)+",
        "(a|b*)*",
        "(a{1,9}){1,9}",
        "a*b*c*",
        r"(a)\1",
        "(?=a)b",
        "(?<!a)b",
        "[",
        "(" * 300,
        "a" * 300,
        "(?>a+)+",
    ],
)
def test_pattern_that_could_run_away_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"is none|too long"):
        bounded(text)


def test_what_is_taken_ends() -> None:
    """One more a* would take four thousand times as long, and not end in the suite's time."""
    assert bounded("a*a*b").fullmatch("a" * 4096) is None
