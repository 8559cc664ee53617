"""What is remembered of who acts for whom is what the store would say."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import httpx
import pytest

from server.auth.recalled import Memory
from server.ledger import Fact, View
from tests.answers import ids
from tests.scenarios.iowa import kept
from tests.scenarios.new_york import HAL, MEMBER, acting, new_york


class Asked:
    """A view that counts what it is asked."""

    def __init__(self) -> None:
        self.keys: list[str] = []

    async def facts(self, kind: str, keys: Iterable[str]) -> dict[str, list[Fact]]:
        wanted = list(keys)
        self.keys += wanted
        return {key: [Fact(kind, key, key.upper(), key)] for key in wanted}


def view(asked: Asked) -> View:
    return cast(View, asked)


async def test_facts_are_asked_once_until_their_types_change() -> None:
    memory, asked = Memory(), Asked()
    for last in (5, 5, 6):
        recalled = memory.of(view(asked), last)
        found: Any = await recalled.facts("role", ["a", "b"])
        assert ["A", "B"] == [found[key][0].data for key in ("a", "b")]
        assert ["B", "C"] == [rows[0].data for rows in (await recalled.facts("role", ["b", "c"])).values()]
    assert ["a", "b", "c", "a", "b", "c"] == asked.keys
    await memory.of(view(asked), 6).facts("agreement", ["a"])
    assert 7 == len(asked.keys)


async def test_what_is_asked_under_a_former_mark_is_not_kept_for_the_next() -> None:
    memory, asked = Memory(), Asked()
    former = memory.of(view(asked), 5)
    await memory.of(view(asked), 6).facts("role", ["b"])
    await former.facts("role", ["a"])
    await memory.of(view(asked), 6).facts("role", ["a"])
    assert ["b", "a", "a"] == asked.keys


@pytest.mark.parametrize("over", [{"active": False}, {"organization": {"reference": "Organization/other-home"}}])
async def test_role_that_ends_is_seen_at_the_next_request(client: httpx.AsyncClient, over: dict[str, Any]) -> None:
    await new_york(client)
    role = (await client.get(HAL)).json()
    for _ in range(2):
        assert [MEMBER.partition("/")[2]] == ids(await client.get("Patient", headers=acting(HAL)))
        await kept(client, role | over)
        assert [] == ids(await client.get("Patient", headers=acting(HAL)))
        assert 204 == (await client.delete(HAL)).status_code
        assert [] == ids(await client.get("Patient", headers=acting(HAL)))
        await kept(client, role)
