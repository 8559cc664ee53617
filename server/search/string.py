"""string: text that starts with, contains or is exactly what was asked for, whatever its case and accents.

https://hl7.org/fhir/R4/search.html#string

Key: the normalized text, at most 128 bytes of it, 0, and a digest of the exact text. What differs only beyond 128
bytes is told apart by :exact alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from server.fhir.folding import folded
from server.ledger import IndexRow
from server.outcome import Problem
from server.search.digest import digest6
from server.search.escaping import unescape
from server.search.filter import NAMELESS, And, Contains, Equal, Filter, Or, Range, either
from server.search.parameter import Parameter, Path, Test, Write, has_value, not_supported

LENGTH = 128
_TAIL = 7
_PART = b"\1" + bytes(7)  # the tail of a key that is only a part of what was written
_AFTER_PARTS = b"\2"  # the last 8 bytes of any other key are from here on
_FIRST, _LAST = b"\1", b"\xff"

# The parts of type string, in the specification's order.
_PARTS: Mapping[str, tuple[str, ...]] = {
    "HumanName": ("text", "family", "given", "prefix", "suffix"),
    "Address": ("text", "line", "city", "district", "state", "postalCode", "country"),
}


def normalized(text: str) -> bytes:
    """Case and accents away, white space to single spaces, at most 128 bytes of UTF-8."""
    return _normalized(text[: LENGTH * 4])


@lru_cache(maxsize=8192)
def _normalized(text: str) -> bytes:
    return folded(text.replace("\0", " ")).encode("utf-8", "surrogatepass")[:LENGTH]


def key(text: str) -> bytes:
    return normalized(text) + b"\0" + digest6(text)


def write(parameter: Parameter, path: Path) -> Write:
    """Rows of one path's values."""
    index = parameter.index
    if parameter.code == "phonetic":
        return _write_phonetic(index, path)
    names = _PARTS.get(path.type)

    def text(value: Any, rows: list[IndexRow], base_url: str) -> None:
        rows.append((index, key(value)))

    def family(value: Any, rows: list[IndexRow], base_url: str) -> None:
        rows.append((index, key(value)))
        rows.extend((index, normalized(word) + _PART) for word in _words(value)[1:])

    def parts(value: Any, rows: list[IndexRow], base_url: str) -> None:
        before = len(rows)
        for name, part in _strings(value, names or ()):
            (family if name == "family" else text)(part, rows, base_url)
        if len(rows) == before and has_value(value):
            rows.append((index, NAMELESS))

    if names:
        return parts
    return family if path.owner == "HumanName" and path.steps[-1].name == "family" else text


def test(parameter: Parameter, modifier: str | None) -> Test:
    """How one value is matched."""
    if parameter.code == "phonetic":
        if modifier:
            raise not_supported(parameter, modifier)
        return _sounds_like(parameter)
    if modifier not in (None, "exact", "contains"):
        raise not_supported(parameter, modifier, "exact", "contains")

    def matched(value: str, base_url: str) -> Filter:
        text = unescape(value)
        if modifier == "exact":
            return either([Equal(index, (key(text),)) for index in parameter.indexes])
        return either([matching(index, text, modifier) for index in parameter.indexes])

    return matched


def matching(index: str, text: str, modifier: str | None = None) -> Filter:
    """Keys that start with this text or, where asked for, contain it."""
    sought = normalized(text)
    if not sought:
        raise Problem.invalid(f"{text!r} is only white space; a string is matched by its characters")
    if modifier == "contains":
        return Contains(index, sought, _TAIL)
    return Range(index, sought, sought[:-1] + bytes((sought[-1] + 1,)))


def compared(index: str, operator: str, text: str) -> Filter:
    """As `_filter` compares strings: whole, without case. https://hl7.org/fhir/R4/search_filter.html#ops"""
    sought = normalized(text)
    after = sought + b"\1"
    match operator:
        case "eq":
            return Range(index, sought + b"\0", after)
        case "ne":
            return Or((_whole(index, _FIRST, sought + b"\0"), _whole(index, after, _LAST)))
        case "co":
            return matching(index, text, "contains")
        case "sw":
            return matching(index, text)
        case "ew":
            return Contains(index, sought + b"\0", _TAIL - 1)
        case "gt":
            return _whole(index, after, _LAST)
        case "ge":
            return _whole(index, sought, _LAST)
        case "lt":
            return _whole(index, _FIRST, sought + b"\0")
        case "le":
            return _whole(index, _FIRST, after)
    raise ValueError(operator)


def _whole(index: str, low: bytes, high: bytes) -> Range:
    return Range(index, low, high, _AFTER_PARTS)


def _strings(value: Mapping[str, Any], names: Iterable[str]) -> Iterator[tuple[str, str]]:
    for name in names:
        part = value.get(name)
        if isinstance(part, str):
            yield name, part
        elif part:
            yield from ((name, item) for item in part if item)


def _words(text: str) -> list[str]:
    return text.replace("-", " ").split()


# phonetic: names that sound alike, by Soundex (the four characters of the US census)

_SOUNDS = {
    letter: digit
    for digit, letters in {"1": "bfpv", "2": "cgjkqsxz", "3": "dt", "4": "l", "5": "mn", "6": "r"}.items()
    for letter in letters
}
_SILENT = frozenset("hw")  # the letters beside them sound as one


def soundex(word: str) -> bytes:
    """Smith and Smyth are s530. A word without Latin letters sounds like itself."""
    letters = re.sub("[^a-z]", "", normalized(word).decode("utf-8", "ignore"))
    if not letters:
        return normalized(word)
    code, last = letters[0], _SOUNDS.get(letters[0], "")
    for letter in letters[1:]:
        sound = _SOUNDS.get(letter, "")
        if sound and sound != last:
            code += sound
        if letter not in _SILENT:
            last = sound
    return code[:4].ljust(4, "0").encode()


def _write_phonetic(index: str, path: Path) -> Write:
    def write(value: Any, rows: list[IndexRow], base_url: str) -> None:
        texts = [value] if isinstance(value, str) else [part for _, part in _strings(value, ("family", "given"))]
        rows.extend((index, soundex(word)) for text in texts for word in _words(text))

    return write


def _sounds_like(parameter: Parameter) -> Test:
    def matched(value: str, base_url: str) -> Filter:
        words = _words(unescape(value))
        if not words:
            raise Problem.invalid(f"{value!r} has no word to compare by its sound")
        return And(tuple(Equal(parameter.index, (soundex(word),)) for word in words))

    return matched
