"""Sites: who goes to which of the managers to whom a move costs the same."""

from __future__ import annotations

import numpy as np

from server.coordination.rebalance.cost import Costs
from server.coordination.rebalance.sites import Sites
from server.coordination.rebalance.situation import NOBODY, Manager, Situation


def office(*managers: tuple[int, int], elsewhere: int = 0) -> Situation:
    """Managers at one place, each with (members, room); and another one, at another place, who leaves."""
    situation = Situation(points=[(41.6, -93.6), (42.0, -93.6)])
    for index, (held, room) in enumerate([*managers, (elsewhere, 0)]):
        is_last = index == len(managers)
        situation.managers.append(
            Manager(f"PractitionerRole/{index}", f"Practitioner/{index}", "", held, room, (int(is_last),))
        )
        for _ in range(held):
            situation.members.add(f"Patient/{len(situation.members)}", index)
    return situation


def shared(situation: Situation, *movers: int) -> list[int]:
    costs = Costs(situation)
    room = np.array([one.room for one in situation.managers])
    sites = Sites.of(costs, np.flatnonzero(room), alone=False)
    receiver = np.full(len(situation.members), NOBODY)
    receiver[list(movers)] = sites.firsts[0]
    return sites.shared_out(costs, room, receiver)[list(movers)].tolist()


def test_sites_are_managers_at_the_same_places() -> None:
    situation = office((1, 1), (0, 2), (0, 3))
    situation.managers[2] = situation.managers[2]._replace(points=(1, 0))
    situation.managers.append(situation.managers[2]._replace(points=(0, 1)))
    sites = Sites.of(Costs(situation), np.array([0, 1, 2, 4]), alone=False)
    assert [[0, 1], [2, 4]] == [managers.tolist() for managers in sites.alike()]
    assert [0, 2] == sites.firsts.tolist()


def test_shared_out_gives_one_to_each_without_members_then_to_who_has_most_room() -> None:
    situation = office((1, 5), (0, 2), (0, 1), elsewhere=5)
    assert [0, 0, 0, 1, 2] == sorted(shared(situation, 1, 2, 3, 4, 5))


def test_shared_out_leaves_nobody_with_the_manager_of_now() -> None:
    situation = office((1, 1), (0, 1), elsewhere=1)
    assert [1, 0] == shared(situation, 0, 1)
