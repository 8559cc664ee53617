"""A rich store and its copy on the other engine give the same answers to everything that is asked of both."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from server.app import create_app
from server.app.partition import server_of
from server.fhir.body import dumps
from server.settings import Settings
from server.store.copy import copy
from tests.conftest import lifespan
from tests.mongodb import database_of, mongodb
from tests.scenarios.new_york import new_york, proposed
from tests.us_core import examples

pytestmark = pytest.mark.asyncio(loop_scope="module")

FHIR_JSON = "application/fhir+json"

Json = dict[str, Any]
Pair = tuple[httpx.AsyncClient, httpx.AsyncClient]

# By _sort the order is the question's; else it is the engine's own
ORDERED = [
    "Patient?_sort=family,_id&_count=7",
    "Patient?_sort=-birthdate,_id&_count=5&_total=accurate",
    "Patient?_sort=_id&_elements=name",
    "CarePlan?_sort=-date,_id",
    "CareTeam?_sort=_id&_summary=true",
    "Observation?_sort=-date,_id&_count=20",
    "Observation?_sort=code,_id",
    "EpisodeOfCare?_sort=-_lastUpdated,_id",
    "Task?_sort=status,_id",
    "PlanDefinition?_sort=-version,_id&_summary=text",
]
UNORDERED = [
    *(f"{type}?_summary=count" for type in ("Patient", "CareTeam", "Observation", "PractitionerRole", "Goal", "Basic")),
    "Patient?family=a",
    "Patient?name:contains=an",
    "Patient?name:exact=Shaw",
    "Patient?gender=female&birthdate=lt1980",
    "Patient?birthdate=ge1960-01-01&birthdate=le1999-12-31",
    "Patient?gender:not=male",
    "Patient?deceased:missing=true",
    "Patient?identifier=1032702",
    "Patient?telecom=email|",
    "Patient?address-state=IA",
    "Patient?_id=example,child-example,nowhere",
    "Patient?_has:CareTeam:patient:status=active",
    "Patient?_has:Observation:patient:code=8302-2",
    "Patient?_has:EpisodeOfCare:patient:_has:CareTeam:encounter:status=active",
    "Patient?_lastUpdated=ge2020-01-01",
    "Patient?_text=shaw",
    "Patient?_content=shaw",
    "Patient?_filter=family eq 'Shaw' or gender eq female",
    "Patient?general-practitioner.name=a",
    "Patient?organization.name=m",
    "CareTeam?participant:PractitionerRole.practitioner.name=a",
    "CareTeam?patient.birthdate=lt2000&status=active",
    "CareTeam?subject=Patient/example&_include=CareTeam:participant",
    "CareTeam?status=active&_include=CareTeam:patient&_include:iterate=Patient:organization",
    "CarePlan?category=assess-plan&_include=*",
    "Patient?_revinclude=CareTeam:patient&_revinclude=Observation:patient&_count=3",
    "Practitioner?_revinclude=PractitionerRole:practitioner&_include:iterate=PractitionerRole:organization",
    "Observation?category=vital-signs",
    "Observation?code=http://loinc.org|8302-2,http://loinc.org|29463-7",
    "Observation?value-quantity=gt1",
    "Observation?code-value-quantity=8302-2$gt1",
    "Observation?combo-code-value-quantity=8480-6$gt1",
    "Observation?date=2014,2020",
    "Observation?code:text=blood",
    "Observation?code:not=8302-2",
    "Condition?clinical-status=active,resolved",
    "Condition?onset-date:missing=true",
    "Encounter?class=AMB&date=ge2000",
    "EpisodeOfCare?status=active&organization:missing=false",
    "Organization?name:contains=health",
    "Location?near=41.6|-93.6|500|km",
    "ValueSet?url:below=http://hl7.org/fhir",
    "StructureDefinition?_summary=count",
    "PlanDefinition?url=https://careplan-server.org/fhir/PlanDefinition/iowa-hcbs",
    "Provenance?target=Patient/example",
    "Patient/example/$everything",
    "Patient/example/*",
    "Patient/example/Observation?date=ge2000",
    "?_type=Patient,Practitioner&_lastUpdated=ge2020&_sort=_id",
    "?_type=Goal,CarePlan",
    "Patient?birthdate=yesterday",
    "Patient?family=a&nonsense=1",
    "Nothing?a=b",
]
READS = [
    "Patient/example",
    "Patient/gone",
    "Patient/never",
    "Patient/changed/_history/1",
    "Patient/example/_history",
    "Patient/changed/_history?_count=2",
    "Patient/gone/_history",
    "Patient/_history?_count=20",
    "_history?_count=60",
    "_history?_since=2020-01-01T00:00:00Z&_count=40",
    "metadata?_elements=fhirVersion",
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Pair]:
    """The API on a SQLite store, and on its copy in a MongoDB."""
    folder: Path = tmp_path_factory.mktemp("copy")
    options: Json = {"demo": False, "log_level": "error", "oversight_interval": 0, "search_timeout": 120}
    with mongodb() as uri, database_of(uri) as database:
        settings = [Settings(store=store, **options) for store in (f"sqlite:///{folder}/careplan.db", database)]
        await _written(settings[0])
        source, target = (server_of(each).repository.store for each in settings)
        await copy(source, target)
        async with AsyncExitStack() as stack:
            clients = []
            for each in settings:
                app = create_app(each)
                await stack.enter_async_context(lifespan(app))
                transport = httpx.ASGITransport(app)
                client = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/", timeout=60)
                clients.append(await stack.enter_async_context(client))
            yield clients[0], clients[1]


async def _written(settings: Settings) -> None:
    """US Core's examples, New York's story, updates, deletes, and a request under a key."""
    app = create_app(settings)
    async with lifespan(app), httpx.AsyncClient(
        transport=httpx.ASGITransport(app), base_url="http://127.0.0.1/fhir/", timeout=60
    ) as client:  # fmt: skip
        entries = [
            {"resource": each, "request": {"method": "PUT", "url": f"{each['resourceType']}/{each['id']}"}}
            for each in some()
        ]
        batch = dumps({"resourceType": "Bundle", "type": "batch", "entry": entries})
        assert 200 == (await client.post("", content=batch, headers={"Content-Type": FHIR_JSON})).status_code
        await proposed(await new_york(client))
        for number in range(4):
            await client.put("Patient/changed", json=_patient("changed", f"Name{number}"))
        await client.put("Patient/gone", json=_patient("gone", "Gone"))
        await client.delete("Patient/gone")
        parameter = {
            "resourceType": "SearchParameter", "id": "given-too", "url": "http://example.org/g", "name": "Given",
            "status": "active", "description": "d", "code": "given-too", "base": ["Patient"], "type": "string",
            "expression": "Patient.name.given",
        }  # fmt: skip
        assert 201 == (await client.put("SearchParameter/given-too", json=parameter)).status_code
        assert 201 == (await _under_key(client, "Patient/keyed")).status_code


def some(most: int = 5) -> Iterator[Json]:
    """Examples of every type, few of each: FerretDB looks through all that there is at each question."""
    seen = Counter[str]()
    for each in examples().values():
        seen[each["resourceType"]] += 1
        if seen[each["resourceType"]] <= most:
            yield each


def _patient(id: str, family: str) -> Json:
    return {"resourceType": "Patient", "id": id, "name": [{"family": family}]}


async def _under_key(client: httpx.AsyncClient, place: str) -> httpx.Response:
    headers = {"Idempotency-Key": "0d9b5ad8-97a5-4f5a-a4f4-5e9a1e0c2a77"}
    return await client.put(place, json=_patient(place.partition("/")[2], "Keyed"), headers=headers)


async def pages(client: httpx.AsyncClient, asked: str) -> list[Json]:
    """The answer, and those of the pages after it, without the links between them, which are the engine's own."""
    found: list[Json] = []
    place: str | None = asked
    while place and len(found) < 30:
        response = await client.get(place)
        answer = response.json()
        links = {link["relation"]: link["url"] for link in answer.pop("link", ())}
        found.append({"status": response.status_code, "self": links.get("self") if not found else None, **answer})
        place = links.get("next")
    return found


