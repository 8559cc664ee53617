"""New York: rosters, assignments and tracking files as tables, in and out over HTTP."""

from __future__ import annotations

import asyncio
import base64
import csv
import io
import json
from typing import Any

import httpx
import pytest

from mappings.table import tables
from tests.answers import ids, places, refusal
from tests.coordination.memory import BASE, patient
from tests.interactions.test_asynchronous import begun
from tests.scenarios.iowa import Json, kept
from tests.scenarios.new_york import (
    HAL,
    HOME,
    MEMBER,
    OTHER,
    PLAN,
    day,
    enrolled,
    lead,
    named,
    new_york,
    organization,
    shipped,
)

ROSTER, TRACKING = (tables()[name].names for name in ("ny-roster", "ny-tracking"))
ANN = {"enrollment": "E1", "plan": "P1", "cin": "C1", "family": "Lee", "given": "Ann", "plan_type": "map"}
ANN |= {"birth_date": "1950-01-02", "gender": "F", "start": "2026-01-01"}
SEGMENT = {"record": "A", "segment": "S1", "cin": "C1", "health_home": "H1", "segment_type": "E", "start": "2026-02-01"}
END = {"end": "2026-03-31", "end_kind": "A", "end_code": "1"}


def number(reference: str, value: str) -> Json:
    return organization(reference) | {"identifier": [{"system": f"{BASE}/sid/ny-organization", "value": value}]}


@pytest.fixture
async def here(client: httpx.AsyncClient) -> httpx.AsyncClient:
    parties = [number(PLAN, "P1"), number(HOME, "H1"), number(OTHER, "H2")]
    await kept(client, shipped("ny-map"), shipped("ny-mltcp"), *parties)
    return client


def text(names: list[str], *rows: dict[str, str]) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, names, restval="")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


async def convert(client: httpx.AsyncClient, table: str, content: str | bytes, apply: bool = True) -> httpx.Response:
    params = {"table": table, "apply": str(apply).lower()}
    return await client.post("$convert", params=params, content=content, headers={"Content-Type": "text/csv"})


async def applied(client: httpx.AsyncClient, table: str, *rows: dict[str, str]) -> tuple[int, int, list[Json]]:
    """(rows taken, rows written, what was rejected)."""
    response = await convert(client, table, text(tables()[table].names, *rows))
    assert 200 == response.status_code, response.text
    told = response.json()["parameter"]
    counts = {one["name"]: one["valueInteger"] for one in told if "valueInteger" in one}
    rejected = [one["part"] for one in told if one["name"] == "rejected"]
    return counts["taken"], counts["written"], [{part["name"]: part[_value(part)] for part in one} for one in rejected]


def _value(part: Json) -> str:
    return next(name for name in part if name.startswith("value"))


async def out(client: httpx.AsyncClient, table: str, **more: str) -> list[dict[str, str]]:
    response = await client.get("$table", params={"table": table, "_format": "csv", **more})
    assert response.headers["content-type"].startswith("text/csv")
    found = csv.DictReader(io.StringIO(response.text))
    return [{name: value for name, value in row.items() if value} for row in found]


@pytest.mark.requirement("ADJ-05", "ADJ-06", "NY-01")
async def test_roster_and_tracking_rows_come_out_as_they_went_in(here: httpx.AsyncClient) -> None:
    bob = ANN | {"enrollment": "E2", "cin": "C2", "family": "=1+1", "plan_type": "mltcp", "end": "2026-06-30"}
    assert (2, 2, []) == await applied(here, "ny-roster", ANN, bob)
    segments = [SEGMENT, SEGMENT | END | {"segment": "S2", "cin": "C2", "health_home": "H2"}]
    assert (2, 2, []) == await applied(here, "ny-tracking", *segments)
    assignment = {"assignment": "A1", "kind": "M", "cin": "C1", "plan": "P1", "health_home": "H1"}
    assert (1, 1, []) == await applied(here, "ny-assignment", assignment | {"start": "2026-01-15"})
    assert [ANN, bob | {"family": "'=1+1"}] == sorted(await out(here, "ny-roster"), key=lambda row: row["cin"])
    assert segments == sorted(await out(here, "ny-tracking"), key=lambda row: row["segment"])
    assert segments[1:] == await out(here, "ny-tracking", organization=OTHER)
    assert [assignment | {"start": "2026-01-15"}] == await out(here, "ny-assignment")


