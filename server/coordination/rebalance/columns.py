"""Columns: the arcs that are priced. A few of each member's first; the rest are shown to be no better, or come in.

The optimum over some arcs is the optimum over all where no arc left out has a negative reduced cost: its own cost and
its two ends' prices. A member who is left out altogether stays, at the price of a place where it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from server.coordination.rebalance.cost import NEVER, Costs, Flags, Integers, Numbers, Shorts
from server.coordination.rebalance.regions import Block, Regions
from server.coordination.rebalance.sites import Sites
from server.coordination.rebalance.situation import Situation

REGIONS = 3  # that are looked at first for each member
FIRST = 5  # managers of each of these who are priced first
GUESSED = 24  # regions that a member may go to where prices are guessed
LIKELY = 4  # members who are priced first for each manager without members, of those looked at together
MORE = 8  # arcs of one member that come in at a time
SPARE = 2  # members who are priced first, for each who has to go
MARGIN = 12  # more than the best that an arc may cost to stay in
TOLERANCE = 1e-6  # of prices that are no integers


class Prices(NamedTuple):
    """What one more would cost: who stays at each manager, who comes to it, and a member's place anywhere. Where the
    caps are in workload too, the first two have a part for each unit of a member's load."""

    staying: Integers | Numbers
    coming: Integers | Numbers
    member: Integers | Numbers
    staying_load: Integers | Numbers
    coming_load: Integers | Numbers


class Optimum(NamedTuple):
    """Who goes where (NOBODY: stays), and the prices. `unplaced` have no place anywhere, and `missing` managers would
    have to have a member. Nothing that meets the caps costs less than `bound`."""

    receiver: Integers
    prices: Prices
    unplaced: Integers
    missing: int
    cost: int
    bound: int


@dataclass(slots=True)
class Columns:
    """The members and arcs that are priced so far."""

    active: Flags  # by member
    tails: Integers  # member of each arc
    heads: Integers  # manager of each arc
    costs: Integers


@dataclass(frozen=True, slots=True)
class Bounds:
    """What binds: places for who stays and who comes, how many managers need a member, and who may move."""

    keeps: Integers
    room: Integers
    load: Integers  # of each member
    load_keeps: Integers
    load_room: Integers
    sites: Sites  # of the managers with room
    receivers: Integers  # the first of each site, who stands for it
    held: Integers  # members who may stay, at each manager
    least: int
    regions: Regions  # of the receivers
    movable: Flags
    penalty: int  # more than any way to do without what it stands for

    @classmethod
    def of(cls, situation: Situation, costs: Costs) -> Bounds:
        managers = [(one.keeps, one.room, one.load_keeps, one.load_room) for one in situation.managers]
        keeps, room, load_keeps, load_room = np.array(managers, np.int64).reshape(-1, 4).T
        pinned = np.array(situation.members.pinned, bool) & costs.stays
        miles = (costs.weights.mile + costs.weights.provider_mile) * 12_500  # half around the earth
        dearest = int(costs.fixed.max(initial=0)) + costs.weights.ramp + miles
        with_room = np.flatnonzero((room > 0) & ((load_room > 0) | (not situation.weighted)))
        sites = Sites.of(costs, with_room, alone=situation.weighted)
        return cls(
            keeps,
            room,
            costs.load,
            load_keeps,
            load_room,
            sites,
            sites.firsts,
            np.bincount(costs.manager[costs.stays], minlength=len(keeps)),
            situation.least,
            Regions(costs, sites),
            ~pinned,
            (dearest + 1) * min(2 * len(keeps) + 2, 10_000),
        )


Master = Callable[[Costs, Bounds, Columns], Optimum]
Guess = Callable[[Costs, Bounds, Columns], Integers]


def optimum(
    costs: Costs, bounds: Bounds, columns: Columns, master: Master, until: float, near: float = 0.0
) -> tuple[Optimum, Columns]:
    """The best assignment that `master` finds over all arcs, with the arcs that it took, and the bound that proves it.

    The search for arcs ends at `until`, of time.process_time, or once they could bring no more than the share `near` of
    the cost: what they could still bring is then taken off the bound.
    """
    seen = _Seen(costs.least(), np.zeros(len(columns.active), np.int64), [], [])
    worse: tuple[float, ...] = (math.inf,)
    while True:
        found = master(costs, bounds, columns)
        better, short = _better(costs, bounds, columns, found, seen)
        if not len(better.tails):
            return found, columns
        if time.process_time() > until or short <= near * found.cost:
            return found._replace(bound=found.bound - math.ceil(short)), columns
        rank = len(found.unplaced), found.missing, found.cost
        if rank < worse:  # each time better, so it ends
            columns, worse = _useful(costs, bounds, columns, found), rank
        columns = _with(columns, better)


