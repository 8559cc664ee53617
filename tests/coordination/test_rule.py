from __future__ import annotations

import pytest

from server.coordination.rule import WATCHED, rules
from server.ledger import Change, Context, Plan, View
from server.outcome import Problem
from tests.coordination.memory import (
    NOW,
    PROJECTIONS,
    Memory,
    assigned,
    change,
    episode,
    fill,
    iowa,
    patient,
    practitioner,
    role,
    team,
)

CONTEXT = Context("00000000-0000-4000-8000-000000000000", NOW)


async def queries(memory: Memory, *changes: Change) -> int:
    async def decide(view: View) -> Plan:
        memory.queries = 0
        return Plan(list(changes))

    await memory.commit(decide)
    return memory.queries


def posted(written: Change) -> Change:
    written.method = "POST"
    return written


async def test_rules_ask_nothing_of_what_they_do_not_watch() -> None:
    memory = await iowa()
    plan = {
        "resourceType": "CarePlan",
        "id": "1",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient/m1"},
    }
    coded = {"coding": [{"system": "http://loinc.org", "code": "29463-7"}]}
    weight = {"resourceType": "Observation", "id": "w", "status": "final", "code": coded}
    weight["subject"] = {"reference": "Patient/m1"}
    assert "Medication" not in WATCHED
    for written in (weight, patient("new"), practitioner("new"), role("new")):
        assert 0 == await queries(memory, posted(change(written)))
    assert 0 == await queries(memory, change(weight))
    assert 1 == await queries(memory, posted(change(plan)))  # the programs: of whom it would be a second plan


async def test_rules_ask_little_however_many_members_a_manager_has() -> None:
    memory = await iowa(50, members=[str(number) for number in range(50)])
    for number in range(48):
        await fill(memory, "a", f"m{number}")
    assert 8 >= await queries(memory, change(team("m48", assigned("PractitionerRole/a"))))
    assert 4 >= await queries(memory, posted(change(episode("m49"))))


async def test_rules_are_silent_where_there_is_no_program() -> None:
    memory = Memory()
    await memory.put(team("m1", assigned("PractitionerRole/nobody"), status="inactive"))
    await memory.put("CareTeam/m1")


async def test_rules_name_everything_that_is_wrong_at_once() -> None:
    memory = await iowa()
    with pytest.raises(Problem) as found:
        await memory.put(
            team("m1", assigned("PractitionerRole/x"), assigned("PractitionerRole/y")), "PractitionerRole/z"
        )
    assert 2 == len(found.value.issues)


async def test_rules_come_to_rest_after_what_they_add() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(team("m1", assigned("PractitionerRole/a"), status="inactive"))
    assert "end" in memory.get("CareTeam/m1")["participant"][0]["period"]
    again = change(memory.get("CareTeam/m1"))
    PROJECTIONS.fill(again)
    assert not await rules(CONTEXT, memory, [again], memory.with_([again]))
