"""Workload: the best assignment where the caps are in weighted workload too: a generalized assignment problem.

https://developers.google.com/optimization/lp, https://developers.google.com/optimization/mip

Its linear relaxation, over every arc by columns, is the bound. Nearly all of it is whole; what is not is decided by an
integer program over the same arcs, in which all others keep their place. What is then left between both is decided by
one over every arc that could still be part of something better: by the prices it costs no more than the gap. All run on
one thread and, unless time runs out, without a clock, so that equal inputs give equal answers.
"""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import numpy as np
from ortools.linear_solver import pywraplp

from server.coordination.rebalance import columns
from server.coordination.rebalance.columns import Bounds, Columns, Optimum, Prices
from server.coordination.rebalance.cost import Costs, Flags, Integers, Numbers
from server.coordination.rebalance.excess import worth
from server.coordination.rebalance.situation import NOBODY

SMALL = 1e-6
CLOSE = 1e-3  # of two ways of one member: as good as equal; of the relaxation's cost: near enough
PENALTY = 10_000_000  # at most, for a place that there is not: the relaxation works with floating point numbers
ENOUGH = "limits/gap = 0.0002\nlimits/nodes = 2000"  # of the integer program: SCIP's parameters
STEPS = (0, 5, 20, 80, math.inf)  # members whose second best costs no more than this are decided anew
NEAR = 0.004  # of the cost: a gap that is small enough
FEW = 100_000  # members times managers, of which every arc is taken where nothing else helps
LAST = 60_000  # arcs that the last program decides on at most
SECONDS = 30.0  # for those programs
TO_THE_END = "limits/gap = 0\nlimits/nodes = 2000\nlimits/time = {}"


def optimum(costs: Costs, bounds: Bounds, taken: Columns, until: float) -> Optimum:
    """The best whole assignment that is found; its prices are the relaxation's, whose cost is the bound."""
    nobody = np.full(len(taken.active), NOBODY)

    def relaxed(costs: Costs, bounds: Bounds, taken: Columns) -> Optimum:
        try:
            return _Program(costs, bounds, taken, taken.active, nobody, "GLOP").solve()
        except ArithmeticError:  # numbers that it does not master
            return _Program(costs, bounds, taken, taken.active, nobody, "CLP").solve()

    found, taken = columns.optimum(costs, bounds, taken, relaxed, until, CLOSE)
    if not _is_placed(found):
        return found
    prices = found.prices
    least = worth(costs, bounds, prices)
    found = found._replace(bound=max(found.bound, math.ceil(least.bound - CLOSE)))
    slack = _slack(costs, bounds, taken, found)
    tried = []
    for step in STEPS:
        free = taken.active & ((slack <= step + CLOSE) | (~costs.stays & (found.receiver == NOBODY)))
        tried.append(_Program(costs, bounds, taken, free, found.receiver, "SCIP").solve())
        best = min(tried, key=_rank)
        if (_is_placed(best) and best.cost - found.bound <= NEAR * best.cost) or time.monotonic() > until:
            break
    if not _is_placed(best) and len(taken.active) * len(bounds.receivers) <= FEW:
        whole = columns.whole(costs, bounds)
        best = min(best, _Program(costs, bounds, whole, whole.active, nobody, "SCIP").solve(), key=_rank)
    best = best._replace(prices=least.prices, bound=min(found.bound, best.cost))
    if _is_placed(best):
        best = _proven(costs, bounds, best, until)
    return best._replace(prices=prices)


def _proven(costs: Costs, bounds: Bounds, best: Optimum, until: float) -> Optimum:
    """The best of all, or a better one and a better bound: by every arc that costs little more by the prices.

    What takes another arc costs more than the relaxation by at least as much as that arc does.
    """
    until = min(until, time.monotonic() + SECONDS)
    nobody, relaxed = np.full(len(best.receiver), NOBODY), best.bound
    few = len(nobody) * len(bounds.receivers) <= FEW
    while best.cost - best.bound > (0 if few else NEAR * best.cost) and time.monotonic() < until:
        whole = slack = best.cost - relaxed + 1
        while (near := columns.within(costs, bounds, best.prices, slack, LAST)) is None and slack:
            slack = slack * 3 // 4
        if near is None:
            break
        enough = TO_THE_END.format(max(0.0, until - time.monotonic()))
        last = _Program(costs, bounds, near, near.active, nobody, "SCIP", enough).solve()
        before, least = best, min(last.bound, relaxed + slack - 1)
        best = min(best, last, key=_rank)
        best = best._replace(prices=before.prices, bound=max(before.bound, min(least, best.cost)))
        if slack == whole or best.cost == before.cost:
            break
    return best


