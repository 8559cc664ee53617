from __future__ import annotations

from typing import Any

import pytest

from server import ledger
from server.coordination.caseload.unassigned import (
    ABOVE_LIMIT,
    MANAGER_ELSEWHERE,
    MANAGER_LEFT,
    NO_MANAGER,
    ORDER,
    TRANSFER_LATE,
    TRANSFER_OF_LEAVER,
    TRANSFER_OVERDUE,
    Finding,
    findings,
)
from server.coordination.program.programs import active
from server.coordination.write import AS_RECORDED
from server.ledger import Resource, micros
from tests.coordination.memory import (
    IA_HCBS,
    PROJECTIONS,
    Memory,
    assigned,
    change,
    coding,
    episode,
    fill,
    iowa,
    patient,
    period,
    role,
    team,
)
from tests.test_profiles import read

A, B = "PractitionerRole/a", "PractitionerRole/b"
DAY = 86_400_000_000


async def waiting(memory: Memory, later: int = 0) -> list[Finding]:
    """What waits as of now, or so many days later."""
    known = await active(memory)
    now = micros(memory.now) + later * DAY
    return await findings(memory, "Organization/mco", known, known.near(IA_HCBS, now), now, now)


def transfer(id: str = "t", to: str = "b", **more: Any) -> Resource:
    """Task/<id>: m1 from a to <to>, opened in February."""
    given = [
        {"type": coding("cm-transfer-input", "from"), "valueReference": {"reference": A}},
        {"type": coding("cm-transfer-input", "organization"), "valueReference": {"reference": "Organization/mco"}},
    ]
    return {
        "resourceType": "Task",
        "id": id,
        "status": "requested",
        "intent": "order",
        "code": coding("cm-task", "case-manager-transfer"),
        "for": {"reference": "Patient/m1"},
        "owner": {"reference": f"PractitionerRole/{to}"},
        "authoredOn": "2026-02-01T00:00:00-06:00",
        "instantiatesCanonical": f"{IA_HCBS}|1.0.0",
        "input": given,
        **more,
    }


def effective(at: str) -> Resource:
    given = transfer()["input"]
    return {"input": [*given, {"type": coding("cm-transfer-input", "effective"), "valueDateTime": at}]}


def recorded(memory: Memory, *resources: Resource) -> None:
    """Stored as a ledger holds them that got them before the rules of today."""
    for resource in resources:
        written = change(resource)
        PROJECTIONS.fill(written)
        memory.position += 1
        memory._apply(written, 0)


async def whole(memory: Memory) -> Memory:
    """Every member of the ledger has a manager."""
    await fill(memory, "a", "m1", "m2", "m3")
    await fill(memory, "b", "m4", "m5", "m6")
    return memory


def test_findings_have_a_code_each_in_the_order_of_the_code_system() -> None:
    assert list(ORDER) == [concept["code"] for concept in read("CodeSystem-attention")["concept"]]


async def test_findings_are_none_where_all_is_well() -> None:
    assert [] == await waiting(await whole(await iowa()))


def instant(at: int | None) -> str | None:
    return None if at is None else ledger.instant(at)[:19]


@pytest.mark.parametrize(
    ("since", "more"),
    [
        ("2025-01-01T06:00:00", []),
        ("2026-02-01T06:00:00", [team("m1", assigned(A, "2025-01-01", "2026-01-31"))]),
        ("2025-01-01T06:00:00", [team("m1", assigned(A, "2026-06-01"))]),
    ],
)
async def test_findings_are_members_without_a_manager_since_the_last_one_or_the_enrolment(
    since: str, more: list[Resource]
) -> None:
    memory = await iowa(members="1")
    await memory.put(*more)
    found = await waiting(memory)
    assert [(NO_MANAGER, "Patient/m1", since)] == [(one.why, one.reference, instant(one.since)) for one in found]


