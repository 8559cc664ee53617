"""Iowa's directory over HTTP: who manages a member's case, and if nobody, whom to call at the plan and in the area."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.answers import ids
from tests.coordination.memory import (
    IA_HCBS,
    assigned,
    episode,
    organization,
    patient,
    practitioner,
    role,
    shipped,
    team,
)
from tests.scenarios.iowa import DIRECTORY, kept

MCOS = ("ia-total-care", "ia-molina", "ia-wellpoint")
AREA_MANAGER = "https://careplan-server.org/fhir/CodeSystem/cm-role|area-manager"

Json = dict[str, Any]


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A server with the program and the directory."""
    assert (await client.put("PlanDefinition/ia-hcbs", json=shipped())).is_success
    assert (await client.post("", json=json.loads(DIRECTORY.read_text()))).is_success
    return client


async def contacts(client: httpx.AsyncClient, member: str, **asked: str) -> list[Json]:
    answer = (await client.get(f"Patient/{member}/$care-manager", params=asked)).json()
    assert {"contact"} >= {one["name"] for one in answer.get("parameter", ())}
    return [one["resource"] for one in answer.get("parameter", ())]


@pytest.mark.requirement("IA-25")
@pytest.mark.parametrize(
    ("mco", "telecom"),
    [
        (
            "ia-total-care",
            [
                ("email", "itc_ltss@iowatotalcare.com", None),
                ("phone", "1-833-404-1061", "press 1, then 6"),
                ("url", "https://www.iowatotalcare.com/territory-maps.html", None),
            ],
        ),
        (
            "ia-molina",
            [
                ("email", "IA_CM@molinahealthcare.com", None),
                ("phone", "1-844-236-0894", None),
                ("url", "https://molinahealthcare.com", None),
            ],
        ),
        (
            "ia-wellpoint",
            [
                ("email", "LTSS_Iowa@elevancehealth.com", None),
                ("phone", "1-833-731-2140", None),
                (
                    "url",
                    "https://www.provider.wellpoint.com/docs/gpp/IA_WLP_CAID_LTSSRegionalManagerMap.pdf?v=202402052232",
                    None,
                ),
            ],
        ),
    ],
)
async def test_member_without_a_manager_is_told_whom_to_call(
    iowa: httpx.AsyncClient, mco: str, telecom: list[tuple[str, str, str | None]]
) -> None:
    home = {"use": "home", "city": "Des Moines", "district": "Polk", "state": "IA", "postalCode": "50309"}
    await kept(iowa, patient("m", address=[home]), episode("m", mco))
    service, manager = await contacts(iowa, "m", program=IA_HCBS)
    assert (f"{mco}-case-management", f"{mco}-central-manager") == (service["id"], manager["id"])
    assert telecom == [
        (one["system"], one["value"], one.get("extension", [{"valueString": None}])[0]["valueString"])
        for one in service["telecom"]
    ]
    assert "555-01" in manager["telecom"][0]["value"]


@pytest.mark.requirement("IA-25")
async def test_member_of_unknown_home_is_told_the_plans_service(iowa: httpx.AsyncClient) -> None:
    await kept(iowa, patient("m"), episode("m", "ia-molina"))
    assert ["ia-molina-case-management"] == [one["id"] for one in await contacts(iowa, "m")]


@pytest.mark.requirement("IA-25")
@pytest.mark.parametrize("gone", [{"active": False}, {"period": {"end": "2025-06-30"}}])
async def test_member_whose_manager_has_left_is_told_whom_to_call(iowa: httpx.AsyncClient, gone: Json) -> None:
    ann = role("ann", mco="ia-molina")
    member = patient("m", address=[{"district": "Linn", "state": "IA"}])
    await kept(iowa, practitioner("ann"), ann, member, episode("m", "ia-molina"))
    await kept(iowa, team("m", assigned("PractitionerRole/ann")))
    answer = (await iowa.get("Patient/m/$care-manager")).json()
    assert ["assignment"] == [one["name"] for one in answer["parameter"]]
    await kept(iowa, ann | gone)
    assert ["ia-molina-case-management", "ia-molina-east-manager"] == [one["id"] for one in await contacts(iowa, "m")]
    earlier = (await iowa.get("Patient/m/$care-manager", params={"asOf": "2025-06-01"})).json()
    assert ["assignment"] == [one["name"] for one in earlier["parameter"]]


@pytest.mark.requirement("IA-13", "IA-25")
@pytest.mark.parametrize("mco", MCOS)
async def test_map_of_a_plans_areas_is_a_search(iowa: httpx.AsyncClient, mco: str) -> None:
    asked = {"organization": f"Organization/{mco}", "role": AREA_MANAGER, "_include": "PractitionerRole:location"}
    found = (await iowa.get("PractitionerRole", params=asked)).json()
    managers = [entry["resource"] for entry in found["entry"] if entry["search"]["mode"] == "match"]
    assert {f"{mco}-{area}-manager": f"Location/ia-{area}" for area in ("central", "east", "west")} == {
        one["id"]: one["location"][0]["reference"] for one in managers
    }
    included = {entry["resource"]["id"] for entry in found["entry"] if entry["search"]["mode"] == "include"}
    assert {"ia-central", "ia-east", "ia-west"} == included


@pytest.mark.requirement("IA-25")
async def test_manager_of_a_countys_area_is_a_search(iowa: httpx.AsyncClient) -> None:
    asked = {"role": AREA_MANAGER, "organization": "Organization/ia-wellpoint", "location": "Location/ia-west"}
    assert ["ia-wellpoint-west-manager"] == ids(await iowa.get("PractitionerRole", params=asked))
    around = {"_id": "ia-sioux", "_include": "Location:partof", "_revinclude:iterate": "PractitionerRole:location"}
    found = (await iowa.get("Location", params=around)).json()
    assert {"ia-sioux", "ia-west", *(f"{mco}-west-manager" for mco in MCOS)} == {
        entry["resource"]["id"] for entry in found["entry"]
    }
    services = {"coverage-area": "Location/ia", "organization": "Organization/ia-wellpoint"}
    assert ["ia-wellpoint-case-management"] == ids(await iowa.get("HealthcareService", params=services))


@pytest.mark.requirement("IA-30")
async def test_program_names_the_states_contact(iowa: httpx.AsyncClient) -> None:
    asked = {"url": IA_HCBS, "status": "active", "_elements": "contact"}
    [entry] = (await iowa.get("PlanDefinition", params=asked)).json()["entry"]
    [contact] = entry["resource"]["contact"]
    assert "Latisha McGuire, LTSS Policy Program Manager, Iowa HHS" == contact["name"]
    assert [{"system": "email", "value": "latisha.mcguire@hhs.iowa.gov"}] == contact["telecom"]


@pytest.mark.requirement("IA-25")
async def test_service_that_names_no_program_is_called_where_none_is_for_it(client: httpx.AsyncClient) -> None:
    await kept(client, shipped(), organization("plan"), patient("m1"), episode("m1", "plan"))
    desk = {
        "resourceType": "HealthcareService",
        "id": "desk",
        "providedBy": {"reference": "Organization/plan"},
        "telecom": [{"system": "phone", "value": "1-515-555-0100"}],
    }
    await kept(client, desk)
    assert ["desk"] == [one["id"] for one in await contacts(client, "m1")]
    other = {"coding": [{"system": "https://careplan-server.org/fhir/CodeSystem/cm-program", "code": "other"}]}
    await kept(client, desk | {"program": [other]})
    assert ["plan"] == [one["id"] for one in await contacts(client, "m1")]
