"""How long others have to wait while one request is answered, in what the event loop does meanwhile, by no clock."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from itertools import pairwise
from types import FrameType
from typing import Any

import httpx


async def longest_turn(asked: Coroutine[Any, Any, httpx.Response]) -> tuple[httpx.Response, int]:
    """The answer, and the most functions of Python that the loop called before others had their turn.

    What other threads call does not count.
    """
    calls = 0

    def count(frame: FrameType, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    answering = asyncio.create_task(asked)
    turns = [0]
    profile = sys.getprofile()
    sys.setprofile(count)
    try:
        while not answering.done():
            await asyncio.sleep(0)
            turns.append(calls)
    finally:
        sys.setprofile(profile)
    return await answering, max(after - before for before, after in pairwise(turns))
