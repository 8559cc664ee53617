"""Patterns that somebody else wrote: taken only where they cannot run away.

https://hl7.org/fhir/R4/valueset-filter-operator.html, http://hl7.org/fhirpath/#matchesregex--string--boolean
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

LONGEST = 256  # characters of a pattern
_SHORT = 64  # repetitions that count as none
_constants = re._constants  # type: ignore[attr-defined]
_REPEATS = {_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT}
_LOOKING = {"GROUPREF", "GROUPREF_EXISTS", "ASSERT", "ASSERT_NOT"}


def bounded(text: str) -> re.Pattern[str]:
    """A pattern of at most two open repetitions, none within another, that looks neither back nor ahead.

    ValueError, with words that follow its name, for one that could take too long, and for what is no pattern.
    """
    try:
        parsed = re._parser.parse(text)  # type: ignore[attr-defined]
        if len(text) > LONGEST or not _is_bounded(parsed):
            raise ValueError("could take too long: two * or + at most, none within another, and no looking around")
        return re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is none: {error}") from None


def _is_bounded(parsed: Any) -> bool:
    found = list(_repeats(parsed, 0))
    return all(depth == 0 for depth, _ in found) and sum(is_open for _, is_open in found) <= 2


def _repeats(parsed: Any, depth: int) -> Iterator[tuple[int, bool]]:
    """How deep each repetition stands in others, and whether it is open. To look around counts as too deep."""
    for operator, argument in parsed:
        name = str(operator)
        if operator in _REPEATS:
            is_open = argument[1] > _SHORT
            yield depth, is_open
            yield from _repeats(argument[2], depth + 1)
        elif name in _LOOKING:
            yield 1, True
        elif name == "BRANCH":
            for branch in argument[1]:
                yield from _repeats(branch, depth)
        elif name in {"SUBPATTERN", "ATOMIC_GROUP"}:
            yield from _repeats(argument[-1] if isinstance(argument, tuple) else argument, depth)
