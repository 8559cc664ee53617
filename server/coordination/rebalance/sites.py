"""Sites: case managers to whom any member's move costs the same: at the same places, and as new.

The search knows a site by its first manager, with the room of all: a county's office of 300 is one place to go to, and
not 300 between which nothing but chance decides. Who goes to which of them is settled afterwards.

A member may then seem to go to the manager of now, who has room, among others. But who has room may keep everybody, and
staying costs less than any move; so nothing that is the best does that, once members of a site change places.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from server.coordination.rebalance.cost import Costs, Flags, Integers, Receivers
from server.coordination.rebalance.situation import NOBODY


@dataclass(frozen=True, slots=True)
class Sites:
    """Managers with room, site after site."""

    managers: Integers
    site: Integers  # the first of its site, for each of these managers

    @classmethod
    def of(cls, costs: Costs, managers: Integers, *, alone: bool) -> Sites:
        """The sites of some managers; `alone`: each is one, since there is more to room than a number."""
        if alone or not len(managers):
            return cls(managers, managers)
        looks = np.column_stack([np.sort(costs.locations[managers], axis=1), costs.ramp[managers]])
        _, first, which = np.unique(looks, axis=0, return_index=True, return_inverse=True)
        site = managers[first[which.reshape(-1)]]
        order = np.lexsort((managers, site))
        return cls(managers[order], site[order])

    @property
    def firsts(self) -> Integers:
        """The first manager of each site, who stands for it."""
        return np.unique(self.site)

    def receivers(self, costs: Costs, firsts: Integers) -> Receivers:
        """Some sites, and what going to them costs: to one's own too, where there are others at it."""
        number = np.searchsorted(self.site, firsts, side="right") - np.searchsorted(self.site, firsts)
        return Receivers(costs, firsts, number == 1)

    def alike(self) -> Iterator[Integers]:
        """The managers of each site."""
        yield from np.split(self.managers, np.flatnonzero(np.diff(self.site)) + 1) if len(self.managers) else ()

    def few(self, free: Flags) -> Integers:
        """Of each site's free managers the first three: one is neither who has a member nor who gets it."""
        is_free = free[self.managers]
        managers, site = self.managers[is_free], self.site[is_free]
        return np.sort(managers[np.arange(len(site)) - np.searchsorted(site, site) < 3])

    def shared_out(self, costs: Costs, room: Integers, receiver: Integers) -> Integers:
        """Each member's own receiver, where `receiver` is that of a site.

        Who would otherwise have nobody comes first, as the average wants it, and then who has the most room.
        """
        found = receiver.copy()
        staying = np.bincount(costs.manager[costs.stays & (receiver == NOBODY)], minlength=len(room))
        members = np.argsort(receiver, kind="stable")
        starts = np.searchsorted(receiver[members], np.arange(len(room) + 1))
        for managers in self.alike():
            coming = members[starts[managers[0]] : starts[managers[0] + 1]]
            places = _places(managers, room[managers], staying[managers], len(coming))
            found[coming] = _elsewhere(places, costs.manager[coming])
        return found


def _places(managers: Integers, room: Integers, staying: Integers, number: int) -> Integers:
    """The manager of each of so many places: one for each who has nobody, then the most room, evenly."""
    which = np.repeat(np.arange(len(managers)), room)
    nth = np.arange(len(which)) - np.repeat(np.cumsum(room) - room, room)
    left = np.repeat(room, room) - nth
    is_later = (staying[which] > 0) | (nth > 0)
    return managers[which[np.lexsort((which, -left, is_later))[:number]]]


def _elsewhere(places: Integers, own: Integers) -> Integers:
    """The places, so that nobody comes to the manager of now."""
    places = places.copy()
    for one in np.flatnonzero(places == own).tolist():
        other = np.flatnonzero((places != own[one]) & (own != places[one]))
        places[[one, other[0]]] = places[[other[0], one]]
    return places
