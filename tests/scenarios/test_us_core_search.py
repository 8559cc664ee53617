"""Every search that US Core 6.1.0 names in its CapabilityStatement, over its own examples.

https://hl7.org/fhir/us/core/STU6.1/CapabilityStatement-us-core-server.html

What is expected comes from the package alone: its SearchParameters' FHIRPath, evaluated over each example, and the
naive reading of the specification.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from server.app import create_app
from server.fhir import fhirpath
from server.fhir.body import dumps
from server.fhir.definition import search_parameters
from server.settings import Settings
from tests import us_core
from tests.answers import ids
from tests.conftest import lifespan
from tests.search import naive

pytestmark = pytest.mark.asyncio(loop_scope="module")

EXTENSIONS = "http://hl7.org/fhir/StructureDefinition/capabilitystatement-"
RESOLVES = re.compile(r"\.where\(resolve\(\) is (\w+)\)")
CONCEPTS = {"token", "reference", "uri"}

Json = dict[str, Any]


@cache
def statement() -> list[Json]:
    found = us_core.definitions("CapabilityStatement")
    return next(list(one["rest"][0]["resource"]) for one in found if one["id"] == "us-core-server")


@cache
def defined() -> dict[str, Json]:
    """The package's SearchParameters, by URL."""
    return {one["url"]: one for one in us_core.definitions("SearchParameter")}


@cache
def resources() -> list[Json]:
    return [one for one in us_core.examples().values() if one["resourceType"] != "Bundle"]


def searches() -> Iterator[tuple[str, tuple[str, ...]]]:
    """(type, the codes that are searched together), of all expectations."""
    for row in statement() if us_core.PACKAGE.exists() else ():
        yield from ((row["type"], (one["name"],)) for one in row.get("searchParam", ()))
        for extension in row.get("extension", ()):
            if extension["url"] == f"{EXTENSIONS}search-parameter-combination":
                required = [part["valueString"] for part in extension["extension"] if part["url"] == "required"]
                yield row["type"], tuple(required)


SEARCHES = list(searches())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[httpx.AsyncClient]:
    """A server with the examples, and with the package's own SearchParameters."""
    folder: Path = tmp_path_factory.mktemp("us-core")
    settings = Settings(store=f"sqlite:///{folder}/careplan.db", demo=False, log_level="error", profiles="off")
    app = create_app(settings)
    async with lifespan(app):
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as found:
            for one in (*defined().values(), *resources()):
                place = f"{one['resourceType']}/{one['id']}"
                headers = {"Content-Type": "application/fhir+json"}
                response = await found.put(place, content=dumps(one), headers=headers)
                assert 201 == response.status_code, (place, response.text)
            yield found


def values(resource: Json, code: str) -> list[Any]:
    """What a parameter's expression leads to in a resource."""
    if code == "_id":
        return [resource["id"]]
    expression = definition(resource["resourceType"], code)["expression"]
    target = RESOLVES.search(expression)
    found = fhirpath.compiled(RESOLVES.sub("", expression))(resource)
    return [one for one in found if not target or str(one.get("reference", "")).startswith(f"{target[1]}/")]


def definition(type: str, code: str) -> Json:
    row = next(one for one in statement() if one["type"] == type)
    urls = {one["name"]: one["definition"] for one in row.get("searchParam", ())}
    if (found := defined().get(urls.get(code, ""))) is not None:
        return found
    own = search_parameters(type)[code]
    return {"type": own.type, "expression": own.expression}


def kind(type: str, code: str) -> str:
    return "token" if code == "_id" else str(definition(type, code)["type"])


def asked(type: str, code: str, value: Any) -> str | None:
    """How a client would search for what stands in a resource."""
    match kind(type, code), value:
        case "token", {"coding": [{"code": named, **rest}, *_]}:
            return f"{rest['system']}|{named}" if "system" in rest else named
        case "token", {"system": system, "code": named}:
            return f"{system}|{named}"
        case "token", {"system": system, "value": named}:
            return f"{system}|{named}"
        case "token", str():
            return value
        case "reference", {"reference": reference}:
            return str(reference)
        case (("reference" | "uri"), str()):
            return value
        case "date", str():
            return f"ge{value}"
        case "date", {"start": start}:
            return f"ge{start}"
        case "string", str():
            return value[:6]
        case "string", dict():
            texts = [text for text, _ in naive._texts(value) if len(text) > 2]
            return texts[0][:6] if texts else None
    return None


def satisfies(resource: Json, code: str, value: str) -> bool:
    type = kind(resource["resourceType"], code)
    return any(naive.MATCHES[type](one, "", value) for one in values(resource, code))


@pytest.mark.parametrize(("type", "codes"), SEARCHES, ids=[f"{type}-{'+'.join(codes)}" for type, codes in SEARCHES])
async def test_search_finds_what_the_expressions_say(
    client: httpx.AsyncClient, type: str, codes: tuple[str, ...]
) -> None:
    of_type = [one for one in resources() if one["resourceType"] == type]
    compared = 0
    for example in of_type:
        parts = [(code, asked(type, code, value)) for code in codes for value in values(example, code)[:1]]
        criteria = [(code, value) for code, value in parts if value is not None]
        if len(criteria) < len(codes):
            continue
        expected = {one["id"] for one in of_type if all(satisfies(one, code, value) for code, value in criteria)}
        response = await client.get(type, params=[*criteria, ("_count", "500")], headers={"Prefer": "handling=strict"})
        assert expected == set(ids(response)), criteria
        assert example["id"] in expected
        compared += 1
    if not compared:  # no example says anything there; the search is taken all the same
        sought = [(code, "ge2020" if kind(type, code) == "date" else "x") for code in codes]
        response = await client.get(type, params=sought, headers={"Prefer": "handling=strict"})
        assert (200, 0) == (response.status_code, response.json()["total"])


async def test_includes_of_the_statement_are_taken(client: httpx.AsyncClient) -> None:
    for row in statement():
        for name, values_ in (("_include", "searchInclude"), ("_revinclude", "searchRevInclude")):
            for value in row.get(values_, ()):
                response = await client.get(row["type"], params={name: value}, headers={"Prefer": "handling=strict"})
                assert 200 == response.status_code, (row["type"], name, value, response.text)
