"""Shortage: what is lacking where no moves meet the caps: how many case managers, where, and under which limit."""

from __future__ import annotations

from collections import Counter

from server.coordination.rebalance.situation import NOBODY, UNKNOWN, Shortage, Situation


def pinned(situation: Situation) -> list[Shortage]:
    """Managers whom the members that continuity keeps would leave above the limit; only a release helps there."""
    members, held, load = situation.members, Counter[int](), Counter[int]()
    for index, is_pinned, weight in zip(members.manager, members.pinned, members.load, strict=True):
        if is_pinned and index != NOBODY and not situation.managers[index].leaves:
            held[index] += 1
            load[index] += weight
    found = []
    for index, manager in enumerate(situation.managers):
        above = held[index] - max(0, manager.keeps)
        if above > 0 or (situation.weighted and load[index] > manager.load_keeps):
            found.append(Shortage(0, manager.area, "continuity", max(1, above), index))
    return found


def lacking(situation: Situation, unplaced: list[int], missing: int) -> list[Shortage]:
    """Managers to add, for members with no place (`unplaced`) and for an average that too few have (`missing`)."""
    full = max(1, situation.full)
    for_places = -(-len(unplaced) // full)
    if for_places >= missing:
        return _where(situation, for_places, "manager", Counter(map(situation.members.area.__getitem__, unplaced)))
    return _where(situation, missing, "average", Counter(situation.members.area))


def overloaded(situation: Situation, unplaced: list[int]) -> list[Shortage]:
    """Managers to add, for members whose weighted workload has no place."""
    load = sum(map(situation.members.load.__getitem__, unplaced))
    number = -(-load // max(1, situation.full_load))
    return _where(situation, number, "workload", Counter(map(situation.members.area.__getitem__, unplaced)))


def _where(situation: Situation, number: int, limit: str, members: Counter[int]) -> list[Shortage]:
    """Share the missing managers among the areas: one after the other to where most members come on a manager."""
    there = Counter(manager.area for manager in situation.managers if not manager.leaves and limit == "average")
    waiting = Counter[str]()
    for area, count in members.items():
        waiting["" if area == UNKNOWN else situation.areas[area]] += count
    added = Counter[str]()
    for _ in range(number):
        added[min(waiting, key=lambda area: (-waiting[area] / (there[area] + added[area] + 1), area))] += 1
    return [Shortage(added[area], area, limit, waiting[area]) for area in sorted(added)]
