"""Whatever is done in whatever order: what must hold of transfers holds after each commit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from itertools import combinations
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from server.coordination import period
from server.coordination.facts import Transfer
from server.ledger import Resource, micros
from server.outcome import Problem
from tests.coordination.handoff.transfers import (
    CONSIDERED,
    TELECOM,
    advanced,
    inside,
    introduced,
    opened,
    steps,
)
from tests.coordination.handoff.transfers import directory as managers_and_members
from tests.coordination.memory import Memory, assigned, episode, role, team

LIMIT = 3
ZONE = "America/Chicago"
MEMBERS = ("m1", "m2", "m3", "m4")
MANAGERS = ("a", "b", "c")
STATUSES = ("requested", "received", "accepted", "in-progress", "completed", "cancelled", "rejected", "failed", "draft")
Act = Callable[["World", Any], Awaitable[None]]


class World:
    """The ledger, and the ids of the transfers that were tried."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.tried = 0

    def transfers(self) -> list[Transfer]:
        found = [memory for (kind, _), memory in self.memory.rows.items() if kind == "transfer"]
        rows = {fact.source: fact for sources in found for facts in sources.values() for fact in facts}
        return [Transfer.of(fact) for fact in rows.values()]

    def a_transfer(self, number: int) -> Transfer:
        every = self.transfers()
        found = sorted([one for one in every if one.is_open] or every, key=lambda one: one.task)
        if not found:
            raise Problem.conflict("There is none yet")
        return found[number % len(found)]


