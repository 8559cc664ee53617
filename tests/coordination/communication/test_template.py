"""The texts of a program, with placeholders."""

from __future__ import annotations

import pytest

from server.coordination.communication import template

WORDS = dict.fromkeys(template.PLACEHOLDERS, "") | {"manager": "Ann {former}", "telecom": "1-515-555-0100"}


@pytest.mark.parametrize("text", ["", "no more", "{manager} at {telecom}", "{{ and }}"])
def test_wrong_is_empty_for_a_template(text: str) -> None:
    assert "" == template.wrong(text)


@pytest.mark.parametrize(
    "text",
    ["{phone}", "{}", "{0}", "{manager", "manager}", "{manager!r}", "{manager:>9}", "{manager.name}", "{manager[0]}"],
)
def test_wrong_says_why_a_text_is_none(text: str) -> None:
    assert template.wrong(text)


def test_filled_leaves_out_what_needs_a_word_that_is_not_known_and_fills_once() -> None:
    texts = ["Call {manager}.", "From {effective} on.", "{{So}}."]
    assert ("Call Ann {former}.", "{So}.") == template.filled(texts, WORDS)


@pytest.mark.parametrize(
    ("expected", "texts"),
    [
        ([], ["{manager}: {telecom}"]),
        (["telecom"], ["{manager}"]),
        (["manager", "telecom"], ["From {effective}: {manager}, {telecom}"]),
    ],
)
def test_lacking_names_what_a_reader_may_not_be_told(expected: list[str], texts: list[str]) -> None:
    assert expected == template.lacking(texts)
