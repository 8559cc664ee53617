"""date: moments and periods, compared as intervals.

https://hl7.org/fhir/R4/search.html#date

Key: the interval's low and high end, each 8 bytes of microseconds since the epoch, high exclusive. An interval longer
than 366 days has a second row with the ends the other way around, in the index ":end": so a search for what ends after
a moment need only look back 366 days, and finds the long ones by their ends.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from server.fhir.datatype import DAY, Interval, date_time, search_date
from server.ledger import IndexRow
from server.outcome import Problem
from server.search.filter import NAMELESS, Filter, Or, Range, Updated, either
from server.search.parameter import Parameter, Path, Test, Write, has_value, not_supported
from server.search.prefix import Span, read

_YEAR = 366 * DAY
_ZERO = 1 << 63
_FIRST, _LAST = bytes(8), b"\xff" * 8
_AFTER_ALL = b"\xff" * 17
_EVER = Interval(-_ZERO, _ZERO - 1)
_EXAMPLES = "2024, 2024-05, 2024-05-31, 2024-05-31T14:30 or 2024-05-31T14:30:00-06:00, after a prefix (ge2024) or not"


def key(interval: Interval) -> bytes:
    return _bytes(interval.low) + _bytes(interval.high)


def write(parameter: Parameter, path: Path) -> Write:
    """Rows of one path's values."""
    index, end_index = parameter.index, f"{parameter.index}:end"
    interval_of = _INTERVALS.get(path.type, date_time)

    def rows_of(value: Any, rows: list[IndexRow], base_url: str) -> None:
        interval = interval_of(value)
        if interval is None:
            if has_value(value):
                rows.append((index, NAMELESS))
            return
        low, high = _bytes(interval.low), _bytes(interval.high)
        rows.append((index, low + high))
        if interval.high - interval.low > _YEAR:
            rows.append((end_index, high + low))

    return rows_of


def interval(path: Path, value: Any) -> Interval | None:
    """What a value of this path stands for; None where it says nothing of when."""
    return _INTERVALS.get(path.type, date_time)(value)


def _period(period: Mapping[str, Any]) -> Interval | None:
    start, end = period.get("start"), period.get("end")
    low = date_time(start) if start else _EVER
    high = date_time(end) if end else _EVER
    if low is None or high is None or not (start or end):
        return None
    return Interval(low.low, max(high.high, low.low + 1))


def _timing(timing: Mapping[str, Any]) -> Interval | None:
    """The outer limits alone, as the specification says."""
    found = [date_time(event) for event in timing.get("event", ()) if event]
    found.append(_period(timing.get("repeat", {}).get("boundsPeriod", {})))
    known = [interval for interval in found if interval]
    if not known:
        return None
    return Interval(min(interval.low for interval in known), max(interval.high for interval in known))


_INTERVALS = {"Period": _period, "Timing": _timing}


def test(parameter: Parameter, modifier: str | None) -> Test:
    """How one value is matched."""
    if modifier:
        raise not_supported(parameter, modifier)
    long = not parameter.datatypes.isdisjoint(_INTERVALS)

    def matched(value: str, base_url: str) -> Filter:
        prefix, sought = asked(value)
        return either([part for index in parameter.indexes for part in _filters(index, prefix, sought, long)])

    return matched


def together(parameter: Parameter, criteria: Sequence[Sequence[str]]) -> Filter:
    """Every criterion, each met by any of its values, where a resource has one date at most: that meets all.

    "From March" and "until June" are then read as March to June, not as all since March and all before June.
    """
    found: list[Span] = [Span(_FIRST, _AFTER_ALL)]
    for values in criteria:
        sought = [span for value in values for span in spans(*asked(value))]
        both = [_overlap(one, other) for one in found for other in sought]
        found = [span for span in dict.fromkeys(both) if span is not None]
    return either(_ranges(parameter.index, found, long=not parameter.datatypes.isdisjoint(_INTERVALS)))


