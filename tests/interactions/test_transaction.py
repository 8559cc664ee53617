"""transaction: https://hl7.org/fhir/R4/http.html#trules"""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from tests.answers import entry, ids, places, refusal, statuses, transaction
from tests.turns import longest_turn

MEMBER = {"resourceType": "Patient", "identifier": [{"system": "urn:member", "value": "1"}]}
FULL = "urn:uuid:00000000-0000-4000-8000-000000000001"


def patient(id: str, **elements: Any) -> dict[str, Any]:
    return {"resourceType": "Patient", "id": id, **elements}


def plan(subject: str, **elements: Any) -> dict[str, Any]:
    return {
        "resourceType": "CarePlan",
        "status": "active",
        "intent": "plan",
        "subject": {"reference": subject},
        **elements,
    }


def location(response: httpx.Response, index: int) -> str:
    """Type/id of what an entry wrote."""
    found: str = response.json()["entry"][index]["response"]["location"]
    return found.partition("/_history")[0]


async def stored(client: httpx.AsyncClient) -> int:
    """How many resources there are."""
    return sum([(await client.get(f"{type}?_summary=count")).json()["total"] for type in ("Patient", "CarePlan")])


async def test_transaction_links_its_resources(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "", json=transaction(entry("POST", "CarePlan", plan(FULL)), entry("POST", "Patient", MEMBER, FULL))
    )
    assert ["201", "201"] == statuses(response)
    assert location(response, 1) == (await client.get(location(response, 0))).json()["subject"]["reference"]
    assert [location(response, 0).split("/")[1]] == ids(await client.get(f"CarePlan?subject={location(response, 1)}"))


async def test_transaction_is_one_version(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "", json=transaction(*(entry("PUT", f"Patient/{id}", patient(id)) for id in ("a", "b", "c")))
    )
    told = [found["response"] for found in response.json()["entry"]]
    assert ["Patient/a/_history/1", "Patient/b/_history/1", "Patient/c/_history/1"] == [one["location"] for one in told]
    assert {'W/"1"'} == {one["etag"] for one in told}
    assert 1 == len({one["lastModified"] for one in told})


@pytest.mark.parametrize(("prefer", "expected"), [(None, False), ("minimal", False), ("representation", True)])
async def test_transaction_answers_as_preferred(client: httpx.AsyncClient, prefer: str | None, expected: bool) -> None:
    headers = {"Prefer": f"return={prefer}"} if prefer else {}
    response = await client.post("", json=transaction(entry("POST", "Patient", MEMBER)), headers=headers)
    assert expected == ("resource" in response.json()["entry"][0])


async def test_transaction_tells_where_that_is_preferred(client: httpx.AsyncClient) -> None:
    headers = {"Prefer": "return=OperationOutcome"}
    response = await client.post("", json=transaction(entry("POST", "Patient", MEMBER)), headers=headers)
    told = response.json()["entry"][0]
    assert ("201 Created", "OperationOutcome") == (
        told["response"]["status"],
        told["response"]["outcome"]["resourceType"],
    )


async def test_transaction_keeps_the_clients_text(client: httpx.AsyncClient) -> None:
    resource = (
        '{"resourceType":"Observation", "status":"final","code":{"text":"\\u00fc ü \\/"},\n'
        f' "subject" : {{ "reference" :"{FULL}" }},"valueQuantity":{{"value":1.10}}}}'
    )
    observation = json.dumps(entry("POST", "Observation")).replace("{", f'{{"resource":{resource},', 1)
    bundle = json.dumps(transaction(entry("POST", "Patient", MEMBER, FULL)))[:-2] + f",{observation}]}}"
    response = await client.post("", content=bundle.encode(), headers={"Content-Type": "application/fhir+json"})
    place = location(response, 1)
    text = (await client.get(place)).text
    head, _, tail = resource.replace(FULL, location(response, 0)).partition(", ")
    assert text.startswith(f'{head},"id":"{place.split("/")[1]}","meta":{{')
    assert text.endswith(tail)


