"""Primitive formats against R4's own examples and against datetime and decimal; and that their time is linear."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.fhir import datatype
from server.fhir.datatype import DAY, PRIMITIVES, Interval
from server.fhir.definition import PRIMITIVE_TYPES
from server.ledger import micros

SECOND = 1_000_000


def at(*moment: int) -> int:
    return micros(datetime(*moment, tzinfo=UTC))  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", at(2026, 1, 1), at(2027, 1, 1)),
        ("2026-02", at(2026, 2, 1), at(2026, 3, 1)),
        ("2026-12", at(2026, 12, 1), at(2027, 1, 1)),
        ("2024-02-29", at(2024, 2, 29), at(2024, 3, 1)),
        ("1969-12-31", -DAY, 0),
        ("2015-02-07T13:28:17-05:00", at(2015, 2, 7, 18, 28, 17), at(2015, 2, 7, 18, 28, 18)),
        ("2015-02-07T13:28:17.239+02:00", at(2015, 2, 7, 11, 28, 17) + 239_000, at(2015, 2, 7, 11, 28, 17) + 240_000),
        ("2015-02-07T00:00:00.1234567Z", at(2015, 2, 7) + 123_456, at(2015, 2, 7) + 123_457),
        ("2016-12-31T23:59:60Z", at(2017, 1, 1), at(2017, 1, 1) + SECOND),
    ],
)
def test_date_time_is_an_interval_of_its_precision(text: str, low: int, high: int) -> None:
    assert Interval(low, high) == datatype.date_time(text)


def test_date_time_reaches_from_year_1_to_9999() -> None:
    first, last = datatype.date_time("0001-01-01T00:00:00+14:00"), datatype.date_time("9999-12")
    assert first is not None
    assert last is not None
    assert at(1, 1, 1) - 14 * 3600 * SECOND == first.low
    assert at(9999, 12, 31) + DAY == last.high


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0000",
        "26",
        "2026-1",
        "2026-13",
        "2026-00",
        "2026-01-00",
        "2026-02-30",
        "2023-02-29",
        "20260101",
        "2026-W01-1",
        "2026-01-01T",
        "2026-01-01T10:00Z",
        "2026-01-01T10:00:00",
        "2026-01-01T24:00:00Z",
        "2026-01-01T10:60:00Z",
        "2026-01-01T10:00:61Z",
        "2026-01-01T10:00:00.Z",
        "2026-01-01T10:00:00z",
        "2026-01-01T10:00:00+14:01",
        "2026-01-01T10:00:00+10:60",
        "2026-01-01 10:00:00Z",
        " 2026-01-01",
        "2026-01-01\n",
        "２０２６-01-01",
    ],
)
def test_date_time_refuses(text: str) -> None:
    assert datatype.date_time(text) is None


def test_date_has_no_time_and_instant_has_one() -> None:
    assert datatype.date("2026-01-01T10:00:00Z") is None
    assert datatype.instant("2026-01-01") is None
    assert datatype.instant("2026-01-01T10:00:00Z") is not None


def test_time_is_microseconds_since_midnight() -> None:
    assert Interval(12 * 3600 * SECOND, 12 * 3600 * SECOND + SECOND) == datatype.time("12:00:00")
    assert datatype.time("12:00") is None
    assert datatype.time("24:00:00") is None
    assert datatype.time("12:00:00Z") is None


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2013-01-14T10:00", at(2013, 1, 14, 10), at(2013, 1, 14, 10, 1)),
        ("2013-01-14T10:00+01:00", at(2013, 1, 14, 9), at(2013, 1, 14, 9, 1)),
        ("2013-01-14T10:00 01:00", at(2013, 1, 14, 9), at(2013, 1, 14, 9, 1)),
        ("2013-01-14T10:00:00", at(2013, 1, 14, 10), at(2013, 1, 14, 10, 0, 1)),
        ("2013-01-14T10:00:00.5Z", at(2013, 1, 14, 10) + 500_000, at(2013, 1, 14, 10) + 600_000),
        ("2013-01", at(2013, 1, 1), at(2013, 2, 1)),
    ],
)
def test_search_date_may_leave_out_seconds_and_zone(text: str, low: int, high: int) -> None:
    assert Interval(low, high) == datatype.search_date(text)


def test_search_date_refuses_an_hour_alone() -> None:
    assert datatype.search_date("2013-01-14T10") is None


zones = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@given(st.datetimes(datetime(2, 1, 1), datetime(9998, 12, 31), timezones=zones))  # noqa: DTZ001 - hypothesis wants them so
def test_date_time_agrees_with_datetime(moment: datetime) -> None:
    interval = datatype.date_time(moment.isoformat(timespec="microseconds"))
    assert Interval(micros(moment), micros(moment) + 1) == interval


@given(st.dates())
def test_date_lies_in_its_month_and_its_year(day: datetime) -> None:
    text = day.isoformat()
    intervals = [datatype.date(text[:length]) for length in (4, 7, 10)]
    year, month, date = (interval or Interval(0, 0) for interval in intervals)
    assert year.low <= month.low <= date.low < date.high <= month.high <= year.high
    assert DAY == date.high - date.low


@given(st.text(alphabet="0123456789-T:Z+.", max_size=30))
def test_date_time_agrees_with_datetime_on_what_is_no_date(text: str) -> None:
    interval = datatype.date_time(text)
    if interval is not None and len(text) >= 20 and ":60" not in text:
        assert interval.low == micros(datetime.fromisoformat(text))


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [  # https://hl7.org/fhir/R4/search.html#number
        ("100", "99.5", "100.5"),
        ("100.00", "99.995", "100.005"),
        ("1e2", "95", "105"),
        ("1.10", "1.095", "1.105"),
        ("-5", "-5.5", "-4.5"),
        ("0", "-0.5", "0.5"),
        ("1E-3", "0.0005", "0.0015"),
    ],
)
def test_decimal_interval_is_half_a_unit_each_way(text: str, low: str, high: str) -> None:
    value = datatype.decimal(text)
    assert value is not None
    assert (Decimal(low), Decimal(high)) == datatype.decimal_interval(value)


def test_decimal_interval_of_a_huge_exponent_is_quick() -> None:
    low, high = datatype.decimal_interval(Decimal("1e999999999"))
    assert low < Decimal("1e999999999") < high


@pytest.mark.parametrize(
    "text", ["", "NaN", "Infinity", "01", "1.", ".5", "+1", "1e", "1_0", "１", " 1", "1e9999999999999999999"]
)
def test_decimal_refuses(text: str) -> None:
    assert datatype.decimal(text) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=7))
def test_decimal_keeps_its_precision(value: Decimal) -> None:
    read = datatype.decimal(format(value, "f"))
    assert read is not None
    assert value.as_tuple() == read.as_tuple()


def test_primitives_are_r4s() -> None:
    assert PRIMITIVE_TYPES == PRIMITIVES.keys()


@pytest.mark.parametrize(
    ("type_name", "accepted", "refused"),
    [
        ("base64Binary", ["QQ==", "QUJD", "QU\n JD"], ["", "QQ=", "Q===", "Q*==", "=QQ=", 1]),
        ("boolean", [True, False], [1, 0, "true", None]),
        ("canonical", ["http://a.org/V|1.0", "#x"], ["", "a b", " ", "a\u2003b", "a\x00b"]),
        ("code", ["a", "a b", "á"], ["", " a", "a ", "a  b", "\n"]),
        ("date", ["2026", "2026-01-31"], ["2026-01-01T10:00:00Z", 2026, None]),
        ("dateTime", ["2026", "2026-01-01T10:00:00.123456789012345678901234567890+01:00"], ["now", 1]),
        ("decimal", [1, Decimal("1.10")], ["1", True, 1.5, None]),
        ("id", ["a-1.B", "x" * 64], ["", "x" * 65, "a_b", "a\n", "é"]),
        ("instant", ["2015-02-07T13:28:17.239+02:00"], ["2015-02-07", ""]),
        ("integer", [0, -(2**31), 2**31 - 1], [2**31, True, Decimal("1.0"), "1"]),
        ("markdown", ["# a\n\n*b*", " "], ["", "\x07"]),
        ("oid", ["urn:oid:1.2.3.0"], ["urn:oid:3.1", "urn:oid:1", "urn:oid:1.02", "1.2.3", "urn:oid:1.2."]),
        ("positiveInt", [1, 2**31 - 1], [0, -1, True]),
        ("string", ["a", "a\tb\r\n", "\U0001f600", "x" * 100], ["", "a\x00", "a\x1f", "x" * 100 + "\x0b", None]),
        ("time", ["00:00:00", "23:59:59.999"], ["24:00:00", "1:00:00"]),
        ("unsignedInt", [0], [-1, False]),
        ("uri", ["urn:oid:1.2.3", "http://a/b?c#d", "zero\u200bwidth"], ["", "a b", "a\n"]),
        ("url", ["mailto:a@b.org"], ["", "a b"]),
        (
            "uuid",
            ["urn:uuid:c757873d-ec9a-4326-a141-556f43239520"],
            ["c757873d-ec9a-4326-a141-556f43239520", "urn:uuid:C757"],
        ),
        ("xhtml", ['<div xmlns="http://www.w3.org/1999/xhtml">a</div>'], ["", "a", "<p/>", "<divx>a</divx>"]),
    ],
)
def test_primitive_conforms(type_name: str, accepted: list[object], refused: list[object]) -> None:
    conforms = PRIMITIVES[type_name].conforms
    assert [] == [value for value in accepted if not conforms(value)]
    assert [] == [value for value in refused if conforms(value)]


@pytest.mark.parametrize("type_name", sorted(PRIMITIVES))
def test_primitive_is_checked_in_linear_time(type_name: str) -> None:
    """HL7's pattern of base64Binary takes 12 s for 97 characters; a megabyte of anything takes milliseconds here.

    In time that grows with the square of the text it would take hours, and not end in the suite's.
    """
    conforms = PRIMITIVES[type_name].conforms
    for piece in ("A", "A ", "A=", "1", "1.", "-", "a b", "urn:oid:1.", "2026-01-01T10:00:00.1", " ", "\n", "é"):
        conforms(piece * (1_000_000 // len(piece)) + "!")
        conforms("2026-01-01T10:00:00." + piece * (1_000_000 // len(piece)))
