from __future__ import annotations

from typing import Any

import pytest

from server.coordination.assignment.care_manager import Answer, care_managers
from server.ledger import Resource, micros
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
    location,
    organization,
    patient,
    role,
    team,
)

A, B = "PractitionerRole/a", "PractitionerRole/b"


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
