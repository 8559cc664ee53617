from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from server import lookout as looking
from server.app.partition import opened
from server.auth.access import SYSTEM
from server.ledger import Plan, View
from server.lookout import FEW, _is_small, _Lookout
from server.outcome import Problem
from server.settings import Settings
from tests.coordination.memory import change, episode, patient
from tests.logged import logged

NOW = datetime(2026, 3, 10, 18, 30, tzinfo=UTC)


async def test_looks_where_what_is_counted_or_the_hour_moved(settings: Settings) -> None:
    async with opened(settings) as server:

        async def put(resource: dict[str, object]) -> None:
            async def decide(view: View) -> Plan:
                return Plan([change(resource)])

            await server.repository.commit(SYSTEM, decide)

        lookout = _Lookout(server.repository)
        assert [True, False] == [await lookout.look(NOW) for _ in range(2)]
        await put({"resourceType": "Basic", "id": "1", "code": {"text": "other"}})
        assert not await lookout.look(NOW)
        await put(patient("1"))
        assert [True, False] == [await lookout.look(NOW) for _ in range(2)]
        assert not await lookout.look(NOW.replace(minute=59))
        assert await lookout.look(NOW.replace(hour=19))


async def test_waits_until_nobody_writes(settings: Settings) -> None:
    async with opened(settings) as server:

        async def decide(view: View) -> Plan:
            return Plan([change(patient("1"))])

        lookout = _Lookout(server.repository)
        assert [False, True] == [await lookout.is_quiet() for _ in range(2)]
        await server.repository.commit(SYSTEM, decide)
        assert [False, True] == [await lookout.is_quiet() for _ in range(2)]


async def test_few_episodes_are_counted_at_once(settings: Settings) -> None:
    async with opened(settings) as server:
        assert await _is_small(server.repository)

        async def decide(view: View) -> Plan:
            return Plan([change(one) for n in range(FEW) for one in (patient(f"{n}"), episode(f"{n}"))])

        await server.repository.commit(SYSTEM, decide)
        assert not await _is_small(server.repository)


async def test_one_process_leads(settings: Settings) -> None:
    async with opened(settings) as first, opened(settings) as second:
        assert [True, True] == [await first.repository.store.leads("oversight") for _ in range(2)]
        assert [False, True] == [await second.repository.store.leads(what) for what in ("oversight", "another")]
    async with opened(settings) as third:
        assert await third.repository.store.leads("oversight")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Problem.of("unavailable", "away"), []),
        (Problem.of("timeout", "slow"), [("looks later", "warning")]),
        (Problem.conflict("ours"), [("unexpected", "error")]),
        (KeyError(), [("unexpected", "error")]),
    ],
    ids=["away", "slow", "refused", "ours"],
)
async def test_look_that_a_database_did_not_let_be_made_is_none_that_failed(
    settings: Settings, error: Exception, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "QUIET", 0.01)
    async with opened(settings) as server:
        lookout, stopped = _Lookout(server.repository), asyncio.Event()

        async def fails() -> bool:
            stopped.set()
            raise error

        lookout.is_quiet = fails  # type: ignore[method-assign]
        with logged() as log:
            await lookout.run(60.0, 0.0, stopped)
        assert told == [(each["event"], each["log_level"]) for each in log]
