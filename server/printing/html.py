"""HTML of a letter: one page that needs nothing beside itself, for a screen and for who has it read aloud."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from server.coordination.communication.letter import Letter

STYLE = (
    "body{font:1rem/1.5 sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff;"
    "overflow-wrap:anywhere}address{font-style:normal;margin:2rem 0}h1{font-size:1.25rem}"
)


def html(letter: Letter) -> bytes:
    """UTF-8; every text of the letter is escaped, and each is read in its own direction."""
    title = escape(letter.title)
    return (
        f'<!DOCTYPE html>\n<html lang="{escape(letter.language)}">\n'
        f'<head><meta charset="utf-8"><title>{title}</title><style>{STYLE}</style></head>\n<body>\n'
        f"<header>{_lines(letter.sender)}</header>\n"
        f"<address>{_lines(letter.address)}</address>\n"
        f"<p>{escape(letter.date)}</p>\n<h1>{title}</h1>\n"
        + "".join(f'<p dir="auto">{escape(paragraph)}</p>\n' for paragraph in letter.paragraphs)
        + "</body>\n</html>\n"
    ).encode()


def _lines(texts: Iterable[str]) -> str:
    return "<br>".join(f'<span dir="auto">{escape(text)}</span>' for text in texts)