@pytest.mark.requirement("ADJ-06")
async def test_rows_of_one_organization_are_those_in_which_it_is_the_plan_or_the_health_home(
    here: httpx.AsyncClient,
) -> None:
    await applied(here, "ny-roster", ANN)
    first = {"assignment": "A1", "kind": "M", "cin": "C1", "plan": "P1", "health_home": "H1", "start": "2026-01-15"}
    second = first | {"assignment": "A2", "health_home": "H2"}
    assert (2, 2, []) == await applied(here, "ny-assignment", first, second)
    told = {
        party: await out(here, "ny-assignment", organization=party) for party in (PLAN, HOME, OTHER, "Organization/x")
    }
    expected = {PLAN: ["A1", "A2"], HOME: ["A1"], OTHER: ["A2"], "Organization/x": []}
    assert expected == {party: sorted(row["assignment"] for row in rows) for party, rows in told.items()}
    assert [ANN] == await out(here, "ny-roster", organization=PLAN)


@pytest.mark.requirement("ADJ-06")
async def test_same_file_twice_changes_nothing_and_a_row_of_the_same_number_changes_it(
    here: httpx.AsyncClient,
) -> None:
    await applied(here, "ny-roster", ANN)
    before = (await here.get("EpisodeOfCare")).json()["entry"]
    assert (1, 0, []) == await applied(here, "ny-roster", ANN)
    assert before == (await here.get("EpisodeOfCare")).json()["entry"]
    await applied(here, "ny-tracking", SEGMENT)
    assert (1, 1, []) == await applied(here, "ny-tracking", SEGMENT | END)
    assert [SEGMENT | END] == await out(here, "ny-tracking")
    (episode,) = (await here.get("EpisodeOfCare", params={"status": "finished"})).json()["entry"]
    assert "Patient/" == episode["resource"]["patient"]["reference"][:8]
    assert (1, 1, []) == await applied(here, "ny-tracking", SEGMENT | {"record": "D"})
    assert [] == await out(here, "ny-tracking")
    assert "entered-in-error" == (await here.get(f"EpisodeOfCare/{episode['resource']['id']}")).json()["status"]


@pytest.mark.requirement("ADJ-06")
async def test_rows_that_are_wrong_are_rejected_by_row_and_column_and_the_others_taken(
    here: httpx.AsyncClient,
) -> None:
    rows = [
        ANN,
        ANN | {"enrollment": "E2", "gender": "Q"},
        ANN | {"enrollment": "E3", "plan": "P9"},
        ANN | {"enrollment": "E4", "cin": "C4"},
    ]
    taken, written, rejected = await applied(here, "ny-roster", *rows)
    assert (2, 2) == (taken, written)
    assert [(3, "gender"), (4, "plan")] == [(one["row"], one["column"]) for one in rejected]
    assert "M, F, X, U" in rejected[0]["reason"]
    response = await convert(here, "ny-roster", text(ROSTER, *rows))
    (file,) = [one["resource"] for one in response.json()["parameter"] if one["name"] == "rejection"]
    again = base64.b64decode(file["data"]).decode()
    assert "P9" in again
    answer = await convert(here, "ny-roster", again.replace("P9", "P1").replace(",Q,", ",F,"))
    assert [2, 2, 2] == [one["valueInteger"] for one in answer.json()["parameter"]]


@pytest.mark.requirement("ADJ-06", "NY-02")
async def test_row_that_a_programs_rule_refuses_is_rejected_with_the_rule(here: httpx.AsyncClient) -> None:
    await applied(here, "ny-roster", ANN)
    (member,) = (await here.get("Patient")).json()["entry"]
    need = {
        "resourceType": "Observation",
        "id": "need",
        "status": "final",
        "code": {"coding": [{"system": f"{BASE}/CodeSystem/cm-evidence", "code": "expected-ltc-days"}]},
        "subject": {"reference": f"Patient/{member['resource']['id']}"},
        "valueInteger": 120,
    }
    await kept(here, need)
    later = ANN | {"enrollment": "E2", "start": "2026-05-01"}
    taken, _, rejected = await applied(here, "ny-roster", later, ANN | {"enrollment": "E3", "cin": "C3"})
    assert 1 == taken
    assert ["NY-02"] == [word for one in rejected for word in one["reason"].split() if word == "NY-02"]


