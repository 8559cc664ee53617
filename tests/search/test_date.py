from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.fhir.datatype import DAY, Interval
from server.search import query
from server.search.date import key
from server.search.filter import And, Or, Range
from tests.search import naive
from tests.search.asked import BASE, MORE, finds, places, refused
from tests.search.strategies import asked, resource


def observation(**members: Any) -> dict[str, Any]:
    return {"resourceType": "Observation", "status": "final"} | members


def plan(start: str | None = None, end: str | None = None) -> dict[str, Any]:
    period = {name: value for name, value in (("start", start), ("end", end)) if value}
    return {"resourceType": "CarePlan", "period": period}


@pytest.mark.parametrize(
    ("moment", "value", "expected"),
    [
        # the specification's table
        ("2013-01-14T00:00:00Z", "eq2013-01-14", True),
        ("2013-01-14T10:00:00Z", "2013-01-14", True),
        ("2013-01-15T00:00:00Z", "eq2013-01-14", False),
        ("2013-01-15T00:00:00Z", "ne2013-01-14", True),
        ("2013-01-14T10:00:00Z", "ne2013-01-14", False),
        ("2013-01-14", "lt2013-01-14T10:00", True),
        ("2013-01-14", "gt2013-01-14T10:00", True),
        # precision
        ("2013", "2013", True),
        ("2013-01", "2013", True),
        ("2013", "2013-01", False),
        ("2013-01-14", "2013-01-14T10:00", False),
        ("2013-01-14T10:00:30Z", "2013-01-14T10:00", True),
        ("2013-01-14T10:00:30.5Z", "2013-01-14T10:00:30Z", True),
        ("2013-01-14T10:00:30.5Z", "2013-01-14T10:00:30.4Z", False),
        # time zones
        ("2013-01-14T23:30:00-05:00", "2013-01-15", True),
        ("2013-01-14T23:30:00-05:00", "2013-01-15T04:30:00Z", True),
        ("2013-01-14T23:30:00-05:00", "2013-01-14", False),
        # order, at the edges
        ("2013-01-14T10:00:00Z", "gt2013-01-14T10:00:00Z", False),
        ("2013-01-14T10:00:00Z", "ge2013-01-14T10:00:00Z", True),
        ("2013-01-14T10:00:01Z", "gt2013-01-14T10:00:00Z", True),
        ("2013-01-14T10:00:00Z", "lt2013-01-14T10:00:00Z", False),
        ("2013-01-14T10:00:00Z", "le2013-01-14T10:00:00Z", True),
        ("2013-01-14", "gt2013-01-14", False),
        ("2013-01-14", "ge2013-01-14", True),
        ("2013-01-15", "sa2013-01-14", True),
        ("2013-01-14", "sa2013-01-14", False),
        ("2013-01-13", "eb2013-01-14", True),
        ("2013-01-14", "eb2013-01-14", False),
        ("2013", "gt2013-05-01", True),
        ("2013", "lt2013-05-01", True),
        ("2013", "sa2013-05-01", False),
    ],
)
def test_date_finds_a_moment(moment: str, value: str, expected: bool) -> None:
    assert expected == finds(observation(effectiveDateTime=moment), ("date", value))


@pytest.mark.parametrize(
    ("start", "end", "value", "expected"),
    [
        ("2013-01-21", None, "ge2013-03-14", True),
        ("2013-01-21", None, "le2013-03-14", True),
        ("2013-03-15", None, "sa2013-03-14", True),
        ("2013-01-21", None, "sa2013-03-14", False),
        (None, "2013-01-21", "sa2013-03-14", False),
        ("2013-03-15", None, "eb2013-03-14", False),
        ("2013-01-21", None, "eb2013-03-14", False),
        (None, "2013-01-21", "eb2013-03-14", True),
        (None, "2013-01-21", "lt2013-01-01", True),
        (None, "2013-01-21", "gt2013-01-21", False),
        (None, "2013-01-21", "gt2013-01-20", True),
        ("2013-01-01", "2013-01-31", "2013-01", True),
        ("2013-01-01", "2013-02-01", "2013-01", False),
        ("2013-01-01", "2013-02-01", "ne2013-01", True),
        ("2010-01-01", "2020-01-01", "gt2015", True),  # longer than a year: found by its end
        ("2010-01-01", "2020-01-01", "gt2020-01-01", False),
        ("2010-01-01", "2020-01-01", "ge2020-01-01", False),  # neither after that day nor within it
        ("2019-12-31", "2020-01-01", "ge2020-01-01", False),
        ("2010-01-01", "2020-01-01", "ap2015-06-01", True),
        ("2010-01-01", None, "ap2015-06-01", True),
    ],
)
def test_date_finds_a_period(start: str | None, end: str | None, value: str, expected: bool) -> None:
    assert expected == finds(plan(start, end), ("date", value))