async def hand_off(world: World, number: int) -> None:
    world.tried += 1
    member, manager = MEMBERS[number % 4], MANAGERS[number // 4 % 3]
    effective = (None, "2026-03-12", "2026-05-01")[number // 12 % 3]
    await opened(world.memory, member, f"PractitionerRole/{manager}", f"t{world.tried}", effective=effective)


async def go_on(world: World, number: int) -> None:
    """The step whose turn it is, with all that it takes."""
    transfer = world.a_transfer(number)
    found = await steps(world.memory, transfer.task)
    code = next((code for code in "12345" if found[code]["status"] != "completed"), "5")
    member, former = transfer.patient.partition("/")[2], str(transfer.sender)
    evidence: dict[str, list[Resource]] = {
        "3": inside(former, transfer.receiver),
        "4": [introduced(member, former, transfer.receiver)],
    }
    more: dict[str, Any] = {"2": {"considerations": (CONSIDERED,)}, "4": {"mode": "phone-both"}}.get(code, {})
    await advanced(world.memory, f"Task/{found[code]['id']}", *evidence.get(code, ()), **more)


async def give_up(world: World, number: int) -> None:
    await advanced(
        world.memory,
        world.a_transfer(number // 4).task,
        outcome=("cancelled", "rejected", "failed", "accepted")[number % 4],
    )


async def put_status(world: World, number: int) -> None:
    """A plain write of a Task of the transfer, whatever it says."""
    transfer = world.a_transfer(number)
    tasks = [transfer.task, *(f"Task/{one['id']}" for one in (await steps(world.memory, transfer.task)).values())]
    task = world.memory.get(tasks[number // 3 % len(tasks)])
    await world.memory.put(task | {"status": STATUSES[number // 20 % len(STATUSES)]})


async def put_team(world: World, number: int) -> None:
    """A plain write of a CareTeam: ended, handed to somebody, made inactive."""
    member, manager = MEMBERS[number % 4], f"PractitionerRole/{MANAGERS[number // 4 % 3]}"
    today = world.memory.now.date().isoformat()
    if f"CareTeam/{member}" not in world.memory.versions:
        await world.memory.put(team(member, assigned(manager, today)))
        return
    stored = world.memory.get(f"CareTeam/{member}")
    *former, last = stored["participant"]
    now = world.memory.now.isoformat()
    ended = last | {"period": {**last["period"], "end": last["period"].get("end", now)}}
    written = {
        0: stored | {"participant": [*former, ended]},
        1: stored | {"participant": [*former, ended, assigned(manager, now)]},
        2: stored | {"participant": [*former, last, assigned(manager, today)]},
        3: stored | {"status": "inactive" if stored["status"] == "active" else "active"},
    }
    await world.memory.put(written[number // 12 % 4])


async def come_and_go(world: World, number: int) -> None:
    """A manager leaves or comes back; a member's enrolment ends or goes on."""
    id = MANAGERS[number % 3]
    member = MEMBERS[number // 3 % 4]
    written = {
        0: role(id, active=False, telecom=TELECOM),
        1: role(id, telecom=TELECOM),
        2: episode(member, end=world.memory.now.date().isoformat(), status="finished"),
        3: episode(member),
    }
    await world.memory.put(written[number // 12 % 4])


async def wait(world: World, number: int) -> None:
    world.memory.now += timedelta(hours=number % 40)


ACTS: tuple[Act, ...] = (hand_off, go_on, go_on, go_on, give_up, put_status, put_team, come_and_go, wait)


@settings(max_examples=25, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(st.lists(st.tuples(st.integers(0, len(ACTS) - 1), st.integers(0, 500)), min_size=10, max_size=60))
def test_transfers_hold_in_any_order(acts: list[tuple[int, int]]) -> None:
    asyncio.run(_run(acts))


async def _run(acts: list[tuple[int, int]]) -> None:
    world = World(await managers_and_members(LIMIT))
    for act, number in acts:
        with suppress(Problem):  # an act may be refused; anything else that is raised is a fault
            await ACTS[act](world, number)
        await _check(world)


async def _check(world: World) -> None:
    transfers = world.transfers()
    for transfer in transfers:
        await _check_transfer(world, transfer)
    for member in MEMBERS:
        open_ones = [one for one in transfers if one.is_open and one.patient == f"Patient/{member}"]
        assert len(open_ones) < 2
        _check_one_at_a_time(world.memory, member)
    for manager in MANAGERS:
        await _check_cap(world, f"PractitionerRole/{manager}", transfers)


async def _check_transfer(world: World, transfer: Transfer) -> None:
    if transfer.status == "draft":
        return
    found = await steps(world.memory, transfer.task)
    statuses = [found[code]["status"] for code in "12345"]
    done = statuses.count("completed")
    assert ["completed"] * done == statuses[:done], "in order"
    assert (transfer.status == "completed") == (done == 5)
    if not transfer.is_open:
        assert not {"requested", "received", "accepted", "in-progress"}.intersection(statuses)
    if transfer.is_open and done > 3:
        assert "in-progress" == transfer.status


def _check_one_at_a_time(memory: Memory, member: str) -> None:
    """From now on nobody in the program has two case managers at an instant."""
    if not _is_enrolled(memory, f"Patient/{member}"):
        return
    teams = [memory.get(one) for one in memory.versions if one.startswith("CareTeam/")]
    now = period.Interval(micros(memory.now), period.NEVER)
    times = [
        (interval, one["member"]["reference"])
        for team in teams
        if team["subject"]["reference"] == f"Patient/{member}"
        for one in team.get("participant", ())
        for interval in period.intersection([period.between(*_ends(one), ZONE)], [now])
    ]
    for (one, somebody), (other, another) in combinations(times, 2):
        assert somebody == another or not period.intersection([one], [other])


async def _check_cap(world: World, manager: str, transfers: list[Transfer]) -> None:
    """Who is with the manager now, and who is to come at once, are no more than the limit."""
    now = micros(world.memory.now)
    teams = [world.memory.get(one) for one in world.memory.versions if one.startswith("CareTeam/")]
    held = {
        team["subject"]["reference"]
        for team in teams
        for one in team.get("participant", ())
        if one["member"]["reference"] == manager and period.holds([period.between(*_ends(one), ZONE)], now)
    }
    coming = {one.patient for one in transfers if one.is_open and one.receiver == manager and one.effective is None}
    enrolled = {one for one in held | coming if _is_enrolled(world.memory, one)}
    assert len(enrolled) <= LIMIT


def _ends(participant: Resource) -> tuple[str | None, str | None]:
    return participant["period"].get("start"), participant["period"].get("end")


def _is_enrolled(memory: Memory, patient: str) -> bool:
    return bool(memory.get(f"EpisodeOfCare/{patient.partition('/')[2]}")["status"] == "active")
