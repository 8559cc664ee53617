from __future__ import annotations

from typing import Any

import pytest

from server.coordination.assignment.assign import ASSIGNMENT_REASON, Wanted, assign
from server.coordination.facts import PROGRAM_EXTENSION
from server.ledger import Plan, Resource, View, micros
from server.outcome import Problem
from tests.coordination.memory import (
    BASE,
    IA_HCBS,
    Memory,
    assigned,
    coding,
    episode,
    fill,
    iowa,
    limited,
    patient,
    role,
    team,
)

A, B = "PractitionerRole/a", "PractitionerRole/b"
MIDNIGHT = "2026-03-10T00:00:00-05:00"
REASON = {"text": "Staffing of the area"}


async def give(memory: Memory, member: str = "m1", manager: str = A, **more: Any) -> Resource:
    """Assign, and answer the team."""
    wanted = Wanted(f"Patient/{member}", more.pop("program", IA_HCBS), manager, **more)

    async def decide(view: View) -> Plan:
        return await assign(view, wanted, micros(memory.now), "new")

    done = await memory.commit(decide)
    return memory.get(done.changes[0][0].reference)


async def refused(
    memory: Memory, kind: str, place: str | None, member: str = "m1", manager: str = A, **more: Any
) -> Problem:
    before = dict(memory.versions)
    with pytest.raises(Problem) as found:
        await give(memory, member, manager, **more)
    assert kind == found.value.kind
    if place:
        assert (f"Parameters.parameter.where(name='{place}')",) == found.value.issues[0].expression
    assert before == memory.versions
    return found.value


def direct(limit: int = 3) -> Resource:
    """The program with direct change of managers."""
    program = limited(limit)
    program["action"][0]["extension"][-2]["extension"][1]["valueBoolean"] = True
    return program


async def test_assign_makes_a_team_from_the_first_instant_of_today() -> None:
    made = await give(await iowa())
    assert {
        "resourceType": "CareTeam",
        "id": "new",
        "extension": [{"url": PROGRAM_EXTENSION, "valueCanonical": IA_HCBS}],
        "status": "active",
        "subject": {"reference": "Patient/m1"},
        "managingOrganization": [{"reference": "Organization/mco"}],
        "participant": [
            {"role": [coding("cm-role", "cbcm")], "member": {"reference": A}, "period": {"start": MIDNIGHT}}
        ],
    } == made


@pytest.mark.parametrize(
    ("expected", "start", "end"),
    [
        ({"start": "2026-06-01T00:00:00-05:00"}, "2026-06-01", None),
        ({"start": "2026-01-01T00:00:00-06:00", "end": "2027-01-01T00:00:00-06:00"}, "2026-01-01", "2026-12-31"),
        ({"start": "2026-06-01T12:00:00-05:00"}, "2026-06-01T17:00:00Z", None),
        ({"start": MIDNIGHT, "end": "2026-03-11T00:00:00-05:00"}, None, "2026-03-10"),
    ],
)
async def test_assign_writes_instants_and_an_end_includes_its_day(
    expected: Resource, start: str | None, end: str | None
) -> None:
    made = await give(await iowa(), start=start, end=end)
    assert expected == made["participant"][0]["period"]


async def test_assign_adds_to_the_members_team_and_keeps_what_is_there() -> None:
    memory = await iowa()
    guardian = {"role": [{"text": "Guardian"}], "member": {"display": "Ann"}}
    former = assigned(B, "2025-01-01", "2025-12-31")
    await memory.put(team("old", status="inactive", subject={"reference": "Patient/m1"}))
    await memory.put(team("m1", guardian, former, managingOrganization=[{"reference": "Organization/mco"}]))
    made = await give(memory, reason=REASON)
    assert ("m1", [guardian, former]) == (made["id"], made["participant"][:2])
    assert [{"url": ASSIGNMENT_REASON, "valueCodeableConcept": REASON}] == made["participant"][2]["extension"]


async def test_assign_does_not_use_a_team_of_another_program_or_plan() -> None:
    memory = await iowa()
    named = [{"url": PROGRAM_EXTENSION, "valueCanonical": f"{BASE}/PlanDefinition/other"}]
    await memory.put(team("m1", extension=named, managingOrganization=[{"reference": "Organization/mco"}]))
    await memory.put(team("clinic", subject={"reference": "Patient/m1"}))
    assert "new" == (await give(memory))["id"]


async def test_assign_again_changes_nothing() -> None:
    memory = await iowa()
    first = await give(memory)
    position = memory.position
    assert first == await give(memory)
    assert first == await give(memory, start="2026-05-01")
    assert position == memory.position


async def test_assign_again_changes_the_end_only() -> None:
    memory = await iowa()
    await give(memory)
    made = await give(memory, end="2026-12-31")
    assert [{"start": MIDNIGHT, "end": "2027-01-01T00:00:00-06:00"}] == [one["period"] for one in made["participant"]]
    made = await give(memory)
    assert [{"start": MIDNIGHT}] == [one["period"] for one in made["participant"]]


