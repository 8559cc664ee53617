"""Situation: what is to be rebalanced, in columns of integers, so that 300,000 members go from process to process."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

NOBODY = -1  # the manager of a member who has none
UNKNOWN = -1  # the point of what has no known position


def column() -> array[int]:
    return array("q")


class Weights(NamedTuple):
    """What a move costs, by the program's file; all are integers, so that equal inputs give equal answers."""

    move: int = 100
    month: int = 2  # of a relationship that ends
    months: int = 120  # no relationship counts as longer
    continuity: int = 1000
    mile: int = 2  # between manager and member, further than now
    provider_mile: int = 1  # between manager and the member's providers on average, further than now
    ramp: int = 50  # to who is new


class Manager(NamedTuple):
    """A case manager, or a hire that is only supposed. Whoever has no place of any kind has none in the Situation."""

    reference: str  # PractitionerRole to whom members go
    person: str  # Practitioner, or the hire's own reference
    name: str = ""
    keeps: int = 0  # how many of the members here may stay
    room: int = 0  # how many may come while all who are here are still here
    points: tuple[int, ...] = ()
    is_new: bool = False
    leaves: bool = False
    others: int = 0  # places that are taken by what is no member here: planned episodes, open transfers
    load_keeps: int = 0  # the same two in weighted workload
    load_room: int = 0
    area: str = ""


@dataclass(slots=True)
class Members:
    """One row a member, in the order of their references."""

    patients: list[str] = field(default_factory=list)
    manager: array[int] = field(default_factory=column)  # index of Manager, or NOBODY
    months: array[int] = field(default_factory=column)  # with the manager, without a break
    pinned: array[int] = field(default_factory=column)  # 1: may not be moved
    continuity: array[int] = field(default_factory=column)  # 1: continuity is required
    point: array[int] = field(default_factory=column)  # index of points, or UNKNOWN
    provided: array[int] = field(default_factory=column)  # where the member's providers end in `providers`
    providers: array[int] = field(default_factory=column)  # points of the providers in use, member after member
    load: array[int] = field(default_factory=column)  # weighted workload
    area: array[int] = field(default_factory=column)  # index of Situation.areas, or UNKNOWN

    def __len__(self) -> int:
        return len(self.patients)

    def add(
        self,
        patient: str,
        manager: int = NOBODY,
        *,
        months: int = 0,
        pinned: bool = False,
        continuity: bool = False,
        point: int = UNKNOWN,
        providers: Sequence[int] = (),
        load: int = 1,
        area: int = UNKNOWN,
    ) -> None:
        """Add a row."""
        self.patients.append(patient)
        self.manager.append(manager)
        self.months.append(months)
        self.pinned.append(pinned)
        self.continuity.append(continuity)
        self.point.append(point)
        self.providers.extend(providers)
        self.provided.append(len(self.providers))
        self.load.append(load)
        self.area.append(area)


@dataclass(slots=True)
class Situation:
    """Members, managers, and what binds them.

    `least` is how many managers must have a member, so that members <= average x managers. `weighted` says that the
    caps are in workload too.
    """

    managers: list[Manager] = field(default_factory=list)
    members: Members = field(default_factory=Members)
    points: list[tuple[float, float]] = field(default_factory=list)  # latitude, longitude
    areas: list[str] = field(default_factory=list)
    weights: Weights = field(default_factory=Weights)
    least: int = 0
    full: int = 0  # how many members one more manager could have
    weighted: bool = False
    full_load: int = 0


class Move(NamedTuple):
    """One member who goes from one manager (NOBODY: is placed) to another, and why there."""

    member: int
    sender: int
    receiver: int
    cost: int
    parts: dict[str, int]  # component -> what it adds
    months: int
    miles: int | None  # to the new manager
    provider_miles: int | None
    miles_now: int | None
    provider_miles_now: int | None
    alternative: int | None  # the next best manager who has a place left
    extra: int | None  # how much more the same moves cost with that one for this member
    kept: int | None  # how much more everything costs at least where this member stays, if that can be


class Shortage(NamedTuple):
    """What is lacking where no moves meet the caps."""

    managers: int
    area: str  # "" where no area stands out
    limit: str  # manager, average, workload or continuity
    members: int  # how many have no place there
    at: int | None = None  # the manager whom continuity keeps above the limit


@dataclass(slots=True)
class Solution:
    """The best moves, what they cost, and what any others cost at least."""

    moves: list[Move] = field(default_factory=list)
    cost: int = 0
    bound: int = 0
    lacking: list[Shortage] = field(default_factory=list)
