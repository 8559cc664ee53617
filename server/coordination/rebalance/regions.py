"""Regions: managers who are near one another, so that they are priced only for those to whom one of them may be near.

Nobody in a region is nearer than its middle less its reach, nor cheaper than its cheapest: what a move there costs at
least is known of all regions for the price of some managers. Most moves that could be are never looked at one by one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from server.coordination.rebalance.cost import EARTH, Costs, Flags, Integers, Numbers, Places, Receivers, Shorts
from server.coordination.rebalance.sites import Sites
from server.coordination.rebalance.situation import UNKNOWN

SIZE = 40  # managers in a region, at most
CELLS = 1 << 19  # members times regions that are worked on at a time
ROUNDED = 2  # miles that two ways may seem longer than a third by being rounded


class Block(NamedTuple):
    """What it costs that each of some members (`rows` of those asked for) goes to each of some managers."""

    rows: Integers
    managers: Integers
    costs: Shorts


class Regions:
    """The sites by where they are, each as its first manager."""

    def __init__(self, costs: Costs, sites: Sites) -> None:
        self.costs, self.sites = costs, sites
        managers = sites.firsts
        vectors = costs.vectors[costs.locations[managers, 0]]
        is_known = costs.locations[managers, 0] != UNKNOWN
        self.groups = [
            managers[part]
            for some in (np.flatnonzero(is_known), np.flatnonzero(~is_known))
            for part in _split(vectors, some)
        ]
        self.order = np.concatenate(self.groups) if self.groups else managers
        self.starts = np.cumsum([0, *map(len, self.groups)])[:-1]
        self.middle = Places(costs, *self._middles())
        self.reach = np.array([self._reach(number) for number in range(len(self.groups))], np.int32)
        self._receivers: dict[int, Receivers] = {}

    def _middles(self) -> tuple[list[Numbers], Flags]:
        costs = self.costs
        places = np.array([costs.vectors[costs.locations[group, 0]].sum(axis=0) for group in self.groups])
        places = places.reshape(-1, 3)
        unknown = np.array([costs.locations[group[0], 0] == UNKNOWN for group in self.groups], bool)
        lengths = np.linalg.norm(places, axis=1, keepdims=True)
        return [places / np.maximum(lengths, 1e-9) * (1 - 1e-12)], unknown

    def _reach(self, number: int) -> int:
        """Miles from the middle to the furthest place of a manager there."""
        places = self.costs.vectors[self.costs.locations[self.groups[number]].ravel()]
        cosine = (places @ self.middle.places[0][number]).min()
        return math.ceil(EARTH * math.acos(max(-1.0, min(1.0, float(cosine))))) + ROUNDED

    def chunks(self, members: Integers) -> Iterator[Integers]:
        """Members, so many at a time that the memory stays small."""
        size = max(1, CELLS // max(1, len(self.groups)))
        return (members[start : start + size] for start in range(0, len(members), size))

    def least(self, members: Integers, coming: Integers | Numbers, loads: Integers | Numbers) -> Integers | Numbers:
        """What each member's move to a region costs at least, with the prices of a place there: a row a member. `loads`
        are what a manager's price has for each unit of a member's load."""
        costs = self.costs
        found: Integers | Numbers = costs.start[members][:, None] + self._cheapest(coming + costs.ramp)
        weights = (costs.weights.mile, costs.weights.provider_mile)
        for miles, weight in zip(self.middle.miles(members), weights, strict=True):
            if miles is not None:
                miles -= self.reach
                np.maximum(miles, 0, out=miles)
                miles *= weight
                found += miles
        if loads.any():
            found = found + costs.load[members][:, None] * self._cheapest(loads)
        return found

    def _cheapest(self, prices: Integers | Numbers) -> Integers | Numbers:
        found: Integers | Numbers = np.minimum.reduceat(prices[self.order], self.starts)
        return found

    def blocks(self, members: Integers, near: Flags) -> Iterator[Block]:
        """The costs where a region (a column of `near`) is near a member (a row)."""
        for number in np.flatnonzero(near.any(axis=0)).tolist():
            if number not in self._receivers:
                self._receivers[number] = self.sites.receivers(self.costs, self.groups[number])
            rows = np.flatnonzero(near[:, number])
            yield Block(rows, self.groups[number], self._receivers[number].costs(members[rows]))


def _split(vectors: Numbers, some: Integers) -> Iterator[Integers]:
    """Halves of halves, across the longer side, until they are small."""
    if len(some) <= SIZE:
        if len(some):
            yield some
        return
    found = vectors[some]
    axis = int(np.ptp(found, axis=0).argmax())
    some = some[np.argsort(found[:, axis], kind="stable")]
    yield from _split(vectors, some[: len(some) // 2])
    yield from _split(vectors, some[len(some) // 2 :])
