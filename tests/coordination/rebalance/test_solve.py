"""The best moves, against every assignment that there is."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from server.coordination.rebalance import columns, pricing, regions
from server.coordination.rebalance.situation import Manager, Situation
from server.coordination.rebalance.solve import solve
from tests.coordination.rebalance.small import least_cost, meets_the_caps, some, weighted

SEEDS = st.integers(0, 1 << 32)


@pytest.fixture(autouse=True)
def few_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """So few arcs at first, and so few managers in a region, that the others have to be priced."""
    monkeypatch.setattr(columns, "FIRST", 1)
    monkeypatch.setattr(columns, "REGIONS", 1)
    monkeypatch.setattr(pricing, "REGIONS", 1)
    monkeypatch.setattr(columns, "GUESSED", 2)
    monkeypatch.setattr(columns, "MARGIN", 0)
    monkeypatch.setattr(pricing, "MORE", 1)
    monkeypatch.setattr(regions, "SIZE", 2)


@given(SEEDS)
@settings(max_examples=300, deadline=None)
def test_solve_finds_the_least_cost_and_proves_it(seed: int) -> None:
    situation = some(Random(seed))
    least, solution = least_cost(situation), solve(situation)
    if least is None:
        assert solution.lacking
        return
    assert [] == solution.lacking
    assert (least, least) == (solution.cost, solution.bound)
    assert least == sum(move.cost for move in solution.moves)
    assert meets_the_caps(situation, solution)
    for move in solution.moves:
        assert move.cost == sum(move.parts.values())
        assert move.cost > 0 or move.sender < 0


@given(SEEDS)
@example(1695)  # a manager too few for the average, and everybody placed
@settings(max_examples=150, deadline=None)
def test_solve_with_workload_is_proven_where_few_arcs_are_left(seed: int) -> None:
    random = Random(seed)
    situation = weighted(some(random), random)
    least, solution = least_cost(situation), solve(situation)
    if least is None:
        assert solution.lacking
        return
    assert [] == solution.lacking
    assert (least, least) == (solution.cost, solution.bound)
    assert solution.cost == sum(move.cost for move in solution.moves)


@given(SEEDS)
@settings(max_examples=50, deadline=None)
def test_solve_answers_equal_inputs_equally(seed: int) -> None:
    assert solve(some(Random(seed))).moves == solve(some(Random(seed))).moves


@given(SEEDS)
@settings(max_examples=100, deadline=None)
def test_solve_prices_the_next_best_as_it_would_cost(seed: int) -> None:
    """With the alternative in the place of the chosen manager everything still fits, and costs so much more."""
    situation = some(Random(seed))
    solution = solve(situation)
    for move in solution.moves:
        if move.alternative is None:
            continue
        assert move.extra is not None
        assert move.extra >= 0 or situation.least
        taken = sum(other.receiver == move.alternative for other in solution.moves)
        assert taken < situation.managers[move.alternative].room


def crowded(members: int, *managers: tuple[int, int]) -> Situation:
    """Members all of the first manager; each manager with (keeps, room)."""
    situation = Situation(areas=["Location/polk", "Location/story"], full=3)
    for index, (keeps, room) in enumerate(managers):
        role = f"PractitionerRole/{index}"
        situation.managers.append(Manager(role, f"Practitioner/{index}", keeps=keeps, room=room, area="Location/polk"))
    for number in range(members):
        situation.members.add(f"Patient/{number}", 0, months=number, area=int(number > 0))
    return situation


def test_solve_moves_the_shortest_relationships() -> None:
    solution = solve(crowded(5, (3, 0), (3, 3)))
    assert [0, 1] == [move.member for move in solution.moves]


def test_solve_says_how_many_managers_are_lacking_and_where() -> None:
    [lacking] = solve(crowded(8, (3, 0), (3, 1))).lacking
    assert (2, "Location/story", "manager") == (lacking.managers, lacking.area, lacking.limit)


def test_solve_says_how_many_the_average_lacks() -> None:
    situation = crowded(4, (5, 1), (5, 5))
    situation.least = 4
    lacking = solve(situation).lacking
    assert (2, {"average"}) == (sum(one.managers for one in lacking), {one.limit for one in lacking})


def test_solve_says_whom_continuity_keeps_above_the_limit() -> None:
    situation = crowded(3, (2, 0), (3, 3))
    situation.members.pinned[0] = situation.members.pinned[1] = situation.members.pinned[2] = 1
    [lacking] = solve(situation).lacking
    assert ("continuity", 1, 0) == (lacking.limit, lacking.members, lacking.at)


def test_solve_without_anybody_has_nothing_to_do() -> None:
    assert (0, 0, []) == (solve(Situation()).cost, solve(Situation()).bound, solve(Situation()).moves)
