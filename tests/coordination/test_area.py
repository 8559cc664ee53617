from __future__ import annotations

from typing import Any

import pytest

from server.coordination.area import areas, covers
from server.ledger import Resource, micros
from tests.coordination.memory import Memory, location, patient, role

HOME = {"city": "Des Moines", "district": "Polk", "state": "IA", "postalCode": "50309"}
CENTRAL, IOWA, POLK = "Location/central", "Location/iowa", "Location/polk"


async def iowa(*more: Resource) -> Memory:
    memory = Memory()
    await memory.put(
        location("iowa", state="IA"),
        location("central", "iowa"),
        location("polk", "central", district="Polk", state="IA"),
        location("linn", "east", district="Linn", state="IA"),
        *more,
    )
    return memory


async def around(memory: Memory, *addresses: Resource, at: int | None = None) -> list[str]:
    await memory.put(patient("m", address=list(addresses)))
    return (await areas(memory, ["Patient/m"], at))["Patient/m"]


@pytest.mark.parametrize(
    ("expected", "home"),
    [
        ([POLK, CENTRAL, IOWA], HOME),
        ([POLK, CENTRAL, IOWA], {"district": "POLK County", "state": "ia"}),
        ([IOWA], {"state": "IA"}),
        ([IOWA], HOME | {"district": "Adair"}),
        ([], HOME | {"state": "MO"}),
        ([], {"district": "Polk"}),
        ([], {"text": "Des Moines, Iowa"}),
    ],
)
async def test_areas_are_where_an_address_agrees_in_all_that_the_area_gives(
    expected: list[str], home: Resource
) -> None:
    assert expected == await around(await iowa(), home)


async def test_areas_come_before_those_that_they_are_part_of() -> None:
    code, city = location("code", "polk", postalCode="50309"), location("city", "central", city="Des Moines")
    found = await around(await iowa(code, city), HOME | {"postalCode": "50309-0001"})
    assert ["Location/code", POLK, "Location/city", CENTRAL, IOWA] == found


async def test_areas_of_somebody_who_moves_are_as_of_an_instant() -> None:
    memory = await iowa()
    day = 86_400_000_000
    first = HOME | {"period": {"end": memory.now.date().isoformat()}}
    second = {"district": "Linn", "state": "IA", "period": {"start": memory.now.date().isoformat()}}
    now = micros(memory.now)
    found = [await around(memory, first, second, at=at) for at in (now - day, now + day, None)]
    assert [POLK, "Location/linn", "Location/linn"] == [each[0] for each in found]


@pytest.mark.parametrize("use", ["old", "work", "temp", "billing"])
async def test_areas_are_of_the_home_alone(use: str) -> None:
    assert [] == await around(await iowa(), HOME | {"use": use})


async def test_areas_end_with_their_location() -> None:
    memory = await iowa()
    await memory.put(location("polk", "central", district="Polk", state="IA") | {"status": "inactive"})
    assert [IOWA] == await around(memory, HOME)


async def test_areas_that_are_part_of_one_another_are_each_found_once() -> None:
    memory = await iowa()
    await memory.put(location("iowa", "polk", state="IA"))
    assert {POLK, IOWA, CENTRAL} == set(await around(memory, HOME))


async def test_areas_take_the_same_queries_for_any_number_of_members() -> None:
    memory = await iowa()
    await memory.put(*(patient(f"m{n}", address=[HOME]) for n in range(50)))
    memory.queries = 0
    found = await areas(memory, [f"Patient/m{n}" for n in range(50)])
    assert [[POLK, CENTRAL, IOWA]] * 50 == list(found.values())
    assert memory.queries <= 5


CLINIC = location("clinic") | {"physicalType": {"coding": [{"code": "bu"}]}}


@pytest.mark.parametrize(
    ("expected", "locations"),
    [
        ({"polk", "linn", "nowhere"}, []),
        ({"polk", "linn", "nowhere"}, ["clinic"]),
        ({"polk"}, ["polk", "clinic"]),
        ({"polk"}, ["central"]),
        ({"polk", "linn"}, ["iowa"]),
        ({"polk", "linn"}, ["polk", "linn"]),
        (set(), ["gone"]),
    ],
)
async def test_covers_those_who_live_in_an_area_of_the_role(expected: set[str], locations: list[str]) -> None:
    memory = await iowa(CLINIC)
    links: list[Any] = [{"reference": f"Location/{id}"} for id in locations]
    await memory.put(
        role("boss", location=links),
        patient("polk", address=[HOME]),
        patient("linn", address=[{"district": "Linn", "state": "IA"}]),
        patient("nowhere"),
    )
    members = ["Patient/polk", "Patient/linn", "Patient/nowhere"]
    assert {f"Patient/{id}" for id in expected} == await covers(memory, "PractitionerRole/boss", members)
