"""Who is told what concerns a member."""

from __future__ import annotations

from typing import Any

import pytest

from server.coordination.communication.representative import ROLE, is_minor, representative
from server.ledger import micros
from server.outcome import Problem
from tests.coordination.memory import NOW, Memory, patient

AT = micros(NOW)  # 2026-03-10, noon in Iowa
ZONE = "America/Chicago"
ADULT, CHILD = "1990-01-01", "2015-01-01"


def related(id: str, code: str = "GUARD", system: str = ROLE, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "RelatedPerson",
        "id": id,
        "patient": {"reference": "Patient/1"},
        "relationship": [{"coding": [{"system": system, "code": code}]}],
        "name": [{"given": ["Rosa"], "family": f"of {id}"}],
        **more,
    }


async def told(*resources: dict[str, Any], birth_date: str | None = ADULT, **more: Any) -> tuple[str, str]:
    """(reference, relationship) of who is told."""
    memory = Memory()
    await memory.put(patient("1", **({"birthDate": birth_date} if birth_date else {}), **more), *resources)
    found = await representative(memory, "Patient/1", AT, zone=ZONE)
    return found.reference, found.relationship


@pytest.mark.requirement("IA-20")
@pytest.mark.parametrize(
    ("expected", "birth_date", "people"),
    [
        (("Patient/1", "member"), ADULT, []),
        (("Patient/1", "member"), None, [related("mother", "MTH")]),
        (("Patient/1", "member"), ADULT, [related("mother", "MTH")]),
        (("RelatedPerson/g", "guardian"), ADULT, [related("g")]),
        (("RelatedPerson/g", "guardian"), CHILD, [related("mother", "MTH"), related("g")]),
        (("RelatedPerson/g", "guardian"), ADULT, [related("g", system="http://terminology.hl7.org/CodeSystem/v3-RoleClass")]),
        (("RelatedPerson/mother", "parent"), CHILD, [related("mother", "MTH"), related("aunt", "AUNT")]),
        (("RelatedPerson/father", "parent"), CHILD, [related("a-stepmother", "STPMTH"), related("father", "FTH")]),
        (("RelatedPerson/new", "guardian"), ADULT, [
            related("a-old", period={"start": "2020-01-01"}), related("new", period={"start": "2025-01-01"})
        ]),
    ],
)  # fmt: skip
async def test_who_is_told(expected: tuple[str, str], birth_date: str, people: list[dict[str, Any]]) -> None:
    assert expected == await told(*people, birth_date=birth_date)


@pytest.mark.parametrize(
    "more", [{"active": False}, {"period": {"end": "2026-03-09"}}, {"period": {"start": "2026-03-11"}}]
)
async def test_a_guardian_counts_only_while_in_force(more: dict[str, Any]) -> None:
    assert ("Patient/1", "member") == await told(related("g", **more))


async def test_a_guardian_counts_through_the_last_day() -> None:
    assert ("RelatedPerson/g", "guardian") == await told(related("g", period={"end": "2026-03-10"}))


@pytest.mark.requirement("IA-20")
async def test_a_minor_whom_nobody_stands_for_is_refused_and_told_what_to_add() -> None:
    with pytest.raises(Problem) as refused:
        await told(related("aunt", "AUNT"), birth_date=CHILD)
    [issue] = refused.value.issues
    assert ("business_rule", ("Patient.birthDate",)) == (refused.value.kind, issue.expression)
    assert "RelatedPerson" in issue.diagnostics


@pytest.mark.requirement("IA-20")
async def test_a_guardian_who_is_only_a_contact_never_makes_the_member_the_recipient() -> None:
    contact = {"relationship": [{"coding": [{"system": ROLE, "code": "GUARD"}]}], "name": {"family": "Diaz"}}
    with pytest.raises(Problem) as refused:
        await told(contact=[contact])
    assert ("Patient.contact[0]",) == refused.value.issues[0].expression
    assert ("Patient/1", "member") == await told(contact=[contact | {"period": {"end": "2026-01-01"}}])


@pytest.mark.parametrize("more", [{"deceasedBoolean": True}, {"deceasedDateTime": "2026-03-10"}])
async def test_nobody_is_told_about_who_has_died(more: dict[str, Any]) -> None:
    with pytest.raises(Problem) as refused:
        await told(related("g"), **more)
    assert (f"Patient.{next(iter(more))}",) == refused.value.issues[0].expression


@pytest.mark.parametrize("more", [{"deceasedBoolean": False}, {"deceasedDateTime": "2026-03-11"}])
async def test_who_lives_is_told(more: dict[str, Any]) -> None:
    assert ("Patient/1", "member") == await told(**more)


async def test_a_guardian_of_another_record_of_the_person_counts() -> None:
    memory = Memory()
    link = {"other": {"reference": "Patient/1"}, "type": "replaces"}
    await memory.put(patient("1"), patient("2", link=[link]), related("g"))
    assert "RelatedPerson/g" == (await representative(memory, "Patient/2", AT, zone=ZONE)).reference


@pytest.mark.parametrize(
    ("expected", "birth_date"),
    [
        (True, "2008-03-11"),
        (False, "2008-03-10"),
        (False, "2008-02-29"),
        (True, "2008-03"),
        (False, "2008-02"),
        (True, "2008"),
        (False, "2007"),
        (False, None),
    ],
)
def test_a_person_is_a_minor_until_the_last_day_that_the_birth_date_may_mean(
    expected: bool, birth_date: str | None
) -> None:
    assert expected == is_minor(birth_date, AT, 18, ZONE)


async def test_the_recipient_has_name_and_address_in_force() -> None:
    memory = Memory()
    await memory.put(
        patient(
            "1",
            name=[{"use": "maiden", "text": "Eva Ray"}, {"use": "usual", "text": "Evie"}, {"text": "Eva Lu"}],
            address=[
                {"use": "old", "line": ["1 Past St"]},
                {"type": "physical", "line": ["2 Farm Rd"]},
                {"type": "postal", "line": ["PO Box 9"], "city": "Ames", "state": "IA", "postalCode": "50010"},
            ],
        )
    )  # fmt: skip
    found = await representative(memory, "Patient/1", AT, zone=ZONE)
    assert ("Evie", ("PO Box 9", "Ames, IA 50010")) == (found.name, found.address)