def _rank(found: Optimum) -> tuple[int, int, int]:
    return len(found.unplaced), found.missing, found.cost


def _is_placed(found: Optimum) -> bool:
    return not len(found.unplaced) and not found.missing


def _slack(costs: Costs, bounds: Bounds, taken: Columns, found: Optimum) -> Numbers:
    """How much more the second best would cost each member, by the prices: about 0 for who is split."""
    prices, load = found.prices, bounds.load
    own = np.full(len(taken.active), np.inf)
    stays = costs.stays
    own[stays] = (prices.staying[costs.manager] + load * prices.staying_load[costs.manager] - prices.member)[stays]
    cost = taken.costs + prices.coming[taken.heads] + load[taken.tails] * prices.coming_load[taken.heads]
    ways = np.concatenate([own[taken.active], cost - prices.member[taken.tails]])
    whose = np.concatenate([np.flatnonzero(taken.active), taken.tails])
    order = np.lexsort((ways, whose))
    second = np.full(len(taken.active), np.inf)
    place = np.flatnonzero(np.diff(whose[order], prepend=-1)) + 1
    place = place[place < len(order)]
    place = place[whose[order[place]] == whose[order[place - 1]]]
    second[whose[order[place]]] = ways[order[place]]
    return second


class _Left(NamedTuple):
    """What those who keep their place leave for the others."""

    keeps: Integers
    load_keeps: Integers
    room: Integers
    load_room: Integers
    is_open: Flags  # managers without a member so far
    wanted: int  # how many of those need one

    @classmethod
    def of(cls, costs: Costs, bounds: Bounds, free: Flags, receiver: Integers) -> _Left:
        stays, comes = ~free & (receiver == NOBODY), ~free & (receiver != NOBODY)
        managers = len(bounds.keeps)
        kept, taken = costs.manager[stays], receiver[comes]
        staying, coming = np.bincount(kept, minlength=managers), np.bincount(taken, minlength=managers)
        is_open = staying + coming == 0
        return cls(
            bounds.keeps - staying,
            bounds.load_keeps - np.bincount(kept, bounds.load[stays], managers).astype(np.int64),
            bounds.room - coming,
            bounds.load_room - np.bincount(taken, bounds.load[comes], managers).astype(np.int64),
            is_open,
            bounds.least - int((~is_open).sum()),
        )


