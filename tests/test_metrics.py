"""What a store is asked for its numbers, and how long that is waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from server.metrics import within
from server.outcome import Problem

LONG = 600.0  # seconds: no test waits for that


async def _answered(by: asyncio.Event) -> int:
    await by.wait()
    return 7


async def test_answer_that_comes_in_time_is_taken() -> None:
    come = asyncio.Event()
    asking = asyncio.create_task(within(LONG, asyncio.ensure_future(_answered(come))))
    come.set()
    assert 7 == await asking


async def test_answer_that_does_not_come_in_time_is_none_and_is_not_broken_off() -> None:
    """Others may wait for the same."""
    come = asyncio.Event()
    asked = asyncio.ensure_future(_answered(come))
    assert None is await within(0.0, asked)
    come.set()
    assert 7 == await asked


async def test_store_that_refuses_has_no_answer() -> None:
    async def refuses() -> int:
        raise Problem.of("unavailable", "away")

    assert None is await within(LONG, asyncio.ensure_future(refuses()))


async def test_store_that_is_closed_meanwhile_has_no_answer() -> None:
    asked = asyncio.ensure_future(_answered(asyncio.Event()))
    asking = asyncio.create_task(within(LONG, asked))
    await asyncio.sleep(0)
    asked.cancel()
    assert None is await asking


async def test_error_that_is_none_of_the_database_goes_on_to_who_asks() -> None:
    async def fails() -> int:
        raise KeyError("ours")

    with pytest.raises(KeyError):
        await within(LONG, asyncio.ensure_future(fails()))


async def test_what_fails_once_nobody_waits_is_nothing_to_tell() -> None:
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: told.append(what))
    come = asyncio.Event()

    async def fails() -> int:
        await come.wait()
        raise Problem.of("unavailable", "away")

    asked = asyncio.ensure_future(fails())
    assert None is await within(0.0, asked)
    come.set()
    await asyncio.wait({asked})
    del asked
    await asyncio.sleep(0)
    assert [] == told
