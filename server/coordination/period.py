"""Period: when something holds, as intervals of instants, its dates read in a program's time zone.

https://hl7.org/fhir/R4/datatypes.html#Period

Instants are microseconds since the epoch. An interval is half-open; a date that is an end includes its day.
A list of intervals is sorted and its intervals do not touch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import MAXYEAR, UTC, date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from server.fhir import datatype
from server.ledger import EPOCH, micros

ALWAYS = -(1 << 62)  # the start of what has none
NEVER = 1 << 62  # the end of what has none


class Interval(NamedTuple):
    low: int
    high: int


def starts(text: str | None, zone: str) -> int:
    """The first instant of a date or dateTime; of a start that is not given, ALWAYS."""
    return _bounds(text, zone)[0] if text else ALWAYS


def ends(text: str | None, zone: str) -> int:
    """The first instant after an end: after a date's last day, at a full instant; NEVER where it is not given."""
    return _bounds(text, zone)[1] if text else NEVER


def between(start: str | None, end: str | None, zone: str) -> Interval:
    """A Period's interval, empty (high <= low) where its end is before its start."""
    return Interval(starts(start, zone), ends(end, zone))


@lru_cache(maxsize=16384)
def _bounds(text: str, zone: str) -> tuple[int, int]:
    interval = datatype.date_time(text)
    if interval is None:
        raise ValueError(f"{text!r} is no dateTime")
    if len(text) > 10:
        return interval.low, interval.low
    return _midnight(interval.low // datatype.DAY, zone), _midnight(interval.high // datatype.DAY, zone)


def _midnight(day: int, zone: str) -> int:
    """The first instant of a day, which is counted from the epoch."""
    ordinal = day + datatype.EPOCH_DAY
    if ordinal > date(MAXYEAR, 12, 31).toordinal():
        return NEVER
    local = date.fromordinal(ordinal)
    return micros(datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(zone)))


def midnight(day: date, zone: str) -> int:
    """The first instant of a day."""
    return _midnight(day.toordinal() - datatype.EPOCH_DAY, zone)


_MAX_OFFSET = timedelta(hours=14)
_FIRST, _LAST = (micros(datetime(*day, tzinfo=UTC)) for day in ((1, 1, 2), (9999, 12, 30)))


def moment(at: int, zone: str) -> datetime:
    """An instant on the clocks of a time zone, as near as the calendar goes."""
    return (EPOCH + timedelta(microseconds=min(max(at, _FIRST), _LAST))).astimezone(ZoneInfo(zone))


@lru_cache(maxsize=16384)
def day(at: int, zone: str) -> date:
    """The day that an instant falls on."""
    return moment(at, zone).date()


def text(at: int, zone: str) -> str:
    """An instant as FHIR's dateTime, to the millisecond, with the zone's offset; in UTC where FHIR has no such offset
    (local mean time). What a text says has that text."""
    local = moment(at, zone)
    offset = local.utcoffset() or timedelta()
    if offset % timedelta(minutes=1) or abs(offset) > _MAX_OFFSET:
        local = local.astimezone(UTC)
    return local.isoformat(timespec="milliseconds" if local.microsecond >= 1000 else "seconds")


def days(start: int, until: int, zone: str) -> int:
    """Whole days on the calendar from one instant to another."""
    return (day(until, zone) - day(start, zone)).days


def union(intervals: Iterable[Interval]) -> list[Interval]:
    """Every instant that one of the intervals holds. Empty intervals add nothing."""
    given = list(intervals)
    if len(given) == 1:
        return given if given[0].low < given[0].high else []
    joined: list[Interval] = []
    for low, high in sorted(given):
        if high <= low:
            continue
        if joined and low <= joined[-1].high:
            if high > joined[-1].high:
                joined[-1] = Interval(joined[-1].low, high)
        else:
            joined.append(Interval(low, high))
    return joined


def intersection(some: list[Interval], others: list[Interval]) -> list[Interval]:
    """Every instant that both lists hold."""
    if len(some) == 1 == len(others):
        found = Interval(max(some[0].low, others[0].low), min(some[0].high, others[0].high))
        return [found] if found.low < found.high else []
    common = (
        Interval(max(low, other_low), min(high, other_high))
        for low, high in some
        for other_low, other_high in others
        if low < other_high and other_low < high
    )
    return sorted(common)


def difference(some: list[Interval], others: list[Interval]) -> list[Interval]:
    """Every instant that the first list holds and the second does not."""
    left: list[Interval] = []
    for low, high in some:
        for other_low, other_high in others:
            if other_high <= low or high <= other_low:
                continue
            if low < other_low:
                left.append(Interval(low, other_low))
            low = other_high
        if low < high:
            left.append(Interval(low, high))
    return left


def holds(intervals: list[Interval], at: int) -> bool:
    """True where an interval holds the instant."""
    for low, high in intervals:  # noqa: SIM110 - any() takes twice as long, and a report asks this of every member
        if low <= at < high:
            return True
    return False


class Step(NamedTuple):
    """From `at` on, until the next step, so many hold."""

    at: int
    number: int


def steps(lists: Iterable[list[Interval]]) -> list[Step]:
    """How many of the lists hold, over time: one step wherever that changes, none before the first."""
    changes: dict[int, int] = {}
    for intervals in lists:
        for low, high in intervals:
            changes[low] = changes.get(low, 0) + 1
            changes[high] = changes.get(high, 0) - 1
    found: list[Step] = []
    count = 0
    for at in sorted(changes):
        if changes[at]:
            count += changes[at]
            found.append(Step(at, count))
    return found


def count_at(found: list[Step], at: int) -> int:
    """How many hold at an instant."""
    count = 0
    for step in found:
        if step.at > at:
            break
        count = step.number
    return count


def counts_at(found: list[Step], instants: Iterable[int]) -> list[int]:
    """How many hold at each of these instants, which come in order."""
    counts, place = [], 0
    for at in instants:
        while place < len(found) and found[place].at <= at:
            place += 1
        counts.append(found[place - 1].number if place else 0)
    return counts


def sweep(lists: list[list[Step]], window: Interval) -> Iterator[tuple[int, list[int]]]:
    """The start of a window and each instant of it at which one of the lists has a step, with all their numbers."""
    if window.high <= window.low:
        return
    inside = {step.at for steps in lists for step in steps if window.low < step.at < window.high}
    instants = [window.low, *sorted(inside)]
    counts = [counts_at(steps, instants) for steps in lists]
    yield from zip(instants, map(list, zip(*counts, strict=True)), strict=True)


def within(found: list[Step], window: Interval) -> Iterator[Step]:
    """The steps of a window, the first one at its start."""
    if window.high <= window.low:
        return
    yield Step(window.low, count_at(found, window.low))
    for step in found:
        if window.low < step.at < window.high:
            yield step
