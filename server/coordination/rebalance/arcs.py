"""Arcs: the ways that are priced so far, what binds them, and the best that is found over them, with its prices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from server.coordination.rebalance.cost import NEVER, Costs, Flags, Integers, Numbers, Shorts
from server.coordination.rebalance.regions import Regions
from server.coordination.rebalance.sites import Sites
from server.coordination.rebalance.situation import Situation


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


def smallest(rows: Shorts | Integers | Numbers, number: int) -> Flags:
    """So many of the least of each row."""
    found = np.ones(rows.shape, bool)
    if number < rows.shape[1]:
        found[:] = False
        np.put_along_axis(found, np.argpartition(rows, number - 1, axis=1)[:, :number], True, axis=1)
    return found


def gathered(members: Flags, tails: list[Integers], heads: list[Integers], prices: list[Integers]) -> Columns:
    none = [np.empty(0, np.int64)]
    columns = Columns(members, *(np.concatenate(column or none) for column in (tails, heads, prices)))
    real = columns.costs < NEVER
    return Columns(members, columns.tails[real], columns.heads[real], columns.costs[real])


def joined(columns: Columns, more: Columns) -> Columns:
    """Both, in the order of members and managers, each arc once."""
    tails, heads = np.concatenate([columns.tails, more.tails]), np.concatenate([columns.heads, more.heads])
    _, places = np.unique(tails * (1 << 32) + heads, return_index=True)
    costs = np.concatenate([columns.costs, more.costs])[places]
    return Columns(columns.active | more.active, tails[places], heads[places], costs)
