"""Folding: text without what people write in different ways, its case, accents and white space.

https://hl7.org/fhir/R4/search.html#string
"""

from __future__ import annotations

import unicodedata


def folded(text: str) -> str:
    """Case and accents away, white space to single spaces: "  Núñez" is "nunez"."""
    if text.isascii():
        text = text.lower()
    else:
        plain = unicodedata.normalize("NFKD", text.casefold())
        text = "".join(character for character in plain if not unicodedata.combining(character)).casefold()
    return " ".join(text.split())