async def test_assign_in_another_role_of_the_person_closes_the_first() -> None:
    memory = await iowa()
    await memory.put(role("a2", "a"))
    await give(memory, start="2026-03-01")
    made = await give(memory, manager="PractitionerRole/a2")
    assert [{"start": "2026-03-01T00:00:00-06:00", "end": MIDNIGHT}, {"start": MIDNIGHT}] == [
        one["period"] for one in made["participant"]
    ]


async def test_assign_is_refused_without_an_episode_in_that_time() -> None:
    memory = await iowa()
    await memory.put(patient("stranger"), episode("m2", end="2026-12-31"))
    await refused(memory, "business_rule", "program", "stranger")
    await refused(memory, "business_rule", "program", "m2", start="2027-01-01")
    await give(memory, "m2", start="2026-12-31")


async def test_assign_takes_a_planned_episode_and_no_waiting_one() -> None:
    memory = await iowa()
    await memory.put(episode("m1", status="planned", start="2026-06-01"), episode("m2", status="waitlist"))
    await give(memory, start="2026-06-01")
    await refused(memory, "business_rule", "program", "m2")


@pytest.mark.parametrize("program", [f"{BASE}/PlanDefinition/none", f"{IA_HCBS}|9.0.0"])
async def test_assign_is_refused_for_a_program_that_is_not_in_force(program: str) -> None:
    await refused(await iowa(), "unprocessable", "program", program=program)


async def test_assign_takes_the_version_in_force() -> None:
    await give(await iowa(), program=f"{IA_HCBS}|1.0.0")


@pytest.mark.parametrize(
    "manager",
    [
        role("x", practitioner={"display": "Ann"}),
        role("x", "a", active=False),
        role("x", "a", period={"end": "2026-03-09"}),
        role("x", "a", period={"start": "2026-03-11"}),
        None,
    ],
)
async def test_assign_is_refused_for_a_manager_who_is_not_there(manager: Resource | None) -> None:
    memory = await iowa()
    await memory.put(*([manager] if manager else []))
    await refused(memory, "unprocessable", "manager", manager="PractitionerRole/x")


async def test_assign_is_refused_where_it_ends_before_it_starts() -> None:
    await refused(await iowa(), "invalid", "end", start="2026-05-02", end="2026-05-01")


@pytest.mark.requirement("IA-04")
async def test_assign_keeps_the_cap_over_the_whole_period() -> None:
    memory = await iowa(2)
    await fill(memory, "a", "m1", "m2", start="2026-06-01")
    await refused(memory, "business_rule", None, "m3")
    await give(memory, "m3", end="2026-05-31")


async def test_assign_of_another_manager_is_a_handoff() -> None:
    memory = await iowa()
    await fill(memory, "b", "m1")
    found = await refused(memory, "conflict", "manager")
    assert "$handoff" in found.issues[0].diagnostics
    await refused(memory, "conflict", "manager", start="2026-01-01")


async def test_assign_follows_who_left_on_the_same_day() -> None:
    memory = await iowa()
    left = "2026-03-10T10:00:00-05:00"
    await fill(memory, "b", "m1", end=left)
    await refused(memory, "conflict", "manager", start=MIDNIGHT)
    made = await give(memory)
    assert {"start": left} == made["participant"][-1]["period"]


async def test_assign_replaces_directly_where_the_program_allows_it_for_a_reason() -> None:
    memory = await iowa()
    await memory.put(direct())
    await fill(memory, "b", "m1")
    await refused(memory, "required", "reason")
    made = await give(memory, reason=REASON)
    assert [{"start": "2025-01-01", "end": MIDNIGHT}, {"start": MIDNIGHT}] == [
        one["period"] for one in made["participant"]
    ]


async def test_assign_replaces_somebody_on_another_team_in_one_commit() -> None:
    memory = await iowa()
    await memory.put(direct())
    await memory.put(team("old", assigned(B), subject={"reference": "Patient/m1"}))
    await memory.put(team("m1", extension=[{"url": PROGRAM_EXTENSION, "valueCanonical": IA_HCBS}]))
    await give(memory, reason=REASON)
    assert MIDNIGHT == memory.get("CareTeam/old")["participant"][0]["period"]["end"]


@pytest.mark.parametrize("other", [assigned(B, "2026-06-01"), assigned(A, "2026-06-01")])
async def test_assign_is_refused_over_what_is_planned(other: Resource) -> None:
    memory = await iowa()
    await memory.put(direct(), team("m1", other))
    await refused(memory, "conflict", None, reason=REASON)


async def test_assign_writes_for_the_record_that_replaces_the_patients() -> None:
    memory = await iowa()
    await memory.put(patient("m1", link=[{"other": {"reference": "Patient/m2"}, "type": "replaced-by"}]))
    assert {"reference": "Patient/m2"} == (await give(memory, "m1"))["subject"]
