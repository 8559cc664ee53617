"""Template: a text of the program's file, with placeholders such as {manager}, which a transfer fills.

A placeholder stands in braces; a brace that is none is written twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from string import Formatter

PLACEHOLDERS: Mapping[str, str] = {
    "recipient": "whom the text is for",
    "member": "the member",
    "manager": "the new case manager",
    "telecom": "how to reach the new case manager",
    "former": "the case manager until then",
    "organization": "the plan",
    "contact": "whom else to call at the plan",
    "effective": "the day of the change",
}
ALWAYS = frozenset({"recipient", "member", "manager", "telecom"})  # a transfer has these, or is refused


def wrong(text: str) -> str:
    """Why a text is no template; "" where it is one."""
    try:
        parts = list(Formatter().parse(text))
    except ValueError as error:
        return f"{error}; a brace that begins no placeholder is written twice"
    unknown = [
        name for _, name, format, conversion in parts if name is not None and not _known(name, format, conversion)
    ]
    if not unknown:
        return ""
    return f"{{{unknown[0]}}} is no placeholder; there are {', '.join(f'{{{name}}}' for name in PLACEHOLDERS)}"


def _known(name: str, format: str | None, conversion: str | None) -> bool:
    return name in PLACEHOLDERS and not format and not conversion


def lacking(texts: Sequence[str]) -> list[str]:
    """Of {manager} and {telecom}, those that not all the texts' readers would be told."""
    named = {name for text in texts if (names := placeholders(text)) <= ALWAYS for name in names}
    return [name for name in ("manager", "telecom") if name not in named]


def placeholders(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name is not None}


def filled(texts: Iterable[str], words: Mapping[str, str]) -> tuple[str, ...]:
    """The texts with their placeholders filled; one whose words are not all known is left out."""
    known = {name for name, word in words.items() if word}
    return tuple(text.format_map(words) for text in texts if placeholders(text) <= known)
