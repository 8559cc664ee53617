"""$everything: https://hl7.org/fhir/R4/patient-operation-everything.html"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.answers import entry, refusal, transaction

Json = dict[str, Any]
OTHER = {"reference": "Patient/b"}
OWN = {"reference": "Patient/a"}
WHO = {"reference": "Practitioner/p"}
JANUARY = {"start": "2026-01-01", "end": "2026-01-31"}


def of(resource_type: str, id: str, **elements: Any) -> Json:
    return {"resourceType": resource_type, "id": id, **elements}


RESOURCES = [
    of("Organization", "o", name="Plan"),
    of("Practitioner", "p"),
    of("Patient", "a", managingOrganization={"reference": "Organization/o"}),
    of("Patient", "b"),
    of("CarePlan", "c", status="active", intent="plan", subject=OWN, period=JANUARY),
    of("CarePlan", "d", status="active", intent="plan", subject=OTHER),
    of("Goal", "g", lifecycleStatus="active", description={"text": "x"}, subject=OWN),
    of("Task", "t", status="requested", intent="order", **{"for": OWN}),
    of("Encounter", "e", status="finished", subject=OWN, **{"class": {"code": "HH"}}, period={"start": "2026-03-01"}),
    of(
        "Observation",
        "f",
        status="final",
        code={"text": "x"},
        subject=OWN,
        encounter={"reference": "Encounter/e"},
        effectiveDateTime="2026-03-01",
        performer=[WHO],
    ),
    of("Group", "h", type="person", actual=True, member=[{"entity": OWN}, {"entity": OTHER}]),
    of("Provenance", "i", target=[OWN, OTHER], recorded="2026-01-01T00:00:00Z", agent=[{"who": WHO}]),
]
ALL = "CarePlan/c Encounter/e Goal/g Observation/f Patient/a Task/t | Organization/o Practitioner/p"


@pytest.fixture
async def filled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    bundle = transaction(*(entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in RESOURCES))
    assert 200 == (await client.post("", json=bundle)).status_code
    return client


def shown(response: httpx.Response) -> str:
    """The matches, then what they refer to, each by name: "CarePlan/c Patient/a | Organization/o"."""
    assert 200 == response.status_code, response.text
    found: dict[str, list[str]] = {"match": [], "include": []}
    for one in response.json().get("entry", ()):
        found[one["search"]["mode"]].append(f"{one['resource']['resourceType']}/{one['resource']['id']}")
    return " | ".join(" ".join(sorted(part)) for part in found.values() if part)


async def test_everything_of_one_patient_and_nothing_of_others(filled: httpx.AsyncClient) -> None:
    response = await filled.get("Patient/a/$everything")
    assert (ALL, "searchset") == (shown(response), response.json()["type"])
    assert "http://127.0.0.1/fhir/Patient/a" == response.json()["entry"][0]["fullUrl"]
    posted = await filled.post("Patient/a/$everything", json={"resourceType": "Parameters"})
    assert ALL == shown(posted)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("_type=CarePlan,Goal", "CarePlan/c Goal/g"),
        ("_type=CarePlan&_type=Patient", "CarePlan/c Patient/a"),
        ("_type=Medication", None),
        ("_type=Group", None),
        ("start=2026-02-01", "Encounter/e Goal/g Observation/f Patient/a Task/t | Organization/o Practitioner/p"),
        ("start=2026-01-01&end=2026-01-31", "CarePlan/c Goal/g Patient/a Task/t | Organization/o"),
        ("_since=2999-01-01T00:00:00Z", ""),
        ("start=yesterday", None),
        ("colour=red", None),
    ],
)
async def test_part_of_everything(filled: httpx.AsyncClient, asked: str, expected: str | None) -> None:
    response = await filled.get(f"Patient/a/$everything?{asked}")
    if expected is None:
        assert 400 == refusal(response)[0]
    else:
        assert expected == shown(response)


async def test_pages_of_everything_are_of_one_position(filled: httpx.AsyncClient) -> None:
    page = await filled.get("Patient/a/$everything?_count=2")
    found = [shown(page)]
    await filled.delete("Goal/g")
    await filled.put("Goal/z", json=of("Goal", "z", lifecycleStatus="active", description={"text": "y"}, subject=OWN))
    while following := {link["relation"]: link["url"] for link in page.json()["link"]}.get("next"):
        page = await filled.get(following)
        found.append(shown(page))
    matches = [one for part in found for one in part.partition(" | ")[0].split()]
    assert ALL.partition(" | ")[0].split() == sorted(matches)
    assert "Goal/z" in shown(await filled.get("Patient/a/$everything"))


async def test_everything_of_an_encounter(filled: httpx.AsyncClient) -> None:
    assert "Encounter/e Observation/f | Patient/a Practitioner/p" == shown(await filled.get("Encounter/e/$everything"))


EVERY = """CarePlan/c CarePlan/d Encounter/e Goal/g Observation/f Patient/a Patient/b Provenance/i Task/t
| Organization/o Practitioner/p"""


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("", EVERY),
        ("_type=CarePlan,Provenance", "CarePlan/c CarePlan/d Provenance/i"),
        ("_type=CarePlan&start=2026-02-01", "CarePlan/d"),
        ("_type=Patient&_since=2999-01-01T00:00:00Z", ""),
        ("_type=Group", None),
    ],
)
async def test_everything_of_all_patients(filled: httpx.AsyncClient, asked: str, expected: str | None) -> None:
    nobodys = of("CarePlan", "z", status="active", intent="plan", subject={"reference": "Group/h"})
    await filled.put("CarePlan/z", json=nobodys)
    response = await filled.get(f"Patient/$everything?{asked}")
    if expected is None:
        assert 400 == refusal(response)[0]
    else:
        assert " ".join(expected.split()) == shown(response)


async def test_pages_of_everything_of_all_patients_are_of_one_position(filled: httpx.AsyncClient) -> None:
    page = await filled.get("Patient/$everything?_count=2")
    found = [shown(page)]
    await filled.delete("Goal/g")
    await filled.put("Patient/z", json=of("Patient", "z"))
    while following := {link["relation"]: link["url"] for link in page.json()["link"]}.get("next"):
        page = await filled.get(following)
        found.append(shown(page))
    assert 5 == len(found)
    matches = [one for part in found for one in part.partition(" | ")[0].split()]
    assert EVERY.partition("|")[0].split() == sorted(matches)
    assert "Patient/z" in shown(await filled.get("Patient/$everything"))


async def test_everything_of_all_encounters(filled: httpx.AsyncClient) -> None:
    assert "Encounter/e Observation/f | Patient/a Practitioner/p" == shown(await filled.get("Encounter/$everything"))


async def test_everything_of_what_is_not_there(filled: httpx.AsyncClient) -> None:
    assert (404, ["not-found"]) == refusal(await filled.get("Patient/nobody/$everything"))
    assert (404, ["not-found"]) == refusal(await filled.get("Practitioner/p/$everything"))
    await filled.delete("Patient/b")
    assert (410, ["deleted"]) == refusal(await filled.get("Patient/b/$everything"))


@pytest.mark.parametrize("count", ["-1", "0"])
async def test_everything_has_pages_of_one_and_more(filled: httpx.AsyncClient, count: str) -> None:
    assert (400, ["invalid"]) == refusal(await filled.get(f"Patient/a/$everything?_count={count}"))
