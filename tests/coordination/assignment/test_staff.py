from __future__ import annotations

import pytest

from server.coordination.facts import ENTERED_IN_ERROR
from server.coordination.write import AS_RECORDED
from server.ledger import Resource
from server.outcome import Problem
from tests.coordination.memory import assigned, fill, iowa, practitioner, role, team


@pytest.mark.requirement("IA-27")
@pytest.mark.parametrize(
    ("place", "written"),
    [
        ("PractitionerRole", "PractitionerRole/a"),
        ("Practitioner", "Practitioner/a"),
        ("PractitionerRole.practitioner", role("a", practitioner={"display": "Ann"})),
    ],
)
async def test_kept_refuses_to_lose_whom_an_assignment_names(place: str, written: Resource | str) -> None:
    memory = await iowa()
    await fill(memory, "a", "m1", end="2025-06-30")
    with pytest.raises(Problem) as found:
        await memory.put(written)
    assert [("business-rule", (place,))] == [(issue.code, issue.expression) for issue in found.value.issues]


async def test_kept_lets_go_of_whom_nothing_names() -> None:
    memory = await iowa()
    mistake = {"modifierExtension": [{"url": ENTERED_IN_ERROR, "valueCodeableConcept": {"text": "Wrong"}}]}
    await memory.put(team("m1", assigned("PractitionerRole/a", **mistake)))
    await memory.put("PractitionerRole/a")
    await memory.put("Practitioner/a", "PractitionerRole/b", "Practitioner/b")


async def test_kept_lets_a_role_end_and_change() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1")
    await memory.put(role("a", active=False, period={"end": "2026-01-01"}), practitioner("a", active=False))


@pytest.mark.requirement("IA-27")
async def test_same_refuses_to_make_a_role_another_persons_that_would_take_its_past_along() -> None:
    memory = await iowa()
    await fill(memory, "a", "m1", end="2025-06-30")
    with pytest.raises(Problem) as found:
        await memory.put(role("a", "b"))
    assert [("business-rule", ("PractitionerRole.practitioner",))] == [
        (issue.code, issue.expression) for issue in found.value.issues
    ]
    await memory.put(role("a", "b"), override=AS_RECORDED)


async def test_same_lets_a_role_be_anothers_whose_assignments_are_open_or_were_a_mistake() -> None:
    memory = await iowa()
    mistake = {"modifierExtension": [{"url": ENTERED_IN_ERROR, "valueCodeableConcept": {"text": "Wrong"}}]}
    await memory.put(team("m1", assigned("PractitionerRole/a", end="2025-06-30", **mistake)))
    await fill(memory, "a", "m2")
    await memory.put(role("a", "b"))
    assert {"reference": "Practitioner/b"} == memory.get("PractitionerRole/a")["practitioner"]
