from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from server.coordination import period
from server.coordination.caseload.breach import Breach
from server.coordination.caseload.report import Report, Total, career_start, reports
from server.coordination.period import Interval
from server.coordination.program.programs import active
from server.coordination.write import AS_RECORDED
from server.ledger import micros
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
    practitioner,
    role,
    team,
)

IOWA = "America/Chicago"


async def made(memory: Memory, as_of: str | None = None, over: tuple[str, str] | None = None) -> Report:
    at = period.starts(as_of, IOWA) if as_of else micros(memory.now)
    known = await active(memory)
    window = period.between(*over, IOWA) if over else Interval(at, at + 1)
    return (await reports(memory, ["Organization/mco"], known, known.near(IA_HCBS, at), at, window)).every[0]


def breached(found: Sequence[Breach]) -> list[tuple[str, int, int | None, str]]:
    return [(one.rule.id, one.number, one.managers, str(period.day(one.since, IOWA))) for one in found]


@pytest.mark.requirement("IA-03", "IA-26")
async def test_report_counts_members_managers_and_who_has_nobody() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1", "m2")
    await fill(memory, "b", "m3")
    found = await made(memory)
    assert (3, 2, ["Patient/m4", "Patient/m5", "Patient/m6"]) == (found.members, found.managers, found.unassigned)
    assert [("Practitioner/a", "Manager a", 2), ("Practitioner/b", "Manager b", 1)] == [
        (line.practitioner, line.name, len(line.held)) for line in found.lines
    ]


@pytest.mark.requirement("IA-03")
async def test_report_is_of_one_organization_and_of_managers_with_a_member_who_counts() -> None:
    memory = await iowa()
    await memory.put(episode("m1", "other"), episode("m2", status="onhold"))
    await fill(memory, "a", "m1", "m2", "m3")
    found = await made(memory)
    assert [["Patient/m3"]] == [[held.patient for held in line.held] for line in found.lines]
    assert [] == (await made(memory, "2020-01-01")).lines


@pytest.mark.requirement("IA-02", "IA-26")
async def test_report_is_as_of_a_date() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1", start="2025-02-01", end="2025-06-30")
    await fill(memory, "b", "m2", start="2026-06-01")
    days = ["2025-01-31", "2025-02-01", "2025-06-30", "2025-07-01", "2026-06-01"]
    assert [[], ["Practitioner/a"], ["Practitioner/a"], [], ["Practitioner/b"]] == [
        [line.practitioner for line in (await made(memory, day)).lines] for day in days
    ]


@pytest.mark.requirement("IA-27")
async def test_report_measures_assignments_from_their_history() -> None:
    memory = await iowa()
    await memory.put(role("a2", "a"))
    await memory.put(
        team(
            "m1",
            assigned("PractitionerRole/a", "2025-12-01", "2025-12-31"),
            assigned("PractitionerRole/a2", "2026-01-01"),
        )
    )
    await memory.put(
        team(
            "m2",
            assigned("PractitionerRole/a", "2025-06-01", "2025-06-30"),
            assigned("PractitionerRole/a", "2026-03-09"),
        )
    )
    await memory.put(team("m3", assigned("PractitionerRole/a", None)))
    found = await made(memory)
    assert [("Patient/m1", 99), ("Patient/m2", 1), ("Patient/m3", None)] == [
        (held.patient, held.days) for held in found.lines[0].held
    ]


@pytest.mark.requirement("IA-27")
async def test_report_measures_no_assignment_from_before_the_role_was_the_persons() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(role("a", "b", period={"start": "2026-03-01"}))
    assert [("Practitioner/b", 9)] == [(line.practitioner, line.held[0].days) for line in (await made(memory)).lines]


@pytest.mark.requirement("IA-28")
@pytest.mark.parametrize(
    ("expected", "person", "started"),
    [
        (365, {"qualification": [{"code": {"text": "CM"}, "period": {"start": "2025-03-10"}}]}, "2026-01-01"),
        (
            730,
            {
                "extension": [{"url": f"{BASE}/StructureDefinition/cm-career-start", "valueDate": "2024-03-10"}],
                "qualification": [{"code": {"text": "RN"}, "period": {"start": "2001-01-01"}}],
            },
            "2026-01-01",
        ),
        (9, {}, "2026-03-01"),
        (None, {}, None),
    ],
    ids=["qualification", "extension", "with this employer", "not known"],
)
async def test_report_measures_service_from_the_start_in_the_profession(
    expected: int | None, person: dict[str, object], started: str | None
) -> None:
    memory = await iowa()
    await memory.put(practitioner("a", **person), role("a", **({"period": {"start": started}} if started else {})))
    await fill(memory, "a", "m1")
    assert [expected] == [line.service_days for line in (await made(memory)).lines]


def test_career_start_is_the_earliest_qualification() -> None:
    assert "1999" == career_start(
        {"qualification": [{"period": {"start": "2001-01-01"}}, {"period": {"start": "1999"}}, {}]}
    )


