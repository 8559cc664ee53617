"""Primitive data types: their formats, and the intervals that dates and decimals of limited precision stand for.

https://hl7.org/fhir/R4/datatypes.html#primitive, https://hl7.org/fhir/R4/search.html#prefix

Every check takes time linear in the text. HL7's own pattern of base64Binary is exponential; the patterns here never
have two ways to match the same characters.
"""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Callable, Mapping
from datetime import date as calendar_date
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, InvalidOperation
from functools import lru_cache
from typing import NamedTuple

DAY = 86_400_000_000  # microseconds
EPOCH_DAY = calendar_date(1970, 1, 1).toordinal()
INTEGER_MAX = 2**31 - 1
NARROWER = {  # what may stand for a type: https://hl7.org/fhir/R4/datatypes.html
    "dateTime": {"date", "instant"},
    "integer": {"positiveInt", "unsignedInt"},
    "string": {"code", "id", "markdown"},
    "uri": {"canonical", "oid", "url", "uuid"},
}


class Interval(NamedTuple):
    """Microseconds since 1970-01-01T00:00:00Z (of a time: since midnight); `high` is exclusive."""

    low: int
    high: int


# Dates


def date(text: str) -> Interval | None:
    """YYYY, YYYY-MM or YYYY-MM-DD, in UTC; None where it is no date of the calendar."""
    return _date_time(text) if len(text) <= 10 else None


def date_time(text: str) -> Interval | None:
    """A date, or a date with a time of seconds or finer and a time zone."""
    return _date_time(text) if len(text) <= _CACHED else _date_time.__wrapped__(text)


def instant(text: str) -> Interval | None:
    """A date with a time of seconds or finer and a time zone."""
    return date_time(text) if len(text) > 10 else None


def time(text: str) -> Interval | None:
    """hh:mm:ss, or finer."""
    match = _TIME(text)
    return _clock(match[1], match[2], match[3], match[4]) if match else None


def search_date(text: str) -> Interval | None:
    """A dateTime as a search may give it: to the minute, and in UTC where it names no time zone.

    A + that a client left unescaped in its query has become a blank, which can mean nothing else.
    """
    match = _SEARCH_DATE(text)
    if not match or not match[2]:
        return date_time(text)
    clock = match[2] if match[3] else f"{match[2]}:00"
    zone = (match[4] or "Z").replace(" ", "+")
    interval = date_time(f"{match[1]}T{clock}{zone}")
    if interval is None or match[3]:
        return interval
    return Interval(interval.low, interval.low + 60_000_000)


_CACHED = 40  # characters: longer texts are no dates that anyone means, and would fill the cache's memory
_DATE_TIME = re.compile(
    r"(\d{4})(?:-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?(?:Z|([+-])(\d\d):(\d\d)))?)?)?", re.ASCII
).fullmatch
_TIME = re.compile(r"(\d\d):(\d\d):(\d\d)(?:\.(\d+))?", re.ASCII).fullmatch
_SEARCH_DATE = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d(:\d\d(?:\.\d+)?)?)(Z|[ +-]\d\d:\d\d)?)?", re.ASCII
).fullmatch


@lru_cache(maxsize=8192)  # the same days come again and again: validation and the index ask for each
def _date_time(text: str) -> Interval | None:
    match = _DATE_TIME(text)
    if not match:
        return None
    year, month, day, hour, minute, second, fraction, sign, offset_hour, offset_minute = match.groups()
    days = _days(int(year), int(month) if month else None, int(day) if day else None)
    if days is None or hour is None:
        return days
    clock = _clock(hour, minute, second, fraction)
    offset = _offset(sign, offset_hour, offset_minute)
    if clock is None or offset is None:
        return None
    return Interval(days.low + clock.low - offset, days.low + clock.high - offset)


def _days(year: int, month: int | None, day: int | None) -> Interval | None:
    """The days of a year, of a month or one day. Year 0 and days that the calendar lacks are None."""
    try:
        low = calendar_date(year, 1 if month is None else month, 1 if day is None else day).toordinal()
    except ValueError:
        return None
    if day:
        high = low + 1
    elif month:
        high = low + monthrange(year, month)[1]
    else:
        high = calendar_date(year, 12, 31).toordinal() + 1
    return Interval((low - EPOCH_DAY) * DAY, (high - EPOCH_DAY) * DAY)


def _clock(hour: str, minute: str, second: str, fraction: str | None) -> Interval | None:
    """Second 60 is tolerated, as R4's pattern does: it is the first of the next minute."""
    if hour > "23" or minute > "59" or second > "60":
        return None
    low = (int(hour) * 3600 + int(minute) * 60 + int(second)) * 1_000_000
    if not fraction:
        return Interval(low, low + 1_000_000)
    low += int(fraction[:6].ljust(6, "0"))
    return Interval(low, low + 10 ** max(0, 6 - len(fraction)))


def _offset(sign: str | None, hour: str, minute: str) -> int | None:
    if not sign:
        return 0
    if minute > "59" or f"{hour}:{minute}" > "14:00":
        return None
    offset = (int(hour) * 60 + int(minute)) * 60_000_000
    return -offset if sign == "-" else offset


# Decimals


def decimal(text: str) -> Decimal | None:
    """A decimal as JSON writes it, its precision kept; None for all else, NaN and Infinity included."""
    if not _DECIMAL(text):
        return None
    try:
        return Decimal(text)
    except InvalidOperation:  # an exponent beyond 10^18
        return None


