from __future__ import annotations

from datetime import UTC, datetime

import pytest

from server.coordination.caseload import census, oversight
from server.coordination.caseload.oversight import Look
from server.coordination.program.programs import active
from server.coordination.write import AS_RECORDED
from server.ledger import Plan, Resource, View, micros
from server.validation.element import validate
from tests.coordination.memory import BASE, IA_HCBS, Memory, assigned, coding, episode, fill, iowa, limited, team

MCO = "Organization/mco"


def program(cap: int = 9, average: int = 9) -> Resource:
    found = limited(cap)
    found["action"][1]["extension"][-1]["extension"][1]["valueInteger"] = average
    return found


async def looked(memory: Memory, subjects: set[str] | None = None) -> list[Resource]:
    """Look, write what is due, and say what was written."""

    async def decide(view: View) -> Plan:
        programs = await active(view)
        look = Look(MCO, programs, programs.near(IA_HCBS, micros(memory.now)), micros(memory.now))
        if subjects is None:
            counted, _ = await census.census(view, [MCO], programs, look.wanted)
            found = await oversight.breaches(view, look, counted[MCO])
        else:
            found = await oversight.breaches_of(view, look, subjects)
        return Plan((await oversight.due(view, look, found, subjects)).changes)

    done = await memory.commit(decide)
    written = [memory.get(change.reference) for change, _, is_new in done.changes if is_new]
    assert [] == [issue for one in written for issue in validate(one)]
    return written


def told(found: list[Resource]) -> list[tuple[str, str, str | None, str | None]]:
    """Type or subject, status, start and end of each."""
    return [
        (
            one["subject"]["reference"] if one["resourceType"] == "Flag" else "Task",
            one["status"],
            (one.get("period") or one.get("executionPeriod") or {}).get("start", "")[:10] or None,
            (one.get("period") or one.get("executionPeriod") or {}).get("end", "")[:10] or None,
        )
        for one in found
    ]


@pytest.mark.requirement("IA-03")
async def test_an_average_above_the_limit_gets_a_flag_and_a_task_since_when_it_began() -> None:
    memory = await iowa()
    await memory.put(program(average=2))
    await fill(memory, "a", "m1", "m2", start="2025-01-01")
    assert [] == await looked(memory)
    await fill(memory, "a", "m3", start="2026-02-01")
    flag, task = await looked(memory)
    assert [(MCO, "active", "2026-02-01", None), ("Task", "requested", "2026-02-01", None)] == told([flag, task])
    assert "caseload-average-breach" == flag["code"]["coding"][0]["code"]
    assert ("caseload-breach", MCO, f"Flag/{flag['id']}") == (
        task["code"]["coding"][0]["code"],
        task["owner"]["reference"],
        task["focus"]["reference"],
    )
    assert [] == await looked(memory)


@pytest.mark.requirement("IA-04")
async def test_a_manager_above_the_limit_gets_a_flag() -> None:
    memory = await iowa(9)
    await fill(memory, "a", "m1", "m2", start="2025-03-01")
    await memory.put(program(cap=1))
    [flag] = await looked(memory)
    assert [("Practitioner/a", "active", "2025-03-01", None)] == told([flag])
    assert "caseload-breach" == flag["code"]["coding"][0]["code"]


@pytest.mark.requirement("IA-03", "IA-04")
async def test_a_breach_that_is_over_ends_its_flag_and_its_task_by_history() -> None:
    memory = await iowa()
    await memory.put(program(average=1))
    await fill(memory, "a", "m1", "m2", start="2026-02-01")
    await looked(memory)
    await memory.put(team("m2", assigned("PractitionerRole/a", "2026-02-01", "2026-03-05")))
    assert [(MCO, "inactive", "2026-02-01", "2026-03-06"), ("Task", "completed", "2026-02-01", "2026-03-06")] == told(
        await looked(memory)
    )
    assert [] == await looked(memory)


async def test_a_breach_that_comes_again_is_another_flag() -> None:
    memory = await iowa(9)
    await memory.put(program(average=1))
    ended = assigned("PractitionerRole/a", "2026-02-01", "2026-02-28")
    await fill(memory, "a", "m1", start="2026-02-01")
    memory.now = datetime(2026, 2, 10, 18, tzinfo=UTC)
    await memory.put(team("m2", ended))
    first = await looked(memory)
    memory.now = datetime(2026, 3, 10, 18, tzinfo=UTC)
    assert ["inactive", "completed"] == [one["status"] for one in await looked(memory)]
    await memory.put(team("m2", ended, assigned("PractitionerRole/a", "2026-03-09")))
    again = await looked(memory)
    assert ([(MCO, "active", "2026-03-09", None)], True) == (told(again[:1]), again[0]["id"] != first[0]["id"])


