"""Situations so small that every assignment can be tried."""

from __future__ import annotations

import itertools
from random import Random

import numpy as np

from server.coordination.rebalance.cost import Costs
from server.coordination.rebalance.situation import Manager, Situation, Solution

PLACES = 6


def some(random: Random) -> Situation:
    """Up to six members and four managers, and whatever may be wrong with their numbers."""
    situation = Situation()
    situation.points = [(41 + 2 * random.random(), -96 + 4 * random.random()) for _ in range(PLACES)]
    managers, limit = random.randint(1, 4), random.randint(1, 4)
    places = random.choice([1, 2, PLACES])  # few: managers at the same ones are one site
    present = [random.randint(-1, managers - 1) for _ in range(random.randint(1, 6))]
    for index in range(managers):
        leaves, others = random.random() < 0.15, random.choice([0, 0, 0, 1])
        situation.managers.append(
            Manager(
                f"PractitionerRole/{index}",
                f"Practitioner/{index}",
                keeps=0 if leaves else max(0, limit - others),
                room=0 if leaves else max(0, limit - others - present.count(index)),
                points=tuple(random.sample(range(places), min(places, random.choice([0, 1, 1, 2])))),
                is_new=random.random() < 0.3,
                leaves=leaves,
            )
        )
    for number, manager in enumerate(present):
        situation.members.add(
            f"Patient/{number}",
            manager,
            months=random.randint(0, 60),
            pinned=random.random() < 0.15,
            continuity=random.random() < 0.1,
            point=random.randint(-1, PLACES - 1),
            providers=[random.randrange(PLACES) for _ in range(random.choice([0, 0, 1, 2]))],
        )
    situation.least, situation.full = random.choice([0, 0, 1, 2, 3]), limit
    return situation


def weighted(situation: Situation, random: Random) -> Situation:
    """The same with caps in workload."""
    limit, members = random.randint(3, 9), situation.members
    for index in range(len(members)):
        members.load[index] = random.randint(1, 4)
    held = [0] * len(situation.managers)
    for manager, load in zip(members.manager, members.load, strict=True):
        if manager >= 0:
            held[manager] += load
    situation.managers = [
        one._replace(load_keeps=0 if one.leaves else limit, load_room=0 if one.leaves else max(0, limit - held[index]))
        for index, one in enumerate(situation.managers)
    ]
    situation.weighted, situation.full_load = True, limit
    return situation


def meets_the_caps(situation: Situation, solution: Solution) -> bool:
    """True where the moves leave nobody where they are, keep every cap, and give enough managers a member."""
    members, managers = situation.members, range(len(situation.managers))
    after = list(members.manager)
    for move in solution.moves:
        if move.receiver == move.sender or move.sender != members.manager[move.member]:
            return False
        after[move.member] = move.receiver
    comes = [after[member] != members.manager[member] for member in range(len(members))]
    staying, coming = (
        [sum(after[member] == one and comes[member] is is_new for member in range(len(members))) for one in managers]
        for is_new in (False, True)
    )
    limits = [(one.keeps, one.room) for one in situation.managers]
    return (
        all(stay <= keeps and come <= room for stay, come, (keeps, room) in zip(staying, coming, limits, strict=True))
        and sum(stay + come > 0 for stay, come in zip(staying, coming, strict=True)) >= situation.least
    )


def least_cost(situation: Situation) -> int | None:
    """The cost of the best of all assignments; None where none meets the caps."""
    costs, number = Costs(situation), len(situation.managers)
    everybody = np.arange(len(situation.members))
    rows = np.concatenate([rows for _, rows in costs.chunks(everybody, np.arange(number))])
    found = (
        _cost(situation, costs, rows, chosen) for chosen in itertools.product(range(number), repeat=len(everybody))
    )
    return min((cost for cost in found if cost is not None), default=None)


def _cost(situation: Situation, costs: Costs, rows: np.ndarray, chosen: tuple[int, ...]) -> int | None:
    members, cost = situation.members, 0
    numbers = np.zeros((4, len(situation.managers)), int)  # who stay and who come, in members and in load
    for member, manager in enumerate(chosen):
        comes = manager != members.manager[member]
        if comes and members.pinned[member] and costs.stays[member]:
            return None
        if not comes and situation.managers[manager].leaves:
            return None
        cost += int(rows[member, manager]) * comes
        numbers[2 * comes, manager] += 1
        numbers[2 * comes + 1, manager] += members.load[member]
    limits = np.array([(one.keeps, one.load_keeps, one.room, one.load_room) for one in situation.managers]).T
    above = numbers > limits
    if above[[0, 2]].any() or (situation.weighted and above.any()):
        return None
    return cost if ((numbers[0] + numbers[2]) > 0).sum() >= situation.least else None
