"""Binary as its own content: https://hl7.org/fhir/R4/binary.html"""

from __future__ import annotations

import base64
from typing import Any

import httpx
import pytest

from tests.answers import entry, refusal, transaction

PDF = b"%PDF-1.7 \x00\xff"
FHIR = {"Accept": "application/fhir+json"}


async def stored(client: httpx.AsyncClient, content_type: str = "application/pdf", **more: Any) -> str:
    """A Binary that was sent as a resource; answers its place."""
    made = {"resourceType": "Binary", "contentType": content_type, "data": base64.b64encode(PDF).decode(), **more}
    response = await client.post("Binary", json=made, headers={"Content-Type": "application/fhir+json"})
    assert 201 == response.status_code, response.text
    return f"Binary/{response.json()['id']}"


@pytest.mark.parametrize("accept", [None, "*/*", "application/pdf", "application/*", "text/html, */*;q=0.8", ""])
async def test_content_is_answered_unless_fhir_is_asked_for(client: httpx.AsyncClient, accept: str | None) -> None:
    place = await stored(client, securityContext={"reference": "Patient/1"})
    del client.headers["accept"]
    response = await client.get(place, headers={} if accept is None else {"Accept": accept})
    assert (200, PDF, "application/pdf") == (response.status_code, response.content, response.headers["content-type"])
    assert "Patient/1" == response.headers["x-security-context"]
    assert response.headers["etag"]


@pytest.mark.parametrize(
    ("query", "accept", "expected"),
    [
        ("", "application/fhir+json", "application/fhir+json"),
        ("", "application/fhir+xml", "application/fhir+xml"),
        ("", "application/pdf;q=0.1, application/fhir+json", "application/fhir+json"),
        ("", "application/json", "application/json"),
        ("?_format=json", "*/*", "application/fhir+json"),
        ("?_format=xml", "application/pdf", "application/fhir+xml"),
        ("?_summary=true", "*/*", "application/fhir+json"),
    ],
)
async def test_resource_is_answered_where_fhir_is_asked_for(
    client: httpx.AsyncClient, query: str, accept: str, expected: str
) -> None:
    place = await stored(client)
    response = await client.get(place + query, headers={"Accept": accept})
    assert (200, expected) == (response.status_code, response.headers["content-type"].partition(";")[0])
    assert b"Binary" in response.content


async def test_content_cannot_act_in_a_browser(client: httpx.AsyncClient) -> None:
    response = await client.get(await stored(client, "text/html"), headers={"Accept": "text/html, */*"})
    assert "text/html" == response.headers["content-type"]
    assert "attachment" == response.headers["content-disposition"]
    assert "nosniff" == response.headers["x-content-type-options"]
    assert "sandbox" in response.headers["content-security-policy"]


@pytest.mark.parametrize("content_type", ["no type", "text/plain\nx-evil: 1", "téxt/plain", "a/b;c", 'a/b; c="\u2028"'])
async def test_content_type_that_no_header_may_hold_is_not_sent(client: httpx.AsyncClient, content_type: str) -> None:
    made = {"resourceType": "Binary", "contentType": content_type, "data": "QQ=="}
    response = await client.post("Binary", json=made)
    if response.status_code == 201:
        answer = await client.get(f"Binary/{response.json()['id']}", headers={"Accept": "*/*"})
        assert (200, "application/octet-stream") == (answer.status_code, answer.headers["content-type"])


async def test_content_that_the_client_does_not_take(client: httpx.AsyncClient) -> None:
    refused = await client.get(await stored(client), headers={"Accept": "image/png"})
    assert (406, ["not-supported"]) == refusal(refused)


async def test_content_that_is_not_there(client: httpx.AsyncClient) -> None:
    assert (404, ["not-found"]) == refusal(await client.get("Binary/none", headers={"Accept": "application/pdf"}))


