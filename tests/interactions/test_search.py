"""search over HTTP: the Bundle, its links, its pages. What each parameter finds is tests/search's."""

from __future__ import annotations

from itertools import pairwise
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx
import pytest

from server.app import create_app
from server.settings import Settings
from tests.answers import entry, ids, refusal, transaction
from tests.conftest import lifespan

JOE = "Patient/joe"


@pytest.fixture
async def plans(client: httpx.AsyncClient) -> None:
    """Joe, and five plans of his, p1 to p5."""
    await client.put(JOE, json={"resourceType": "Patient", "id": "joe", "name": [{"family": "Doe"}]})
    for number in range(1, 6):
        plan = {
            "resourceType": "CarePlan",
            "id": f"p{number}",
            "status": "active" if number < 5 else "completed",
            "intent": "plan",
            "title": f"Plan {number}",
            "subject": {"reference": JOE},
        }
        assert 201 == (await client.put(f"CarePlan/p{number}", json=plan)).status_code


def links(response: httpx.Response) -> dict[str, str]:
    return {link["relation"]: link["url"] for link in response.json()["link"]}


def modes(response: httpx.Response) -> list[str]:
    return [entry["search"]["mode"] for entry in response.json().get("entry", ())]


@pytest.mark.usefixtures("plans")
async def test_search_answers_with_a_searchset(client: httpx.AsyncClient) -> None:
    response = await client.get("CarePlan?status=completed")
    found = response.json()
    assert ("Bundle", "searchset", 1) == (found["resourceType"], found["type"], found["total"])
    assert ["http://127.0.0.1/fhir/CarePlan/p5"] == [entry["fullUrl"] for entry in found["entry"]]
    assert {"self": "http://127.0.0.1/fhir/CarePlan?status=completed"} == links(response)
    assert (await client.get("CarePlan/p5")).json() == found["entry"][0]["resource"]


async def test_search_that_finds_nothing_has_no_entries(client: httpx.AsyncClient) -> None:
    found = (await client.get("CarePlan?status=active")).json()
    assert (0, False) == (found["total"], "entry" in found)


@pytest.mark.usefixtures("plans")
async def test_search_includes(client: httpx.AsyncClient) -> None:
    response = await client.get("CarePlan?_id=p1&_include=CarePlan:subject")
    assert (["p1", "joe"], ["match", "include"]) == (ids(response), modes(response))
    response = await client.get("Patient?_revinclude=CarePlan:subject")
    assert (["joe", "p1", "p2", "p3", "p4", "p5"], ["match"] + ["include"] * 5) == (
        sorted(ids(response)),
        modes(response),
    )


@pytest.mark.usefixtures("plans", "others")
async def test_search_includes_all_that_names_the_matches(client: httpx.AsyncClient) -> None:
    response = await client.get("Patient?_id=joe&_revinclude=*")
    assert ["joe", "l1", "p1", "p2", "p3", "p4", "p5"] == sorted(ids(response))
    response = await client.get("List?_include=*&_include:iterate=*")
    assert ["joe", "l1", "p2"] == sorted(ids(response))


async def test_search_of_the_lists_that_are_current(client: httpx.AsyncClient) -> None:
    for id in ("asthma", "cough", "flu"):
        condition = {"resourceType": "Condition", "id": id, "subject": {"reference": JOE}}
        assert 201 == (await client.put(f"Condition/{id}", json=condition)).status_code
    code = {"system": "http://terminology.hl7.org/CodeSystem/list-example-use-codes", "code": "problems"}
    for id, status, items in (("now", "current", ["asthma", "flu"]), ("before", "retired", ["cough"])):
        kept = {
            "resourceType": "List",
            "id": id,
            "status": status,
            "mode": "working",
            "code": {"coding": [code]},
            "subject": {"reference": JOE},
            "entry": [{"item": {"reference": f"Condition/{item}"}} for item in items],
        }
        assert 201 == (await client.put(f"List/{id}", json=kept)).status_code
    asked = "Condition?patient=joe&_list=$current-problems&_count=1"
    first = await client.get(asked)
    await client.put("List/now", json=kept | {"id": "now", "status": "current"})
    second = await client.get(links(first)["next"])
    assert ["asthma", "flu"] == [*ids(first), *ids(second)]
    assert ["cough"] == ids(await client.get(asked))
    assert [] == ids(await client.get("Condition?_list=$current-allergies"))
    assert (400, ["invalid"]) == refusal(await client.get("Condition?_list=$current-drug-allergies"))


