"""history at its three levels: https://hl7.org/fhir/R4/http.html#history"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest

from tests.answers import refusal


@pytest.fixture
async def written(client: httpx.AsyncClient) -> None:
    """Patient a: made (1), changed (2), deleted (4); Group g: made (3); Patient b: made (5)."""
    await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})
    await client.put("Patient/a", json={"resourceType": "Patient", "id": "a", "active": True})
    await client.put("Group/g", json={"resourceType": "Group", "id": "g", "type": "person", "actual": True})
    await client.delete("Patient/a")
    await client.post("Patient", json={"resourceType": "Patient"})


def positions(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [entry["response"]["etag"] for entry in response.json().get("entry", ())]


def etags(*numbers: int) -> list[str]:
    return [f'W/"{number}"' for number in numbers]


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(
    ("place", "expected"),
    [("Patient/a/_history", (4, 2, 1)), ("Patient/_history", (5, 4, 2, 1)), ("_history", (5, 4, 3, 2, 1))],
)
async def test_history_is_newest_first(client: httpx.AsyncClient, place: str, expected: tuple[int, ...]) -> None:
    response = await client.get(place)
    assert etags(*expected) == positions(response)
    assert ("history", len(expected)) == (response.json()["type"], response.json()["total"])


@pytest.mark.usefixtures("written")
async def test_history_tells_of_each_request(client: httpx.AsyncClient) -> None:
    def told(entry: dict[str, Any]) -> tuple[str, str, str, bool]:
        return (*entry["request"].values(), entry["response"]["status"][:3], "resource" in entry)

    found = [told(entry) for entry in (await client.get("_history")).json()["entry"]]
    assert [
        ("POST", "Patient", "201", True),
        ("DELETE", "Patient/a", "204", False),
        ("PUT", "Group/g", "201", True),
        ("PUT", "Patient/a", "200", True),
        ("PUT", "Patient/a", "201", True),
    ] == found


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("place", ["Patient/a/_history", "Patient/_history", "_history"])
async def test_history_tells_of_a_restored_resource_as_created(client: httpx.AsyncClient, place: str) -> None:
    await client.put("Patient/a", json={"resourceType": "Patient", "id": "a"})
    first = (await client.get(f"{place}?_count=1")).json()["entry"][0]
    assert ("PUT", "201 Created") == (first["request"]["method"], first["response"]["status"])


@pytest.mark.usefixtures("written")
async def test_history_pages(client: httpx.AsyncClient) -> None:
    page = await client.get("_history?_count=2")
    found = positions(page)
    await client.delete("Group/g")
    while following := {link["relation"]: link["url"] for link in page.json()["link"]}.get("next"):
        page = await client.get(following)
        found += positions(page)
        assert following == page.json()["link"][0]["url"]
    assert etags(5, 4, 3, 2, 1) == found


@pytest.mark.usefixtures("written")
async def test_history_that_only_counts(client: httpx.AsyncClient) -> None:
    response = await client.get("Patient/_history?_count=0")
    assert (4, []) == (response.json()["total"], positions(response))


async def test_history_since_and_at(client: httpx.AsyncClient) -> None:
    moments = []
    for active in (True, False):
        await asyncio.sleep(0.02)
        response = await client.put("Patient/a", json={"resourceType": "Patient", "id": "a", "active": active})
        moments.append(response.json()["meta"]["lastUpdated"])
    first, second = moments
    assert etags(2) == positions(await client.get("Patient/a/_history", params={"_since": second}))
    assert etags(2, 1) == positions(await client.get("Patient/a/_history", params={"_since": first}))
    assert etags(1) == positions(await client.get("Patient/a/_history", params={"_at": first}))
    assert etags(2) == positions(await client.get("Patient/a/_history", params={"_at": second}))
    assert etags(2, 1) == positions(await client.get("_history", params={"_at": second[:10]}))
    assert etags(2, 1) == positions(await client.get("Patient/a/_history", params={"_at": second[:10]}))
    assert etags() == positions(await client.get("Patient/a/_history", params={"_at": "2001-01-01"}))
    assert etags() == positions(await client.get("_history", params={"_since": "2100-01-01T00:00:00Z"}))


@pytest.mark.parametrize("query", ["_since=soon", "_at=2026-13-01", "_count=-1", "_count=some", "_count=١"])
async def test_history_refuses_what_it_cannot_read(client: httpx.AsyncClient, query: str) -> None:
    assert (400, ["invalid"]) == refusal(await client.get(f"_history?{query}"))


async def test_history_with_an_unknown_parameter(client: httpx.AsyncClient) -> None:
    assert 200 == (await client.get("_history?colour=red")).status_code
    strict = await client.get("_history?colour=red", headers={"Prefer": "handling=strict"})
    assert (400, ["not-supported"]) == refusal(strict)


async def test_history_of_an_unknown_id(client: httpx.AsyncClient) -> None:
    assert (404, ["not-found"]) == refusal(await client.get("Patient/nobody/_history"))


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("name", ["_since", "_at", "_count"])
async def test_history_ignores_a_parameter_without_a_value(client: httpx.AsyncClient, name: str) -> None:
    assert etags(4, 2, 1) == positions(await client.get(f"Patient/a/_history?{name}="))


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize("query", ["_summary=count", "_count=0", "_summary=count&_count=3"])
async def test_history_that_is_counted(client: httpx.AsyncClient, query: str) -> None:
    response = await client.get(f"Patient/_history?{query}", headers={"Prefer": "handling=strict"})
    assert (4, []) == (response.json()["total"], positions(response))


@pytest.mark.usefixtures("written")
async def test_history_of_parts(client: httpx.AsyncClient) -> None:
    response = await client.get("Patient/a/_history?_elements=active")
    changed = response.json()["entry"][1]["resource"]
    assert ("SUBSETTED", True) == (changed["meta"]["tag"][0]["code"], changed["active"])
    assert (400, ["invalid"]) == refusal(await client.get("Patient/a/_history?_summary=some"))


@pytest.mark.usefixtures("written")
@pytest.mark.parametrize(("order", "status"), [("-_lastUpdated", 200), ("_lastUpdated", 400), ("name", 400)])
async def test_history_has_one_order(client: httpx.AsyncClient, order: str, status: int) -> None:
    strict = await client.get(f"Patient/a/_history?_sort={order}", headers={"Prefer": "handling=strict"})
    assert status == strict.status_code
    assert etags(4, 2, 1) == positions(await client.get(f"Patient/a/_history?_sort={order}"))


async def test_history_at_compares(client: httpx.AsyncClient) -> None:
    moments = []
    for active in (True, False, True):
        await asyncio.sleep(0.02)
        response = await client.put("Patient/a", json={"resourceType": "Patient", "id": "a", "active": active})
        moments.append(response.json()["meta"]["lastUpdated"])
    _, second, third = moments
    for expected, asked in [
        ((3, 2), [f"ge{second}"]),
        ((3, 2), [f"gt{second}"]),
        ((3,), [f"ge{third}"]),
        ((2, 1), [f"le{second}"]),
        ((1,), [f"lt{second}"]),
        ((2, 1), [f"le{second}", "ge2020"]),
        ((2,), [f"ge{second}", f"lt{third}"]),
        ((), [f"lt{second}", f"ge{third}"]),
        ((3, 2, 1), ["ge2020-01-01"]),
        ((), ["lt2020"]),
    ]:
        response = await client.get("Patient/a/_history", params={"_at": asked})
        assert (etags(*expected), len(expected)) == (positions(response), response.json()["total"]), asked
    for value in ("ne2026", "ap2026", "xx2026"):
        assert (400, ["invalid"]) == refusal(await client.get(f"_history?_at={value}"))


@pytest.mark.usefixtures("written")
async def test_history_of_what_a_list_names(client: httpx.AsyncClient) -> None:
    await make_list(client, "Patient/a/_history/2", "Group/g", "Patient/nobody", "https://elsewhere.org/fhir/Patient/a")
    for place, expected in [("_history", (3, 2)), ("Patient/_history", (2,)), ("Patient/a/_history", (2,))]:
        response = await client.get(f"{place}?_list=l")
        assert (etags(*expected), len(expected)) == (positions(response), response.json()["total"]), place
    assert [] == positions(await client.get("_history?_list=none"))
    assert (400, ["invalid"]) == refusal(await client.get("_history?_list=$current-problems"))


@pytest.mark.usefixtures("written")
async def test_history_of_a_list_that_changes_between_pages(client: httpx.AsyncClient) -> None:
    await make_list(client, "Patient/a", "Group/g")
    page = await client.get("_history?_list=List/l&_count=3")
    assert etags(4, 3, 2) == positions(page)
    await make_list(client, "Group/g")
    following = {link["relation"]: link["url"] for link in page.json()["link"]}["next"]
    assert etags(1) == positions(await client.get(following))


async def make_list(client: httpx.AsyncClient, *references: str) -> None:
    items = [{"item": {"reference": reference}} for reference in references]
    made = {"resourceType": "List", "id": "l", "status": "current", "mode": "working", "entry": items}
    assert (await client.put("List/l", json=made)).is_success
