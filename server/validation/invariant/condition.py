"""Invariant: a demand on one element as a whole, and the conditions that most demands are made of.

https://hl7.org/fhir/R4/conformance-rules.html#constraints

Each `holds` is asked only when the element's parts are right, so it may rely on their kinds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from server.fhir import datatype

Json = dict[str, Any]
Holds = Callable[[Json], bool]


class Invariant(NamedTuple):
    """One invariant under its key in the specification, in our words."""

    key: str
    holds: Holds
    words: str


def _named(*names: str) -> frozenset[str]:
    """The names under which elements may be there."""
    return frozenset(each for name in names for each in (name, f"_{name}"))


def has(value: Json, name: str) -> bool:
    """Whether an element is there: its value, or an extension in the place of one."""
    return name in value or f"_{name}" in value


def has_any(value: Json, choice: str) -> bool:
    """Whether an element is there by name, or under one of its choice's names."""
    return any(name.lstrip("_").startswith(choice) for name in value)


def requires(name: str, *others: str) -> Holds:
    """Where an element is, one of the others is."""
    needing, needed = _named(name), _named(*others)
    return lambda value: needing.isdisjoint(value) or not needed.isdisjoint(value)


def excludes(name: str, *others: str) -> Holds:
    """Where an element is, none of the others is."""
    own, excluded = _named(name), _named(*others)
    return lambda value: own.isdisjoint(value) or excluded.isdisjoint(value)


def one_of(*names: str) -> Holds:
    """At least one of the elements is there."""
    wanted = _named(*names)
    return lambda value: not wanted.isdisjoint(value)


def either(name: str, other: str) -> Holds:
    """One of the two elements is there, and not the other."""
    return lambda value: has(value, name) != has(value, other)


def where(name: str, codes: Iterable[str], then: Holds) -> Holds:
    """Where an element is one of these codes, something holds."""
    known = frozenset(codes)
    return lambda value: value.get(name) not in known or then(value)


def lacks(*names: str) -> Holds:
    return _named(*names).isdisjoint


def distinct(values: Iterable[Any]) -> bool:
    found = [value for value in values if value is not None]
    return len(set(found)) == len(found)


def each(value: Json, *path: str) -> Iterator[Json]:
    """What a path of arrays or objects leads to."""
    found = [value]
    for name in path:
        inner = (one.get(name, ()) for one in found)
        found = [part for one in inner for part in (one if type(one) is list else [one]) if type(part) is dict]
    yield from found


def below(value: Json, name: str) -> Iterator[Json]:
    """Every item of a name, and those in it of the same name."""
    for one in value.get(name, ()):
        yield one
        yield from below(one, name)


def precede(value: Json, earlier: str, later: str) -> bool:
    """Not wholly the other way round. Where one has a time and the other is a date, their local dates are compared."""
    first, last = value.get(earlier), value.get(later)
    if first is None or last is None:
        return True
    if len(first) > 10 and len(last) > 10:
        start, end = datatype.date_time(first), datatype.date_time(last)
        return start is None or end is None or start.low < end.high
    shared = min(len(first), len(last), 10)
    return bool(first[:shared] <= last[:shared])
