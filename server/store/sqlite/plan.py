"""Plan: what gives the candidates of a conjunction, and what is asked of each.

By what such parameters usually select: an identifier finds few, a code many. Where that does not tell, the rows are
counted, no further than it pays: of "Smith", "Ann" and "born after 1940" the rarer name gives the candidates, the other
name's rows are a set that they are looked for in, and only what is left is asked for its date.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from server.search.filter import (
    MARK,
    And,
    Chain,
    Contains,
    Equal,
    Filter,
    Has,
    Hierarchy,
    Ids,
    Near,
    Not,
    Or,
    Present,
    Range,
    Updated,
    Words,
)
from server.store.told import in_words

# Rows that are counted of each condition, at first, and where all have more. A page of what a code selects, whose rows
# are in the order of the resources, is full before many are seen: there, no further.
CAPS = (1_000, 16_000, 256_000)
CAPS_OF_A_PAGE = (1_000, 4_000)
COUNTED = 6  # conditions of one conjunction
REACH = 16  # a set of so many times the candidates is read in no more time than it takes to probe each of them
PROBED = 200  # candidates at most for which a step to other resources is asked of each

Count = Callable[[Filter, int], int]  # (what has rows, how far to count)


class Plan(NamedTuple):
    """`driver` None: the list of the type's resources. `within` are sets, `probes` conditions on each candidate."""

    driver: Filter | None
    within: Sequence[Filter]
    probes: Sequence[Filter]
    are_few: bool


def plan(filter: Filter, count: Count, *, whole: bool = False) -> Plan:
    """How to go about a filter, taken as a conjunction; `whole` where all that it finds is looked at, not a page."""
    ranked = sorted(_conjuncts(filter), key=_rank)
    if not ranked or _rank(ranked[0]) >= _UNFIT:
        return Plan(None, [], ranked, are_few=False)
    if len(ranked) == 1 or _rank(ranked[0]) <= _FEW:
        return Plan(ranked[0], [], ranked[1:], _rank(ranked[0]) <= _FEW)
    return _counted(ranked, count, whole) or Plan(ranked[0], [], ranked[1:], are_few=False)


def _conjuncts(filter: Filter) -> Iterator[Filter]:
    stack = [filter]
    while stack:
        part = stack.pop()
        if isinstance(part, And):
            stack.extend(reversed(part.filters))
        else:
            yield part


def _counted(ranked: Sequence[Filter], count: Count, whole: bool) -> Plan | None:
    """By the numbers of rows; None where all have too many, and none is in order."""
    plain = [part for part in ranked if _is_plain(part)][:COUNTED]
    ordered = next((part for part in plain if isinstance(part, Equal) and len(part.keys) == 1), None)
    is_page = ordered is not None and not whole
    for cap in (CAPS_OF_A_PAGE if is_page else CAPS) if plain else ():
        sizes = [count(part, cap) for part in plain]
        least = min(sizes)
        if least < cap:
            if ranked[0] not in plain and least > PROBED:
                return None
            driver = plain[sizes.index(least)]
            within = [
                part
                for part, size in zip(plain, sizes, strict=True)
                if part is not driver and (size if size < cap else count(part, REACH * least + 1)) <= REACH * least
            ]
            return Plan(driver, within, _rest(ranked, driver, *within), least <= PROBED)
    if is_page and ranked[0] in plain:
        return Plan(ordered, [], _rest(ranked, ordered), are_few=False)
    return None


def _is_plain(filter: Filter) -> bool:
    """Whether a condition has rows that can be counted."""
    match filter:
        case Equal(index) | Range(index):
            return MARK not in index
        case Or(filters):
            return all(isinstance(part, Equal | Range) and MARK not in part.index for part in filters)
    return False


def _rest(ranked: Sequence[Filter], *taken: Filter | None) -> list[Filter]:
    return [part for part in ranked if not any(part is one for one in taken)]


def told(filter: Filter, count: Count) -> str:
    """In words: where the candidates come from, and what is asked of each."""
    driver, within, probes, _ = plan(filter, count)
    words = "all of the type" if driver is None else f"those of {_told(driver, count)}"
    for part in within:
        words += f", within those of {_told(part, count)}"
    asked = ", ".join(_told(probe, count) for probe in probes)
    return f"{words}, each asked for {asked}" if asked else words


def _told(filter: Filter, count: Count) -> str:
    return in_words(filter, lambda beyond: told(beyond, count))


_FEW = 15  # a driver of this rank or less finds few
_UNFIT = 90  # a filter that no set can stand for; the type's list drives then
_RANKS: dict[type, int] = {
    Ids: 0,
    Hierarchy: 30,
    Words: 20,
    Range: 40,
    Near: 40,
    Updated: 50,
    Contains: 60,
    Present: 70,
    And: 80,
    Not: _UNFIT,
}


def _rank(filter: Filter) -> int:
    """How good a driver the filter is, by what such parameters usually select; the smaller the better."""
    match filter:
        case Equal(index=index, keys=keys):
            if "identifier" in index:
                return 1
            if any(isinstance(key, str) for key in keys):
                return 10
            return 45  # a code: many resources share it
        case Range(index=index):
            if "identifier" in index:
                return 2
            return 40
        case Chain(filter=inner) | Has(filter=inner):
            of_few = min(map(_rank, _conjuncts(inner)), default=_UNFIT) <= _FEW
            return (14 if of_few else 30) + isinstance(filter, Has)
        case Or(filters=filters):
            return max(map(_rank, filters), default=0)
        case _:
            return _RANKS[filter.__class__]
