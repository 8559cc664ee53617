"""SearchParameters that are stored: https://hl7.org/fhir/R4/searchparameter.html"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from server.app import create_app
from server.interactions import write
from server.settings import Settings
from server.store.sqlite import late, writer
from tests.answers import ids, refusal
from tests.conftest import lifespan
from tests.interactions.test_capabilities import resource as stated

EYES = {
    "resourceType": "SearchParameter",
    "id": "eyes",
    "url": "http://a.org/SearchParameter/eyes",
    "name": "Eyes",
    "description": "The color of the eyes",
    "status": "active",
    "code": "eyes",
    "base": ["Patient"],
    "type": "token",
    "expression": "Patient.extension('http://a.org/eyes').value.ofType(code)",
}


SPONSOR = {
    **EYES,
    "id": "sponsor",
    "url": "http://a.org/SearchParameter/sponsor",
    "code": "sponsor",
    "type": "reference",
    "expression": "Patient.extension('http://a.org/sponsor').value.ofType(Reference)",
    "target": ["Organization"],
}


def sponsored(id: str, organization: str) -> dict[str, Any]:
    extension = {"url": "http://a.org/sponsor", "valueReference": {"reference": f"Organization/{organization}"}}
    return {"resourceType": "Patient", "id": id, "extension": [extension]}


def patient(id: str, color: str) -> dict[str, Any]:
    return {
        "resourceType": "Patient",
        "id": id,
        "extension": [{"url": "http://a.org/eyes", "valueCode": color}],
        "name": [{"family": f"F{id}"}],
    }


@pytest.fixture
async def other(client: httpx.AsyncClient, settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """Another worker on the same store."""
    again = create_app(settings)
    async with lifespan(again):
        transport = httpx.ASGITransport(again)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as found:
            yield found


async def put(client: httpx.AsyncClient, *resources: dict[str, Any]) -> None:
    for each in resources:
        response = await client.put(f"{each['resourceType']}/{each['id']}", json=each)
        assert response.is_success, response.text


async def test_stored_parameter_finds_what_was_there_and_what_comes(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    await put(client, patient("a", "green"), patient("b", "blue"))
    assert 400 == refusal(await client.get("Patient?eyes=green", headers={"Prefer": "handling=strict"}))[0]
    await put(client, EYES)
    for each in (client, other):
        assert ["a"] == ids(await each.get("Patient?eyes=green"))
    await put(other, patient("c", "green"), patient("a", "brown"))
    for each in (client, other):
        assert ["c"] == ids(await each.get("Patient?eyes=green"))
        assert ["a", "c"] == ids(await each.get("Patient?eyes:not=blue"))
        assert ["b", "a", "c"] == ids(await each.get("Patient?_sort=eyes"))
        assert ["c"] == ids(await each.get("Patient?_filter=eyes eq green and name sw f"))
    await put(client, {"resourceType": "Goal", "id": "g", "lifecycleStatus": "active", "description": {"text": "x"},
                       "subject": {"reference": "Patient/c"}})  # fmt: skip
    assert ["g"] == ids(await other.get("Goal?subject:Patient.eyes=green"))


async def test_stored_parameter_that_retires_is_gone(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    await put(client, patient("a", "green"), EYES)
    assert ["a"] == ids(await other.get("Patient?eyes=green"))
    await put(client, {**EYES, "status": "retired"})
    for each in (client, other):
        assert 400 == refusal(await each.get("Patient?eyes=green", headers={"Prefer": "handling=strict"}))[0]
    await client.delete("SearchParameter/eyes")
    await put(client, {**EYES, "expression": "Patient.name.family", "type": "string"})
    assert ["a"] == ids(await other.get("Patient?eyes=fa"))


async def test_stored_parameter_orders_what_another_leaves_equal(
    client: httpx.AsyncClient, other: httpx.AsyncClient
) -> None:
    named = {**EYES, "type": "string", "expression": "Patient.name.family"}
    born = [{**patient(id, "green"), "birthDate": "1950-01-01"} for id in ("c", "a", "b")]
    await put(client, *born, {"resourceType": "Patient", "id": "d", "birthDate": "1950-01-01"}, named)
    for each in (client, other):
        assert ["a", "b", "c", "d"] == ids(await each.get("Patient?_sort=birthdate,eyes"))
        assert ["c", "b", "a", "d"] == ids(await each.get("Patient?_sort=birthdate,-eyes"))
        assert ["a", "b", "c", "d"] == ids(await each.get("Patient?_sort=eyes,birthdate"))


async def test_stored_reference_is_included_and_followed(client: httpx.AsyncClient, other: httpx.AsyncClient) -> None:
    await put(client, {"resourceType": "Organization", "id": "o", "name": "Acme"}, sponsored("a", "o"), SPONSOR)
    await put(client, sponsored("b", "o"), patient("c", "green"))
    for each in (client, other):
        assert ["a", "o"] == ids(await each.get("Patient?_id=a&_include=Patient:sponsor"))
        assert ["a", "o"] == ids(await each.get("Patient?_id=a&_include=Patient:sponsor:Organization"))
        assert ["a", "o"] == ids(await each.get("Patient?_id=a&_include=*"))
        assert ["o", "a", "b"] == ids(await each.get("Organization?_revinclude=Patient:sponsor"))
        assert ["o", "a", "b"] == ids(await each.get("Organization?_revinclude=*"))
        assert ["a", "o", "b"] == ids(
            await each.get("Patient?_id=a&_include=Patient:sponsor&_revinclude:iterate=Patient:sponsor")
        )
        assert ["a", "b"] == ids(await each.get("Patient?sponsor:Organization.name=acme"))
        assert ["o"] == ids(await each.get("Organization?_has:Patient:sponsor:_id=b"))
        assert ["a", "b", "c"] == ids(await each.get("Patient?_sort=sponsor"))
    assert (400, ["invalid"]) == refusal(await client.get("Patient?_include=Patient:sponsor:Practitioner"))
    statement = (await client.get("metadata")).json()
    assert "Patient:sponsor" in stated(statement, "Patient")["searchInclude"]
    assert "Patient:sponsor" in stated(statement, "Organization")["searchRevInclude"]


async def test_stored_include_pages_as_it_was(client: httpx.AsyncClient) -> None:
    await put(client, *({"resourceType": "Organization", "id": id, "name": "Acme"} for id in ("o", "q")))
    await put(client, sponsored("a", "o"), sponsored("b", "q"), SPONSOR)
    first = (await client.get("Patient?_count=1&_include=Patient:sponsor")).json()
    await put(client, sponsored("b", "o"))
    next = (link["url"] for link in first["link"] if link["relation"] == "next")
    assert ["b", "q"] == ids(await client.get(*next))
    assert ["b", "o"] == ids(await client.get("Patient?_id=b&_include=Patient:sponsor"))


async def test_stored_parameter_decides_writes_at_the_head(
    client: httpx.AsyncClient, other: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is indexed but what a decide itself waits for."""
    monkeypatch.setattr(writer, "QUIET", 3600)
    await put(client, EYES, SPONSOR, patient("a", "green"), patient("b", "blue"), patient("c", "blue"))
    new = {name: value for name, value in patient("", "green").items() if name != "id"}
    again = await client.post("Patient", json=new, headers={"If-None-Exist": "eyes=green"})
    assert (200, "a") == (again.status_code, again.json()["id"])
    several = await other.post("Patient", json=new, headers={"If-None-Exist": "eyes=blue"})
    assert (412, ["multiple-matches"]) == refusal(several)
    sponsor = await other.put("Patient?sponsor=Organization/o", json=sponsored("d", "o"))
    assert (201, "d") == (sponsor.status_code, sponsor.json()["id"])
    patched = await client.patch(
        "Patient?sponsor=o",
        json=[{"op": "add", "path": "/active", "value": True}],
        headers={"Content-Type": "application/json-patch+json"},
    )
    assert (200, True) == (patched.status_code, patched.json()["active"])
    assert 204 == (await client.delete("Patient?sponsor=Organization/o")).status_code
    assert 410 == (await client.get("Patient/d")).status_code
    assert ["a"] == ids(await client.get("Patient?eyes=green"))