async def test_search_of_bundles_by_what_they_begin_with(client: httpx.AsyncClient) -> None:
    await client.put(JOE, json={"resourceType": "Patient", "id": "joe", "name": [{"family": "Doe"}]})
    composition = {
        "resourceType": "Composition",
        "status": "final",
        "type": {"text": "Plan"},
        "title": "The plan",
        "date": "2026-03-01",
        "author": [{"display": "A manager"}],
        "subject": {"reference": "Patient/joe"},
    }
    document = {
        "resourceType": "Bundle",
        "id": "d",
        "type": "document",
        "identifier": {"system": "urn:ietf:rfc:3986", "value": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e0"},
        "timestamp": "2026-03-01T10:00:00Z",
        "entry": [{"fullUrl": "urn:uuid:0c3151bd-1cbf-4d64-b04d-cd9187a4c6e1", "resource": composition}],
    }
    made = await client.put("Bundle/d", json=document)
    assert 201 == made.status_code, made.text
    for asked in ("composition.title=the", "composition.patient.family=doe", "composition:Composition.date=2026"):
        assert ["d"] == ids(await client.get(f"Bundle?{asked}"))
    assert [] == ids(await client.get("Bundle?composition.status=preliminary"))
    assert ["joe"] == ids(await client.get("Patient?_revinclude=*"))
    document["entry"][0]["resource"] = composition | {"title": "Another"}
    assert 200 == (await client.put("Bundle/d", json=document)).status_code
    assert [] == ids(await client.get("Bundle?composition.title=the"))


async def test_search_along_a_hierarchy(client: httpx.AsyncClient) -> None:
    """Places within places, as they stood when the first page was taken."""
    for id, above in (("state", None), ("county", "state"), ("clinic", "county"), ("room", "clinic"), ("far", None)):
        part = {"partOf": {"reference": f"Location/{above}"}} if above else {}
        await client.put(f"Location/{id}", json={"resourceType": "Location", "id": id, **part})
    for place in ("state", "clinic", "room", "far"):
        visit = {
            "resourceType": "Encounter",
            "id": f"at-{place}",
            "status": "finished",
            "class": {"code": "AMB"},
            "location": [{"location": {"reference": f"Location/{place}"}}],
        }
        assert 201 == (await client.put(f"Encounter/at-{place}", json=visit)).status_code
    assert ["clinic", "room"] == sorted(ids(await client.get("Location?partof:below=county")))
    assert ["at-clinic", "at-state"] == sorted(ids(await client.get("Encounter?location:above=Location/clinic")))
    nested = await client.get("Location?_has:Location:partof:partof:below=county")
    assert ["clinic", "county"] == sorted(ids(nested))
    first = await client.get("Encounter?location:below=state&_count=1")
    await client.put("Location/clinic", json={"resourceType": "Location", "id": "clinic"})
    found = ids(first)
    while "next" in links(first):
        first = await client.get(links(first)["next"])
        found += ids(first)
    assert ["at-clinic", "at-room", "at-state"] == sorted(found)
    now = await client.get("Encounter?location:below=state&_explain=1")
    assert ["at-state"] == [one["resource"]["id"] for one in now.json()["entry"] if one["search"]["mode"] == "match"]
    assert "below Location/state by Location.partof" in now.text


@pytest.mark.usefixtures("plans")
async def test_search_pages_agree_while_others_write(client: httpx.AsyncClient) -> None:
    """HAPI 4190, 5454: paging and totals unstable under writes."""
    page = await client.get("CarePlan?status=active&_count=2&_sort=_id&_total=accurate")
    found, totals = ids(page), [page.json()["total"]]
    await client.delete("CarePlan/p3")
    await client.put(
        "CarePlan/p0",
        json={
            "resourceType": "CarePlan",
            "id": "p0",
            "status": "active",
            "intent": "plan",
            "subject": {"reference": JOE},
        },
    )
    while following := links(page).get("next"):
        page = await client.get(following)
        found += ids(page)
        totals.append(page.json()["total"])
    assert (["p1", "p2", "p3", "p4"], {4}) == (found, set(totals))


@pytest.mark.usefixtures("plans")
async def test_search_next_link_is_a_url_of_ours(client: httpx.AsyncClient) -> None:
    following = links(await client.get("CarePlan?status=active&_count=2"))["next"]
    parts = urlsplit(following)
    assert "/fhir/CarePlan" == parts.path
    assert {"status", "_count", "_page"} == {name for name, _ in parse_qsl(parts.query)}


async def test_search_refuses_a_page_that_is_none(client: httpx.AsyncClient) -> None:
    status, _ = refusal(await client.get("CarePlan?_page=nonsense"))
    assert 400 == status


@pytest.mark.usefixtures("plans")
async def test_search_by_post_finds_the_same(client: httpx.AsyncClient) -> None:
    got = await client.get("CarePlan?status=completed&_include=CarePlan:subject")
    posted = await client.post(
        "CarePlan/_search?status=completed",
        content="_include=CarePlan%3Asubject",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert got.json()["entry"] == posted.json()["entry"]
    assert links(got) == links(posted)


async def test_search_by_post_refuses_what_is_no_form(client: httpx.AsyncClient) -> None:
    response = await client.post("CarePlan/_search", json={"status": "active"})
    assert (415, ["not-supported"]) == refusal(response)


@pytest.mark.usefixtures("plans")
async def test_search_with_an_unknown_parameter(client: httpx.AsyncClient) -> None:
    lenient = await client.get("CarePlan?_id=p1&colour=red")
    strict = await client.get("CarePlan?_id=p1&colour=red", headers={"Prefer": "handling=strict"})
    assert ["match", "outcome"] == modes(lenient)
    assert "colour" not in links(lenient)["self"]
    assert 400 == refusal(strict)[0]


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize("asked", ["_summary=count", "_count=0"])
async def test_search_counts(client: httpx.AsyncClient, asked: str) -> None:
    found = (await client.get(f"CarePlan?status=active&{asked}")).json()
    assert (4, False) == (found["total"], "entry" in found)


@pytest.mark.usefixtures("plans")
async def test_search_for_parts(client: httpx.AsyncClient) -> None:
    found = (await client.get("CarePlan?_id=p1&_elements=title")).json()["entry"][0]["resource"]
    assert {"resourceType", "id", "meta", "title", "status", "intent", "subject"} == set(found)
    summed = (await client.get("CarePlan?_id=p1&_summary=true")).json()["entry"][0]["resource"]
    assert "SUBSETTED" == summed["meta"]["tag"][0]["code"]


@pytest.mark.parametrize("query", ["_summary=some", "_count=many", "birthdate=soon", "%ff=1", "identifier=%ff"])
async def test_search_refuses_what_it_cannot_read(client: httpx.AsyncClient, query: str) -> None:
    assert 400 == refusal(await client.get(f"Patient?{query}"))[0]


async def test_form_that_is_very_long_is_not_repeated(client: httpx.AsyncClient) -> None:
    response = await client.post("Patient/_search", data={"birthdate": "1" * 2_000_000})
    assert (413, ["too-costly"]) == refusal(response)
    assert len(response.content) < 1000


async def test_search_refuses_a_flood_of_parameters(client: httpx.AsyncClient) -> None:
    form: Any = "&".join(["name=a"] * 1001)
    response = await client.post(
        "Patient/_search", content=form, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert (400, ["invalid"]) == refusal(response)


@pytest.mark.usefixtures("plans")
async def test_search_link_keeps_what_was_asked(client: httpx.AsyncClient) -> None:
    response = await client.get("Patient", params={"name:contains": "d&e=Ä", "identifier": "urn:a b|1"})
    asked = parse_qsl(urlsplit(links(response)["self"]).query)
    assert [("name:contains", "d&e=Ä"), ("identifier", "urn:a b|1")] == asked


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize("how", ["_count=0", "_summary=count"])
async def test_search_for_a_count_warns_of_what_was_left_out(client: httpx.AsyncClient, how: str) -> None:
    response = await client.get(f"CarePlan?statsu=completed&{how}")
    assert (5, ["outcome"]) == (response.json()["total"], modes(response))


@pytest.mark.usefixtures("plans")
async def test_search_by_post_never_links_to_what_cannot_be_followed(client: httpx.AsyncClient) -> None:
    many = ",".join(["p1", "p2", *(f"{number:064}" for number in range(1000))])
    whole = await client.post("CarePlan/_search", data={"_id": many})
    assert ["p1", "p2"] == ids(whole)
    paged = await client.post("CarePlan/_search", data={"_id": many, "_count": "1"})
    assert (413, ["too-costly"]) == refusal(paged)


@pytest.fixture
async def others(client: httpx.AsyncClient) -> None:
    """Beside Joe and his plans: Ann and her goal, and a list of one plan and of Joe."""
    subject = {"reference": "Patient/ann"}
    goal = {"resourceType": "Goal", "id": "g1", "lifecycleStatus": "active", "description": {"text": "Walk"}}
    items = [{"item": {"reference": "CarePlan/p2"}}, {"item": {"reference": JOE}}]
    for resource in (
        {"resourceType": "Patient", "id": "ann", "meta": {"tag": [{"system": "urn:t", "code": "kept"}]}},
        {**goal, "subject": subject, "meta": {"tag": [{"system": "urn:t", "code": "kept"}]}},
        {"resourceType": "List", "id": "l1", "status": "current", "mode": "working", "entry": items},
    ):
        await client.put(f"{resource['resourceType']}/{resource['id']}", json=resource)


@pytest.mark.usefixtures("plans", "others")
@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("?_type=Patient,Goal", "ann g1 joe"),
        ("?_type=Patient,Goal&_tag=urn:t|kept", "ann g1"),
        ("?_tag=kept", "ann g1"),
        ("?_type=Patient&_id=joe", "joe"),
        ("?_type=CarePlan&_list=l1", "p2"),
        ("?_list=l1", "joe p2"),
        ("Patient?_list=l1", "joe"),
        ("Patient/joe/CarePlan", "p1 p2 p3 p4 p5"),
        ("Patient/joe/CarePlan?status=completed", "p5"),
        ("Patient/ann/CarePlan", ""),
        ("Patient/joe/*", "joe p1 p2 p3 p4 p5"),
        ("Patient/joe/*?_type=Patient", "joe"),
        ("Patient/nobody/*", ""),
    ],
)
async def test_search_of_several_types_and_within_a_compartment(
    client: httpx.AsyncClient, url: str, expected: str
) -> None:
    whole = await client.get(url)
    assert expected.split() == sorted(ids(whole))
    page = await client.get(f"{url}{'&' if '?' in url else '?'}_count=2&_sort=-_id")
    found = ids(page)
    while following := links(page).get("next"):
        page = await client.get(following)
        found += ids(page)
    assert sorted(expected.split(), reverse=True) == found
    posted = await client.post(
        f"{url.partition('?')[0]}/_search".lstrip("/"), data=dict(parse_qsl(urlsplit(url).query))
    )
    assert ids(whole) == ids(posted)


@pytest.mark.parametrize(
    ("url", "status"),
    [
        ("?_type=Nothing", 400),
        ("Patient/1/*?_type=Organization", 400),
        ("Patient/1/Organization", 404),
        ("Organization/1/Patient", 404),
        ("Patient/1/CarePlan/2", 404),
        ("Patient/1/CarePlan?nonsense=1&_format=json", 200),
    ],
)
async def test_search_of_several_types_refuses(client: httpx.AsyncClient, url: str, status: int) -> None:
    assert status == (await client.get(url)).status_code


@pytest.mark.usefixtures("plans")
@pytest.mark.parametrize("sort", ["", "&_sort=-_id", "&_sort=date"])
async def test_search_goes_back_as_it_went_forward(client: httpx.AsyncClient, sort: str) -> None:
    page = await client.get(f"CarePlan?_count=2&_total=accurate{sort}")
    forward = [page]
    while following := links(forward[-1]).get("next"):
        forward.append(await client.get(following))
    await client.delete("CarePlan/p1")
    assert {"self", "next", "last"} == links(page).keys()
    assert ids(forward[-1]) == ids(await client.get(links(page)["last"]))
    for before, after in pairwise(forward):
        assert ids(before) == ids(await client.get(links(after)["previous"]))
        assert ids(page) == ids(await client.get(links(after)["first"]))
        assert ids(after) == ids(await client.get(links(after)["self"]))


@pytest.mark.usefixtures("plans")
async def test_search_pages_survive_a_restart(app: Any, client: httpx.AsyncClient, settings: Settings) -> None:
    page = await client.get("CarePlan?_count=2&_sort=-_id")
    await client.delete("CarePlan/p2")
    again = create_app(settings)
    async with lifespan(again):
        transport = httpx.ASGITransport(again)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1/fhir/") as other:
            assert ["p3", "p2"] == ids(await other.get(links(page)["next"]))


@pytest.mark.usefixtures("plans")
@pytest.mark.usefixtures("in_a_file")
async def test_search_explains_its_plan_and_cost(client: httpx.AsyncClient) -> None:
    response = await client.get("CarePlan?subject=Patient/joe&status=completed&_explain=1")
    assert ["match", "outcome"] == modes(response)
    issues = response.json()["entry"][-1]["resource"]["issue"]
    assert {("information", "informational")} == {(issue["severity"], issue["code"]) for issue in issues}
    said = " ".join(issue["diagnostics"] for issue in issues)
    assert all(part in said for part in ("Equal CarePlan.subject", "CarePlan.status", "SEARCH rows", "steps"))
    assert ["match"] == modes(await client.get("CarePlan?status=completed&_explain=0"))


async def test_search_in_a_batch_is_of_any_place(client: httpx.AsyncClient) -> None:
    await client.put(JOE, json={"resourceType": "Patient", "id": "joe"})
    asked = [entry("GET", url) for url in ("?_type=Patient", "Patient/joe/*", "Patient/joe/Goal")]
    answer = await client.post("", json=transaction(*asked, type="batch"))
    assert [1, 1, 0] == [each["resource"]["total"] for each in answer.json()["entry"]]


async def test_search_is_known_until_something_is_written(client: httpx.AsyncClient) -> None:
    await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})
    tag = (await client.get("Patient?_count=1")).headers["etag"]
    known = await client.get("Patient?_count=1", headers={"If-None-Match": tag})
    other = await client.get("Patient?_count=2", headers={"If-None-Match": tag})
    assert (304, b"", tag, 200) == (known.status_code, known.content, known.headers["etag"], other.status_code)
    await client.put("Patient/b", json={"resourceType": "Patient", "id": "b"})
    changed = await client.get("Patient?_count=1", headers={"If-None-Match": tag})
    assert (200, True) == (changed.status_code, changed.headers["etag"] not in {tag, other.headers["etag"]})
    following = next(link["url"] for link in changed.json()["link"] if link["relation"] == "next")
    page = await client.get(following)
    assert (200, 1) == (page.status_code, len(page.json()["entry"]))


