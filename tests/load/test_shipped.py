"""What a store gets at the start, and what is left as its operator wants it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from server.app.partition import opened
from server.auth.access import SYSTEM
from server.interactions.exchange import Request, Server, locate
from server.load.shipped import PROFILES, demo, programs
from server.outcome import Problem
from server.settings import Settings

PROGRAM = json.loads((PROFILES / "PlanDefinition-ia-hcbs.json").read_text())
PLACE = f"PlanDefinition/{PROGRAM['id']}"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with opened(Settings(store=f"sqlite:///{tmp_path}/careplan.db")) as server:
        yield server


async def put(server: Server, resource: dict[str, Any]) -> None:
    place = locate(f"{resource['resourceType']}/{resource['id']}")
    await server.perform(Request("PUT", place, "", content=json.dumps(resource).encode()))


async def stored(server: Server, type: str, id: str) -> dict[str, Any]:
    return dict(json.loads((await server.repository.read(SYSTEM, type, id)).body or b""))


async def test_every_profile_is_stored(server: Server) -> None:
    await programs(server)
    for path in PROFILES.glob("*.json"):
        shipped = json.loads(path.read_text())
        got = await stored(server, shipped["resourceType"], shipped["id"])
        assert shipped == {name: got[name] for name in shipped}


async def test_second_start_writes_nothing(server: Server) -> None:
    await programs(server)
    head = await server.repository.head(SYSTEM)
    await programs(server)
    assert head == await server.repository.head(SYSTEM)


@pytest.mark.requirement("IA-02")
async def test_operators_change_is_not_undone(server: Server) -> None:
    await programs(server)
    await put(server, PROGRAM | {"title": "As our operator has it"})
    await programs(server)
    assert "As our operator has it" == (await stored(server, "PlanDefinition", PROGRAM["id"]))["title"]


async def test_operators_new_version_in_place_is_not_undone(server: Server) -> None:
    await programs(server)
    await put(server, PROGRAM | {"version": "9.0.0"})
    await programs(server)
    assert "9.0.0" == (await stored(server, "PlanDefinition", PROGRAM["id"]))["version"]


async def test_deleted_program_stays_deleted(server: Server) -> None:
    await programs(server)
    await server.perform(Request("DELETE", locate(PLACE), ""))
    await programs(server)
    with pytest.raises(Problem) as gone:
        await server.repository.read(SYSTEM, "PlanDefinition", PROGRAM["id"])
    assert "gone" == gone.value.kind


async def test_program_under_another_id_is_not_doubled(server: Server) -> None:
    await put(server, PROGRAM | {"id": "ours"})
    await programs(server)
    with pytest.raises(Problem) as absent:
        await server.repository.read(SYSTEM, "PlanDefinition", PROGRAM["id"])
    assert "not_found" == absent.value.kind


async def test_servers_own_contract_follows_the_release(server: Server) -> None:
    await programs(server)
    operation = json.loads((PROFILES / "OperationDefinition-care-manager.json").read_text())
    await put(server, operation | {"title": "An older release's"})
    await programs(server)
    assert operation.get("title") == (await stored(server, "OperationDefinition", operation["id"])).get("title")


async def test_demo_comes_into_a_store_without_members_only(server: Server) -> None:
    await programs(server)
    report = await demo(server)
    assert report is not None
    assert [] == report.refused
    assert await demo(server) is None
