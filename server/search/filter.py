"""Filter: what a search asks, as data over index rows. The store's engines compile it; `match` evaluates it.

https://hl7.org/fhir/R4/search.html

The index is rows (index name, key, resource). An index name is "<Type>.<search parameter code>", with a suffix after a
colon for what a modifier needs ("Condition.code:text"). Keys are bytes whose order is the value's order, made by one
file per search parameter type; a key that is a str is a reference to a resource of this server ("Patient/1").
Each node below tests one resource; `Chain`, `Has` and `Hierarchy` step to others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Equal:
    """A row of `index` whose key is one of `keys`."""

    index: str
    keys: tuple[bytes | str, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """A row of `index` with low <= key < high, and, where given, tail_low <= its last 8 bytes < tail_high."""

    index: str
    low: bytes
    high: bytes
    tail_low: bytes | None = None
    tail_high: bytes | None = None


@dataclass(frozen=True, slots=True)
class Contains:
    """A row of `index` whose key, less its last `tail` bytes, contains `text`."""

    index: str
    text: bytes
    tail: int = 0


@dataclass(frozen=True, slots=True)
class Near:
    """A row of `index` whose key is a place at most so many metres from a point, in degrees."""

    index: str
    latitude: float
    longitude: float
    metres: float


@dataclass(frozen=True, slots=True)
class Present:
    """Any row of `index`."""

    index: str


@dataclass(frozen=True, slots=True)
class Words:
    """The resource's "narrative", or its "content" (that too), has these words beside one another in this order.

    Case and accents are no matter. Where `begins`, the last word need only begin so.
    """

    scope: str
    words: tuple[str, ...]
    begins: bool = False


@dataclass(frozen=True, slots=True)
class Ids:
    """The resource's logical id is one of `ids`."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Updated:
    """low <= meta.lastUpdated < high, in microseconds since the epoch; None is unbounded."""

    low: int | None
    high: int | None


@dataclass(frozen=True, slots=True)
class Chain:
    """A row of `index` (a reference parameter) that points to a resource of `type` that satisfies `filter`.

    Or, unless any resource of the type will do, to one that the resource itself contains: `contained.within`. What
    stands alone satisfies `seen` too: what is contained is seen by whoever sees the resource.
    """

    index: str
    type: str
    filter: Filter
    seen: Filter = field(default_factory=lambda: And(()))

    @property
    def beyond(self) -> Filter:
        """What is asked of a resource that stands alone."""
        return self.filter if self.seen == And(()) else And((self.filter, self.seen))


@dataclass(frozen=True, slots=True)
class Has:
    """A resource of `type` that satisfies `filter` has a row of `index` that points here (`_has`)."""

    type: str
    index: str
    filter: Filter


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A row of `index` that points to one of `roots`, or to what stands below one (`upward`: above one), however far.

    `parent` is the index by which a resource names what it stands below.
    """

    index: str
    parent: str
    roots: tuple[str, ...]
    upward: bool = False


@dataclass(frozen=True, slots=True)
class And:
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Or:
    filters: tuple[Filter, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """Resources of the searched type that do not satisfy `filter`."""

    filter: Filter


@dataclass(frozen=True, slots=True)
class Concepts:
    """What a terminology is to be asked: the codes "in" a value set, or "below" or "above" one; `filter` tests them.

    It stands for that filter until `concepts.resolved` has put it there: no engine sees it.
    """

    relation: str
    value: str
    filter: Callable[[Collection[tuple[str, str]]], Filter]  # (system, code) of each


Filter = (
    Equal
    | Range
    | Contains
    | Near
    | Present
    | Words
    | Ids
    | Updated
    | Chain
    | Has
    | Hierarchy
    | And
    | Or
    | Not
    | Concepts
)
ALL = And(())  # every resource of the type

MARK = "@"  # in the names of the indexes of stored SearchParameters, before what tells one content from another
# The key of a value that is there but that no search can name (a Reference with only a display): `Present` sees it.
NAMELESS = b""


def either(filters: Sequence[Filter]) -> Filter:
    """Any of these; the keys that one index is asked for are asked for at once."""
    if len(filters) == 1:
        return filters[0]
    keys: dict[str, list[bytes | str]] = {}
    others: list[Filter] = []
    for filter in filters:
        if isinstance(filter, Equal):
            keys.setdefault(filter.index, []).extend(filter.keys)
        else:
            others.append(filter)
    merged = [Equal(index, tuple(dict.fromkeys(found))) for index, found in keys.items()]
    return merged[0] if len(merged) == 1 and not others else Or((*merged, *others))
