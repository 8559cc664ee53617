"""Tail: when it looks for what other processes wrote."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from server.ledger import Position
from server.store import tail
from server.store.tail import SOON, Tail

SELDOM = 0.05


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the tail would have waited between two glances; it does not wait."""
    found: list[float] = []
    sleep = asyncio.sleep

    async def at_once(seconds: float) -> None:
        found.append(seconds)
        await sleep(0)

    monkeypatch.setattr(tail.asyncio, "sleep", at_once)
    return found


async def test_glances_grow_seldom_but_never_too_seldom(pauses: list[float]) -> None:
    async def look() -> Position:
        return 1 if len(pauses) == 50 else 0

    assert 1 == await Tail(look, SELDOM).beyond(0, 3600)
    assert SOON == pauses[0]
    assert all(after > before for before, after in pairwise(pauses[:10]))
    assert SELDOM == max(pauses) == pauses[49]


async def test_glances_are_frequent_again_once_the_ledger_grew(pauses: list[float]) -> None:
    async def look() -> Position:
        return len(pauses) // 30

    found = Tail(look, SELDOM)
    assert [1, 2] == [await found.beyond(0, 3600), await found.beyond(1, 3600)]
    assert pauses[:30] == pauses[30:60]


@pytest.mark.usefixtures("pauses")
async def test_nobody_looks_while_nobody_waits() -> None:
    glances = 0

    async def look() -> Position:
        nonlocal glances
        glances += 1
        return glances // 5

    await Tail(look, SELDOM).beyond(0, 3600)
    for _ in range(20):
        await asyncio.sleep(0)
    assert glances in {5, 6}  # one more may have been on its way
