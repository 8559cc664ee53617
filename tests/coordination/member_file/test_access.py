"""Who may see a member's whole file."""

from __future__ import annotations

from typing import Any

import pytest

from server.coordination.facts import Transfer
from server.coordination.member_file.access import granted, may_see
from server.ledger import Fact, micros
from server.validation.element import validate
from tests.coordination.memory import (
    IA_HCBS,
    NOW,
    Memory,
    assigned,
    coding,
    iowa,
    organization,
    patient,
    period,
    practitioner,
    role,
    team,
)

AT = micros(NOW)  # 2026-03-10
A, B = "PractitionerRole/a", "PractitionerRole/b"


async def world() -> Memory:
    """Ann (a) has the member m1 at mco; Bob (b) had m1 last year; Eve manages the area at mco, Max at another plan."""
    memory = await iowa()
    for id, mco in (("eve", "mco"), ("max", "other")):
        await memory.put(practitioner(id), role(id, mco=mco, code=[coding("cm-role", "area-manager")]))
    await memory.put(team("m1", assigned(B, "2025-01-01", "2025-12-31"), assigned(A, "2026-01-01")))
    return memory


def transferred(memory: Memory, status: str, sender: str = A, receiver: str = B) -> None:
    """A transfer of m1 as its facts say, whatever led to it."""
    made = Transfer(
        "Task/t", IA_HCBS, "Patient/m1", "Organization/mco", sender, receiver, status, None, None, None, None, []
    )
    fact = Fact("transfer", "Patient/m1", list(made[1:]), "Task/t")
    memory.rows["transfer", "Patient/m1"] = {"Task/t": [fact]}


@pytest.mark.requirement("IA-19")
@pytest.mark.parametrize(
    ("expected", "who"),
    [
        (True, A),
        (True, "Practitioner/a"),
        (True, "Organization/mco"),
        (True, "PractitionerRole/eve"),
        (False, B),
        (False, "Practitioner/b"),
        (False, "Organization/other"),
        (False, "PractitionerRole/max"),
        (False, "PractitionerRole/nobody"),
        (False, "Patient/m1"),
    ],
)
async def test_who_may_see_the_file(expected: bool, who: str) -> None:
    assert expected == await may_see(await world(), "Patient/m1", who, AT)


@pytest.mark.requirement("IA-19")
@pytest.mark.parametrize(
    ("expected", "status"),
    [
        (False, "requested"),
        (False, "received"),
        (True, "accepted"),
        (True, "in-progress"),
        (False, "cancelled"),
        (False, "rejected"),
        (False, "failed"),
        (False, "completed"),
    ],
)
async def test_the_next_manager_may_from_the_acceptance_until_the_transfer_is_given_up(
    expected: bool, status: str
) -> None:
    memory = await world()
    transferred(memory, status)
    assert expected == await may_see(memory, "Patient/m1", B, AT)


@pytest.mark.parametrize("more", [{"active": False}, {"period": period(None, "2026-03-09")}])
async def test_whoever_has_left_may_not(more: dict[str, Any]) -> None:
    memory = await world()
    await memory.put(role("a", **more))
    assert not await may_see(memory, "Patient/m1", A, AT)


async def test_an_assignment_that_was_a_mistake_or_is_to_come_opens_nothing() -> None:
    memory = await world()
    await memory.put(team("m2", assigned(A, "2026-04-01")))
    assert not await may_see(memory, "Patient/m2", A, AT)


async def test_nobody_may_see_the_file_of_who_is_not_there() -> None:
    assert not await may_see(await world(), "Patient/nobody", A, AT)


async def test_the_records_of_one_person_are_one_file() -> None:
    memory = await world()
    await memory.put(patient("twin", link=[{"other": {"reference": "Patient/m1"}, "type": "replaces"}]))
    assert await may_see(memory, "Patient/twin", A, AT)


async def test_an_area_manager_may_only_in_the_area() -> None:
    memory = await world()
    jdn = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": "jdn"}]}
    await memory.put(
        {"resourceType": "Location", "id": "polk", "physicalType": jdn, "address": {"state": "IA", "district": "Polk"}},
        role("eve", code=[coding("cm-role", "area-manager")], location=[{"reference": "Location/polk"}]),
        organization("mco"),
    )
    assert not await may_see(memory, "Patient/m1", "PractitionerRole/eve", AT)
    await memory.put(patient("m1", address=[{"state": "IA", "district": "Polk"}]))
    assert await may_see(memory, "Patient/m1", "PractitionerRole/eve", AT)


@pytest.mark.requirement("IA-19")
@pytest.mark.parametrize("actor", [None, A])
def test_granted_is_a_provenance_of_the_transfer_and_the_patient(actor: str | None) -> None:
    made = granted("Task/t", "Patient/m1", B, actor, "p", NOW).resource or {}
    assert [] == validate(made)
    assert ["Task/t", "Patient/m1"] == [target["reference"] for target in made["target"]]
    assert B == made["agent"][1]["who"]["reference"]
