"""_text and _content: what is read of a resource, and the language that asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from server.search.filter import And, Filter, Not, Or, Words
from server.search.query import parse
from server.search.text import texts
from tests.search.asked import BASE, places, refused

CONDITION: dict[str, Any] = {
    "resourceType": "Condition",
    "id": "c1",
    "meta": {"versionId": "7"},
    "text": {
        "status": "generated",
        "div": '<div xmlns="http://w3.org/1999/xhtml"><p class="red">Heart&nbsp;failure</p><!-- mild -->&lt;3</div>',
    },
    "code": {"coding": [{"system": "urn:sct", "code": "84114007"}], "text": "Congestive heart"},
    "note": [{"text": "failure to rest"}],
    "contained": [{"resourceType": "Patient", "text": {"div": "<div>Within</div>"}}],
}


def test_texts_of_the_narrative_have_no_markup() -> None:
    assert ["Heart", "failure", "<3"] == texts(CONDITION).narrative.split()


def test_texts_of_the_content_are_all_values_but_the_narrative() -> None:
    content = texts(CONDITION).content
    assert all(part in content for part in ("84114007", "Congestive heart", "failure to rest", "Within"))
    assert not any(part in content for part in ("c1", "red", "mild", "<div>"))
    assert "heart failure" not in content  # the one value ends, and the other begins


def test_texts_leave_out_data() -> None:
    binary = {"resourceType": "Binary", "data": "QUJD" * 5000, "contentType": "text/plain"}
    assert "text/plain" == texts(binary).content


def word(*words: str, begins: bool = False, scope: str = "content") -> Words:
    return Words(scope, words, begins)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("bone", word("bone")),
        ("bone liver", And((word("bone"), word("liver")))),
        ("bone OR liver", Or((word("bone"), word("liver")))),
        ("a or b and c", Or((word("a"), And((word("b"), word("c")))))),
        ("(bone OR liver) and metastases", And((Or((word("bone"), word("liver"))), word("metastases")))),
        ('"heart failure"', word("heart", "failure")),
        ("self-care", word("self", "care")),
        ("metasta*", word("metasta", begins=True)),
        ("not a b", And((Not(word("a")), word("b")))),
        ("not (a or b)", Not(Or((word("a"), word("b"))))),
        ('"not"', word("not")),
    ],
)
def test_language(value: str, expected: Filter) -> None:
    assert expected == parse("Condition", [("_content", value)], base_url=BASE, lenient=False).filter


def test_language_of_the_narrative_and_of_several_values() -> None:
    found = parse("Condition", [("_text", "a,b")], base_url=BASE, lenient=False).filter
    assert Or((word("a", scope="narrative"), word("b", scope="narrative"))) == found


@pytest.mark.parametrize(
    ("value", "code"),
    [
        ('"heart', "invalid"),
        ("(a", "invalid"),
        ("a)", "invalid"),
        ("a or", "invalid"),
        ("not", "invalid"),
        ("-", "invalid"),
        ("()", "invalid"),
        (" ".join(["a"] * 101), "too-costly"),
        ("(" * 40 + "a" + ")" * 40, "too-costly"),
    ],
)
def test_language_refuses(value: str, code: str) -> None:
    assert [(code, "http._content")] == places(refused("Condition", ("_content", value)))


def test_modifier_is_refused() -> None:
    assert [("invalid", "http._text:exact")] == places(refused("Condition", ("_text:exact", "a")))
