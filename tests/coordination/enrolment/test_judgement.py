"""Judgement: however many members one commit enrols, each costs as much as the others."""

from __future__ import annotations

import asyncio

import pytest

from server.ledger import Resource
from tests.coordination.memory import Memory, coding, patient, team
from tests.scenarios.new_york import HAL, HOME, PAT, PLAN, asa, enrolled, manager, organization, shipped
from tests.scenarios.new_york_care import ordered, planned
from tests.steps import LINEAR, growth


def said(member: str, code: str, **value: object) -> Resource:
    """What is known of a member, as evidence."""
    return {
        "resourceType": "Observation",
        "id": f"{code}-{member.partition('/')[2]}",
        "status": "final",
        "code": coding("cm-evidence", code),
        "subject": {"reference": member},
        "effectiveDateTime": "2025-01-01",
        **value,
    }


def people(count: int, program: str) -> list[Resource]:
    """Members of the plan with all that is known of them; of three, two are in the Health Home, one is offered it."""
    found: list[Resource] = []
    for number in range(count):
        member, about = f"Patient/m{number}", {"subject": {"reference": f"Patient/m{number}"}}
        found += [patient(f"m{number}"), enrolled(member, program, PLAN)]
        found += [said(member, "expected-ltc-days", valueInteger=150)]
        found += [said(member, "health-home-eligible", valueBoolean=True)]
        found += [ordered(f"o{number}", "personal-care", PAT) | about, ordered(f"p{number}", "meals", HAL) | about]
        if number % 3:
            found.append(enrolled(member, "ny-health-home", HOME))
        if program == "ny-mltcp":
            found += [planned(f"{name}{number}", by, "meals") | about for name, by in (("q", PAT), ("r", HAL))]
        for name, of in (("t", PLAN), ("u", HOME)):
            theirs = {"id": f"{name}{number}", "managingOrganization": [{"reference": of}]}
            found.append(team(f"m{number}", {"member": {"reference": of}}) | theirs)
    return found


async def new_york() -> Memory:
    memory = Memory()
    staff = [*manager(PAT, PLAN), *manager(HAL, HOME), *map(organization, (PLAN, HOME))]
    await memory.put(shipped("ny-mltcp"), shipped("ny-map"), *staff, asa())
    return memory


@pytest.mark.requirement("NY-04", "NY-19")
@pytest.mark.parametrize("program", ["ny-mltcp", "ny-map"])
def test_enrolment_of_many_costs_each_the_same(program: str) -> None:
    def of(count: int) -> tuple[Memory, list[Resource]]:
        return asyncio.run(new_york()), people(count, program)

    def enrol(given: tuple[Memory, list[Resource]]) -> None:
        memory, resources = given
        asyncio.run(memory.put(*resources))
        assert any(one.startswith("Task/") for one in memory.versions)  # the offers

    assert LINEAR >= growth(of, enrol, few=8)
