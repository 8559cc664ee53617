from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime

import pytest

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.ledger import Plan, Resource, View, micros
from server.operations import oversight
from server.operations.call import aside
from server.operations.oversight import Seen, _seen_by_all
from server.repository import Repository
from server.settings import Settings
from tests.coordination.memory import (
    assigned,
    change,
    episode,
    limited,
    organization,
    patient,
    practitioner,
    role,
    team,
)

NOW = datetime(2026, 3, 10, 18, tzinfo=UTC)


def population(members: int) -> list[Resource]:
    """A manager with so many members, above an average of one."""
    plan = limited(9)
    plan["action"][1]["extension"][-1]["extension"][1]["valueInteger"] = 1
    found = [plan, organization("mco"), practitioner("a"), role("a")]
    for number in range(members):
        id = f"m{number}"
        found += [patient(id), episode(id), team(id, assigned("PractitionerRole/a"))]
    return found


async def put(repository: Repository, *resources: Resource) -> None:
    async def decide(view: View) -> Plan:
        return Plan([change(one) for one in resources])

    await repository.commit(SYSTEM, decide, now=NOW)


async def seen(repository: Repository) -> Seen:
    return await aside(await repository.view(SYSTEM), lambda view: _seen_by_all(view, micros(NOW)))


@pytest.mark.requirement("IA-03")
async def test_what_is_due_is_counted_again_where_the_ledger_moved(settings: Settings) -> None:
    async with opened(settings) as server:
        repository = server.repository
        await put(repository, *population(2))
        found = await seen(repository)
        assert 2 == sum(len(due.changes) for _, due in found.due)
        await put(repository, team("m1", assigned("PractitionerRole/a", end="2026-03-01")))
        assert 0 == await oversight.written(repository, SYSTEM, found)
        head = await repository.head(SYSTEM)
        assert 0 == await oversight.look(repository, SYSTEM, NOW)
        assert head == await repository.head(SYSTEM)


async def test_what_is_due_is_written_where_the_ledger_moved_elsewhere(settings: Settings) -> None:
    async with opened(settings) as server:
        repository = server.repository
        await put(repository, *population(2))
        found = await seen(repository)
        await put(repository, patient("other"))
        assert 2 == await oversight.written(repository, SYSTEM, found)
        assert 0 == await oversight.written(repository, SYSTEM, found)


async def test_two_that_look_at_once_write_one_flag(settings: Settings) -> None:
    async with opened(settings) as first, opened(settings) as second:
        await put(first.repository, *population(2))
        looks = [oversight.look(one.repository, SYSTEM, NOW) for one in (first, second) for _ in range(3)]
        assert [0, 0, 0, 0, 0, 2] == sorted(await asyncio.gather(*looks))


async def test_a_store_without_programs_has_nothing_due(settings: Settings) -> None:
    async with opened(settings) as server:
        assert 0 == await oversight.look(server.repository, SYSTEM)


async def test_flags_are_of_the_program_and_the_organization(settings: Settings) -> None:
    async with opened(settings) as server:
        await put(server.repository, *population(2))
        await oversight.look(server.repository, SYSTEM, NOW)
        found = await (await server.repository.view(SYSTEM)).facts("flag", ["Organization/mco"])
        [fact] = found["Organization/mco"]
        assert ["active", "Organization/mco", "IA-03", 1] == [fact.data[place] for place in (0, 1, 3, 4)]
        flag = await server.repository.read(SYSTEM, *fact.source.split("/"))
        assert flag.body
        assert "2025-01-01T00:00:00-06:00" == json.loads(flag.body)["period"]["start"]


@pytest.mark.parametrize("moved", [False, True])
async def test_flags_of_a_program_that_is_taken_back_are_entered_in_error(settings: Settings, moved: bool) -> None:
    async with opened(settings) as server:
        repository = server.repository
        await put(repository, *population(2))
        assert 2 == await oversight.look(repository, SYSTEM, NOW)
        await put(repository, population(2)[0] | {"status": "retired"})
        found = await seen(repository)
        if moved:
            await put(repository, patient("other"))
        assert 2 == await oversight.written(repository, SYSTEM, found)
        flags = (await (await repository.view(SYSTEM)).facts("flag", ["Organization/mco"]))["Organization/mco"]
        assert ["entered-in-error"] == [fact.data[0] for fact in flags]
        assert 0 == await oversight.look(repository, SYSTEM, NOW)
