from __future__ import annotations

import pytest

from server.coordination.facts import ENTERED_IN_ERROR
from server.ledger import Resource
from server.outcome import Problem
from tests.coordination.memory import Memory, assigned, coding, episode, fill, iowa, period, role, team

A = "PractitionerRole/a"


async def refused(memory: Memory, *resources: Resource | str) -> tuple[str, ...]:
    with pytest.raises(Problem) as found:
        await memory.put(*resources)
    assert "business_rule" == found.value.kind
    assert all((issue.details or {})["text"].endswith("#IA-01") for issue in found.value.issues)
    return found.value.issues[0].expression


@pytest.mark.parametrize(
    "link", [None, {"display": "The plan"}, {"identifier": {"value": "1"}}, {"reference": "#plan"}]
)
async def test_named_refuses_an_enrolment_whose_organization_cannot_be_told(link: Resource | None) -> None:
    made = episode("m1") | {"managingOrganization": link}
    if link is None:
        del made["managingOrganization"]
    assert ("EpisodeOfCare.managingOrganization",) == await refused(await iowa(), made)


async def test_named_refuses_an_enrolment_whose_member_cannot_be_told() -> None:
    made = episode("m1") | {"patient": {"identifier": {"value": "1"}}}
    assert ("EpisodeOfCare.patient",) == await refused(await iowa(), made)


async def test_named_leaves_other_episodes_alone() -> None:
    made = episode("m1", type=[coding("cm-program", "ny-map")])
    del made["managingOrganization"]
    memory = await iowa()
    await memory.put(made, episode("m2", status="entered-in-error") | {"managingOrganization": {"display": "?"}})


@pytest.mark.parametrize(
    ("start", "past"),
    [
        ("2025-01-01", [("onhold", "2026-01-01", "2026-03-11")]),
        ("2025-01-01", [("active", "2025-01-01", "2026-01-01"), ("onhold", "2026-03-12", None)]),
        ("2027-01-01", [("onhold", None, "2027-01-02")]),
    ],
    ids=["ends tomorrow", "starts after tomorrow", "ends after the start"],
)
async def test_past_refuses_a_status_history_that_would_hide_the_present_status(
    start: str, past: list[tuple[str, str | None, str | None]]
) -> None:
    history = [{"status": status, "period": period(*when)} for status, *when in past]
    made = episode("m1", start=start, statusHistory=history)
    assert (f"EpisodeOfCare.statusHistory[{len(past) - 1}].period",) == await refused(await iowa(), made)


@pytest.mark.parametrize(
    ("start", "status", "past"),
    [
        ("2025-01-01", "active", {"status": "onhold", "period": period("2026-01-01", "2026-03-10")}),
        ("2025-01-01", "active", {"status": "active", "period": period("2026-01-01", None)}),
        ("2027-01-01", "planned", {"status": "planned", "period": period("2027-01-01", None)}),
    ],
    ids=["until today", "open", "to come"],
)
async def test_past_lets_a_status_history_be_that_is_past(start: str, status: str, past: Resource) -> None:
    await (await iowa()).put(episode("m1", start=start, status=status, statusHistory=[past]))


async def test_kept_refuses_to_delete_an_episode_in_which_somebody_managed() -> None:
    memory = await iowa()
    await memory.put("EpisodeOfCare/m2")
    await fill(memory, "a", "m1", end="2025-12-31")
    assert ("EpisodeOfCare",) == await refused(memory, "EpisodeOfCare/m1")
    await memory.put(episode("m1", status="entered-in-error"))
    await memory.put("EpisodeOfCare/m1")


async def test_kept_lets_an_episode_go_that_has_not_begun() -> None:
    memory = await iowa()
    await memory.put(episode("m1", start="2027-01-01", status="planned"))
    await fill(memory, "a", "m1")
    await memory.put("EpisodeOfCare/m1")


@pytest.mark.parametrize("reference", [A, "Practitioner/a", f"{A}/_history/1", "PractitionerRole/a2"])
async def test_care_manager_may_repeat_what_the_team_says(reference: str) -> None:
    memory = await iowa()
    await memory.put(role("a2", "a"))
    await fill(memory, "a", "m1")
    await memory.put(episode("m1", careManager={"reference": reference}))


@pytest.mark.parametrize(
    "link",
    [
        {"reference": "PractitionerRole/b"},
        {"reference": "Practitioner/b"},
        {"reference": "PractitionerRole/nobody"},
        {"display": "Ann"},
        {"reference": "https://elsewhere.example.org/fhir/Practitioner/a"},
    ],
)
async def test_care_manager_is_nobody_else_and_the_refusal_names_the_operation(link: Resource) -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    made = episode("m1", careManager=link)
    assert ("EpisodeOfCare.careManager",) == await refused(memory, made)
    with pytest.raises(Problem, match="assign-care-manager"):
        await memory.put(made)


async def test_care_manager_is_refused_where_nobody_is_assigned() -> None:
    memory = await iowa()
    assert ("EpisodeOfCare.careManager",) == await refused(memory, episode("m1", careManager={"reference": A}))
    await memory.put(episode("m1", careManager={"reference": A}), team("m1", assigned(A)))


async def test_care_manager_that_stands_already_is_not_set_again() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(episode("m1", careManager={"reference": A}))
    await memory.put(team("m1", assigned(A, "2025-01-01", "2026-03-09"), assigned("PractitionerRole/b", "2026-03-10")))
    await memory.put(episode("m1", careManager={"reference": A}, status="finished", end="2026-03-31"))
    assert ("EpisodeOfCare.careManager",) == await refused(
        memory, episode("m1", careManager={"reference": "Practitioner/c"})
    )


async def test_care_manager_of_an_episode_that_is_over_is_who_it_was() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1", end="2025-06-30")
    over = episode("m1", end="2025-05-31", status="finished", careManager={"reference": A})
    await memory.put(over)


async def test_care_manager_is_not_looked_at_in_what_was_a_mistake() -> None:
    memory = await iowa()
    await memory.put(episode("m1", status="entered-in-error", careManager={"reference": A}))
    mistake = {"modifierExtension": [{"url": ENTERED_IN_ERROR, "valueCodeableConcept": {"text": "Wrong"}}]}
    await memory.put(team("m1", assigned(A, **mistake)))
    assert ("EpisodeOfCare.careManager",) == await refused(memory, episode("m1", careManager={"reference": A}))