def first(costs: Costs, bounds: Bounds, guess: Guess) -> Columns:
    """Who has to go, of the managers above their limit those whose moves may cost least, and the nearest managers."""
    active = ~costs.stays
    above = np.maximum(bounds.held - bounds.keeps, 0)
    if bounds.load_keeps.any():
        load = np.bincount(costs.manager[costs.stays], bounds.load[costs.stays], len(bounds.keeps)).astype(np.int64)
        above = np.maximum(above, -(-np.maximum(load - bounds.load_keeps, 0) * bounds.held // np.maximum(load, 1)))
    wanted = above * SPARE + (above > 0) * 4 + _spared(bounds)
    order = np.lexsort((costs.least(), costs.manager))
    order = order[(costs.stays & bounds.movable)[order]]
    rank = np.arange(len(order)) - np.searchsorted(costs.manager[order], costs.manager[order])
    active[order[rank < wanted[costs.manager[order]]]] = True
    return _with(Columns(active, *(np.empty(0, np.int64) for _ in range(3))), _nearest(costs, bounds, active, guess))


def _spared(bounds: Bounds) -> Integers:
    """How many more of each manager's members to look at, where managers without members have to get some."""
    having = (bounds.held > 0) & (bounds.keeps > 0)
    missing = max(0, bounds.least - int(having.sum()))
    spared: Integers = np.where((bounds.held > 1) & (missing > 0), 1 + 2 * missing // max(1, int(having.sum())), 0)
    return spared


def _nearest(costs: Costs, bounds: Bounds, members: Flags, guess: Guess) -> Columns:
    """Arcs of little cost: of each member, and to each manager without members, who may need one."""
    tails, heads, prices, regions = [], [], [], bounds.regions
    coming, free = _guessed(costs, bounds, members, guess), np.zeros(len(bounds.keeps), np.int64)
    for chunk in regions.chunks(np.flatnonzero(members)) if regions.groups else ():
        near = _smallest(regions.least(chunk, coming, free), REGIONS)
        for block in regions.blocks(chunk, near):
            best = _smallest(_spread(chunk[block.rows], block.costs), FIRST)
            if bounds.least:
                best |= _smallest(block.costs.T, LIKELY).T & (bounds.held[block.managers] == 0)
            rows, columns = np.nonzero(best)
            tails.append(chunk[block.rows[rows]])
            heads.append(block.managers[columns])
            prices.append(block.costs[rows, columns].astype(np.int64))
    return _arcs(members, tails, heads, prices)


def _guessed(costs: Costs, bounds: Bounds, members: Flags, guess: Guess) -> Integers:
    """What a place will cost about, by manager: as if all managers of a region were one in its middle."""
    tails, heads, prices, regions = [], [], [], bounds.regions
    free = np.zeros(len(bounds.keeps), np.int64)
    for chunk in regions.chunks(np.flatnonzero(members)) if regions.groups else ():
        least = regions.least(chunk, free, free)
        rows, columns = np.nonzero(_smallest(_spread(chunk, least), GUESSED))
        tails.append(chunk[rows])
        heads.append(columns)
        prices.append(least[rows, columns].astype(np.int64))
    return guess(costs, bounds, _arcs(members, tails, heads, prices))


def _spread(members: Integers, rows: Shorts | Integers | Numbers) -> Integers:
    """The rows so that of equal ones each member finds others the least."""
    width = rows.shape[1]
    turned: Integers = rows.astype(np.int64) * width + (members[:, None] + np.arange(width)) % width
    return turned


def _smallest(rows: Shorts | Integers | Numbers, number: int) -> Flags:
    """So many of the least of each row."""
    found = np.ones(rows.shape, bool)
    if number < rows.shape[1]:
        found[:] = False
        np.put_along_axis(found, np.argpartition(rows, number - 1, axis=1)[:, :number], True, axis=1)
    return found


def within(costs: Costs, bounds: Bounds, prices: Prices, slack: float, most: int) -> Columns | None:
    """Every arc that costs no more than `slack` beyond what its member has, by the prices; None of more than `most`."""
    members = ~costs.stays
    tails, heads, found, number = [], [], [], 0
    for chunk, rows in costs.chunks(np.flatnonzero(bounds.movable), bounds.receivers):
        load = bounds.load[chunk][:, None] * prices.coming_load[bounds.receivers]
        reduced = rows + prices.coming[bounds.receivers] + load - prices.member[chunk][:, None]
        near, to = np.nonzero((reduced <= slack) & (rows < NEVER))
        number += len(near)
        if number > most:
            return None
        tails.append(chunk[near])
        heads.append(bounds.receivers[to])
        found.append(rows[near, to].astype(np.int64))
        members[chunk[near]] = True
    return _arcs(members, tails, heads, found)


def _arcs(members: Flags, tails: list[Integers], heads: list[Integers], prices: list[Integers]) -> Columns:
    none = [np.empty(0, np.int64)]
    columns = Columns(members, *(np.concatenate(column or none) for column in (tails, heads, prices)))
    real = columns.costs < NEVER
    return Columns(members, columns.tails[real], columns.heads[real], columns.costs[real])


def _with(columns: Columns, more: Columns) -> Columns:
    """Both, in the order of members and managers, each arc once."""
    tails, heads = np.concatenate([columns.tails, more.tails]), np.concatenate([columns.heads, more.heads])
    _, places = np.unique(tails * (1 << 32) + heads, return_index=True)
    costs = np.concatenate([columns.costs, more.costs])[places]
    return Columns(columns.active | more.active, tails[places], heads[places], costs)


# The prices


@dataclass(slots=True)
class _Seen:
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


def _better(costs: Costs, bounds: Bounds, columns: Columns, found: Optimum, seen: _Seen) -> tuple[Columns, float]:
    """As `_priced`; while somebody has no place, ways of those who are in already first: everybody else would be
    priced by what it is worth to have a place at all."""
    may = seen.may_be_better(bounds, found.prices)
    if len(found.unplaced):
        better, _ = _priced(costs, bounds, may & columns.active, found.prices, seen)
        if len(better.tails):
            return better, found.bound + 1.0  # nothing is known of the others
    return _priced(costs, bounds, may, found.prices, seen)


def _useful(costs: Costs, bounds: Bounds, columns: Columns, found: Optimum) -> Columns:
    """Without the arcs that are by far too dear, and who stays and has no others (unless there is more to a place than
    one member: load). The prices would have to change much for one to come in again."""
    tails, heads, prices = columns.tails, columns.heads, found.prices
    dearer = (
        columns.costs + prices.coming[heads] + bounds.load[tails] * prices.coming_load[heads] - prices.member[tails]
    )
    near = (dearer <= MARGIN) | (found.receiver[tails] == heads)
    active = columns.active.copy()
    if not bounds.load_keeps.any():
        active &= ~costs.stays
        active[tails[near]] = active[found.unplaced] = True
    return Columns(active, tails[near], heads[near], columns.costs[near])


def _priced(costs: Costs, bounds: Bounds, may: Flags, prices: Prices, seen: _Seen) -> tuple[Columns, float]:
    """The arcs left out that would be better, and by how much all members together at most."""
    none, regions = np.zeros_like(may), bounds.regions
    if not len(bounds.receivers):
        return _arcs(none, [], [], []), 0
    seen.coming.append(prices.coming[bounds.receivers])
    seen.coming_load.append(prices.coming_load[bounds.receivers])
    better, short = _Better([], [], [], []), 0.0
    for chunk in regions.chunks(np.flatnonzero(may)):
        own = prices.member[chunk]
        bound = regions.least(chunk, prices.coming, prices.coming_load)
        near = bound < own[:, None]
        likely = near & _smallest(bound, REGIONS)
        least = np.where(near, own[:, None], bound).min(axis=1)  # nobody who is not near costs less
        for some in (likely, near & ~likely):
            some &= (least >= own - TOLERANCE)[:, None]  # who has found a better way looks for no other now
            for block in regions.blocks(chunk, some):
                whole = _with_prices(bounds, prices, chunk[block.rows], block)
                least[block.rows] = np.minimum(least[block.rows], whole.min(axis=1))
                better.take(chunk[block.rows], block, whole - own[block.rows][:, None])
        least = np.minimum(least, np.where(near & ~likely & ~some, bound, own[:, None]).min(axis=1))
        seen.note(chunk, least)
        short += float(np.maximum(own - least, 0).sum())
    return better.arcs(none), short


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
        rows, columns = np.nonzero((reduced < -TOLERANCE) & _smallest(reduced, MORE))
        self.tails.append(members[rows])
        self.heads.append(block.managers[columns])
        self.costs.append(block.costs[rows, columns].astype(np.int64))
        self.reduced.append(reduced[rows, columns])

    def arcs(self, members: Flags) -> Columns:
        """The best of each member."""
        if not self.tails:
            return _arcs(members, [], [], [])
        tails, heads, costs = (np.concatenate(column) for column in self[:3])
        reduced = np.concatenate(self.reduced)
        order = np.lexsort((heads, reduced, tails))
        rank = np.arange(len(order)) - np.searchsorted(tails[order], tails[order])
        best = order[rank < MORE]
        members[tails] = True
        return _arcs(members, [tails[best]], [heads[best]], [costs[best]])
