from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.coordination import period
from server.coordination.caseload import census
from server.coordination.caseload.indicator import Asked, Indicator, indicators
from server.coordination.program.programs import active
from server.ledger import Resource, micros
from tests.coordination.memory import IA_HCBS, Memory, assigned, coding, episode, fill, iowa, team

IOWA = "America/Chicago"
MCO = "Organization/mco"
MEMBER, ANN, BOB = "Patient/m1", "PractitionerRole/a", "PractitionerRole/b"


async def made(
    memory: Memory, start: str = "2026-03-01", end: str = "2026-03-31", **windows: int
) -> dict[str, Indicator]:
    known = await active(memory)
    wanted = known.near(IA_HCBS, micros(memory.now))
    counted, _ = await census.census(memory, [MCO], known, wanted)
    asked = Asked(wanted, micros(memory.now), period.between(start, end, IOWA), **windows)
    return {one.measure: one for one in await indicators(memory, counted[MCO], asked)}


def message(id: str, sender: str, at: str, *to: str, **more: Any) -> Resource:
    """Communication/<id> of the member, at an hour of a day of March: "5T09"."""
    day, _, hour = at.partition("T")
    return {
        "resourceType": "Communication",
        "id": id,
        "status": "completed",
        "subject": {"reference": MEMBER},
        "sender": {"reference": sender},
        "sent": f"2026-03-{int(day):02d}T{hour or '09'}:00:00-06:00",
        **({"recipient": [{"reference": one} for one in to]} if to else {}),
        **more,
    }


def responding(id: str) -> dict[str, Any]:
    return {"inResponseTo": [{"reference": f"Communication/{id}"}]}


async def with_(*resources: Resource) -> Memory:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(*resources)
    return memory


def values(one: Indicator) -> list[tuple[str, bool, int | None]]:
    return sorted((item.evidence[0].partition("/")[2], item.counts, item.value) for item in one.items)


@pytest.mark.requirement("IA-05")
async def test_a_contact_is_answered_by_the_case_managers_first_communication_to_it() -> None:
    memory = await with_(
        message("q1", MEMBER, "5T09", ANN),
        message("a1", ANN, "5T11", MEMBER, **responding("q1")),
        message("a2", ANN, "5T15", MEMBER, **responding("q1")),
        message("q2", "RelatedPerson/mother", "6T09"),
        message("a3", "Practitioner/a", "7T09", "RelatedPerson/mother"),
        message("q3", MEMBER, "8T09", MCO),
    )
    found = await made(memory)
    assert [("q1", True, 120), ("q2", True, 1440), ("q3", False, None)] == values(found["contact-answer"])
    waiting = int((memory.now - datetime(2026, 3, 8, 15, tzinfo=UTC)).total_seconds()) // 60
    assert [("q1", False, None), ("q2", False, None), ("q3", True, waiting)] == values(found["contact-unanswered"])
    assert {"Practitioner/a"} == {item.person for item in found["contact-answer"].items}
    assert ("Communication/q1", "Communication/a1") == found["contact-answer"].items[0].evidence


@pytest.mark.requirement("IA-05")
async def test_a_window_is_the_askers() -> None:
    memory = await with_(
        message("q1", MEMBER, "5T09"), message("a1", ANN, "5T11", MEMBER), message("q2", MEMBER, "10T11")
    )
    late = await made(memory, answer_minutes=60)
    assert ([("q1", False, 120), ("q2", False, None)], [("q1", False, None), ("q2", False, 60)]) == (
        values(late["contact-answer"]),
        values(late["contact-unanswered"]),
    )
    in_time = await made(memory, answer_minutes=120)
    assert [("q1", True, 120), ("q2", False, None)] == values(in_time["contact-answer"])


@pytest.mark.parametrize(
    "other",
    [
        message("x", BOB, "5T10", MEMBER, **responding("q1")),
        message("x", ANN, "5T08", MEMBER),
        message("x", ANN, "5T10", "Organization/provider"),
        message("x", ANN, "5T10", MEMBER, **responding("another")),
        message("x", ANN, "5T10", MEMBER, status="not-done"),
        message("x", ANN, "20T10", MEMBER),
    ],
    ids=["another's", "before", "to another", "to another question", "not done", "later than the report"],
)
async def test_what_is_no_answer(other: Resource) -> None:
    found = await made(await with_(message("q1", MEMBER, "5T09"), other))
    assert [("q1", False, None)] == values(found["contact-answer"])


@pytest.mark.parametrize(
    "message_",
    [
        message("x", MEMBER, "5T09", "Practitioner/doctor"),
        message("x", "Organization/provider", "5T09", ANN),
        message("x", MEMBER, "5T09", ANN, **responding("a")),
        message("x", MEMBER, "5T09", ANN, status="entered-in-error"),
        message("x", MEMBER, "28T09", ANN),
        message("x", MEMBER, "5T09", ANN, sent="2026-02-01"),
        message("x", "Patient/m9", "5T09", ANN),
    ],
    ids=["to another", "by another", "an answer", "a mistake", "to come", "before the period", "by another member"],
)
async def test_what_is_no_contact(message_: Resource) -> None:
    assert [] == (await made(await with_(message_)))["contact-answer"].items


