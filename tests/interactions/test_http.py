"""FHIR over HTTP: negotiation, sizes, compression, and refusals that are outcomes whatever is wrong."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import brotli
import httpx
import pytest
from starlette.types import ASGIApp

from server.app import create_app
from server.interactions.exchange import INSTANCE, Request, Response, Server
from server.interactions.routes import DISPATCH
from server.settings import Settings
from tests.answers import entry, places, refusal, statuses, transaction
from tests.conftest import lifespan

PATIENT = {"resourceType": "Patient", "id": "a", "name": [{"family": "Doe"}]}
LONG = {"resourceType": "Patient", "id": "a", "name": [{"family": "Doe" * 1000}]}
GROUP = {"resourceType": "Group", "id": "a", "type": "person", "actual": True}
JSON = {"Content-Type": "application/fhir+json"}
FHIR = "application/fhir+json;charset=utf-8"
XML = "application/fhir+xml;charset=utf-8"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, FHIR),
        ("*/*", FHIR),
        ("application/fhir+json", FHIR),
        ("application/fhir+json; fhirVersion=4.0", FHIR),
        ("application/json", "application/json;charset=utf-8"),
        ("text/json", "text/json;charset=utf-8"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", FHIR),
        ("application/fhir+xml;q=0.5, application/fhir+json", FHIR),
        ("application/fhir+xml, application/fhir+json;q=0.5", XML),
        ("application/fhir+xml, application/fhir+json", FHIR),
        ("application/fhir+xml, */*", XML),
        ("application/xml", "application/xml;charset=utf-8"),
        ("text/xml; q=0.3", "text/xml;charset=utf-8"),
    ],
)
async def test_accept(client: httpx.AsyncClient, accept: str | None, expected: str) -> None:
    await client.put("Patient/a", json=PATIENT)
    response = await client.get("Patient/a", headers={"Accept": accept} if accept else {})
    assert (200, expected) == (response.status_code, response.headers["content-type"])


@pytest.mark.parametrize("accept", ["text/turtle", "text/csv", "application/fhir+json;fhirVersion=5.0", "x"])
async def test_accept_of_what_is_not_written(client: httpx.AsyncClient, accept: str) -> None:
    response = await client.post("Patient", json=PATIENT, headers={"Accept": accept})
    assert (406, ["not-supported"]) == refusal(response)
    assert 0 == (await client.get("Patient")).json()["total"]


@pytest.mark.parametrize("format", ["json", "application/json", "application/fhir+json", "application/fhir%2Bjson"])
async def test_format_counts_more_than_accept(client: httpx.AsyncClient, format: str) -> None:
    response = await client.get(f"Patient?_format={format}", headers={"Accept": "application/fhir+xml"})
    assert 200 == response.status_code


@pytest.mark.parametrize("format", ["xhtml", "text/turtle", "ttl", "html", "csv"])
async def test_format_that_is_not_written(client: httpx.AsyncClient, format: str) -> None:
    assert (406, ["not-supported"]) == refusal(await client.get(f"Patient?_format={format}"))


async def test_format_that_is_empty_says_nothing(client: httpx.AsyncClient) -> None:
    response = await client.get("metadata?_format=", headers={"Accept": "application/json"})
    assert "application/json;charset=utf-8" == response.headers["content-type"]


async def test_pretty_keeps_digits(client: httpx.AsyncClient) -> None:
    content = (
        '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},"valueQuantity":{"value":1.10}}'
    )
    await client.put("Observation/o", content=content, headers=JSON)
    text = (await client.get("Observation/o?_pretty=true")).text
    assert '\n  "valueQuantity": {\n    "value": 1.10\n  }' in text


@pytest.mark.parametrize("asked", ["_pretty=true", "_summary=data", "_elements=value"])
async def test_numbers_beyond_64_bits_are_told(client: httpx.AsyncClient, asked: str) -> None:
    number = "123456789012345678901234567890"
    content = (
        '{"resourceType":"Observation","id":"o","status":"final","code":{"text":"x"},'
        f'"valueQuantity":{{"value":{number}}}}}'
    )
    assert 201 == (await client.put("Observation/o", content=content, headers=JSON)).status_code
    answer = await client.get(f"Observation/o?{asked}")
    assert 200 == answer.status_code
    assert number in answer.text


async def test_type_that_is_very_long_is_not_repeated(client: httpx.AsyncClient) -> None:
    answer = await client.post("Patient", json={"resourceType": "P" * 100_000})
    assert (400, ["invalid"]) == refusal(answer)
    assert len(answer.content) < 1000


@pytest.mark.parametrize("path", ["Patient%2Fa", "Patient%2fa", "Patient/a%2f_history", "%2FPatient/a"])
async def test_slash_that_is_encoded_separates_nothing(client: httpx.AsyncClient, path: str) -> None:
    """A proxy that goes by the path as it came would take what follows for a part of the name."""
    await client.put("Patient/a", json=PATIENT)
    assert (404, ["not-found"]) == refusal(await client.get(path))
    assert 200 == (await client.get("Patient/%61")).status_code


async def test_headers_that_come_more_than_once(app: ASGIApp) -> None:
    """They are joined in time that grows with their number: looking through all for each takes minutes here."""
    several = [(b"accept", b"application/fhir+xml"), (b"accept", b"application/json")]
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("a GET has no body")

    scope = {
        "type": "http",
        "method": "GET",
        "scheme": "http",
        "path": "/fhir/Patient",
        "query_string": b"",
        "headers": [*several, *((b"x-%d" % number, b"") for number in range(50_000)), (b"host", b"localhost")],
    }
    await app(scope, receive, send)
    assert (b"content-type", b"application/json;charset=utf-8") in sent[0]["headers"]


async def test_pretty_takes_any_depth_that_is_stored(client: httpx.AsyncClient) -> None:
    """A resource may be as deep as a body may be; a Bundle that holds it is deeper."""
    extension: dict[str, Any] = {"url": "urn:x", "valueBoolean": True}
    for _ in range(46):
        extension = {"url": "urn:x", "extension": [extension]}
    assert 201 == (await client.put("Patient/a", json={**PATIENT, "extension": [extension]})).status_code
    assert 200 == (await client.get("_history?_pretty=true")).status_code
    assert 200 == (await client.get("Patient?_pretty=true&_elements=extension")).status_code


@pytest.mark.parametrize(
    "content_type", ["application/fhir+json", "application/json; charset=UTF-8", "text/json", "application/json+fhir"]
)
async def test_content_type(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.put("Patient/a", content=json.dumps(PATIENT), headers={"Content-Type": content_type})
    assert 201 == response.status_code


@pytest.mark.parametrize(
    "content_type",
    [
        "application/xhtml+xml",
        "application/fhir+xml; charset=utf-16",
        "application/x-www-form-urlencoded",
        "application/fhir+json; charset=latin1",
        "application/fhir+json; fhirVersion=3.0",
        "",
    ],
)
async def test_content_type_that_is_not_read(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.put("Patient/a", content=json.dumps(PATIENT), headers={"Content-Type": content_type})
    assert (415, ["not-supported"]) == refusal(response)


async def test_content_type_that_is_not_declared(client: httpx.AsyncClient) -> None:
    """What a web page may send to another site without being asked has no type of ours, so no page writes here."""
    assert (415, ["not-supported"]) == refusal(await client.put("Patient/a", content=json.dumps(PATIENT)))


@pytest.mark.parametrize(
    ("method", "place", "allow"),
    [
        ("POST", "Patient/a", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT"),
        ("PUT", "", "GET, HEAD, OPTIONS, POST"),
        ("GET", "_search", "OPTIONS, POST"),
        ("POST", "Patient/a/CarePlan", "GET, HEAD, OPTIONS"),
        ("DELETE", "metadata", "GET, HEAD, OPTIONS"),
        ("PUT", "Patient/a/_history/1", "GET, HEAD, OPTIONS"),
        ("GET", "Patient/_search", "OPTIONS, POST"),
        ("PUT", "_history", "GET, HEAD, OPTIONS"),
    ],
)
async def test_method_that_a_place_does_not_take(
    client: httpx.AsyncClient, method: str, place: str, allow: str
) -> None:
    response = await client.request(method, place)
    assert (405, ["not-supported"]) == refusal(response)
    assert allow == response.headers["allow"]


@pytest.mark.parametrize(
    "place",
    [
        "Nothing",
        "patient",
        "Patient/a/b",
        "Patient/a/_history/1/2",
        "_nothing",
        "$nothing",
        "Patient/$nothing",
        "Patient/a/$nothing",
        "Resource",
        "metadata/x",
        "..%2f..%2fetc",
        "Patient/a/CarePlan/b",
        "Organization/a/CarePlan",
    ],
)
async def test_place_where_nothing_is(client: httpx.AsyncClient, place: str) -> None:
    assert (404, ["not-found"]) == refusal(await client.get(place))


async def test_trailing_slash(client: httpx.AsyncClient) -> None:
    assert 201 == (await client.put("Patient/a/", json=PATIENT)).status_code
    assert 200 == (await client.get("Patient/")).status_code


async def test_head_answers_without_a_body(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=PATIENT)
    got, headed = await client.get("Patient/a"), await client.head("Patient/a")
    assert (200, b"") == (headed.status_code, headed.content)
    assert unnumbered(got) == unnumbered(headed)


@pytest.mark.parametrize("place", ["", "Patient", "metadata", "_history", "Patient/a/_history/1", "Patient/nobody"])
async def test_head_is_taken_where_get_is(client: httpx.AsyncClient, place: str) -> None:
    await client.put("Patient/a", json=PATIENT)
    got, headed = await client.get(place), await client.head(place)
    assert (got.status_code, unnumbered(got), b"") == (headed.status_code, unnumbered(headed), headed.content)


def unnumbered(response: httpx.Response) -> dict[str, str]:
    """The headers but the request's own id."""
    return {name: value for name, value in response.headers.items() if name != "x-request-id"}


