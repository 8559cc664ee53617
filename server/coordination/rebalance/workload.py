"""Workload: the best assignment where the caps are in weighted workload too: a generalized assignment problem.

https://developers.google.com/optimization/mip

Its linear relaxation, over every arc by columns, gives prices of the places, and these a better bound (`excess`): any
way that costs more than its member is worth costs as much more than the bound. So only ways that cost little more can
be part of something good, and an integer program decides on those; on more and more of them, until they are all that
could be part of something better than what was found, or too many. All run on one thread and, unless time runs out,
without a clock, so that equal inputs give equal answers.
"""

from __future__ import annotations

import math
import sys
import time

from server.coordination.rebalance import columns
from server.coordination.rebalance.arcs import Bounds, Columns, Optimum
from server.coordination.rebalance.cost import Costs
from server.coordination.rebalance.excess import Worth, worth
from server.coordination.rebalance.linear import ROUNDED, relaxed, whole
from server.coordination.rebalance.situation import NOBODY

NEAR = 0.001  # of the cost: a gap that is small enough not to look at many more ways
FIRST = 5.0  # how much more than the best the ways cost that are looked at first
WIDER = 4
MANY = 10_000  # ways that take seconds
MOST = 100_000
SECONDS = 30.0  # of processor time, for the integer programs


def optimum(costs: Costs, bounds: Bounds, taken: Columns, until: float) -> Optimum:
    """The best whole assignment that is found; its prices are the relaxation's. TimeoutError where none is, and none is
    shown to be impossible; `until` is of time.process_time."""
    found, taken = columns.optimum(costs, bounds, taken, relaxed, until, ROUNDED)
    if not _is_placed(found):
        return found
    least = worth(costs, bounds, found.prices)
    best = _whole(costs, bounds, least, found, min(until, time.process_time() + SECONDS))
    return best._replace(prices=found.prices)


def _whole(costs: Costs, bounds: Bounds, least: Worth, split: Optimum, until: float) -> Optimum:
    """The best over the ways that cost no more than a slack beyond what their member is worth, and a wider one."""
    bound = max(split.bound, math.ceil(least.bound - ROUNDED))
    near, slack = _first(costs, bounds, least)
    best = whole(costs, bounds, _settled(near, split), until)
    best = found = min(best, whole(costs, bounds, near, until, best), key=_rank)
    while True:
        if _is_placed(found):
            bound = max(bound, min(found.bound, math.ceil(least.bound + slack - ROUNDED)))
        wanted = best.cost - least.bound if _is_placed(best) else 2.0 * bounds.penalty
        is_near = _is_placed(best) and best.cost - bound <= (NEAR * best.cost if len(near.tails) > MANY else 0)
        if slack >= wanted or is_near:
            return best._replace(bound=min(bound, best.cost))
        slack = min(slack * WIDER, wanted)
        wider = columns.within(costs, bounds, least.prices, slack, MOST)
        if wider is None or time.process_time() > until:
            break
        if len(wider.tails) > len(near.tails):
            near, found = wider, whole(costs, bounds, wider, until, best)
            best = min(best, found, key=_rank)
    if not _is_placed(best):
        raise TimeoutError
    return best._replace(bound=min(bound, best.cost))


def _first(costs: Costs, bounds: Bounds, least: Worth) -> tuple[Columns, float]:
    """The ways that are looked at first, and the slack that they are within."""
    slack = FIRST
    while True:
        near = columns.within(costs, bounds, least.prices, slack, MOST if slack > ROUNDED else sys.maxsize)
        if near is not None:
            return near, slack
        slack /= WIDER


def _settled(near: Columns, split: Optimum) -> Columns:
    """The ways without the others of who goes one whole way in the relaxation: that is quick, and not far off."""
    receiver = split.receiver[near.tails]
    some = (receiver == NOBODY) | (receiver == near.heads)
    return Columns(near.active, near.tails[some], near.heads[some], near.costs[some])


def _rank(found: Optimum) -> tuple[int, int, int]:
    return len(found.unplaced), found.missing, found.cost


def _is_placed(found: Optimum) -> bool:
    return not len(found.unplaced) and not found.missing
