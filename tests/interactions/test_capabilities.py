"""capabilities: the CapabilityStatement says what the tables do, and the server does what it says."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fhir.resources.R4B.terminologycapabilities import TerminologyCapabilities

from server.fhir.definition import RESOURCE_TYPES, search_parameters
from server.validation.element import validate
from tests.answers import refusal
from tests.validation.test_policy import NOTED, store


@pytest.fixture
async def statement(client: httpx.AsyncClient) -> dict[str, Any]:
    response = await client.get("metadata")
    assert response.status_code == 200
    found: dict[str, Any] = response.json()
    return found


def resource(statement: dict[str, Any], type: str) -> dict[str, Any]:
    return next(found for found in statement["rest"][0]["resource"] if found["type"] == type)


def test_statement_is_valid(statement: dict[str, Any]) -> None:
    assert [] == validate(statement)
    assert ("4.0.1", "instance") == (statement["fhirVersion"], statement["kind"])
    assert "http://127.0.0.1/fhir" == statement["implementation"]["url"]


def test_statement_has_every_type(statement: dict[str, Any]) -> None:
    assert sorted(RESOURCE_TYPES) == [found["type"] for found in statement["rest"][0]["resource"]]


def test_statement_lists_interactions(statement: dict[str, Any]) -> None:
    listed = {found["code"] for found in resource(statement, "CarePlan")["interaction"]}
    reading = {"read", "vread", "history-instance", "history-type", "search-type"}
    assert reading | {"create", "update", "patch", "delete"} == listed
    rest = statement["rest"][0]
    system = {found["code"] for found in rest["interaction"]}
    assert {"transaction", "batch", "history-system", "search-system"} == system
    assert {"_id", "_lastUpdated", "_tag"} <= {found["name"] for found in rest["searchParam"]}
    assert "http://hl7.org/fhir/CompartmentDefinition/patient" in rest["compartment"]


def test_statement_lists_search(statement: dict[str, Any]) -> None:
    plan = resource(statement, "CarePlan")
    assert {"subject", "_id", "_lastUpdated", "date", "activity-code"} <= {one["name"] for one in plan["searchParam"]}
    assert "CarePlan:subject" in plan["searchInclude"]
    assert "CarePlan:subject" in resource(statement, "Patient")["searchRevInclude"]


def test_statement_tells_what_stands_in_a_hierarchy(statement: dict[str, Any]) -> None:
    told = {one["name"]: one.get("documentation") for one in resource(statement, "Encounter")["searchParam"]}
    assert (":above, :below along Location.partof", None) == (told["location"], told["participant"])


async def test_statement_lists_the_profiles_that_are_loaded(client: httpx.AsyncClient) -> None:
    async def listed() -> list[str]:
        found: list[str] = resource((await client.get("metadata")).json(), "Goal").get("supportedProfile", [])
        return found

    assert [] == await listed()
    await store(client, NOTED)
    assert [NOTED["url"]] == await listed()
    (definition,) = (entry["resource"] for entry in (await client.get("StructureDefinition")).json()["entry"])
    await client.put(f"StructureDefinition/{definition['id']}", json=definition | {"status": "retired"})
    assert [] == await listed()


async def test_statement_lists_the_guides_that_are_loaded(client: httpx.AsyncClient) -> None:
    assert "implementationGuide" not in (await client.get("metadata")).json()
    guide = {
        "resourceType": "ImplementationGuide",
        "id": "g",
        "url": "urn:example:guide",
        "version": "1.2.0",
        "name": "Guide",
        "status": "active",
        "packageId": "example.guide",
        "fhirVersion": ["4.0.1"],
    }
    assert 201 == (await client.put("ImplementationGuide/g", json=guide)).status_code
    assert ["urn:example:guide|1.2.0"] == (await client.get("metadata")).json()["implementationGuide"]
    await client.delete("ImplementationGuide/g")
    assert "implementationGuide" not in (await client.get("metadata")).json()


async def test_server_takes_every_parameter_that_it_lists(client: httpx.AsyncClient, statement: dict[str, Any]) -> None:
    for type in ("Patient", "CarePlan", "CareTeam", "Task", "Observation"):
        for parameter in resource(statement, type)["searchParam"]:
            value = {"date": "2026", "number": "1", "quantity": "1", "composite": "a$b"}.get(parameter["type"], "a")
            if parameter["type"] == "composite":
                continue
            response = await client.get(
                f"{type}", params={parameter["name"]: value}, headers={"Prefer": "handling=strict"}
            )
            assert 200 == response.status_code, (parameter, response.text)


async def test_server_takes_every_include_that_it_lists(client: httpx.AsyncClient, statement: dict[str, Any]) -> None:
    plan = resource(statement, "CarePlan")
    headers = {"Prefer": "handling=strict"}
    for include in plan["searchInclude"]:
        assert 200 == (await client.get(f"CarePlan?_include={include}", headers=headers)).status_code
    for include in plan["searchRevInclude"]:
        assert 200 == (await client.get(f"CarePlan?_revinclude={include}", headers=headers)).status_code


def test_statement_names_definitions_of_the_specification(statement: dict[str, Any]) -> None:
    listed = {found["definition"] for found in resource(statement, "Task")["searchParam"]}
    assert {found.url for found in search_parameters("Task").values()} == listed


@pytest.mark.parametrize("mode", ["full", "normative", ""])
async def test_modes(client: httpx.AsyncClient, mode: str) -> None:
    assert 200 == (await client.get(f"metadata?mode={mode}")).status_code


async def test_mode_terminology(client: httpx.AsyncClient) -> None:
    response = await client.get("metadata?mode=terminology")
    found = response.json()
    assert [] == validate(found)
    TerminologyCapabilities.model_validate(found)
    systems = {one["uri"]: [each["code"] for each in one.get("version", ())] for one in found["codeSystem"]}
    assert ["4.0.1"] == systems["http://hl7.org/fhir/goal-status"]
    assert {"url", "filter", "count", "offset"} <= {one["name"] for one in found["expansion"]["parameter"]}
    known = await client.get("metadata?mode=terminology", headers={"If-None-Match": response.headers["etag"]})
    assert 304 == known.status_code
    assert {"resourceType", "meta", "status", "date", "kind"} >= (
        await client.get("metadata?mode=terminology&_elements=kind")
    ).json().keys()


async def test_mode_terminology_tells_which_version_counts(client: httpx.AsyncClient) -> None:
    url = "http://hl7.org/fhir/goal-status"
    for version in ("5.0.0", "10.0.0"):
        system = {
            "resourceType": "CodeSystem",
            "url": url,
            "version": version,
            "status": "active",
            "content": "complete",
        }
        assert 201 == (await client.post("CodeSystem", json=system)).status_code
    found = (await client.get("metadata?mode=terminology")).json()["codeSystem"]
    assert [[("10.0.0", True), ("4.0.1", False), ("5.0.0", False)]] == [
        sorted((each["code"], each["isDefault"]) for each in one["version"]) for one in found if one["uri"] == url
    ]


async def test_mode_that_is_not_there(client: httpx.AsyncClient) -> None:
    assert (400, ["invalid"]) == refusal(await client.get("metadata?mode=nothing"))


async def test_statement_may_be_asked_for_in_part(client: httpx.AsyncClient) -> None:
    whole = await client.get("metadata")
    summary = await client.get("metadata?_summary=true")
    part = await client.get("metadata?_elements=software,patchFormat")
    assert len(summary.content) < len(whole.content) // 4
    assert [] == validate(summary.json())
    assert (True, True, False) == tuple(name in part.json() for name in ("software", "patchFormat", "rest"))
    assert "SUBSETTED" == part.json()["meta"]["tag"][0]["code"]
    assert (400, ["invalid"]) == refusal(await client.get("metadata?_summary=all"))


async def test_statement_that_is_known_is_not_sent_again(client: httpx.AsyncClient) -> None:
    tag = (await client.get("metadata")).headers["etag"]
    known = await client.get("metadata", headers={"If-None-Match": tag})
    other = await client.get("metadata?_summary=true", headers={"If-None-Match": tag})
    assert (304, b"", 200) == (known.status_code, known.content, other.status_code)


def test_statement_says_what_writes_take(statement: dict[str, Any]) -> None:
    formats = {
        "application/json-patch+json",
        "application/fhir+json",
        "application/fhir+xml",
        "application/merge-patch+json",
    }
    assert formats == set(statement["patchFormat"])
    assert ["application/fhir+json", "application/fhir+xml", "json", "xml"] == statement["format"]
    plan = resource(statement, "CarePlan")
    assert ("versioned", "single", "full-support", True, True, True) == (
        plan["versioning"],
        plan["conditionalDelete"],
        plan["conditionalRead"],
        plan["conditionalCreate"],
        plan["conditionalUpdate"],
        plan["updateCreate"],
    )
    assert {"meta", "meta-add", "meta-delete", "validate"} <= {found["name"] for found in plan["operation"]}
    assert statement["rest"][0]["security"]["cors"] is False
