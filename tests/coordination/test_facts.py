from __future__ import annotations

from typing import Any

import pytest

from server.coordination.facts import (
    ENTERED_IN_ERROR,
    PROGRAM_EXTENSION,
    Assignment,
    Enrolment,
    Step,
    Transfer,
    facts,
)
from server.ledger import Fact
from tests.coordination.memory import (
    BASE,
    IA_HCBS,
    assigned,
    coding,
    episode,
    limited,
    location,
    patient,
    role,
    shipped,
    team,
)

URL = "https://fhir.example.org/fhir"
CBCM = f"{BASE}/CodeSystem/cm-role|cbcm"


def rows(resource: dict[str, Any], kind: str) -> list[tuple[str, Any]]:
    return [(key, data) for found, key, data in facts(resource, URL) if found == kind]


def assignment(made: dict[str, Any]) -> Assignment:
    key, data = rows(made, "manager")[0]
    return Assignment.of(Fact("manager", key, data, f"CareTeam/{made['id']}"))


def test_facts_are_few_for_what_no_rule_asks() -> None:
    assert [] == facts({"resourceType": "CarePlan", "id": "1"})
    assert [] == facts(patient("1"))


@pytest.mark.parametrize(
    "reference",
    [
        "PractitionerRole/7",
        "PractitionerRole/7/_history/3",
        f"{URL}/PractitionerRole/7",
        f"{URL}/PractitionerRole/7/_history/1",
    ],
)
def test_facts_of_a_care_team_take_every_form_of_a_literal_reference(reference: str) -> None:
    found = rows(team("m", assigned(reference)), "manager")
    assert ["PractitionerRole/7"] == [key for key, _ in found]


@pytest.mark.parametrize(
    "member",
    [
        {"identifier": {"system": "urn:x", "value": "7"}},
        {"display": "Ann"},
        {"reference": "#7"},
        {"reference": "https://elsewhere.example.org/fhir/PractitionerRole/7"},
        {"reference": "urn:uuid:c757873d-ec9a-4326-a141-556f43239520"},
        {"reference": "Practitioner/7"},
    ],
)
def test_facts_of_a_care_team_have_no_row_for_who_cannot_be_told_apart(member: dict[str, Any]) -> None:
    assert [] == rows(team("m", assigned("x") | {"member": member}), "manager")


def test_facts_of_a_care_team_say_who_as_what_and_when() -> None:
    made = team("m", {"member": {"display": "Mother"}}, assigned("PractitionerRole/7", "2025-01-01", "2025-02-01"))
    made["extension"] = [{"url": PROGRAM_EXTENSION, "valueCanonical": f"{IA_HCBS}|1.0.0"}]
    found = assignment(made)
    expected = Assignment(
        "CareTeam/m",
        1,
        "Patient/m",
        "PractitionerRole/7",
        [CBCM],
        "active",
        "2025-01-01",
        "2025-02-01",
        [IA_HCBS],
        False,
    )
    assert expected == found
    assert [("CareTeam/m", "Patient/m")] == rows(made, "subject")


def test_facts_of_a_care_team_know_mistakes_by_their_reason() -> None:
    reason = {"modifierExtension": [{"url": ENTERED_IN_ERROR, "valueCodeableConcept": {"text": "Another Ann"}}]}
    assert assignment(team("m", assigned("PractitionerRole/7", **reason))).error
    assert assignment(team("m", assigned("PractitionerRole/7"), **reason)).error
    assert not assignment(team("m", assigned("PractitionerRole/7"))).error


def test_facts_of_an_episode_say_where_and_in_what_status() -> None:
    history = [{"status": "planned", "period": {"start": "2025-01-01", "end": "2025-01-31"}}]
    made = episode("m", statusHistory=history, careManager={"reference": f"{URL}/Practitioner/7/_history/2"})
    found = Enrolment.of(Fact("member", "Patient/m", rows(made, "member")[0][1], "EpisodeOfCare/m"))
    assert ("Organization/mco", "Practitioner/7") == (found.organization, found.manager)
    assert [["planned", "2025-01-01", "2025-01-31"]] == found.history
    assert [("Organization/mco", "Patient/m")] == rows(made, "organization")


