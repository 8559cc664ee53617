"""Solver: a Situation is solved in a process of its own: a worker neither loads the solver nor waits for it.

The process has a limit of time and of memory, and ends with the request that wants its answer.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import resource
import sys
from collections.abc import Awaitable, Callable

from server.coordination.rebalance.situation import Situation, Solution
from server.outcome import Problem

SECONDS = 75.0  # of processor time, for the search: fair where others are at work; a gap says what is left then
GRACE = 45.0  # on the clock, beyond twice that
MEMORY = 3 << 30  # bytes
FAILED, TOO_LATE, TOO_BIG = 1, 3, 4  # exit codes; the first is Python's own


async def solved(
    situation: Situation,
    seconds: float = SECONDS,
    memory: int = MEMORY,
    gone: Callable[[], Awaitable[None]] | None = None,
) -> Solution:
    """The best moves. Problem timeout or too_costly where the process does not get there; `gone` ends it. A
    RuntimeError is a fault of ours: the traceback is in the log."""
    content = await asyncio.to_thread(pickle.dumps, (situation, seconds))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        f"from server.operations.solver import main; main({memory})",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    answering = asyncio.ensure_future(process.communicate(content))
    waiting = [answering, *([asyncio.ensure_future(gone())] if gone else [])]
    try:
        await asyncio.wait(waiting, timeout=2 * seconds + GRACE, return_when=asyncio.FIRST_COMPLETED)
    finally:
        is_answered = answering.done()
        for one in waiting:
            one.cancel()
        if process.returncode is None:
            process.kill()
            await process.wait()
    if not is_answered or process.returncode == TOO_LATE:
        raise _late()
    if process.returncode == FAILED:
        raise RuntimeError("the search for moves ended with an error")
    if process.returncode != 0:
        raise Problem.of("too_costly", "The rebalancing takes more memory than it may: suppose fewer (hire, enrolling)")
    solution: Solution = await asyncio.to_thread(pickle.loads, answering.result()[0])
    return solution


def _late() -> Problem:
    return Problem.of("timeout", "No rebalancing that meets the caps was found in time; ask again, or relax a limit")


def main(memory: int) -> None:
    """Read what to solve, and answer: the child process, in so many bytes."""
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    os.nice(5)  # who reads and writes meanwhile goes first
    try:
        from server.coordination.rebalance.solve import solve  # nobody else loads it

        situation, seconds = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the worker that started this process
        sys.stdout.buffer.write(pickle.dumps(solve(situation, seconds)))
    except TimeoutError:
        sys.exit(TOO_LATE)
    except MemoryError:
        sys.exit(TOO_BIG)