@pytest.mark.parametrize("parameter", ["_format=json", "_format=application/json&_pretty=true"])
async def test_form_says_how_the_answer_is_written(client: httpx.AsyncClient, parameter: str) -> None:
    headers = {"Accept": "application/fhir+xml", "Content-Type": "application/x-www-form-urlencoded"}
    response = await client.post("Patient/_search", content=f"_id=a&{parameter}", headers=headers)
    assert (200, "_pretty" in parameter) == (response.status_code, "\n" in response.text)
    assert [] == [issue for issue in response.json().get("entry", ()) if issue["search"]["mode"] == "outcome"]
    refused = await client.post("Patient/_search", content="_format=ttl", headers=headers | {"Accept": "*/*"})
    assert (406, ["not-supported"]) == refusal(refused)


async def test_search_by_words_finds_what_was_just_written(client: httpx.AsyncClient) -> None:
    div = '<div xmlns="http://www.w3.org/1999/xhtml">Walks with a <b>cane</b></div>'
    for id, title in (("w1", "Fall prevention"), ("w2", "Prevention of falls")):
        plan = {"resourceType": "CarePlan", "id": id, "status": "active", "intent": "plan", "title": title}
        plan |= {"subject": {"reference": JOE}, "text": {"status": "generated", "div": div}}
        await client.put(f"CarePlan/{id}", json=plan)
    assert ["w1", "w2"] == ids(await client.get("CarePlan?_content=prevention"))
    assert ["w1"] == ids(await client.get('CarePlan?_content="fall prevention"'))
    assert ["w1", "w2"] == ids(await client.get("CarePlan?_content=fall*%20and%20cane"))
    assert ["w1", "w2"] == ids(await client.get("?_type=CarePlan,Goal&_text=cane"))
    assert [] == ids(await client.get("CarePlan?_text=prevention"))
    await client.delete("CarePlan/w1")
    assert ["w2"] == ids(await client.get("CarePlan?_text=cane"))
    response = await client.get("CarePlan?_text=cane&_explain=1")
    assert "Words of the narrative" in response.json()["entry"][-1]["resource"]["issue"][0]["diagnostics"]


