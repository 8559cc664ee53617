from __future__ import annotations

import pytest

from server.coordination import period
from server.coordination.assignment.assignment import ACTIVE, COUNTED, enrolled, held, members
from server.coordination.facts import Assignment, Enrolment
from tests.coordination.memory import Memory, assigned, patient, team

IOWA = "America/Chicago"
FIRST, LATER, LAST = "2025-01-01", "2025-02-01", "2025-03-01"


def participant(status: str | None, end: str | None = None, *, error: bool = False) -> Assignment:
    return Assignment("CareTeam/m", 0, "Patient/m", "PractitionerRole/7", [], status, FIRST, end, [], error)


@pytest.mark.parametrize(
    ("expected", "status", "end"),
    [
        (True, "active", None),
        (True, None, None),
        (True, "inactive", LAST),
        (True, "suspended", LAST),
        (False, "suspended", None),
        (False, "proposed", None),
        (False, "entered-in-error", LAST),
        (False, "active", "2024-12-01"),
    ],
)
def test_held_depends_on_the_teams_status(expected: bool, status: str | None, end: str | None) -> None:
    assert expected == bool(held(participant(status, end), IOWA))


def test_held_is_never_where_it_was_a_mistake() -> None:
    assert [] == held(participant("active", error=True), IOWA)


def episode(status: str, end: str | None = None, *history: tuple[str, str | None, str | None]) -> Enrolment:
    return Enrolment("EpisodeOfCare/m", [], "Organization/mco", status, FIRST, end, list(history), None)


def days(enrolment: Enrolment, statuses: frozenset[str] = COUNTED) -> list[tuple[str | None, str | None]]:
    return [
        tuple(None if abs(at) == period.NEVER else str(period.day(at, IOWA)) for at in interval)  # type: ignore[misc]
        for interval in enrolled(enrolment, IOWA, statuses)
    ]


@pytest.mark.parametrize(
    ("expected", "enrolment"),
    [
        ([(FIRST, None)], episode("active")),
        ([(FIRST, None)], episode("planned")),
        ([(FIRST, "2025-03-02")], episode("active", LAST)),
        ([(FIRST, "2025-03-02")], episode("finished", LAST)),
        ([], episode("finished")),
        ([], episode("onhold")),
        ([], episode("waitlist")),
        ([], episode("cancelled")),
        ([], episode("entered-in-error", LAST, ("active", FIRST, LATER))),
        ([("2025-02-02", None)], episode("active", None, ("waitlist", "2024-12-01", LATER))),
        ([(FIRST, "2025-02-02")], episode("onhold", None, ("active", FIRST, LATER))),
        ([(FIRST, None)], episode("active", None, ("planned", FIRST, "2025-01-31"), ("active", LATER, None))),
        ([(FIRST, LATER)], episode("onhold", None, ("active", FIRST, "2025-01-31"), ("onhold", LATER, None))),
        ([(FIRST, "2025-02-02")], episode("finished", LAST, ("active", FIRST, LATER), ("onhold", LATER, LAST))),
    ],
)
def test_enrolled_goes_by_the_status_history_else_by_status_and_period(
    expected: list[tuple[str | None, str | None]], enrolment: Enrolment
) -> None:
    assert expected == days(enrolment)


def test_enrolled_tells_active_from_planned() -> None:
    planned = episode("active", None, ("planned", FIRST, "2025-01-31"))
    assert ([(FIRST, None)], [(LATER, None)]) == (days(planned), days(planned, ACTIVE))


async def test_members_are_one_over_every_link() -> None:
    memory = Memory()
    await memory.put(
        patient("a", link=[{"other": {"reference": "Patient/b"}, "type": "replaced-by"}]),
        patient("b"),
        patient("c", link=[{"other": {"reference": "Patient/b"}, "type": "replaces"}]),
        patient("d"),
        team("a", assigned("PractitionerRole/7")),
    )
    found = await members(memory, ["Patient/c", "Patient/d"])
    assert found["Patient/a"] is found["Patient/b"] is found["Patient/c"] is not found["Patient/d"]
    assert "Patient/c" == found["Patient/a"].patient
    assert ["Patient/a"] == [one.member for one in found["Patient/c"].assignments]


async def test_members_are_read_in_one_query_where_none_is_merged() -> None:
    memory = Memory()
    await memory.put(*(patient(str(number)) for number in range(50)))
    memory.queries = 0
    await members(memory, [f"Patient/{number}" for number in range(50)])
    assert 1 == memory.queries