async def test_content_of_each_version_and_by_head(client: httpx.AsyncClient) -> None:
    place = await stored(client)
    changed = await client.put(place, content=b"new", headers={"Content-Type": "text/plain"})
    assert 200 == changed.status_code, changed.text
    assert b"new" == (await client.get(place, headers={"Accept": "*/*"})).content
    history = (await client.get(f"{place}/_history")).json()["entry"]
    first = f"{place}/_history/{history[-1]['resource']['meta']['versionId']}"
    assert PDF == (await client.get(first, headers={"Accept": "*/*"})).content
    head = await client.head(place, headers={"Accept": "*/*"})
    assert (b"", "3", "text/plain") == (head.content, head.headers["content-length"], head.headers["content-type"])
    known = await client.get(place, headers={"Accept": "*/*", "If-None-Match": head.headers["etag"]})
    assert (304, b"") == (known.status_code, known.content)


@pytest.mark.parametrize(
    ("declared", "content"),
    [
        ("application/pdf", PDF),
        ("text/plain; charset=utf-8", "Grüße".encode()),
        ("application/xml", b'<?xml version="1.0"?><ClinicalDocument xmlns="urn:hl7-org:v3"/>'),
        ("application/json", b'{"some": 1.10}'),
        ("application/json", b"no json"),
        ("application/fhir+json", b'{"resourceType": "Patient"}'),
        ("application/fhir+xml", b'<Patient xmlns="http://hl7.org/fhir"/>'),
    ],
)
async def test_content_is_taken_as_it_is(client: httpx.AsyncClient, declared: str, content: bytes) -> None:
    headers = {"Content-Type": declared, "X-Security-Context": "Patient/1", **FHIR}
    response = await client.post("Binary", content=content, headers=headers)
    assert 201 == response.status_code, response.text
    made = response.json()
    assert (declared, {"reference": "Patient/1"}) == (made["contentType"], made["securityContext"])
    assert content == base64.b64decode(made["data"])
    assert content == (await client.get(f"Binary/{made['id']}", headers={"Accept": "*/*"})).content


@pytest.mark.parametrize(
    ("declared", "content"),
    [
        ("application/fhir+json", b' {"contentType": "text/plain", "resourceType": "Binary", "data": "QQ=="}'),
        ("application/json", b'{"resourceType": "Binary", "contentType": "text/plain", "data": "QQ=="}'),
        (
            "application/fhir+xml",
            b'<!-- x --><Binary xmlns="http://hl7.org/fhir"><contentType value="text/plain"/>'
            b'<data value="QQ=="/></Binary>',
        ),
    ],
)
async def test_binary_that_is_sent_as_a_resource_is_one(
    client: httpx.AsyncClient, declared: str, content: bytes
) -> None:
    response = await client.post("Binary", content=content, headers={"Content-Type": declared, **FHIR})
    assert ("text/plain", "QQ==") == (response.json()["contentType"], response.json()["data"])


@pytest.mark.parametrize(
    ("declared", "content", "expected"),
    [
        ("application/fhir+json", b"{", (400, ["structure"])),
        ("application/fhir+json; charset=latin-1", b'{"resourceType": "Binary"}', (415, ["not-supported"])),
        ("nonsense", PDF, (415, ["not-supported"])),
        ("text/plain", b"", (400, ["required"])),
    ],
)
async def test_content_that_is_not_taken(
    client: httpx.AsyncClient, declared: str, content: bytes, expected: tuple[int, list[str]]
) -> None:
    refused = await client.post("Binary", content=content, headers={"Content-Type": declared, **FHIR})
    assert expected == refusal(refused)


async def test_content_makes_a_binary_under_the_clients_id(client: httpx.AsyncClient) -> None:
    made = await client.put("Binary/scan", content=PDF, headers={"Content-Type": "image/tiff"})
    assert (201, "scan") == (made.status_code, made.json()["id"])


async def test_binary_in_a_batch_is_a_resource(client: httpx.AsyncClient) -> None:
    place = await stored(client)
    response = await client.post("", json=transaction(entry("GET", place), type="batch"))
    assert "Binary" == response.json()["entry"][0]["resource"]["resourceType"]
