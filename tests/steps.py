"""How many steps Python takes over something, which tells a linear reading from a quadratic one on any machine.

What C does within a step (a pattern, a slice, a search in a list) is not counted: a text so long that nothing but a
linear reading ends within the time limit of the suite shows that.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import TypeVar

Input = TypeVar("Input")


def steps(run: Callable[[], object]) -> int:
    """Lines that begin, calls and returns, of whatever `run` calls in this thread."""
    count = 0

    def trace(frame: FrameType, event: str, argument: object) -> object:
        nonlocal count
        count += 1
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        run()
    finally:
        sys.settrace(before)
    return count


def growth(of: Callable[[int], Input], read: Callable[[Input], object], few: int = 300) -> float:
    """How many times the steps become where the input is ten times as large: 10 at the most where they are linear."""
    little, much = of(few), of(10 * few)
    read(of(1))  # what is made once is made
    return steps(lambda: read(much)) / steps(lambda: read(little))


LINEAR = 11.0  # a tenth more, for what another library does beside
