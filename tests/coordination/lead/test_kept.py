"""Kept: however many leads end in one commit, each costs as much as the others."""

from __future__ import annotations

import asyncio

import pytest

from server.coordination.write import AS_RECORDED
from server.ledger import Resource
from tests.coordination.memory import Memory, coding, patient, team
from tests.scenarios.new_york import HAL, HOME, NY_MAP, PAT, PLAN, asa, enrolled, manager, organization, shipped
from tests.steps import LINEAR, growth

SINCE = "2025-03-01T00:00:00-05:00"


def led(number: int) -> list[Resource]:
    """A member of both, whose lead they have named, as it is on record."""
    member, about = f"Patient/m{number}", {"subject": {"reference": f"Patient/m{number}"}}
    lead = {
        "role": [coding("cm-role", "lead-care-manager")],
        "member": {"reference": HAL},
        "period": {"start": SINCE},
    }
    form = {"resourceType": "QuestionnaireResponse", "id": f"f{number}", "status": "completed", **about}
    given = {"lead": HAL, "organization": HOME, "form": f"QuestionnaireResponse/f{number}"}
    task = {
        "resourceType": "Task",
        "id": f"d{number}",
        "instantiatesCanonical": f"{NY_MAP}|1.0.0",
        "status": "completed",
        "intent": "proposal",
        "code": coding("cm-task", "lead-designation"),
        "for": {"reference": member},
        "requester": {"reference": PLAN},
        "owner": {"reference": HOME},
        "reasonCode": coding("ny-primary-need", "ltss"),
        "input": [
            {"type": coding("cm-designation", name), "valueReference": {"reference": one}}
            for name, one in given.items()
        ],
        "output": [{"type": coding("cm-designation", "since"), "valueDateTime": SINCE}],
    }
    teams = [
        team(f"m{number}", lead) | {"id": f"{name}{number}", "managingOrganization": [{"reference": of}]}
        for name, of in (("t", PLAN), ("u", HOME))
    ]
    both = [enrolled(member, program, of) for program, of in (("ny-map", PLAN), ("ny-health-home", HOME))]
    return [patient(f"m{number}"), *both, form, task, *teams]


async def recorded(count: int) -> Memory:
    memory = Memory()
    staff = [*manager(PAT, PLAN), *manager(HAL, HOME), *map(organization, (PLAN, HOME))]
    await memory.put(shipped("ny-map"), *staff, asa())
    await memory.put(*(one for number in range(count) for one in led(number)), override=AS_RECORDED)
    return memory


@pytest.mark.requirement("NY-20")
def test_leads_that_end_in_one_commit_cost_each_the_same() -> None:
    def end(given: tuple[Memory, int]) -> None:
        memory, count = given
        over = [enrolled(f"Patient/m{one}", "ny-health-home", HOME, end="2026-04-30") for one in range(count)]
        asyncio.run(memory.put(*over))
        ends = {
            one["participant"][0]["period"]["end"]
            for one in map(memory.get, memory.versions)
            if one["resourceType"] == "CareTeam"
        }
        assert {"2026-05-01T00:00:00-04:00"} == ends

    assert LINEAR >= growth(lambda count: (asyncio.run(recorded(count)), count), end, few=8)