@pytest.mark.requirement("ADJ-06")
async def test_file_is_converted_into_transactions_that_the_base_takes(here: httpx.AsyncClient) -> None:
    rows = [ANN, ANN | {"enrollment": "E2", "start": "2026-07-01"}]
    response = await convert(here, "ny-roster", text(ROSTER, *rows), apply=False)
    bundles = [one["resource"] for one in response.json()["parameter"] if one["name"] == "bundle"]
    assert 2 == len(bundles), "both rows are about one member"
    assert [] == (await here.get("EpisodeOfCare")).json().get("entry", [])
    for bundle in bundles:
        assert 200 == (await here.post("", json=bundle)).status_code
    assert 2 == len(await out(here, "ny-roster"))
    binary = {"resourceType": "Binary", "contentType": "text/csv"}
    binary["data"] = base64.b64encode(text(ROSTER, *rows).encode()).decode()
    inputs = [
        {"name": "table", "valueCode": "ny-roster"},
        {"name": "content", "resource": binary},
        {"name": "apply", "valueBoolean": True},
    ]
    answer = await here.post("$convert", json={"resourceType": "Parameters", "parameter": inputs})
    assert [2, 2, 0] == [one["valueInteger"] for one in answer.json()["parameter"]]


@pytest.mark.requirement("ADJ-06")
@pytest.mark.parametrize(
    ("content", "says"),
    [
        (text(TRACKING, SEGMENT), "there is no column"),
        (text(ROSTER, ANN).encode("utf-16"), "UTF-16"),
        (text(ROSTER, ANN) + '"E2', "line 3"),
        (text(ROSTER, ANN).encode() + b"\xff", "UTF-8"),
    ],
    ids=["another", "utf-16", "quote", "latin"],
)
async def test_file_that_is_no_such_table_is_refused_as_a_whole(
    here: httpx.AsyncClient, content: str | bytes, says: str
) -> None:
    response = await convert(here, "ny-roster", content)
    assert (400, ["invalid"]) == refusal(response)
    assert says in response.json()["issue"][0]["diagnostics"]
    assert [] == await out(here, "ny-roster")


async def test_table_that_there_is_not_and_text_that_no_operation_takes_are_refused(here: httpx.AsyncClient) -> None:
    unknown = await convert(here, "ny-nothing", text(ROSTER, ANN))
    assert (400, ["invalid"]) == refusal(unknown)
    assert ["Parameters.parameter.where(name='table')"] == places(unknown)
    assert (400, ["invalid"]) == refusal(await here.get("$table", params={"table": "x"}))
    headers = {"Content-Type": "text/csv"}
    assert 415 == (await here.post("Patient/$match", content="a,b", headers=headers)).status_code
    asked = {"resourceType": "Parameters", "parameter": [{"name": "table", "valueCode": "ny-roster"}]}
    assert (400, ["required"]) == refusal(await here.post("$convert", json=asked))
    read = (await here.get("$table", params={"table": "ny-roster"})).json()
    assert ("Binary", ROSTER) == (read["resourceType"], base64.b64decode(read["data"]).decode().strip().split(","))


@pytest.mark.requirement("ADJ-06", "NY-03")
async def test_each_organization_sends_and_gets_its_own_rows(here: httpx.AsyncClient) -> None:
    async def sent(actor: str, table: str, *rows: dict[str, str]) -> list[int]:
        headers = {"Content-Type": "text/csv", "X-Acting-As": actor}
        content = text(tables()[table].names, *rows)
        response = await here.post(
            "$convert", params={"table": table, "apply": "true"}, content=content, headers=headers
        )
        assert 200 == response.status_code, response.text
        return [one["valueInteger"] for one in response.json()["parameter"] if "valueInteger" in one]

    async def got(actor: str, table: str) -> list[str]:
        response = await here.get("$table", params={"table": table, "_format": "csv"}, headers={"X-Acting-As": actor})
        return [row["cin"] for row in csv.DictReader(io.StringIO(response.text))]

    assert [2, 2, 2] == await sent(PLAN, "ny-roster", ANN, ANN | {"enrollment": "E2", "cin": "C2"})
    assert ["C1", "C2"] == sorted(await got(PLAN, "ny-roster"))
    assert [] == await got(HOME, "ny-roster")


@pytest.mark.requirement("ADJ-05", "NY-20")
async def test_lead_lapses_with_the_segment_that_a_tracking_file_ends(client: httpx.AsyncClient) -> None:
    member = patient("m1", identifier=[{"system": f"{BASE}/sid/ny-cin", "value": "C1"}])
    segment = {"identifier": [{"system": f"{BASE}/sid/ny-segment", "value": "S1"}]}
    await new_york(client)
    await kept(client, member, number(PLAN, "P1"), number(HOME, "H1"))
    await kept(client, enrolled(MEMBER, "ny-health-home", HOME, **segment))
    await named(client)
    going = SEGMENT | {"start": "2025-01-01"}
    assert (1, 0, []) == await applied(client, "ny-tracking", going), "it is what the episode says"
    assert HAL == (await lead(client))["lead"]
    assert (1, 1, []) == await applied(
        client, "ny-tracking", going | END | {"end": day(0), "end_kind": "D", "end_code": "4"}
    )
    assert HAL == (await lead(client))["lead"], "until the end of that day"
    assert {} == await lead(client, day(2))
    assert ["m1-ny-health-home"] == ids(await client.get("EpisodeOfCare", params={"status": "finished"}))