@pytest.fixture
async def medications(client: httpx.AsyncClient) -> None:
    """One medication of its own, and requests that contain some."""
    code = {"coding": [{"system": "urn:m", "code": "aspirin"}]}
    statin = {"coding": [{"system": "urn:m", "code": "statin"}]}
    await client.put("Medication/own", json={"resourceType": "Medication", "id": "own", "code": code})
    for id, codes in (("r1", [code]), ("r2", [statin, code]), ("r3", [statin])):
        inner = [
            {
                "resourceType": "Medication",
                "id": f"m{number}",
                "code": each,
                "status": "active" if number else "inactive",
            }
            for number, each in enumerate(codes)
        ]
        request = {"resourceType": "MedicationRequest", "id": id, "status": "active", "intent": "order"}
        request |= {"subject": {"reference": JOE}, "medicationReference": {"reference": "#m0"}, "contained": inner}
        request["supportingInformation"] = [{"reference": f"#{each['id']}"} for each in inner]
        assert 201 == (await client.put(f"MedicationRequest/{id}", json=request)).status_code


@pytest.mark.usefixtures("medications")
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("code=aspirin", ["Medication/own"]),
        ("code=aspirin&_contained=false", ["Medication/own"]),
        ("code=aspirin&_contained=true", ["MedicationRequest/r1", "MedicationRequest/r2"]),
        ("code=aspirin&_contained=both", ["Medication/own", "MedicationRequest/r1", "MedicationRequest/r2"]),
        ("code=aspirin&status=active&_contained=true", ["MedicationRequest/r2"]),
        ("code=statin&status=active&_contained=true", []),
        (
            "code=aspirin&_contained=true&_containedType=contained",
            ["MedicationRequest/r1#m0", "MedicationRequest/r2#m1"],
        ),
        ("code:not=aspirin&_contained=true&_containedType=contained",
         ["MedicationRequest/r2#m0", "MedicationRequest/r3#m0"]),
    ],
)  # fmt: skip
async def test_search_of_what_is_contained(client: httpx.AsyncClient, asked: str, expected: list[str]) -> None:
    found = (await client.get(f"Medication?{asked}")).json()
    assert expected == [entry["fullUrl"].removeprefix("http://127.0.0.1/fhir/") for entry in found.get("entry", ())]
    assert len(expected) == found["total"]
    types = {entry["resource"]["resourceType"] for entry in found.get("entry", ()) if "#" in entry["fullUrl"]}
    assert types <= {"Medication"}