@pytest.mark.parametrize(
    ("place", "allow", "patch"),
    [
        ("Patient/a", "DELETE, GET, HEAD, OPTIONS, PATCH, PUT", True),
        ("Patient", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT", True),
        ("", "GET, HEAD, OPTIONS, POST", False),
        ("metadata", "GET, HEAD, OPTIONS", False),
    ],
)
async def test_options(client: httpx.AsyncClient, place: str, allow: str, patch: bool) -> None:
    response = await client.options(place)
    assert (204, allow, b"") == (response.status_code, response.headers["allow"], response.content)
    assert patch == ("application/json-patch+json" in response.headers.get("accept-patch", ""))


async def test_large_answers_are_compressed(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=LONG)
    compressed = await client.get("Patient/a", headers={"Accept-Encoding": "gzip"})
    plain = await client.get("Patient/a", headers={"Accept-Encoding": "identity"})
    refused = await client.get("Patient/a", headers={"Accept-Encoding": "gzip;q=0"})
    assert {"accept, accept-encoding"} == {found.headers["vary"] for found in (compressed, plain, refused)}
    assert ["gzip", None, None] == [found.headers.get("content-encoding") for found in (compressed, plain, refused)]
    assert compressed.json() == plain.json()
    assert int(compressed.headers["content-length"]) < 1000


@pytest.mark.parametrize(
    ("accept", "coding"),
    [
        ("br", "br"),
        ("gzip, deflate, br, zstd", "br"),
        ("gzip;q=1.0, br;q=0.5", "gzip"),
        ("*", "br"),
        ("br;q=0, *;q=0.1", "gzip"),
        ("br;q=0", None),
        ("zstd", None),
        ("", None),
    ],
)
async def test_coding_that_the_client_likes_best(client: httpx.AsyncClient, accept: str, coding: str | None) -> None:
    await client.put("Patient/a", json=LONG)
    async with client.stream("GET", "Patient/a", headers={"Accept-Encoding": accept}) as response:
        raw = b"".join([chunk async for chunk in response.aiter_raw()])
    unpacked = {"br": brotli.decompress, "gzip": gzip.decompress, None: bytes}[coding](raw)
    assert (coding, "Doe" * 1000) == (
        response.headers.get("content-encoding"),
        json.loads(unpacked)["name"][0]["family"],
    )
    assert int(response.headers["content-length"]) == len(raw)


async def test_small_answers_are_not_compressed(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=PATIENT)
    assert "content-encoding" not in (await client.get("Patient/a", headers={"Accept-Encoding": "gzip"})).headers


@pytest.mark.parametrize(
    ("coding", "compress"), [("gzip", gzip.compress), ("br", brotli.compress), ("GZip", gzip.compress)]
)
async def test_compressed_request(client: httpx.AsyncClient, coding: str, compress: Callable[[bytes], bytes]) -> None:
    content = compress(json.dumps(PATIENT).encode())
    response = await client.put("Patient/a", content=content, headers=JSON | {"Content-Encoding": coding})
    assert (201, "Doe") == (response.status_code, response.json()["name"][0]["family"])


@pytest.mark.parametrize(
    ("content", "coding", "expected"),
    [
        (b"nothing", "gzip", (400, ["structure"])),
        (gzip.compress(b"{}", mtime=0)[:-4], "gzip", (400, ["structure"])),
        (gzip.compress(b"{}", mtime=0) * 2, "gzip", (400, ["structure"])),
        (zlib.compress(b"{}"), "deflate", (415, ["not-supported"])),
        (b"{}", "br", (400, ["structure"])),
        (brotli.compress(b"{}" * 500)[:-1], "br", (400, ["structure"])),
        (brotli.compress(b"{}") + b"x", "br", (400, ["structure"])),
        (gzip.compress(gzip.compress(b"{}", mtime=0), mtime=0), "gzip, gzip", (415, ["not-supported"])),
    ],
)
async def test_compressed_request_that_is_not_read(
    client: httpx.AsyncClient, content: bytes, coding: str, expected: Any
) -> None:
    response = await client.put("Patient/a", content=content, headers=JSON | {"Content-Encoding": coding})
    assert expected == refusal(response)


@pytest.fixture
async def small(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that takes bodies of 2,000 bytes."""
    application = create_app(settings.model_copy(update={"max_body": 2000}))
    async with lifespan(application), client_of(application) as found:
        yield found


def client_of(app: ASGIApp, base: str = "http://127.0.0.1/fhir/") -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=base)


async def test_body_beyond_the_limit(small: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b"x" * 1000

    declared = await small.put("Patient/a", content=b"x" * 2001, headers=JSON)
    streamed = await small.put("Patient/a", content=chunks(), headers=JSON)
    assert [(413, ["too-costly"])] * 2 == [refusal(declared), refusal(streamed)]


@pytest.mark.parametrize(("coding", "compress"), [("gzip", gzip.compress), ("br", brotli.compress)])
async def test_body_that_unpacks_beyond_the_limit(
    small: httpx.AsyncClient, coding: str, compress: Callable[[bytes], bytes]
) -> None:
    bomb = compress(b" " * 1_000_000)
    assert len(bomb) < 2000
    response = await small.put("Patient/a", content=bomb, headers=JSON | {"Content-Encoding": coding})
    assert (413, ["too-costly"]) == refusal(response)


async def test_body_that_does_not_come_is_not_waited_for(settings: Settings) -> None:
    async def receive() -> Any:
        await asyncio.sleep(60)

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    application = create_app(settings.model_copy(update={"patience": 0.05}))
    headers = [(b"host", b"localhost"), (b"content-type", b"application/json"), (b"content-length", b"100")]
    scope = {"type": "http", "method": "PUT", "scheme": "http", "path": "/fhir/Patient/a", "query_string": b""}
    async with lifespan(application):
        await application({**scope, "headers": headers}, receive, send)
    assert (408, (b"connection", b"close")) == (sent[0]["status"], sent[0]["headers"][0])


async def test_answers_are_kept_by_the_client_alone(client: httpx.AsyncClient) -> None:
    assert "private, no-cache" == (await client.get("Patient")).headers["cache-control"]


PAGE = {"Origin": "https://app.example.org"}
PREFLIGHT = PAGE | {"Access-Control-Request-Method": "PATCH", "Access-Control-Request-Headers": "if-match"}


async def test_pages_of_other_sites_are_let_in_by_nobody(client: httpx.AsyncClient) -> None:
    for response in (await client.get("Patient", headers=PAGE), await client.options("Patient/a", headers=PREFLIGHT)):
        assert [] == [name for name in response.headers if name.startswith("access-control-")]


@pytest.mark.parametrize(
    ("cors", "allowed"),
    [
        ("*", "*"),
        ("https://app.example.org", "https://app.example.org"),
        ("https://a.example https://app.example.org", "https://app.example.org"),
        ("https://a.example", None),
        ("https://app.example.org.evil.example", None),
    ],
)
async def test_pages_of_other_sites(settings: Settings, cors: str, allowed: str | None) -> None:
    application = create_app(settings.model_copy(update={"cors": cors}))
    async with lifespan(application), client_of(application) as client:
        got = await client.get("Patient/nobody", headers=PAGE)
        asked = await client.options("Patient/a", headers=PREFLIGHT)
    assert [(404, allowed), (204, allowed)] == [
        (one.status_code, one.headers.get("access-control-allow-origin")) for one in (got, asked)
    ]
    assert (cors != "*") == ("origin" in got.headers.get("vary", ""))
    if allowed:
        exposed = got.headers["access-control-expose-headers"]
        assert all(name in exposed for name in ("ETag", "Location", "Content-Location", "X-Request-Id"))
        assert "PATCH" in asked.headers["access-control-allow-methods"]
        assert "If-Match" in asked.headers["access-control-allow-headers"]
    else:
        assert "access-control-allow-methods" not in asked.headers


@pytest.fixture
async def versioned(settings: Settings) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server that demands If-Match for changes of CarePlans and Patients, with Patient/a at version 1."""
    application = create_app(settings.model_copy(update={"versioned": "CarePlan Patient"}))
    async with lifespan(application), client_of(application) as found:
        assert 201 == (await found.put("Patient/a", json=PATIENT)).status_code
        yield found


async def test_change_that_names_no_version(versioned: httpx.AsyncClient) -> None:
    patch = {"content": "[]", "headers": {"Content-Type": "application/json-patch+json"}}
    answers = [
        await versioned.put("Patient/a", json=PATIENT),
        await versioned.patch("Patient/a", **patch),  # type: ignore[arg-type]
        await versioned.delete("Patient/a"),
        await versioned.put("Patient?name=Doe", json=PATIENT),
        await versioned.post("", json=transaction(entry("DELETE", "Patient/a"))),
    ]
    assert [(428, ["required"])] * 5 == [refusal(answer) for answer in answers]
    batched = await versioned.post("", json=transaction(entry("DELETE", "Patient/a"), type="batch"))
    assert ["428"] == statuses(batched)


async def test_change_that_names_its_version(versioned: httpx.AsyncClient) -> None:
    changed = await versioned.put("Patient/a", json=PATIENT | {"active": True}, headers={"If-Match": 'W/"1"'})
    beside = [await versioned.put("Group/a", json=GROUP | {"active": active}) for active in (True, False)]
    new = await versioned.post("Patient", json=PATIENT)
    assert [200, 201, 200, 201] == [found.status_code for found in (changed, *beside, new)]
    assert 204 == (await versioned.delete("Patient/a", headers={"If-Match": 'W/"2"'})).status_code
    assert 201 == (await versioned.put("Patient/a", json=PATIENT)).status_code
    rest = (await versioned.get("metadata")).json()["rest"][0]
    told = {found["type"]: found["versioning"] for found in rest["resource"]}
    assert ("versioned-update", "versioned") == (told["CarePlan"], told["Group"])


async def test_request_id_is_told_back(client: httpx.AsyncClient) -> None:
    told = await client.get("Patient/nobody", headers={"X-Request-Id": "a-1"})
    assert "a-1" == told.headers["x-request-id"]


@pytest.mark.parametrize("headers", [{}, {"X-Request-Id": "a b"}, {"X-Request-Id": ""}, {"X-Request-Id": "a" * 129}])
async def test_request_id_is_made_where_there_is_none(client: httpx.AsyncClient, headers: dict[str, str]) -> None:
    made = [(await client.get("Patient/nobody", headers=headers)).headers["x-request-id"] for _ in range(2)]
    assert 2 == len({*made, *headers.values()} - set(headers.values()))


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"X-Request-Id": "a b"}, "a b"),
        ({"X-Request-Id": "a", "X-Correlation-Id": "c"}, "c"),
        ({"X-Correlation-Id": "c"}, "c"),
        ({"X-Request-Id": "a"}, None),
        ({"X-Request-Id": "a" * 300}, None),
        ({"X-Request-Id": "é"}, None),
    ],
)
async def test_correlation_id_is_told_back(
    client: httpx.AsyncClient, headers: dict[str, str], expected: str | None
) -> None:
    sent = {name: value.encode("latin-1") for name, value in headers.items()}
    response = await client.get("Patient/nobody", headers=sent)
    assert expected == response.headers.get("x-correlation-id")