@pytest.mark.requirement("ADJ-06")
async def test_long_file_is_applied_later_and_tells_how_far_it_is(here: httpx.AsyncClient) -> None:
    rows = [ANN | {"enrollment": f"E{n}", "cin": f"C{n}"} for n in range(450)]
    asked = {"params": {"table": "ny-roster", "apply": "true"}, "content": text(ROSTER, *rows)}
    place = await begun(here, "POST", "$convert", headers={"Content-Type": "text/csv"}, **asked)
    told = set()
    while (response := await here.get(place)).status_code == 202:
        told.add(response.headers["x-progress"])
        await asyncio.sleep(0)
    answer = json.loads((await here.get(response.json()["output"][0]["url"])).text)
    assert [450, 450, 450] == [one["valueInteger"] for one in answer["parameter"]]
    assert told & {f"{done} of 450" for done in range(50, 450, 50)}


TYPE_BESIDE = {"coding": [{"system": "urn:grouping", "code": "pilot"}]}
BESIDE: Json = {
    "team": [{"display": "The team"}],
    "diagnosis": [{"condition": {"display": "Asthma"}}],
    "careManager": {"display": "Hal"},
    "account": [{"display": "One"}],
}


async def episode(client: httpx.AsyncClient) -> Json:
    (entry,) = (await client.get("EpisodeOfCare")).json()["entry"]
    found: Json = entry["resource"]
    return found


async def enriched(client: httpx.AsyncClient, **more: Any) -> Json:
    """The one episode with what somebody else puts there."""
    found = await episode(client)
    found |= BESIDE | more
    found["identifier"] = [{"system": "urn:own", "value": "7"}, *found["identifier"]]
    found["extension"] = [{"url": "urn:own", "valueString": "kept"}, *found.get("extension", [])]
    found["type"] = [TYPE_BESIDE, *found["type"]]
    found["period"]["extension"] = [{"url": "urn:own", "valueString": "kept"}]
    found["managingOrganization"]["display"] = "The one"
    assert 200 == (await client.put(f"EpisodeOfCare/{found['id']}", json=found)).status_code
    return await episode(client)


def without(found: Json, *names: str) -> Json:
    return {name: value for name, value in found.items() if name not in {"meta", *names}}


