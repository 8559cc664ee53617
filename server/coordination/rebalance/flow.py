"""Flow: the best assignment over the arcs that are priced, as a minimum cost flow, and the prices that prove it.

https://developers.google.com/optimization/flow/mincostflow

The solver tells the flow and not its prices: these are the shortest ways to the sink over what the flow leaves, where
no cycle is negative since the flow is optimal. Cost + price[head] - price[tail] is then 0 or more on every arc with
room, and 0 or less on every one in use.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ortools.graph.python import min_cost_flow

from server.coordination.rebalance.arcs import Bounds, Columns, Optimum, Prices
from server.coordination.rebalance.cost import Costs, Flags, Integers
from server.coordination.rebalance.situation import NOBODY

UNREACHED = 1 << 60


def assigned(costs: Costs, bounds: Bounds, columns: Columns) -> Optimum:
    """The optimum over the arcs that are priced."""
    network = _Network()
    active = np.flatnonzero(columns.active)
    place = np.full(len(columns.active), -1, np.int64)
    place[active] = network.add_nodes(len(active), 1)
    sink = network.add_nodes(1, -len(active))
    staying, coming = (network.add_nodes(len(bounds.keeps)) for _ in range(2))
    stays = active[costs.stays[active]]
    going = network.add_arcs(place[columns.tails], coming[columns.heads], 1, columns.costs)
    network.add_arcs(place[stays], staying[costs.manager[stays]], 1)
    nowhere = network.add_arcs(place[active], sink, 1, bounds.penalty)
    others = np.bincount(costs.manager[costs.stays & ~columns.active], minlength=len(bounds.keeps))
    ends, lack = _ends(network, bounds, others, sink)
    network.add_arcs(staying, ends, np.maximum(bounds.keeps - others, 0))
    network.add_arcs(coming[bounds.sites.site], ends[bounds.sites.managers], bounds.room[bounds.sites.managers])
    flow, price = network.solve(int(sink[0]))
    used = flow[going] > 0
    receiver = np.full(len(columns.active), NOBODY, np.int64)
    receiver[columns.tails[used]] = columns.heads[used]
    member = np.full(len(columns.active), bounds.penalty, np.int64)
    member[costs.stays] = price[staying][costs.manager[costs.stays]]
    member[columns.tails[used]] = columns.costs[used] + price[coming][columns.heads[used]]
    unplaced = active[flow[nowhere] > 0]
    member[unplaced] = bounds.penalty
    cost = int(columns.costs[used].sum())
    none = np.zeros(len(bounds.keeps), np.int64)
    prices = Prices(price[staying], price[coming], member, none, none)
    return Optimum(receiver, prices, unplaced, int(flow[lack].sum()), cost, cost)


def guessed(costs: Costs, bounds: Bounds, columns: Columns) -> Integers:
    """What a place costs about, by manager, where each region (the columns' heads) is one with all its room."""
    regions, active = bounds.regions, np.flatnonzero(columns.active)
    network, place = _Network(), np.zeros(len(columns.active), np.int64)
    place[active] = network.add_nodes(len(active), 1)
    sink = network.add_nodes(1, -len(active))
    staying, coming = network.add_nodes(len(bounds.keeps)), network.add_nodes(len(regions.groups))
    room = np.bincount(bounds.sites.site, bounds.room[bounds.sites.managers], len(bounds.keeps)).astype(np.int64)
    stays = active[costs.stays[active]]
    network.add_arcs(place[columns.tails], coming[columns.heads], 1, columns.costs)
    network.add_arcs(place[stays], staying[costs.manager[stays]], 1)
    network.add_arcs(place[active], sink, 1, bounds.penalty)
    others = np.bincount(costs.manager[costs.stays & ~columns.active], minlength=len(bounds.keeps))
    network.add_arcs(staying, sink, np.maximum(bounds.keeps - others, 0))
    network.add_arcs(coming, sink, np.array([room[group].sum() for group in regions.groups], np.int64))
    _, price = network.solve(int(sink[0]))
    found = np.zeros(len(bounds.keeps), np.int64)
    for group, one in zip(regions.groups, price[coming].tolist(), strict=True):
        found[group] = min(one, bounds.penalty)
    return found


def _ends(network: _Network, bounds: Bounds, others: Integers, sink: Integers) -> tuple[Integers, slice]:
    """Where each manager's members go on to: the sink, or first the count of managers with a member, where it binds.

    Who is left out of the network stays, and so counts the manager; the others count by the first unit through them.
    """
    ends = np.full(len(bounds.keeps), sink[0])
    wanted = bounds.least - int((others > 0).sum())
    if wanted <= 0:
        return ends, slice(0, 0)
    open_ = np.flatnonzero(others == 0)
    ends[open_] = network.add_nodes(len(open_))
    counted, lack = network.add_nodes(1, -wanted), network.add_nodes(1, wanted)
    network.add_arcs(ends[open_], counted, 1)
    network.add_arcs(ends[open_], sink, len(others) + len(bounds.movable))
    network.add_arcs(counted, sink, len(open_))
    network.add_arcs(lack, sink, wanted)
    return ends, network.add_arcs(lack, counted, wanted, bounds.penalty)


@dataclass(slots=True)
class _Network:
    """Arcs and what each node supplies (a sink: less than 0). Arcs are added in blocks and keep their order."""

    supply: list[Integers] = field(default_factory=list)
    tails: list[Integers] = field(default_factory=list)
    heads: list[Integers] = field(default_factory=list)
    capacities: list[Integers] = field(default_factory=list)
    costs: list[Integers] = field(default_factory=list)
    nodes: int = 0
    arcs: int = 0

    def add_nodes(self, number: int, supply: int = 0) -> Integers:
        """New nodes, each with this supply."""
        self.supply.append(np.full(number, supply, np.int64))
        self.nodes += number
        return np.arange(self.nodes - number, self.nodes)

    def add_arcs(
        self, tails: Integers, heads: Integers | int, capacities: Integers | int, costs: Integers | int = 0
    ) -> slice:
        """New arcs; where they stand in the flows."""
        columns = (self.tails, self.heads, self.capacities, self.costs)
        for column, values in zip(columns, np.broadcast_arrays(tails, heads, capacities, costs), strict=True):
            column.append(values.astype(np.int64))
        self.arcs += len(tails)
        return slice(self.arcs - len(tails), self.arcs)

    def solve(self, sink: int) -> tuple[Integers, Integers]:
        """The flow on each arc, and each node's price: what one unit more there would cost on its way to the sink
        (UNREACHED: it could not get there)."""
        tails, heads, capacities, costs = (
            np.concatenate(column) for column in (self.tails, self.heads, self.capacities, self.costs)
        )
        solver = min_cost_flow.SimpleMinCostFlow()
        arcs = solver.add_arcs_with_capacity_and_unit_cost(tails, heads, capacities, costs)
        solver.set_nodes_supplies(np.arange(self.nodes), np.concatenate(self.supply))
        status = solver.solve()
        if status != solver.OPTIMAL:
            raise ArithmeticError(f"the flow of {self.nodes} nodes and {self.arcs} arcs is {status}")
        flow = np.asarray(solver.flows(arcs), np.int64)
        return flow, _remaining(self.nodes, tails, heads, costs, flow < capacities, flow > 0, sink)


def _remaining(
    nodes: int, tails: Integers, heads: Integers, costs: Integers, forward: Flags, backward: Flags, sink: int
) -> Integers:
    """The shortest way from each node to the sink over what the flow leaves: arcs with room, and used ones back."""
    sources = np.concatenate([tails[forward], heads[backward]])
    targets = np.concatenate([heads[forward], tails[backward]])
    lengths = np.concatenate([costs[forward], -costs[backward]])
    order = np.argsort(sources, kind="stable")
    sources, targets, lengths = sources[order], targets[order], lengths[order]
    starts = np.flatnonzero(np.diff(sources, prepend=-1))
    reached = sources[starts]
    price = np.full(nodes, UNREACHED)
    price[sink] = 0
    for _ in range(nodes):
        best = np.minimum.reduceat(price[targets] + lengths, starts)
        nearer = best < np.minimum(price[reached], UNREACHED >> 1)
        if not nearer.any():
            return price
        price[reached[nearer]] = best[nearer]
    raise ArithmeticError("what the flow leaves has a negative cycle: it is not optimal")