@pytest.mark.parametrize(
    ("expected", "link"),
    [
        (
            "https://mco.example.org/fhir/Organization/1",
            {"reference": "https://mco.example.org/fhir/Organization/1/_history/2"},
        ),
        (None, {"reference": f"{URL}/Organization/1/"}),
        (None, {"reference": f"{URL}//Organization/1"}),
        (None, {"identifier": {"value": "1"}}),
        (None, {"reference": "#1"}),
        (None, {"display": "The plan"}),
    ],
)
def test_facts_of_an_episode_name_an_organization_only_by_a_literal_reference(
    expected: str | None, link: dict[str, Any]
) -> None:
    key, data = rows(episode("m") | {"managingOrganization": link}, "member")[0]
    assert expected == Enrolment.of(Fact("member", key, data, "EpisodeOfCare/m")).organization


def test_facts_of_a_patient_link_both_records() -> None:
    made = patient("old", link=[{"other": {"reference": "Patient/new"}, "type": "replaced-by"}])
    assert [
        ("Patient/old", ["link", "Patient/new", "replaced-by"]),
        ("Patient/new", ["link", "Patient/old", "replaces"]),
    ] == rows(made, "member")
    assert [] == facts(patient("old", link=[{"other": {"reference": "Patient/new"}, "type": "seealso"}]))


def test_facts_of_a_role_are_found_from_the_role_and_from_the_person() -> None:
    assert ["PractitionerRole/7", "Practitioner/1"] == [key for key, _ in rows(role("7", "1", active=False), "role")]


def test_facts_of_a_service_are_for_whom_it_can_be_called() -> None:
    service = {
        "resourceType": "HealthcareService",
        "id": "s",
        "providedBy": {"reference": "Organization/mco"},
        "program": [coding("cm-program", "ia-hcbs")],
        "telecom": [{"system": "phone", "value": "1"}],
    }
    coded = [f"{BASE}/CodeSystem/cm-program|ia-hcbs"]
    assert [("Organization/mco", [coded, [], None, None])] == rows(service, "contact")
    covering = service | {"coverageArea": [{"reference": "Location/polk"}, {"display": "Story"}]}
    assert [("Organization/mco", [coded, ["Location/polk"], None, None])] == rows(covering, "contact")
    assert [] == facts(service | {"active": False})


def test_facts_of_a_role_are_a_contact_where_it_manages_an_area() -> None:
    manager = role(
        "7",
        code=[coding("cm-role", "area-manager")],
        location=[{"reference": "Location/polk"}],
        telecom=[{"system": "phone", "value": "1"}],
        period={"start": "2025-01-01"},
    )
    assert [("Organization/mco", [[], ["Location/polk"], "2025-01-01", None])] == rows(manager, "contact")
    assert [] == rows(manager | {"code": [coding("cm-role", "cbcm")]}, "contact")
    assert [] == rows(manager | {"active": False}, "contact")


def test_facts_of_a_patient_say_where_the_home_is() -> None:
    home = {"district": "Polk  County", "state": "IA", "postalCode": "50309-1234", "line": ["1 Example Street"]}
    made = patient("m", address=[home, {"use": "old", "state": "NY"}, {"use": "home", "text": "Iowa"}])
    assert [("Patient/m", [["50309", "", "polk", "ia"], None, None])] == rows(made, "home")


def test_facts_of_a_location_are_an_areas_by_what_tells_most() -> None:
    county = location("polk", district="Polk", state="IA")
    assert [("district|polk", ["", "", "polk", "ia"])] == rows(county, "area")
    assert [("Location/polk", [True, "Location/central", 41.6, None])] == rows(
        county | {"partOf": {"reference": "Location/central"}, "position": {"latitude": 41.6}}, "location"
    )
    assert [] == rows(county | {"status": "inactive"}, "area")


