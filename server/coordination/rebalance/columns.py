"""Columns: the arcs that are priced. A few of each member's first; the rest are shown to be no better, or come in.

The optimum over some arcs is the optimum over all where no arc left out has a negative reduced cost: its own cost and
its two ends' prices. A member who is left out altogether stays, at the price of a place where it is.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np

from server.coordination.rebalance.arcs import Bounds, Columns, Optimum, Prices, gathered, joined, smallest
from server.coordination.rebalance.cost import NEVER, Costs, Flags, Integers, Numbers, Shorts
from server.coordination.rebalance.pricing import REGIONS, Seen, better

FIRST = 5  # managers of each of these who are priced first
GUESSED = 24  # regions that a member may go to where prices are guessed
LIKELY = 4  # members who are priced first for each manager without members, of those looked at together
SPARE = 2  # members who are priced first, for each who has to go
MARGIN = 12  # more than the best that an arc may cost to stay in

Master = Callable[[Costs, Bounds, Columns], Optimum]
Guess = Callable[[Costs, Bounds, Columns], Integers]


def optimum(
    costs: Costs, bounds: Bounds, columns: Columns, master: Master, until: float, near: float = 0.0
) -> tuple[Optimum, Columns]:
    """The best assignment that `master` finds over all arcs, with the arcs that it took, and the bound that proves it.

    The search for arcs ends at `until`, of time.process_time, or once they could bring no more than the share `near` of
    the cost: what they could still bring is then taken off the bound.
    """
    seen = Seen(costs.least(), np.zeros(len(columns.active), np.int64), [], [])
    worse: tuple[float, ...] = (math.inf,)
    while True:
        found = master(costs, bounds, columns)
        more, short = better(costs, bounds, columns, found, seen)
        if not len(more.tails):
            return found, columns
        if time.process_time() > until or short <= near * found.cost:
            return found._replace(bound=found.bound - math.ceil(short)), columns
        rank = len(found.unplaced), found.missing, found.cost
        if rank < worse:  # each time better, so it ends
            columns, worse = _useful(costs, bounds, columns, found), rank
        columns = joined(columns, more)


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
    return joined(Columns(active, *(np.empty(0, np.int64) for _ in range(3))), _nearest(costs, bounds, active, guess))


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
        near = smallest(regions.least(chunk, coming, free), REGIONS)
        for block in regions.blocks(chunk, near):
            best = smallest(_spread(chunk[block.rows], block.costs), FIRST)
            if bounds.least:
                best |= smallest(block.costs.T, LIKELY).T & (bounds.held[block.managers] == 0)
            rows, columns = np.nonzero(best)
            tails.append(chunk[block.rows[rows]])
            heads.append(block.managers[columns])
            prices.append(block.costs[rows, columns].astype(np.int64))
    return gathered(members, tails, heads, prices)


def _guessed(costs: Costs, bounds: Bounds, members: Flags, guess: Guess) -> Integers:
    """What a place will cost about, by manager: as if all managers of a region were one in its middle."""
    tails, heads, prices, regions = [], [], [], bounds.regions
    free = np.zeros(len(bounds.keeps), np.int64)
    for chunk in regions.chunks(np.flatnonzero(members)) if regions.groups else ():
        least = regions.least(chunk, free, free)
        rows, columns = np.nonzero(smallest(_spread(chunk, least), GUESSED))
        tails.append(chunk[rows])
        heads.append(columns)
        prices.append(least[rows, columns].astype(np.int64))
    return guess(costs, bounds, gathered(members, tails, heads, prices))


def _spread(members: Integers, rows: Shorts | Integers | Numbers) -> Integers:
    """The rows so that of equal ones each member finds others the least."""
    width = rows.shape[1]
    turned: Integers = rows.astype(np.int64) * width + (members[:, None] + np.arange(width)) % width
    return turned


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
    return gathered(members, tails, heads, found)


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
