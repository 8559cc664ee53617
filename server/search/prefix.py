"""Prefix: how a number, date or quantity compares: eq ne gt lt ge le sa eb ap.

https://hl7.org/fhir/R4/search.html#prefix
"""

from __future__ import annotations

from typing import NamedTuple

from server.outcome import Problem

PREFIXES = frozenset({"eq", "ne", "gt", "lt", "ge", "le", "sa", "eb", "ap"})


class Span(NamedTuple):
    """A filter.Range without its index: keys in [low, high) whose last 8 bytes are in [tail_low, tail_high)."""

    low: bytes
    high: bytes
    tail_low: bytes | None = None
    tail_high: bytes | None = None

    def under(self, head: bytes) -> Span:
        """The same span of the keys that start with `head`."""
        return Span(head + self.low, head + self.high, self.tail_low, self.tail_high)


def read(text: str, examples: str) -> tuple[str, str]:
    """A value's prefix, eq where it has none, and what the prefix is of. `examples` are for who gives another."""
    prefix = text[:2]
    if prefix in PREFIXES:
        return prefix, text[2:]
    if prefix.isalpha():
        known = ", ".join(sorted(PREFIXES))
        raise Problem.invalid(f"{text!r} starts with none of the prefixes {known}; accepted are {examples}")
    return "eq", text