async def test_index_that_a_refused_write_waited_for_is_kept(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUIET", 3600)
    monkeypatch.setattr(write, "foresee", no_foresight)
    await put(client, SPONSOR, sponsored("a", "nowhere"), sponsored("b", "nowhere"))
    refused = await client.delete("Patient?sponsor=Organization/nowhere")
    assert (412, ["multiple-matches"]) == refusal(refused)
    assert "Indexed" == (await listed(client, "sponsor"))["documentation"]
    await put(client, patient("c", "green"))
    assert ["a", "b"] == ids(await client.get("Patient?sponsor=Organization/nowhere"))
    assert [] == ids(await client.get("Patient?sponsor=Patient/c"))


async def no_foresight(*_: Any) -> None:
    """The head is the first to ask."""


async def test_stored_parameter_in_a_transaction_finds_what_its_entries_make(client: httpx.AsyncClient) -> None:
    await put(client, EYES, patient("a", "blue"))
    plan = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient?eyes=green"},
    }
    bundle = {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            {"resource": plan, "request": {"method": "POST", "url": "CarePlan"}},
            entry_of("b"),
        ],
    }
    response = await client.post("", json=bundle, headers={"Prefer": "return=representation"})
    assert 200 == response.status_code, response.text
    assert ["b"] == ids(await client.get("Patient?_has:CarePlan:patient:status=active"))
    assert (412, ["multiple-matches"]) == refusal(
        await client.post("", json=bundle | {"entry": [bundle["entry"][0], entry_of("c"), entry_of("d")]})
    )


