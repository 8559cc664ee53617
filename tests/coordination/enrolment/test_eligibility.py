"""Eligibility: whatever evidence may mean has to be on the right side of the limit."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.coordination.enrolment.eligibility import DAYS, days, latest, passes
from server.coordination.facts import Evidence
from server.coordination.period import ALWAYS, NEVER, Interval, starts
from server.coordination.program.program import Rule

ZONE = "America/New_York"
CODE = "system|need"
numbers = st.decimals(0, 400, places=3)


def rule(comparator: str, limit: int) -> Rule:
    whole = Interval(ALWAYS, NEVER)
    parameters = {"comparator": comparator, "limit": limit}
    return Rule("NY-02", "eligibility", "block", "", whole, None, parameters, frozenset(), ())


def evidence(value: object, unit: str = "d", comparator: str = "", when: str | None = None, **more: object) -> Evidence:
    told = {"source": "Observation/1", "counts": True} | more
    return Evidence(codes=[CODE], value=value, unit=unit, comparator=comparator, when=when, **told)  # type: ignore[arg-type]


@given(numbers, st.sampled_from(sorted(DAYS)), st.integers(0, 400), st.sampled_from(["gt", "ge", "lt", "le"]))
def test_number_passes_as_it_compares_in_days(value: Decimal, unit: str, limit: int, comparator: str) -> None:
    number = value * DAYS[unit]
    expected = {"gt": number > limit, "ge": number >= limit, "lt": number < limit, "le": number <= limit}
    assert expected[comparator] == passes(evidence(str(value), unit), rule(comparator, limit))


@given(numbers, numbers, st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from(["gt", "ge", "lt", "le"]))
def test_bound_passes_only_if_whatever_it_may_mean_does(
    bound: Decimal, meant: Decimal, comparator: str, wanted: str
) -> None:
    holds = {"<": meant < bound, "<=": meant <= bound, ">": meant > bound, ">=": meant >= bound}[comparator]
    if holds and passes(evidence(str(bound), comparator=comparator), rule(wanted, 120)):
        assert passes(evidence(str(meant)), rule(wanted, 120))


@pytest.mark.parametrize("found", [evidence("200", "h"), evidence("200", ""), evidence(True), evidence(None)])
def test_what_is_no_time_of_days_does_not_pass(found: Evidence) -> None:
    assert days(found) is None
    assert not passes(found, rule("gt", 120))


def test_latest_is_of_the_first_day_else_of_all() -> None:
    found = [
        evidence("1", when="2026-01-01"),
        evidence("2", when="2026-03-10T15:00:00-04:00"),
        evidence("3", when="2026-05-01"),
        evidence("4", when="2026-03-10", counts=False),
    ]
    assert ["2", "1", "3"] == [
        one.value for day in ("2026-03-10", "2026-03-09", "2025-01-01") if (one := _latest(found, day))
    ]
    assert _latest([], "2026-01-01") is None


def _latest(found: list[Evidence], day: str) -> Evidence | None:
    return latest(found, {CODE}, starts(day, ZONE), ZONE)
