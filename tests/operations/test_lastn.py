"""$lastn: https://hl7.org/fhir/R4/observation-operation-lastn.html"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from server.operations import lastn
from tests.answers import entry, ids, places, refusal, transaction

Json = dict[str, Any]
LOINC = "http://loinc.org"


def observation(id: str, code: str, when: str, patient: str = "1", category: str = "vital-signs", **more: Any) -> Json:
    return {
        "resourceType": "Observation",
        "id": id,
        "status": "final",
        "category": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": category}]}
        ],
        "code": {"coding": [{"system": LOINC, "code": code}]},
        "subject": {"reference": f"Patient/{patient}"},
        "effectiveDateTime": when,
        **more,
    }


RESOURCES = [
    {"resourceType": "Patient", "id": "1", "identifier": [{"system": "urn:mrn", "value": "7"}]},
    {"resourceType": "Patient", "id": "2"},
    *(observation(f"weight{day}", "29463-7", f"2026-01-0{day}") for day in range(1, 6)),
    observation("pulse1", "8867-4", "2026-01-02T10:00:00Z"),
    observation("pulse2", "8867-4", "2026-01-02T11:00:00Z", status="entered-in-error"),
    observation("lab", "2345-7", "2026-01-09", category="laboratory"),
    observation("other", "29463-7", "2026-02-01", patient="2"),
]


@pytest.fixture
async def filled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    bundle = transaction(*(entry("PUT", f"{one['resourceType']}/{one['id']}", one) for one in RESOURCES))
    assert 200 == (await client.post("", json=bundle)).status_code
    return client


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("patient=1&category=vital-signs", "weight5 pulse2"),
        ("subject=Patient/1&category=vital-signs", "weight5 pulse2"),
        ("patient=Patient/1&category=vital-signs,laboratory", "lab weight5 pulse2"),
        ("patient=1&category=vital-signs&max=3", "weight5 weight4 weight3 pulse2 pulse1"),
        (f"patient=1&code={LOINC}|29463-7&max=2", "weight5 weight4"),
        ("patient=1&code=29463-7,2345-7", "lab weight5"),
        ("patient=1&combo-code=29463-7", "weight5"),
        ("patient=1&category=vital-signs&date=lt2026-01-03", "pulse2 weight2"),
        ("patient=1&category=vital-signs&status:not=entered-in-error", "weight5 pulse1"),
        ("patient.identifier=urn:mrn|7&code=29463-7", "weight5"),
        ("subject:Patient.identifier=urn:mrn|7&code=29463-7", "weight5"),
        ("patient=1,2&code=29463-7", "other weight5"),
        ("patient=nobody&category=vital-signs", ""),
    ],
)
async def test_lastn_by_the_parameters_of_a_search(filled: httpx.AsyncClient, asked: str, expected: str) -> None:
    response = await filled.get(f"Observation/$lastn?{asked}")
    assert expected.split() == ids(response)
    bundle = response.json()
    assert ("searchset", len(expected.split())) == (bundle["type"], bundle["total"])
    assert {"match"} >= {one["search"]["mode"] for one in bundle.get("entry", ())}
    assert expected.split() == ids(await filled.get(bundle["link"][0]["url"]))


async def test_lastn_by_post(filled: httpx.AsyncClient) -> None:
    given = [
        {"name": "subject", "valueString": "Patient/1"},
        {"name": "code:in", "valueString": "http://hl7.org/fhir/ValueSet/observation-vitalsignresult"},
        {"name": "max", "valuePositiveInt": 2},
    ]
    sent = {"resourceType": "Parameters", "parameter": given}
    assert ["weight5", "weight4", "pulse2", "pulse1"] == ids(await filled.post("Observation/$lastn", json=sent))


@pytest.mark.parametrize(
    ("asked", "code", "place"),
    [
        ("category=vital-signs", "required", "http.patient"),
        ("patient:missing=false&category=vital-signs", "required", "http.patient"),
        ("patient=1", "required", "http.category"),
        ("patient=1&date=2026", "required", "http.category"),
        ("patient=1&code=1&_sort=date", "invalid", "http._sort"),
        ("patient=1&code=1&colour=red", "invalid", "http.colour"),
        ("patient=1&code=1&max=0", "value", "Parameters.parameter.where(name='max')"),
    ],
)
async def test_lastn_refuses(filled: httpx.AsyncClient, asked: str, code: str, place: str) -> None:
    response = await filled.get(f"Observation/$lastn?{asked}")
    assert (400, [code]) == refusal(response)
    assert [place] == places(response)


async def test_lastn_of_more_than_are_looked_through(
    filled: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lastn, "MAX_COUNT", 2)
    assert ["weight5", "pulse2"] == ids(await filled.get("Observation/$lastn?patient=1&category=vital-signs"))
    monkeypatch.setattr(lastn, "MOST", 4)
    refused = await filled.get("Observation/$lastn?patient=1&category=vital-signs")
    assert (413, ["too-costly"]) == refusal(refused)
