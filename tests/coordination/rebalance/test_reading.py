"""What is read: who may be moved, which places are left, and where everybody is."""

from __future__ import annotations

from typing import Any

import pytest

from server.coordination.program.programs import active
from server.coordination.rebalance.reading import Reading, read
from server.coordination.rebalance.situation import NOBODY, UNKNOWN, Manager
from server.coordination.rebalance.terms import Asked
from server.ledger import Resource, micros
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
    practitioner,
    role,
    team,
)


async def reading(memory: Memory, **asked: Any) -> Reading:
    known, now = await active(memory), micros(memory.now)
    return await read(memory, known, known.near(IA_HCBS, now), Asked("Organization/mco", **asked), now)


def manager(found: Reading, id: str) -> Manager:
    return next(one for one in found.situation.managers if one.person == f"Practitioner/{id}")


def row(found: Reading, id: str) -> dict[str, Any]:
    members = found.situation.members
    index = members.patients.index(f"Patient/m{id}")
    names = ("manager", "months", "pinned", "continuity", "point", "load")
    return {name: getattr(members, name)[index] for name in names}


@pytest.fixture
async def memory() -> Memory:
    """Limit 3: a has m1 to m3, b has nobody, m4 to m6 wait."""
    found = await iowa()
    await fill(found, "a", "m1", "m2", "m3")
    return found


async def test_read_counts_places_for_who_stays_and_who_comes(memory: Memory) -> None:
    found = await reading(memory)
    assert (3, 0) == (manager(found, "a").keeps, manager(found, "a").room)
    assert (3, 3) == (manager(found, "b").keeps, manager(found, "b").room)
    assert 3 == list(found.situation.members.manager).count(NOBODY)
    assert 14 == row(found, "1")["months"]  # January 2025 to March 2026
    assert 1 == found.situation.least  # 6 members, 45 for each


async def test_read_keeps_places_of_what_begins_later(memory: Memory) -> None:
    await memory.put(team("m4", assigned("PractitionerRole/b", start="2026-06-01")))
    await memory.put(episode("m5", start="2026-05-01", status="planned"), team("m5", assigned("PractitionerRole/b")))
    found = await reading(memory)
    assert (2, 1, 1) == (manager(found, "b").others, manager(found, "b").keeps, manager(found, "b").room)
    assert ["Patient/m6"] == [
        patient
        for patient, held in zip(found.situation.members.patients, found.situation.members.manager, strict=True)
        if held == NOBODY
    ]


async def test_read_pins_who_needs_continuity_until_released_and_whose_time_ends(memory: Memory) -> None:
    await memory.put(flag("m1"), flag("m2", status="inactive"))
    await memory.put(team("m3", assigned("PractitionerRole/a", end="2026-08-01")))
    found = await reading(memory)
    assert [1, 0, 1] == [row(found, id)["pinned"] for id in "123"]
    assert [1, 0, 0] == [row(found, id)["continuity"] for id in "123"]
    assert 0 == row(await reading(memory, released=frozenset({"Patient/m1"})), "1")["pinned"]


def flag(id: str, status: str = "active") -> Resource:
    code = coding("cm-flag", "continuity-required")
    subject = {"reference": f"Patient/{id}"}
    return {"resourceType": "Flag", "id": id, "status": status, "code": code, "subject": subject}


async def test_read_counts_a_member_in_transfer_where_it_goes(memory: Memory) -> None:
    task = {
        "resourceType": "Task",
        "id": "t",
        "instantiatesCanonical": IA_HCBS,
        "status": "requested",
        "intent": "order",
        "code": coding("cm-task", "case-manager-transfer"),
        "for": {"reference": "Patient/m1"},
        "owner": {"reference": "PractitionerRole/b"},
        "reasonCode": coding("ia-transfer-reason", "ratio-realignment"),
    }
    await memory.put(task)
    found = await reading(memory)
    assert "Practitioner/b" == found.situation.managers[row(found, "1")["manager"]].person
    assert 1 == row(found, "1")["pinned"]
    assert (0, 2) == (manager(found, "a").room, manager(found, "b").room)


async def test_read_keeps_places_of_other_programs_where_the_cap_counts_all(memory: Memory) -> None:
    other = {**limited(3), "id": "other", "url": f"{BASE}/PlanDefinition/other"}
    other["useContext"] = [
        {**other["useContext"][0], "valueCodeableConcept": coding("cm-program", "other")},
    ]
    of_other = episode("m4") | {"type": [coding("cm-program", "other")]}
    plan = limited(3)
    [cap] = [action for action in plan["action"] if action["id"] == "IA-04"]
    parts = [{"url": "name", "valueCode": "counted"}, {"url": "value", "valueCode": "all"}]
    cap["extension"].append({"url": f"{BASE}/StructureDefinition/rule-parameter", "extension": parts})
    await memory.put(other, of_other, team("m4", assigned("PractitionerRole/b")))
    assert 0 == manager(await reading(memory), "b").others
    await memory.put(plan)
    found = await reading(memory)
    assert (1, 2) == (manager(found, "b").others, manager(found, "b").room)


async def test_read_knows_who_leaves_and_who_is_new(memory: Memory) -> None:
    await memory.put(practitioner("c"), role("c", period={"start": "2026-02-01"}))
    await memory.put(practitioner("d"), role("d", active=False))
    await memory.put(role("a", active=False))
    found = await reading(memory, leaving=frozenset({"PractitionerRole/b"}))
    assert (True, 0) == (manager(found, "a").leaves, manager(found, "a").keeps)
    assert (True, 0) == (manager(found, "b").leaves, manager(found, "b").room)
    assert (False, True) == (manager(found, "c").leaves, manager(found, "c").is_new)


async def test_read_finds_positions_by_geolocation_area_and_locations(memory: Memory) -> None:
    polk = location("polk", district="Polk", state="IA") | {"position": {"latitude": 41.6, "longitude": -93.6}}
    exact = {"url": "http://hl7.org/fhir/StructureDefinition/geolocation", "extension": []}
    exact["extension"] = [
        {"url": name, "valueDecimal": value} for name, value in (("latitude", 42), ("longitude", -93))
    ]
    home = {"use": "home", "district": "Polk County", "state": "IA"}
    await memory.put(polk, role("a", location=[{"reference": "Location/polk"}]))
    await memory.put(patient("m1", address=[home]), patient("m2", address=[{**home, "extension": [exact]}]))
    await memory.put({**organization("clinic"), "address": [home]}, service("m3"))
    found = await reading(memory)
    points = found.situation.points
    assert [(41.6, -93.6), (42.0, -93.0)] == [points[row(found, id)["point"]] for id in "12"]
    assert UNKNOWN == row(found, "3")["point"]
    assert ((points.index((41.6, -93.6)),), "Location/polk") == (manager(found, "a").points, manager(found, "a").area)
    assert [points.index((41.6, -93.6))] == list(found.situation.members.providers)


def service(id: str) -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "id": id,
        "status": "active",
        "intent": "order",
        "subject": {"reference": f"Patient/{id}"},
        "performer": [{"reference": "Organization/clinic"}],
    }


async def test_read_takes_as_many_queries_for_many_members_as_for_few() -> None:
    few = await iowa(limit=50, members="12")
    many = await iowa(limit=50, members=[str(number) for number in range(40)])
    for memory, number in ((few, 2), (many, 40)):
        await fill(memory, "a", *(f"m{n}" for n in (range(number) if number > 2 else (1, 2))))
        memory.queries = 0
        await reading(memory)
    assert few.queries == many.queries
