"""_text and _content: resources by the words of their narrative, or of all that they say.

https://hl7.org/fhir/R4/search.html#content

The specification leaves the language to the server: words, "phrases", beginnings*, and, or, not and parentheses; words
beside one another must all be there.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import partial
from typing import Any, NamedTuple

from server.ledger import Resource
from server.outcome import Problem
from server.search.escaping import unescape
from server.search.filter import And, Filter, Not, Or, Words
from server.search.parameter import Test

SCOPES = {"_text": "narrative", "_content": "content"}
MAX_WORDS = 100
MAX_DEPTH = 32
_BETWEEN = " \ue000 "  # a word that no one writes: no phrase reaches from one value into the next
_LARGEST = 4096  # characters of a value without a space: more is data, not text
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_PART = re.compile(r'\s*(?:(?P<mark>[()])|"(?P<phrase>[^"]*)"|(?P<word>[^\s()"]+))')
_WORD = re.compile(r"[^\W_]+")
_EXAMPLE = '(bone or liver) and "heart failure" and metasta*'


class Texts(NamedTuple):
    """What a resource says: in its narrative, and in its other elements."""

    narrative: str = ""
    content: str = ""


def texts(resource: Resource) -> Texts:
    """The texts of a resource, without the markup of its narratives."""
    narrative = _plain(resource.get("text", {}).get("div", ""))
    return Texts(narrative, _BETWEEN.join(_strings(resource, top=True)))


def test(code: str) -> Test:
    """How one value of _text or _content is matched."""
    return partial(_matched, SCOPES[code])


def _matched(scope: str, value: str, base_url: str) -> Filter:
    return _Reader(scope, unescape(value)).read()


def _plain(div: str) -> str:
    return html.unescape(_TAG.sub(" ", _COMMENT.sub(" ", div)))


def _strings(element: Any, top: bool = False) -> Iterator[str]:
    if isinstance(element, str):
        if len(element) <= _LARGEST or " " in element[:_LARGEST]:
            yield element
    elif isinstance(element, dict):
        for name, value in element.items():
            if name == "div":
                yield _plain(value)
            elif not (top and name in {"resourceType", "id", "meta", "text"}):
                yield from _strings(value)
    elif isinstance(element, list):
        for item in element:
            yield from _strings(item)


class _Reader:
    """or binds less than and; not binds most."""

    def __init__(self, scope: str, text: str) -> None:
        self.scope = scope
        self.text = text
        self.parts: list[tuple[str, str]] = []
        at = 0
        while found := _PART.match(text, at):
            at = found.end()
            kind = found.lastgroup or ""
            self.parts.append((kind, found[kind]))
        if text[at:].strip() or not self.parts:
            raise self.refused("a phrase without its end" if self.parts else "no word")
        if len(self.parts) > MAX_WORDS:
            raise Problem.of("too_costly", f"At most {MAX_WORDS} words are searched for at once")
        self.at = 0

    def read(self) -> Filter:
        found = self.any(0)
        if self.at < len(self.parts):
            raise self.refused("a parenthesis that nothing opens")
        return found

    def any(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise Problem.of("too_costly", f"More than {MAX_DEPTH} parentheses stand within one another")
        found = [self.all(depth)]
        while self.takes("or"):
            found.append(self.all(depth))
        return found[0] if len(found) == 1 else Or(tuple(found))

    def all(self, depth: int) -> Filter:
        found = [self.one(depth)]
        while self.at < len(self.parts) and self.parts[self.at] != ("mark", ")") and not self.is_word("or"):
            self.takes("and")
            found.append(self.one(depth))
        return found[0] if len(found) == 1 else And(tuple(found))

    def one(self, depth: int) -> Filter:
        if self.takes("not"):
            return Not(self.one(depth))
        kind, text = self.parts[self.at] if self.at < len(self.parts) else ("", "")
        self.at += 1
        if (kind, text) == ("mark", "("):
            found = self.any(depth + 1)
            if self.parts[self.at : self.at + 1] != [("mark", ")")]:
                raise self.refused("a parenthesis that nothing closes")
            self.at += 1
            return found
        words = tuple(_WORD.findall(text))
        if kind not in {"word", "phrase"} or not words:
            raise self.refused("a place where a word was expected")
        return Words(self.scope, words, kind == "word" and text.endswith("*"))

    def takes(self, word: str) -> bool:
        is_next = self.is_word(word)
        self.at += is_next
        return is_next

    def is_word(self, word: str) -> bool:
        return self.at < len(self.parts) and (self.parts[self.at][0], self.parts[self.at][1].lower()) == ("word", word)

    def refused(self, what: str) -> Problem:
        return Problem.invalid(f"{self.text!r} has {what}; accepted are words and phrases, such as {_EXAMPLE}")