def gathered(found: list[Json]) -> Json:
    """Pages in no order that the question gives: what is in all of them together."""
    entries = [entry for page in found for entry in page.pop("entry", ())]
    unique = {(entry.get("fullUrl"), entry.get("search", {}).get("mode")): entry for entry in entries}
    return {"first": found[0], "entry": sorted(unique.items(), key=repr)}


async def test_verify_is_clean_and_the_chain_ends_in_the_same_hash(pair: Pair) -> None:
    heads = [(await client.get("http://127.0.0.1/health")).json() for client in pair]
    assert heads[0] == heads[1]
    assert 10 < heads[0]["position"]


@pytest.mark.parametrize("asked", ORDERED)
async def test_what_is_sorted_comes_in_the_same_order(pair: Pair, asked: str) -> None:
    one, other = [await pages(client, asked) for client in pair]
    assert one == other
    assert 200 == one[0]["status"]


@pytest.mark.parametrize("asked", [*UNORDERED, "Patient?given-too=a"])
async def test_what_is_found_is_the_same(pair: Pair, asked: str) -> None:
    one, other = [gathered(await pages(client, asked)) for client in pair]
    assert one == other


@pytest.mark.parametrize("asked", READS)
async def test_what_is_read_is_the_same(pair: Pair, asked: str) -> None:
    one, other = [await pages(client, asked) for client in pair]
    assert one == other


async def test_every_body_is_the_same_byte_for_byte(pair: Pair) -> None:
    found = await pages(pair[0], "Patient?_count=1000&_elements=id")
    places = [f"Patient/{entry['resource']['id']}" for page in found for entry in page.get("entry", ())]
    assert 5 < len(places)
    for place in places:
        one, other = [await client.get(place) for client in pair]
        assert (one.content, one.headers["etag"], one.headers["last-modified"]) == (
            other.content, other.headers["etag"], other.headers["last-modified"],
        )  # fmt: skip


async def test_a_request_under_its_key_is_answered_as_before(pair: Pair) -> None:
    one, other = [await _under_key(client, "Patient/keyed") for client in pair]
    assert (201, one.content, one.headers["etag"]) == (other.status_code, other.content, other.headers["etag"])
    assert [422, 422] == [(await _under_key(client, "Patient/else")).status_code for client in pair]