@pytest.mark.requirement("ADJ-05", "ADJ-06")
async def test_row_changes_its_own_elements_and_keeps_what_others_have_put_there(here: httpx.AsyncClient) -> None:
    await applied(here, "ny-roster", ANN)
    (before,) = [one["resource"] for one in (await here.get("Coverage")).json()["entry"]]
    await kept(here, before | {"subscriberId": "77", "order": 1})
    first = await enriched(
        here, text={"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml">x</div>'}
    )
    assert (1, 0, []) == await applied(here, "ny-roster", ANN)
    assert first == await episode(here)
    assert (1, 1, []) == await applied(here, "ny-roster", ANN | {"end": "2026-03-31"})
    ended = await episode(here)
    changed = {"status", "period", "statusHistory", "text"}
    assert without(first, *changed) == without(ended, *changed)
    assert first["period"] | {"end": "2026-03-31"} == ended["period"]
    past = {"status": "active", "period": {"start": "2026-01-01", "end": "2026-03-31"}}
    assert ("finished", [past], False) == (ended["status"], ended["statusHistory"], "text" in ended)
    (coverage,) = [one["resource"] for one in (await here.get("Coverage")).json()["entry"]]
    assert ("77", 1, "2026-03-31") == (coverage["subscriberId"], coverage["order"], coverage["period"]["end"])
    assert (1, 1, []) == await applied(here, "ny-roster", ANN)
    assert without(first, "text") == without(await episode(here))


@pytest.mark.requirement("ADJ-05", "ADJ-06")
async def test_segment_that_is_changed_ended_and_deleted_keeps_what_is_beside_it(here: httpx.AsyncClient) -> None:
    await applied(here, "ny-roster", ANN)
    (coverage,) = (await here.get("EpisodeOfCare")).json()["entry"]
    assert 204 == (await here.delete(f"EpisodeOfCare/{coverage['resource']['id']}")).status_code
    await applied(here, "ny-tracking", SEGMENT | {"segment_type": "O"})
    await enriched(here, status="onhold")
    for row in (SEGMENT, SEGMENT | END, SEGMENT | END | {"health_home": "H2"}, SEGMENT | {"record": "D"}):
        assert (1, 1, []) == await applied(here, "ny-tracking", row)
        found = await episode(here)
        assert BESIDE == {name: found[name] for name in BESIDE}
        assert ["urn:own", f"{BASE}/sid/ny-segment"] == [one["system"] for one in found["identifier"]]
        assert TYPE_BESIDE == found["type"][0]
        assert {"url": "urn:own", "valueString": "kept"} == found["extension"][0]
        expected = [row] if row["record"] == "A" else []
        assert expected == await out(here, "ny-tracking")
    assert "entered-in-error" == found["status"]


@pytest.mark.requirement("ADJ-06")
async def test_file_without_a_column_and_status_of_others_leave_them_as_they_are(here: httpx.AsyncClient) -> None:
    await applied(here, "ny-roster", ANN)
    await applied(here, "ny-tracking", SEGMENT | END)
    names = [name for name in TRACKING if not name.startswith(("end", "new"))]
    response = await convert(here, "ny-tracking", text(names, SEGMENT | {"start": "2026-01-15"}))
    assert [1, 1, 1] == [one["valueInteger"] for one in response.json()["parameter"]]
    assert [SEGMENT | END | {"start": "2026-01-15"}] == await out(here, "ny-tracking")
    row = {"assignment": "A1", "kind": "M", "cin": "C1", "plan": "P1", "health_home": "H1", "start": "2026-01-15"}
    await applied(here, "ny-assignment", row)
    (task,) = [one["resource"] for one in (await here.get("Task")).json()["entry"]]
    for status in ("accepted", "rejected"):
        note = [{"text": "Ours"}]
        assert 200 == (await here.put(f"Task/{task['id']}", json=task | {"status": status, "note": note})).status_code
        assert (1, 1, []) == await applied(here, "ny-assignment", row | {"kind": "F" if status == "accepted" else "H"})
        (found,) = [one["resource"] for one in (await here.get("Task")).json()["entry"]]
        assert (status, note) == (found["status"], found["note"])


@pytest.mark.requirement("ADJ-06")
async def test_rows_and_others_who_write_at_once_lose_nothing_of_each_other(here: httpx.AsyncClient) -> None:
    await applied(here, "ny-roster", ANN)
    found = await enriched(here)

    async def added(number: int) -> None:
        change = [{"op": "add", "path": "/account/-", "value": {"display": str(number)}}]
        headers = {"Content-Type": "application/json-patch+json"}
        response = await here.patch(f"EpisodeOfCare/{found['id']}", content=json.dumps(change), headers=headers)
        assert 200 == response.status_code, response.text

    async def told(number: int) -> None:
        taken, _, rejected = await applied(here, "ny-roster", ANN | {"start": f"2026-01-{number + 2:02}"})
        assert (1, []) == (taken, rejected)

    await asyncio.gather(*(one(number) for number in range(8) for one in (added, told)))
    assert {"One", *map(str, range(8))} == {one["display"] for one in (await episode(here))["account"]}


@pytest.mark.requirement("ADJ-06")
async def test_enrolment_that_no_table_made_comes_out_with_what_it_says(client: httpx.AsyncClient) -> None:
    member = patient("m1", identifier=[{"system": f"{BASE}/sid/ny-cin", "value": "C1"}])
    await new_york(client)
    await kept(client, member, number(PLAN, "P1"), number(HOME, "H1"))
    numbered = {"identifier": [{"system": f"{BASE}/sid/ny-segment", "value": "S1"}]}
    home = enrolled(MEMBER, "ny-health-home", HOME)
    await kept(client, enrolled(MEMBER, "ny-map", PLAN), home)
    (row,) = await out(client, "ny-roster", organization=PLAN)
    assert ("P1", "C1", "map", False) == (row["plan"], row["cin"], row["plan_type"], "enrollment" in row)
    (row,) = await out(client, "ny-tracking", organization=HOME)
    assert ("H1", "C1", "E", False) == (row["health_home"], row["cin"], row["segment_type"], "segment" in row)
    await kept(client, home | numbered)
    assert (1, 1, []) == await applied(client, "ny-tracking", row | {"segment": "S1", "segment_type": "O"})
    (row,) = await out(client, "ny-tracking")
    assert ("S1", "O") == (row["segment"], row["segment_type"])
    (found,) = [one["resource"] for one in (await client.get("EpisodeOfCare")).json()["entry"] if HOME in str(one)]
    assert "ny-health-home" not in str(found["type"]), "outreach alone enrols nobody"
