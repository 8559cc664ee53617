"""Letters as HTML and PDF."""

from __future__ import annotations

import asyncio
import re
import zlib
from dataclasses import replace

import pytest

from server.coordination.communication.letter import Letter
from server.outcome import Problem
from server.printing.letter import printed

LETTER = Letter(
    "Patient/1",
    "Task/t",
    "Organization/mco",
    "Patient/1",
    "en",
    "Your new case manager",
    "March 10, 2026",
    ("Iowa Total Care", "1-833-404-1061"),
    ("Nguyễn Thị Ánh", "1 Elm St"),
    ("Dear Nguyễn Thị Ánh,", "Łukasz Żółć is your new case manager."),
)


def streams(pdf: bytes) -> list[bytes]:
    """What is drawn, page by page."""
    found = re.finditer(rb"/Length (\d+)[^>]*>>\r?\nstream\r?\n", pdf)
    drawn = [zlib.decompress(pdf[one.end() : one.end() + int(one[1])]) for one in found]
    return [one for one in drawn if b" Tf " in one]


@pytest.mark.requirement("IA-22")
async def test_a_letter_is_printed_the_same_each_time() -> None:
    first, *others = await asyncio.gather(*(printed(LETTER) for _ in range(4)))
    assert [first] * 3 == others
    assert first.pdf.startswith(b"%PDF-")
    assert first.html.decode().startswith('<!DOCTYPE html>\n<html lang="en">')
    assert all(text in first.html.decode() for text in (*LETTER.sender, *LETTER.address, *LETTER.paragraphs))


async def test_html_holds_no_markup_of_a_name() -> None:
    name = "<script>alert('x')</script> & \"Co\""
    found = (await printed(replace(LETTER, title=name, paragraphs=(name,), address=(name,), language='en"><b'))).html
    assert b"<script" not in found
    assert b"<b" not in found.replace(b"<body", b"").replace(b"<br>", b"")
    assert b"&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt; &amp; &quot;Co&quot;" in found


@pytest.mark.parametrize("place", ["title", "address", "sender", "paragraphs"])
async def test_a_character_that_no_font_has_is_refused_wherever_it_stands(place: str) -> None:
    value = "Wang 王" if place == "title" else ("ok", "Wang 王")
    with pytest.raises(Problem) as refused:
        await printed(replace(LETTER, **{place: value}))
    assert "business_rule" == refused.value.kind
    assert "U+738B" in refused.value.issues[0].diagnostics


async def test_burmese_is_drawn_as_outlines_and_what_follows_is_seen() -> None:
    """The text that stands unseen beside the outlines does not hide what comes after it."""
    pdf = (await printed(replace(LETTER, paragraphs=("မောင်အောင်ဆန်း, Aye",)))).pdf
    [page] = streams(pdf)
    assert b" c " in page or b" c\n" in page
    unseen = page.index(b"3 Tr")
    assert page.rindex(b"q\n", 0, unseen) > -1
    assert page.index(b"Q\n", unseen) < page.index(b" c", unseen)


async def test_a_long_letter_takes_more_pages() -> None:
    pdf = (await printed(replace(LETTER, paragraphs=("word " * 200,) * 12))).pdf
    assert 1 < len(streams(pdf))


async def test_a_text_that_no_letter_has_is_refused_at_once() -> None:
    with pytest.raises(Problem) as refused:
        await printed(replace(LETTER, address=("A" * 1_000_000,)))
    assert "business_rule" == refused.value.kind
