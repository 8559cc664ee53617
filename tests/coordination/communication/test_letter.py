"""The letter about a new case manager."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from server.coordination.assignment import directory
from server.coordination.communication import letter
from server.coordination.communication.letter import Letter
from server.coordination.communication.representative import ROLE
from server.coordination.facts import Transfer
from server.coordination.program.programs import active
from server.ledger import micros
from server.outcome import Problem
from server.validation.element import validate
from tests.coordination.memory import (
    BASE_URL,
    IA_HCBS,
    NOW,
    Memory,
    coding,
    organization,
    patient,
    practitioner,
    role,
    shipped,
)

AT = micros(NOW)
PHONE = {"system": "phone", "value": "1-515-555-0100"}
PARAMETERS = {
    "letter-title": "Your new case manager",
    "letter-text": ["Dear {recipient},", "{manager} ({telecom}) is yours.", "From {effective} on.", "Not {former}."],
    "letter-text-representative": ["Dear {recipient},", "{manager} ({telecom}) is {member}'s."],
    "letter-language": "en",
    "majority": 18,
}


def transfer(effective: str | None = None) -> Transfer:
    roles = ("PractitionerRole/a", "PractitionerRole/b")
    return Transfer(
        "Task/t", IA_HCBS, "Patient/1", "Organization/mco", *roles, "requested", None, effective, None, None, []
    )


async def memory(**more: Any) -> Memory:
    """Eva's manager Ann (a) is to be Bob (b), who has the role and person that `more` says."""
    made = Memory()
    name = [{"prefix": ["Ms."], "given": ["Eva"], "family": "Łu"}]
    await made.put(shipped(), organization("mco"), patient("1", name=name), practitioner("a"), role("a"))
    bob = {"name": [{"given": ["Bob"], "family": "Nguyễn"}]} | more.get("person", {})
    await made.put({"resourceType": "Practitioner", "id": "b"} | bob)
    await made.put(role("b", **{"telecom": [PHONE], **more.get("role", {})}))
    return made


async def written(view: Memory, effective: str | None = None) -> Letter:
    program = (await active(view)).near(IA_HCBS, AT)
    return await letter.letter(view, program, transfer(effective), PARAMETERS, AT)


@pytest.mark.requirement("IA-22")
async def test_the_letter_has_the_new_managers_name_and_telecom() -> None:
    found = await written(await memory(), effective="2026-04-01")
    assert ("Patient/1", "March 10, 2026", ("Ms. Eva Łu",)) == (found.recipient, found.date, found.address)
    assert (
        "Dear Ms. Eva Łu,",
        "Bob Nguyễn (1-515-555-0100) is yours.",
        "From April 1, 2026 on.",
        "Not Manager a.",
    ) == found.paragraphs
    assert ("MCO mco",) == found.sender


async def test_the_letter_has_the_plans_number_with_what_is_dialed_after_it() -> None:
    view = await memory()
    after = {"url": "http://hl7.org/fhir/StructureDefinition/contactpoint-extension", "valueString": "press 1, then 6"}
    service = {
        "resourceType": "HealthcareService",
        "id": "line",
        "providedBy": {"reference": "Organization/mco"},
        "program": [coding("cm-program", "ia-hcbs")],
        "telecom": [{"system": "phone", "value": "1-800-555-0100", "extension": [after]}],
    }
    await view.put(service)
    found = await directory.plan(view, "Organization/mco", (await active(view)).near(IA_HCBS, AT), "Patient/1", AT)
    assert ("1-800-555-0100 (press 1, then 6)",) == found.telecom


@pytest.mark.parametrize("effective", [None, "2026-03-09"])
async def test_a_day_that_is_not_known_or_is_over_is_left_out(effective: str | None) -> None:
    assert not any("From" in text for text in (await written(await memory(), effective)).paragraphs)


async def test_today_is_a_day_to_name() -> None:
    assert "From March 10, 2026 on." in (await written(await memory(), "2026-03-10")).paragraphs


async def test_a_person_whom_the_role_names_by_an_absolute_reference_is_named() -> None:
    more = {"practitioner": {"reference": f"{BASE_URL}/Practitioner/b"}}
    assert "Bob Nguyễn (1-515-555-0100) is yours." in (await written(await memory(role=more))).paragraphs


async def test_a_letter_is_equal_where_the_directory_is() -> None:
    view = await memory()
    before = await written(view)
    assert before == await written(view)
    await view.put(role("b", telecom=[PHONE | {"value": "1-515-555-0199"}]))
    assert before != await written(view)


