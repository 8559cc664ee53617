"""Token: what a page's link carries: the position that it is of, and where in the order it goes on.

It holds nothing of a process, so that a link outlives a restart.
"""

from __future__ import annotations

from typing import NamedTuple

from server.ledger import Position
from server.outcome import Problem

AFTER = "r"  # what comes after the number of a resource, or of a version
BEFORE = "b"  # what comes before it, as many as a page takes
LAST = "e"  # the last so many
OFFSET = "o"  # what comes after so many in a sorted order
_DIGITS = 18  # as many as 64 bits always hold


class Token(NamedTuple):
    """`<position>.<kind><number>`"""

    position: Position
    kind: str
    number: int

    def __str__(self) -> str:
        return f"{self.position}.{self.kind}{self.number}"


def read(text: str, head: Position, kinds: str) -> Token:
    """Read a token of one of these kinds. Problem invalid for what this server never gave."""
    position, _, place = text.partition(".")
    kind, number = place[:1], place[1:]
    if not (kind and kind in kinds and all(part.isdecimal() and len(part) <= _DIGITS for part in (position, number))):
        raise Problem.invalid(
            "The page's token is not one that this server gave; follow the link of a Bundle", "http._page"
        )
    if int(position) > head:
        raise Problem.invalid("The page's token names a position that the ledger has not reached", "http._page")
    return Token(int(position), kind, int(number))
