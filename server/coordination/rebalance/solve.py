"""Solve: the best moves of a Situation, proven, and each explained by the prices of the optimum."""

from __future__ import annotations

import time

import numpy as np

from server.coordination.rebalance import columns, shortage, workload
from server.coordination.rebalance.columns import Bounds, Optimum
from server.coordination.rebalance.cost import NEVER, Costs
from server.coordination.rebalance.flow import assigned
from server.coordination.rebalance.situation import NOBODY, UNKNOWN, Move, Situation, Solution

SECONDS = 90.0  # for the whole search; what is not proven by then is in the gap


def solve(situation: Situation, seconds: float = SECONDS) -> Solution:
    """The moves that cost least and meet every cap, or what is lacking for any to do so."""
    started = time.monotonic()
    solution = Solution(lacking=shortage.pinned(situation))
    if solution.lacking:
        return solution
    costs = Costs(situation)
    bounds = Bounds.of(situation, costs)
    found, taken = columns.optimum(costs, bounds, columns.first(costs, bounds), assigned, started + seconds)
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
    solution.cost, solution.bound = found.cost, found.bound
    solution.moves = _explained(situation, costs, bounds, found)
    solution.seconds = time.monotonic() - started
    return solution


def _explained(situation: Situation, costs: Costs, bounds: Bounds, found: Optimum) -> list[Move]:
    """Each move with its components, and what the next best would add at least, by the prices."""
    members = np.flatnonzero(found.receiver != NOBODY)
    receivers, prices = bounds.receivers, found.prices
    alternatives, extras = [], []
    for chunk, rows in costs.chunks(members, receivers):
        whole = rows + prices.coming[receivers] + bounds.load[chunk][:, None] * prices.coming_load[receivers]
        lines, chosen = np.arange(len(chunk)), np.searchsorted(receivers, found.receiver[chunk])
        own = whole[lines, chosen]
        whole[lines, chosen] = NEVER
        best = whole.argmin(axis=1)
        alternatives += receivers[best].tolist()
        extras += np.rint(whole[lines, best] - own).astype(np.int64).tolist()
    parts = costs.parts(members, found.receiver[members])
    return [
        _move(situation, found, *one)
        for one in zip(members.tolist(), parts, alternatives, extras, strict=True)
    ]


def _move(
    situation: Situation,
    found: Optimum,
    member: int,
    parts: tuple[dict[str, int], int, int, int, int],
    alternative: int,
    extra: int,
) -> Move:
    sender, receiver = situation.members.manager[member], int(found.receiver[member])
    may_stay = sender != NOBODY and not situation.managers[sender].leaves
    kept = None
    if may_stay:
        prices, load = found.prices, situation.members.load[member]
        kept = max(0, round(float(prices.staying[sender] + load * prices.staying_load[sender] - prices.member[member])))
    has_other = extra < NEVER >> 1
    return Move(
        member,
        sender,
        receiver,
        sum(parts[0].values()),
        parts[0],
        situation.members.months[member],
        *(None if miles == UNKNOWN else miles for miles in parts[1:]),
        alternative=alternative if has_other else None,
        extra=max(0, extra) if has_other else None,
        kept=kept,
    )