@pytest.mark.requirement("IA-22")
@pytest.mark.parametrize(
    ("expected", "more"),
    [
        ({"Practitioner.name"}, {"person": {"name": []}}),
        ({"Practitioner.name"}, {"person": {"name": [{"use": "old", "text": "Robert"}]}}),
        ({"PractitionerRole.telecom"}, {"role": {"telecom": []}}),
        ({"PractitionerRole.telecom"}, {"role": {"telecom": [PHONE | {"system": "fax"}]}}),
        ({"PractitionerRole.telecom"}, {"role": {"telecom": [PHONE | {"period": {"end": "2026-03-01"}}]}}),
        ({"PractitionerRole.telecom"}, {"role": {"telecom": []}, "person": {"telecom": [PHONE | {"use": "home"}]}}),
        ({"Practitioner.name", "PractitionerRole.telecom"}, {"role": {"telecom": []}, "person": {"name": []}}),
    ],
)
async def test_the_letter_is_refused_without_name_or_telecom(expected: set[str], more: dict[str, Any]) -> None:
    with pytest.raises(Problem) as refused:
        await written(await memory(**more))
    assert "business_rule" == refused.value.kind
    assert expected == {place for issue in refused.value.issues for place in issue.expression}


async def test_the_persons_own_telecom_at_work_does_where_the_role_has_none() -> None:
    found = await written(await memory(role={"telecom": []}, person={"telecom": [PHONE]}))
    assert "Bob Nguyễn (1-515-555-0100) is yours." in found.paragraphs


@pytest.mark.requirement("IA-20", "IA-22")
async def test_the_letter_goes_to_the_guardian_and_speaks_of_the_member() -> None:
    view = await memory()
    await view.put(
        {
            "resourceType": "RelatedPerson",
            "id": "g",
            "patient": {"reference": "Patient/1"},
            "relationship": [{"coding": [{"system": ROLE, "code": "GUARD"}]}],
            "name": [{"text": "Rosa Łu"}],
            "address": [{"line": ["1 Elm St"], "city": "Ames", "state": "IA", "postalCode": "50010"}],
        }
    )
    found = await written(view)
    assert ("RelatedPerson/g", ("Rosa Łu", "1 Elm St", "Ames, IA 50010")) == (found.recipient, found.address)
    assert ("Dear Rosa Łu,", "Bob Nguyễn (1-515-555-0100) is Ms. Eva Łu's.") == found.paragraphs


@pytest.mark.requirement("IA-22")
async def test_the_letter_becomes_a_document_and_a_communication_by_mail() -> None:
    made = await written(await memory())
    document, communication = (
        change.resource or {} for change in letter.changes(made, b"<p>", b"%PDF", ("d", "c"), NOW)
    )
    assert [] == validate(document) + validate(communication)
    assert ["text/html", "application/pdf"] == [one["attachment"]["contentType"] for one in document["content"]]
    pdf = document["content"][1]["attachment"]
    assert (b"%PDF", 4, "en", made.title) == (base64.b64decode(pdf["data"]), pdf["size"], pdf["language"], pdf["title"])
    assert hashlib.sha1(b"%PDF").digest() == base64.b64decode(pdf["hash"])
    assert "DocumentReference/d" == communication["payload"][0]["contentReference"]["reference"]
    assert ("completed", "MAILWRIT", "2026-03-10T18:00:00.000Z") == (
        communication["status"],
        communication["medium"][0]["coding"][0]["code"],
        communication["sent"],
    )
    assert [{"reference": "Task/t"}] == communication["about"]


@pytest.mark.requirement("IA-22", "IA-25")
async def test_whom_else_to_call_is_the_plans_service_for_the_members_area() -> None:
    view = await memory()
    assert "" == (await words(view))["contact"]
    await view.put(service("all", "1-800-555-0001"))
    assert "1-800-555-0001" == (await words(view))["contact"]
    jdn = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": "jdn"}]}
    polk = {"state": "IA", "district": "Polk"}
    await view.put(
        {"resourceType": "Location", "id": "polk", "physicalType": jdn, "address": polk},
        service("polk", "1-800-555-0002", coverageArea=[{"reference": "Location/polk"}]),
        patient("1", address=[polk]),
    )
    assert "1-800-555-0002" == (await words(view))["contact"]


async def test_whom_else_to_call_is_the_plan_itself_where_it_has_no_service() -> None:
    view = await memory()
    await view.put(organization("mco") | {"contact": [{"telecom": [PHONE]}]})
    assert "1-515-555-0100" == (await words(view))["contact"]


async def words(view: Memory) -> dict[str, str]:
    program = (await active(view)).near(IA_HCBS, AT)
    return await letter.words(view, program, transfer(), AT)


def service(id: str, phone: str, **more: Any) -> dict[str, Any]:
    return {
        "resourceType": "HealthcareService",
        "id": id,
        "providedBy": {"reference": "Organization/mco"},
        "program": [coding("cm-program", "ia-hcbs")],
        "telecom": [{"system": "phone", "value": phone}],
        **more,
    }
