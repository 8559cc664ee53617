"""Solve: the best moves of a Situation, proven, and each explained by the prices of the optimum."""

from __future__ import annotations

import time

import numpy as np

from server.coordination.rebalance import columns, linear, shortage, workload
from server.coordination.rebalance.arcs import Bounds, Optimum
from server.coordination.rebalance.cost import NEVER, Costs
from server.coordination.rebalance.flow import assigned, guessed
from server.coordination.rebalance.situation import NOBODY, UNKNOWN, Move, Situation, Solution

SECONDS = 90.0  # of processor time, for the whole search; what is not proven by then is in the gap


def solve(situation: Situation, seconds: float = SECONDS) -> Solution:
    """The moves that cost least and meet every cap, or what is lacking for any to do so."""
    started = time.process_time()
    solution = Solution(lacking=shortage.pinned(situation))
    if solution.lacking:
        return solution
    costs = Costs(situation)
    bounds = Bounds.of(situation, costs)
    found, taken = columns.optimum(costs, bounds, columns.first(costs, bounds, guessed), assigned, started + seconds)
    if len(found.unplaced) or found.missing:
        if found.bound < found.cost:
            raise TimeoutError
        solution.lacking = shortage.lacking(situation, found.unplaced.tolist(), found.missing)
        return solution
    if situation.weighted:
        found = workload.optimum(costs, bounds, taken, started + seconds)
        if len(found.unplaced):
            solution.lacking = shortage.overloaded(situation, found.unplaced.tolist())
            return solution
        if found.missing:
            solution.lacking = shortage.lacking(situation, [], found.missing)
            return solution
    found = found._replace(receiver=bounds.sites.shared_out(costs, bounds.room, found.receiver))
    solution.cost, solution.bound = found.cost, found.bound
    solution.moves = _explained(situation, costs, bounds, found)
    return solution


def _explained(situation: Situation, costs: Costs, bounds: Bounds, found: Optimum) -> list[Move]:
    """Each move with its components, and the next best of the managers who have a place left."""
    members = np.flatnonzero(found.receiver != NOBODY)
    receivers = found.receiver[members]
    left = bounds.room - np.bincount(receivers, minlength=len(bounds.room))
    load_left = bounds.load_room - np.bincount(receivers, bounds.load[members], len(bounds.room)).astype(np.int64)
    free = bounds.sites.few((left > 0) & ((load_left > 0) | (not situation.weighted)))
    alternatives, prices = [], []
    for chunk, rows in costs.chunks(members, free) if len(free) else ():
        if situation.weighted:
            rows[bounds.load[chunk][:, None] > load_left[free]] = NEVER
        rows[found.receiver[chunk][:, None] == free] = NEVER
        best = rows.argmin(axis=1)
        alternatives += free[best].tolist()
        prices += rows[np.arange(len(chunk)), best].tolist()
    nobody = [NOBODY] * len(members)
    parts = costs.parts(members, receivers)
    return [
        _move(situation, bounds, found, *one)
        for one in zip(members.tolist(), parts, alternatives or nobody, prices or nobody, strict=True)
    ]


def _move(
    situation: Situation,
    bounds: Bounds,
    found: Optimum,
    member: int,
    parts: tuple[dict[str, int], int, int, int, int],
    alternative: int,
    price: int,
) -> Move:
    sender, receiver = situation.members.manager[member], int(found.receiver[member])
    may_stay = sender != NOBODY and not situation.managers[sender].leaves
    kept = None
    if may_stay:
        prices, load = found.prices, situation.members.load[member]
        price_here = float(prices.staying[sender] + load * prices.staying_load[sender] - prices.member[member])
        kept = max(0, round(price_here)) if price_here < _prohibitive(bounds) else None
    known = [None if miles == UNKNOWN else miles for miles in parts[1:]]
    has_other = alternative != NOBODY and price < NEVER
    cost = sum(parts[0].values())
    return Move(
        member,
        sender,
        receiver,
        cost,
        parts[0],
        situation.members.months[member],
        known[0],
        known[1],
        known[2],
        known[3],
        alternative if has_other else None,
        price - cost if has_other else None,
        kept,
    )


def _prohibitive(bounds: Bounds) -> int:
    """A price that stands for what cannot be: nobody could go instead, or somebody would have no place."""
    return min(bounds.penalty, linear.PENALTY) // 2
