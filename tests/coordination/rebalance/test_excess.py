"""The bound by whole members: never above the best of all, and above what halves of members would cost."""

from __future__ import annotations

from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from server.coordination.rebalance.arcs import Bounds, Prices
from server.coordination.rebalance.cost import Costs
from server.coordination.rebalance.excess import worth
from server.coordination.rebalance.situation import Manager, Situation
from tests.coordination.rebalance.small import least_cost, some, weighted


def bound(situation: Situation, coming: float = 0.0, load: float = 0.0) -> float:
    costs = Costs(situation)
    managers, members = np.zeros(len(situation.managers)), np.zeros(len(situation.members))
    prices = Prices(managers, managers + coming, members, managers, managers + load)
    return worth(costs, Bounds.of(situation, costs), prices).bound


def test_worth_lets_whole_members_go() -> None:
    """Of three loads of 10 under a limit of 25 one goes, and not a half."""
    situation = Situation(weighted=True, full_load=25)
    for role, load_room in (("a", 0), ("b", 25)):
        situation.managers.append(
            Manager(f"PractitionerRole/{role}", f"Practitioner/{role}", "", 5, 5, load_keeps=25, load_room=load_room)
        )
    for number in range(3):
        situation.members.add(f"Patient/{number}", 0, months=number, load=10)
    assert 100 == bound(situation) == least_cost(situation)


@given(st.integers(0, 1 << 32), st.floats(-20, 50), st.floats(0, 20))
@settings(max_examples=100, deadline=None)
def test_worth_is_a_bound_by_whatever_prices(seed: int, coming: float, load: float) -> None:
    random = Random(seed)
    situation = weighted(some(random), random)
    least = least_cost(situation)
    assert least is None or bound(situation, coming, load) <= least + 1e-6
