from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.coordination.assignment.area import areas, covers
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


PARTS = {"postalCode": ["50309", "52401"], "city": ["X", "Y"], "district": ["Polk", "Linn"], "state": ["IA", "NE"]}
ADDRESSES = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in PARTS.items()})
PLACES = st.lists(st.tuples(ADDRESSES, st.none() | st.integers(0, 5)), min_size=1, max_size=6)


def naive(places: list[tuple[Resource, int | None]], home: Resource) -> set[int]:
    """The areas by their definition."""
    found = {n for n, (address, _) in enumerate(places) if address and address.items() <= home.items()}
    while more := {places[n][1] for n in found} - found - {None}:
        found |= {n for n in more if n is not None}
    return found


@given(PLACES, ADDRESSES)
async def test_areas_are_those_of_the_definition(places: list[tuple[Resource, int | None]], home: Resource) -> None:
    memory = Memory()
    bounded = [(address, whole if whole is not None and whole < len(places) else None) for address, whole in places]
    for n, (address, whole) in enumerate(bounded):
        await memory.put(location(f"l{n}", None if whole is None else f"l{whole}", **address))
    found = await around(memory, home) if home else []
    assert {f"Location/l{n}" for n in naive(bounded, home)} == set(found)
    assert len(found) == len(set(found))
    for part, whole in ((f"Location/l{n}", f"Location/l{whole}") for n, (_, whole) in enumerate(bounded)):
        is_loop = part in chain(bounded, whole)
        assert is_loop or part not in found or whole not in found or found.index(part) < found.index(whole)


def chain(places: list[tuple[Resource, int | None]], start: str) -> list[str]:
    """What a Location is part of, step by step."""
    found = [start]
    while (n := found[-1].removeprefix("Location/l")) != "None":
        following = f"Location/l{places[int(n)][1]}"
        if following in found:
            break
        found.append(following)
    return found
