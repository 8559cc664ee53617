"""Cost: what it costs that a member goes to a manager, in the program's integer weights.

A move costs its letter and introductions (`move`), the months of the relationship that ends (`month`), the continuity
that a member needs (`continuity`), the miles between manager and member (`mile`) and between manager and the member's
providers on average (`provider_mile`), and that the new manager is new (`ramp`). Miles to the manager of now are taken
off, to at most one less than the move itself costs: nobody moves without need. Who has no manager, or whose manager
leaves, breaks nothing by the choice: only miles and ramp count. Miles that are not known cost nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from server.coordination.rebalance.situation import NOBODY, UNKNOWN, Situation

Integers = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]
Shorts = npt.NDArray[np.int32]

EARTH = 3958.8  # miles
NEVER = 1 << 30  # the cost of staying as a move
CELLS = 1 << 17  # of a matrix that is worked on at a time: what stays near the processor


class Miles(NamedTuple):
    """Whole miles, UNKNOWN where nothing is known, of members in their order."""

    to_member: Integers
    to_providers: Integers  # on average


class Costs:
    """The costs of one Situation, by row of members and managers."""

    def __init__(self, situation: Situation) -> None:
        members, weights = situation.members, situation.weights
        self.weights = weights
        self.manager = np.array(members.manager, np.int64)
        self.leaves = np.array([manager.leaves for manager in situation.managers], bool)
        self.ramp = np.array([weights.ramp * manager.is_new for manager in situation.managers], np.int64)
        self.point = np.array(members.point, np.int64)
        self.provider_points, self.provider_place = np.unique(
            np.array(members.providers, np.int64), return_inverse=True
        )
        provided = np.concatenate([np.zeros(1, np.int64), np.array(members.provided, np.int64)])
        self.first, self.count = provided[:-1], np.diff(provided)
        self.vectors = _unit_vectors(situation.points)
        self.locations = _padded([manager.points for manager in situation.managers])
        self.stays = self.manager != NOBODY
        self.stays[self.stays] = ~self.leaves[self.manager[self.stays]]
        months = np.minimum(np.array(members.months, np.int64), weights.months)
        self.tenure = np.where(self.stays, weights.month * months, 0)
        self.continuity = np.where(self.stays, weights.continuity * np.array(members.continuity, np.int64), 0)
        self.moves = weights.move * (self.manager != NOBODY)
        self.fixed = self.moves + self.tenure + self.continuity
        self.now = self._now()
        self.credit, self.provider_credit = self._credits()
        self.start = self.fixed - self.credit - self.provider_credit  # before it is known where to
        self.load = np.array(members.load, np.int64)

    def least(self) -> Integers:
        """What each member's move costs at least, wherever it goes."""
        least: Integers = np.maximum(self.start, self.stays)
        return least

    def chunks(self, members: Integers, managers: Integers) -> Iterator[tuple[Integers, Shorts]]:
        """What it costs that each of the members goes to each of the managers, so many members at a time that the
        memory stays small: (members, costs); NEVER where that one has the member."""
        to = Receivers(self, managers)
        size = max(1, CELLS // max(1, len(managers)))
        for start in range(0, len(members), size):
            chunk = members[start : start + size]
            yield chunk, to.costs(chunk)

    def parts(self, members: Integers, managers: Integers) -> list[tuple[dict[str, int], int, int, int, int]]:
        """What each move (member to manager, in pairs) costs by component, which add up to the cost; and the miles from
        member and from providers: to the new manager, to the one of now."""
        miles = self._pairs(members, managers)
        moves = (self.manager[members] != NOBODY).astype(np.int64)
        columns = {
            "move": self.moves[members],
            "tenure": self.tenure[members],
            "continuity": self.continuity[members],
            "distance": self.weights.mile * np.maximum(miles.to_member, 0),
            "distance-now": np.where(miles.to_member >= 0, -self.credit[members], 0),
            "provider-distance": self.weights.provider_mile * np.maximum(miles.to_providers, 0),
            "provider-distance-now": np.where(miles.to_providers >= 0, -self.provider_credit[members], 0),
            "new-manager": self.ramp[managers],
        }
        total = np.sum(list(columns.values()), axis=0)
        columns["at-least"] = np.maximum(total, moves) - total
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        now = (one[members].tolist() for one in self.now)
        lines = zip(miles.to_member.tolist(), miles.to_providers.tolist(), *now, strict=True)
        return [
            ({name: part for name, part in zip(columns, row, strict=True) if part}, *line)
            for row, line in zip(rows, lines, strict=True)
        ]

    def _now(self) -> Miles:
        """The miles to the manager who has each member and stays."""
        stays = np.flatnonzero(self.stays)
        found = Miles(*(np.full(len(self.manager), UNKNOWN) for _ in range(2)))
        for one, miles in zip(found, self._pairs(stays, self.manager[stays]), strict=True):
            one[stays] = miles
        return found

    def _credits(self) -> tuple[Integers, Integers]:
        """What the miles of now take off."""
        most = np.where(self.stays, max(0, self.weights.move - 1), 0)
        credit = np.minimum(self.weights.mile * np.maximum(self.now.to_member, 0), most)
        return credit, np.minimum(self.weights.provider_mile * np.maximum(self.now.to_providers, 0), most - credit)

    def _pairs(self, members: Integers, managers: Integers) -> Miles:
        """The miles of each member and manager, in pairs."""
        found = Miles(*(np.zeros(len(members), np.int64) for _ in range(2)))
        order = np.argsort(managers, kind="stable")
        for group in np.split(order, np.flatnonzero(np.diff(managers[order])) + 1) if len(order) else ():
            to = Receivers(self, managers[group[:1]])
            for one, miles in zip(found, to.miles(members[group]), strict=True):
                if miles is not None:
                    one[group] = miles[:, 0]
        nowhere = self.locations[managers, 0] == UNKNOWN
        found.to_member[nowhere | (self.point[members] == UNKNOWN)] = UNKNOWN
        found.to_providers[nowhere | (self.count[members] == 0)] = UNKNOWN
        return found


class Places:
    """Columns of places, and how far from members they are. Much of the work is here: few passes, over few bytes."""

    def __init__(self, costs: Costs, places: list[Numbers], unknown: Flags) -> None:
        self.of = costs
        self.places = places  # unit vectors of each column's first place, second …
        self.width = len(unknown)
        self.unknown = np.flatnonzero(unknown)
        self.are_known = len(self.unknown) < self.width
        self._providers = self._from_all(costs.provider_points)

    def miles(self, members: Integers) -> tuple[Shorts | None, Shorts | None]:
        """Whole miles from each member, and from the member's providers on average: 0 where they are not known, and
        None where none are."""
        return self._from(self.of.point[members]), self._from_providers(members)

    def _from(self, points: Integers) -> Shorts | None:
        if not self.are_known or (points == UNKNOWN).all():
            return None
        vectors = self.of.vectors[points]
        cosine = vectors @ self.places[0].T
        for other in self.places[1:]:
            np.maximum(cosine, vectors @ other.T, out=cosine)
        np.arccos(cosine, out=cosine)
        cosine *= EARTH
        np.rint(cosine, out=cosine)
        miles: Shorts = cosine.astype(np.int32)
        miles[points == UNKNOWN] = 0
        miles[:, self.unknown] = 0
        return miles

    def _from_providers(self, members: Integers) -> Shorts | None:
        costs = self.of
        counts = costs.count[members]
        having = counts > 0
        if not self.are_known or not having.any():
            return None
        places = costs.provider_place[_ranges(costs.first[members], counts)]
        starts = np.cumsum(counts[having]) - counts[having]
        sums = np.add.reduceat(self._providers[places], starts, axis=0)
        sums //= counts[having].astype(np.int32)[:, None]
        if having.all():
            return sums
        miles = np.zeros((len(members), self.width), np.int32)
        miles[having] = sums
        return miles

    def _from_all(self, points: Integers) -> Shorts:
        """Whole miles from every place where providers are."""
        found = np.zeros((len(points), self.width), np.int32)
        size = max(1, CELLS // max(1, self.width))
        for start in range(0, len(points), size):
            miles = self._from(points[start : start + size])
            if miles is not None:
                found[start : start + size] = miles
        return found


class Receivers(Places):
    """Some managers, and what going to them costs."""

    def __init__(self, costs: Costs, managers: Integers, alone: Flags | None = None) -> None:
        """`alone` of them have no other at their side to whom their own members could go."""
        locations = costs.locations[managers]
        super().__init__(costs, [costs.vectors[column] for column in locations.T], locations[:, 0] == UNKNOWN)
        self.ramp = costs.ramp[managers].astype(np.int32)
        self.column = np.full(len(costs.ramp) + 1, -1, np.int64)  # of each manager, and last of NOBODY
        is_one = np.ones(len(managers), bool) if alone is None else alone
        self.column[managers[is_one]] = np.flatnonzero(is_one)

    def costs(self, members: Integers) -> Shorts:
        """A row a member, a column a manager."""
        costs = self.of
        found: Shorts = costs.start[members].astype(np.int32)[:, None] + self.ramp
        weights = (costs.weights.mile, costs.weights.provider_mile)
        for miles, weight in zip(self.miles(members), weights, strict=True):
            if miles is not None:
                miles *= weight
                found += miles
        if len(self.unknown):
            found[:, self.unknown] = costs.fixed[members][:, None] + self.ramp[self.unknown]
        if costs.weights.move == 0:
            np.maximum(found, (costs.manager[members] != NOBODY)[:, None], out=found)
        own = self.column[costs.manager[members]]
        found[own >= 0, own[own >= 0]] = NEVER
        return found


def _unit_vectors(points: list[tuple[float, float]]) -> Numbers:
    """Each point on the unit sphere, a hair within, so that no cosine is above 1; and last, for UNKNOWN, any other."""
    degrees = np.radians(np.array([*points, (0.0, 0.0)], np.float64))
    latitude, longitude = degrees[:, 0], degrees[:, 1]
    across = np.cos(latitude)
    vectors: Numbers = np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)], axis=1)
    return vectors * (1 - 1e-12)


def _padded(locations: list[tuple[int, ...]]) -> Integers:
    """A row of points for each manager, the first one again where others have more; UNKNOWN where there is none."""
    width = max(map(len, locations), default=1) or 1
    rows = [[*points, *[points[0] if points else UNKNOWN] * (width - len(points))] for points in locations]
    return np.array(rows, np.int64).reshape(len(locations), width)


def _ranges(starts: Integers, counts: Integers) -> Integers:
    """start, start + 1 … for each start, one after the other."""
    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    return np.arange(total) + np.repeat(starts - ends + counts, counts)
