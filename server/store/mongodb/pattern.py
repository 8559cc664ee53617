"""Pattern: a regular expression of the hexadecimal strings between two others.

A condition on an array's element asks a range of it, for the index to seek by, and such a pattern beside it: where a
server asks each part of any element, as FerretDB does, the pattern alone is the whole condition.
"""

from __future__ import annotations

_DIGITS = "0123456789abcdef"
NEVER = r"[^\s\S]"
DEEPEST = 64  # digits that the bounds are told apart by, each a group in the one before; MongoDB takes 250


def between(low: str, high: str) -> str:
    """Of the strings from `low` on, before `high`, by the order of their characters.

    And of some beside them, that are the same as one of the two for the DEEPEST digits after what both begin with.
    """
    if low >= high:
        return NEVER
    common = 0
    while common < len(low) and low[common] == high[common]:
        common += 1
    prefix, low, high = low[:common], low[common:], high[common:]
    if not low:
        return prefix + _before(high)
    first, last = _DIGITS.index(low[0]), _DIGITS.index(high[0])
    ways = [low[0] + _from(low[1:])]
    if last - first > 1:
        ways.append(f"[{_DIGITS[first + 1 : last]}]")
    if len(high) > 1:
        ways.append(high[0] + _before(high[1:]))
    return f"{prefix}(?:{'|'.join(ways)})"


def _from(low: str) -> str:
    """Of what follows: the strings that are not before `low`."""
    found = ""
    for digit in reversed(low[:DEEPEST]):
        greater = _DIGITS[_DIGITS.index(digit) + 1 :]
        found = f"(?:[{greater}]|{digit}{found})" if greater else f"{digit}{found}"
    return found


def _before(high: str) -> str:
    """Of what follows: the strings that are before `high`."""
    found = "" if len(high) <= DEEPEST else ".*"
    for digit in reversed(high[:DEEPEST]):
        less = _DIGITS[: _DIGITS.index(digit)]
        ways = ["$", *([f"[{less}]"] if less else ()), *([digit + found] if found else ())]
        found = f"(?:{'|'.join(ways)})"
    return found


def exactly(low: str, high: str) -> str:
    """Of the strings as long as `low` and `high`, from `low` on, before `high`; one that is empty is no bound."""
    if low and high:
        return NEVER if low >= high else _exactly_between(low, high)
    return _exactly_from(low) if low else _exactly_before(high)


def _exactly_between(low: str, high: str) -> str:
    rest = len(low) - 1
    first, last = _DIGITS.index(low[0]), _DIGITS.index(high[0])
    if first == last:
        return low[0] + _exactly_between(low[1:], high[1:])
    ways = [low[0] + _exactly_from(low[1:])]
    if last - first > 1:
        ways.append(f"[{_DIGITS[first + 1 : last]}].{{{rest}}}")
    ways.append(high[0] + _exactly_before(high[1:]))
    return f"(?:{'|'.join(ways)})"


def _exactly_from(low: str) -> str:
    found = ""
    for rest, digit in enumerate(reversed(low)):
        greater = _DIGITS[_DIGITS.index(digit) + 1 :]
        found = f"(?:[{greater}].{{{rest}}}|{digit}{found})" if greater else f"{digit}{found}"
    return found


def _exactly_before(high: str) -> str:
    found = NEVER
    for rest, digit in enumerate(reversed(high)):
        less = _DIGITS[: _DIGITS.index(digit)]
        found = f"(?:[{less}].{{{rest}}}|{digit}{found})" if less else f"{digit}{found}"
    return found
