"""Narrative: what may stand, what acts or fetches, and what a browser reads otherwise than a parser of XML."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from server.validation.element import validate
from server.validation.narrative import REMEMBERED, wrong
from tests import us_core
from tests.steps import LINEAR, growth


def div(inner: str, attributes: str = ' xmlns="http://www.w3.org/1999/xhtml"') -> str:
    return f"<div{attributes}>{inner}</div>"


@pytest.mark.parametrize(
    "inner",
    [
        "Walks with a <b>cane</b>",
        "<p class='a' style='color: red; background: url(dots.png)' title='x'>a</p><br/><hr/>",
        "<table border='1'><caption>c</caption><tbody><tr><td colspan='2'>a</td></tr></tbody></table>",
        "<a href='https://example.org/a?b=c&amp;d'>a</a><a name='b'/><a href='#b'>b</a><a href='mailto:a@b.c'>c</a>",
        "<a href='Patient/1'>a</a><a href='tel:+1-515-555-0100'>b</a><a href='urn:uuid:1'>c</a>",
        "<img src='icon.png' alt='a'/>",
        "<img src='#picture'/>",
        "<img src='data:image/png;base64,AAAA' alt='a'/>",
        "<!-- a comment -->a",
        "a&nbsp;b &eacute; &lt;script&gt; &#233; &amp;",
        "<span lang='es' xml:lang='es' dir='ltr'>hola</span>",
    ],
)
def test_what_may_stand(inner: str) -> None:
    assert wrong(div(inner)) is None


def test_namespace_may_be_left_to_be_understood() -> None:
    assert wrong(div("a", "")) is None


@pytest.mark.parametrize(
    "inner",
    [
        "<script>alert(1)</script>",
        "<SCRIPT>alert(1)</SCRIPT>",
        "<style>p {}</style>",
        "<link href='a.css'/>",
        "<base href='https://evil.example/'/>",
        "<meta content='0'/>",
        "<form><input/></form>",
        "<iframe src='a'/>",
        "<object data='a'/>",
        "<embed src='a'/>",
        "<svg><a href='a'/></svg>",
        "<svg xmlns='http://www.w3.org/2000/svg'/>",
        "<math/>",
        "<body>a</body>",
        "<head/>",
        "<x:p xmlns:x='http://www.w3.org/1999/xhtml'>a</x:p>",
        "<p onclick='a()'>a</p>",
        "<p ONCLICK='a()'>a</p>",
        "<img src='a.png' onerror='a()'/>",
        "<p data-x='a'>a</p>",
        "<a href='a' target='_top'>a</a>",
        "<a href='javascript:a()'>a</a>",
        "<a href='JaVaScRiPt:a()'>a</a>",
        "<a href=' &#10;java&#9;script:a()'>a</a>",
        "<a href='&#1;javascript:a()'>a</a>",
        "<a href='javascript&colon;a()'>a</a>",
        "<a href='vbscript:a'>a</a>",
        "<a href='data:text/html;base64,AAAA'>a</a>",
        "<a href='file:///etc/passwd'>a</a>",
        "<blockquote cite='javascript:a()'>a</blockquote>",
        "<img src='https://evil.example/track.gif'/>",
        "<img src='//evil.example/track.gif'/>",
        "<img src='/&#9;/evil.example/track.gif'/>",
        "<img src='\\\\evil.example\\track.gif'/>",
        "<img src='http:track.gif'/>",
        "<img src='data:image/svg+xml;base64,AAAA'/>",
        "<img src='data:text/html,a'/>",
        "<p style='background: url(https://evil.example/a.png)'>a</p>",
        "<p style='background: url( &quot;//evil.example/a.png&quot;)'>a</p>",
        "<p style='background: URL(//evil.example/a.png)'>a</p>",
        "<p style='background: u\\72l(//evil.example/a.png)'>a</p>",
        "<p style='background: u/**/rl(//evil.example/a.png)'>a</p>",
        "<p style='width: expression(a())'>a</p>",
        "<p style='behavior: url(a.htc)'>a</p>",
        "<p style='-moz-binding: url(a.xml)'>a</p>",
        "<p style='@import &quot;a&quot;'>a</p>",
        "<p style='background: image-set(&quot;https://evil.example/a.png&quot; 1x)'>a</p>",
        "<![CDATA[<script>a()</script>]]>",
        "<?php a ?>",
        "<!--><script>a()</script>-->",
        "<!---><script>a()</script>-->",
        "&unknown;",
        "&Tab;",
        "<p>a",
        "a & b",
        "<br>",
        "<p a=b>a</p>",
        "</div><div>a",
    ],
)
def test_what_acts_or_fetches_or_is_no_xhtml_is_refused(inner: str) -> None:
    found = wrong(div(inner))
    assert found is not None
    assert "txt-1" == found[0]


@pytest.mark.parametrize(
    "whole",
    [
        "<!DOCTYPE div [<!ENTITY a 'b'>]><div>&a;</div>",
        '<!DOCTYPE div [<!ENTITY a SYSTEM "file:///etc/passwd">]><div>&a;</div>',
        "<!DOCTYPE div SYSTEM 'https://evil.example/a.dtd'><div>a</div>",
        "<?xml version='1.0'?><div>a</div>",
        "<p>a</p>",
        "<div xmlns='http://www.w3.org/2000/svg'>a</div>",
        "<div>a</div><div>b</div>",
        "<div>a</div> b",
        "<div>\x00</div>",
        "<div>\ufffe</div>",
        "",
    ],
)
def test_what_is_no_div_of_xhtml_is_refused(whole: str) -> None:
    found = wrong(whole)
    assert found is not None
    assert "txt-1" == found[0]


@pytest.mark.parametrize("inner", ["", " \n ", "<p> </p>", "<!-- a -->", "<img alt='a'/>"])
def test_narrative_that_tells_nothing_is_refused(inner: str) -> None:
    found = wrong(div(inner))
    assert found is not None
    assert "txt-2" == found[0]


def test_resource_with_such_a_narrative_is_refused_where_it_stands() -> None:
    patient = {"resourceType": "Patient", "text": {"status": "generated", "div": div("<script>a()</script>")}}
    assert [("invariant", ("Patient.text.div",))] == [(one.code, one.expression) for one in validate(patient)]


@pytest.mark.parametrize(
    ("inner", "most"),
    [
        (lambda n: "<b>" * n + "a" + "</b>" * n, 300_000),
        (lambda n: "<p style='" + "url(" * n + "'>a</p>", 100_000),
        (lambda n: "<a href='" + " " * n + "'>a</a>", 3_000_000),
        (lambda n: "&" * n, 3_000_000),
        (lambda n: "&a" * n, 3_000_000),
        (lambda n: "<!--" + "-a" * n + "-->a", 3_000_000),
    ],
    ids=["elements", "style", "link", "ampersands", "entities", "comment"],
)
def test_hostile_narrative_takes_time_by_its_length(inner: Callable[[int], str], most: int) -> None:
    assert growth(lambda count: div(inner(count)), wrong, REMEMBERED) < LINEAR
    wrong(div(inner(most)))


def test_narratives_of_us_core_stand() -> None:
    resources = [*us_core.examples().values(), *us_core.definitions()]
    assert [] == [one["id"] for one in resources if "div" in one.get("text", {}) and wrong(one["text"]["div"])]
