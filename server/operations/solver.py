"""Solver: a Situation is solved in a process of its own: a worker neither loads the solver nor waits for it.

The process has a limit of time and of memory, and ends with the request that wants its answer.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import resource
import sys

from server.coordination.rebalance.situation import Situation, Solution
from server.outcome import Problem

SECONDS = 75.0  # for the search; a gap says what is left then
GRACE = 45.0  # more, for starting, reading and explaining
MEMORY = 3 << 30  # bytes
TOO_LATE, TOO_BIG = 3, 4  # exit codes


async def solved(situation: Situation, seconds: float = SECONDS) -> Solution:
    """The best moves. Problem timeout or too_costly where the process does not get there."""
    content = await asyncio.to_thread(pickle.dumps, (situation, seconds))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from server.operations.solver import main; main()",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    try:
        answer, _ = await asyncio.wait_for(process.communicate(content), seconds + GRACE)
    except TimeoutError:
        raise _late() from None
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode == TOO_LATE:
        raise _late()
    if process.returncode != 0:
        raise Problem.of("too_costly", "The rebalancing takes more memory than it may; take one area at a time")
    solution: Solution = await asyncio.to_thread(pickle.loads, answer)
    return solution


def _late() -> Problem:
    return Problem.of("timeout", "No rebalancing that meets the caps was found in time; ask again, or relax a limit")


def main() -> None:
    """Read what to solve, and answer: the child process."""
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))
    os.nice(5)  # who reads and writes meanwhile goes first
    from server.coordination.rebalance.solve import solve  # nobody else loads it

    try:
        situation, seconds = pickle.load(sys.stdin.buffer)  # noqa: S301 - from the worker that started this process
        sys.stdout.buffer.write(pickle.dumps(solve(situation, seconds)))
    except TimeoutError:
        sys.exit(TOO_LATE)
    except MemoryError:
        sys.exit(TOO_BIG)
