"""The solver's process: its answer, and its end with time, memory or the client."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.coordination.rebalance.situation import Manager, Situation
from server.operations import solver
from server.operations.solver import solved
from server.outcome import Problem


def crowded(members: int = 3) -> Situation:
    """One member too many."""
    situation = Situation(full=members - 1)
    for index, room in enumerate((0, 2)):
        situation.managers.append(Manager(f"PractitionerRole/{index}", f"Practitioner/{index}", keeps=2, room=room))
    for number in range(members):
        situation.members.add(f"Patient/{number}", 0, months=number)
    return situation


def children() -> int:
    return len(Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split())


async def test_solved_answers_from_another_process() -> None:
    solution = await solved(crowded())
    assert [0] == [move.member for move in solution.moves]


async def test_solved_ends_with_the_client() -> None:
    """Long before it would have an answer: that takes a process and a solver that loads."""

    async def gone() -> None:
        await asyncio.sleep(0)

    before = children()
    with pytest.raises(Problem) as refused:
        await solved(crowded(), gone=gone)
    assert ("timeout", before) == (refused.value.kind, children())


async def test_solved_ends_with_its_task() -> None:
    before = children()
    running = asyncio.create_task(solved(crowded()))
    while children() == before:  # noqa: ASYNC110 - the system starts them
        await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert before == children()


async def test_solved_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of none at all: an answer takes more than one turn of the loop, however quick the machine is."""
    monkeypatch.setattr(solver, "GRACE", 0.0)
    with pytest.raises(Problem) as refused:
        await solved(crowded(), seconds=0.0)
    assert "timeout" == refused.value.kind


async def test_solved_keeps_to_its_memory() -> None:
    """Here so little that the solver does not even load."""
    with pytest.raises(Problem) as refused:
        await solved(crowded(), memory=1 << 20)
    assert "too_costly" == refused.value.kind


async def test_solved_tells_a_fault_from_a_lack_of_memory() -> None:
    situation = crowded()
    situation.members.manager.append(9)
    with pytest.raises(RuntimeError):
        await solved(situation)


def test_a_worker_loads_no_solver() -> None:
    loading = "import sys, server.app; sys.exit(bool({'numpy', 'ortools', 'pandas'} & sys.modules.keys()))"
    assert 0 == subprocess.run([sys.executable, "-c", loading], check=False).returncode