async def test_transaction_links_more_than_references(client: httpx.AsyncClient) -> None:
    """Elements of type uri and url, and a narrative's anchors, but no canonical and no other string."""
    document = {
        "resourceType": "DocumentReference",
        "status": "current",
        "text": {
            "status": "generated",
            "div": f'<div xmlns="http://www.w3.org/1999/xhtml"><a href="{FULL}">x</a></div>',
        },
        "identifier": [{"system": "urn:ietf:rfc:3986", "value": FULL}],
        "content": [{"attachment": {"url": FULL, "title": FULL}}],
        "extension": [{"url": "urn:x", "valueUri": FULL}, {"url": "urn:y", "valueCanonical": FULL}],
    }
    binary = {"resourceType": "Binary", "contentType": "text/plain", "data": "aGk="}
    response = await client.post(
        "",
        json=transaction(entry("POST", "DocumentReference", document), entry("POST", "Binary", binary, FULL)),
    )
    found, new = (await client.get(location(response, 0))).json(), location(response, 1)
    assert {"url": new, "title": FULL} == found["content"][0]["attachment"]
    assert (new, FULL) == (found["extension"][0]["valueUri"], found["extension"][1]["valueCanonical"])
    assert FULL == found["identifier"][0]["value"]
    assert f'<a href="{new}">' in found["text"]["div"]


async def test_transaction_links_by_absolute_and_relative_names(client: httpx.AsyncClient) -> None:
    """A RESTful fullUrl; a relative reference is relative to the root of its own entry's fullUrl."""
    other = "http://other.example/fhir"
    response = await client.post(
        "",
        json=transaction(
            entry("POST", "Patient", MEMBER, f"{other}/Patient/7"),
            entry("POST", "CarePlan", plan("Patient/7"), f"{other}/CarePlan/1"),
            entry("POST", "CarePlan", plan(f"{other}/Patient/7"), "urn:uuid:00000000-0000-4000-8000-000000000002"),
            entry("POST", "CarePlan", plan("Patient/7"), "urn:uuid:00000000-0000-4000-8000-000000000003"),
        ),
    )
    subjects = [(await client.get(location(response, index))).json()["subject"]["reference"] for index in (1, 2, 3)]
    assert [location(response, 0), location(response, 0), "Patient/7"] == subjects


async def test_transaction_does_each_verb_in_the_rules_order(client: httpx.AsyncClient) -> None:
    for id in "ab":
        await client.put(f"Patient/{id}", json=patient(id))
    response = await client.post(
        "",
        json=transaction(
            entry("GET", "Patient?_id=a,c&_sort=_id"),
            entry("GET", "Patient/c"),
            entry("PUT", "Patient/c", patient("c")),
            entry("POST", "Patient", MEMBER),
            entry("DELETE", "Patient/a"),
            entry("GET", "Patient/b/_history/2"),
            entry("DELETE", "Patient/nobody"),
            entry("GET", "Patient/c/_history"),
            entry("GET", "Patient/a/_history"),
        ),
    )
    assert ["200", "200", "201", "201", "204", "200", "204", "200", "200"] == statuses(response)
    found = [each.get("resource") for each in response.json()["entry"]]
    assert ["c"] == [each["resource"]["id"] for each in found[0]["entry"]]
    assert ("c", "b") == (found[1]["id"], found[5]["id"])


