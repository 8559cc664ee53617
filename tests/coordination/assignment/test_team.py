from __future__ import annotations

import asyncio

import pytest

from server.coordination.facts import ENTERED_IN_ERROR
from server.coordination.write import AS_RECORDED
from server.ledger import Resource
from server.outcome import Problem
from tests.coordination.memory import (
    BASE_URL,
    Memory,
    assigned,
    coding,
    episode,
    fill,
    iowa,
    patient,
    practitioner,
    role,
    shipped,
    team,
)
from tests.steps import LINEAR, growth

A, B = "PractitionerRole/a", "PractitionerRole/b"
PAST, YESTERDAY, TODAY, TOMORROW, LATER = "2025-01-01", "2026-03-09", "2026-03-10", "2026-03-11", "2026-06-01"
MISTAKE = {"modifierExtension": [{"url": ENTERED_IN_ERROR, "valueCodeableConcept": {"text": "Another person's team"}}]}


async def refused(memory: Memory, *resources: Resource | str) -> tuple[str, ...]:
    """The place that a refusal names."""
    with pytest.raises(Problem) as found:
        await memory.put(*resources)
    assert "business_rule" == found.value.kind
    assert all(issue.details for issue in found.value.issues)
    return found.value.issues[0].expression


# Who is meant


@pytest.mark.parametrize(
    "member",
    [
        {"identifier": {"system": "urn:staff", "value": "7"}},
        {"display": "Ann"},
        {"reference": "#a"},
        {"reference": "PractitionerRole/nobody"},
        {"reference": "PractitionerRole/ghost"},
        {"reference": "https://elsewhere.example.org/fhir/PractitionerRole/a"},
        {"reference": "Practitioner/a"},
        {"reference": "Organization/mco"},
    ],
    ids=["identifier", "text", "contained", "unknown", "of nobody", "elsewhere", "person without role", "organization"],
)
async def test_references_refuse_a_manager_who_cannot_be_told_apart(member: Resource) -> None:
    memory = await iowa()
    await memory.put(role("ghost", practitioner={"display": "Somebody"}))
    made = team("m1", assigned(A, PAST, "2025-02-01"), assigned("x", "2025-02-02") | {"member": member})
    assert ("CareTeam.participant[1].member",) == await refused(memory, made)


@pytest.mark.parametrize("reference", [A, f"{A}/_history/1", f"{BASE_URL}/{A}", f"{BASE_URL}/{A}/_history/9"])
async def test_references_take_every_literal_form(reference: str) -> None:
    memory = await iowa()
    await memory.put(team("m1", assigned(reference)))


async def test_references_take_a_role_that_the_same_commit_creates() -> None:
    memory = await iowa()
    await memory.put(role("c", "a"), team("m1", assigned("PractitionerRole/c")))


async def test_references_leave_other_roles_alone() -> None:
    memory = await iowa()
    await memory.put(team("m1", {"role": [{"text": "Mother"}], "member": {"display": "Ann"}}))


@pytest.mark.parametrize("subject", [None, {"display": "m1"}, {"identifier": {"value": "1"}}, {"reference": "Group/1"}])
async def test_references_refuse_a_member_who_cannot_be_told_apart(subject: Resource | None) -> None:
    made = team("m1", assigned(A))
    del made["subject"]
    made |= {"subject": subject} if subject else {}
    assert ("CareTeam.subject",) == await refused(await iowa(), made)


# Closed, never overwritten


@pytest.mark.requirement("IA-27")
@pytest.mark.parametrize(
    ("place", "changed"),
    [
        ("CareTeam.participant", team("m1")),
        ("CareTeam.participant", team("m1", assigned(A, "2025-02-01"))),
        ("CareTeam.participant", team("m1", assigned(B))),
        ("CareTeam.participant", team("m1", assigned(A) | {"role": [{"text": "friend"}]})),
        ("CareTeam.participant", team("m1", assigned(A), subject={"reference": "Patient/m2"})),
        ("CareTeam.participant[0].period", team("m1", assigned(A, PAST, "2024-12-01"))),
        ("CareTeam.status", team("m1", assigned(A), status="proposed")),
        ("CareTeam.status", team("m1", assigned(A), status="entered-in-error")),
        ("CareTeam", "CareTeam/m1"),
    ],
    ids=["dropped", "start", "member", "role", "subject", "end before start", "proposed", "no reason", "deleted"],
)
async def test_kept_refuses_to_overwrite_who_was_the_manager(place: str, changed: Resource | str) -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    assert (place,) == await refused(memory, changed)


