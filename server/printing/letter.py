"""A letter printed: HTML and PDF, on a thread of their own, so that the requests of others go on meanwhile."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from server.coordination.communication.letter import Letter
from server.outcome import Problem
from server.printing import html, pdf, typeface

MAX_LENGTH = 20_000  # characters; whoever sends more means no letter


class Printed(NamedTuple):
    """A letter's two forms."""

    html: bytes
    pdf: bytes


async def printed(letter: Letter) -> Printed:
    """Problem business_rule where the fonts lack a character: no letter is sent with a name that nobody can read."""
    return await asyncio.to_thread(_printed, letter)


def _printed(letter: Letter) -> Printed:
    texts = (letter.title, letter.date, *letter.sender, *letter.address, *letter.paragraphs)
    if sum(map(len, texts)) > MAX_LENGTH:
        raise Problem.business_rule(
            f"The letter has more than {MAX_LENGTH} characters, which is no name and no address"
        )
    for text in texts:
        if char := typeface.missing(typeface.composed(text)):
            raise Problem.business_rule(
                f"The letter cannot be printed: {typeface.described(char)} in {text!r} is in none of its fonts, which "
                f"have {typeface.SCRIPTS}. Give the name in such letters too, with the use official"
            )
    return Printed(html.html(letter), pdf.pdf(letter))
