"""Which characters can be printed, and how they stand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.printing import typeface
from server.printing.typeface import FONTS, Run, clusters, composed, missing, runs, wrapped

LATIN, BURMESE = FONTS
NAMES = "Nguyễn Thị Ánh Łukasz Żółć Đorđević Ћирилица Ölçüm Þór Şğı Ngũgĩ Ọlá Məmməd Ħ Ŋ αβγ – ’ “ ” №"


@pytest.mark.parametrize("text", ["", NAMES, "မောင်အောင်ဆန်း", "ကရင် ကညီ", "n\u030bg", "a\u200db", "\u200bNguyễn"])
def test_missing_is_empty_for_what_can_be_printed(text: str) -> None:
    assert "" == missing(composed(text))


@pytest.mark.parametrize(("expected", "text"), [("王", "Wang 王"), ("ا", "اسم"), ("😀", "😀"), ("\u102b", "a\u102b")])
def test_missing_is_the_first_character_that_no_font_has(expected: str, text: str) -> None:
    assert expected == missing(composed(text))


def test_every_latin_and_cyrillic_letter_can_be_printed() -> None:
    blocks = (range(0x20, 0x7F), range(0xA0, 0x250), range(0x400, 0x530), range(0x1E00, 0x1F00))
    assert [] == [chr(code) for block in blocks for code in block if code != 0xAD and missing(chr(code))]


def test_an_accent_that_has_a_letter_is_composed_and_one_that_has_none_is_shaped() -> None:
    assert [Run(LATIN, "Bé", False)] == runs(composed("Be\u0301"))
    expected = [Run(LATIN, "A", False), Run(LATIN, "n\u030b", True), Run(LATIN, "g", False)]
    assert expected == runs(composed("An\u030bg"))


def test_a_text_runs_through_the_fonts_that_have_it() -> None:
    assert [Run(LATIN, "U ", False), Run(BURMESE, "အောင်", True), Run(LATIN, ",", False)] == runs("U အောင်,")


def test_burmese_glyphs_stand_in_the_order_in_which_they_are_read() -> None:
    """The vowel E is written after its consonant, and stands before it."""
    font = typeface.font(BURMESE)
    [alone] = font.glyphs("\u1019")
    assert [True, False] == [glyph.number != alone.number for glyph in font.glyphs("\u1019\u1031")]


def test_clusters_never_part_a_letter_from_its_accents() -> None:
    assert ["A", "n\u030b", "g"] == list(clusters("An\u030bg"))
    assert "".join(clusters("မောင်အောင်")) == "မောင်အောင်"
    assert len("မောင်အောင်") > len(list(clusters("မောင်အောင်")))


@given(st.text(alphabet="ab é", max_size=60), st.integers(1, 12))
def test_wrapped_lines_are_within_the_limit_and_lose_nothing(text: str, limit: int) -> None:
    lines = wrapped(text, len, limit)
    assert all(len(line.rstrip(" ")) <= limit for line in lines)
    assert text.replace(" ", "") == "".join(lines).replace(" ", "")
