"""What FHIR's data types say, as a person reads them."""

from __future__ import annotations

from typing import Any

import pytest

from server.coordination.plan.words import concept, quantity, timing, value


@pytest.mark.parametrize(
    ("repeat", "told"),
    [
        ({"frequency": 3, "period": 1, "periodUnit": "wk"}, "3 times per week"),
        ({"frequency": 1, "period": 2, "periodUnit": "d"}, "1 time per 2 days"),
        (
            {"periodUnit": "wk", "dayOfWeek": ["mon", "fri"], "duration": 2, "durationUnit": "h"},
            "1 time per week, mon, fri, 2 hours each",
        ),
        ({}, ""),
    ],
)
def test_timing(repeat: dict[str, Any], told: str) -> None:
    assert told == timing({"repeat": repeat})


def test_timing_with_a_code() -> None:
    assert "BID" == timing({"code": {"coding": [{"code": "BID"}]}})


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"value": 7, "unit": "%"}, "7 %"),
        ({"comparator": "<", "value": 7, "code": "mm"}, "<7 mm"),
        ({"low": {"value": 1, "unit": "kg"}, "high": {"value": 2, "unit": "kg"}}, "1 kg to 2 kg"),
        ({"numerator": {"value": 1}, "denominator": {"value": 2, "unit": "d"}}, "1 per 2 d"),
        ({"coding": [{"code": "x", "display": "Independent"}]}, "Independent"),
        (True, "True"),
        ("2026", "2026"),
    ],
)
def test_value(given: Any, told: str) -> None:
    assert told == value(given)


def test_nothing_says_nothing() -> None:
    assert ("", "") == (concept({}), quantity({}))