@pytest.mark.parametrize(
    ("wrong", "expected", "place"),
    [
        (entry("POST", "Patient", {"resourceType": "Patient", "gender": "x"}), 422, "Bundle.entry[1].resource.gender"),
        (entry("POST", "Group", MEMBER), 400, "Bundle.entry[1].resource.resourceType"),
        (entry("POST", "Patient"), 400, "Bundle.entry[1]"),
        (entry("PUT", "Patient/b", patient("c")), 400, "Bundle.entry[1].resource.id"),
        (entry("PUT", "Patient/b", patient("b"), ifMatch='W/"9"'), 412, "Bundle.entry[1].request"),
        (entry("GET", "Patient/nobody"), 404, "Bundle.entry[1].request.url"),
        (entry("GET", "Patient/nobody/_history"), 404, "Bundle.entry[1].request.url"),
        (entry("GET", "Patient/x/_history/999"), 404, "Bundle.entry[1]"),
        (entry("GET", "Patient/x/_history?_count=many"), 400, "Bundle.entry[1]"),
        (entry("GET", "Patient/x?_summary=all"), 400, "Bundle.entry[1]"),
        (entry("GET", "Patient?birthdate=yesterday"), 400, "Bundle.entry[1].request"),
        (entry("GET", "Patient/_search"), 405, "Bundle.entry[1]"),
        (entry("GET", "Patient/x/$nothing"), 404, "Bundle.entry[1]"),
        (entry("PATCH", "Patient/b"), 400, "Bundle.entry[1]"),
        (entry("PATCH", "Patient/b", patient("b")), 400, "Bundle.entry[1].resource"),
        (entry("PATCH", "Patient/b", {"resourceType": "Parameters"}), 404, "Bundle.entry[1]"),
        (entry("PATCH", "Patient/_history", MEMBER), 400, "Bundle.entry[1].request.url"),
        (entry("SEARCH", "Patient"), 400, "Bundle.entry[1].request.method"),
        (entry("POST", "", transaction()), 400, "Bundle.entry[1].request.url"),
        (entry("POST", "Nothing", MEMBER), 404, "Bundle.entry[1]"),
        (entry("POST", "http://other.example/fhir/Patient", MEMBER), 400, "Bundle.entry[1].request.url"),
        (entry("POST", "Patient/1/$x", MEMBER), 400, "Bundle.entry[1].request.url"),
        (entry("POST", "CarePlan", plan("Patient?identifier=none")), 412, "Bundle.entry[1].resource"),
        (entry("POST", "CarePlan", plan("Patient?colour=red")), 400, "Bundle.entry[1]"),
        (entry("DELETE", "Patient?identifier=urn:twice|1"), 412, "Bundle.entry[1]"),
        (entry("POST", "Patient", MEMBER, ifNoneExist="identifier=urn:twice|1"), 412, "Bundle.entry[1]"),
        ({"resource": MEMBER}, 400, "Bundle.entry[1].request"),
        ({"request": {"method": "POST"}, "resource": MEMBER}, 400, "Bundle.entry[1].request.url"),
        ({"request": {"method": "POST", "url": 1}, "resource": MEMBER}, 400, "Bundle.entry[1]"),
        ({"request": {"method": ["POST"], "url": "Patient"}, "resource": MEMBER}, 400, "Bundle.entry[1]"),
    ],
)
async def test_transaction_that_is_refused_leaves_nothing(
    client: httpx.AsyncClient, wrong: dict[str, Any], expected: int, place: str
) -> None:
    twice = [{"system": "urn:twice", "value": "1"}]
    for id in "xy":
        await client.put(f"Patient/{id}", json=patient(id, identifier=twice))
    response = await client.post("", json=transaction(entry("PUT", "Patient/a", patient("a")), wrong))
    assert expected == refusal(response)[0], response.text
    assert any(found.startswith(place) for found in places(response)), response.text
    assert 404 == (await client.get("Patient/a")).status_code


async def test_transaction_says_all_that_is_wrong(client: httpx.AsyncClient) -> None:
    wrong = {"resourceType": "Patient", "gender": "x"}
    response = await client.post("", json=transaction(*(entry("POST", "Patient", wrong) for _ in range(3))))
    assert [f"Bundle.entry[{index}].resource.gender" for index in range(3)] == places(response)


@pytest.mark.parametrize(
    "others",
    [
        (entry("PUT", "Patient/a", patient("a")), entry("PUT", "Patient/a", patient("a", active=True))),
        (entry("PUT", "Patient/a", patient("a")), entry("DELETE", "Patient/a")),
        (entry("DELETE", "Patient/a"), entry("DELETE", "Patient/a")),
        (
            entry("PUT", "Patient?identifier=urn:member|1", MEMBER),
            entry("PUT", "Patient?identifier=urn:member|1", {**MEMBER, "active": True}),
        ),
        (entry("PUT", "Patient?identifier=urn:member|1", MEMBER), entry("DELETE", "Patient?identifier=urn:member|1")),
    ],
)
@pytest.mark.parametrize("there", [True, False])
async def test_transaction_refuses_one_identity_twice(
    client: httpx.AsyncClient, others: tuple[dict[str, Any], ...], there: bool
) -> None:
    """HAPI 8183: conditional updates of one resource silently dropped in a transaction."""
    if there:
        await client.put("Patient/a", json={**MEMBER, "id": "a"})
    response = await client.post("", json=transaction(*others))
    if not there and others[1]["request"] == {"method": "DELETE", "url": "Patient?identifier=urn:member|1"}:
        assert ["201", "204"] == statuses(response)  # it deletes first, and then there is nothing to delete
        return
    assert (400, ["invalid"]) == refusal(response)


async def test_transaction_refuses_one_full_url_twice(client: httpx.AsyncClient) -> None:
    both = [entry("POST", "Patient", MEMBER, FULL) for _ in range(2)]
    assert (400, ["invalid"]) == refusal(await client.post("", json=transaction(*both)))


async def test_transaction_resolves_conditional_references(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient("a", identifier=[{"system": "urn:member", "value": "a"}]))
    response = await client.post(
        "",
        json=transaction(
            entry("POST", "CarePlan", plan("Patient?identifier=urn:member|a")),
            entry("POST", "CarePlan", plan("Patient?identifier=urn:member%7C1")),
            entry("POST", "Patient", MEMBER),
        ),
    )
    subjects = [(await client.get(location(response, index))).json()["subject"]["reference"] for index in (0, 1)]
    assert ["Patient/a", location(response, 2)] == subjects
    assert 1 == (await client.get("CarePlan?subject=Patient/a")).json()["total"]


