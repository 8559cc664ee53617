"""MongoDB's view of a decide: what a group wrote is read at the same cost, however much that was."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from server.ledger import Fact, Version
from server.store.mongodb.append import Draft, Entry
from server.store.mongodb.head import HeadView
from server.store.overlay import Overlay
from server.store.recorded import Head
from tests.coordination.memory import change, patient
from tests.steps import LINEAR, growth


class Reads:
    """A store that holds one fact of every Patient, of the first version that was written."""

    async def facts(self, kind: str, keys: Sequence[str], position: int) -> dict[str, list[Fact]]:
        return {key: [Fact(kind, key, "stored", key)] for key in keys}


def view(*commits: dict[str, str]) -> HeadView:
    """After commits that say something of Patients."""
    reads: Any = Reads()
    found = HeadView(reads, 1, reads)
    for number, commit in enumerate(commits, 2):
        entries = [
            Entry(Version(*one.split("/"), number, ordinal, "PUT", 0, b"{}"), facts=[("member", one, what)])
            for ordinal, (one, what) in enumerate(commit.items())
        ]
        found.write(Draft({}, entries, Head(number, 0, b"")))
    return found


async def test_facts_are_those_of_what_was_written_last() -> None:
    found = view({"Patient/a": "first", "Patient/b": "first"}, {"Patient/a": "second"})
    told = await found.facts("member", ["Patient/a", "Patient/b", "Patient/c"])
    expected = {"Patient/a": ["second"], "Patient/b": ["first"], "Patient/c": ["stored"]}
    assert expected == {key: [fact.data for fact in facts] for key, facts in told.items()}


def test_facts_of_one_cost_the_same_however_much_the_group_wrote() -> None:
    def read(given: list[str]) -> None:
        async def each() -> None:
            found = view(dict.fromkeys(given, "written"))
            for one in given:
                await found.facts("member", [one])

        asyncio.run(each())

    assert LINEAR >= growth(lambda count: [f"Patient/{number}" for number in range(count)], read, few=100)


def test_facts_and_versions_of_one_cost_the_same_however_much_a_commit_changes() -> None:
    def read(given: list[str]) -> None:
        async def each() -> None:
            changes = [change(patient(one.partition("/")[2])) for one in given]
            for one in changes:
                one.facts = [("member", one.reference, "changed")]
            found = Overlay(view(), changes, 0)
            for one in given:
                (fact,) = (await found.facts("member", [one]))[one]
                written = await found.read_many([one])
                assert ("changed", given.index(one)) == (fact.data, written[one].ordinal)

        asyncio.run(each())

    assert LINEAR >= growth(lambda count: [f"Patient/{number}" for number in range(count)], read, few=100)
