"""FHIR's XML over HTTP: taken, answered, and refused in."""

from __future__ import annotations

from xml.etree import ElementTree

import httpx
import pytest

from server.fhir import body, xml
from server.ledger import Resource
from tests.answers import refusal, transaction

XML = {"Content-Type": "application/fhir+xml", "Accept": "application/fhir+xml"}
PATIENT: Resource = {
    "resourceType": "Patient",
    "id": "a",
    "name": [{"family": "Doe", "given": ["Jo"]}],
    "birthDate": "1970-03-30",
}
OBSERVATION = (
    '<Observation xmlns="http://hl7.org/fhir"><status value="final"/><code><text value="x"/></code>'
    '<valueQuantity><value value="1.10"/></valueQuantity></Observation>'
)


def written(resource: Resource) -> bytes:
    return xml.write(body.dumps(resource))


def read(response: httpx.Response) -> Resource:
    """The resource of an answer in XML."""
    assert response.headers["content-type"] == "application/fhir+xml;charset=utf-8", response.headers
    if "content-encoding" not in response.headers:
        assert str(len(response.content)) == response.headers["content-length"]
    ElementTree.fromstring(response.content)
    found: Resource = body.loads(xml.read(response.content))
    return found


def codes(response: httpx.Response) -> tuple[int, list[str]]:
    return response.status_code, [issue["code"] for issue in read(response)["issue"]]


async def test_what_is_written_in_xml_is_read_in_both(client: httpx.AsyncClient) -> None:
    made = await client.put("Patient/a", content=written(PATIENT), headers=XML)
    assert (201, "Doe") == (made.status_code, read(made)["name"][0]["family"])
    got = await client.get("Patient/a", headers={"Accept": "application/fhir+xml"})
    stored = (await client.get("Patient/a")).json()
    assert stored == read(got) == read(made)
    assert PATIENT == {name: value for name, value in stored.items() if name != "meta"}
    same = await client.put("Patient/a", content=written(stored), headers=XML)
    assert (200, stored["meta"]["versionId"]) == (same.status_code, read(same)["meta"]["versionId"])


async def test_decimals_keep_their_digits(client: httpx.AsyncClient) -> None:
    made = await client.post("Observation", content=OBSERVATION, headers=XML)
    assert 201 == made.status_code
    place = f"Observation/{read(made)['id']}"
    assert '"value":1.10' in (await client.get(place)).text
    assert '<value value="1.10"/>' in (await client.get(f"{place}?_format=xml")).text
    assert '\n    <value value="1.10"/>' in (await client.get(f"{place}?_format=xml&_pretty=true")).text


@pytest.mark.parametrize("content_type", ["application/fhir+xml", "application/xml; charset=UTF-8", "text/xml"])
async def test_content_types(client: httpx.AsyncClient, content_type: str) -> None:
    made = await client.post("Patient", content=written(PATIENT), headers={"Content-Type": content_type})
    assert (201, "Patient") == (made.status_code, made.json()["resourceType"])


async def test_refusals_are_written_in_the_format_asked_for(client: httpx.AsyncClient) -> None:
    unclosed = await client.post("Patient", content="<Patient", headers=XML)
    wrong = await client.post(
        "Patient",
        content='<Patient xmlns="http://hl7.org/fhir"><foo/><active value="x"/></Patient>',
        headers=XML,
    )
    other = await client.post("Group", content=written(PATIENT), headers=XML)
    assert [(400, ["structure"]), (422, ["structure", "structure"]), (400, ["invalid"])] == [
        codes(response) for response in (unclosed, wrong, other)
    ]
    assert (404, ["not-found"]) == codes(await client.get("Foo?_format=xml"))
    assert (404, ["not-found"]) == codes(await client.get("Patient/none", headers=XML))
    assert (405, ["not-supported"]) == codes(await client.delete("metadata", headers=XML))
    assert (415, ["not-supported"]) == codes(
        await client.post("Patient", content="{}", headers=XML | {"Content-Type": "text/turtle"})
    )
    assert (406, ["not-supported"]) == refusal(await client.get("Patient?_format=ttl", headers=XML))


