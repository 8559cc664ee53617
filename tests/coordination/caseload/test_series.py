"""The series, the peaks and the breaches against a naive recount: every day on its own, from the resources' JSON."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.coordination import period
from server.coordination.caseload import breach
from server.coordination.caseload.report import Report, reports
from server.coordination.caseload.series import MOST, Point, instants, series, suiting
from server.coordination.period import Interval
from server.coordination.program.plan_definition import parse
from server.coordination.program.programs import active
from server.coordination.write import AS_RECORDED
from server.ledger import Resource
from tests.coordination.caseload.test_caseload_oracle import holds
from tests.coordination.memory import (
    IA_HCBS,
    Memory,
    assigned,
    coding,
    episode,
    limited,
    organization,
    patient,
    practitioner,
    role,
    team,
)

IOWA = "America/Chicago"
FIRST = date(2025, 2, 26)  # around the day on which the limits change
DAYS = 14
CAP, AVERAGE = 2, 1
ROLES = {"r1": "a", "r2": "a", "r3": "b", "r4": "c"}
MEMBERS = ["m1", "m2", "m3", "m4", "m5"]

spans = st.tuples(st.integers(-3, DAYS - 1), st.none() | st.integers(0, 8))


def text(day: int) -> str:
    return (FIRST + timedelta(days=day)).isoformat()


def dated(span: tuple[int, int | None]) -> dict[str, str | None]:
    start, length = span
    return {"start": text(start), "end": None if length is None else text(start + length)}


held = st.builds(
    lambda id, span: assigned(f"PractitionerRole/{id}", **dated(span)), st.sampled_from(list(ROLES)), spans
)
others = st.builds(
    lambda one: one | {"role": [coding("cm-role", "case-manager")]}, held
)  # an individual, and no member who counts
populations = st.fixed_dictionaries(
    {
        id: st.tuples(st.lists(spans, min_size=1, max_size=2), st.lists(st.one_of(held, held, others), max_size=3))
        for id in MEMBERS
    }
)


def resources(population: dict[str, tuple[list[tuple[int, int | None]], list[Resource]]]) -> list[Resource]:
    found: list[Resource] = []
    for id, (enrolled, participants) in population.items():
        found.append(patient(id))
        for number, span in enumerate(enrolled):
            dates = dated(span)
            status = "active" if dates["end"] is None else "finished"
            found.append(episode(f"{id}-{number}", **dates, status=status, patient={"reference": f"Patient/{id}"}))
        found.append(team(id, *participants))
    return found


def program() -> Resource:
    """Any number of managers at once, a cap of two from the first of March on, and an average of one."""
    found = limited(CAP)
    found["action"][0]["extension"][-1]["extension"][1]["valueBoolean"] = False
    found["action"][1]["extension"][-1]["extension"][1]["valueInteger"] = AVERAGE
    found["action"][2]["extension"][0]["valuePeriod"]["start"] = "2025-03-01"
    return found


def naive(population: list[Resource], day: date) -> dict[str, set[str]]:
    """Each person's members on a day; "" has those who have nobody."""
    enrolled = {
        one["patient"]["reference"]
        for one in population
        if one["resourceType"] == "EpisodeOfCare" and holds(one["period"], day)
    }
    found: dict[str, set[str]] = {}
    for one in population:
        if one["resourceType"] == "CareTeam" and one["subject"]["reference"] in enrolled:
            for participant in one["participant"]:
                is_cbcm = participant["role"][0]["coding"][0]["code"] == "cbcm"
                if is_cbcm and holds(participant["period"], day):
                    person = ROLES[participant["member"]["reference"].partition("/")[2]]
                    found.setdefault(person, set()).add(one["subject"]["reference"])
    found[""] = enrolled - set().union(*found.values())
    return found


def individuals(population: list[Resource], day: date) -> dict[str, int]:
    """How many each person serves on a day in either role, enrolled or not."""
    found: dict[str, set[str]] = {}
    for one in population:
        for participant in one.get("participant", ()):
            if holds(participant["period"], day):
                person = ROLES[participant["member"]["reference"].partition("/")[2]]
                found.setdefault(person, set()).add(one["subject"]["reference"])
    return {person: len(members) for person, members in found.items()}


async def ledger(population: list[Resource]) -> Memory:
    memory = Memory()
    await memory.put(program(), organization("mco"))
    for id, person in ROLES.items():
        await memory.put(practitioner(person), role(id, person))
    await memory.put(*population, override=AS_RECORDED)
    return memory


async def made(memory: Memory, first: int, last: int) -> Report:
    known = await active(memory)
    window = period.between(text(first), text(last), IOWA)
    wanted = known.near(IA_HCBS, window.low)
    return (await reports(memory, ["Organization/mco"], known, wanted, window.high - 1, window)).every[0]


def expected(population: list[Resource], offset: int) -> Point:
    day = FIRST + timedelta(days=offset)
    found = naive(population, day)
    unassigned = found.pop("")
    loads = [len(members) for members in found.values()]
    above = sum(load > CAP for load in loads) if day >= date(2025, 3, 1) else 0
    at = period.starts(text(offset), IOWA)
    served: set[str] = set().union(*found.values())
    return Point(at, len(served), len(loads), len(unassigned), max(loads, default=0), above)


