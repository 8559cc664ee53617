#!/usr/bin/env python3
"""Rebalancing with caps in workload, on generated situations of several shapes: how far from proven the moves are.

    workload.py [shape …]

It runs the search alone, without a store or HTTP, and prints Markdown for docs/benchmarks.md. Members live around
towns, most of them near their case manager; the loads of a level are those of `benchmarks/rebalance.py`.
"""

from __future__ import annotations

import sys
import time
from random import Random
from typing import NamedTuple

from benchmarks.machine import machine
from benchmarks.rebalance import LEVELS
from server.coordination.rebalance.situation import Manager, Situation
from server.coordination.rebalance.solve import solve

TOWNS, PROVIDERS = 99, 200
SHARES = [50, 25, 15, 10]  # of the levels, in percent
PLACES = 50  # members at most
COARSE = (1, 3, 7, 11)


class Shape(NamedTuple):
    """What a situation looks like."""

    members: int
    managers: int
    hires: int
    limit: int  # of workload
    spread: float = 10.0  # of caseloads: their standard deviation
    leavers: int = 0
    offices: bool = False  # all managers of a town are at one place
    average: int | None = 45
    loads: tuple[int, ...] = tuple(LEVELS.values())


SHAPES = {
    "few moves": Shape(10_000, 230, 2, 760, spread=4, average=None),
    "few moves of many members": Shape(30_000, 690, 10, 760, spread=4, average=None),
    "tight limit": Shape(10_000, 230, 20, 720),
    "leavers and hires": Shape(10_000, 240, 10, 750, leavers=8),
    "coarse loads": Shape(10_000, 235, 5, 160, average=None, loads=COARSE),
    "offices": Shape(12_000, 260, 30, 720, spread=12, offices=True),
    "many moves": Shape(30_000, 620, 100, 750, spread=15),
    "hires for the average": Shape(30_000, 600, 100, 850),
}


def situation(shape: Shape, seed: str) -> Situation:
    """The same each time for a shape and a seed."""
    random, found = Random(seed), Situation(full=PLACES, weighted=True, full_load=shape.limit)
    towns = [(random.uniform(40.5, 43.4), random.uniform(-96.4, -90.3)) for _ in range(TOWNS)]
    weights = [random.paretovariate(1.2) for _ in range(TOWNS)]

    def point(town: int, around: float) -> int:
        latitude, longitude = towns[town]
        found.points.append((random.gauss(latitude, around), random.gauss(longitude, around)))
        return len(found.points) - 1

    offices = [point(town, 0.0) for town in range(TOWNS)]
    providers = [point(town, 0.08) for town in random.choices(range(TOWNS), weights, k=PROVIDERS)]
    everybody = shape.managers + shape.hires
    homes = random.choices(range(TOWNS), weights, k=everybody)
    places = [offices[town] if shape.offices else point(town, 0.1) for town in homes]
    for number, manager in enumerate(having(shape, random)):
        town = homes[manager] if random.random() < 0.85 else random.choices(range(TOWNS), weights)[0]
        found.members.add(
            f"Patient/{number}",
            manager,
            months=random.randint(0, 80),
            pinned=random.random() < 0.02,
            continuity=random.random() < 0.03,
            point=point(town, 0.15),
            providers=random.sample(providers, random.randint(0, 3)),
            load=random.choices(shape.loads, SHARES)[0],
        )
    found.least = -(-shape.members // shape.average) if shape.average else 0
    found.managers = managers(shape, found, places, set(random.sample(range(shape.managers), shape.leavers)))
    return found


def having(shape: Shape, random: Random) -> list[int]:
    """The manager of each member."""
    counts = [max(1, round(random.gauss(shape.members / shape.managers, shape.spread))) for _ in range(shape.managers)]
    found = [manager for manager, count in enumerate(counts) for _ in range(count)]
    found += random.choices(range(shape.managers), k=max(0, shape.members - len(found)))
    random.shuffle(found)
    return found[: shape.members]


def managers(shape: Shape, found: Situation, places: list[int], leavers: set[int]) -> list[Manager]:
    """Each with the places that are left; the hires have all."""
    held, load = [0] * len(places), [0] * len(places)
    for manager, weight in zip(found.members.manager, found.members.load, strict=True):
        held[manager] += 1
        load[manager] += weight
    return [
        Manager(
            f"PractitionerRole/{index}",
            f"Practitioner/{index}",
            points=(place,),
            is_new=index >= shape.managers,
            leaves=index in leavers,
            keeps=0 if index in leavers else PLACES,
            room=0 if index in leavers else max(0, PLACES - held[index]),
            load_keeps=0 if index in leavers else shape.limit,
            load_room=0 if index in leavers else max(0, shape.limit - load[index]),
        )
        for index, place in enumerate(places)
    ]


def main() -> None:
    print(f"{machine()}\n\n| shape | members, managers | moves | gap, % | processor time, s |")
    print("| --- | --- | --- | --- | --- |")
    for name in sys.argv[1:] or SHAPES:
        shape = SHAPES[name]
        found, started = situation(shape, name), time.process_time()
        solution = solve(found)
        gap = 100 * (solution.cost - solution.bound) / max(1, solution.cost)
        size = f"{shape.members:,}, {shape.managers + shape.hires}"
        lacking = f" lacking {solution.lacking[0].managers} ({solution.lacking[0].limit})" if solution.lacking else ""
        spent = time.process_time() - started
        print(f"| {name} | {size} | {len(solution.moves):,}{lacking} | {gap:.3f} | {spent:.1f} |", flush=True)


if __name__ == "__main__":
    main()
