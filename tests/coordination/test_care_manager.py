from __future__ import annotations

from typing import Any

import pytest

from server.coordination.care_manager import ASSIGNMENT_REASON, Answer, Wanted, assign, care_managers
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
    location,
    organization,
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


# Who it is


async def who(memory: Memory, as_of: str | None = None, member: str = "m1", program: str | None = None) -> Answer:
    return await care_managers(memory, f"Patient/{member}", program, as_of, micros(memory.now))


@pytest.mark.requirement("IA-25")
async def test_care_managers_are_as_of_a_date() -> None:
    memory = await iowa()
    switch = "2026-06-01T00:00:00-05:00"
    await memory.put(team("m1", assigned(A, "2025-02-01", switch), assigned(B, switch)))
    managers = [
        [(one.manager, one.since, one.lead) for one in (await who(memory, as_of)).serving]
        for as_of in ("2025-01-31", None, "2026-05-31", "2026-06-01", "2026-06-01T04:59:59Z")
    ]
    first, second = (A, "2025-02-01T00:00:00-06:00", True), (B, switch, True)
    assert [[], [first], [first], [second], [first]] == managers


@pytest.mark.requirement("IA-27")
async def test_care_managers_are_with_the_member_from_no_earlier_than_in_the_role() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(role("a", "b", period={"start": "2026-02-01"}))
    assert ["2026-02-01T00:00:00-06:00"] == [one.since for one in (await who(memory)).serving]


@pytest.mark.requirement("IA-25", "IA-27")
async def test_care_managers_are_with_the_member_since_the_first_of_touching_periods() -> None:
    memory = await iowa()
    await memory.put(role("a2", "a"))
    await memory.put(team("m1", assigned(A, "2025-02-01", "2025-06-30"), assigned("PractitionerRole/a2", "2025-07-01")))
    assert ["2025-02-01T00:00:00-06:00"] == [one.since for one in (await who(memory)).serving]


@pytest.mark.requirement("IA-25")
async def test_care_managers_name_whom_to_call_where_there_is_nobody() -> None:
    memory = await iowa()
    service = {
        "resourceType": "HealthcareService",
        "id": "line",
        "providedBy": {"reference": "Organization/mco"},
        "program": [coding("cm-program", "ia-hcbs")],
        "telecom": [{"system": "phone", "value": "1-800-555-0100"}],
    }
    assert ([], ["Organization/mco"]) == await who(memory)
    await memory.put(service, service | {"id": "other", "program": [coding("cm-program", "ny-map")]})
    assert ([], ["HealthcareService/line"]) == await who(memory)
    await fill(memory, "a", "m1")
    assert [] == (await who(memory)).contacts


def service(id: str, *covering: str) -> Resource:
    """HealthcareService/<id> of the plan for the program, in these areas."""
    return {
        "resourceType": "HealthcareService",
        "id": id,
        "providedBy": {"reference": "Organization/mco"},
        "program": [coding("cm-program", "ia-hcbs")],
        "telecom": [{"system": "phone", "value": "1-800-555-0100"}],
        "coverageArea": [{"reference": f"Location/{one}"} for one in covering],
    }


def boss(id: str, area: str, **more: Any) -> Resource:
    """PractitionerRole/<id>, which manages an area."""
    return role(
        id,
        code=[coding("cm-role", "area-manager")],
        location=[{"reference": f"Location/{area}"}],
        telecom=[{"system": "phone", "value": "1-800-555-0101"}],
        **more,
    )


@pytest.mark.requirement("IA-25")
@pytest.mark.parametrize(
    ("expected", "home"),
    [
        (["HealthcareService/polk", "PractitionerRole/polk"], {"district": "Polk", "state": "IA"}),
        (["HealthcareService/iowa", "PractitionerRole/iowa"], {"district": "Linn", "state": "IA"}),
        (["HealthcareService/iowa", "HealthcareService/polk"], {"text": "Not known"}),
    ],
)
async def test_care_managers_name_whom_to_call_for_the_area(expected: list[str], home: Resource) -> None:
    memory = await iowa()
    await memory.put(location("iowa", state="IA"), location("polk", "iowa", district="Polk", state="IA"))
    await memory.put(service("polk", "polk"), service("iowa", "iowa"), boss("polk", "polk"), boss("iowa", "iowa"))
    await memory.put(patient("m1", address=[home]))
    found = (await who(memory)).contacts
    assert expected == (sorted(found) if "text" in home else found)


@pytest.mark.requirement("IA-25")
async def test_care_managers_name_the_plans_service_where_the_area_has_none() -> None:
    memory = await iowa()
    await memory.put(location("polk", state="IA"), service("all"), service("linn", "linn"))
    await memory.put(boss("gone", "polk", period={"end": "2026-03-09"}), boss("new", "polk"))
    await memory.put(patient("m1", address=[{"state": "IA"}]))
    assert ["HealthcareService/all", "PractitionerRole/new"] == (await who(memory)).contacts


@pytest.mark.requirement("IA-25")
async def test_care_managers_name_the_plan_where_its_services_are_for_other_areas() -> None:
    memory = await iowa()
    await memory.put(location("iowa", state="IA"), location("polk", "iowa", district="Polk", state="IA"))
    await memory.put(service("polk", "polk"), patient("m1", address=[{"state": "IA"}]))
    assert ["Organization/mco"] == (await who(memory)).contacts


@pytest.mark.requirement("IA-25")
@pytest.mark.parametrize(
    ("manager", "last", "first"),
    [
        (role("a", period={"end": "2026-03-09"}), "2026-03-09", "2026-03-10"),
        (role("a", active=False), "2026-03-09", "2026-03-10"),
        (role("a", active=False, period={"end": "2026-01-31"}), "2026-01-31", "2026-02-01"),
    ],
)
async def test_care_managers_who_have_left_are_nobody_to_call(manager: Resource, last: str, first: str) -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(manager)
    assert [A] == [one.manager for one in (await who(memory, last)).serving]
    assert ([], ["Organization/mco"]) == await who(memory, first)
    assert ([], ["Organization/mco"]) == await who(memory)


async def test_care_managers_count_the_time_in_a_role_that_has_ended() -> None:
    memory = await iowa()
    await memory.put(role("a0", "a", period={"end": "2025-06-30"}))
    await memory.put(team("m1", assigned("PractitionerRole/a0", "2025-02-01", "2025-06-30"), assigned(A, "2025-07-01")))
    assert ["2025-02-01T00:00:00-06:00"] == [one.since for one in (await who(memory)).serving]


async def test_care_managers_of_nobody_enrolled_are_at_the_patients_organization() -> None:
    memory = await iowa()
    await memory.put(patient("x"), patient("y", managingOrganization={"reference": "Organization/mco"}), organization())
    assert ([], []) == await who(memory, member="x")
    assert ([], ["Organization/mco"]) == await who(memory, member="y")


@pytest.mark.parametrize("program", [f"{BASE}/PlanDefinition/none", f"{IA_HCBS}|9"])
async def test_care_managers_refuse_a_program_that_is_not_in_force(program: str) -> None:
    with pytest.raises(Problem) as found:
        await who(await iowa(), program=program)
    assert "unprocessable" == found.value.kind


async def test_care_managers_of_an_episode_on_hold_are_still_known() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(episode("m1", status="onhold"))
    assert [A] == [one.manager for one in (await who(memory)).serving]