@pytest.mark.usefixtures("medications")
@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("medication.code=aspirin", ["r1"]),
        ("medication:Medication.code=urn:m|statin&subject=Patient/joe", ["r2", "r3"]),
        ("medication.code:not=aspirin", ["own", "r2", "r3"]),
        ("medication.status:missing=true", ["own"]),
        ("medication.code=aspirin,statin", ["r1", "r2", "r3"]),
        ("_filter=medication.code eq aspirin", ["r1"]),
        ("medication._id=m0", []),
    ],
)
async def test_chain_goes_into_what_is_contained(client: httpx.AsyncClient, asked: str, expected: list[str]) -> None:
    await client.put("Medication/other", json={"resourceType": "Medication", "id": "other", "code": {"text": "x"}})
    request = {"resourceType": "MedicationRequest", "id": "own", "status": "active", "intent": "order"}
    request |= {"subject": {"reference": JOE}, "medicationReference": {"reference": "Medication/other"}}
    await client.put("MedicationRequest/own", json=request)
    assert expected == sorted(ids(await client.get(f"MedicationRequest?{asked}")))


async def test_chain_goes_on_from_what_is_contained_at_any_position(client: httpx.AsyncClient) -> None:
    maker = {"resourceType": "Organization", "id": "acme", "name": "Acme"}
    inner = {"resourceType": "Medication", "id": "m", "manufacturer": {"reference": "Organization/acme"}}
    request = {
        "resourceType": "MedicationRequest",
        "status": "active",
        "intent": "order",
        "subject": {"reference": JOE},
    }
    request |= {"contained": [inner], "medicationReference": {"reference": "#m"}}
    await client.put("Organization/acme", json=maker)
    made = [(await client.put(f"MedicationRequest/{id}", json=request | {"id": id})).status_code for id in "ab"]
    assert [201, 201] == made
    asked = "MedicationRequest?medication.manufacturer.name=acme"
    first = (await client.get(f"{asked}&_count=1")).json()
    assert 204 == (await client.delete("MedicationRequest/b")).status_code
    second = await client.get(next(link["url"] for link in first["link"] if link["relation"] == "next"))
    assert (["a"], ["b"], ["a"]) == (
        [one["resource"]["id"] for one in first["entry"]],
        ids(second),
        ids(await client.get(asked)),
    )


@pytest.mark.usefixtures("medications")
async def test_search_of_what_is_contained_follows_changes_and_tells_its_bounds(client: httpx.AsyncClient) -> None:
    await client.delete("MedicationRequest/r1")
    assert ["r2"] == ids(await client.get("Medication?code=aspirin&_contained=true"))
    some = (await client.get("Medication?_contained=true&_containedType=contained&_count=1")).json()
    assert (3, ["match", "outcome"]) == (some["total"], [entry["search"]["mode"] for entry in some["entry"]])
    for asked in ("_sort=_id", "_include=*", "manufacturer.name=x", "_content=x"):
        assert 400 == (await client.get(f"Medication?_contained=true&{asked}")).status_code
    assert 400 == (await client.get("?_type=Medication,Goal&_contained=true")).status_code
    assert 400 == (await client.get("Medication?_contained=maybe")).status_code
    assert 400 == (await client.delete("Medication?code=statin&_contained=true")).status_code