class _Program:
    """The program that places the members who are free; the others keep the receiver that they have."""

    def __init__(
        self,
        costs: Costs,
        bounds: Bounds,
        taken: Columns,
        free: Flags,
        receiver: Integers,
        kind: str,
        enough: str = ENOUGH,
    ) -> None:
        self.costs, self.bounds, self.taken, self.receiver = costs, bounds, taken, receiver
        self.solver = pywraplp.Solver.CreateSolver(kind)
        self.is_whole = kind == "SCIP"
        if self.is_whole:
            self.solver.SetSolverSpecificParametersAsString(enough)
        left = _Left.of(costs, bounds, free, receiver)
        self.stay, self.stay_load, self.come, self.come_load = (
            [self.solver.Constraint(-self.solver.infinity(), max(0, limit)) for limit in limits.tolist()]
            for limits in left[:4]
        )
        self.penalty = min(bounds.penalty, PENALTY)
        self.counted: dict[int, Any] = {}
        self.lack = self._count(left) if left.wanted > 0 else None
        self.members = np.flatnonzero(free)
        self.row = {member: self.solver.Constraint(1, 1) for member in self.members.tolist()}
        self.arcs = np.flatnonzero(free[taken.tails])
        ways = (column[self.arcs].tolist() for column in (taken.tails, taken.heads, taken.costs))
        coming = self.come, self.come_load
        self.going = [self._way(member, manager, cost, coming) for member, manager, cost in zip(*ways, strict=True)]
        self.keeping = np.flatnonzero(free & costs.stays)
        for member, manager in zip(self.keeping.tolist(), costs.manager[self.keeping].tolist(), strict=True):
            self._way(member, manager, 0, (self.stay, self.stay_load))
        self.nowhere = [self._share(member, self.penalty) for member in self.members.tolist()]

    def _count(self, left: _Left) -> Any:
        """Managers without a member so far: enough of them get one. What is lacking for that is the penalty's."""
        enough = self.solver.Constraint(left.wanted, self.solver.infinity())
        for manager in np.flatnonzero(left.is_open).tolist():
            has_one = self.solver.NumVar(0, 1, "")
            enough.SetCoefficient(has_one, 1)
            self.counted[manager] = self.solver.Constraint(-self.solver.infinity(), 0)
            self.counted[manager].SetCoefficient(has_one, 1)
        lack = self.solver.NumVar(0, left.wanted, "")
        enough.SetCoefficient(lack, 1)
        self.solver.Objective().SetCoefficient(lack, self.penalty)
        return lack

    def _share(self, member: int, cost: int) -> Any:
        share = self.solver.Var(0, 1 if self.is_whole else self.solver.infinity(), self.is_whole, "")
        self.solver.Objective().SetCoefficient(share, cost)
        self.row[member].SetCoefficient(share, 1)
        return share

    def _way(self, member: int, manager: int, cost: int, caps: tuple[list[Any], list[Any]]) -> Any:
        share = self._share(member, cost)
        caps[0][manager].SetCoefficient(share, 1)
        caps[1][manager].SetCoefficient(share, int(self.bounds.load[member]))
        if manager in self.counted:
            self.counted[manager].SetCoefficient(share, -1)
        return share

    def solve(self) -> Optimum:
        """Whole or not: who is split goes nowhere, and the cost is then the relaxation's, rounded up. The bound is that
        of these arcs."""
        status = self.solver.Solve()
        if status not in (self.solver.OPTIMAL, self.solver.FEASIBLE):
            raise ArithmeticError(f"the program of {self.solver.NumVariables()} variables is {status}")
        receiver = self.receiver.copy()
        receiver[self.members] = NOBODY
        going = self.arcs[[share.solution_value() > 1 - SMALL for share in self.going]]
        receiver[self.taken.tails[going]] = self.taken.heads[going]
        lost = np.array([share.solution_value() for share in self.nowhere])
        missing = self.lack.solution_value() if self.lack else 0.0
        value = self.solver.Objective().Value() - self.penalty * (float(lost.sum()) + missing)
        kept = self._kept_cost(receiver)
        cost = kept + math.ceil(value - SMALL)
        least = kept + math.ceil(self.solver.Objective().BestBound() - CLOSE) if self.is_whole else cost
        unplaced = self.members[lost > SMALL]
        return Optimum(receiver, self._prices(), unplaced, math.ceil(missing - SMALL), cost, min(cost, least))

    def _kept_cost(self, receiver: Integers) -> int:
        """What those who are not free cost."""
        is_free = np.zeros(len(receiver), bool)
        is_free[self.members] = True
        used = ~is_free[self.taken.tails] & (receiver[self.taken.tails] == self.taken.heads)
        return int(self.taken.costs[used].sum())

    def _prices(self) -> Prices:
        """The relaxation's; a whole program has none."""
        managers = np.zeros(len(self.bounds.keeps))
        if self.is_whole:
            return Prices(managers, managers, np.zeros(len(self.receiver)), managers, managers)
        stay, stay_load, come, come_load = (
            -np.array([row.dual_value() for row in rows]).reshape(-1)
            for rows in (self.stay, self.stay_load, self.come, self.come_load)
        )
        for manager, row in self.counted.items():
            managers[manager] = row.dual_value()
        stay, come = stay + managers, come + managers
        member = np.full(len(self.receiver), float(self.penalty))
        stays, own = self.costs.stays, self.costs.manager
        member[stays] = (stay[own] + self.bounds.load * stay_load[own])[stays]
        member[self.members] = [self.row[member].dual_value() for member in self.members.tolist()]
        return Prices(stay, come, member, stay_load, come_load)
