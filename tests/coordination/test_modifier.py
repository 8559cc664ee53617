"""Modifier extensions: https://hl7.org/fhir/R4/extensibility.html#modifierExtension"""

from __future__ import annotations

import pytest

from server.ledger import Resource
from server.outcome import Problem
from tests.coordination.memory import assigned, coding, episode, iowa, patient, role, team

A = "PractitionerRole/a"
UNKNOWN = {"modifierExtension": [{"url": "https://example.org/negated", "valueBoolean": True}]}


@pytest.mark.parametrize(
    ("expected", "made"),
    [
        ("CareTeam", team("m1", assigned(A)) | UNKNOWN),
        ("CareTeam.participant[0]", team("m1", assigned(A) | UNKNOWN)),
        ("EpisodeOfCare", episode("m1") | UNKNOWN),
    ],
)
async def test_understood_refuses_what_may_turn_an_assignment_around(expected: str, made: Resource) -> None:
    memory = await iowa()
    await memory.put(patient("m1"), episode("m1"))
    with pytest.raises(Problem) as refused:
        await memory.put(made)
    assert ("business_rule", [(expected,)]) == (
        refused.value.kind,
        [issue.expression for issue in refused.value.issues],
    )


async def test_understood_lets_pass_what_no_program_counts_by() -> None:
    memory = await iowa()
    nurse = assigned(A) | {"role": [coding("cm-role", "nurse")]}
    for made in (
        patient("m2") | UNKNOWN,
        role("r2") | UNKNOWN,
        team("m2", nurse) | UNKNOWN,
        episode("m2") | UNKNOWN | {"type": [coding("cm-program", "other")]},
    ):
        await memory.put(made)
