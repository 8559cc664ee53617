"""The SMART project's client fhirclient: https://github.com/smart-on-fhir/client-py"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fhirclient.client import FHIRClient
from fhirclient.models.bundle import Bundle
from fhirclient.models.careplan import CarePlan
from fhirclient.models.patient import Patient
from fhirclient.server import FHIRNotFoundException, FHIRServer
from requests import HTTPError

SYSTEM = "urn:example:fhirclient"


@pytest.fixture
def server(base: str) -> Iterator[FHIRServer]:
    server = FHIRClient(settings={"app_id": "careplan_tests", "api_base": base}).server
    with server.session:
        yield server


def test_capability_statement_is_one_that_it_understands(server: FHIRServer) -> None:
    assert "4.0.1" == server.capabilityStatement.fhirVersion


def test_create_read_update_delete(server: FHIRServer) -> None:
    created = Patient({"name": [{"family": "Gneiss", "given": ["Hazel"]}], "birthDate": "1950-02-03"}).create(server)
    patient = Patient.read(created["id"], server)
    assert "Gneiss" == patient.name[0].family

    patient.gender = "female"
    patient.update()
    assert "female" == Patient.read(patient.id, server).gender

    patient.delete()
    with pytest.raises(HTTPError) as gone:
        Patient.read(patient.id, server)
    assert 410 == gone.value.response.status_code


def test_read_of_an_unknown_id_is_not_found(server: FHIRServer) -> None:
    with pytest.raises(FHIRNotFoundException):
        Patient.read("nobody-here", server)


def test_search_goes_through_every_page(server: FHIRServer) -> None:
    for number in range(5):
        Patient({"identifier": [{"system": SYSTEM, "value": str(number)}]}).create(server)
    found = Patient.where({"identifier": f"{SYSTEM}|", "_count": "2"}).perform_resources_iter(server)
    assert {str(number) for number in range(5)} == {patient.identifier[0].value for patient in found}


def test_transaction_then_search_by_reference(server: FHIRServer) -> None:
    subject = "urn:uuid:5f2c5a3e-8b1f-4f4d-8d2c-6f0b7a9e1d02"
    plan = {"resourceType": "CarePlan", "status": "active", "intent": "plan", "subject": {"reference": subject}}
    bundle = Bundle(
        {
            "type": "transaction",
            "entry": [
                {
                    "fullUrl": subject,
                    "request": {"method": "POST", "url": "Patient"},
                    "resource": {"resourceType": "Patient", "active": True},
                },
                {"request": {"method": "POST", "url": "CarePlan"}, "resource": plan},
            ],
        }
    )
    answer = bundle.create(server)
    patient, made = (
        entry["response"]["location"].split("/_history")[0].rpartition("/")[2] for entry in answer["entry"]
    )
    assert [made] == [
        one.id for one in CarePlan.where({"subject": f"Patient/{patient}"}).perform_resources_iter(server)
    ]
