"""Pricing: the arcs left out that would be better than what their members have, by the prices of an optimum.

None of them is missed: a member is looked at again as soon as a price that has fallen since may have made a way good,
and only regions where none can be are left out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from server.coordination.rebalance.arcs import Bounds, Columns, Optimum, Prices, gathered, smallest
from server.coordination.rebalance.cost import Costs, Flags, Integers, Numbers
from server.coordination.rebalance.regions import Block

REGIONS = 3  # that are looked at first for each member
MORE = 8  # arcs of one member that come in at a time
TOLERANCE = 1e-6  # of prices that are no integers


@dataclass(slots=True)
class Seen:
    """What is known of each member's cheapest way, price of the place included: `least`, by the prices of the `round`
    in which it was looked at (0: never). No way becomes cheaper by more than the price that fell most since.
    """

    least: Integers | Numbers
    round: Integers
    coming: list[Integers | Numbers]
    coming_load: list[Integers | Numbers]

    def may_be_better(self, bounds: Bounds, prices: Prices) -> Flags:
        """Members whose cheapest way may be better than what they have."""
        if not len(bounds.receivers):
            return np.zeros_like(bounds.movable)
        coming, load = prices.coming[bounds.receivers], prices.coming_load[bounds.receivers]
        fallen = np.array([coming.min(), *((coming - was).min() for was in self.coming)])
        fallen_load = np.array([load.min(), *((load - was).min() for was in self.coming_load)])
        least = self.least + fallen[self.round] + bounds.load * fallen_load[self.round]
        found: Flags = bounds.movable & (least < prices.member)
        return found

    def note(self, members: Integers, least: Integers | Numbers) -> None:
        """Of these members the least is known by the latest prices."""
        if least.dtype == np.float64:
            self.least = self.least.astype(np.float64)
        self.least[members], self.round[members] = least, len(self.coming)


def better(costs: Costs, bounds: Bounds, columns: Columns, found: Optimum, seen: Seen) -> tuple[Columns, float]:
    """As `_priced`; while somebody has no place, ways of those who are in already first: everybody else would be
    priced by what it is worth to have a place at all."""
    may = seen.may_be_better(bounds, found.prices)
    if len(found.unplaced):
        first, _ = _priced(costs, bounds, may & columns.active, found.prices, seen)
        if len(first.tails):
            return first, found.bound + 1.0  # nothing is known of the others
    return _priced(costs, bounds, may, found.prices, seen)


def _priced(costs: Costs, bounds: Bounds, may: Flags, prices: Prices, seen: Seen) -> tuple[Columns, float]:
    """The arcs left out that would be better, and by how much all members together at most."""
    none, regions = np.zeros_like(may), bounds.regions
    if not len(bounds.receivers):
        return gathered(none, [], [], []), 0
    seen.coming.append(prices.coming[bounds.receivers])
    seen.coming_load.append(prices.coming_load[bounds.receivers])
    found, short = _Better([], [], [], []), 0.0
    for chunk in regions.chunks(np.flatnonzero(may)):
        own = prices.member[chunk]
        bound = regions.least(chunk, prices.coming, prices.coming_load)
        near = bound < own[:, None]
        likely = near & smallest(bound, REGIONS)
        least = np.where(near, own[:, None], bound).min(axis=1)  # nobody who is not near costs less
        for some in (likely, near & ~likely):
            some &= (least >= own - TOLERANCE)[:, None]  # who has found a better way looks for no other now
            for block in regions.blocks(chunk, some):
                whole = _with_prices(bounds, prices, chunk[block.rows], block)
                least[block.rows] = np.minimum(least[block.rows], whole.min(axis=1))
                found.take(chunk[block.rows], block, whole - own[block.rows][:, None])
        least = np.minimum(least, np.where(near & ~likely & ~some, bound, own[:, None]).min(axis=1))
        seen.note(chunk, least)
        short += float(np.maximum(own - least, 0).sum())
    return found.arcs(none), short


def _with_prices(bounds: Bounds, prices: Prices, members: Integers, block: Block) -> Integers | Numbers:
    """The costs and what the places cost."""
    whole: Integers | Numbers = block.costs + prices.coming[block.managers]
    load = prices.coming_load[block.managers]
    return whole + bounds.load[members][:, None] * load if load.any() else whole


class _Better(NamedTuple):
    """The arcs that would be better, and by how much, region after region."""

    tails: list[Integers]
    heads: list[Integers]
    costs: list[Integers]
    reduced: list[Integers | Numbers]

    def take(self, members: Integers, block: Block, reduced: Integers | Numbers) -> None:
        """The best of a region for each of the members."""
        rows, columns = np.nonzero((reduced < -TOLERANCE) & smallest(reduced, MORE))
        self.tails.append(members[rows])
        self.heads.append(block.managers[columns])
        self.costs.append(block.costs[rows, columns].astype(np.int64))
        self.reduced.append(reduced[rows, columns])

    def arcs(self, members: Flags) -> Columns:
        """The best of each member."""
        if not self.tails:
            return gathered(members, [], [], [])
        tails, heads, costs = (np.concatenate(column) for column in self[:3])
        reduced = np.concatenate(self.reduced)
        order = np.lexsort((heads, reduced, tails))
        rank = np.arange(len(order)) - np.searchsorted(tails[order], tails[order])
        best = order[rank < MORE]
        members[tails] = True
        return gathered(members, [tails[best]], [heads[best]], [costs[best]])
