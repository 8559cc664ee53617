"""How operations are reached: https://hl7.org/fhir/R4/operations.html. What each does is tests/operations'."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.answers import entry, refusal, statuses, transaction

PATIENT = {"resourceType": "Patient", "id": "a"}
WRONG = {"resourceType": "Patient", "gender": "x"}


def parameters(**resources: Any) -> dict[str, Any]:
    return {
        "resourceType": "Parameters",
        "parameter": [{"name": name, "resource": resource} for name, resource in resources.items()],
    }


async def test_operation_answers_its_return_bare(client: httpx.AsyncClient) -> None:
    response = await client.post("Patient/$validate", json=parameters(resource=WRONG))
    assert (200, "OperationOutcome") == (response.status_code, response.json()["resourceType"])
    assert "code-invalid" in [issue["code"] for issue in response.json()["issue"]]


@pytest.mark.parametrize(
    ("method", "place"),
    [
        ("POST", "$validate"),
        ("POST", "Patient/$caseload"),
        ("POST", "Group/a/$assign-care-manager"),
        ("GET", "Patient/a/$nothing"),
        ("POST", "$"),
    ],
)
async def test_operation_that_is_not_there(client: httpx.AsyncClient, method: str, place: str) -> None:
    assert (404, ["not-found"]) == refusal(await client.request(method, place))


async def test_operation_that_writes_is_posted(client: httpx.AsyncClient) -> None:
    response = await client.get("Patient/a/$assign-care-manager")
    assert ((405, ["not-supported"]), "POST") == (refusal(response), response.headers["allow"])
    assert 405 == (await client.head("Patient/a/$assign-care-manager")).status_code


async def test_operation_refuses_a_parameter_that_it_does_not_have(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=PATIENT)
    assert 400 == refusal(await client.get("Patient/a/$care-manager?colour=red"))[0]
    assert 200 == (await client.get("Patient/a/$care-manager?_format=json&_pretty=true")).status_code


async def test_operation_writes_no_table_where_it_has_none(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=PATIENT)
    assert 406 == refusal(await client.get("Patient/a/$care-manager?_format=csv"))[0]


@pytest.mark.parametrize(
    ("format", "status", "start"),
    [
        ({"valueCode": "xml"}, 200, "<"),
        ({"valueString": "application/fhir+json"}, 200, "{"),
        ({"valueCode": "csv"}, 406, "{"),
        ({"valueCode": "tea"}, 406, "{"),
        ({"valueInteger": 1}, 400, "{"),
    ],
)
async def test_operation_takes_the_format_from_its_parameters(
    client: httpx.AsyncClient, format: dict[str, Any], status: int, start: str
) -> None:
    asked = parameters(resource=WRONG)
    asked["parameter"].append({"name": "_format", **format})
    response = await client.post("Patient/$validate", json=asked)
    assert (status, start) == (response.status_code, response.text[0])


async def test_operation_in_a_batch(client: httpx.AsyncClient) -> None:
    bundle = transaction(
        entry("PUT", "Patient/a", PATIENT),
        entry("GET", "Patient/a/$care-manager"),
        entry("POST", "Patient/$validate", parameters(resource=WRONG)),
        type="batch",
    )
    response = await client.post("", json=bundle)
    assert ["201", "200", "200"] == statuses(response)
    assert ["Parameters", "OperationOutcome"] == [
        found["resource"]["resourceType"] for found in response.json()["entry"][1:]
    ]


async def test_operations_are_listed(client: httpx.AsyncClient) -> None:
    resources = (await client.get("metadata")).json()["rest"][0]["resource"]
    listed = {found["type"]: {one["name"] for one in found.get("operation", ())} for found in resources}
    assert {"assign-care-manager", "care-manager", "validate"} <= listed["Patient"]
    assert {"caseload", "validate"} <= listed["PractitionerRole"]
    assert {"graph", "meta", "meta-add", "meta-delete", "validate"} == listed["Basic"]
