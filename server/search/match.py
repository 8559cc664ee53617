"""Match: does one resource satisfy a filter? The same rows that the store indexes, asked in memory.

https://hl7.org/fhir/R4/search.html
"""

from __future__ import annotations

from collections.abc import Iterable

from server.ledger import IndexRow
from server.search import near
from server.search.filter import And, Contains, Equal, Filter, Ids, Near, Not, Or, Present, Range, Updated


def matches(filter: Filter, type: str, id: str, updated: int, rows: Iterable[IndexRow]) -> bool:
    """Test the resource `type/id` by its index rows; `updated` in microseconds since the epoch.

    Raises ValueError for Chain, Has and Hierarchy, which ask of other resources, and for Words.
    """
    index: dict[str, list[bytes | str]] = {}
    for name, key in rows:
        index.setdefault(name, []).append(key)
    return _matches(filter, id, updated, index)


def _matches(filter: Filter, id: str, updated: int, index: dict[str, list[bytes | str]]) -> bool:
    match filter:
        case And(filters):
            return all(_matches(each, id, updated, index) for each in filters)
        case Or(filters):
            return any(_matches(each, id, updated, index) for each in filters)
        case Not(negated):
            return not _matches(negated, id, updated, index)
        case Ids(ids):
            return id in ids
        case Updated(low, high):
            return (low is None or low <= updated) and (high is None or updated < high)
        case Equal(name, keys):
            return any(key in keys for key in index.get(name, ()))
        case Present(name):
            return name in index
        case Range():
            return any(isinstance(key, bytes) and _in_range(filter, key) for key in index.get(filter.index, ()))
        case Near(name, latitude, longitude, metres):
            places = (key for key in index.get(name, ()) if isinstance(key, bytes))
            return any(near.distance(key, latitude, longitude) <= metres for key in places)
        case Contains(name, text, tail):
            return any(isinstance(key, bytes) and text in key[: len(key) - tail] for key in index.get(name, ()))
        case _:
            raise ValueError(f"{type(filter).__name__} tests another resource")


def _in_range(range: Range, key: bytes) -> bool:
    return (
        range.low <= key < range.high
        and (range.tail_low is None or key[-8:] >= range.tail_low)
        and (range.tail_high is None or key[-8:] < range.tail_high)
    )