async def test_findings_are_of_the_organization_and_of_the_enrolled_alone() -> None:
    memory = await iowa(members="1")
    await memory.put(
        *(patient(id) for id in ("other", "past", "held", "merged")),
        episode("other", "other"),
        episode("past", end="2026-03-09"),
        episode("held", status="onhold"),
    )
    await fill(memory, "a", "m1")
    assert [] == await waiting(memory)


@pytest.mark.parametrize(
    ("expected", "manager"),
    [
        ((MANAGER_LEFT, "2026-03-01T06:00:00"), role("a", period={"end": "2026-02-28"})),
        ((MANAGER_LEFT, None), role("a", active=False)),
        ((MANAGER_ELSEWHERE, None), role("a", mco="other")),
    ],
)
async def test_findings_are_members_whose_manager_has_left(expected: tuple[str, str | None], manager: Resource) -> None:
    memory = await whole(await iowa())
    await memory.put(manager)
    assert [(*expected, f"Patient/m{n}", A) for n in (1, 2, 3)] == [
        (one.why, instant(one.since), one.reference, one.about) for one in await waiting(memory)
    ]


async def test_findings_leave_out_who_is_with_the_person_in_another_role() -> None:
    memory = await iowa(members="1")
    await memory.put(role("a2", "a"), role("a", active=False))
    await memory.put(team("m1", assigned(A), assigned("PractitionerRole/a2")))
    assert [] == await waiting(memory)


@pytest.mark.parametrize(
    ("expected", "task"),
    [
        ([], transfer()),
        ([], transfer(restriction={"period": {"end": "2026-03-10"}})),
        ([(TRANSFER_OVERDUE, "2026-03-10T05:00:00")], transfer(restriction={"period": {"end": "2026-03-09"}})),
        ([], transfer(**effective("2026-03-10"))),
        ([(TRANSFER_LATE, "2026-03-10T05:00:00")], transfer(**effective("2026-03-09"))),
        ([(TRANSFER_LATE, "2026-03-10T17:00:00")], transfer(**effective("2026-03-10T12:00:00-05:00"))),
        ([(TRANSFER_OF_LEAVER, "2026-03-01T06:00:00")], transfer(to="gone")),
        ([], transfer(to="gone", status="cancelled", executionPeriod={"end": "2026-02-02"})),
        ([], transfer(to="gone", authoredOn="2026-04-01")),
        ([], transfer(to="gone", instantiatesCanonical="https://example.org/other")),
    ],
)
async def test_findings_are_transfers_that_hang(expected: list[tuple[str, str]], task: Resource) -> None:
    memory = await whole(await iowa())
    await memory.put(role("gone", "a", period=period(None, "2026-02-28")))
    recorded(memory, task)
    assert [(why, since, "Task/t") for why, since in expected] == [
        (one.why, instant(one.since), one.reference) for one in await waiting(memory)
    ]


@pytest.mark.requirement("IA-04")
async def test_findings_are_managers_above_the_limit_since_they_are() -> None:
    memory = await whole(await iowa())
    await memory.put(patient("m7"), episode("m7"))
    await memory.put(team("m7", assigned(A, "2026-02-01")), override=AS_RECORDED)
    assert [Finding(ABOVE_LIMIT, A, 1_769_925_600_000_000, None, 4, 3)] == await waiting(memory)


async def test_findings_come_by_kind_then_the_oldest_first() -> None:
    memory = await iowa(members="123456")
    await fill(memory, "a", "m1", "m2")
    await memory.put(episode("m5", start="2026-01-01"), role("a", active=False))
    expected = [
        *((NO_MANAGER, f"Patient/m{n}") for n in (3, 4, 6, 5)),
        *((MANAGER_LEFT, f"Patient/m{n}") for n in (1, 2)),
    ]
    assert expected == [(one.why, one.reference) for one in await waiting(memory)]


async def test_findings_take_the_same_queries_for_any_number_of_members() -> None:
    memory = await iowa(50, members=[f"{n}" for n in range(40)])
    await fill(memory, "a", *(f"m{n}" for n in range(20)))
    await memory.put(role("a", active=False))
    memory.queries = 0
    assert 40 == len(await waiting(memory))
    assert memory.queries <= 6
