"""Partitions: each has its own ledger, and what is asked of one shows nothing of another."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import ASGIApp

from server.app import application, create_app
from server.app.partition import opened, servers_of
from server.auth.access import SYSTEM
from server.fhir.reference import own
from server.interactions.exchange import locate
from server.interactions.routes import DISPATCH
from server.ledger import Plan, View
from server.operations.registry import OPERATIONS
from server.outcome import Problem
from server.settings import Settings
from tests.answers import entry, ids, refusal, statuses, transaction
from tests.conftest import lifespan
from tests.coordination.memory import limited, organization
from tests.interactions.test_asynchronous import done
from tests.scenarios.iowa import ANN, MCO, asked, kept, put, roster

Json = dict[str, Any]
ROOT = "http://127.0.0.1/fhir"
PATIENT = {"resourceType": "Patient", "id": "joe"}
OTHERS = ("", "/ny")  # every partition but ia


class Tenants(NamedTuple):
    main: httpx.AsyncClient
    ia: httpx.AsyncClient
    ny: httpx.AsyncClient


@pytest.fixture
def partitioned(settings: Settings) -> Settings:
    return settings.model_copy(update={"partitions": "ia,ny"})


@pytest.fixture
async def served(partitioned: Settings) -> AsyncIterator[ASGIApp]:
    app = create_app(partitioned)
    async with lifespan(app):
        yield app


@pytest.fixture
async def tenants(served: ASGIApp) -> AsyncIterator[Tenants]:
    clients = [client_of(served, below) for below in ("", "/ia", "/ny")]
    yield Tenants(*clients)
    for client in clients:
        await client.aclose()


def client_of(app: ASGIApp, below: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=f"{ROOT}{below}/")


def named(family: str, **more: Any) -> Json:
    return PATIENT | {"name": [{"family": family}], **more}


def plan(subject: str = "Patient/joe", id: str = "p") -> Json:
    return {
        "resourceType": "CarePlan",
        "id": id,
        "status": "active",
        "intent": "plan",
        "subject": {"reference": subject},
    }


async def peopled(tenants: Tenants) -> None:
    """The same ids in each, under a name of its own."""
    for client, family in zip(tenants, ("Main", "Iowa", "York"), strict=True):
        assert 201 == (await put(client, named(family))).status_code
        assert 201 == (await put(client, plan())).status_code


# -- which partition a URL is of -----------------------------------------------------------------------------------


async def test_the_same_id_is_another_resource_in_each(tenants: Tenants) -> None:
    await peopled(tenants)
    for client, family in zip(tenants, ("Main", "Iowa", "York"), strict=True):
        assert family == (await client.get("Patient/joe")).json()["name"][0]["family"]
    changed = await put(tenants.ia, named("Idaho"), headers={"If-Match": 'W/"1"'})
    assert (200, 'W/"3"') == (changed.status_code, changed.headers["etag"])
    assert {"Main", "York"} == {
        (await client.get("Patient/joe")).json()["name"][0]["family"] for client in (tenants.main, tenants.ny)
    }
    assert 204 == (await tenants.ny.delete("Patient/joe")).status_code
    assert [200, 200, 410] == [(await client.get("Patient/joe")).status_code for client in tenants]


async def test_positions_of_each_begin_at_1(tenants: Tenants) -> None:
    for number in range(3):
        await put(tenants.ia, named("Iowa", id=f"a{number}"))
    made = [await client.post("Patient", json=named("Doe")) for client in tenants]
    assert ['W/"1"', 'W/"4"', 'W/"1"'] == [response.headers["etag"] for response in made]


async def test_whoever_is_in_one_is_not_in_the_others(tenants: Tenants) -> None:
    await put(tenants.ia, named("Iowa"))
    for client in (tenants.main, tenants.ny):
        assert (404, ["not-found"]) == refusal(await client.get("Patient/joe"))
        assert (404, ["not-found"]) == refusal(await client.get("Patient/joe/_history"))
        assert (404, ["not-found"]) == refusal(await client.get("Patient/joe/_history/1"))
        assert (404, ["not-found"]) == refusal(await client.get("Patient/joe/$everything"))
        assert (412, ["conflict"]) == refusal(await put(client, named("Doe"), headers={"If-Match": 'W/"1"'}))
        for place in ("Patient?family=Iowa", "Patient?_id=joe", "_history", "Patient/_history", "?_type=Patient"):
            assert [] == ids(await client.get(place)), place
        assert [] == ids(await client.post("Patient/_search", data={"family": "Iowa"}))
        assert [] == ids(await client.post("_search", data={"_type": "Patient"}))
        assert [] == ids(await client.get("Patient/joe/CarePlan"))


async def test_no_other_path_leads_into_a_partition(tenants: Tenants) -> None:
    await put(tenants.ia, named("Iowa"))
    for first in ("ia", "ia/", "%69a"):
        response = await tenants.main.get(f"{ROOT}/{first}/Patient/joe")
        assert "Iowa" == response.json()["name"][0]["family"], first
    for first in ("", "/ia", "IA", "Ia", "ia/ia", "ny/ia", "ia;x", "ia%00", "ia%20", "iax", "default", "wy"):
        assert (404, ["not-found"]) == refusal(await tenants.main.get(f"{ROOT}/{first}/Patient/joe")), first


@pytest.mark.parametrize("method", ["GET", "PUT", "POST", "PATCH", "DELETE"])
async def test_unknown_partition_is_an_error_and_never_the_default(tenants: Tenants, method: str) -> None:
    await put(tenants.main, named("Main"))
    sent = None if method in {"GET", "DELETE"} else PATIENT
    for place in ("", "/", "/Patient", "/Patient/joe", "/metadata", "/_history", "/$validate", "/_async/1"):
        response = await tenants.main.request(method, f"{ROOT}/wy{place}", json=sent)
        assert (404, ["not-found"]) == refusal(response), place
        assert "CAREPLAN_PARTITIONS" in response.json()["issue"][0]["diagnostics"]
    assert 1 == (await tenants.main.get("_history")).json()["total"]


@given(st.from_regex(r"[a-z][a-z0-9-]{0,31}", fullmatch=True).filter(lambda name: name not in {"default", "metadata"}))
def test_no_name_of_a_partition_is_a_place_of_fhir(name: str) -> None:
    assert (name,) == Settings(partitions=name).named
    for rest in ("", "/Patient", "/Patient/1", "/1", "/_search", "/$validate", "/_history"):
        with pytest.raises(Problem, match="no partition"):
            locate(f"/{name}{rest}")


async def test_a_server_without_partitions_has_none(client: httpx.AsyncClient) -> None:
    assert (404, ["not-found"]) == refusal(await client.get("ia/Patient"))


async def test_nothing_that_can_be_asked_of_one_shows_what_the_others_have(tenants: Tenants) -> None:
    """Every place that takes GET, and every operation that does, at each level that it has."""
    for client, family in ((tenants.main, "Zmain"), (tenants.ny, "Zyork")):
        for resource in (named(family), plan(), {"resourceType": "Basic", "id": "joe", "code": {"text": family}}):
            assert 201 == (await put(client, resource)).status_code
    places = {shape for method, shape in DISPATCH if method == "GET" and "$" not in shape}
    for code, operation in OPERATIONS.items():
        told, types = operation.definition, operation.definition.get("resource", ["Patient"])
        if operation.gets:
            places |= {f"${code}"} if told["system"] else set()
            places |= {f"{type}/${code}" for type in types if told["type"]}
            places |= {f"{type}/joe/${code}" for type in types if told["instance"]}
    assert len(places) > 40
    filled = {"[compartment]": "Patient", "[type]": "Patient", "[id]": "joe", "[vid]": "1"}
    for place in sorted(places):
        for blank, value in filled.items():
            place = place.replace(blank, value)
        for query in ("", "?_include=*&_revinclude=*", "?patient=Patient/joe&subject=Patient/joe"):
            text = (await tenants.ia.get(f"{place}{query}")).text
            assert [] == [family for family in ("Zmain", "Zyork") if family in text], place


# -- URLs that are answered ----------------------------------------------------------------------------------------


async def test_every_url_that_is_answered_keeps_the_partition(tenants: Tenants) -> None:
    ia = tenants.ia
    made = await ia.post("Patient", json=named("Iowa"))
    assert made.headers["location"].startswith(f"{ROOT}/ia/Patient/")
    await put(ia, named("Iowa"))
    await put(ia, plan())
    for place in ("Patient?_count=1", "_history?_count=1", "Patient/joe/$everything", "?_type=Patient&_count=1"):
        text = (await ia.get(place)).text
        assert f'"{ROOT}/ia/' in text, place
        assert text.count("http://127.0.0.1/") == text.count(f"{ROOT}/ia"), place
    told = (await ia.get("metadata")).json()
    assert f"{ROOT}/ia" == told["implementation"]["url"]
    moved = await ia.put("Patient/joe", json=named("Idaho"), headers={"Prefer": "return=minimal"})
    assert all(value.startswith(f"{ROOT}/ia/") for name, value in moved.headers.items() if name.endswith("location"))


async def test_pages_stay_in_their_partition(tenants: Tenants) -> None:
    for client, family in ((tenants.ia, "Iowa"), (tenants.ny, "York")):
        people = [entry("PUT", f"Patient/{number}", named(family, id=str(number))) for number in range(5)]
        await client.post("", json=transaction(*people))
    for place in ("Patient?_count=2", "Patient?_count=2&_sort=family", "_history?_count=2"):
        found, url = list[str](), f"{ROOT}/ia/{place}"
        while url:
            assert url.startswith(f"{ROOT}/ia/")
            page = (await tenants.ia.get(url)).json()
            found += [one["resource"]["name"][0]["family"] for one in page["entry"]]
            url = next((link["url"] for link in page["link"] if link["relation"] == "next"), "")
        assert ["Iowa"] * 5 == found, place


async def test_a_page_of_one_shows_nothing_in_another(tenants: Tenants) -> None:
    for number in range(3):
        await put(tenants.ia, named("Iowa", id=str(number)))
    page = (await tenants.ia.get("Patient?_count=1")).json()
    url = next(link["url"] for link in page["link"] if link["relation"] == "next")
    for below in OTHERS:
        response = await tenants.main.get(url.replace("/fhir/ia/", f"/fhir{below}/"))
        assert "Iowa" not in response.text


# -- references ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("subject", "is_local"),
    [
        ("Patient/joe", True),
        (f"{ROOT}/ia/Patient/joe", True),
        ("http://localhost:8000/fhir/ia/Patient/joe", True),
        (f"{ROOT}/Patient/joe", False),
        (f"{ROOT}/ny/Patient/joe", False),
        ("http://localhost:8000/fhir/ny/Patient/joe", False),
    ],
)
async def test_references_are_local_under_the_base_of_their_partition(
    tenants: Tenants, subject: str, is_local: bool
) -> None:
    await peopled(tenants)
    await put(tenants.ia, plan(subject, "q"))
    expected = ["p", "q"] if is_local else ["p"]
    assert expected == ids(await tenants.ia.get("CarePlan?subject=Patient/joe&_sort=_id"))
    assert expected == ids(await tenants.ia.get("CarePlan?patient.family=Iowa&_sort=_id"))
    assert expected == ids(await tenants.ia.get("Patient/joe/CarePlan?_sort=_id"))
    found = await tenants.ia.get("CarePlan?_id=q&_include=CarePlan:subject")
    assert (["q", "joe"] if is_local else ["q"]) == ids(found)
    same = {"subject": subject, "_sort": "_id"}
    assert (["p", "q"] if is_local else ["q"]) == ids(await tenants.ia.get("CarePlan", params=same))


@pytest.mark.parametrize("base", ["", "/ny"])
async def test_a_reference_into_a_partition_is_of_elsewhere_in_others(tenants: Tenants, base: str) -> None:
    await peopled(tenants)
    client = tenants.main if not base else tenants.ny
    await put(client, plan(f"{ROOT}/ia/Patient/joe", "q"))
    assert ["p"] == ids(await client.get("CarePlan?subject=Patient/joe"))
    assert ["q"] == ids(await client.get(f"CarePlan?subject={ROOT}/ia/Patient/joe"))
    assert ["q"] == ids(await client.get("CarePlan?_id=q&_include=CarePlan:subject"))


async def test_base_url_of_the_setting_is_each_partition_s_own(partitioned: Settings) -> None:
    public = "https://care.example.org/r4"
    app = create_app(partitioned.model_copy(update={"base_url": public}))
    async with lifespan(app), client_of(app, "/ia") as ia, client_of(app, "") as main:
        for client in (ia, main):
            assert 201 == (await put(client, named("Doe"))).status_code
            for number, below in enumerate(("", "/ia", "/ny")):
                await put(client, plan(f"{public}{below}/Patient/joe", f"public{number}"))
                await put(client, plan(f"http://localhost:8000/fhir{below}/Patient/joe", f"here{number}"))
        assert ["here1", "public1"] == ids(await ia.get("CarePlan?patient=joe&_sort=_id"))
        assert ["here0", "public0"] == ids(await main.get("CarePlan?patient=joe&_sort=_id"))
        made = await ia.post("Patient", json=named("Doe"))
        assert made.headers["location"].startswith(f"{public}/ia/Patient/")


async def test_rules_know_the_partition_that_they_judge_in(partitioned: Settings) -> None:
    """What is decided at the head, on whatever thread, takes for local what is local there."""
    servers, seen = servers_of(partitioned), list[str]()

    async def decide(view: View) -> Plan:
        seen.append(own())
        return Plan([])

    async with lifespan(application(servers, partitioned)):
        for server in servers.values():
            await server.repository.commit(SYSTEM, decide)
    assert ["", "http://localhost/fhir/ia", "http://localhost/fhir/ny"] == seen
    assert "" == own()


# -- what finds its way by queries ---------------------------------------------------------------------------------


async def test_chains_includes_and_has_stay_in_their_partition(tenants: Tenants) -> None:
    await put(tenants.ia, plan())  # whose patient is in the others alone
    for client in (tenants.main, tenants.ny):
        await put(client, named("Doe"))
    assert [] == ids(await tenants.ia.get("CarePlan?subject:Patient.family=Doe"))
    assert ["p"] == ids(await tenants.ia.get("CarePlan?_include=*"))
    assert ["joe"] == ids(await tenants.ny.get("Patient?_revinclude=*"))
    assert [] == ids(await tenants.ny.get("Patient?_has:CarePlan:subject:status=active"))
    assert ["joe"] == ids(await tenants.ny.get("Patient/joe/$everything"))
    assert [] == ids(await tenants.ny.get("CarePlan?_filter=status eq active"))


async def test_conditions_look_at_their_own_partition(tenants: Tenants) -> None:
    known = named("Iowa", identifier=[{"system": "urn:mrn", "value": "1"}])
    await put(tenants.ia, known)
    once = {"If-None-Exist": "identifier=urn:mrn|1"}
    unnamed = {name: value for name, value in known.items() if name != "id"}
    made = [await client.post("Patient", json=unnamed, headers=once) for client in tenants]
    assert [201, 200, 201] == [response.status_code for response in made]
    assert 204 == (await tenants.ny.delete("Patient?identifier=urn:mrn|1")).status_code
    assert [1, 1, 0] == [(await client.get("Patient?identifier=urn:mrn|1")).json()["total"] for client in tenants]


async def test_batches_and_transactions_stay_in_their_partition(tenants: Tenants) -> None:
    await peopled(tenants)
    asked = [entry("GET", place) for place in ("Patient/joe", f"{ROOT}/ia/Patient/joe", "Patient?family=York")]
    away = [entry("GET", place) for place in (f"{ROOT}/Patient/joe", f"{ROOT}/ny/Patient/joe", "ny/Patient/joe")]
    answer = await tenants.ia.post("", json=transaction(*asked, *away, type="batch"))
    assert ["200", "200", "200", "400", "400", "404"] == statuses(answer)
    assert ("Main" in answer.text, "York" in answer.text) == (False, "family=York" in answer.text)
    for place in (f"{ROOT}/ia/Patient/joe", "ia/Patient/joe"):
        refused = await tenants.main.post("", json=transaction(entry("PUT", place, named("Nobody"))))
        assert refused.status_code in {400, 404}
    new = entry("PUT", f"{ROOT}/ia/Patient/new", named("New", id="new"))
    written = await tenants.ia.post("", json=transaction(new))
    assert ["201"] == statuses(written)
    assert [404, 200, 404] == [(await client.get("Patient/new")).status_code for client in tenants]
    assert "Nobody" not in "".join([(await client.get("_history")).text for client in tenants])


async def test_an_idempotency_key_is_of_its_partition(tenants: Tenants) -> None:
    key = {"Idempotency-Key": "once"}
    first = [await client.post("Patient", json=named("Doe"), headers=key) for client in tenants]
    again = [await client.post("Patient", json=named("Doe"), headers=key) for client in tenants]
    assert [201] * 3 == [response.status_code for response in first]
    assert [one.headers["location"] for one in first] == [one.headers["location"] for one in again]
    assert 3 == len({one.headers["location"] for one in first})


async def test_a_search_parameter_that_is_stored_is_of_its_partition(tenants: Tenants) -> None:
    defined = {
        "resourceType": "SearchParameter",
        "id": "nick",
        "url": "http://example.org/nick",
        "name": "nick",
        "status": "active",
        "description": "by nickname",
        "code": "nick",
        "base": ["Patient"],
        "type": "string",
        "expression": "Patient.name.where(use='nickname').given",
    }
    await put(tenants.ia, defined)
    for client in tenants:
        await put(client, PATIENT | {"name": [{"use": "nickname", "given": ["Jo"]}]})
    assert ["joe"] == ids(await tenants.ia.get("Patient?nick=jo"))
    strict = {"Prefer": "handling=strict"}
    assert 400 == (await tenants.ny.get("Patient?nick=jo", headers=strict)).status_code
    listed = ["http://example.org/nick" in (await client.get("metadata")).text for client in tenants]
    assert [False, True, False] == listed


async def test_terminology_and_profiles_that_are_stored_are_of_their_partition(tenants: Tenants) -> None:
    system, profile = "http://example.org/colours", "http://example.org/named"
    colours = {
        "resourceType": "CodeSystem",
        "id": "colours",
        "url": system,
        "status": "active",
        "content": "complete",
        "concept": [{"code": "red"}],
    }
    values = {
        "resourceType": "ValueSet",
        "id": "colours",
        "url": f"{system}-set",
        "status": "active",
        "compose": {"include": [{"system": system}]},
    }
    definition = {
        "resourceType": "StructureDefinition",
        "id": "named",
        "url": profile,
        "name": "Named",
        "status": "active",
        "kind": "resource",
        "abstract": False,
        "type": "Patient",
        "baseDefinition": "http://hl7.org/fhir/StructureDefinition/Patient",
        "derivation": "constraint",
        "differential": {"element": [{"id": "Patient.name", "path": "Patient.name", "min": 1}]},
    }
    for defined in (colours, values, definition):
        assert 201 == (await put(tenants.ia, defined)).status_code
    red = {
        "resourceType": "Condition",
        "id": "c",
        "subject": {"reference": "Patient/joe"},
        "code": {"coding": [{"system": system, "code": "red"}]},
    }
    for client in (tenants.ia, tenants.ny):
        await put(client, red)
    assert ["c"] == ids(await tenants.ia.get(f"Condition?code:in={system}-set"))
    assert 400 == (await tenants.ny.get(f"Condition?code:in={system}-set")).status_code
    assert [200, 404] == [
        (await client.get(f"ValueSet/$expand?url={system}-set")).status_code for client in (tenants.ia, tenants.ny)
    ]
    nameless = PATIENT | {"meta": {"profile": [profile]}}
    assert [422, 201] == [(await put(client, nameless)).status_code for client in (tenants.ia, tenants.ny)]
    listed = [profile in (await client.get("metadata")).text for client in tenants]
    assert [False, True, False] == listed


async def test_asynchronous_requests_are_of_their_partition(tenants: Tenants) -> None:
    await peopled(tenants)
    accepted = await tenants.ia.get("Patient", headers={"Prefer": "respond-async"})
    place = accepted.headers["content-location"]
    assert (202, True) == (accepted.status_code, place.startswith(f"{ROOT}/ia/_async/"))
    for below in OTHERS:
        assert (404, ["not-found"]) == refusal(await tenants.main.get(place.replace("/fhir/ia/", f"/fhir{below}/")))
        assert 404 == (await tenants.main.delete(place.replace("/fhir/ia/", f"/fhir{below}/"))).status_code
    (output,) = (await done(tenants.ia, place)).json()["output"]
    assert output["url"].startswith(f"{place}/")
    assert "Iowa" in (await tenants.ia.get(output["url"])).text


async def test_acting_as_names_somebody_of_the_partition(tenants: Tenants) -> None:
    actors = {"PractitionerRole/7": 200, f"{ROOT}/ia/PractitionerRole/7": 200, f"{ROOT}/ny/PractitionerRole/7": 400}
    for actor, expected in actors.items():
        assert expected == (await tenants.ia.get("Patient", headers={"X-Acting-As": actor})).status_code


# -- invariants ----------------------------------------------------------------------------------------------------


async def test_caps_are_counted_in_each_alone(tenants: Tenants) -> None:
    for client in (tenants.ia, tenants.ny):
        await kept(client, limited(2), organization(MCO), *roster({"ann": 1}, waiting=3))

    async def assign(client: httpx.AsyncClient, member: int) -> int:
        response = await client.post(f"Patient/w{member}/$assign-care-manager", json=asked(ANN))
        return response.status_code

    both = await asyncio.gather(
        *(assign(client, member) for member in (1, 2, 3) for client in (tenants.ia, tenants.ny))
    )
    for number in (0, 1):
        assert [201, 422, 422] == sorted(both[number::2])
    assert 404 == await assign(tenants.main, 1)


async def test_writes_to_both_at_once_keep_two_orders(tenants: Tenants) -> None:
    async def several(client: httpx.AsyncClient) -> list[int]:
        answers = await asyncio.gather(*(client.post("Patient", json=named("Doe")) for _ in range(20)))
        return sorted(int(answer.headers["etag"][3:-1]) for answer in answers)

    assert [list(range(1, 21))] * 2 == await asyncio.gather(several(tenants.ia), several(tenants.ny))
    assert [0, 20, 20] == [(await client.get("Patient?_summary=count")).json()["total"] for client in tenants]


async def test_each_is_whole_and_rebuilt_alone(partitioned: Settings) -> None:
    app = create_app(partitioned)
    async with lifespan(app), client_of(app, "/ia") as ia, client_of(app, "") as main:
        await put(ia, named("Iowa"))
        await put(ia, plan(f"{ROOT}/ia/Patient/joe"))
        await put(main, named("Main"))
    for server in servers_of(partitioned).values():
        assert [] == [finding async for finding in server.repository.store.verify()]
    await servers_of(partitioned)["ia"].repository.store.rebuild(lambda done, of: None)
    async with opened(partitioned, "ia") as server:
        assert 2 == await server.repository.head(SYSTEM)
        assert [] == [finding async for finding in server.repository.store.verify()]


async def test_opened_refuses_a_partition_that_no_setting_names(partitioned: Settings) -> None:
    with pytest.raises(Problem, match="CAREPLAN_PARTITIONS names ia, ny"):
        async with opened(partitioned, "wy"):
            pass


# -- beside FHIR ---------------------------------------------------------------------------------------------------


async def test_health_and_metrics_tell_partitions_apart(tenants: Tenants) -> None:
    await put(tenants.ia, named("Iowa"))
    health = (await tenants.main.get("http://127.0.0.1/health")).json()
    states = {"ia": {"ready": True, "position": 1}, "ny": {"ready": True, "position": 0}}
    assert {"live": True, "ready": True, "position": 0, "partitions": states} == health
    ready = await tenants.main.get("http://127.0.0.1/health/ready/ia")
    assert {"live": True, "ready": True, "position": 1} == ready.json()
    assert 404 == (await tenants.main.get("http://127.0.0.1/health/ready/wy")).status_code
    told = (await tenants.main.get("http://127.0.0.1/metrics")).text
    assert 'careplan_position{partition="ia"} 1.0' in told
    assert 'careplan_position{partition="ny"} 0.0' in told
    assert 'method="PUT",partition="ia",place="[type]/[id]"' in told


@pytest.mark.usefixtures("in_a_file")
async def test_one_that_takes_no_writes_does_not_take_the_others_with_it(partitioned: Settings) -> None:
    servers = servers_of(partitioned)
    app = application(servers, partitioned)
    async with lifespan(app), client_of(app, "/ia") as ia, client_of(app, "/ny") as ny:
        servers["ia"].repository.store.writer.refusing = "The disk failed"  # type: ignore[attr-defined]
        written = [(await put(client, named("Doe"))).status_code for client in (ia, ny)]
        places = ("/health", "/health/ready/ia", "/health/ready/ny")
        ready = [(await ia.get(f"http://127.0.0.1{place}")).status_code for place in places]
    assert ([503, 201], [200, 503, 200]) == (written, ready)


async def test_pages_and_openapi_are_of_a_partition(tenants: Tenants) -> None:
    html = {"Accept": "text/html"}
    listed = await tenants.main.get("http://127.0.0.1/api?partition=ia", headers=html)
    assert 'href="/api/Patient?partition=ia"' in listed.text
    page = (await tenants.main.get("http://127.0.0.1/api/Patient?partition=ia", headers=html)).text
    assert "/fhir/ia/Patient?_count=10" in page
    document = (await tenants.main.get("http://127.0.0.1/openapi.json?partition=ia&type=Patient")).json()
    assert all(path.startswith("/fhir/ia") for path in document["paths"])
    for place in ("/api?partition=wy", "/api/Patient?partition=wy", "/openapi.json?partition=wy"):
        assert 404 == (await tenants.main.get(f"http://127.0.0.1{place}")).status_code
    assert {"partition ia": "/fhir/ia", "partition ny": "/fhir/ny"}.items() <= json.loads(
        (await tenants.main.get("http://127.0.0.1/")).text
    ).items()