@pytest.mark.parametrize("actor", ["PractitionerRole/7", "Practitioner/7", "Patient/7", "Organization/7"])
async def test_acting_as(client: httpx.AsyncClient, actor: str) -> None:
    assert 200 == (await client.get("Patient", headers={"X-Acting-As": actor})).status_code


@pytest.mark.parametrize("actor", ["Device/7", "7", "", "Practitioner/a_b"])
async def test_acting_as_nobody(client: httpx.AsyncClient, actor: str) -> None:
    response = await client.get("Patient", headers={"X-Acting-As": actor})
    assert ((400, ["invalid"]), ["http.X-Acting-As"]) == (refusal(response), places(response))


async def test_failure_shows_an_id_and_nothing_else(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def broken(server: Server, request: Request) -> Response:
        raise KeyError("Jane Doe")

    monkeypatch.setitem(DISPATCH, ("GET", INSTANCE), broken)  # type: ignore[arg-type]
    application = create_app(settings)
    async with lifespan(application), client_of(application) as client:
        response = await client.get("Patient/a", headers={"X-Request-Id": "mine"})
        entries = {
            "resourceType": "Bundle",
            "type": "batch",
            "entry": [{"request": {"method": "GET", "url": "Patient/a"}}],
        }
        batched = await client.post("", json=entries)
    assert (500, ["exception"]) == refusal(response)
    assert "500 Internal Server Error" == batched.json()["entry"][0]["response"]["status"]
    logged = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [("KeyError", "error")] * 2 == [(line["error"], line["level"]) for line in logged]
    assert logged[0]["id"] in response.text
    assert ["mine", batched.headers["x-request-id"]] == [line["request"] for line in logged]
    assert "Doe" not in response.text + json.dumps(logged)


@pytest.mark.parametrize(
    ("change", "headers", "expected"),
    [
        ({}, {"Host": "localhost:8000"}, "http://localhost:8000/fhir"),
        ({}, {"Host": "[::1]:8000"}, "http://[::1]:8000/fhir"),
        ({}, {"Host": "127.0.0.1", "X-Forwarded-Proto": "https"}, "http://127.0.0.1/fhir"),
        ({"base_url": "https://b.example/fhir"}, {"Host": "127.0.0.1"}, "https://b.example/fhir"),
        ({"base_url": "https://b.example/fhir"}, {"Host": "b.example:443"}, "https://b.example/fhir"),
        (
            {"trust_proxy": True},
            {"Host": "a.example", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "c.example, d.example"},
            "https://c.example/fhir",
        ),
        (
            {"trust_proxy": True},
            {"Host": "a.example", "Forwarded": 'for=1.2.3.4;proto=https;host="e.example:8443", for=5.6.7.8'},
            "https://e.example:8443/fhir",
        ),
    ],
)
async def test_base_url(settings: Settings, change: dict[str, Any], headers: dict[str, str], expected: str) -> None:
    application = create_app(settings.model_copy(update=change))
    async with lifespan(application), client_of(application) as client:
        response = await client.post("Patient", json=PATIENT, headers=headers)
    assert response.headers["location"].startswith(f"{expected}/Patient/")


@pytest.mark.parametrize("host", ["localhost/b", "localhost:b", "127.0.0.1:80<a>", "[::1", "localhost?x"])
async def test_host_that_is_none(client: httpx.AsyncClient, host: str) -> None:
    assert (400, ["invalid"]) == refusal(await client.get("Patient", headers={"Host": host}))


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:8000"])
async def test_host_that_is_not_ours(client: httpx.AsyncClient, host: str) -> None:
    """A page whose name was made to mean 127.0.0.1 reads nothing while everybody may read."""
    assert (403, ["forbidden"]) == refusal(await client.get("Patient", headers={"Host": host}))


@pytest.mark.parametrize(
    ("method", "place"),
    [
        ("GET", "Patient/a"),
        ("HEAD", "Patient/a"),
        ("GET", "Patient/a/_history/1"),
        ("GET", "metadata"),
        ("POST", "Patient"),
        ("PUT", "Patient/a"),
        ("PATCH", "Patient/a"),
        ("DELETE", "Patient/a"),
        ("POST", ""),
    ],
)
async def test_strict_handling_refuses_what_would_be_left_out(
    client: httpx.AsyncClient, method: str, place: str
) -> None:
    await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})
    content = {"json": {"resourceType": "Patient", "id": "a"}} if method in {"POST", "PUT", "PATCH"} else {}
    strict = {"Prefer": "handling=strict", "Content-Type": "application/fhir+json"}
    refused = await client.request(method, f"{place}?colour=red", headers=strict, **content)  # type: ignore[arg-type]
    assert 400 == refused.status_code
    assert method == "HEAD" or (400, ["not-supported"]) == refusal(refused)
    taken = await client.get("Patient/a?_elements=name&_format=json&_pretty=true", headers=strict)
    assert 200 == taken.status_code