def entry_of(id: str) -> dict[str, Any]:
    return {"resource": patient(id, "green"), "request": {"method": "PUT", "url": f"Patient/{id}"}}


async def test_statement_lists_stored_parameters_and_their_progress(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUIET", 3600)
    monkeypatch.setattr(writer, "STEP", 0)
    monkeypatch.setattr(late, "_CHUNK", 2)
    await put(client, *(patient(f"p{number}", "green") for number in range(9)), EYES)
    assert "Being indexed: 0.0% is done" == (await listed(client))["documentation"]
    assert 9 == (await client.get("Patient?eyes=green&_total=accurate")).json()["total"]
    found = await listed(client)
    assert ("Indexed", EYES["url"], "token") == (found["documentation"], found["definition"], found["type"])


async def listed(client: httpx.AsyncClient, code: str = "eyes") -> dict[str, Any]:
    statement = (await client.get("metadata")).json()
    return next(found for found in stated(statement, "Patient")["searchParam"] if found["name"] == code)


@pytest.mark.usefixtures("in_a_file")
async def test_search_before_it_is_ready_is_told_how_far_it_is(
    client: httpx.AsyncClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "QUIET", 3600)
    await put(client, *(patient(f"p{number}", "green") for number in range(9)), EYES)
    hasty = create_app(settings.model_copy(update={"search_timeout": 0}))
    async with lifespan(hasty):
        transport = httpx.ASGITransport(hasty)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as asked:
            response = await asked.get("Patient?eyes=green")
    assert (503, ["throttled"]) == refusal(response)
    assert "5" == response.headers["retry-after"]
    assert "Patient.eyes" in response.json()["issue"][0]["diagnostics"]


async def test_parameter_that_cannot_be_searched_is_stored_and_says_why(client: httpx.AsyncClient) -> None:
    await put(client, {**EYES, "expression": "Patient.name.given.first()"})
    response = await client.get("Patient?eyes=green", headers={"Prefer": "handling=strict"})
    assert (400, ["invalid"]) == refusal(response)
    assert "SearchParameter/eyes" in response.json()["issue"][0]["diagnostics"]
    assert "eyes" not in {
        found["name"] for found in stated((await client.get("metadata")).json(), "Patient")["searchParam"]
    }
