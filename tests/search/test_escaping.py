from __future__ import annotations

import pytest

from server.outcome import Problem
from server.search.escaping import split, unescape
from tests.steps import LINEAR, growth


@pytest.mark.parametrize(
    ("text", "separator", "expected"),
    [
        ("a,b", ",", ["a", "b"]),
        (r"a\,b", ",", [r"a\,b"]),
        (r"a\\,b", ",", [r"a\\", "b"]),
        (r"a\\\,b,c", ",", [r"a\\\,b", "c"]),
        ("a|b|", "|", ["a", "b", ""]),
        (r"a\|b|c", "|", [r"a\|b", "c"]),
        (r"x\$y$z", "$", [r"x\$y", "z"]),
        ("", ",", [""]),
        ("a\\", ",", ["a\\"]),
    ],
)
def test_split_at_what_no_backslash_precedes(text: str, separator: str, expected: list[str]) -> None:
    assert expected == split(text, separator)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("plain", "plain"), (r"a\,b", "a,b"), (r"a\|b\$c", "a|b$c"), (r"xx\\xx", r"xx\xx")],
)
def test_unescape_what_is_meant(text: str, expected: str) -> None:
    assert expected == unescape(text)


@pytest.mark.parametrize("text", [r"xx\xx", "a\\", r"\n"])
def test_unescape_refuses_a_backslash_before_anything_else(text: str) -> None:
    with pytest.raises(Problem) as refused:
        unescape(text)
    assert ["invalid"] == [issue.code for issue in refused.value.issues]


def test_split_takes_linear_time() -> None:
    assert growth(lambda count: "\\," * count, lambda text: split(text, ",")) < LINEAR
    text = "\\," * 2_000_000
    assert [text] == split(text, ",")