async def test_transaction_does_not_resolve_to_what_it_deletes(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient("a", **MEMBER))
    response = await client.post(
        "", json=transaction(entry("DELETE", "Patient/a"), entry("POST", "CarePlan", plan("Patient?identifier=1")))
    )
    assert 412 == refusal(response)[0]
    assert 200 == (await client.get("Patient/a")).status_code


async def test_transaction_resolves_a_match_both_stored_and_its_own(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient("a", **MEMBER))
    response = await client.post(
        "", json=transaction(entry("POST", "Patient", MEMBER), entry("POST", "CarePlan", plan("Patient?identifier=1")))
    )
    assert (412, ["multiple-matches"]) == refusal(response)


async def test_transaction_creates_where_none_exists(client: httpx.AsyncClient) -> None:
    """The same condition twice: one resource, and both fullUrls mean it."""
    other = FULL.replace("1", "2")
    bundle = transaction(
        entry("POST", "Patient", MEMBER, FULL, ifNoneExist="identifier=urn:member|1"),
        entry("POST", "Patient", MEMBER, other, ifNoneExist="identifier=urn:member|1"),
        entry("POST", "CarePlan", plan(FULL)),
        entry("POST", "CarePlan", plan(other)),
    )
    first = await client.post("", json=bundle)
    assert ["201", "200", "201", "201"] == statuses(first)
    second = await client.post("", json=bundle)
    assert ["200", "200", "201", "201"] == statuses(second)
    assert {location(first, 0)} == {location(answer, index) for answer in (first, second) for index in (0, 1)}
    assert 4 == (await client.get(f"CarePlan?subject={location(first, 0)}")).json()["total"]


async def test_transaction_updates_what_a_condition_selects(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient("a", **MEMBER))
    response = await client.post(
        "",
        json=transaction(
            entry("PUT", "Patient?identifier=urn:member|1", {**MEMBER, "active": True}, FULL),
            entry("POST", "CarePlan", plan(FULL)),
        ),
    )
    assert (["200", "201"], "Patient/a") == (statuses(response), location(response, 0))
    assert 1 == (await client.get("CarePlan?subject=Patient/a")).json()["total"]


async def test_transactions_that_race_create_one(client: httpx.AsyncClient) -> None:
    bundle = transaction(
        entry("POST", "Patient", MEMBER, FULL, ifNoneExist="identifier=urn:member|1"),
        entry("POST", "CarePlan", plan(FULL)),
    )
    answers = await asyncio.gather(*(client.post("", json=bundle) for _ in range(30)))
    assert ["200"] * 29 + ["201"] == sorted(statuses(answer)[0] for answer in answers)
    assert 1 == len({location(answer, 0) for answer in answers})
    assert 30 == (await client.get(f"CarePlan?subject={location(answers[0], 0)}&_summary=count")).json()["total"]


async def test_transaction_under_a_key_answers_the_same_twice(client: httpx.AsyncClient) -> None:
    bundle = transaction(
        entry("POST", "Patient", MEMBER, FULL, ifNoneExist="identifier=urn:member|1"),
        entry("DELETE", "Patient/nobody"),
        entry("POST", "CarePlan", plan(FULL)),
    )
    headers = {"Idempotency-Key": "k"}
    first = await client.post("", json=bundle, headers=headers)
    again = await client.post("", json=bundle, headers=headers)
    assert (["201", "204", "201"], first.json()) == (statuses(again), again.json())
    assert 2 == await stored(client)


async def test_transaction_that_only_reads(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient("a"))
    response = await client.post(
        "",
        json=transaction(
            entry("GET", "Patient/a"), entry("HEAD", "/Patient/a"), entry("GET", "http://127.0.0.1/fhir/Patient?_id=a")
        ),
    )
    assert ["200", "200", "200"] == statuses(response)


async def test_transaction_that_only_reads_fails_with_any_of_its_reads(client: httpx.AsyncClient) -> None:
    response = await client.post("", json=transaction(entry("GET", "Patient"), entry("GET", "Patient/nobody")))
    assert (404, ["not-found"]) == refusal(response)
    assert ["Bundle.entry[1]"] == places(response)


