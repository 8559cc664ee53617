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
from server.coordination.rebalance.situation import Situation

FIRST = 12  # managers that are priced first for each member
MORE = 8  # arcs of one member that come in at a time
SPARE = 2  # members who are priced first, for each who has to go
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
    receivers: Integers  # managers with room
    held: Integers  # members who may stay, at each manager
    least: int
    movable: Flags
    penalty: int  # more than any way to do without what it stands for

    @classmethod
    def of(cls, situation: Situation, costs: Costs) -> Bounds:
        managers = [(one.keeps, one.room, one.load_keeps, one.load_room) for one in situation.managers]
        keeps, room, load_keeps, load_room = np.array(managers, np.int64).reshape(-1, 4).T
        pinned = np.array(situation.members.pinned, bool) & costs.stays
        miles = (costs.weights.mile + costs.weights.provider_mile) * 12_500  # half around the earth
        dearest = int(costs.fixed.max(initial=0)) + costs.weights.ramp + miles
        return cls(
            keeps,
            room,
            np.array(situation.members.load, np.int64),
            load_keeps,
            load_room,
            np.flatnonzero((room > 0) & ((load_room > 0) | (not situation.weighted))),
            np.bincount(costs.manager[costs.stays], minlength=len(keeps)),
            situation.least,
            ~pinned,
            (dearest + 1) * min(2 * len(keeps) + 2, 10_000),
        )


Master = Callable[[Costs, Bounds, Columns], Optimum]


def optimum(
    costs: Costs, bounds: Bounds, columns: Columns, master: Master, until: float, near: float = 0.0
) -> tuple[Optimum, Columns]:
    """The best assignment that `master` finds over all arcs, with the arcs that it took, and the bound that proves it.

    The search for arcs ends at `until`, of time.monotonic, or once they could bring no more than the share `near` of
    the cost: what they could still bring is then taken off the bound.
    """
    seen = _Seen(costs.least(), np.zeros(len(columns.active), np.int64), [], [])
    while True:
        found = master(costs, bounds, columns)
        better, short = _priced(costs, bounds, columns, found.prices, seen)
        if not len(better.tails):
            return found, columns
        if time.monotonic() > until or short <= near * found.cost:
            return found._replace(bound=found.bound - math.ceil(short)), columns
        columns = _with(columns, better)


def first(costs: Costs, bounds: Bounds) -> Columns:
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
    return _with(Columns(active, *(np.empty(0, np.int64) for _ in range(3))), _nearest(costs, bounds, active))


def _spared(bounds: Bounds) -> Integers:
    """How many more of each manager's members to look at, where managers without members have to get some."""
    having = (bounds.held > 0) & (bounds.keeps > 0)
    missing = max(0, bounds.least - int(having.sum()))
    spared: Integers = np.where((bounds.held > 1) & (missing > 0), 1 + 2 * missing // max(1, int(having.sum())), 0)
    return spared


def _nearest(costs: Costs, bounds: Bounds, members: Flags) -> Columns:
    """The arcs of least cost: of each member, and to each manager without members, who may need one."""
    tails, heads, prices = [], [], []
    empty = np.flatnonzero(bounds.held[bounds.receivers] == 0)
    likely = [np.empty((0, len(empty)), np.int64) for _ in range(2)]  # members, costs
    number = min(FIRST, len(bounds.receivers))
    for chunk, rows in costs.chunks(np.flatnonzero(members), bounds.receivers if number else np.empty(0, np.int64)):
        best = np.argpartition(rows, number - 1, axis=1)[:, :number] if number else np.empty((len(chunk), 0), np.int64)
        tails.append(np.repeat(chunk, number))
        heads.append(bounds.receivers[best].ravel())
        prices.append(np.take_along_axis(rows, best, axis=1).ravel().astype(np.int64))
        if bounds.least:
            likely = _likely(likely, chunk, rows[:, empty])
    tails.append(likely[0].ravel())
    heads.append(np.broadcast_to(bounds.receivers[empty], likely[0].shape).ravel())
    prices.append(likely[1].ravel())
    return _arcs(members, tails, heads, prices)


def _likely(so_far: list[Integers], chunk: Integers, rows: Shorts) -> list[Integers]:
    """The members of least cost for each of some managers."""
    members = np.concatenate([so_far[0], np.broadcast_to(chunk[:, None], rows.shape)])
    prices = np.concatenate([so_far[1], rows])
    if len(prices) > FIRST:
        best = np.argpartition(prices, FIRST - 1, axis=0)[:FIRST]
        members, prices = np.take_along_axis(members, best, axis=0), np.take_along_axis(prices, best, axis=0)
    return [members, prices]


def whole(costs: Costs, bounds: Bounds) -> Columns:
    """Every arc there is."""
    members = bounds.movable.copy()
    tails, heads, prices = [], [], []
    for chunk, rows in costs.chunks(np.flatnonzero(members), bounds.receivers):
        tails.append(np.repeat(chunk, rows.shape[1]))
        heads.append(np.tile(bounds.receivers, len(chunk)))
        prices.append(rows.ravel().astype(np.int64))
    return _arcs(members, tails, heads, prices)


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


def _priced(costs: Costs, bounds: Bounds, columns: Columns, prices: Prices, seen: _Seen) -> tuple[Columns, float]:
    """The arcs left out that would be better, and by how much all members together at most."""
    coming, coming_load = prices.coming[bounds.receivers], prices.coming_load[bounds.receivers]
    none = np.zeros_like(columns.active)
    if not len(coming):
        return _arcs(none, [], [], []), 0
    may = seen.may_be_better(bounds, prices)
    seen.coming.append(coming)
    seen.coming_load.append(coming_load)
    tails, heads, found, short = [], [], [], 0.0
    for chunk, rows in costs.chunks(np.flatnonzero(may), bounds.receivers):
        whole = rows + coming
        if coming_load.any():
            whole += bounds.load[chunk][:, None] * coming_load
        least = whole.min(axis=1)
        seen.note(chunk, least)
        own = prices.member[chunk]
        short += float(np.maximum(own - least, 0).sum())
        if not (least < own - TOLERANCE).any():
            continue
        reduced = whole - own[:, None]
        number = min(MORE, rows.shape[1])
        best = np.argpartition(reduced, number - 1, axis=1)[:, :number]
        better = np.take_along_axis(reduced, best, axis=1) < -TOLERANCE
        tails.append(np.repeat(chunk, better.sum(axis=1)))
        heads.append(bounds.receivers[best[better]])
        found.append(np.take_along_axis(rows, best, axis=1)[better].astype(np.int64))
    if tails:
        none[np.concatenate(tails)] = True
    return _arcs(none, tails, heads, found), short
