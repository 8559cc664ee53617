"""patch: https://hl7.org/fhir/R4/http.html#patch, https://hl7.org/fhir/R4/fhirpatch.html"""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import httpx
import pytest

from tests.answers import entry, places, refusal, statuses, transaction

JSON_PATCH = {"Content-Type": "application/json-patch+json"}
PATIENT = {
    "resourceType": "Patient",
    "id": "a",
    "active": True,
    "identifier": [{"system": "urn:member", "value": "1"}],
    "name": [{"family": "Doe"}],
}
FULL = "urn:uuid:00000000-0000-4000-8000-000000000001"


def replaced(path: str, value: Any) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": path, "value": value}]


def parameters(type: str, path: str, **parts: Any) -> dict[str, Any]:
    """A FHIRPath Patch of one operation. Parts are name=(valueCode, value)."""
    given = [{"name": "type", "valueCode": type}, {"name": "path", "valueString": path}]
    given += [{"name": name, member: value} for name, (member, value) in parts.items()]
    return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": given}]}


FAMILY = parameters("replace", "Patient.name[0].family", value=("valueString", "Roe"))


def binary(operations: Any, content_type: str = "application/json-patch+json") -> dict[str, Any]:
    data = base64.b64encode(json.dumps(operations).encode()).decode()
    return {"resourceType": "Binary", "contentType": content_type, "data": data}


