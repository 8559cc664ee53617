"""$graph: https://hl7.org/fhir/R4/resource-operation-graph.html"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from server.operations import graph
from tests.answers import entry, places, refusal, transaction

Json = dict[str, Any]
URL = "urn:example:graph"
OWN, OTHER = {"reference": "Patient/a"}, {"reference": "Patient/b"}
RESOURCES: list[Json] = [
    {"resourceType": "Organization", "id": "o", "name": "Plan"},
    {"resourceType": "Patient", "id": "a", "managingOrganization": {"reference": "Organization/o"}},
    {"resourceType": "Patient", "id": "b"},
    {"resourceType": "CareTeam", "id": "t", "managingOrganization": [{"reference": "http://127.0.0.1/fhir/Organization/o"}]},
    {
        "resourceType": "CarePlan",
        "id": "c",
        "status": "active",
        "intent": "plan",
        "subject": OWN,
        "careTeam": [{"reference": "CareTeam/t"}, {"reference": "CareTeam/nobody"}, {"display": "?"}],
        "activity": [{"reference": {"reference": "Task/k"}}, {"reference": {"reference": "ServiceRequest/s"}}],
    },
    {"resourceType": "CarePlan", "id": "d", "status": "active", "intent": "plan", "subject": OTHER},
    {"resourceType": "Task", "id": "k", "status": "requested", "intent": "order"},
    {"resourceType": "ServiceRequest", "id": "s", "status": "active", "intent": "order", "subject": OWN},
]  # fmt: skip


def to(type: str, *links: Json, **more: Any) -> Json:
    """A target."""
    return {"type": type, **({"link": list(links)} if links else {}), **more}


def by(path: str, *targets: Json) -> Json:
    return {"path": path, "target": list(targets)}


def definition(*links: Json, start: str = "Patient", version: str = "1.0.0", **more: Any) -> Json:
    return {
        "resourceType": "GraphDefinition",
        "id": f"g{version}",
        "url": URL,
        "version": version,
        "name": "Graph",
        "status": "active",
        "start": start,
        **({"link": list(links)} if links else {}),
        **more,
    }


PLANS = to(
    "CarePlan",
    by("CarePlan.careTeam", to("CareTeam", by("managingOrganization", to("Organization")))),
    by("activity.reference", to("Task"), to("ServiceRequest")),
    params="subject={ref}&status=active",
)


@pytest.fixture
async def filled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    bundle = transaction(*(entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in RESOURCES))
    assert 200 == (await client.post("", json=bundle)).status_code
    return client


async def walked(client: httpx.AsyncClient, start: str, *definitions: Json, url: str = URL) -> httpx.Response:
    for one in definitions:
        stored = await client.put(f"GraphDefinition/{one['id']}", json=one)
        assert stored.status_code in (200, 201), stored.text
    return await client.get(f"{start}/$graph", params={"graph": url})


def names(response: httpx.Response) -> str:
    assert 200 == response.status_code, response.text
    (result,) = response.json()["parameter"]
    assert ("result", "collection") == (result["name"], result["resource"]["type"])
    urls = [one["fullUrl"].removeprefix("http://127.0.0.1/fhir/") for one in result["resource"]["entry"]]
    assert urls == [f"{one['resource']['resourceType']}/{one['resource']['id']}" for one in result["resource"]["entry"]]
    return " ".join(urls)


@pytest.mark.parametrize(
    ("links", "expected"),
    [
        ([], "Patient/a"),
        ([by("Patient.managingOrganization", to("Organization"))], "Patient/a Organization/o"),
        ([by("managingOrganization", to("Practitioner"))], "Patient/a"),
        ([{"target": [PLANS]}], "Patient/a CarePlan/c CareTeam/t Organization/o Task/k ServiceRequest/s"),
        ([{"target": [to("CarePlan", params="subject={ref}&status=completed")]}], "Patient/a"),
        ([{"target": [to("ServiceRequest", params="patient={ref}"), to("Task", params="patient={ref}")]}],
         "Patient/a ServiceRequest/s"),
    ],
)  # fmt: skip
async def test_graph_follows_paths_and_searches(filled: httpx.AsyncClient, links: list[Json], expected: str) -> None:
    assert expected == names(await walked(filled, "Patient/a", definition(*links)))


async def test_graph_by_the_latest_version_or_the_one_that_is_named(filled: httpx.AsyncClient) -> None:
    organization = by("managingOrganization", to("Organization"))
    versions = [
        definition(version="9.0.0"),
        definition(organization, version="10.0.0"),
        definition(version="11.0.0", status="retired"),
    ]
    assert "Patient/a Organization/o" == names(await walked(filled, "Patient/a", *versions))
    assert "Patient/a" == names(await walked(filled, "Patient/a", url=f"{URL}|9.0.0"))
    posted = {"resourceType": "Parameters", "parameter": [{"name": "graph", "valueUri": f"{URL}|10.0.0"}]}
    assert "Patient/a Organization/o" == names(await filled.post("Patient/a/$graph", json=posted))


@pytest.mark.parametrize(
    ("made", "place"),
    [
        (definition(start="CarePlan"), "GraphDefinition.start"),
        (definition(by("managingOrganization.resolve()", to("Organization"))), "GraphDefinition.link.path"),
        (definition({"target": [to("CarePlan")]}), "GraphDefinition.link.target"),
        (definition({"target": [to("CarePlan", params="status=active")]}), "GraphDefinition.link.target"),
        (definition({"target": [to("CarePlan", params="subject={ref}&_count=1")]}), "GraphDefinition.link.target"),
        (definition({"target": [to("CarePlan", params="colour={ref}")]}), "GraphDefinition.link.target.params"),
        (definition(by("generalPractitioner", to("Practitioner", profile="urn:p"))), "GraphDefinition.link.target"),
        (definition({"target": [to("CarePlan", by("x ~~ y", to("Task")), params="subject={ref}")]}),
         "GraphDefinition.link.target.link.path"),
    ],
)  # fmt: skip
async def test_graph_refuses_what_it_cannot_follow(filled: httpx.AsyncClient, made: Json, place: str) -> None:
    response = await walked(filled, "Patient/a", made)
    assert (422, ["not-supported"]) == refusal(response)
    assert [place] == places(response)


async def test_graph_that_is_too_large(filled: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "MOST", 5)
    assert (413, ["too-costly"]) == refusal(await walked(filled, "Patient/a", definition({"target": [PLANS]})))


async def test_graph_of_what_is_not_there(filled: httpx.AsyncClient) -> None:
    assert (404, ["not-found"]) == refusal(await walked(filled, "Patient/a"))
    assert (404, ["not-found"]) == refusal(await walked(filled, "Patient/nobody", definition()))
    assert (400, ["required"]) == refusal(await filled.get("Patient/a/$graph"))


@pytest.mark.parametrize("place", ["GraphDefinition/g1.0.0", "http://127.0.0.1/fhir/GraphDefinition/g1.0.0"])
async def test_graph_by_a_definitions_place_here(client: httpx.AsyncClient, place: str) -> None:
    organization = by("Patient.managingOrganization", to("Organization"))
    for one in (*RESOURCES[:2], definition(organization)):
        assert 201 == (await client.put(f"{one['resourceType']}/{one['id']}", json=one)).status_code
    response = await client.get("Patient/a/$graph", params={"graph": place})
    found = response.json()["parameter"][0]["resource"]["entry"]
    assert ["a", "o"] == [one["resource"]["id"] for one in found]
