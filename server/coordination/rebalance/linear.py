"""Linear: the assignment over the arcs that are priced, with caps in members and in workload, as a linear program.

https://developers.google.com/optimization/lp, https://developers.google.com/optimization/mip
"""

from __future__ import annotations

import math
import time
from typing import Any, NamedTuple

import numpy as np
from ortools.linear_solver import pywraplp

from server.coordination.rebalance.arcs import Bounds, Columns, Optimum, Prices
from server.coordination.rebalance.cost import Costs, Flags, Integers
from server.coordination.rebalance.situation import NOBODY

SMALL = 1e-6
ROUNDED = 1e-3  # what floating point numbers may be off a whole cost
ENOUGH = "limits/gap = 0.0001\nlimits/nodes = 2000\ntiming/clocktype = 1\nlimits/time = {}"  # SCIP's parameters
PENALTY = 10_000_000  # at most, for a place that there is not: the programs work with floating point numbers


def relaxed(costs: Costs, bounds: Bounds, taken: Columns) -> Optimum:
    """The best where members may be split, with its prices."""
    try:
        return _Program(costs, bounds, taken, "GLOP").solve()
    except ArithmeticError:  # numbers that it does not master
        return _Program(costs, bounds, taken, "CLP").solve()


def whole(costs: Costs, bounds: Bounds, taken: Columns, until: float, known: Optimum | None = None) -> Optimum:
    """The best of whole members that SCIP finds until then, of time.process_time; no worse than one that is `known`."""
    enough = ENOUGH.format(max(1.0, until - time.process_time()))
    program = _Program(costs, bounds, taken, "SCIP", enough)
    if known is not None:
        program.begin_with(known)
    return program.solve()


class _Left(NamedTuple):
    """What those of whom no arc is priced, who stay, leave for the others."""

    keeps: Integers
    load_keeps: Integers
    is_open: Flags  # managers without a member so far
    wanted: int  # how many of those need one

    @classmethod
    def of(cls, costs: Costs, bounds: Bounds, active: Flags) -> _Left:
        stays = costs.stays & ~active
        managers, kept = len(bounds.keeps), costs.manager[stays]
        staying = np.bincount(kept, minlength=managers)
        load = np.bincount(kept, bounds.load[stays], managers).astype(np.int64)
        is_open = staying == 0
        wanted = bounds.least - int((~is_open).sum())
        return cls(bounds.keeps - staying, bounds.load_keeps - load, is_open, wanted)


class _Program:
    """The program that places the members of whom arcs are priced; the others stay."""

    def __init__(self, costs: Costs, bounds: Bounds, taken: Columns, kind: str, enough: str = "") -> None:
        self.costs, self.bounds, self.taken = costs, bounds, taken
        self.solver = pywraplp.Solver.CreateSolver(kind)
        self.is_whole = kind == "SCIP"
        if self.is_whole:
            self.solver.SetSolverSpecificParametersAsString(enough)
        left = _Left.of(costs, bounds, taken.active)
        self.stay, self.stay_load, self.come, self.come_load = (
            [self.solver.Constraint(-self.solver.infinity(), max(0, limit)) for limit in limits.tolist()]
            for limits in (left.keeps, left.load_keeps, bounds.room, bounds.load_room)
        )
        self.penalty = min(bounds.penalty, PENALTY)
        self.counted: dict[int, Any] = {}
        self.lack = self._count(left) if left.wanted > 0 else None
        self.members = np.flatnonzero(taken.active)
        self.row = {member: self.solver.Constraint(1, 1) for member in self.members.tolist()}
        ways = (column.tolist() for column in (taken.tails, taken.heads, taken.costs))
        coming = self.come, self.come_load
        self.going = [self._way(member, manager, cost, coming) for member, manager, cost in zip(*ways, strict=True)]
        staying = np.flatnonzero(taken.active & costs.stays)
        for member, manager in zip(staying.tolist(), costs.manager[staying].tolist(), strict=True):
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

    def begin_with(self, known: Optimum) -> None:
        """What is known of ways that are here too."""
        used = known.receiver[self.taken.tails] == self.taken.heads
        self.solver.SetHint(self.going, used.astype(float).tolist())

    def solve(self) -> Optimum:
        """Whole or not: who is split goes nowhere, and the cost is then the relaxation's, rounded up. The bound is that
        of these arcs."""
        status = self.solver.Solve()
        if status == self.solver.NOT_SOLVED:
            raise TimeoutError
        if status not in (self.solver.OPTIMAL, self.solver.FEASIBLE):
            raise ArithmeticError(f"the program of {self.solver.NumVariables()} variables is {status}")
        receiver = np.full(len(self.taken.active), NOBODY)
        going = np.flatnonzero([share.solution_value() > 1 - SMALL for share in self.going])
        receiver[self.taken.tails[going]] = self.taken.heads[going]
        lost = np.array([share.solution_value() for share in self.nowhere])
        missing = self.lack.solution_value() if self.lack else 0.0
        value = self.solver.Objective().Value() - self.penalty * (float(lost.sum()) + missing)
        cost = math.ceil(value - SMALL)
        least = math.ceil(self.solver.Objective().BestBound() - ROUNDED) if self.is_whole else cost
        unplaced = self.members[lost > SMALL]
        return Optimum(receiver, self._prices(), unplaced, math.ceil(missing - SMALL), cost, min(cost, least))

    def _prices(self) -> Prices:
        """The relaxation's; a whole program has none."""
        managers = np.zeros(len(self.bounds.keeps))
        if self.is_whole:
            return Prices(managers, managers, np.zeros(len(self.taken.active)), managers, managers)
        stay, stay_load, come, come_load = (
            -np.array([row.dual_value() for row in rows]).reshape(-1)
            for rows in (self.stay, self.stay_load, self.come, self.come_load)
        )
        for manager, row in self.counted.items():
            managers[manager] = row.dual_value()
        stay, come = stay + managers, come + managers
        member = np.full(len(self.taken.active), float(self.penalty))
        stays, own = self.costs.stays, self.costs.manager
        member[stays] = (stay[own] + self.bounds.load * stay_load[own])[stays]
        member[self.members] = [self.row[member].dual_value() for member in self.members.tolist()]
        return Prices(stay, come, member, stay_load, come_load)
