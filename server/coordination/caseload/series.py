"""Series: the numbers of a report at every step of a period, read off one census: no report for each date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import MAXYEAR, date, timedelta
from itertools import islice
from typing import NamedTuple

from server.coordination import period
from server.coordination.caseload.caseload import Cap
from server.coordination.caseload.report import Report
from server.coordination.period import Interval

UNITS = ("day", "week", "month", "quarter")
MOST = 1100  # instants of one series: the days of three years


_SUITING = (("day", 14), ("week", 92), ("month", 5 * 366), ("quarter", 50 * 366))  # up to how many days


class Point(NamedTuple):
    """The numbers as of one instant."""

    at: int
    members: int
    managers: int
    unassigned: int
    highest: int  # the most members of one manager
    above: int  # managers above a limit of theirs that is in force


def suiting(window: Interval, zone: str) -> str | None:
    """The unit in which a period has few dates; none where it has no start or end, or is longer than a life's work."""
    if window.low == period.ALWAYS or window.high == period.NEVER:
        return None
    days = period.days(window.low, window.high, zone)
    return next((unit for unit, most in _SUITING if days <= most), None)


def instants(unit: str, window: Interval, zone: str) -> list[int]:
    """The period's start, and the first instant of each day, Monday, month or quarter of it; at most MOST + 1."""
    return list(islice(_instants(unit, window, zone), MOST + 1))


def _instants(unit: str, window: Interval, zone: str) -> Iterator[int]:
    at, day = window.low, period.day(window.low, zone)
    while at < window.high:
        yield at
        if day.year == MAXYEAR:
            return
        day = _next(day, unit)
        at = period.midnight(day, zone)


def _next(day: date, unit: str) -> date:
    if unit == "day":
        return day + timedelta(days=1)
    if unit == "week":
        return day + timedelta(days=7 - day.weekday())
    months = 1 if unit == "month" else 3
    month = (day.month - 1) // months * months + months
    return date(day.year + month // 12, month % 12 + 1, 1)


def series(made: Report, at: list[int], caps: list[Cap]) -> list[Point]:
    """The organization's numbers at each instant."""
    census = made.counted
    members = period.counts_at(census.member_steps(), at)
    managers = period.counts_at(census.manager_steps(), at)
    unassigned = period.counts_at(census.unassigned_steps(), at)
    found = []
    for place, loads in enumerate(_across(by_manager(made, at), len(at))):
        limit = min((cap.limit for cap in caps if period.holds([cap.window], at[place])), default=None)
        above = 0 if limit is None else sum(load > limit for load in loads)
        numbers = (members[place], managers[place], unassigned[place])
        found.append(Point(at[place], *numbers, max(loads, default=0), above))
    return found


def _across(by_manager: Mapping[str, list[int]], length: int) -> list[list[int]]:
    """All managers' numbers, instant by instant."""
    return [[counts[place] for counts in by_manager.values()] for place in range(length)]


def by_manager(made: Report, at: list[int]) -> dict[str, list[int]]:
    """Each manager's members at each instant; those who have none at any are left out."""
    found = {line.practitioner: period.counts_at(line.steps, at) for line in made.lines}
    return {person: counts for person, counts in found.items() if any(counts)}
