"""Iowa's caseloads over HTTP: a roster in, members assigned up to the cap, the 51st refused at every door."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fhir.resources.R4B.measurereport import MeasureReport
from fhir.resources.R4B.parameters import Parameters

from server.app import create_app
from server.app.partition import opened
from server.coordination.program.plan_definition import RULE_OVERRIDE
from server.fhir import body
from server.load.shipped import programs
from server.settings import Settings
from server.validation.element import validate
from tests.conftest import lifespan
from tests.coordination.memory import (
    BASE,
    IA_HCBS,
    assigned,
    coding,
    episode,
    organization,
    patient,
    period,
    practitioner,
    role,
    shipped,
    team,
)
from tests.process import serving
from tests.scenarios.iowa import (
    ANN,
    BOB,
    CAP,
    MCO,
    asked,
    day,
    extensions,
    kept,
    midnight,
    near_the_cap,
    parameters,
    populations,
    put,
    puts,
    roster,
    sent,
)

Json = dict[str, Any]


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    return await near_the_cap(client)


async def assign(client: httpx.AsyncClient, member: str, manager: str = ANN, **more: Any) -> httpx.Response:
    return await client.post(f"Patient/{member}/$assign-care-manager", json=asked(manager, **more))


async def caseload(client: httpx.AsyncClient, manager: str = "ann") -> dict[str, int]:
    found = (await client.get(f"PractitionerRole/{manager}/$caseload")).json()
    return {part["name"]: part["valueInteger"] for part in found["parameter"] if "valueInteger" in part}


def refused(response: httpx.Response) -> Json:
    """The one issue of a refusal by the cap."""
    assert 422 == response.status_code, response.text
    [issue] = response.json()["issue"]
    assert ("business-rule", f"{IA_HCBS}|1.0.0#IA-04") == (issue["code"], issue["details"]["text"])
    found: Json = issue
    return found


@pytest.mark.requirement("IA-01", "IA-04")
async def test_the_fiftieth_member_is_assigned_and_the_fifty_first_refused(iowa: httpx.AsyncClient) -> None:
    fiftieth = await assign(iowa, "w1")
    assert (201, {"reference": "Patient/w1"}) == (fiftieth.status_code, fiftieth.json()["subject"])
    assert fiftieth.headers["location"].endswith(f"/_history/{fiftieth.json()['meta']['versionId']}")
    assert {"members": 50, "reserved": 0, "limit": 50, "remaining": 0} == await caseload(iowa)
    issue = refused(await assign(iowa, "w2"))
    assert ["Parameters.parameter.where(name='manager')"] == issue["expression"]
    for part in (
        "Practitioner/ann",
        f"Organization/{MCO}",
        "51",
        "50",
        day(0),
        "IA-04",
        f"{IA_HCBS}|1.0.0",
        "November 21, 2024",
    ):
        assert part in issue["diagnostics"]
    assert 0 == (await iowa.get("CareTeam", params={"patient": "w2"})).json()["total"]
    assert {"members": 50, "reserved": 0, "limit": 50, "remaining": 0} == await caseload(iowa)


Door = Callable[[httpx.AsyncClient, Json], Any]


async def by_put(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    return await put(client, made)


async def by_post(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    return await client.post("CareTeam", json={name: value for name, value in made.items() if name != "id"})


async def by_transaction(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    return await client.post("", json=puts(patient("beside"), made))


async def by_conditional_update(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    identified = made | {"identifier": [{"system": "urn:teams", "value": "1"}]}
    return await client.put(
        "CareTeam", params={"identifier": "urn:teams|1"}, json={n: v for n, v in identified.items() if n != "id"}
    )


async def by_conditional_create(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    unnamed = {name: value for name, value in made.items() if name != "id"}
    return await client.post("CareTeam", json=unnamed, headers={"If-None-Exist": "identifier=urn:teams|2"})


async def by_batch(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    found = (await client.post("", json=puts(made) | {"type": "batch"})).json()
    response = found["entry"][0]["response"]
    return httpx.Response(int(response["status"][:3]), json=response.get("outcome"))


async def by_patch(client: httpx.AsyncClient, made: Json) -> httpx.Response:
    """The 51st joins a team that has nobody yet."""
    await put(client, {name: value for name, value in made.items() if name != "participant"})
    patch = [{"op": "add", "path": "/participant", "value": made["participant"]}]
    headers = {"Content-Type": "application/json-patch+json"}
    return await client.patch(f"CareTeam/{made['id']}", content=json.dumps(patch), headers=headers)


@pytest.mark.requirement("IA-04")
async def test_a_patch_that_raises_a_count_is_refused_as_an_update_is(iowa: httpx.AsyncClient) -> None:
    await assign(iowa, "w1")
    made = team("w2", assigned(ANN, day(0)))
    assert ["CareTeam.participant[0]"] == refused(await by_patch(iowa, made))["expression"]
    assert "participant" not in (await iowa.get(f"CareTeam/{made['id']}")).json()


@pytest.mark.requirement("IA-04")
@pytest.mark.parametrize(
    "door", [by_put, by_post, by_transaction, by_conditional_update, by_conditional_create, by_batch]
)
async def test_every_door_refuses_the_fifty_first_and_leaves_nothing_behind(
    iowa: httpx.AsyncClient, door: Door
) -> None:
    await assign(iowa, "w1")
    before = (await iowa.get("_history", params={"_count": 1})).json()["entry"][0]["resource"]["meta"]["versionId"]
    [place] = refused(await door(iowa, team("w2", assigned(ANN, day(0)))))["expression"]
    assert {by_transaction: "Bundle.entry[1].resource", by_batch: "Bundle.entry[0].resource"}.get(
        door, "CareTeam"
    ) + ".participant[0]" == place
    after = (await iowa.get("_history", params={"_count": 1})).json()["entry"][0]["resource"]["meta"]["versionId"]
    assert before == after


@pytest.mark.requirement("IA-04")
async def test_a_transaction_of_two_assignments_passes_only_where_both_fit(iowa: httpx.AsyncClient) -> None:
    both = puts(team("w1", assigned(ANN)), team("w2", assigned(ANN)))
    places = refused(await iowa.post("", json=both))["expression"]
    assert {"Bundle.entry[0].resource.participant[0]", "Bundle.entry[1].resource.participant[0]"} == set(places)
    assert 404 == (await iowa.get("CareTeam/w1")).status_code
    assert 200 == (await iowa.post("", json=puts(team("w1", assigned(ANN))))).status_code


@pytest.mark.requirement("IA-04")
@pytest.mark.parametrize(
    "form", ["{0}", "{0}/_history/1", "http://127.0.0.1/fhir/{0}", "http://127.0.0.1/fhir/{0}/_history/1"]
)
async def test_every_form_of_a_reference_is_the_same_person(iowa: httpx.AsyncClient, form: str) -> None:
    assert 201 == (await put(iowa, team("w1", assigned(form.format(ANN))))).status_code
    refused(await put(iowa, team("w2", assigned(form.format(ANN)))))


@pytest.mark.requirement("IA-04")
async def test_the_other_role_of_the_same_person_is_no_way_around(iowa: httpx.AsyncClient) -> None:
    await put(iowa, role("ann-too", "ann", MCO))
    assert 201 == (await assign(iowa, "w1", "PractitionerRole/ann-too")).status_code
    refused(await assign(iowa, "w2", "PractitionerRole/ann-too"))
    assert 50 == (await caseload(iowa, "ann-too"))["members"]


@pytest.mark.requirement("IA-04")
@pytest.mark.parametrize(
    "member",
    [{"identifier": {"system": "urn:staff", "value": "ann"}}, {"display": "Ann"}, {"reference": "#ann"}],
    ids=["identifier", "text", "contained"],
)
async def test_a_manager_who_could_be_anybody_is_refused(iowa: httpx.AsyncClient, member: Json) -> None:
    contained = {**role("ann"), "id": "ann"}
    made = team("w1", assigned(ANN) | {"member": member}, contained=[contained] if "reference" in member else [])
    if not made["contained"]:
        del made["contained"]
    response = await put(iowa, made)
    assert 422 == response.status_code
    assert [("business-rule", ["CareTeam.participant[0].member"])] == [
        (issue["code"], issue["expression"]) for issue in response.json()["issue"]
    ]


@pytest.mark.requirement("IA-04")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([episode("w2", MCO, status="planned", start=day(30))], team("w2", assigned(ANN))),
        ([episode("w2", MCO, status="onhold"), team("w2", assigned(ANN))], episode("w2", MCO)),
        ([episode("w2", "ia-wellpoint"), team("w2", assigned(ANN))], episode("w2", MCO)),
        ([team("w2", assigned(ANN), status="proposed")], team("w2", assigned(ANN))),
        ([role("new", "bob", MCO), team("w2", assigned("PractitionerRole/new"))], role("new", "ann", MCO)),
        (
            [patient("twin"), team("twin", assigned(ANN))],
            patient("twin", link=[{"other": {"reference": "Patient/w2"}, "type": "replaced-by"}]),
        ),
        ([], team("w2", assigned(ANN, day(30), day(60)))),
        ([team("w2", assigned(ANN, "2025-01-01", day(0)))], team("w2", assigned(ANN))),
    ],
    ids=["planned", "onhold", "organization", "proposed", "practitioner", "merged", "to come", "reopened"],
)
async def test_no_write_that_raises_a_count_is_a_way_around(
    iowa: httpx.AsyncClient, before: list[Json], after: Json
) -> None:
    for one in before:
        assert (await put(iowa, one)).is_success
    if before and before[-1].get("participant", [{}])[0].get("period", {}).get("end"):
        await put(iowa, team("w1", assigned(ANN, day(1))))
    else:
        await assign(iowa, "w1")
    refused(await put(iowa, after))


@pytest.mark.requirement("IA-04")
async def test_who_stands_above_the_cap_can_be_edited_corrected_and_relieved(iowa: httpx.AsyncClient) -> None:
    lower = shipped()
    lower["action"][2]["extension"][-1]["extension"][1]["valueInteger"] = 40
    assert 200 == (await put(iowa, lower)).status_code
    assert {"members": 49, "reserved": 0, "limit": 40, "remaining": 0} == await caseload(iowa)
    assert 200 == (await put(iowa, team("ann-0", assigned(ANN), name="Edited"))).status_code
    closed = team("ann-0", assigned(ANN, end=midnight(0)), assigned(BOB, midnight(0)))
    assert 200 == (await put(iowa, closed)).status_code
    assert 422 == (await assign(iowa, "w1")).status_code
    assert 48 == (await caseload(iowa))["members"]


async def test_a_rule_is_overridden_by_whom_it_names_and_the_grounds_are_kept(iowa: httpx.AsyncClient) -> None:
    await assign(iowa, "w1")
    plan = shipped()
    boss = coding("cm-role", "area-manager")
    allowed = {"url": RULE_OVERRIDE, "extension": [{"url": "role", "valueCoding": boss["coding"][0]}]}
    plan["action"][2]["extension"].append(allowed)
    await kept(iowa, plan, role("boss", "bob", MCO, code=[boss]))
    reason = {"coding": [{"system": "urn:reasons", "code": "emergency"}]}
    url, given = "Patient/w2/$assign-care-manager", asked(override=("valueCodeableConcept", reason))
    refused(await iowa.post(url, json=given, headers={"X-Acting-As": BOB}))
    refused(await iowa.post(url, json=asked(), headers={"X-Acting-As": "PractitionerRole/boss"}))
    made = await iowa.post(url, json=given, headers={"X-Acting-As": "PractitionerRole/boss"})
    assert 201 == made.status_code
    [entry] = (await iowa.get("Provenance", params={"target": f"CareTeam/{made.json()['id']}"})).json()["entry"]
    assert [reason] == entry["resource"]["reason"]
    assert "PractitionerRole/boss" == entry["resource"]["agent"][0]["who"]["reference"]
    as_recorded = {"coding": [{"system": f"{BASE}/CodeSystem/override-reason", "code": "as-recorded"}]}
    refused(
        await iowa.post(
            "Patient/w3/$assign-care-manager",
            json=asked(override=("valueCodeableConcept", as_recorded)),
            headers={"X-Acting-As": BOB},
        )
    )


@pytest.mark.requirement("IA-02")
async def test_a_limit_that_an_operator_changes_holds_from_its_date_and_a_restart_does_not_undo_it(
    settings: Settings, tmp_path: Path
) -> None:
    async with opened(settings) as server:
        await programs(server)

    async def with_client(work: Callable[[httpx.AsyncClient], Any]) -> Any:
        app = create_app(settings)
        async with (
            lifespan(app),
            httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1/fhir/") as client,
        ):
            return await work(client)

    async def change(client: httpx.AsyncClient) -> None:
        await kept(client, organization(MCO), *roster({"ann": 40}, waiting=3))
        plan = (await client.get("PlanDefinition/ia-hcbs")).json()
        text = json.dumps(plan).replace('"valueInteger": 50', '"valueInteger": 40')
        plan = json.loads(text) | {"effectivePeriod": {"start": day(30)}, "version": "1.1.0"}
        assert 200 == (await put(client, plan)).status_code

    async def check(client: httpx.AsyncClient) -> None:
        assert 50 == (await caseload(client))["limit"]
        later = (await client.get("PractitionerRole/ann/$caseload", params={"asOf": day(30)})).json()["parameter"]
        assert 40 == next(part["valueInteger"] for part in later if part["name"] == "limit")
        until = await assign(client, "w1", end=("valueDate", day(29)))
        assert 201 == until.status_code
        beyond = await assign(client, "w2")
        assert 422 == beyond.status_code
        issue = beyond.json()["issue"][0]
        assert (f"{IA_HCBS}|1.1.0#IA-04", True) == (issue["details"]["text"], day(30) in issue["diagnostics"])
        versions = (await client.get("PlanDefinition", params={"url": IA_HCBS})).json()["entry"]
        assert {"1.0.0", "1.1.0"} == {entry["resource"]["version"] for entry in versions}

    await with_client(change)
    async with opened(settings) as server:
        await programs(server)
    await with_client(check)


@pytest.mark.requirement("IA-27")
async def test_assignments_are_closed_and_never_overwritten(iowa: httpx.AsyncClient) -> None:
    assert 422 == (await iowa.delete("CareTeam/ann-0")).status_code
    assert 422 == (await put(iowa, team("ann-0"))).status_code
    assert 422 == (await iowa.delete(ANN)).status_code
    assert 422 == (await iowa.delete("EpisodeOfCare/ann-0")).status_code
    inactive = (await put(iowa, team("ann-0", assigned(ANN), status="inactive"))).json()
    assert "end" in inactive["participant"][0]["period"]
    assert 48 == (await caseload(iowa))["members"]
    assert 201 == (await assign(iowa, "w1")).status_code


async def test_a_change_of_managers_is_a_handoff(iowa: httpx.AsyncClient) -> None:
    response = await assign(iowa, "ann-0", BOB)
    assert (409, "conflict") == (response.status_code, response.json()["issue"][0]["code"])
    assert "$handoff" in response.json()["issue"][0]["diagnostics"]
    response = await put(iowa, episode("ann-0", MCO, careManager={"reference": BOB}))
    assert (422, ["EpisodeOfCare.careManager"]) == (response.status_code, response.json()["issue"][0]["expression"])


@pytest.mark.parametrize("start", ["0001-01-01", "1850-01-01", "9999-12-31"])
async def test_an_assignment_of_a_far_date_leaves_the_manager_readable(iowa: httpx.AsyncClient, start: str) -> None:
    made = await assign(iowa, "w1", start=("valueDate", start))
    assert (201, []) == (made.status_code, validate(body.loads(made.content)))
    for url in ("Patient/w1/$care-manager", f"{ANN}/$caseload", f"Organization/{MCO}/$caseload-report"):
        for as_of in ("0001-01-01", "9999-12-31"):
            response = await iowa.get(url, params={"program": IA_HCBS, "asOf": as_of})
            assert (200, []) == (response.status_code, validate(body.loads(response.content)))


async def test_an_assignment_that_stands_is_answered_and_not_written_again(iowa: httpx.AsyncClient) -> None:
    first = await assign(iowa, "w1")
    again = await assign(iowa, "w1")
    assert (201, 200) == (first.status_code, again.status_code)
    assert first.json() == again.json()


async def test_an_assignment_that_is_sent_twice_under_one_key_is_answered_alike(iowa: httpx.AsyncClient) -> None:
    url, headers = "Patient/w1/$assign-care-manager", {"Idempotency-Key": "w1-ann"}
    first = await iowa.post(url, json=asked(), headers=headers)
    again = await iowa.post(url, json=asked(), headers=headers)
    assert (201, 201, first.content) == (first.status_code, again.status_code, again.content)
    other = await iowa.post(url, json=asked(BOB), headers=headers)
    assert 422 == other.status_code


async def test_wrong_parameters_are_named(iowa: httpx.AsyncClient) -> None:
    wrong = parameters(manager=("valueString", "ann"), color=("valueString", "red"))
    response = await iowa.post("Patient/w1/$assign-care-manager", json=wrong)
    assert 400 == response.status_code
    named = {issue["expression"][0].split("'")[1] for issue in response.json()["issue"]}
    assert {"program", "manager", "color"} == named
    assert 405 == (await iowa.get("Patient/w1/$assign-care-manager")).status_code
    assert 404 == (await iowa.post("Patient/nobody/$assign-care-manager", json=asked())).status_code
    assert 400 == (await iowa.get("Patient/w1/$care-manager", params={"at": -1})).status_code


async def test_at_the_instant_of_a_write_it_is_there(iowa: httpx.AsyncClient) -> None:
    """What the client knows of it is meta.lastUpdated, in milliseconds."""
    made = (await put(iowa, organization("late"))).json()["meta"]["lastUpdated"]
    given = {"program": IA_HCBS, "at": made}
    assert 200 == (await iowa.get("Organization/late/$caseload-report", params=given)).status_code


@pytest.mark.parametrize(
    "url", ["Patient/w1/$care-manager", f"{ANN}/$caseload", f"Organization/{MCO}/$caseload-report"]
)
async def test_a_version_of_the_program_that_is_not_in_force_is_not_answered_by_another(
    iowa: httpx.AsyncClient, url: str
) -> None:
    expected = {"1.0.0": 200, "0.9.0": 422}
    found = {version: await iowa.get(url, params={"program": f"{IA_HCBS}|{version}"}) for version in expected}
    assert expected == {version: response.status_code for version, response in found.items()}


@pytest.mark.requirement("IA-25")
async def test_who_the_care_manager_is_with_telecom_or_whom_to_call(iowa: httpx.AsyncClient) -> None:
    found = (await iowa.get("Patient/ann-0/$care-manager")).json()
    Parameters.model_validate(found)
    [assignment] = found["parameter"]
    parts = {part["name"]: part for part in assignment["part"]}
    assert {"reference": ANN} == parts["manager"]["valueReference"]
    assert "1-515-555-0100" == parts["practitioner"]["resource"]["telecom"][0]["value"]
    assert "ann@mco.example" == parts["practitionerRole"]["resource"]["telecom"][0]["value"]
    assert {"reference": "CareTeam/ann-0"} == parts["careTeam"]["valueReference"]
    assert ("2025-01-01T00:00:00-06:00", True) == (parts["since"]["valueDateTime"], parts["lead"]["valueBoolean"])
    for url in ("Patient/w1/$care-manager", "Patient/ann-0/$care-manager?asOf=2025-01-01T05:59:59Z"):
        parameter = (await iowa.get(url)).json().get("parameter", [])
        assert {"contact"} >= {one["name"] for one in parameter}
    [contact] = (await iowa.get("Patient/w1/$care-manager")).json()["parameter"]
    telecom = [one["value"] for one in contact["resource"]["telecom"]]
    assert ["IA_CM@molinahealthcare.com", "1-844-236-0894", "https://molinahealthcare.com"] == telecom


@pytest.mark.requirement("IA-26", "IA-27")
async def test_business_time_and_ledger_time_are_two(iowa: httpx.AsyncClient) -> None:
    position = int((await assign(iowa, "w1")).json()["meta"]["versionId"])
    moved = team("ann-0", assigned(ANN, end=midnight(0)), assigned(BOB, midnight(0)))
    assert 200 == (await put(iowa, moved)).status_code

    async def manager(**query: str) -> str:
        found = (await iowa.get("Patient/ann-0/$care-manager", params=query)).json()
        parts = {part["name"]: part for part in found["parameter"][0]["part"]}
        return str(parts["manager"]["valueReference"]["reference"])

    assert [BOB, ANN, ANN, BOB] == [
        await manager(),
        await manager(asOf=day(-1)),
        await manager(at=str(position)),
        await manager(at=str(position + 1)),
    ]
    assert 400 == (await iowa.get("Patient/ann-0/$care-manager", params={"at": "999999"})).status_code


async def report(client: httpx.AsyncClient, **query: str) -> Json:
    response = await client.get(f"Organization/{MCO}/$caseload-report", params={"program": IA_HCBS, **query})
    assert 200 == response.status_code, response.text
    found: Json = response.json()
    MeasureReport.model_validate(found)
    assert [] == validate(body.loads(response.content))
    return found


@pytest.mark.requirement("IA-03", "IA-26", "IA-27", "IA-28")
async def test_the_report_has_average_managers_and_both_lengths(iowa: httpx.AsyncClient) -> None:
    await put(iowa, practitioner("ann", qualification=[{"code": {"text": "CM"}, "period": {"start": day(-1000)}}]))
    await put(iowa, team("bob-0", assigned(BOB, day(-30))) | {"id": "bob-1", "subject": {"reference": "Patient/w9"}})
    group = (await report(iowa))["group"][0]
    assert "statewide-average" == group["code"]["coding"][0]["code"]
    assert {"members": 51, "managers": 2, "unassigned": 8} == populations(group)
    assert 25.5 == group["measureScore"]["value"]
    ann, bob = group["stratifier"][0]["stratum"]
    assert ({"members": 49, "individuals": 49}, {"members": 2, "individuals": 2}) == (
        populations(ann),
        populations(bob),
    )
    assert ["Practitioner/ann", ANN] == [
        one["valueReference"]["reference"] for one in extensions(ann, "caseload-manager")
    ]
    assert [1000] == [one["valueQuantity"]["value"] for one in extensions(ann, "service-length")]
    days = [one["valueQuantity"] for one in extensions(bob, "assignment-length")]
    assert 30 in [one["value"] for one in days]
    assert {"d"} == {one["code"] for one in days}
    assert [] == extensions(ann, "caseload-breach") == extensions(group, "caseload-breach")


@pytest.mark.requirement("IA-03")
async def test_the_report_has_the_total_of_the_state_where_it_is_asked_to(iowa: httpx.AsyncClient) -> None:
    await kept(iowa, episode("w1", "ia-wellpoint"), team("w1", assigned(BOB)))
    own, _, state = (await report(iowa, statewide="true"))["group"]
    assert {"members": 50, "managers": 2, "unassigned": 8} == populations(own)
    assert "all-organizations" == state["code"]["coding"][0]["code"]
    assert {"members": 51, "managers": 2} == populations(state)
    assert 25.5 == state["measureScore"]["value"]


@pytest.mark.requirement("IA-03", "IA-26")
async def test_the_report_names_the_evidence_where_it_is_asked_to(iowa: httpx.AsyncClient) -> None:
    found = await report(iowa, detail="true")
    assert "subject-list" == found["type"]
    bob = found["group"][0]["stratifier"][0]["stratum"][1]
    lists = {one["id"]: [item["item"]["reference"] for item in one["entry"]] for one in found["contained"]}
    assert ["Patient/bob-0"] == lists[bob["population"][0]["subjectResults"]["reference"].removeprefix("#")]
    assert {"reference": "CareTeam/bob-0"} in found["evaluatedResource"]


@pytest.mark.requirement("IA-02", "IA-03", "IA-04")
async def test_the_report_flags_breaches_only_from_the_date_of_the_limits(iowa: httpx.AsyncClient) -> None:
    lower = shipped()
    lower["action"][1]["extension"][-1]["extension"][1]["valueInteger"] = 24
    lower["action"][2]["extension"][-1]["extension"][1]["valueInteger"] = 40
    lower["effectivePeriod"]["start"] = "2025-02-01"
    await put(iowa, lower)
    group = (await report(iowa))["group"][0]
    parts = {one["url"]: one for one in extensions(group, "caseload-breach")[0]["extension"]}
    assert (24, 50, 2) == tuple(parts[name]["valueInteger"] for name in ("limit", "number", "managers"))
    assert parts["rule"]["valueCanonical"].endswith("#IA-03")
    ann, bob = group["stratifier"][0]["stratum"]
    assert (1, 0) == (len(extensions(ann, "caseload-breach")), len(extensions(bob, "caseload-breach")))
    before = (await report(iowa, asOf="2025-01-31"))["group"][0]
    assert [] == extensions(before, "caseload-breach")
    assert "stratifier" not in (await report(iowa, asOf="2024-12-31"))["group"][0]


async def test_the_report_is_a_table_too(iowa: httpx.AsyncClient) -> None:
    url = f"Organization/{MCO}/$caseload-report"
    response = await iowa.get(url, params={"program": IA_HCBS, "_format": "csv"})
    assert "text/csv;charset=utf-8" == response.headers["content-type"]
    assert "Practitioner/ann,Manager ann,49,49" in response.text
    response = await iowa.get(url, params={"program": IA_HCBS, "detail": "true"}, headers={"Accept": "text/csv"})
    assert 60 == len(response.text.splitlines())
    asked = parameters(program=("valueCanonical", IA_HCBS), _format=("valueCode", "csv"))
    response = await iowa.post(url, json=asked)
    assert "text/csv;charset=utf-8" == response.headers["content-type"]


@pytest.mark.requirement("IA-26")
async def test_the_report_over_a_period(iowa: httpx.AsyncClient) -> None:
    await put(iowa, team("bob-0", assigned(BOB, "2025-01-01", day(-10))))
    over = parameters(program=("valueCanonical", IA_HCBS), period=("valuePeriod", period(day(-20), day(-1))))
    found = (await iowa.post(f"Organization/{MCO}/$caseload-report", json=over)).json()
    assert period(day(-20), day(-1)) == found["period"]
    ann, bob = found["group"][0]["stratifier"][0]["stratum"]
    assert {"members": 49, "individuals": 49, "peak": 49} == populations(ann)
    assert {"members": 0, "individuals": 0, "peak": 1} == populations(bob)


async def test_operations_are_listed_in_the_capability_statement(iowa: httpx.AsyncClient) -> None:
    text = (await iowa.get("metadata")).text
    for name in ("assign-care-manager", "care-manager", "caseload", "caseload-report", "validate"):
        assert f'"{name}"' in text


async def test_validate_says_what_a_create_would(iowa: httpx.AsyncClient) -> None:
    wrong = await iowa.post("Patient/$validate", json={"resourceType": "Patient", "gender": "x", "foo": 1})
    assert (200, 2) == (wrong.status_code, len(wrong.json()["issue"]))
    fine = await iowa.post("Patient/$validate", json={"resourceType": "Patient"})
    assert ["information"] == [issue["severity"] for issue in fine.json()["issue"]]
    stored = await iowa.get("Patient/w1/$validate")
    assert ["information"] == [issue["severity"] for issue in stored.json()["issue"]]
    other = await iowa.post(
        "Patient/$validate?mode=update", json={"resourceType": "Group", "type": "person", "actual": True}
    )
    assert {"invalid", "required"} == {issue["code"] for issue in other.json()["issue"]}
    profiled = await iowa.post("Patient/$validate?profile=urn:p&mode=create", json={"resourceType": "Patient"})
    assert ["error"] == [issue["severity"] for issue in profiled.json()["issue"]]
    assert 400 == (await iowa.post("Patient/$validate?mode=guess", json={"resourceType": "Patient"})).status_code
    assert 400 == (await iowa.post("Patient/$validate")).status_code


@pytest.mark.requirement("IA-04")
def test_of_eight_writers_at_once_one_gets_the_last_place(tmp_path: Path) -> None:
    with serving(store=f"sqlite:///{tmp_path}/careplan.db", workers=2) as base:
        asyncio.run(race(base))


async def race(base: str) -> None:
    limits = httpx.Limits(max_connections=8, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=f"{base}/", limits=limits, timeout=60) as client:
        await kept(client, organization(MCO), *roster({"ann": CAP - 1}, waiting=80))
        for round in range(10):
            members = [f"w{1 + round * 8 + number}" for number in range(8)]
            answers = await asyncio.gather(*(assign(client, member) for member in members))
            assert [201] + 7 * [422] == sorted(answer.status_code for answer in answers)
            assert 50 == (await caseload(client))["members"]
            winner = answers[[answer.status_code for answer in answers].index(201)].json()
            winner["participant"][0]["period"]["end"] = datetime.now(UTC).isoformat(timespec="milliseconds")
            assert 200 == (await put(client, winner)).status_code


async def test_the_caseload_of_who_has_nobody_is_that_of_the_programs_open_to_the_role(
    iowa: httpx.AsyncClient,
) -> None:
    other = json.loads(json.dumps(shipped()).replace("ia-hcbs", "other"))
    other["action"][0]["extension"][1]["extension"][1]["valueCoding"]["code"] = "nurse"
    await put(iowa, other)
    await sent(
        iowa,
        puts(practitioner("new"), role("new", mco=MCO), role("both", "new", mco=MCO, code=[{"text": "Case manager"}])),
    )
    assert {"members": 0, "reserved": 0, "limit": 50, "remaining": 50} == await caseload(iowa, "new")
    assert {"members": 0, "reserved": 0, "limit": 50, "remaining": 50} == await caseload(iowa, "both")
    lower = json.dumps(other).replace('"valueInteger": 50', '"valueInteger": 40')
    await put(iowa, json.loads(lower))
    assert {"members": 0, "reserved": 0} == await caseload(iowa, "both")
    assert {"members": 0, "reserved": 0, "limit": 50, "remaining": 50} == await caseload(iowa, "new")
