"""Typeface: the fonts that letters are printed in, which characters they have, and how a text runs through them.

The fonts stand beside this file, under the SIL Open Font License: Noto Sans for every Latin, Greek and Cyrillic letter,
Noto Sans Myanmar for Burmese and its neighbours. PDF's own text is a row of characters, one glyph each, which is right
for letters that stand alone. Where a glyph depends on its neighbours (Burmese; an accent that has no letter of its own)
HarfBuzz says which glyphs stand where, and their outlines are drawn.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, NamedTuple

import uharfbuzz

FONTS = ("NotoSans-Regular", "NotoSansMyanmar-Regular")
SCRIPTS = "Latin, Greek, Cyrillic and Burmese letters"
_JOINERS = frozenset("\u200c\u200d")  # they say how their neighbours join
_UNSEEN = dict.fromkeys(map(ord, "\u00ad\u200b\u2060\ufeff"))  # where a line may break, or not


class Run(NamedTuple):
    """A part of a text that one font has. `shaped`: HarfBuzz has to say which glyphs stand where."""

    font: str
    text: str
    shaped: bool


class Glyph(NamedTuple):
    """A glyph in its place, in parts of the font's size; `cluster` is the index of its first character."""

    number: int
    cluster: int
    x: float
    y: float
    advance: float


@dataclass(frozen=True, slots=True)
class Font:
    """One font file."""

    name: str
    data: bytes
    font: Any  # uharfbuzz.Font
    characters: frozenset[str]
    units: int  # of the font's size

    def glyphs(self, text: str) -> Iterator[Glyph]:
        """Which glyphs stand where."""
        buffer = uharfbuzz.Buffer()
        buffer.add_str(text)
        buffer.guess_segment_properties()
        uharfbuzz.shape(self.font, buffer)
        for info, place in zip(buffer.glyph_infos, buffer.glyph_positions, strict=True):
            sizes = (place.x_offset, place.y_offset, place.x_advance)
            yield Glyph(info.codepoint, info.cluster, *(size / self.units for size in sizes))

    def draw(self, glyph: int, pen: Any) -> None:
        """Draw a glyph's outline, in the font's units, by a pen of fontTools' protocol."""
        self.font.draw_glyph_with_pen(glyph, pen)


@cache
def font(name: str) -> Font:
    data = files("server.printing").joinpath(f"fonts/{name}.ttf").read_bytes()
    face = uharfbuzz.Face(data)
    return Font(name, data, uharfbuzz.Font(face), frozenset(map(chr, face.unicodes)), face.upem)


def composed(text: str) -> str:
    """The text with each accent in its letter, where there is such a letter, and nothing that is not to be seen."""
    return unicodedata.normalize("NFC", text.translate(_UNSEEN))


def missing(text: str) -> str:
    """The first character that no font has; "" where the text can be printed."""
    return next((run.text[0] for run in runs(text) if not run.font), "")


def described(char: str) -> str:
    """A character as a person can look it up."""
    return f"{char!r} (U+{ord(char):04X}, {unicodedata.name(char, 'without a name')})"


def runs(text: str) -> list[Run]:
    """A composed text's parts, in order. The font of characters that none has is ""."""
    if _plain().issuperset(text):
        return [Run(FONTS[0], text, False)] if text else []
    found: list[Run] = []
    for char in text:
        joins = bool(found) and _joins(char)
        before = found[-1].font if found else ""
        if joins:  # an accent that the letter's font has not: nothing can put it in its place
            name = before if before and (char in _JOINERS or char in font(before).characters) else ""
        else:
            name = _having(char)
        shaped = joins or name != FONTS[0]
        if found and found[-1].font == name and found[-1].shaped == shaped:
            found[-1] = Run(name, found[-1].text + char, shaped)
        elif joins and name == before:
            found[-1:] = _joined(found[-1], char)
        else:
            found.append(Run(name, char, shaped))
    return found


@cache
def _plain() -> frozenset[str]:
    """The characters that stand alone, of the first font: nearly every text has no other."""
    return frozenset(char for char in font(FONTS[0]).characters if not _joins(char))


def _joins(char: str) -> bool:
    return char in _JOINERS or unicodedata.category(char)[0] == "M"


def _having(char: str) -> str:
    return next((name for name in FONTS if char in font(name).characters), "")


def _joined(run: Run, char: str) -> list[Run]:
    """A letter with its accent is a shaped run of its own, after what stood before it."""
    before = [Run(run.font, run.text[:-1], False)] if run.text[:-1] else []
    return [*before, Run(run.font, run.text[-1] + char, True)]


def wrapped(text: str, measure: Callable[[str], float], limit: float) -> list[str]:
    """The lines of a text, none wider than the limit: broken between words, and in a word that is too long itself."""
    space = measure(" ")
    lines: list[list[str]] = [[]]
    room = limit
    for word in text.split(" "):
        width = measure(word)
        if lines[-1] and room < space + width:
            lines.append([])
        if not lines[-1]:
            *full, word = _pieces(word, measure, limit) if limit < width else [word]
            lines[-1:] = [*([piece] for piece in full), []]
            room, width = limit + space, measure(word) if full else width
        lines[-1].append(word)
        room -= space + width
    return [" ".join(line) for line in lines]


def _pieces(word: str, measure: Callable[[str], float], limit: float) -> list[str]:
    """A word cut where no letter is cut from its accents."""
    pieces = [""]
    room = limit
    for cluster in clusters(word):
        width = measure(cluster)
        if pieces[-1] and room < width:
            pieces.append("")
            room = limit
        pieces[-1] += cluster
        room -= width
    return pieces


def clusters(text: str) -> Iterator[str]:
    """What is seen as one letter each."""
    for run in runs(text):
        if not run.shaped or not run.font:
            yield from run.text
            continue
        starts = sorted({glyph.cluster for glyph in font(run.font).glyphs(run.text)} | {0})
        yield from (run.text[start:end] for start, end in pairwise([*starts, len(run.text)]))