def test_date_of_a_timing_is_its_outer_limits() -> None:
    timing = {"event": ["2013-03-01", "2013-02-01"], "repeat": {"boundsPeriod": {"start": "2013-01-31"}}}
    request = {"resourceType": "ServiceRequest", "occurrenceTiming": timing}
    assert finds(request, ("occurrence", "sa2013-01-30"))
    assert finds(request, ("occurrence", "gt2030"))
    request = {"resourceType": "ServiceRequest", "occurrenceTiming": {"event": timing["event"]}}
    assert finds(request, ("occurrence", "2013"))
    assert not finds(request, ("occurrence", "gt2013-03-01"))


def test_date_of_a_timing_without_limits_is_there_but_never() -> None:
    request = {"resourceType": "ServiceRequest", "occurrenceTiming": {"code": {"text": "BID"}}}
    assert finds(request, ("occurrence:missing", "false"))
    assert not finds(request, ("occurrence", "gt1900"))
    assert not finds(request, ("occurrence", "lt2900"))


def test_date_approximates_by_a_tenth_of_the_distance_from_now() -> None:
    now = datetime.now(UTC)
    sought = now - timedelta(days=1000)
    near, far = sought + timedelta(days=90), sought + timedelta(days=110)
    assert finds(observation(effectiveDateTime=near.strftime("%Y-%m-%d")), ("date", f"ap{sought:%Y-%m-%d}"))
    assert not finds(observation(effectiveDateTime=far.strftime("%Y-%m-%d")), ("date", f"ap{sought:%Y-%m-%d}"))


def test_date_of_an_element_that_is_no_date_is_missing() -> None:
    assert finds({"resourceType": "Procedure", "performedString": "long ago"}, ("date:missing", "true"))


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2023-11-14", True),
        ("2023-11-14T22:13:20.123Z", True),
        ("2023-11-14T22:13:20.124Z", False),
        ("gt2023-11-14T22:13:20.122Z", True),
        ("gt2023-11-14T22:13:20.123Z", False),
        ("ge2023-11-14T22:13:20.123Z", True),
        ("lt2023-11-14T22:13:20.123Z", False),
        ("le2023-11-14T22:13:20.123Z", True),
        ("sa2023-11-13", True),
        ("eb2023-11-15", True),
        ("ne2023", False),
        ("ne2022", True),
        ("ap2023-11-14", True),
        ("2022,2023", True),
    ],
)
def test_date_last_updated(value: str, expected: bool) -> None:
    assert expected == finds(plan(), ("_lastUpdated", value))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("date", "yesterday", "invalid"),
        ("date", "2013-02-30", "invalid"),
        ("date", "2013-1-1", "invalid"),
        ("date", "gt", "invalid"),
        ("date", "xx2013", "invalid"),
        ("date", "2013-01-14T10", "invalid"),
        ("date:exact", "2013", "not-supported"),
        ("_lastUpdated", "now", "invalid"),
        ("_lastUpdated:missing", "true", "not-supported"),
    ],
)
def test_date_refuses(name: str, value: str, code: str) -> None:
    assert [(code, f"http.{name}")] == places(refused("CarePlan", (name, value)))


def test_key_orders_by_the_low_end() -> None:
    moments = [-(10**17), -1, 0, 1, 10**17]
    keys = [key(Interval(low, low + 1)) for low in moments]
    assert sorted(keys) == keys


@settings(max_examples=500 * MORE)
@given(resource("Observation"), st.lists(asked("Observation", "date"), min_size=2, max_size=3))
def test_criteria_of_one_date_are_met_as_each_would_be(found: dict[str, Any], criteria: list[tuple[str, str]]) -> None:
    expected = all(naive.satisfies(found, name, value) for name, value in criteria)
    assert expected == finds(found, *criteria)


def test_criteria_of_one_date_bound_one_range() -> None:
    """What starts before the window is looked for no further back than a year; no filter holds all that came since."""
    since, until = ("date", "ge2026-03-01"), ("date", "lt2026-03-08")
    found = query.parse("Encounter", [since, ("status", "finished"), until], base_url=BASE, lenient=False).filter
    assert isinstance(found, And)
    (window,) = [part for part in found.filters if isinstance(part, Or)]
    first, after = (date(2026, 3, day).toordinal() - date(1970, 1, 1).toordinal() for day in (1, 8))
    march = (key(Interval(first * DAY, 0))[:8], key(Interval(after * DAY, 0))[:8])
    assert march in [(part.low, part.high) for part in window.filters if isinstance(part, Range)]


@pytest.mark.parametrize(
    ("type", "criteria"),
    [
        ("MedicationRequest", [("date", "ge2026"), ("date", "lt2027")]),  # several dates may meet one each
        ("Encounter", [("date", "ge2026"), ("_filter", "date lt 2027")]),
        ("Encounter", [("date", ",".join(["2026"] * 9)), ("date", ",".join(["2025"] * 9))]),
    ],
)
def test_criteria_that_several_dates_may_meet_stay_apart(type: str, criteria: list[tuple[str, str]]) -> None:
    found = query.parse(type, criteria, base_url=BASE, lenient=False).filter
    assert isinstance(found, And)
    assert 2 == len(found.filters)
