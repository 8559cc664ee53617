"""What a store must say, said again from the versions that its commits answered with: no index and no tables.

A State is all resources as they stand; every question is asked of each of them in turn.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from server.fhir import body
from server.ledger import Change, Fact, FactRow, IndexRow, Position, Version
from server.search.filter import NAMELESS, And, Chain, Filter, Has, Hierarchy, Not, Or, Words
from server.search.match import matches
from server.store.engine import Follow, Projections, Sort


@dataclass(frozen=True, slots=True)
class Standing:
    """One resource that is there."""

    type: str
    id: str
    updated: int
    order: tuple[int, int]  # (position, ordinal) of its version
    resource: dict[str, Any]
    rows: Sequence[IndexRow]
    facts: Sequence[FactRow]
    texts: tuple[str, str]

    def keys(self, index: str) -> list[bytes | str]:
        return [key for name, key in self.rows if name == index]


class State:
    """All that stands, by reference."""

    def __init__(self, standing: dict[str, Standing]) -> None:
        self.standing = standing

    def ids(self, type: str, filter: Filter) -> set[str]:
        return {each.id for each in self.standing.values() if each.type == type and self.satisfies(each, filter)}

    def satisfies(self, one: Standing, filter: Filter) -> bool:
        if isinstance(filter, And):
            return all(self.satisfies(one, part) for part in filter.filters)
        if isinstance(filter, Or):
            return any(self.satisfies(one, part) for part in filter.filters)
        if isinstance(filter, Not):
            return not self.satisfies(one, filter.filter)
        if isinstance(filter, Chain):
            named = [self.standing[key] for key in one.keys(filter.index) if key in self.standing]
            return any(each.type == filter.type and self.satisfies(each, filter.filter) for each in named)
        if isinstance(filter, Has):
            return any(
                f"{one.type}/{one.id}" in each.keys(filter.index) and self.satisfies(each, filter.filter)
                for each in self.standing.values()
                if each.type == filter.type
            )
        if isinstance(filter, Hierarchy):
            return not self.line(filter).isdisjoint(one.keys(filter.index))
        if isinstance(filter, Words):
            texts = (one.texts[0],) if filter.scope == "narrative" else one.texts
            return any(_says(text, filter) for text in texts)
        return matches(filter, one.type, one.id, one.updated, one.rows)

    def line(self, filter: Hierarchy) -> set[bytes | str]:
        """The roots, and all that is reached from them by naming a parent, or by being named as one."""
        found: set[bytes | str] = set(filter.roots)
        named = [(each, key) for each in self.standing.values() for key in each.keys(filter.parent)]
        links = [(f"{each.type}/{each.id}", key) for each, key in named if isinstance(key, str)]
        while True:
            further = {
                (parent if filter.upward else child)
                for child, parent in links
                if (child if filter.upward else parent) in found
            }
            if further <= found:
                return found
            found |= further

    def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        return {
            key: [
                Fact(kind, key, data, reference)
                for reference, each in self.standing.items()
                for fact_kind, fact_key, data in each.facts
                if (fact_kind, fact_key) == (kind, key)
            ]
            for key in keys
        }

    def sort_keys(self, reference: str, sorts: Sequence[Sort]) -> list[Any]:
        """What the resource is ordered by, one for each of the sorts; None where it has no such value."""
        return [_sort_key(self.standing[reference], sort) for sort in sorts]

    def sorted(self, references: Iterable[str], sorts: Sequence[Sort]) -> list[list[Any]]:
        """The sort keys of these resources, in their order."""
        found = [self.sort_keys(reference, sorts) for reference in references]
        for place, sort in reversed(list(enumerate(sorts))):
            present = [keys for keys in found if keys[place] is not None]
            present.sort(key=lambda keys, place=place: keys[place], reverse=sort.descending)  # type: ignore[misc]
            found = present + [keys for keys in found if keys[place] is None]
        return found

    def included(self, matches: Iterable[str], follow: Sequence[Follow]) -> set[str]:
        """References of what comes along with these matches."""
        seen = set(matches)
        frontier, found, first = set(seen), set[str](), True
        while frontier:
            step = {one for each in follow if first or each.iterate for one in self._followed(each, frontier)}
            frontier = step - seen
            seen |= frontier
            found |= frontier
            first = False
        return found

    def _followed(self, follow: Follow, frontier: set[str]) -> Iterable[str]:
        for reference, each in self.standing.items():
            if follow.source_type not in (each.type, "*") or not (follow.reverse or reference in frontier):
                continue
            for index, key in each.rows:
                if not isinstance(key, str) or follow.index not in (None, index) or key not in self.standing:
                    continue
                if follow.target_type not in (None, self.standing[key].type):
                    continue
                if not follow.reverse:
                    yield key
                elif key in frontier:
                    yield reference

    def with_(self, changes: Iterable[Change], updated: int) -> State:
        """The state after these changes, filled as the writer fills them."""
        after = dict(self.standing)
        for change in changes:
            after.pop(change.reference, None)
            if change.resource is not None:
                after[change.reference] = Standing(
                    change.type,
                    change.id,
                    updated,
                    (0, 0),
                    change.resource,
                    change.rows or (),
                    change.facts or (),
                    ("", ""),
                )
        return State(after)


class Replay:
    """Every version, as commits told of it."""

    def __init__(self, projections: Projections) -> None:
        self.projections = projections
        self.versions: list[Version] = []  # oldest first
        self._standing: dict[Version, Standing | None] = {}

    def add(self, versions: Iterable[Version]) -> None:
        for version in versions:
            if version not in self._standing:
                self._standing[version] = self._stands(version)
                self.versions.append(version)
        self.versions.sort(key=lambda version: (version.position, version.ordinal))

    def _stands(self, version: Version) -> Standing | None:
        if version.body is None:
            return None
        resource = body.loads(version.body)
        rows, facts = self.projections.rows(resource), self.projections.facts(resource)
        order = (version.position, version.ordinal)
        texts = self.projections.texts(resource)
        return Standing(version.type, version.id, version.at, order, resource, rows, facts, texts)

    def current(self, position: Position) -> dict[str, Version]:
        """The last version of each resource up to the position, deletions included."""
        return {version.reference: version for version in self.versions if version.position <= position}

    def at(self, position: Position) -> State:
        found = {reference: self._standing[version] for reference, version in self.current(position).items()}
        return State({reference: each for reference, each in found.items() if each is not None})


def _says(text: str, filter: Words) -> bool:
    """Whether the words stand in the text beside one another."""
    have, sought = re.findall(r"\w+", text.lower()), [word.lower() for word in filter.words]
    for start in range(len(have) - len(sought) + 1):
        part = have[start : start + len(sought)]
        if part == sought or (filter.begins and part[:-1] == sought[:-1] and part[-1].startswith(sought[-1])):
            return True
    return False


def _sort_key(one: Standing, sort: Sort) -> Any:
    if sort.value is not None:
        return sort.value(one.resource)
    if sort.index == "_lastUpdated":
        return one.order
    if sort.index == "_id":
        return one.id
    keys = [key for key in one.keys(sort.index) if key != NAMELESS]
    if not keys:
        return None
    return max(keys) if sort.descending else min(keys)