@pytest.fixture
async def stored(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """A client of a server that has Patient/a at version 1."""
    assert 201 == (await client.put("Patient/a", json=PATIENT)).status_code
    return client


async def patched(client: httpx.AsyncClient, document: Any, place: str = "Patient/a", **headers: str) -> httpx.Response:
    """Send a patch, a list as JSON Patch and Parameters as FHIRPath Patch."""
    declared = JSON_PATCH if isinstance(document, list) else {}
    return await client.patch(
        place,
        content=json.dumps(document),
        headers={
            "Content-Type": "application/fhir+json",
            **declared,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )


@pytest.mark.parametrize("document", [replaced("/name/0/family", "Roe"), FAMILY])
async def test_patch(stored: httpx.AsyncClient, document: Any) -> None:
    response = await patched(stored, document)
    assert (200, 'W/"2"') == (response.status_code, response.headers["etag"])
    assert "http://127.0.0.1/fhir/Patient/a/_history/2" == response.headers["content-location"]
    expected = {**PATIENT, "name": [{"family": "Roe"}]}
    assert expected == {name: value for name, value in response.json().items() if name != "meta"}
    assert response.content == (await stored.get("Patient/a")).content
    assert 1 == (await stored.get("Patient?family=Roe")).json()["total"]
    history = (await stored.get("Patient/a/_history")).json()["entry"]
    assert [("PATCH", "200"), ("PUT", "201")] == [
        (one["request"]["method"], one["response"]["status"][:3]) for one in history
    ]


async def test_patch_keeps_digits(client: httpx.AsyncClient) -> None:
    content = (
        '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.10}}'
    )
    await client.put("Observation/o", content=content, headers={"Content-Type": "application/json"})
    response = await patched(client, replaced("/status", "amended"), "Observation/o")
    assert '"value":1.10' in response.text
    response = await patched(client, [{"op": "replace", "path": "/valueQuantity/value", "value": 1.1}], "Observation/o")
    assert ('W/"3"', True) == (response.headers["etag"], '"value":1.1}' in response.text)


@pytest.mark.parametrize(
    "document",
    [
        [],
        replaced("/name/0/family", "Doe"),
        [{"op": "test", "path": "/active", "value": True}],
        [{"op": "remove", "path": "/active"}, {"op": "add", "path": "/active", "value": True}],
        {"resourceType": "Parameters"},
        parameters("delete", "Patient.birthDate"),
        parameters("replace", "Patient.active", value=("valueBoolean", True)),
    ],
)
async def test_patch_that_changes_nothing_makes_no_version(stored: httpx.AsyncClient, document: Any) -> None:
    response = await patched(stored, document)
    assert (200, 'W/"1"', "Doe") == (
        response.status_code,
        response.headers["etag"],
        response.json()["name"][0]["family"],
    )
    assert 1 == (await stored.get("_history")).json()["total"]


@pytest.mark.parametrize(
    ("returns", "kind"), [("minimal", None), ("representation", "Patient"), ("OperationOutcome", "OperationOutcome")]
)
async def test_patch_answers_what_is_preferred(stored: httpx.AsyncClient, returns: str, kind: str | None) -> None:
    response = await patched(stored, FAMILY, Prefer=f"return={returns}")
    assert (200, kind) == (response.status_code, response.json()["resourceType"] if response.content else None)


@pytest.mark.parametrize(
    ("content_type", "document"),
    [
        ("application/json-patch+json", replaced("/active", False)),
        ("application/json-patch+json; charset=utf-8", replaced("/active", False)),
        ("application/fhir+json", parameters("delete", "Patient.active")),
        ("application/json", parameters("delete", "Patient.active")),
        ("application/fhir+json", binary(replaced("/active", False))),
        ("application/merge-patch+json", {"active": None}),
        ("application/json", {"active": False}),
        ("application/fhir+json", binary({"active": False}, "application/merge-patch+json")),
    ],
)
async def test_patch_formats(stored: httpx.AsyncClient, content_type: str, document: Any) -> None:
    headers = {"Content-Type": content_type}
    assert 200 == (await stored.patch("Patient/a", content=json.dumps(document), headers=headers)).status_code


@pytest.mark.parametrize(
    "content_type",
    ["application/xml-patch+xml", "text/plain", ""],
)
async def test_patch_format_that_is_not_read(stored: httpx.AsyncClient, content_type: str) -> None:
    response = await stored.patch("Patient/a", content=b"{}", headers={"Content-Type": content_type})
    assert (415, ["not-supported"]) == refusal(response)
    assert "application/json-patch+json" in response.headers["accept-patch"]


@pytest.mark.parametrize(
    ("content", "declared"),
    [
        (b"", "application/json-patch+json"),
        (b"", "application/fhir+json"),
        (b"{", "application/json-patch+json"),
        (b"{}", "application/json-patch+json"),
        (b'[{"op":"add","path":"/active","value":true,"value":false}]', "application/json-patch+json"),
        (b"[]", "application/fhir+json"),
        (b"[]", "application/merge-patch+json"),
        (b"", "application/merge-patch+json"),
        (b'{"active":true}', "application/fhir+json"),
        (b'{"resourceType":"Patient"}', "application/fhir+json"),
        (b'{"resourceType":"Parameters","parameter":[{}]}', "application/fhir+json"),
        (b'{"resourceType":"Binary","contentType":"application/json-patch+json","data":"?"}', "application/fhir+json"),
        (b'{"resourceType":"Binary","contentType":"application/json-patch+json"}', "application/fhir+json"),
    ],
)
async def test_patch_that_is_none(stored: httpx.AsyncClient, content: bytes, declared: str) -> None:
    response = await stored.patch("Patient/a", content=content, headers={"Content-Type": declared})
    assert 400 == refusal(response)[0]


async def test_patch_that_is_declared_as_the_other_format_says_which(stored: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "application/fhir+json"}
    response = await stored.patch("Patient/a", content=json.dumps(replaced("/active", False)), headers=headers)
    assert ((400, ["structure"]), ["http.Content-Type"]) == (refusal(response), places(response))
    assert "application/json-patch+json" in response.text
    response = await stored.patch("Patient/a", content=json.dumps(FAMILY), headers=JSON_PATCH)
    assert (400, ["structure"]) == refusal(response)
    assert "application/fhir+json" in response.text


async def test_patch_whose_test_fails_changes_nothing(stored: httpx.AsyncClient) -> None:
    document = [*replaced("/active", False), {"op": "test", "path": "/name/0/family", "value": "Roe"}]
    response = await patched(stored, document)
    assert (422, ["processing"]) == refusal(response)
    assert ["http.body[1].value"] == places(response)
    assert (await stored.get("Patient/a")).json()["active"]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ([{"op": "remove", "path": "/birthDate"}], "http.body[0].path"),
        (replaced("/birthDate", "tomorrow"), "http.body[0].path"),
        ([{"op": "add", "path": "/birthDate", "value": "tomorrow"}], "Patient.birthDate"),
        ([{"op": "add", "path": "/nickname", "value": "x"}], "Patient.nickname"),
        ([{"op": "remove", "path": "/name/0"}], "Patient.name"),
        (replaced("/id", "b"), "Patient.id"),
        (replaced("", {"resourceType": "Group"}), "Patient.resourceType"),
        (replaced("", [1]), "http.body[0].path"),
        (replaced("/meta/versionId", "7"), "Patient.meta.versionId"),
        (replaced("/meta/lastUpdated", "2020-01-01T00:00:00Z"), "Patient.meta.lastUpdated"),
        (parameters("replace", "Patient.id", value=("valueId", "b")), "Patient.id"),
        (parameters("delete", "Patient.id"), "Patient.id"),
        (parameters("replace", "Patient.birthDate", value=("valueDate", "1950")), "Parameters.parameter[0]"),
    ],
)
async def test_patch_that_does_not_fit(stored: httpx.AsyncClient, document: Any, place: str) -> None:
    response = await patched(stored, document)
    assert (422, True) == (refusal(response)[0], places(response)[0].startswith(place))
    assert 1 == (await stored.get("_history")).json()["total"]


