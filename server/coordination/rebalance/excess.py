"""Excess: what it costs at least, by the prices of places, that managers above a limit let whole members go.

A Lagrangian bound (https://doi.org/10.1287/mnsc.27.1.1): with prices for the places where members may go, each manager
above a limit decides alone whom to let go, which is a knapsack to be covered in load and in number, solved exactly. The
linear relaxation lets go of a third of a member where a third of the load is too much; this does not, so that its bound
is higher, by percents where loads are coarse and the moves are few.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from server.coordination.rebalance.arcs import Bounds, Prices
from server.coordination.rebalance.cost import Costs, Integers, Numbers

STATES = 1 << 10  # of load that a knapsack tells apart; loads are rounded in favour of the bound where there are more


class Worth(NamedTuple):
    """What any moves cost at least, and the prices by which they do: a member's is what its cheapest way costs, or less
    where it is worth less that this one goes. What takes a way that costs more costs as much more than the bound."""

    bound: float
    prices: Prices


def worth(costs: Costs, bounds: Bounds, prices: Prices) -> Worth:
    """The bound by these prices of coming; those of staying have no part in it."""
    receivers = bounds.receivers
    has_some = bounds.held > 0  # and needs no first member
    coming = np.where(has_some, np.maximum(prices.coming, 0.0), prices.coming)
    load = np.maximum(prices.coming_load, 0.0)
    going = _cheapest(costs, bounds, coming[receivers], load[receivers])
    total = float(going[~costs.stays].sum()) + _for_the_average(bounds, coming)
    total -= float((np.maximum(coming, 0.0) * bounds.room + load * bounds.load_room)[receivers].sum())
    value = np.where(costs.stays, 0.0, going)
    for knapsack in _knapsacks(costs, bounds):
        total += knapsack.solve(going, value)
    member = np.minimum(going, value)  # whoever goes anyway has a way that is cheaper than that
    return Worth(total, prices._replace(coming=coming, coming_load=load, member=member))


def _cheapest(costs: Costs, bounds: Bounds, coming: Numbers, load: Numbers) -> Numbers:
    """What each member's way costs at least, the price of the place included."""
    found = np.full(len(bounds.load), np.inf)
    for chunk, rows in costs.chunks(np.flatnonzero(bounds.movable), bounds.receivers):
        found[chunk] = (rows + coming + bounds.load[chunk][:, None] * load).min(axis=1, initial=np.inf)
    return found


def _for_the_average(bounds: Bounds, coming: Numbers) -> float:
    """What is paid for managers without a member to get one, as many as have to: those whose price is least."""
    open_ = bounds.receivers[bounds.held[bounds.receivers] == 0]
    wanted = bounds.least - int(((bounds.held > 0) & (bounds.keeps > 0)).sum())
    paid = np.sort(np.maximum(-coming[open_], 0.0))
    return float(paid[: max(0, wanted)].sum())


class _Knapsack(NamedTuple):
    """A manager's movable members, each with a load, and how much has to go, in load and in number."""

    members: Integers
    load: Integers
    too_much: int
    too_many: int

    def solve(self, going: Numbers, value: Numbers) -> float:
        """The least that it costs, where each costs `going`; what each is worth then goes to `value`."""
        least = np.full((self.too_much + 1, self.too_many + 1), np.inf)
        least[0, 0] = 0.0
        fewer = np.maximum(np.arange(self.too_many + 1) - 1, 0)
        amounts = np.arange(self.too_much + 1)
        for member, load in zip(self.members.tolist(), self.load.tolist(), strict=True):
            rest = np.maximum(amounts - load, 0)
            np.minimum(least, going[member] + least[np.ix_(rest, fewer)], out=least)
        rest = np.maximum(self.too_much - self.load, 0)
        value[self.members] = least[-1, -1] - least[rest, fewer[-1]]
        return float(least[-1, -1])


def _knapsacks(costs: Costs, bounds: Bounds) -> Iterator[_Knapsack]:
    """Of each manager above a limit."""
    number = len(bounds.keeps)
    held = np.bincount(costs.manager[costs.stays], bounds.load[costs.stays], number).astype(np.int64)
    too_much, too_many = np.maximum(held - bounds.load_keeps, 0), np.maximum(bounds.held - bounds.keeps, 0)
    may_go = np.flatnonzero(costs.stays & bounds.movable)
    may_go = may_go[np.argsort(costs.manager[may_go], kind="stable")]
    starts = np.searchsorted(costs.manager[may_go], np.arange(number + 1))
    unit = max(1, int(np.gcd.reduce(bounds.load)))
    for manager in np.flatnonzero((too_much > 0) | (too_many > 0)).tolist():
        members = may_go[starts[manager] : starts[manager + 1]]
        much, load = -(-int(too_much[manager]) // unit), bounds.load[members] // unit
        coarse = -(-much // STATES) or 1
        yield _Knapsack(members, -(-load // coarse), much // coarse, int(too_many[manager]))
