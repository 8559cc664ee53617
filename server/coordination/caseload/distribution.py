"""Distribution: how numbers spread: the least, the quartiles, the greatest, and how often each comes.

Quantiles are those of numpy's and R's default: between two numbers that are there, in proportion.
https://en.wikipedia.org/wiki/Quantile
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple


class Distribution(NamedTuple):
    """Exact numbers of `size` values."""

    size: int
    minimum: Fraction
    lower_quartile: Fraction
    median: Fraction
    upper_quartile: Fraction
    maximum: Fraction
    mean: Fraction


def distribution(values: Iterable[int]) -> Distribution | None:
    """None of no values."""
    found = sorted(values)
    if not found:
        return None
    least, lower, median, upper, most = (_quantile(found, Fraction(quarter, 4)) for quarter in range(5))
    return Distribution(len(found), least, lower, median, upper, most, Fraction(sum(found), len(found)))


def _quantile(found: list[int], part: Fraction) -> Fraction:
    place = part * (len(found) - 1)
    low = int(place)
    high = min(low + 1, len(found) - 1)
    return found[low] + (place - low) * (found[high] - found[low])


def how_often(values: Iterable[int]) -> list[tuple[int, int]]:
    """Each value with how often it comes, the least first."""
    return sorted(Counter(values).items())