@pytest.mark.requirement("IA-27")
async def test_kept_refuses_to_open_or_move_an_end_that_has_passed() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1", end=YESTERDAY)
    for end in (None, "2026-01-01", LATER):
        assert ("CareTeam.participant[0].period",) == await refused(memory, team("m1", assigned(A, PAST, end)))


@pytest.mark.parametrize(
    "changed",
    [
        team("m1", assigned(A, PAST, YESTERDAY)),
        team("m1", assigned(A, PAST, LATER)),
        team("m1", assigned(A, PAST, YESTERDAY), assigned(B, TODAY)),
        team("m1", {"role": [{"text": "Mother"}], "member": {"display": "Ann"}}, assigned(A), name="Changed"),
        team("m1", assigned(f"{BASE_URL}/{A}/_history/3", "2025-01-01T00:00:00-06:00")),
        team("m1", assigned(A, **MISTAKE)),
        team("m1", assigned(A), status="entered-in-error", **MISTAKE),
        team("m1", assigned(A), status="suspended"),
    ],
    ids=["closed", "to end", "next", "around", "same", "mistake", "team a mistake", "suspended"],
)
async def test_kept_lets_an_assignment_be_closed_and_marked_as_a_mistake(changed: Resource) -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(changed)
    assert changed == memory.get("CareTeam/m1")


async def test_kept_asks_for_every_role_that_an_assignment_had_in_a_program() -> None:
    memory = await iowa()
    nurse = coding("cm-role", "nurse")
    await memory.put(team("m1", assigned(A) | {"role": [*assigned(A)["role"], nurse]}))
    assert ("CareTeam.participant",) == await refused(memory, team("m1", assigned(A) | {"role": [nurse]}))
    await memory.put(team("m1", assigned(A)))


async def test_kept_and_closings_leave_what_was_there_before_the_program_to_be_edited() -> None:
    memory = Memory()
    nurse = assigned("PractitionerRole/x") | {"role": [coding("cm-role", "nurse")]}
    made = team("m1", nurse, assigned("PractitionerRole/x"), status="entered-in-error")
    await memory.put(made)
    await memory.put(shipped(), practitioner("x"), role("x"))
    await memory.put(made | {"name": "Edited"})
    await memory.put(made | {"status": "inactive"})


async def test_kept_lets_what_has_not_begun_be_withdrawn() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1", start=LATER)
    await memory.put(team("m1", assigned(A, TOMORROW)))
    await memory.put("CareTeam/m1")


async def test_kept_does_not_forget_what_a_suspended_team_held() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(team("m1", assigned(A), status="suspended"))
    assert ("CareTeam.participant",) == await refused(memory, team("m1", status="suspended"))


async def test_kept_follows_the_member_to_the_record_that_replaces_the_former() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(patient("m1", link=[{"other": {"reference": "Patient/m2"}, "type": "replaced-by"}]))
    await memory.put(team("m1", assigned(A), subject={"reference": "Patient/m2"}))


# A team made inactive


@pytest.mark.requirement("IA-27")
async def test_closings_end_the_open_assignments_of_a_team_made_inactive() -> None:
    memory = await iowa()
    guardian = {"role": [{"text": "Guardian"}], "member": {"display": "Ann"}}
    written = team("m1", assigned(A, PAST, "2025-06-30"), guardian, assigned(B, "2025-07-01"), assigned(A, LATER, None))
    written["participant"][2]["period"]["end"] = "2026-05-31"
    await memory.put(written)
    await memory.put(written | {"status": "inactive"})
    periods = [one.get("period") for one in memory.get("CareTeam/m1")["participant"]]
    noon = "2026-03-10T13:00:00-05:00"
    assert [
        {"start": PAST, "end": "2025-06-30"},
        None,
        {"start": "2025-07-01", "end": noon},
        {"start": LATER, "end": "2026-06-01T00:00:00-05:00"},
    ] == periods


