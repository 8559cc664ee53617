r"""Escaping: a value's separators, and the backslash that makes them plain characters.

https://hl7.org/fhir/R4/search.html#escaping

A comma separates values, a $ the parts of a composite, a | the parts of a token or quantity. Splitting leaves the
escapes in the parts, so that a part can be split again; `unescape` comes last.
"""

from __future__ import annotations

from server.outcome import Problem

_ESCAPED = frozenset(",|$\\")


def split(text: str, separator: str) -> list[str]:
    """The parts between separators that no backslash precedes."""
    if "\\" not in text:
        return text.split(separator)
    parts: list[str] = []
    start = at = 0
    while at < len(text):
        if text[at] == "\\":
            at += 1
        elif text[at] == separator:
            parts.append(text[start:at])
            start = at + 1
        at += 1
    parts.append(text[start:])
    return parts


def escape(text: str) -> str:
    """A value as it stands in a search, whatever its characters."""
    return "".join(f"\\{character}" if character in _ESCAPED else character for character in text)


def unescape(text: str) -> str:
    """The characters that are meant. Problem invalid where a backslash stands before anything else."""
    if "\\" not in text:
        return text
    found: list[str] = []
    characters = iter(text)
    for character in characters:
        if character == "\\":
            character = next(characters, "")
            if character not in _ESCAPED:
                raise Problem.invalid(
                    f"{text!r} has a backslash that escapes nothing; it stands before , | $ or \\, "
                    "so a backslash itself is written twice"
                )
        found.append(character)
    return "".join(found)
