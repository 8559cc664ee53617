"""batch: https://hl7.org/fhir/R4/http.html#brules"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.answers import entry, refusal, statuses, transaction


def patient(id: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, **elements}


async def test_batch_answers_each_entry_alone(client: httpx.AsyncClient) -> None:
    await client.put("Patient/old", json=patient("old"))
    response = await client.post(
        "",
        json=transaction(
            entry("PUT", "Patient/a", patient("a")),
            entry("GET", "Patient/nobody"),
            entry("POST", "Patient", patient("b", gender="x")),
            {"resource": patient("c")},
            entry("GET", "Patient/a"),
            entry("HEAD", "Patient/a"),
            entry("DELETE", "Patient/old"),
            entry("GET", "Patient/a", ifNoneMatch="*"),
            entry("POST", "Patient/a"),
            entry("POST", "", transaction()),
            {"request": {"method": {}, "url": "Patient"}},
            type="batch",
        ),
    )
    assert ["201", "404", "422", "400", "200", "200", "204", "304", "405", "400", "400"] == statuses(response)
    found = response.json()["entry"]
    assert "batch-response" == response.json()["type"]
    assert ["not-found"] == [issue["code"] for issue in found[1]["response"]["outcome"]["issue"]]
    assert ["Bundle.entry[2].resource.gender"] == found[2]["response"]["outcome"]["issue"][0]["expression"]
    assert ("a", False) == (found[4]["resource"]["id"], "resource" in found[5])
    assert 410 == (await client.get("Patient/old")).status_code


async def test_batch_entries_are_versions_of_their_own(client: httpx.AsyncClient) -> None:
    entries = [entry("PUT", f"Patient/{number}", patient(str(number))) for number in range(200)]
    response = await client.post("", json=transaction(*entries, type="batch"))
    assert 200 == len({found["response"]["etag"] for found in response.json()["entry"]})
    assert [f"Patient/{number}" for number in range(200)] == [
        found["response"]["location"].partition("/_history")[0] for found in response.json()["entry"]
    ]


async def test_batch_writes_one_resource_in_the_order_of_its_entries(client: httpx.AsyncClient) -> None:
    def patch(language: str) -> dict[str, Any]:
        parts = [{"name": "type", "valueCode": "add"}, {"name": "path", "valueString": "Patient"}]
        parts += [{"name": "name", "valueString": "language"}, {"name": "value", "valueCode": language}]
        return {"resourceType": "Parameters", "parameter": [{"name": "operation", "part": parts}]}

    entries = [
        entry("PATCH", "Patient/a", patch("de")),
        entry("PUT", "Patient/a", patient("a", gender="other")),
        entry("PATCH", "Patient/a", patch("fr")),
        entry("PUT", "Patient/a", patient("a", language="en")),
        entry("POST", "Patient", patient("b"), ifNoneExist="_id=none"),
        entry("POST", "Patient", patient("c"), ifNoneExist="_id=none"),
    ]
    response = await client.post("", json=transaction(*entries, type="batch"))
    assert ["404", "201", "200", "200", "201", "201"] == statuses(response)
    assert "en" == (await client.get("Patient/a")).json()["language"]
    etags = [found["response"].get("etag") for found in response.json()["entry"][1:4]]
    assert sorted(etags) == etags


async def test_batch_that_conflicts_says_so(client: httpx.AsyncClient) -> None:
    """Microsoft 5592: a conflict within a Bundle surfaced as 500."""
    await client.put("Patient/a", json=patient("a"))
    entries = [entry("PUT", "Patient/a", patient("a", multipleBirthInteger=n), ifMatch='W/"1"') for n in range(8)]
    response = await client.post("", json=transaction(*entries, type="batch"))
    assert ["200"] + ["412"] * 7 == sorted(statuses(response))


@pytest.mark.parametrize("prefer", ["minimal", "representation"])
async def test_batch_answers_as_preferred(client: httpx.AsyncClient, prefer: str) -> None:
    bundle = transaction(entry("PUT", "Patient/a", patient("a")), entry("GET", "Patient/a"), type="batch")
    found = (await client.post("", json=bundle, headers={"Prefer": f"return={prefer}"})).json()["entry"]
    assert [prefer == "representation", True] == ["resource" in each for each in found]


async def test_batch_under_a_key_answers_the_same_twice(client: httpx.AsyncClient) -> None:
    bundle = transaction(*(entry("POST", "Patient", patient("x")) for _ in range(2)), type="batch")
    headers = {"Idempotency-Key": "k"}
    first = await client.post("", json=bundle, headers=headers)
    again = await client.post("", json=bundle, headers=headers)
    assert (["201", "201"], first.json()) == (statuses(again), again.json())
    assert 2 == (await client.get("Patient")).json()["total"]


@pytest.mark.parametrize("url", ["Patient/%61", "Patient/a?_format=json&_pretty=true", "/Patient/a/"])
async def test_batch_entry_reads_its_url_as_over_http(client: httpx.AsyncClient, url: str) -> None:
    await client.put("Patient/a", json=patient("a"))
    response = await client.post("", json=transaction(entry("GET", url), type="batch"))
    assert "a" == response.json()["entry"][0]["resource"]["id"]


async def test_batch_entry_has_no_format_of_its_own(client: httpx.AsyncClient) -> None:
    bundle = transaction(entry("GET", "_history?_format=json"), type="batch")
    response = await client.post("", json=bundle, headers={"Prefer": "handling=strict"})
    assert ["200"] == statuses(response)


async def test_batch_entry_searches_by_absolute_url(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient("a", name=[{"family": "Ü&"}]))
    bundle = transaction(entry("GET", "http://127.0.0.1/fhir/Patient?family=%C3%9C%26"), type="batch")
    found = (await client.post("", json=bundle)).json()["entry"][0]["resource"]
    assert ("searchset", 1) == (found["type"], found["total"])


async def test_batch_takes_history_and_searches(client: httpx.AsyncClient) -> None:
    for active in (True, False):
        await client.put("Patient/a", json=patient("a", active=active))
    response = await client.post(
        "",
        json=transaction(
            entry("GET", "Patient/a/_history"),
            entry("GET", "Patient/_history?_count=1"),
            entry("GET", "_history?_count=0"),
            entry("GET", "Patient/a/_history/1"),
            entry("GET", "Patient?active=false&_elements=active"),
            entry("GET", "?_type=Patient"),
            entry("POST", "Patient/_search?_id=a"),
            entry("GET", "metadata"),
            type="batch",
        ),
    )
    assert ["200"] * 8 == statuses(response)
    found = [one["resource"] for one in response.json()["entry"]]
    assert ["history", "history", "history", None, "searchset", "searchset", "searchset", None] == [
        one.get("type") for one in found
    ]
    assert [2, 1, 0] == [len(one.get("entry", ())) for one in found[:3]]
    assert [1, 1, 1] == [len(one.get("entry", ())) for one in found[4:7]]


async def test_batch_refuses_links_between_entries(client: httpx.AsyncClient) -> None:
    name = "urn:uuid:6d7ff1b6-9f1c-4d5b-8f0a-4a0d4f5b7c11"
    elsewhere = "urn:uuid:00000000-0000-0000-0000-000000000000"
    response = await client.post(
        "",
        json=transaction(
            entry("POST", "Patient", patient("a"), name),
            entry("POST", "Patient", patient("b", link=[{"type": "seealso", "other": {"reference": name}}])),
            entry("POST", "Patient", patient("c", link=[{"type": "seealso", "other": {"reference": elsewhere}}])),
            type="batch",
        ),
    )
    assert ["201", "400", "201"] == statuses(response)
    assert ["Bundle.entry[1].resource"] == response.json()["entry"][1]["response"]["outcome"]["issue"][0]["expression"]


@pytest.mark.parametrize(
    ("since", "status"),
    [("2999-01-01T00:00:00Z", "304"), ("2001-01-01T00:00:00Z", "200"), ("Thu, 01 Jan 2026 00:00:00 GMT", "400")],
)
async def test_entry_reads_what_changed_since_an_instant(client: httpx.AsyncClient, since: str, status: str) -> None:
    await client.put("Patient/a", json=patient("a"))
    asked = transaction(entry("GET", "Patient/a", ifModifiedSince=since), type="batch")
    assert [status] == statuses(await client.post("", json=asked))


async def test_entry_read_since_its_last_change_is_known(client: httpx.AsyncClient) -> None:
    made = (await client.put("Patient/a", json=patient("a"))).json()["meta"]["lastUpdated"]
    asked = transaction(entry("GET", "Patient/a", ifModifiedSince=made), type="batch")
    assert ["304"] == statuses(await client.post("", json=asked))


async def test_bundle_refuses_elements_that_there_are_none_of(client: httpx.AsyncClient) -> None:
    """A condition that is misspelt must not be none."""
    misspelt = entry("POST", "Patient", patient("a"), ifNoneExists="identifier=1")
    beside = {**entry("POST", "Patient", patient("a")), "colour": "red"}
    response = await client.post("", json=transaction(misspelt, beside, type="batch"))
    assert ["400", "400"] == statuses(response)
    issue = response.json()["entry"][0]["response"]["outcome"]["issue"][0]
    assert ("structure", ["Bundle.entry[0].request.ifNoneExists"]) == (issue["code"], issue["expression"])
    assert (400, ["structure"]) == refusal(await client.post("", json=transaction(misspelt)))
    assert (400, ["structure"]) == refusal(await client.post("", json=transaction() | {"colour": "red"}))
    assert 0 == (await client.get("_history")).json()["total"]
