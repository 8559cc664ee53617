"""Pool: resources that are not stored yet, found as the index would find them once they are.

https://hl7.org/fhir/R4/http.html#trules
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.ledger import IndexRow
from server.search.filter import And, Chain, Equal, Filter, Has, Hierarchy, Not, Or
from server.search.match import matches


class Pool:
    """Resources of one type, by id. `updated` is when they are written, in microseconds since the epoch."""

    def __init__(self, type: str, updated: int) -> None:
        self.type = type
        self.updated = updated
        self.rows: dict[str, Sequence[IndexRow]] = {}
        self.ids: dict[IndexRow, list[str]] = {}

    def add(self, id: str, rows: Sequence[IndexRow]) -> None:
        self.rows[id] = rows
        for row in rows:
            self.ids.setdefault(row, []).append(id)

    def matching(self, filter: Filter) -> list[str]:
        """The ids of those that satisfy the filter; a filter that steps to other resources finds none here."""
        if _steps(filter):
            return []
        return [id for id in self._candidates(filter) if matches(filter, self.type, id, self.updated, self.rows[id])]

    def _candidates(self, filter: Filter) -> Iterable[str]:
        """Those with a key that the filter demands, where it demands one; else all."""
        equal = next((part for part in _demanded(filter) if isinstance(part, Equal)), None)
        if equal is None:
            return self.rows
        return dict.fromkeys(id for key in equal.keys for id in self.ids.get((equal.index, key), ()))


def _demanded(filter: Filter) -> tuple[Filter, ...]:
    return filter.filters if isinstance(filter, And) else (filter,)


def _steps(filter: Filter) -> bool:
    match filter:
        case Chain() | Has() | Hierarchy():
            return True
        case And(filters) | Or(filters):
            return any(map(_steps, filters))
        case Not(negated):
            return _steps(negated)
    return False
