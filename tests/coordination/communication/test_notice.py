"""Who is told of a new case manager, and the first contacts."""

from __future__ import annotations

from typing import Any

import pytest

from server.coordination.communication import notice
from server.ledger import micros
from server.validation.element import validate
from tests.coordination.memory import NOW, Memory, assigned, patient, practitioner, role, team

AT = micros(NOW)
ZONE = "America/Chicago"


def request(id: str, *performers: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "ServiceRequest",
        "id": id,
        "status": "active",
        "intent": "order",
        "subject": {"reference": "Patient/1"},
        "performer": [{"reference": one} for one in performers],
        **more,
    }


def plan(id: str, status: str, *activities: tuple[str, str], **more: Any) -> dict[str, Any]:
    """A CarePlan with activities of (status, performer)."""
    return {
        "resourceType": "CarePlan",
        "id": id,
        "status": status,
        "intent": "plan",
        "subject": {"reference": "Patient/1"},
        "activity": [{"detail": {"status": one, "performer": [{"reference": by}]} | more} for one, by in activities],
    }


async def told(*resources: dict[str, Any], managers: tuple[str, ...] = ()) -> list[str]:
    memory = Memory()
    await memory.put(patient("1"), *resources)
    return await notice.providers(memory, "Patient/1", AT, ZONE, managers)


@pytest.mark.requirement("IA-24")
async def test_providers_are_the_performers_of_active_services_each_once() -> None:
    assert ["HealthcareService/meals", "Organization/aide", "PractitionerRole/nurse"] == await told(
        request("1", "Organization/aide", "PractitionerRole/nurse"),
        request("2", "Organization/aide", "HealthcareService/meals", "Patient/1", "Device/pump"),
        request("3", "Organization/past", status="completed"),
        request("4", "Organization/over", occurrencePeriod={"end": "2026-03-09"}),
        request("5", "Organization/not", doNotPerform=True),
    )


@pytest.mark.requirement("IA-24")
async def test_providers_perform_the_activities_under_way_of_active_plans() -> None:
    assert ["Organization/booked", "Organization/now"] == await told(
        plan("1", "active", ("in-progress", "Organization/now"), ("scheduled", "Organization/booked")),
        plan("2", "active", ("completed", "Organization/done"), ("not-started", "Organization/yet")),
        plan("3", "draft", ("in-progress", "Organization/draft")),
        plan("4", "active", ("in-progress", "Organization/over"), scheduledPeriod={"end": "2026-03-09"}),
    )


@pytest.mark.requirement("IA-24")
async def test_providers_are_on_the_members_active_teams() -> None:
    manager, nurse = (
        "https://careplan-server.org/fhir/CodeSystem/cm-role|cbcm",
        {"role": [{"coding": [{"code": "pcp"}]}]},
    )
    memory = Memory()
    await memory.put(
        *(patient("1"), practitioner("ann"), role("ann"), practitioner("pcp"), role("pcp"), role("past", "pcp")),
        team(
            "1",
            *(assigned("PractitionerRole/ann"), assigned("PractitionerRole/pcp") | nurse),
            assigned("PractitionerRole/past", end="2026-01-01") | nurse,
            *(
                {"member": {"reference": one}}
                for one in ("Organization/home", "Practitioner/aide", "RelatedPerson/mother")
            ),
            {"member": {"reference": "Organization/before"}, "period": {"end": "2026-03-09"}},
        ),
        team(
            "2",
            {"member": {"reference": "Organization/planned"}},
            subject={"reference": "Patient/1"},
            status="proposed",
        ),
    )
    expected = ["Organization/home", "Practitioner/aide", "PractitionerRole/pcp"]
    assert expected == await notice.providers(memory, "Patient/1", AT, ZONE, ["PractitionerRole/x"], manager)


async def test_providers_are_not_the_managers_in_any_role() -> None:
    both = [practitioner("ann"), role("ann"), role("ann-nurse", "ann"), request("1", "Practitioner/ann")]
    more = request("2", "PractitionerRole/ann-nurse", "Practitioner/bob")
    assert ["Practitioner/bob"] == await told(*both, more, managers=("PractitionerRole/ann",))


async def test_providers_of_another_record_of_the_person_count() -> None:
    memory = Memory()
    link = {"other": {"reference": "Patient/1"}, "type": "replaces"}
    await memory.put(patient("1"), patient("2", link=[link]), request("1", "Organization/aide"))
    assert ["Organization/aide"] == await notice.providers(memory, "Patient/2", AT, ZONE)


def test_notice_is_a_communication_to_one() -> None:
    made = notice.notice("Patient/1", "Task/t", "PractitionerRole/b", "Organization/aide", "Bob it is.", "n", NOW)
    found = made.resource or {}
    assert [] == validate(found)
    assert ([{"reference": "Organization/aide"}], "completed") == (found["recipient"], found["status"])
    assert "2026-03-10T18:00:00.000Z" == found["sent"]


@pytest.mark.requirement("IA-23")
def test_first_contacts_begin_with_the_switch_and_have_no_deadline() -> None:
    made = notice.first_contacts("Patient/1", "Task/t", "PractitionerRole/b", "Patient/1", AT, ZONE, "c", NOW)
    found = made.resource or {}
    assert [] == validate(found)
    assert {"start": "2026-03-10T13:00:00-05:00"} == found["occurrencePeriod"]
    assert ("active", {"reference": "PractitionerRole/b"}) == (found["status"], found["sender"])
