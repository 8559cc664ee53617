from __future__ import annotations

from fractions import Fraction
from statistics import mean, quantiles

from hypothesis import given
from hypothesis import strategies as st

from server.coordination.caseload.distribution import distribution, how_often


@given(st.lists(st.integers(0, 100), min_size=2))
def test_distribution_has_the_quartiles_of_the_inclusive_method(values: list[int]) -> None:
    found = distribution(values)
    assert found
    lower, median, upper = quantiles(map(Fraction, values), n=4, method="inclusive")
    assert (len(values), min(values), lower, median, upper, max(values), mean(map(Fraction, values))) == found


def test_distribution_of_one_and_of_none() -> None:
    assert [(1, 7, 7, 7, 7, 7, 7), None] == [distribution([7]), distribution([])]


def test_how_often_is_in_order() -> None:
    assert [(1, 1), (7, 2)] == how_often([7, 1, 7])
