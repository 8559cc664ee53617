"""$match: https://hl7.org/fhir/R4/patient-operation-match.html"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import httpx
import pytest

from server.fhir import body
from server.operations import match
from tests.answers import entry, ids, places, refusal, transaction

Json = dict[str, Any]
GRADE = "http://hl7.org/fhir/StructureDefinition/match-grade"


def patient(id: str, family: str, given: str, born: str = "1980-03-04", number: str = "", **more: Any) -> Json:
    identifier = {"identifier": [{"system": "urn:medicaid", "value": number}]} if number else {}
    name = [{"family": family, "given": [given]}]
    return {"resourceType": "Patient", "id": id, "name": name, "birthDate": born, **identifier, **more}


HOME = {"address": [{"line": ["12 Main St"], "city": "Ames", "state": "IA", "postalCode": "50010"}]}
OTHER = {"reference": "Patient/other"}
RESOURCES = [
    patient("ann", "Núñez", "Ann", number="1", gender="female", **HOME),
    patient("twin", "Núñez", "Rosa", number="2", gender="female", **HOME),
    patient("other", "Lee", "Joe", "1950-01-01", "3", telecom=[{"system": "phone", "value": "5155550142"}]),
    patient("old", "Smyth", "Joe", "1950-01-01", "4", link=[{"other": OTHER, "type": "replaced-by"}]),
    patient("swapped", "Vega", "Max", "1971-02-08"),
    patient("twice1", "Roe", "Eva", "1990-05-05", "5"),
    patient("twice2", "Roe", "Eva", "1990-05-05", "5"),
]


@pytest.fixture
async def filled(client: httpx.AsyncClient) -> httpx.AsyncClient:
    bundle = transaction(*(entry("PUT", f"Patient/{one['id']}", one) for one in RESOURCES))
    assert 200 == (await client.post("", json=bundle)).status_code
    return client


def asked(resource: Json, **inputs: Any) -> Json:
    """The Parameters of a request for who is described; ids are not the client's to know."""
    described = {name: value for name, value in resource.items() if name not in ("id", "link")}
    given = [{"name": name, **value} for name, value in inputs.items()]
    return {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": described}, *given]}


def shown(response: httpx.Response) -> list[tuple[str, str]]:
    """Each match with its grade; the score falls from one to the next, from 1 to 0."""
    assert 200 == response.status_code, response.text
    entries = [one for one in response.json().get("entry", ()) if one["search"]["mode"] == "match"]
    scores = [one["search"]["score"] for one in entries]
    assert sorted(scores, reverse=True) == scores
    assert all(0 < score <= 1 for score in scores)
    assert all([GRADE] == [extension["url"] for extension in one["search"]["extension"]] for one in entries)
    return [(one["resource"]["id"], one["search"]["extension"][0]["valueCode"]) for one in entries]


CERTAIN = {"onlyCertainMatches": {"valueBoolean": True}}


@pytest.mark.parametrize(
    ("described", "expected"),
    [
        (RESOURCES[0], [("ann", "certain")]),
        ({**RESOURCES[0], "identifier": []}, [("ann", "certain"), ("twin", "possible")]),
        (patient("", "NUNEZ", "ann"), [("ann", "probable")]),
        (patient("", "Nunez", "Ann", number="9", **HOME), [("ann", "probable")]),
        (patient("", "Roe-Smith", "Eva-Lou", "1990-05-05"), [("twice1", "possible"), ("twice2", "possible")]),
        (patient("", "Vega", "Max", "1971-08-02"), [("swapped", "probable")]),
        (patient("", "Vega", "Max", "1971-02-18"), [("swapped", "possible")]),
        (patient("", "Weber", "Max", "1971-02-08"), [("swapped", "possible")]),
        (patient("", "Vega", "Maximilian", "1971-02-08"), []),  # no nicknames are made up
        ({"identifier": [{"system": "urn:medicaid", "value": "1"}]}, [("ann", "probable")]),
        ({"telecom": [{"value": "(515) 555-0142"}], "birthDate": "1950-01-01"}, [("other", "possible")]),
        (patient("", "Smyth", "Joe", "1950-01-01", "4"), [("other", "certain")]),
        (RESOURCES[5], [("twice1", "certain"), ("twice2", "certain")]),
        (patient("", "No, $uch|one", "Bo\\b"), []),
    ],
)
async def test_match_finds(filled: httpx.AsyncClient, described: Json, expected: list[tuple[str, str]]) -> None:
    described = {name: value for name, value in {"resourceType": "Patient", **described}.items() if value}
    response = await filled.post("Patient/$match", json=asked(described))
    assert expected == shown(response)
    assert ("searchset", len(expected)) == (response.json()["type"], response.json()["total"])
    only = shown(await filled.post("Patient/$match", json=asked(described, **CERTAIN)))
    certain = [one for one in expected if one[1] == "certain"]
    assert (certain if len(certain) == 1 else []) == only


async def test_match_takes_the_patient_as_the_body(filled: httpx.AsyncClient) -> None:
    response = await filled.post("Patient/$match?onlyCertainMatches=true", json=RESOURCES[0])
    assert ["ann"] == ids(response)
    assert "http://127.0.0.1/fhir/Patient/ann" == response.json()["entry"][0]["fullUrl"]
    parsed = body.parse(response.content).resource["entry"][0]["search"]
    assert {"mode": "match", "score": 1, "extension": [{"url": GRADE, "valueCode": "certain"}]} == parsed
    probable = await filled.post("Patient/$match", json=patient("x", "Nunez", "Ann"))
    assert Decimal("0.65") == body.parse(probable.content).resource["entry"][0]["search"]["score"]


async def test_match_of_certain_duplicates_answers_none_and_says_so(filled: httpx.AsyncClient) -> None:
    response = await filled.post("Patient/$match", json=asked(RESOURCES[5], **CERTAIN))
    [told] = response.json()["entry"]
    assert ("outcome", "multiple-matches") == (told["search"]["mode"], told["resource"]["issue"][0]["code"])
    assert 0 == response.json()["total"]


async def test_match_of_so_many(filled: httpx.AsyncClient) -> None:
    response = await filled.post("Patient/$match", json=asked(RESOURCES[5], count={"valueInteger": 1}))
    assert ([("twice1", "certain")], 2) == (shown(response), response.json()["total"])


async def test_match_where_more_are_alike_than_are_compared(
    filled: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(match, "MOST", 1)
    response = await filled.post("Patient/$match", json=RESOURCES[5])
    assert [("twice1", "certain")] == shown(response)
    issues = response.json()["entry"][-1]["resource"]["issue"]
    assert {("warning", "incomplete")} == {(issue["severity"], issue["code"]) for issue in issues}
    assert [] == shown(await filled.post("Patient/$match", json=asked(RESOURCES[5], **CERTAIN)))


async def test_match_of_a_replaced_record_whose_successor_is_not_here(filled: httpx.AsyncClient) -> None:
    assert 204 == (await filled.delete("Patient/other")).status_code
    assert [("old", "probable")] == shown(await filled.post("Patient/$match", json=asked(RESOURCES[3])))


@pytest.mark.parametrize(
    ("sent", "code", "place"),
    [
        ({"resourceType": "Parameters"}, "required", "Parameters.parameter.where(name='resource')"),
        (asked({"resourceType": "Patient"}), "required", "Parameters.parameter.where(name='resource')"),
        (
            asked({"resourceType": "Patient", "gender": "male"}),
            "required",
            "Parameters.parameter.where(name='resource')",
        ),
        (asked({"resourceType": "Person"}), "value", "Parameters.parameter.where(name='resource')"),
        (asked({"resourceType": "Patient", "name": "Ann"}), "structure", "Patient.name"),
        (asked(RESOURCES[0], count={"valueInteger": 0}), "invalid", "Parameters.parameter.where(name='count')"),
    ],
)
async def test_match_refuses(filled: httpx.AsyncClient, sent: Json, code: str, place: str) -> None:
    response = await filled.post("Patient/$match", json=sent)
    assert (400, [code]) == refusal(response)
    assert [place] == places(response)


@pytest.mark.parametrize(
    "described",
    [
        {"name": [{"family": ".", "given": ["-"]}], "birthDate": "1980"},
        {
            "name": [{"family": " x ", "_given": [{"extension": [{"url": "urn:x", "valueString": "y"}]}]}],
            "birthDate": "1980",
        },
        {"name": [{"given": [None, "Ann"], "_given": [{"id": "a"}, None]}], "birthDate": "1980-01"},
        {
            "name": [{"family": f"f{number}", "given": ["g" * 5000]} for number in range(3000)],
            "birthDate": "1980-03-04",
        },
        {"identifier": [{"system": "urn:medicaid", "value": str(number)} for number in range(3000)]},
    ],
)
async def test_match_of_odd_descriptions(filled: httpx.AsyncClient, described: Json) -> None:
    response = await filled.post("Patient/$match", json=asked({"resourceType": "Patient", **described}))
    assert 200 == response.status_code, response.text


async def test_match_does_not_ask_for_what_a_patient_must_have(filled: httpx.AsyncClient) -> None:
    described = {**RESOURCES[0], "communication": [{"preferred": True}]}
    assert "ann" == shown(await filled.post("Patient/$match", json=asked(described)))[0][0]
