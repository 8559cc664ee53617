"""The client fhirpy: https://github.com/beda-software/fhir-py"""

from __future__ import annotations

import pytest
from fhirpy import AsyncFHIRClient
from fhirpy.base.exceptions import OperationOutcome, ResourceNotFound

SYSTEM = "urn:example:fhirpy"


@pytest.fixture
def client(base: str) -> AsyncFHIRClient:
    return AsyncFHIRClient(base)


async def test_create_read_update_delete(client: AsyncFHIRClient) -> None:
    patient = client.resource("Patient", name=[{"family": "Basalt", "given": ["Fern"]}])
    await patient.save()
    read = await client.reference("Patient", patient.id).to_resource()
    assert "Basalt" == read["name"][0]["family"]

    read["gender"] = "female"
    await read.save()
    assert "female" == (await client.get("Patient", patient.id))["gender"]
    assert read["meta"]["versionId"] != patient["meta"]["versionId"]

    await read.delete()
    with pytest.raises(ResourceNotFound):
        await client.get("Patient", patient.id)


async def test_patch_and_save_of_some_fields(client: AsyncFHIRClient) -> None:
    patient = client.resource("Patient", name=[{"family": "Basalt"}], active=True)
    await patient.save()
    patched = await client.patch("Patient", patient.id, gender="female", active=None)
    assert ("female", False, "Basalt") == (patched["gender"], "active" in patched, patched["name"][0]["family"])
    patient["birthDate"] = "1950-01-01"
    await patient.save(fields=["birthDate"])
    read = await client.get("Patient", patient.id)
    assert ("1950-01-01", "female") == (read["birthDate"], read["gender"])


async def test_search_goes_through_every_page(client: AsyncFHIRClient) -> None:
    for number in range(7):
        await client.resource("Patient", identifier=[{"system": SYSTEM, "value": str(number)}]).save()
    found = client.resources("Patient").search(identifier=f"{SYSTEM}|").limit(3)
    assert {str(number) for number in range(7)} == {one["identifier"][0]["value"] for one in await found.fetch_all()}
    assert 7 == await client.resources("Patient").search(identifier=f"{SYSTEM}|").count()


async def test_include_brings_the_subject(client: AsyncFHIRClient) -> None:
    patient = client.resource("Patient", active=True)
    await patient.save()
    plan = client.resource("CarePlan", status="active", intent="plan", subject=patient.to_reference())
    await plan.save()
    bundle = await client.resources("CarePlan").search(_id=plan.id).include("CarePlan", "subject").fetch_raw()
    assert [plan.id, patient.id] == [entry["resource"]["id"] for entry in bundle["entry"]]


async def test_conditional_update_makes_one(client: AsyncFHIRClient) -> None:
    identifier = [{"system": SYSTEM, "value": "only-one"}]
    condition = client.resources("Organization").search(identifier=f"{SYSTEM}|only-one")
    made = [await condition.update(client.resource("Organization", identifier=identifier)) for _ in range(2)]
    assert [True, False] == [created for _, created in made]
    assert made[0][0]["id"] == made[1][0]["id"]


async def test_transaction_resolves_its_references(client: AsyncFHIRClient) -> None:
    patient = "urn:uuid:0b8b4f1e-6c0c-4a4e-9c55-3a1f6a2f4c01"
    bundle = client.resource(
        "Bundle",
        type="transaction",
        entry=[
            {
                "fullUrl": patient,
                "request": {"method": "POST", "url": "Patient"},
                "resource": {"resourceType": "Patient", "active": True},
            },
            {
                "request": {"method": "POST", "url": "Goal"},
                "resource": {
                    "resourceType": "Goal",
                    "lifecycleStatus": "active",
                    "description": {"text": "Walk every day"},
                    "subject": {"reference": patient},
                },
            },
        ],
    )
    await bundle.save()
    locations = [entry["response"]["location"] for entry in bundle["entry"]]
    ids = [location.split("/_history")[0].rpartition("/")[2] for location in locations]
    goal = await client.get("Goal", ids[1])
    assert f"Patient/{ids[0]}" == goal["subject"]["reference"]


async def test_refusal_arrives_as_an_operation_outcome(client: AsyncFHIRClient) -> None:
    with pytest.raises(OperationOutcome) as refused:
        await client.resource("Patient", gender="unheard-of").save()
    assert ["Patient.gender"] == [
        place for issue in refused.value.resource["issue"] for place in issue.get("expression", [])
    ]