@pytest.mark.requirement("IA-03", "IA-26")
@settings(max_examples=60, deadline=None)
@given(populations)
async def test_series_counts_as_a_naive_recount_of_each_day_does(population: dict[str, tuple]) -> None:  # type: ignore[type-arg]
    given = resources(population)
    memory = await ledger(given)
    found = await made(memory, 0, DAYS)
    known = await active(memory)
    at = instants("day", found.window, IOWA)
    assert [expected(given, day) for day in range(DAYS + 1)] == series(
        found, at, breach.caps(known, IA_HCBS, "manager")
    )
    for line in found.lines:
        person = line.practitioner.partition("/")[2]
        counts = period.counts_at(line.individual_steps(), at)
        assert [individuals(given, FIRST + timedelta(days=day)).get(person, 0) for day in range(DAYS + 1)] == counts
        loads = [len(naive(given, FIRST + timedelta(days=day)).get(person, ())) for day in range(DAYS + 1)]
        assert max(loads) == line.peak


@pytest.mark.requirement("IA-03", "IA-04")
@settings(max_examples=60, deadline=None)
@given(populations, st.integers(0, DAYS))
async def test_breaches_begin_and_end_as_a_naive_recount_says(population: dict[str, tuple], on: int) -> None:  # type: ignore[type-arg]
    given = resources(population)
    found = await made(await ledger(given), on, on)

    def average(day: int) -> bool:
        counted = naive(given, FIRST + timedelta(days=day))
        served = set().union(*(members for person, members in counted.items() if person))
        return len(served) > AVERAGE * (len(counted) - 1)

    assert _began(average, on) == [one.since for one in found.breaches]
    for line in found.lines:
        person = line.practitioner.partition("/")[2]

        def above(day: int, person: str = person) -> bool:
            on_or_after = FIRST + timedelta(days=day) >= date(2025, 3, 1)
            return on_or_after and len(naive(given, FIRST + timedelta(days=day)).get(person, ())) > CAP

        assert _began(above, on) == [one.since for one in line.breaches]


def _began(is_above: object, on: int) -> list[int]:
    assert callable(is_above)
    if not is_above(on):
        return []
    while is_above(on - 1):
        on -= 1
    return [period.starts(text(on), IOWA)]


@pytest.mark.parametrize(
    ("unit", "expected"),
    [
        ("day", ["2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01", "2026-03-02", "2026-03-03"]),
        ("week", ["2026-02-26", "2026-03-02"]),
        ("month", ["2026-02-26", "2026-03-01"]),
        ("quarter", ["2026-02-26"]),
    ],
)
def test_instants_are_the_start_and_the_first_of_each_unit(unit: str, expected: list[str]) -> None:
    window = period.between("2026-02-26", "2026-03-03", IOWA)
    assert expected == [str(period.day(at, IOWA)) for at in instants(unit, window, IOWA)]


def test_instants_of_a_year_cross_it_in_quarters_and_daylight_saving() -> None:
    found = instants("quarter", period.between("2025-11-15", "2026-12-31", IOWA), IOWA)
    assert [
        "2025-11-15T00:00:00-06:00",
        "2026-01-01T00:00:00-06:00",
        "2026-04-01T00:00:00-05:00",
        "2026-07-01T00:00:00-05:00",
        "2026-10-01T00:00:00-05:00",
    ] == [period.text(at, IOWA) for at in found]


@pytest.mark.parametrize("span", [("0001-01-01", "9999-12-31"), ("9999-12-01", "9999-12-31")])
def test_instants_come_to_an_end(span: tuple[str, str]) -> None:
    assert MOST + 1 >= len(instants("day", period.between(*span, IOWA), IOWA))


def test_a_breach_of_a_limit_that_a_new_version_keeps_is_one() -> None:
    steps = [period.Step(10, 3), period.Step(90, 1)]
    caps = [_cap(0, 50, 2), _cap(50, 100, 2)]
    assert [(10, 90, 3)] == [
        (one.since, one.until, one.number) for one in breach.of_manager(caps, steps, Interval(60, 61))
    ]
    lower = [_cap(0, 50, 5), _cap(50, 100, 2)]
    assert [(50, 90, 3)] == [
        (one.since, one.until, one.number) for one in breach.of_manager(lower, steps, Interval(60, 61))
    ]


def _cap(low: int, high: int, limit: int) -> breach.Cap:
    found, _ = parse(limited(limit))
    assert found
    return breach.Cap(Interval(low, high), found, found.rules[2])


@pytest.mark.parametrize(
    ("expected", "start", "end"),
    [
        ("day", "2026-01-01", "2026-01-14"),
        ("week", "2026-01-01", "2026-03-31"),
        ("month", "2026-01-01", "2026-12-31"),
        ("quarter", "2026-01-01", "2036-12-31"),
        (None, "1900-01-01", "2026-12-31"),
        (None, None, "2026-12-31"),
        (None, "2026-01-01", None),
    ],
)
def test_suiting_gives_few_dates(expected: str | None, start: str | None, end: str | None) -> None:
    window = period.between(start, end, IOWA)
    unit = suiting(window, IOWA)
    assert expected == unit
    assert unit is None or 10 < len(instants(unit, window, IOWA)) < 70
