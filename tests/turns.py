"""How much of their time others have to wait while one request is answered."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import httpx


async def longest_wait(asked: Coroutine[Any, Any, httpx.Response]) -> tuple[httpx.Response, float]:
    """The answer, and the longest time in which nobody else had a turn, as a share of the whole."""
    answering = asyncio.create_task(asked)
    turns = [time.perf_counter()]
    while not answering.done():
        await asyncio.sleep(0.001)
        turns.append(time.perf_counter())
    return await answering, max(after - before for before, after in pairwise(turns)) / (turns[-1] - turns[0])