@pytest.mark.requirement("IA-26")
async def test_report_counts_everybody_whom_a_manager_serves_beside_the_members() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(patient("x"), patient("y"), patient("z"))
    await memory.put(team("x", assigned("PractitionerRole/a") | {"role": [coding("cm-role", "case-manager")]}))
    await memory.put(team("y", assigned("PractitionerRole/a") | {"role": [coding("cm-role", "nurse")]}))
    await memory.put(team("z", assigned("PractitionerRole/a", "2025-01-01", "2025-12-31")))
    line = (await made(memory)).lines[0]
    assert (1, 2) == (len(line.held), len(line.individuals))


@pytest.mark.requirement("IA-03")
async def test_report_compares_the_average_in_integers() -> None:
    memory = await iowa(9)
    program = limited(9)
    program["action"][1]["extension"][-1]["extension"][1]["valueInteger"] = 2
    await memory.put(program)
    await fill(memory, "a", "m1", "m2", "m3")
    await fill(memory, "b", "m4")
    assert [] == (await made(memory)).breaches
    await fill(memory, "b", "m5")
    found = await made(memory)
    assert [("IA-03", 5, 2, "2025-01-01")] == breached(found.breaches)
    assert [] == [breach for line in found.lines for breach in line.breaches]


@pytest.mark.requirement("IA-02", "IA-03", "IA-04")
async def test_report_flags_no_breach_before_the_limits_are_in_force() -> None:
    memory = await iowa(1, members="12")
    memory.now = datetime(2024, 6, 1, tzinfo=UTC)
    program = limited(1)
    program["action"][1]["extension"][-1]["extension"][1]["valueInteger"] = 1
    await memory.put(program, episode("m1", start="2024-01-01"), episode("m2", start="2024-01-01"))
    for id in ("m1", "m2"):
        await memory.put(team(id, assigned("PractitionerRole/a", "2024-01-01")), override=AS_RECORDED)
    before, after = await made(memory, "2024-12-31"), await made(memory, "2025-01-01")
    assert ([], []) == (before.breaches, before.lines[0].breaches)
    assert [("IA-03", 2, 1, "2025-01-01")] == breached(after.breaches)
    assert [("IA-04", 2, None, "2025-01-01")] == breached(after.lines[0].breaches)


@pytest.mark.requirement("IA-26")
async def test_report_over_a_period_names_the_highest_number_and_the_first_day_above_the_limit() -> None:
    memory = await iowa(2)
    await memory.put(limited(9))
    for id, start, end in (
        ("m1", "2025-01-01", None),
        ("m2", "2025-02-01", "2025-06-30"),
        ("m3", "2025-03-01", "2025-03-31"),
    ):
        await fill(memory, "a", id, start=start, end=end)
    await memory.put(limited(2))
    line = (await made(memory, "2025-12-31", ("2025-01-01", "2025-12-31"))).lines[0]
    assert (1, 3) == (len(line.held), line.peak)
    assert [("IA-04", 3, None, "2025-03-01")] == breached(line.breaches)
    assert [] == (await made(memory, "2025-12-31", ("2025-07-01", "2025-12-31"))).lines[0].breaches


async def test_report_keeps_who_was_above_the_limit_and_has_nobody_now() -> None:
    memory = await iowa(9)
    await fill(memory, "a", "m1", "m2", start="2025-02-01", end="2025-02-28")
    await memory.put(limited(1))
    found = await made(memory, "2025-12-31", ("2025-01-01", "2025-12-31"))
    assert (0, 1, [[]]) == (found.managers, len(found.lines), [line.held for line in found.lines])


async def test_report_counts_merged_records_once() -> None:
    memory = await iowa()
    await memory.put(patient("m1", link=[{"other": {"reference": "Patient/m2"}, "type": "replaced-by"}]))
    await fill(memory, "a", "m1", "m2")
    found = await made(memory)
    assert [["Patient/m2"]] == [[held.patient for held in line.held] for line in found.lines]


async def test_report_asks_a_handful_of_queries_whatever_the_number_of_members() -> None:
    memory = await iowa(50, members=[str(number) for number in range(60)])
    await fill(memory, "a", *(f"m{number}" for number in range(40)))
    memory.queries = 0
    await made(memory)
    assert 7 >= memory.queries


async def test_total_counts_members_and_managers_of_all_organizations_once() -> None:
    memory = await iowa(9)
    await memory.put(role("a2", "a", "other"), episode("m3", "other"), episode("m4", "other"), episode("m5", "other"))
    await fill(memory, "a", "m1", "m2")
    await fill(memory, "a2", "m3")
    await fill(memory, "b", "m4")
    await fill(memory, "b", "m5", start="2026-04-01")
    await memory.put(episode("twice", "other") | {"patient": {"reference": "Patient/m1"}})
    known = await active(memory)
    program = known.near(IA_HCBS, micros(memory.now))
    both = ("Organization/mco", "Organization/other")

    async def of(at: int) -> Total:
        return (await reports(memory, both, known, program, at, Interval(at, at + 1))).total

    assert Total(4, 2) == await of(micros(memory.now))
    assert Total(0, 0) == await of(period.starts("2024-06-01", IOWA))
