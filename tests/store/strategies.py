"""What the properties of a store are tried with: histories of a few resources, and all that may be asked of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from server.ledger import Change
from server.search.filter import (
    ALL,
    And,
    Chain,
    Contains,
    Equal,
    Filter,
    Has,
    Hierarchy,
    Ids,
    Not,
    Or,
    Present,
    Range,
    Updated,
    Words,
)
from server.store.engine import Follow, Search, Sort
from tests.store.contract import delete, put

TYPES = ("Patient", "CarePlan")
IDS = ("1", "2", "3", "4")
VALUES = ("a", "b", "ab")
TITLES = ("", "anna", "annabel", "bob")  # the first is there, but no search can name it
REFERENCES = (*(f"{type}/{id}" for type in TYPES for id in IDS), "Patient/nowhere")
HOUR = 3_600_000_000  # microseconds

types = st.sampled_from(TYPES)
ids = st.sampled_from(IDS)
moments = st.integers(0, 12).map(lambda hours: hours * HOUR)
named = st.sets(st.tuples(st.sampled_from(REFERENCES), st.none() | st.integers(0, 9)), max_size=6)


@st.composite
def changes(draw: st.DrawFn) -> Change:
    type, id = draw(types), draw(ids)
    if draw(st.integers(0, 4)) == 0:
        return delete(type, id)
    members = {
        "identifier": st.lists(st.sampled_from(VALUES), max_size=2, unique=True).map(
            lambda found: [{"value": value} for value in found]
        ),
        "title": st.sampled_from(TITLES),
        "narrative": st.sampled_from(("Anna", "Anna & Bob", "bob, anna")),
        "number": st.integers(0, 3),
        "subject": st.sampled_from(REFERENCES).map(lambda reference: {"reference": reference}) | st.just({}),
    }
    return put({"resourceType": type, "id": id, **draw(st.fixed_dictionaries({}, optional=members))})


@dataclass(frozen=True, slots=True)
class Write:
    """One commit: what it writes, what its decide looks at before, and whether it refuses in the end."""

    changes: tuple[Change, ...]
    looks: tuple[tuple[str, Filter], ...]
    refuses: bool


@st.composite
def writes(draw: st.DrawFn) -> Write:
    found = draw(st.lists(changes(), max_size=4, unique_by=lambda change: change.reference))
    looks = draw(st.lists(types.flatmap(lambda type: asked(type, here)), max_size=2))
    return Write(tuple(found), tuple(looks), draw(st.integers(0, 5)) == 0)


# The hour at which some commits come at once; the clock may stand still or be put back.
groups = st.tuples(moments, st.lists(writes(), min_size=1, max_size=3))
histories = st.lists(groups, min_size=1, max_size=8)


# Filters


def _equal(type: str) -> st.SearchStrategy[Filter]:
    values = st.lists(st.sampled_from([value.encode() for value in VALUES]), max_size=3)
    references = st.lists(st.sampled_from((*REFERENCES, "Patient/unheard-of")), min_size=1, max_size=2)
    return st.one_of(
        values.map(lambda keys: Equal(f"{type}.identifier", tuple(keys))),
        references.map(lambda keys: Equal(f"{type}.subject", tuple(keys))),
        st.just(Equal(f"{type}.never", (b"a",))),
    )


def _range(type: str) -> st.SearchStrategy[Filter]:
    number = st.integers(0, 4).map(lambda number: number.to_bytes(8, "big"))
    tail = st.none() | st.sampled_from([b"\0" * 8, b"\0" * 7 + b"\2", b"\xff" * 8])
    title = st.sampled_from([b"", b"a", b"anna", b"annab", b"b", b"c"])
    return st.one_of(
        st.builds(Range, st.just(f"{type}.title"), title, title),
        st.builds(Range, st.just(f"{type}.number"), number, number, tail, tail),
    )


def plain(type: str) -> st.SearchStrategy[Filter]:
    """Filters that test one resource by what it holds."""
    any_index = st.sampled_from([f"{type}.{name}" for name in ("identifier", "title", "number", "subject", "never")])
    text = st.sampled_from([b"an", b"nab", b"ob", b"o"])
    return st.one_of(
        st.just(ALL),
        _equal(type),
        _range(type),
        st.builds(Contains, st.just(f"{type}.title"), text, st.sampled_from([0, 1])),
        any_index.map(Present),
        st.lists(st.sampled_from((*IDS, "unheard-of")), max_size=3).map(lambda found: Ids(tuple(found))),
        st.builds(Updated, st.none() | moments, st.none() | moments),
    )


def _combined(type: str, part: st.SearchStrategy[Filter]) -> st.SearchStrategy[Filter]:
    several = st.lists(part, max_size=3).map(tuple)
    return st.one_of(several.map(And), several.map(Or), part.map(Not))


def here(type: str) -> st.SearchStrategy[Filter]:
    """Filters that step to no other resource."""
    return st.recursive(plain(type), lambda part: _combined(type, part), max_leaves=5)


words = st.builds(
    Words,
    st.sampled_from(["narrative", "content"]),
    st.sampled_from([("anna",), ("an",), ("anna", "bob"), ("Bob",)]),
    st.booleans(),
)


def hierarchies(type: str) -> st.SearchStrategy[Filter]:
    roots = st.lists(st.sampled_from((*REFERENCES, "Patient/unheard-of")), min_size=1, max_size=2).map(tuple)
    parent = types.map(lambda named: f"{named}.subject")
    return st.builds(Hierarchy, st.just(f"{type}.subject"), parent, roots, st.booleans())


def filters(type: str, steps: int = 2) -> st.SearchStrategy[Filter]:
    """All filters, with a few steps to other resources."""
    if not steps:
        return here(type)
    other = types.flatmap(lambda named: st.tuples(st.just(named), st.deferred(lambda: filters(named, steps - 1))))
    chain = other.map(lambda found: Chain(f"{type}.subject", *found))
    has = other.map(lambda found: Has(found[0], f"{found[0]}.subject", found[1]))
    return st.recursive(
        plain(type) | words | chain | has | hierarchies(type), lambda part: _combined(type, part), max_leaves=5
    )


def asked(type: str, of: Callable[[str], st.SearchStrategy[Filter]] = filters) -> st.SearchStrategy[tuple[str, Filter]]:
    return st.tuples(st.just(type), of(type))


# Searches


def _title(resource: dict[str, Any]) -> Any:
    return resource.get("title")


def _sorts(type: str) -> st.SearchStrategy[tuple[Sort, ...]]:
    index = st.sampled_from(
        ["_id", "_lastUpdated", *(f"{type}.{name}" for name in ("identifier", "title", "number", "never"))]
    )
    by_index = st.builds(Sort, index, st.booleans())
    by_value = st.builds(Sort, st.just("title"), st.booleans(), st.just(_title))
    return st.lists(by_index | by_value, max_size=3).map(tuple)


follows = st.builds(
    lambda target, iterate, reverse: Follow(None, "*", target, iterate, reverse),
    st.none() | types,
    st.booleans(),
    st.booleans(),
) | st.builds(
    lambda type, index, target, iterate, reverse: Follow(index and f"{type}.{index}", type, target, iterate, reverse),
    types,
    st.sampled_from(["subject", None]),
    st.none() | types,
    st.booleans(),
    st.booleans(),
)


@st.composite
def searches(draw: st.DrawFn) -> Search:
    type = draw(types)
    follow = tuple(draw(st.lists(follows, max_size=2)))
    others: tuple[tuple[str, Filter], ...] = ()
    sort = draw(_sorts(type))
    if draw(st.integers(0, 3)) == 0:
        other = next(name for name in TYPES if name != type)
        others = ((other, draw(filters(other))), ("Basic", ALL))
        sort = tuple(each for each in sort if each.value is not None or each.index in ("_id", "_lastUpdated"))
    count, total, explain = draw(st.integers(1, 4)), draw(st.booleans()), draw(st.booleans())
    return Search(type, draw(filters(type)), sort, count, total, follow, others, explain)