async def test_patch_of_tags_leaves_the_version_to_the_server(stored: httpx.AsyncClient) -> None:
    tag = {"system": "urn:x", "code": "y"}
    response = await patched(stored, [{"op": "add", "path": "/meta", "value": {"tag": [tag]}}])
    assert ("2", [tag]) == (response.json()["meta"]["versionId"], response.json()["meta"]["tag"])


async def test_patch_of_what_is_not_there(client: httpx.AsyncClient) -> None:
    assert (404, ["not-found"]) == refusal(await patched(client, FAMILY))
    await client.put("Patient/a", json=PATIENT)
    await client.delete("Patient/a")
    assert (410, ["deleted"]) == refusal(await patched(client, FAMILY))


@pytest.mark.parametrize(("tag", "status"), [('W/"1"', 200), ("*", 200), ('W/"7"', 412)])
async def test_patch_of_a_version(stored: httpx.AsyncClient, tag: str, status: int) -> None:
    assert status == (await patched(stored, FAMILY, If_Match=tag)).status_code


async def test_patch_refuses_a_conditional_reference(stored: httpx.AsyncClient) -> None:
    document = [{"op": "add", "path": "/managingOrganization", "value": {"reference": "Organization?identifier=1"}}]
    assert (422, ["not-supported"]) == refusal(await patched(stored, document))


async def test_patch_under_a_key_is_done_once(stored: httpx.AsyncClient) -> None:
    document = [{"op": "add", "path": "/name/-", "value": {"family": "Roe"}}]
    first = await patched(stored, document, Idempotency_Key="k")
    again = await patched(stored, document, Idempotency_Key="k")
    assert (200, first.content, 2) == (again.status_code, again.content, len(again.json()["name"]))


async def test_patches_that_race_lose_none(stored: httpx.AsyncClient) -> None:
    """Each is applied to what the head has, so none needs an If-Match to be kept."""
    racing = (
        patched(stored, [{"op": "add", "path": "/name/-", "value": {"family": f"Roe{number}"}}]) for number in range(50)
    )
    answers = await asyncio.gather(*racing)
    assert {200} == {answer.status_code for answer in answers}
    families = [name["family"] for name in (await stored.get("Patient/a")).json()["name"]]
    assert {"Doe", *(f"Roe{number}" for number in range(50))} == set(families)


async def test_patches_that_race_for_one_test_are_done_once(stored: httpx.AsyncClient) -> None:
    document = [{"op": "test", "path": "/active", "value": True}, *replaced("/active", False)]
    answers = await asyncio.gather(*(patched(stored, document) for _ in range(20)))
    assert [200] + [422] * 19 == sorted(answer.status_code for answer in answers)


async def test_conditional_patch(stored: httpx.AsyncClient) -> None:
    response = await patched(stored, FAMILY, "Patient?identifier=urn:member|1")
    assert (200, "a", "Roe") == (response.status_code, response.json()["id"], response.json()["name"][0]["family"])


async def test_conditional_patch_where_none_or_several_match(stored: httpx.AsyncClient) -> None:
    assert (404, ["not-found"]) == refusal(await patched(stored, FAMILY, "Patient?identifier=2"))
    await stored.put("Patient/b", json={**PATIENT, "id": "b"})
    assert (412, ["multiple-matches"]) == refusal(await patched(stored, FAMILY, "Patient?identifier=1"))
    assert (412, ["conflict"]) == refusal(await patched(stored, FAMILY, "Patient"))


@pytest.mark.parametrize("kind", ["batch", "transaction"])
@pytest.mark.parametrize("url", ["Patient/a", "Patient?identifier=1"])
@pytest.mark.parametrize("resource", [FAMILY, binary(replaced("/name/0/family", "Roe"))])
async def test_patch_in_a_bundle(stored: httpx.AsyncClient, kind: str, url: str, resource: Any) -> None:
    bundle = transaction(entry("PATCH", url, resource), entry("GET", "Patient/a"), type=kind)
    response = await stored.post("", json=bundle)
    assert ["200", "200"] == statuses(response)
    assert "Roe" == response.json()["entry"][1]["resource"]["name"][0]["family"]