async def test_a_breach_that_never_was_is_entered_in_error_and_its_task_cancelled() -> None:
    memory = await iowa()
    await memory.put(program(average=1))
    await fill(memory, "a", "m1", "m2", start="2026-02-01")
    await looked(memory)
    await memory.put(episode("m2", status="entered-in-error"), override=AS_RECORDED)
    assert [(MCO, "entered-in-error"), ("Task", "cancelled")] == [one[:2] for one in told(await looked(memory))]


async def test_a_correction_moves_the_day_on_which_a_breach_began() -> None:
    memory = await iowa()
    await memory.put(program(average=1))
    await fill(memory, "a", "m1", "m2", start="2026-02-01")
    [flag, _] = await looked(memory)
    await memory.put(flag | {"identifier": [{"value": "kept"}]})
    await memory.put(episode("m2", start="2026-02-15"), override=AS_RECORDED)
    [moved] = await looked(memory)
    assert (flag["id"], [(MCO, "active", "2026-02-15", None)]) == (moved["id"], told([moved]))
    assert [{"value": "kept"}] == moved["identifier"]


async def test_a_task_that_somebody_ended_is_let_be() -> None:
    memory = await iowa()
    await memory.put(program(average=1))
    await fill(memory, "a", "m1", "m2", start="2026-02-01")
    _, task = await looked(memory)
    await memory.put(task | {"status": "rejected"})
    assert [] == await looked(memory)
    await memory.put(team("m2", assigned("PractitionerRole/a", "2026-02-01", "2026-03-05")))
    assert [(MCO, "inactive")] == [one[:2] for one in told(await looked(memory))]


@pytest.mark.requirement("IA-02")
async def test_nothing_is_flagged_before_the_limits_are_in_force() -> None:
    memory = await iowa(members="12")
    memory.now = datetime(2024, 12, 31, 18, tzinfo=UTC)
    await memory.put(program(cap=1, average=1), episode("m1", start="2024-01-01"), episode("m2", start="2024-01-01"))
    for id in ("m1", "m2"):
        await memory.put(team(id, assigned("PractitionerRole/a", "2024-01-01")), override=AS_RECORDED)
    assert [] == await looked(memory)
    memory.now = datetime(2025, 1, 1, 18, tzinfo=UTC)
    assert {(MCO, "2025-01-01"), ("Practitioner/a", "2025-01-01"), ("Task", "2025-01-01")} == {
        (who, start) for who, _, start, _ in told(await looked(memory))
    }


@pytest.mark.parametrize("subjects", [{"Practitioner/a"}, {MCO}, {MCO, "Practitioner/a", "Practitioner/b"}])
async def test_a_few_are_counted_alone_as_they_are_among_all(subjects: set[str]) -> None:
    memory = await iowa(9)
    await fill(memory, "a", "m1", "m2", "m3", start="2025-03-01")
    await fill(memory, "b", "m4", start="2025-03-01")
    await memory.put(program(cap=2, average=1))
    found = {one[0] for one in told(await looked(memory, subjects))}
    assert {MCO, "Practitioner/a"} & subjects | ({"Task"} if MCO in subjects else set()) == found


async def test_a_limit_on_the_members_of_all_programs_is_passed_by_all_of_them() -> None:
    memory = await iowa(9)
    other = {**program(cap=9), "id": "other", "url": f"{IA_HCBS}-other"}
    other["useContext"][0]["valueCodeableConcept"]["coding"][0]["code"] = "other"
    await memory.put(other)
    for id in ("m1", "m2"):
        await memory.put(episode(id, start="2025-03-01", type=[coding("cm-program", "other")]))
    await fill(memory, "a", "m1", "m2", "m3", start="2025-03-01")
    lower = program(cap=2)
    await memory.put(lower)
    assert [] == await looked(memory)
    lower["action"][2]["extension"].append(
        {
            "url": f"{BASE}/StructureDefinition/rule-parameter",
            "extension": [{"url": "name", "valueCode": "counted"}, {"url": "value", "valueCode": "all"}],
        }
    )
    await memory.put(lower)
    [flag] = await looked(memory)
    assert [("Practitioner/a", "active", "2025-03-01", None)] == told([flag])
    assert [] == await looked(memory, {"Practitioner/a"})