async def test_closings_of_what_is_sent_open_again_stay_as_they_were() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(team("m1", assigned(A), status="inactive"))
    first = memory.get("CareTeam/m1")
    memory.now = memory.now.replace(year=2027)
    await memory.put(team("m1", assigned(A), status="inactive"))
    assert first == memory.get("CareTeam/m1")


def test_closings_of_many_teams_cost_each_the_same() -> None:
    async def of(count: int) -> Memory:
        memory = await iowa(count, members=map(str, range(count)))
        await memory.put(*(team(f"m{number}", assigned(A)) for number in range(count)))
        return memory

    def close(memory: Memory) -> None:
        teams = [one for one in map(memory.get, memory.versions) if one["resourceType"] == "CareTeam"]
        asyncio.run(memory.put(*({**one, "status": "inactive"} for one in teams)))

    assert LINEAR >= growth(lambda count: asyncio.run(of(count)), close, few=20)


async def test_closings_leave_teams_without_assignments_alone() -> None:
    memory = await iowa()
    other = team("m1", {"member": {"display": "Ann"}}, status="inactive")
    await memory.put(other)
    assert other == memory.get("CareTeam/m1")


# One at a time


@pytest.mark.parametrize(
    "second",
    [
        [team("m1", assigned(A), assigned(B, TODAY))],
        [team("two", assigned(B, LATER), subject={"reference": "Patient/m1"})],
        [team("m1", assigned(A, PAST, LATER), assigned(B, "2026-05-31"))],
        [team("m2", assigned(B)), patient("m2", link=[{"other": {"reference": "Patient/m1"}, "type": "replaces"}])],
    ],
    ids=["participant", "second team", "overlap to come", "merged"],
)
async def test_exclusive_refuses_two_managers_at_once(second: list[Resource]) -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    with pytest.raises(Problem) as found:
        await memory.put(*second)
    assert {f"{memory.get('PlanDefinition/ia-hcbs')['url']}|1.0.0#IA-01"} == {
        (issue.details or {})["text"] for issue in found.value.issues
    }


@pytest.mark.parametrize(
    "second",
    [
        team("m1", assigned(A, PAST, LATER), assigned(B, "2026-06-02")),
        team("m1", assigned(A, PAST, "2026-06-01T00:00:00-05:00"), assigned(B, "2026-06-01T00:00:00-05:00")),
        team("m1", assigned(A), assigned("PractitionerRole/a2", TODAY)),
        team("m1", assigned(A), assigned(B, PAST, YESTERDAY)),
    ],
    ids=["day after", "half-open", "same person", "past"],
)
async def test_exclusive_lets_one_follow_the_other(second: Resource) -> None:
    memory = await iowa()
    await memory.put(role("a2", "a"))
    await fill(memory, "a", "m1")
    await memory.put(second)


async def test_exclusive_refuses_a_role_that_becomes_another_persons_beside_the_first() -> None:
    memory = await iowa()
    await memory.put(role("a2", "a"), team("m1", assigned(A), assigned("PractitionerRole/a2")))
    with pytest.raises(Problem) as found:
        await memory.put(role("a2", "b"))
    assert ("PractitionerRole.practitioner",) == found.value.issues[0].expression
    await memory.put(role("a", "b"), role("a2", "b"))


async def test_exclusive_lets_an_overlap_be_edited_that_is_there_already() -> None:
    memory = await iowa()
    both = team("m1", assigned(A), assigned(B))
    episode_later = episode("m1", start=PAST)
    await memory.put(episode("m1", status="onhold"))
    await memory.put(both)
    with pytest.raises(Problem):
        await memory.put(episode_later)
    await memory.put(episode_later, override=AS_RECORDED)
    await memory.put(both | {"name": "Changed"})
    await memory.put(team("m1", assigned(A, PAST, TODAY), assigned(B)))