async def test_transaction_without_entries(client: httpx.AsyncClient) -> None:
    response = await client.post("", json={"resourceType": "Bundle", "type": "transaction"})
    assert {"resourceType": "Bundle", "type": "transaction-response"} == response.json()


@pytest.mark.parametrize(
    "body",
    [
        {"resourceType": "Bundle", "type": "collection"},
        {"resourceType": "Bundle"},
        {"resourceType": "Patient"},
        {"resourceType": "Bundle", "type": "transaction", "entry": {}},
        {"resourceType": "Bundle", "type": "transaction", "entry": [1]},
        {"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": []}]},
        {"resourceType": "Bundle", "type": ["transaction"]},
    ],
)
async def test_base_refuses_what_is_no_transaction(client: httpx.AsyncClient, body: dict[str, Any]) -> None:
    assert 400 == refusal(await client.post("", json=body))[0]


@pytest.mark.usefixtures("in_a_file")
async def test_large_transaction_leaves_others_their_turn(client: httpx.AsyncClient) -> None:
    """15 MB in 10,000 entries, linked with each other; a read beside it does not wait for its end."""
    await client.put("Patient/a", json=patient("a"))
    note = [{"text": "x" * 1200}]
    bundle = transaction(
        entry("POST", "Patient", MEMBER, FULL),
        *(entry("POST", "CarePlan", plan(FULL, note=note), f"urn:uuid:{number}") for number in range(9_999)),
    )
    content = json.dumps(bundle).encode()
    assert 14_000_000 < len(content)
    posting = client.post("", content=content, headers={"Content-Type": "application/fhir+json"}, timeout=None)
    asked = asyncio.create_task(longest_turn(posting))
    for _ in range(10):
        assert 200 == (await client.get("Patient/a")).status_code
    assert not asked.done()
    posted, turn = await asked
    assert ["201"] * 10_000 == statuses(posted)
    assert turn < 300_000  # of the 700,000 that preparing it takes without a pause


OLD = "http://other.example/fhir/Patient/7"


@pytest.mark.parametrize("reference", [f"{FULL}/_history/3", f"{OLD}/_history/3"])
async def test_reference_to_a_version_becomes_one_to_the_version_that_is_written(
    client: httpx.AsyncClient, reference: str
) -> None:
    full_url = reference.partition("/_history")[0]
    await client.put("Patient/beside", json=patient("beside"))
    response = await client.post(
        "", json=transaction(entry("POST", "CarePlan", plan(reference)), entry("POST", "Patient", MEMBER, full_url))
    )
    told = [one["response"] for one in response.json()["entry"]]
    assert told[1]["location"] == (await client.get(location(response, 0))).json()["subject"]["reference"]
    assert 200 == (await client.get(told[1]["location"])).status_code


async def test_reference_to_a_version_of_what_stands_is_to_that(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json=patient("a"))
    await client.put("Patient/beside", json=patient("beside"))
    response = await client.post(
        "",
        json=transaction(
            entry("POST", "CarePlan", plan(f"{FULL}/_history/9")), entry("PUT", "Patient/a", patient("a"), FULL)
        ),
    )
    assert "Patient/a/_history/1" == (await client.get(location(response, 0))).json()["subject"]["reference"]


async def test_reference_to_a_version_of_no_entry_is_left(client: httpx.AsyncClient) -> None:
    response = await client.post("", json=transaction(entry("POST", "CarePlan", plan("Patient/x/_history/3"))))
    assert "Patient/x/_history/3" == (await client.get(location(response, 0))).json()["subject"]["reference"]


@pytest.mark.parametrize("name", ["urn:uuid:00000000-0000-0000-0000-000000000000", "urn:oid:1.2.3"])
async def test_transaction_refuses_a_link_to_no_entry(client: httpx.AsyncClient, name: str) -> None:
    link = {"resourceType": "Patient", "link": [{"type": "seealso", "other": {"reference": name}}]}
    refused = await client.post("", json=transaction(entry("POST", "Patient", link)))
    assert (400, ["invalid"]) == refusal(refused)
    assert ["Bundle.entry[0].resource"] == places(refused)
    assert 0 == (await client.get("_history")).json()["total"]


async def test_transaction_leaves_the_links_within_a_stored_bundle(client: httpx.AsyncClient) -> None:
    within = {"resourceType": "Patient", "link": [{"type": "seealso", "other": {"reference": "urn:oid:1.2.3"}}]}
    kept = {"resourceType": "Bundle", "type": "collection", "entry": [{"resource": within}]}
    response = await client.post("", json=transaction(entry("POST", "Bundle", kept)))
    assert ["201"] == statuses(response)