@pytest.mark.parametrize(
    ("expected", "address"),
    [
        (True, {"district": "Polk", "state": "IA"}),
        (True, {"state": "IA", "country": "US"}),
        (False, {"district": "Polk", "state": "IA", "city": "Ames"}),
        (False, {"district": "Polk", "state": "IA", "line": ["1 Example Street"]}),
        (False, {"country": "US"}),
        (False, {}),
    ],
)
def test_facts_of_a_location_that_does_not_say_what_it_is(expected: bool, address: dict[str, Any]) -> None:
    place = {"resourceType": "Location", "id": "x", "address": address}
    assert expected == bool(rows(place, "area"))
    assert [("Location/x", [expected, None, None, None])] == rows(place, "location")
    building = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/location-physical-type", "code": "bu"}]}
    assert [] == rows(place | {"physicalType": building}, "area")


def test_facts_of_a_program_change_with_its_content_and_end_with_its_activity() -> None:
    assert rows(shipped(), "program") != rows(limited(40), "program")
    assert [] == facts(shipped() | {"status": "retired"})
    assert [] == facts(shipped() | {"action": []})


TRANSFER = {
    "resourceType": "Task",
    "id": "t",
    "instantiatesCanonical": f"{IA_HCBS}|1.0.0",
    "status": "requested",
    "intent": "order",
    "code": coding("cm-task", "case-manager-transfer"),
    "for": {"reference": f"{URL}/Patient/1"},
    "owner": {"reference": "PractitionerRole/b/_history/4"},
    "authoredOn": "2026-03-10T12:00:00-05:00",
    "reasonCode": coding("ia-transfer-reason", "ratio-realignment"),
    "input": [
        {"type": coding("cm-transfer-input", "from"), "valueReference": {"reference": "PractitionerRole/a"}},
        {"type": coding("cm-transfer-input", "organization"), "valueReference": {"reference": "Organization/mco"}},
        {"type": coding("cm-transfer-input", "effective"), "valueDate": "2026-04-01"},
    ],
}


def test_facts_of_a_transfer_are_found_by_whom_it_concerns() -> None:
    found = dict(rows(TRANSFER, "transfer"))
    assert {"Task/t", "Patient/1", "PractitionerRole/a", "PractitionerRole/b", "Organization/mco"} == found.keys()
    reason = f"{BASE}/CodeSystem/ia-transfer-reason|ratio-realignment"
    opened = TRANSFER["authoredOn"]
    expected = Transfer(
        *("Task/t", IA_HCBS, "Patient/1", "Organization/mco", "PractitionerRole/a", "PractitionerRole/b", "requested"),
        *(opened, "2026-04-01", None, None, [reason]),
    )
    assert expected == Transfer.of(Fact("transfer", "Task/t", found["Task/t"], "Task/t"))
    assert expected.is_open


@pytest.mark.parametrize(
    ("status", "keys"), [("requested", ["PractitionerRole/b"]), ("draft", []), ("completed", []), ("cancelled", [])]
)
def test_facts_of_a_transfer_reserve_a_place_only_while_it_is_open(status: str, keys: list[str]) -> None:
    assert keys == [key for key, _ in rows(TRANSFER | {"status": status}, "reservation")]


def test_facts_of_a_step_are_found_by_its_transfer_and_itself() -> None:
    step = {
        "resourceType": "Task",
        "id": "s",
        "status": "completed",
        "code": coding("cm-task", "case-manager-transfer-step"),
        "partOf": [{"reference": "Task/t"}],
        "businessStatus": coding("ia-transfer-step", "3"),
    }
    found = dict(rows(step, "step"))
    assert {"Task/s", "Task/t"} == found.keys()
    expected = Step("Task/s", "Task/t", f"{BASE}/CodeSystem/ia-transfer-step|3", "completed")
    assert expected == Step.of(Fact("step", "Task/t", found["Task/t"], "Task/s"))


def test_facts_of_other_tasks_are_none() -> None:
    assert [] == facts({"resourceType": "Task", "id": "t", "status": "requested", "intent": "order"})