async def test_bodies_that_are_the_other_format(client: httpx.AsyncClient) -> None:
    as_xml = await client.post("Patient", json=PATIENT, headers={"Content-Type": "application/fhir+xml"})
    as_json = await client.post("Patient", content=written(PATIENT), headers={"Content-Type": "application/fhir+json"})
    assert [(400, ["structure"]), (400, ["structure"])] == [refusal(as_xml), refusal(as_json)]


async def test_entities_are_never_read(client: httpx.AsyncClient) -> None:
    source = (
        '<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/hostname">]><Patient xmlns="http://hl7.org/fhir">&a;</Patient>'
    )
    assert (400, ["structure"]) == codes(await client.post("Patient", content=source, headers=XML))


async def test_transaction_in_xml(client: httpx.AsyncClient) -> None:
    bundle = transaction(
        {"resource": PATIENT, "request": {"method": "PUT", "url": "Patient/a"}},
        {"request": {"method": "GET", "url": "Patient/a"}},
    )
    answer = read(await client.post("", content=written(bundle), headers=XML))
    assert ["201", "200"] == [entry["response"]["status"][:3] for entry in answer["entry"]]
    assert "Doe" == answer["entry"][1]["resource"]["name"][0]["family"]


async def test_patch_in_xml(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=PATIENT)
    parts = [
        {"name": "type", "valueCode": "replace"},
        {"name": "path", "valueString": "Patient.birthDate"},
        {"name": "value", "valueDate": "1971-01-01"},
    ]
    patch = {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}
    assert "1971-01-01" == read(await client.patch("Patient/a", content=written(patch), headers=XML))["birthDate"]


async def test_operation_in_xml(client: httpx.AsyncClient) -> None:
    parameters = {"resourceType": "Parameters", "parameter": [{"name": "resource", "resource": PATIENT}]}
    answer = await client.post("Patient/$validate", content=written(parameters), headers=XML)
    assert (200, "OperationOutcome") == (answer.status_code, read(answer)["resourceType"])


async def test_pages_keep_the_format_that_their_url_asked_for(client: httpx.AsyncClient) -> None:
    for id in "abc":
        await client.put(f"Patient/{id}", json=PATIENT | {"id": id})
    found, url = [], "Patient?_count=1&_format=xml"
    while url:
        page = read(await client.get(url))
        found += [entry["resource"]["id"] for entry in page["entry"]]
        url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
    assert ["a", "b", "c"] == sorted(found)
    links = (await client.get("Patient?_count=1")).json()["link"]
    assert [] == [link["url"] for link in links if "_format" in link["url"]]


async def test_history_in_xml(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=PATIENT)
    await client.delete("Patient/a")
    page = read(await client.get("Patient/a/_history?_format=xml&_count=1"))
    assert ["DELETE"] == [entry["request"]["method"] for entry in page["entry"]]
    following = next(link["url"] for link in page["link"] if link["relation"] == "next")
    assert ["PUT"] == [entry["request"]["method"] for entry in read(await client.get(following))["entry"]]


async def test_search_of_the_other_format_has_another_tag(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=PATIENT)
    tag = (await client.get("Patient")).headers["etag"]
    as_xml = await client.get("Patient", headers={"If-None-Match": tag, "Accept": "application/fhir+xml"})
    assert (200, True) == (as_xml.status_code, tag != as_xml.headers["etag"])
    assert 304 == (await client.get("Patient", headers={"If-None-Match": tag})).status_code


async def test_compressed_xml(client: httpx.AsyncClient) -> None:
    names = [{"family": "Doe" * 1000}]
    await client.put("Patient/a", json=PATIENT | {"name": names})
    response = await client.get("Patient/a?_format=xml", headers={"Accept-Encoding": "gzip"})
    assert ("gzip", "accept, accept-encoding") == (response.headers["content-encoding"], response.headers["vary"])
    assert names == body.loads(xml.read(response.content))["name"]


async def test_capability_statement_in_xml(client: httpx.AsyncClient) -> None:
    found = read(await client.get("metadata?_format=xml"))
    assert ["application/fhir+json", "application/fhir+xml", "json", "xml"] == found["format"]