def decimal_interval(value: Decimal | int) -> tuple[Decimal, Decimal]:
    """What a number means to its precision, high exclusive: 100 is [99.5, 100.5), 1.10 is [1.095, 1.105).

    A positive exponent follows R4's printed example, where 1e2 is [95, 105).
    """
    value = Decimal(value)
    _, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int), "a FHIR decimal is finite"
    half = Decimal((0, (5,), exponent - 1 if exponent <= 0 else exponent - 2))
    exact = Context(prec=len(digits) + 3, Emax=MAX_EMAX, Emin=MIN_EMIN)
    return exact.subtract(value, half), exact.add(value, half)


_DECIMAL = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?", re.ASCII).fullmatch


# Formats


class Primitive(NamedTuple):
    """A primitive type: whether a JSON value is one, in words what is accepted, and how JSON writes it."""

    conforms: Callable[[object], bool]
    accepted: str
    json: str = "a string"


def _text(pattern: str) -> Callable[[object], bool]:
    matches = re.compile(pattern, re.ASCII).fullmatch
    return lambda value: type(value) is str and matches(value) is not None


def _is_boolean(value: object) -> bool:
    return value is True or value is False


def _integer(low: int) -> Callable[[object], bool]:
    return lambda value: type(value) is int and low <= value <= INTEGER_MAX


def _is_decimal(value: object) -> bool:
    return type(value) is Decimal or type(value) is int


_CONTROLS = bytes([*range(0x09), 0x0B, 0x0C, *range(0x0E, 0x20)])
_no_space = re.compile(r"\S+").fullmatch


def _is_string(value: object) -> bool:
    if type(value) is not str or value == "":
        return False
    return (len(value) < 64 and value.isprintable()) or _lacks_controls(value)


def _lacks_controls(text: str) -> bool:
    data = text.encode("utf-8", "surrogatepass")
    return len(data.translate(None, _CONTROLS)) == len(data)


def _is_uri(value: object) -> bool:
    if type(value) is not str or value == "":
        return False
    if value.isprintable():  # then a space is the only white space that it can have
        return " " not in value
    return _no_space(value) is not None and _lacks_controls(value)


_is_code = _text(r"\S+(?:\s\S+)*")
_base64 = re.compile(r"[A-Za-z0-9+/]+={0,2}").fullmatch


def _is_base64(value: object) -> bool:
    if type(value) is not str:
        return False
    data = "".join(value.split())
    return len(data) % 4 == 0 and _base64(data) is not None


def _is_date(value: object) -> bool:
    return type(value) is str and len(value) <= 10 and _date_time(value) is not None


def _is_date_time(value: object) -> bool:
    return type(value) is str and date_time(value) is not None


def _is_instant(value: object) -> bool:
    return type(value) is str and instant(value) is not None


def _is_time(value: object) -> bool:
    return type(value) is str and time(value) is not None


_begins_div = re.compile(r"\s*<div[\s/>]").match


def _is_xhtml(value: object) -> bool:
    return _is_string(value) and _begins_div(str(value)) is not None and str(value).rstrip().endswith(">")


_STRING = "a string that is not empty and has no control characters"
_URI = "a URI: a string without white space"

PRIMITIVES: Mapping[str, Primitive] = {
    "base64Binary": Primitive(_is_base64, "base64 in a string, padded to a multiple of four characters"),
    "boolean": Primitive(_is_boolean, "true or false", "a boolean"),
    "canonical": Primitive(_is_uri, _URI),
    "code": Primitive(_is_code, "a code: a string without white space at its ends or doubled within"),
    "date": Primitive(_is_date, "a date of the calendar: YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": Primitive(
        _is_date_time,
        "a date of the calendar, YYYY, YYYY-MM, YYYY-MM-DD or YYYY-MM-DDThh:mm:ss+zz:zz; a time needs its seconds "
        "and a time zone (Z, or up to ±14:00)",
    ),
    "decimal": Primitive(_is_decimal, "a JSON number", "a number"),
    "id": Primitive(_text(r"[A-Za-z0-9\-.]{1,64}"), "1 to 64 of the characters A-Z a-z 0-9 - ."),
    "instant": Primitive(_is_instant, "a moment of the calendar: YYYY-MM-DDThh:mm:ss+zz:zz, seconds or finer"),
    "integer": Primitive(_integer(-INTEGER_MAX - 1), "a JSON number without fraction, of 32 bits", "a number"),
    "markdown": Primitive(_is_string, _STRING),
    "oid": Primitive(_text(r"urn:oid:[0-2](?:\.(?:0|[1-9]\d*))+"), "an OID as a URI: urn:oid:1.2.3"),
    "positiveInt": Primitive(_integer(1), "a JSON number without fraction, from 1 to 2147483647", "a number"),
    "string": Primitive(_is_string, _STRING),
    "time": Primitive(_is_time, "a time of the day: hh:mm:ss, seconds or finer"),
    "unsignedInt": Primitive(_integer(0), "a JSON number without fraction, from 0 to 2147483647", "a number"),
    "uri": Primitive(_is_uri, _URI),
    "url": Primitive(_is_uri, _URI),
    "uuid": Primitive(
        _text(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"),
        "a UUID as a URI, in lower case: urn:uuid:c757873d-ec9a-4326-a141-556f43239520",
    ),
    "xhtml": Primitive(_is_xhtml, "XHTML in a string: one <div> with what is in it"),
}
