"""number: exact values and ranges, compared with the precision that the search gives.

https://hl7.org/fhir/R4/search.html#number

Key: the value, exactly, in bytes whose order is the values' order, and a tail of 8 bytes. An interval (a Range, a
Quantity that is "< 5") has two rows: its low end with the high end in the tail, and its high end with a tail of ones.
A single value has a tail of zeros.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal
from typing import Any

from server.fhir.datatype import decimal, decimal_interval
from server.ledger import IndexRow
from server.outcome import Problem
from server.search.filter import NAMELESS, Filter, Range, either
from server.search.parameter import Parameter, Path, Test, Write, has_value, not_supported
from server.search.prefix import Span, read

_EXAMPLES = "100, 5.40, -3 or 1e2, after a prefix (gt100) or not"
_POINT, _HIGH_END = bytes(8), b"\xff" * 8
_BELOW_ALL, _ABOVE_ALL = b"\x20", b"\xe0"
_FIRST, _LAST = b"\x10", b"\xf0"
_BEYOND = b"\xff" * 9  # after a value, whatever its tail
_EXPONENT = (1 << 15) - 1  # numbers of exponents beyond these are all as great or as small
_DIGITS = 40
_SHIFTED = bytes(min(digit + 1, 255) for digit in range(256))
_COMPLEMENT = bytes(255 - byte for byte in range(256))

ANY_SIZE = Context(
    prec=_DIGITS, Emax=MAX_EMAX, Emin=MIN_EMIN, traps=[]
)  # no number is too large or small to reckon with


def encode(value: Decimal | int) -> bytes:
    """Bytes in the order of the values; none is the start of another."""
    sign, digits, exponent = (value if isinstance(value, Decimal) else Decimal(value)).as_tuple()
    significant = bytes(digits).strip(b"\0")
    if not significant or not isinstance(exponent, int):
        return b"\x80\0\0"
    magnitude = exponent + len(bytes(digits).lstrip(b"\0"))
    if abs(magnitude) >= _EXPONENT:
        magnitude, significant = (_EXPONENT if magnitude > 0 else -_EXPONENT), b""
    body = (magnitude + _EXPONENT).to_bytes(2, "big") + significant[:_DIGITS].translate(_SHIFTED) + b"\0"
    return b"\x40" + body.translate(_COMPLEMENT) if sign else b"\xc0" + body


def tail(value: Decimal | int) -> bytes:
    """A value in 8 bytes, as exactly as a double is."""
    bits: int = struct.unpack(">Q", struct.pack(">d", float(Decimal(value))))[0]
    return (bits ^ 0xFFFF_FFFF_FFFF_FFFF if bits >> 63 else bits | 1 << 63).to_bytes(8, "big")


def keys(low: Decimal | int | None, high: Decimal | int | None) -> tuple[bytes, ...]:
    """The keys of an interval with both its ends in it, open where None; one key where the ends are one."""
    if low is not None and low == high:
        return (encode(low) + _POINT,)
    low_end = _BELOW_ALL if low is None else encode(low)
    high_end = _ABOVE_ALL if high is None else encode(high)
    high_tail = tail(Decimal("Infinity") if high is None else high)
    return low_end + high_tail, high_end + _HIGH_END


def bounds(value: Any) -> tuple[Decimal | int | None, Decimal | int | None] | None:
    """The ends of a number or a Range; None where it has neither."""
    if not isinstance(value, Mapping):
        return value, value
    low, high = value.get("low", {}).get("value"), value.get("high", {}).get("value")
    return None if low is None and high is None else (low, high)


def write(parameter: Parameter, path: Path) -> Write:
    """Rows of one path's values."""
    index = parameter.index

    def rows_of(value: Any, rows: list[IndexRow], base_url: str) -> None:
        if ends := bounds(value):
            rows.extend((index, key) for key in keys(*ends))
        elif has_value(value):
            rows.append((index, NAMELESS))

    return rows_of


def test(parameter: Parameter, modifier: str | None) -> Test:
    """How one value is matched."""
    if modifier:
        raise not_supported(parameter, modifier)

    def matched(value: str, base_url: str) -> Filter:
        sought = spans(*asked(value))
        return either([Range(index, *span) for index in parameter.indexes for span in sought])

    return matched


def asked(value: str) -> tuple[str, Decimal]:
    """A value's prefix and number."""
    prefix, text = read(value, _EXAMPLES)
    found = decimal(text.removeprefix("+"))
    if found is None:
        raise Problem.invalid(f"{text!r} is no number; accepted are {_EXAMPLES}")
    return prefix, found


def spans(prefix: str, value: Decimal) -> tuple[Span, ...]:
    """The keys that match. eq and ne mean the value to its precision, ap a tenth around it, the others it alone."""
    exact = encode(value)
    match prefix:
        case "eq":
            low, high = decimal_interval(value)
            return (Span(encode(low), encode(high), None, tail(high)),)
        case "ne":
            low, high = decimal_interval(value)
            return (Span(_FIRST, encode(low)), Span(encode(high), _LAST))
        case "gt":
            return (Span(exact + _BEYOND, _LAST),)
        case "ge":
            return (Span(exact, _LAST),)
        case "lt":
            return (Span(_FIRST, exact),)
        case "le":
            return (Span(_FIRST, exact + _BEYOND),)
        case "sa":
            return (Span(exact + _BEYOND, _LAST, None, _HIGH_END),)
        case "eb":
            return (Span(_FIRST, exact, None, tail(value)),)
    low, high = around(value)
    reaching_over = Span(_FIRST, encode(low), tail(high), _HIGH_END)
    return (Span(encode(low), encode(high) + _BEYOND), reaching_over)


def tail_spans(prefix: str, value: Decimal) -> tuple[Span, ...]:
    """The tails that match, where a single value stands in the tail of another's key."""
    exact = tail(value)
    after = (int.from_bytes(exact, "big") + 1).to_bytes(8, "big")
    low, high = around(value) if prefix == "ap" else decimal_interval(value)
    tails: dict[str, list[tuple[bytes | None, bytes | None]]] = {
        "eq": [(tail(low), tail(high))],
        "ne": [(None, tail(low)), (tail(high), None)],
        "gt": [(after, None)],
        "ge": [(exact, None)],
        "lt": [(None, exact)],
        "le": [(None, after)],
        "sa": [(after, None)],
        "eb": [(None, exact)],
        "ap": [(tail(low), tail(high))],
    }
    return tuple(Span(b"", b"", *ends) for ends in tails[prefix])


def around(value: Decimal) -> tuple[Decimal, Decimal]:
    """A tenth around the value, or its precision where that is wider."""
    low, high = decimal_interval(value)
    tenth = ANY_SIZE.scaleb(value.copy_abs(), -1)
    return min(low, ANY_SIZE.subtract(value, tenth)), max(high, ANY_SIZE.add(value, tenth))