async def test_patch_in_a_transaction_links_to_other_entries(stored: httpx.AsyncClient) -> None:
    organization = {"resourceType": "Organization", "name": "A", "identifier": [{"value": "o"}]}
    operation = {"op": "add", "path": "/managingOrganization", "value": {"reference": FULL}}
    response = await stored.post(
        "",
        json=transaction(
            entry("PATCH", "Patient/a", binary([operation])), entry("POST", "Organization", organization, FULL)
        ),
    )
    assert ["200", "201"] == statuses(response)
    made = response.json()["entry"][1]["response"]["location"].partition("/_history")[0]
    assert made == (await stored.get("Patient/a")).json()["managingOrganization"]["reference"]
    conditional = parameters(
        "replace", "Patient.managingOrganization.reference", value=("valueString", "Organization?identifier=o")
    )
    response = await stored.post("", json=transaction(entry("PATCH", "Patient/a", conditional)))
    assert ["200"] == statuses(response)
    assert made == (await stored.get("Patient/a")).json()["managingOrganization"]["reference"]
    assert 'W/"2"' == (await stored.get("Patient/a")).headers["etag"]


async def test_patched_resource_is_found_by_a_conditional_reference(stored: httpx.AsyncClient) -> None:
    plan = {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": "Patient?family=Roe"},
    }
    response = await stored.post(
        "", json=transaction(entry("POST", "CarePlan", plan), entry("PATCH", "Patient/a", FAMILY))
    )
    assert ["201", "200"] == statuses(response)
    assert 1 == (await stored.get("CarePlan?subject=Patient/a")).json()["total"]


async def test_patch_in_a_transaction_that_is_refused_leaves_nothing(stored: httpx.AsyncClient) -> None:
    organization = {"resourceType": "Organization", "name": "A"}
    stale = entry("PATCH", "Patient/a", FAMILY, ifMatch='W/"7"')
    response = await stored.post("", json=transaction(entry("POST", "Organization", organization), stale))
    assert (412, ["conflict"]) == refusal(response)
    failing = entry("PATCH", "Patient/a", binary([{"op": "test", "path": "/active", "value": 1}]))
    response = await stored.post("", json=transaction(entry("POST", "Organization", organization), failing))
    assert ((422, ["processing"]), ["Bundle.entry[1].resource"]) == (refusal(response), places(response))
    twice = [entry("PATCH", "Patient/a", FAMILY), entry("PUT", "Patient/a", PATIENT)]
    assert 400 == (await stored.post("", json=transaction(*twice))).status_code
    assert 1 == (await stored.get("_history")).json()["total"]


DIV = '<div xmlns="http://www.w3.org/1999/xhtml">Doe</div>'


def narrated(status: str) -> dict[str, Any]:
    return {**PATIENT, "text": {"status": status, "div": DIV}}


@pytest.mark.parametrize("status", ["generated", "extensions"])
async def test_patch_takes_away_a_narrative_that_it_makes_untrue(client: httpx.AsyncClient, status: str) -> None:
    await client.put("Patient/a", json=narrated(status))
    tagged = await patched(client, [{"op": "add", "path": "/meta/tag", "value": [{"code": "x"}]}])
    assert DIV == tagged.json()["text"]["div"]
    response = await patched(client, FAMILY)
    assert (200, False) == (response.status_code, "text" in response.json())


@pytest.mark.parametrize("status", ["generated", "additional"])
async def test_patch_that_changes_the_narrative_too(client: httpx.AsyncClient, status: str) -> None:
    await client.put("Patient/a", json=narrated(status))
    told = DIV.replace("Doe", "Roe")
    response = await patched(client, [*replaced("/name/0/family", "Roe"), *replaced("/text/div", told)])
    assert (200, told) == (response.status_code, response.json()["text"]["div"])


async def test_patch_refuses_to_make_a_written_narrative_untrue(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=narrated("additional"))
    response = await patched(client, FAMILY)
    assert ((422, ["processing"]), ["Patient.text"]) == (refusal(response), places(response))


@pytest.mark.parametrize("content_type", ["application/merge-patch+json", "application/json"])
async def test_merge_patch(stored: httpx.AsyncClient, content_type: str) -> None:
    """RFC 7396, as fhirpy sends it."""
    content = json.dumps({"active": None, "gender": "other", "name": [{"family": "Roe"}], "meta": {"source": "urn:x"}})
    response = await stored.patch("Patient/a", content=content, headers={"Content-Type": content_type})
    found = response.json()
    assert (200, "other", [{"family": "Roe"}], "urn:x", "2") == (
        response.status_code,
        found["gender"],
        found["name"],
        found["meta"]["source"],
        found["meta"]["versionId"],
    )
    assert "active" not in found
    assert PATIENT["identifier"] == found["identifier"]
    wrong = await stored.patch("Patient/a", content=b'{"id": "b"}', headers={"Content-Type": content_type})
    assert (422, ["processing"]) == refusal(wrong)