async def test_a_contact_is_the_case_managers_of_then_and_the_next_one_may_answer_it() -> None:
    memory = await with_(message("q1", MEMBER, "5T09"), message("a1", BOB, "9T09", MEMBER))
    await memory.put(
        team("m1", assigned(ANN, "2025-01-01", "2026-03-06T00:00:00-06:00"), assigned(BOB, "2026-03-06T00:00:00-06:00"))
    )
    [item] = (await made(memory))["contact-answer"].items
    assert ("Practitioner/a", True, 4 * 1440) == item[1:]


def plan(id: str, member: str, *activities: Resource, **more: Any) -> Resource:
    return {
        "resourceType": "CarePlan",
        "id": id,
        "status": "active",
        "intent": "plan",
        "subject": {"reference": f"Patient/{member}"},
        **({"activity": list(activities)} if activities else {}),
        **more,
    }


def review(id: str, member: str, ended: str, **more: Any) -> Resource:
    return {
        "resourceType": "Task",
        "id": id,
        "status": "completed",
        "intent": "order",
        "code": coding("cm-task", "service-plan-review"),
        "for": {"reference": f"Patient/{member}"},
        "executionPeriod": {"end": ended},
        **more,
    }


@pytest.mark.requirement("IA-05")
async def test_plan_reviews_are_of_members_with_an_active_plan() -> None:
    memory = await with_(
        *(plan(id, id) for id in ("m1", "m2", "m3")),
        plan("m4", "m4", status="completed"),
        plan("m5", "m5", period={"end": "2026-01-31"}),
        plan("m6", "m6"),
        episode("m6", status="onhold"),
        review("r1", "m1", "2026-03-05T10:00:00-06:00"),
        review("r2", "m2", "2026-02-08T10:00:00-06:00"),
        review("r3", "m3", "2026-03-05T10:00:00-06:00", status="in-progress"),
    )
    found = await made(memory)
    assert [("m1", True, 5), ("m2", False, 30), ("m3", False, None)] == values(found["plan-review"])


@pytest.mark.requirement("IA-05")
async def test_activities_without_follow_up_are_the_open_ones_that_nobody_noted_anything_on() -> None:
    def activity(status: str, *days: int) -> Resource:
        notes = [{"time": f"2026-03-{day:02d}T09:00:00-06:00", "text": "Seen"} for day in days]
        return {"detail": {"status": status}, **({"progress": notes} if notes else {})}

    activities = (activity("in-progress", 1, 5), activity("scheduled"), activity("completed"), activity("on-hold", 28))
    memory = await with_(plan("m1", "m1", *activities, {"reference": {"reference": "ServiceRequest/1"}}))
    assert [(False, 5), (True, None), (True, None)] == [
        (item.counts, item.value) for item in (await made(memory))["plan-follow-up"].items
    ]
    strict = (await made(memory, follow_up_days=4))["plan-follow-up"]
    assert [True, True, True] == [item.counts for item in strict.items]


async def test_indicators_ask_a_handful_of_queries_whatever_the_number_of_members() -> None:
    memory = await iowa(50, members=[str(number) for number in range(40)])
    await fill(memory, "a", *(f"m{number}" for number in range(40)))
    memory.queries = 0
    await made(memory)
    assert 9 >= memory.queries


# Against a naive recount

hours = st.integers(0, 200)
SENDERS = [MEMBER, ANN, BOB, "Practitioner/a", "RelatedPerson/x"]
sent = st.tuples(
    st.sampled_from(SENDERS), hours, st.sampled_from([None, MEMBER, ANN, BOB]), st.none() | st.integers(0, 5)
)
FIRST = datetime(2026, 3, 1, 6, tzinfo=UTC)
SWITCH = 100


@pytest.mark.requirement("IA-05")
@settings(max_examples=150, deadline=None)
@given(st.lists(sent, max_size=6))
async def test_contacts_are_answered_as_a_naive_recount_says(
    messages: list[tuple[str, int, str | None, int | None]],
) -> None:
    resources = []
    for place, (sender, hour, to, response) in enumerate(messages):
        at = (FIRST + timedelta(hours=hour)).isoformat()
        more = responding(f"c{response}") if response is not None else {}
        resources.append(message(f"c{place}", sender, "1", *([to] if to else []), **more) | {"sent": at})
    memory = await with_(*resources)
    switch = (FIRST + timedelta(hours=SWITCH)).isoformat()
    await memory.put(team("m1", assigned(ANN, "2025-01-01", switch), assigned(BOB, switch)))
    found = (await made(memory))["contact-answer"]
    assert naive(messages) == {int(key[1:]): value for key, _, value in values(found)}


def naive(messages: list[tuple[str, int, str | None, int | None]]) -> dict[int, int | None]:
    person = {ANN: "a", "Practitioner/a": "a", BOB: "b"}

    def manager(hour: int) -> str:
        return "a" if hour < SWITCH else "b"

    found: dict[int, int | None] = {}
    for place, (sender, hour, to, response) in enumerate(messages):
        if sender not in {MEMBER, "RelatedPerson/x"} or response is not None:
            continue
        if to is not None and person.get(to) != manager(hour):
            continue
        answers = [
            at - hour
            for who, at, whom, answered in messages
            if at >= hour
            and person.get(who) in {manager(hour), manager(at)}
            and (answered == place or (answered is None and whom in {MEMBER, sender}))
        ]
        found[place] = min(answers) * 60 if answers else None
    return found