def _overlap(one: Span, other: Span) -> Span | None:
    low, high = max(one.low, other.low), min(one.high, other.high)
    starts = [span.tail_low for span in (one, other) if span.tail_low is not None]
    ends = [span.tail_high for span in (one, other) if span.tail_high is not None]
    tail_low, tail_high = max(starts, default=None), min(ends, default=None)
    is_empty = low >= high or (tail_low is not None and tail_high is not None and tail_low >= tail_high)
    return None if is_empty else Span(low, high, tail_low, tail_high)


def related(index: str, relation: str, value: str) -> Filter:
    """What overlaps a date's interval ("po"), or holds all of it ("co"), as `_filter` asks."""
    prefix, sought = asked(value)
    if prefix != "eq":
        raise Problem.invalid(f"{value!r} has a prefix; after {relation} stands a date alone")
    return either(_filters(index, "ap" if relation == "po" else relation, sought, long=True))


def updated(value: str, base_url: str) -> Filter:
    """`_lastUpdated`: the moment of the stored version."""
    prefix, (low, high) = asked(value)
    match prefix:
        case "ne":
            return Or((Updated(None, low), Updated(high, None)))
        case "gt" | "sa":
            return Updated(high, None)
        case "ge":
            return Updated(low, None)
        case "lt" | "eb":
            return Updated(None, low)
        case "le":
            return Updated(None, high)
    return Updated(low, high)


def asked(value: str) -> tuple[str, Interval]:
    """A value's prefix and interval, which `ap` widens by a tenth of its distance from now."""
    prefix, text = read(value, _EXAMPLES)
    found = search_date(text)
    if found is None:
        raise Problem.invalid(f"{text!r} is no date; accepted are {_EXAMPLES}")
    if prefix != "ap":
        return prefix, found
    now = time.time_ns() // 1000
    around = max(found.low - now, now - found.high, 0) // 10
    return prefix, Interval(found.low - around, found.high + around)


def spans(prefix: str, sought: Interval) -> tuple[Span, ...]:
    """The keys that match, wherever they stand: for what has no ":end"."""
    low, high = _bytes(sought.low), _bytes(sought.high)
    after_high = _bytes(sought.high + 1)
    match prefix:
        case "eq":
            return (Span(low, high, None, after_high),)
        case "ne":
            return (Span(_FIRST, low), Span(low, _AFTER_ALL, after_high, None))
        case "gt":
            return (Span(_FIRST, _AFTER_ALL, after_high, None),)
        case "ge":
            return (Span(_FIRST, low, after_high, None), Span(low, _AFTER_ALL))
        case "lt":
            return (Span(_FIRST, low),)
        case "le":
            return (Span(_FIRST, low), Span(low, high, None, after_high))
        case "sa":
            return (Span(high, _AFTER_ALL),)
        case "eb":
            return (Span(_FIRST, low, None, _bytes(sought.low + 1)),)
        case "co":
            return (Span(_FIRST, _bytes(sought.low + 1), high, None),)
    return (Span(_FIRST, high, _bytes(sought.low + 1), None),)


def _filters(index: str, prefix: str, sought: Interval, long: bool) -> list[Filter]:
    return _ranges(index, spans(prefix, sought), long)


def _ranges(index: str, spans: Iterable[Span], long: bool) -> list[Filter]:
    """The spans; where only the high end bounds one, no further back than a short interval reaches."""
    found: list[Filter] = []
    for span in spans:
        if span.low != _FIRST or span.tail_low is None:
            found.append(Range(index, *span))
            continue
        end = int.from_bytes(span.tail_low, "big") - 1 - _ZERO
        found.append(Range(index, _bytes(end - _YEAR), *span[1:]))
        if long:
            before = span.high if span.high != _AFTER_ALL else None
            found.append(Range(f"{index}:end", span.tail_low, span.tail_high or _AFTER_ALL, None, before))
    return found


def _bytes(moment: int) -> bytes:
    return min(max(moment + _ZERO, 0), (1 << 64) - 1).to_bytes(8, "big")
