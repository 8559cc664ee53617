"""Each organization sees its own and shared members only, by whatever way it asks: two organizations, every route."""

from __future__ import annotations

import asyncio

import httpx
import pytest

from tests.answers import entry, ids, refusal, transaction
from tests.coordination.memory import coding, patient
from tests.scenarios.iowa import Json, kept
from tests.scenarios.new_york import (
    HAL,
    HOME,
    MEMBER,
    OLA,
    OTHER,
    PAT,
    PLAN,
    acting,
    asa,
    day,
    enrolled,
    new_york,
    proposed,
)
from tests.scenarios.new_york_hidden import SECRET, binary, care_team, observation, plan, task

THEIRS = "Patient/m2"  # whom only the Health Home has


@pytest.fixture
async def here(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """The plan, the Health Home and their member, and one whom only the Health Home has, with all kinds of care."""
    named = {"name": [{"family": SECRET}], "birthDate": "1950-01-02"}
    encounter = {
        "resourceType": "Encounter",
        "id": "e2",
        "status": "finished",
        "class": {"code": "AMB"},
        "subject": {"reference": THEIRS},
        "serviceProvider": {"reference": HOME},
    }
    provenance = {
        "resourceType": "Provenance",
        "id": "pr2",
        "target": [{"reference": "CarePlan/cp2"}],
        "recorded": "2026-01-01T00:00:00Z",
        "agent": [{"who": {"reference": HOME}}],
    }
    group = {
        "resourceType": "Group",
        "id": "g2",
        "type": "person",
        "actual": True,
        "managingEntity": {"reference": HOME},
        "member": [{"entity": {"reference": THEIRS}}, {"entity": {"reference": MEMBER}}],
    }
    listed = {
        "resourceType": "List",
        "id": "l2",
        "status": "current",
        "mode": "working",
        "source": {"reference": HAL},
        "entry": [{"item": {"reference": "Observation/o1"}}, {"item": {"reference": THEIRS}}],
    }
    theirs = [
        {**patient("m2"), **named},
        enrolled(THEIRS, "ny-health-home", HOME),
        plan("cp2", THEIRS, HAL),
        care_team("ct2", THEIRS, HOME),
        observation("o2", THEIRS),
        {**observation("o3", MEMBER), "hasMember": [{"reference": "Observation/o2"}]},
        encounter,
        task("t2", THEIRS, HOME),
        provenance,
        group,
        listed,
        binary("b2", "CarePlan/cp2"),
    ]
    both = [observation("o1", MEMBER), plan("cp1", MEMBER, PAT, contributor=[{"reference": HAL}])]
    return await new_york(client, "ny-mltcp", *both, *theirs)


HIDDEN = (
    THEIRS,
    "EpisodeOfCare/m2-ny-health-home",
    "CarePlan/cp2",
    "CareTeam/ct2",
    "Observation/o2",
    "Encounter/e2",
    "Task/t2",
    "Provenance/pr2",
    "Group/g2",
    "List/l2",
    "Binary/b2",
)
ACTORS = (PLAN, PAT, "Practitioner/pat", MEMBER, OTHER, "Organization/nobody")


def references(bundle: Json) -> set[str]:
    """The resources of a Bundle."""
    found = [entry["resource"] for entry in bundle.get("entry", ()) if "resource" in entry]
    return {f"{one['resourceType']}/{one['id']}" for one in found if "id" in one}


async def head(client: httpx.AsyncClient) -> int:
    return int((await client.get("http://127.0.0.1/health")).json()["position"])


@pytest.mark.requirement("NY-06")
@pytest.mark.parametrize("actor", ACTORS)
async def test_hidden_reads_like_absent_by_id_version_and_history(here: httpx.AsyncClient, actor: str) -> None:
    for reference in HIDDEN:
        type, _, id = reference.partition("/")
        for place in ("", "/_history/1", "/_history", "/$meta"):
            hidden, absent = [
                await here.get(f"{type}/{one}{place}", headers=acting(actor)) for one in (id, "not-there")
            ]
            assert 404 == hidden.status_code, (reference, place)
            assert absent.text == hidden.text.replace(id, "not-there")
            assert absent.headers.keys() == hidden.headers.keys()
        assert 200 == (await here.get(reference)).status_code
        assert 200 == (await here.get(reference, headers=acting(HAL))).status_code, reference


TYPES = sorted({one.partition("/")[0] for one in HIDDEN})
ASKED = (
    *(type for type in TYPES),
    *(f"{type}?_total=accurate&_summary=count" for type in TYPES),
    *(f"{type}?_sort=-_lastUpdated" for type in TYPES),
    f"?_type={','.join(TYPES)}",
    f"?_type={','.join(TYPES)}&_content={SECRET}",
    "Patient?_id=m2",
    "Patient?_has:CarePlan:patient:status=active",
    f"Patient?family={SECRET}",
    f"Patient?name:contains={SECRET[1:]}",
    "Patient?birthdate=1950-01-02",
    "Patient?_filter=birthdate eq 1950-01-02",
    f"Patient?_text={SECRET}",
    "CarePlan?patient=m2",
    "CarePlan?subject:not=Patient/m1",
    "Observation?_lastUpdated=ge2020-01-01&subject=Patient/m2",
    f"Observation?patient.family={SECRET}",
    "Observation?patient._id=m2",
    "Observation?_list=l2",
    "Observation?has-member.subject=Patient/m2",
    "Observation?has-member:Observation.code:text=Xylo",
    "Observation?_has:List:item:source=PractitionerRole/hal",
    f"Organization?_has:EpisodeOfCare:organization:patient.family={SECRET}",
    "Organization?_has:EpisodeOfCare:organization:patient=Patient/m2",
    "PractitionerRole?_has:CarePlan:performer:patient=Patient/m2",
    "Practitioner?_has:PractitionerRole:practitioner:_has:CareTeam:participant:patient=Patient/m2",
    "Patient/m2/*",
    "Patient/m2/CarePlan",
    "Encounter/e2/Observation",
    "Practitioner/hal/CarePlan",
    "Observation?_contained=both&subject=Patient/m2",
    "_history",
    "_history?_since=2020-01-01",
    *(f"{type}/_history" for type in TYPES),
    "_history?_list=l2",
    "_history?_at=ge2020-01-01",
    "Patient/$everything",
    "Patient/m1/$everything",
    "Observation/$lastn?patient=m2",
    "Patient/m1/$coordination-check",
    "Patient/m1/$lead",
    "PractitionerRole/hal/$caseload?detail=true",
)
FROM_WHERE_ALL_SEE = {
    "Observation?has-member.subject=Patient/m2",
    "Observation?has-member:Observation.code:text=Xylo",
}


@pytest.mark.requirement("NY-06")
@pytest.mark.parametrize("asked", ASKED)
async def test_search_and_history_tell_nothing_of_what_is_hidden(here: httpx.AsyncClient, asked: str) -> None:
    for actor in (PLAN, "Practitioner/pat"):
        response = await here.get(asked, headers=acting(actor))
        if response.status_code != 200:
            assert response.status_code in {400, 404, 422}, response.text
            continue
        told = response.json()
        shown = references(told)
        assert shown.isdisjoint(HIDDEN), asked
        assert 'reference":"Patient/m2' not in response.text
        if "total" in told and "history" not in asked and "_summary=count" not in asked:
            assert len([one for one in told.get("entry", ()) if one["search"]["mode"] == "match"]) == told["total"]


@pytest.mark.parametrize(
    "asked",
    [
        f"Organization?_has:EpisodeOfCare:organization:patient.family={SECRET}",
        "Organization?_has:EpisodeOfCare:organization:patient=Patient/m2",
        "Observation?has-member.subject=Patient/m2",
        "Observation?_list=l2",
        f"Observation?patient.family={SECRET}",
        "Patient?_has:Observation:subject:_has:List:item:source=PractitionerRole/hal",
    ],
)
async def test_no_step_of_a_search_confirms_what_is_hidden(here: httpx.AsyncClient, asked: str) -> None:
    assert [] != ids(await here.get(asked))
    assert [] == ids(await here.get(asked, headers=acting(PLAN)))
    assert [] != ids(await here.get(asked, headers=acting(HAL)))


@pytest.mark.parametrize(
    "include",
    ["_include=Observation:has-member", "_include:iterate=*", "_include=*", "_revinclude=*", "_revinclude:iterate=*"],
)
async def test_includes_bring_nothing_hidden_along(here: httpx.AsyncClient, include: str) -> None:
    found = (await here.get(f"Observation?subject=Patient/m1&{include}", headers=acting(PLAN))).json()
    shown = references(found)
    assert {"Observation/o1", "Observation/o3"} <= shown
    assert shown.isdisjoint(HIDDEN)
    assert [] == [one for one in shown if one.startswith("Patient/") and one != MEMBER]


async def test_entries_of_a_batch_are_asked_as_the_caller(here: httpx.AsyncClient) -> None:
    entries = [entry("GET", reference) for reference in HIDDEN] + [entry("GET", "CarePlan?_count=0&_total=accurate")]
    answer = (await here.post("", json=transaction(*entries, type="batch"), headers=acting(PLAN))).json()["entry"]
    assert ["404"] * len(HIDDEN) == [one["response"]["status"][:3] for one in answer[:-1]]
    assert 1 == answer[-1]["resource"]["total"]
    refused = await here.post("", json=transaction(entry("GET", THEIRS)), headers=acting(PLAN))
    assert 404 == refused.status_code


@pytest.mark.parametrize("actor", [PLAN, PAT])
async def test_writes_on_what_is_hidden_do_nothing(here: httpx.AsyncClient, actor: str) -> None:
    headers, before = acting(actor), await head(here)
    patch = {**headers, "Content-Type": "application/json-patch+json"}
    mine = plan("cp2", MEMBER, PAT)
    for reference in HIDDEN:
        type, _, id = reference.partition("/")
        deleted, absent = [await here.delete(f"{type}/{one}", headers=headers) for one in (id, "not-there")]
        assert (absent.status_code, absent.text) == (deleted.status_code, deleted.text)
        answer = await here.patch(reference, content=b'[{"op":"test","path":"/id","value":"x"}]', headers=patch)
        assert 404 == answer.status_code
    assert (409, ["conflict"]) == refusal(await here.put("CarePlan/cp2", json=mine, headers=headers))
    assert (409, ["conflict"]) == refusal(
        await here.post("", json=transaction(entry("PUT", "CarePlan/cp2", mine)), headers=headers)
    )
    assert 204 == (await here.delete(f"Patient?family={SECRET}", headers=headers)).status_code
    assert (404, ["not-found"]) == refusal(
        await here.patch("CarePlan?patient=m2", content=b'[{"op":"test","path":"/id","value":"x"}]', headers=patch)
    )
    assert before == await head(here)


@pytest.mark.parametrize("actor", [PLAN, PAT])
@pytest.mark.parametrize("member", [THEIRS, "Patient/not-there"])
async def test_nobody_writes_about_a_member_that_they_do_not_see(
    here: httpx.AsyncClient, actor: str, member: str
) -> None:
    written = [
        plan("cp3", member, PAT),
        observation("o4", member, PLAN),
        task("t3", member, PLAN, requester={"reference": PLAN}),
        enrolled(member, "elsewhere", PLAN) | {"id": "ep3"},
        care_team("ct3", member, PLAN),
        observation("o1", member),
        {
            "resourceType": "Communication",
            "id": "c3",
            "status": "completed",
            "subject": {"reference": member},
            "recipient": [{"reference": PLAN}],
        },
    ]
    before, told = await head(here), set()
    for one in written:
        answer = await here.put(f"{one['resourceType']}/{one['id']}", json=one, headers=acting(actor))
        assert (403, ["forbidden"]) == refusal(answer), one["resourceType"]
        told.add(answer.json()["issue"][0]["diagnostics"].replace(member, ""))
        refused = await here.post("", json=transaction(entry("POST", one["resourceType"], one)), headers=acting(actor))
        assert (403, ["forbidden"]) == refusal(refused)
    assert 1 == len(told)
    assert before == await head(here)


ALONE = "Patient/m3"  # whom only the plan has


@pytest.fixture
async def offered(here: httpx.AsyncClient) -> httpx.AsyncClient:
    """A member of the plan alone, which has no agreement with the other Health Home."""
    await kept(here, patient("m3"), enrolled(ALONE, "ny-mltcp", PLAN), plan("cp3", ALONE, PAT))
    return here


@pytest.mark.requirement("NY-03")
async def test_whoever_is_offered_a_member_by_a_task_sees_the_patient_alone(offered: httpx.AsyncClient) -> None:
    headers = acting(OTHER)
    made = await offered.post("Task", json=task("", ALONE, OTHER) | {"id": "x"}, headers=acting(PAT))
    assert 201 == made.status_code
    assert 200 == (await offered.get(ALONE, headers=headers)).status_code
    assert ["m3"] == ids(await offered.get("Patient", headers=headers))
    assert 1 == len(ids(await offered.get("Task?patient=m3", headers=headers)))
    assert 404 == (await offered.get("CarePlan/cp3", headers=headers)).status_code


@pytest.mark.requirement("NY-03", "NY-04", "NY-06")
@pytest.mark.parametrize("actor", [OTHER, OLA])
async def test_health_home_enrols_a_member_of_a_plan_without_agreement_or_task(
    offered: httpx.AsyncClient, actor: str
) -> None:
    """Enrolling waits for no agreement, and opens nothing that the plan keeps until there is one."""
    headers, theirs = acting(actor), enrolled(ALONE, "ny-health-home", OTHER)
    place = f"EpisodeOfCare/{theirs['id']}"
    assert 404 == (await offered.get(ALONE, headers=headers)).status_code
    assert 201 == (await offered.put(place, json=theirs, headers=headers)).status_code
    assert 200 == (await offered.get(place, headers=acting(PLAN))).status_code
    assert 200 == (await offered.get(ALONE, headers=headers)).status_code
    assert 2 == len(ids(await offered.get("EpisodeOfCare?patient=m3", headers=headers)))
    assert 404 == (await offered.get("CarePlan/cp3", headers=headers)).status_code
    own = plan("cp4", ALONE, OTHER)
    assert 201 == (await offered.put("CarePlan/cp4", json=own, headers=headers)).status_code
    assert ["cp4"] == ids(await offered.get("CarePlan", headers=headers))
    assert ["cp1", "cp3"] == sorted(ids(await offered.get("CarePlan", headers=acting(PLAN))))
    await kept(offered, asa("asa2", (PLAN, OTHER)))
    assert ["cp3", "cp4"] == sorted(ids(await offered.get("CarePlan", headers=headers)))
    assert ["cp1", "cp3", "cp4"] == sorted(ids(await offered.get("CarePlan", headers=acting(PAT))))


@pytest.mark.requirement("NY-04")
async def test_plan_enrols_a_member_of_a_health_home(here: httpx.AsyncClient) -> None:
    await kept(here, asa(end=day(-1)))
    mine = enrolled(THEIRS, "ny-mltcp", PLAN)
    assert 201 == (await here.post("EpisodeOfCare", json=mine, headers=acting(PAT))).status_code
    assert 200 == (await here.get(THEIRS, headers=acting(PLAN))).status_code
    for hidden in ("CarePlan/cp2", "CareTeam/ct2", "Encounter/e2", "Task/t2"):
        assert 404 == (await here.get(hidden, headers=acting(PLAN))).status_code


@pytest.mark.requirement("NY-04")
async def test_enrolment_and_team_may_come_in_one_transaction(offered: httpx.AsyncClient) -> None:
    theirs, team = enrolled(ALONE, "ny-health-home", OTHER), care_team("ct3", ALONE, OTHER)
    both = transaction(entry("POST", "EpisodeOfCare", theirs), entry("PUT", "CareTeam/ct3", team))
    assert 200 == (await offered.post("", json=both, headers=acting(OTHER))).status_code
    assert 200 == (await offered.get("CareTeam/ct3", headers=acting(OTHER))).status_code


@pytest.mark.requirement("NY-06")
async def test_shared_member_is_shared_as_far_as_an_agreement_is_in_force(here: httpx.AsyncClient) -> None:
    """What each keeps, what both keep, and what nobody is named in."""
    care = [
        plan("of-plan", MEMBER, PAT),
        plan("of-home", MEMBER, "Practitioner/hal"),
        care_team("team-home", MEMBER, HOME),
        plan("of-team", MEMBER, "CareTeam/team-home"),
        plan("of-nobody", MEMBER, PAT) | {"author": None},
        observation("by-home", MEMBER, HAL),
        task("between", MEMBER, PLAN, requester={"reference": HOME}),
    ]
    await kept(here, *[{name: value for name, value in one.items() if value is not None} for one in care])
    whole = {"cp1", "of-plan", "of-home", "of-team", "of-nobody", "team-home", "by-home", "o1", "o3", "between"}

    async def seen(actor: str) -> set[str]:
        response = await here.get("?_type=CarePlan,CareTeam,Observation,Task&_count=100", headers=acting(actor))
        found = set(ids(response)) & whole
        for one in response.json()["entry"]:
            read = await here.get(f"{one['resource']['resourceType']}/{one['resource']['id']}", headers=acting(actor))
            assert 200 == read.status_code
        return found

    assert whole == await seen(PLAN) == await seen(HAL)
    await kept(here, asa(end=day(-1)))
    shared = {"cp1", "of-nobody", "o1", "o3", "between"}
    assert shared | {"of-plan"} == await seen(PLAN) == await seen("Practitioner/pat")
    assert shared | {"of-home", "of-team", "team-home", "by-home"} == await seen(HOME)
    for hidden in ("CarePlan/of-home", "CareTeam/team-home", "Observation/by-home", "CarePlan/of-home/_history"):
        assert 404 == (await here.get(hidden, headers=acting(PLAN))).status_code
    assert whole == await seen("")


@pytest.mark.requirement("NY-06")
async def test_member_of_one_organization_alone_waits_for_no_agreement(here: httpx.AsyncClient) -> None:
    await kept(here, asa(end=day(-1)))
    clinic = {"resourceType": "Organization", "id": "clinic", "name": "Clinic"}
    await kept(here, clinic, observation("o5", THEIRS, "Organization/clinic"))
    assert {"o2", "o5"} <= set(ids(await here.get("Observation", headers=acting(HOME))))


async def test_patient_that_nobody_has_is_known_to_who_has_its_id(here: httpx.AsyncClient) -> None:
    headers = {**acting(OTHER), "If-None-Exist": "identifier=urn:m|9"}
    new = {"resourceType": "Patient", "identifier": [{"system": "urn:m", "value": "9"}]}
    made = await here.post("Patient", json=new, headers=headers)
    assert 201 == made.status_code
    id = made.json()["id"]
    assert 200 == (await here.post("Patient", json=new, headers=headers)).status_code
    assert 200 == (await here.get(f"Patient/{id}", headers=acting(OTHER))).status_code
    assert [] == ids(await here.get("Patient", headers=acting(OTHER)))
    about = observation("o9", f"Patient/{id}")
    assert (403, ["forbidden"]) == refusal(await here.put("Observation/o9", json=about, headers=acting(OTHER)))
    mine = enrolled(f"Patient/{id}", "ny-health-home", OTHER)
    assert 201 == (await here.put(f"EpisodeOfCare/{mine['id']}", json=mine, headers=acting(OTHER))).status_code
    assert 201 == (await here.put("Observation/o9", json=about, headers=acting(OTHER))).status_code
    assert [id] == ids(await here.get("Patient", headers=acting(OTHER)))
    assert 404 == (await here.get(f"Patient/{id}", headers=acting(PLAN))).status_code


async def test_member_and_enrolment_may_come_in_one_transaction(here: httpx.AsyncClient) -> None:
    url = "urn:uuid:6f2a1d8e-51d0-4d0a-9b57-0d5f3a7f3a11"
    episode = enrolled("Patient/x", "ny-health-home", OTHER) | {"patient": {"reference": url}}
    care = observation("x", url)
    for one in (episode, care):
        one.pop("id")
    entries = [
        entry("POST", "Patient", {"resourceType": "Patient"}) | {"fullUrl": url},
        entry("POST", "EpisodeOfCare", episode),
        entry("POST", "Observation", care),
    ]
    alone = await here.post("", json=transaction(entries[0], entries[2]), headers=acting(OTHER))
    assert (403, ["forbidden"]) == refusal(alone)
    assert 200 == (await here.post("", json=transaction(*entries), headers=acting(OTHER))).status_code
    assert 1 == len(ids(await here.get("Observation", headers=acting(OTHER))))


async def test_enrolment_made_in_error_is_taken_back_by_who_made_it(here: httpx.AsyncClient) -> None:
    mistaken = enrolled(THEIRS, "ny-health-home", HOME)
    mistaken |= {"status": "entered-in-error"}
    answer = await here.put(f"EpisodeOfCare/{mistaken['id']}", json=mistaken, headers=acting(HAL))
    assert 200 == answer.status_code, answer.text
    assert 404 == (await here.get("CarePlan/cp2/$meta", headers=acting(PLAN))).status_code


async def test_what_was_deleted_stays_hidden(here: httpx.AsyncClient) -> None:
    for reference in ("Observation/o2", "CarePlan/cp2"):
        assert 204 == (await here.delete(reference)).status_code
        assert 410 == (await here.get(reference, headers=acting(HAL))).status_code
        for place in ("", "/_history", "/_history/1"):
            assert 404 == (await here.get(f"{reference}{place}", headers=acting(PLAN))).status_code
    mine = observation("o2", MEMBER)
    assert 201 == (await here.put("Observation/o2", json=mine, headers=acting(PLAN))).status_code
    history = (await here.get("Observation/o2/_history", headers=acting(PLAN))).json()
    assert 1 == len(history["entry"])


async def test_page_taken_before_is_of_what_is_seen_now(here: httpx.AsyncClient) -> None:
    page = (await here.get("Observation?_count=1", headers=acting(PLAN))).json()
    url = next(one["url"] for one in page["link"] if one["relation"] == "next")
    gone = enrolled(MEMBER, "ny-mltcp", PLAN) | {"status": "entered-in-error"}
    assert 1 == len((await here.get(url, headers=acting(PLAN))).json()["entry"])
    await kept(here, gone)
    assert [] == (await here.get(url, headers=acting(PLAN))).json().get("entry", [])
    assert 1 == len((await here.get(url)).json()["entry"])


async def test_page_is_followed_as_who_follows_it(here: httpx.AsyncClient) -> None:
    page = (await here.get("Observation?_count=1")).json()
    url = next(one["url"] for one in page["link"] if one["relation"] == "next")
    shown = [one["resource"]["id"] for one in (await here.get(url, headers=acting(OTHER))).json().get("entry", ())]
    assert [] == shown


async def test_proposal_is_read_by_who_is_to_answer_it(here: httpx.AsyncClient) -> None:
    task = await proposed(here)
    for actor in (PLAN, HOME, HAL, MEMBER):
        assert 200 == (await here.get(f"Task/{task['id']}", headers=acting(actor))).status_code
    assert 404 == (await here.get(f"Task/{task['id']}", headers=acting(OTHER))).status_code


async def test_patient_sees_its_own_compartment(here: httpx.AsyncClient) -> None:
    assert ["m1"] == ids(await here.get("Patient", headers=acting(MEMBER)))
    assert {"o1", "o3"} == set(ids(await here.get("Observation", headers=acting(MEMBER))))
    assert (403, ["forbidden"]) == refusal(
        await here.put("Observation/o7", json=observation("o7", THEIRS), headers=acting(MEMBER))
    )


async def test_directory_and_terminology_are_everybodys(here: httpx.AsyncClient) -> None:
    for asked in ("Organization", "PractitionerRole", "Practitioner", "PlanDefinition"):
        everybody, alone = ids(await here.get(asked)), ids(await here.get(asked, headers=acting(OTHER)))
        assert everybody == alone != []


@pytest.mark.requirement("NY-06", "NY-19")
async def test_what_is_found_of_both_is_told_under_an_agreement(here: httpx.AsyncClient) -> None:
    visit = {
        "resourceType": "Encounter",
        "status": "finished",
        "class": {"code": "HH"},
        "type": [coding("ny-service", "behavioral-health")],
        "subject": {"reference": MEMBER},
        "period": {"start": day(-3)},
    }
    both = [visit | {"id": name, "serviceProvider": {"reference": f"Organization/{name}"}} for name in ("plan", "home")]
    await kept(here, *both)
    assert 200 == (await here.post(f"{MEMBER}/$coordination-check", headers=acting(PLAN))).status_code
    issues = ids(await here.get("DetectedIssue"))
    assert [] != issues == ids(await here.get("DetectedIssue", headers=acting(HAL)))
    await kept(here, asa(end=day(-1)))
    for actor in (PLAN, HAL):
        for method in ("GET", "POST"):
            refused = await here.request(method, f"{MEMBER}/$coordination-check", headers=acting(actor))
            assert (422, ["business-rule"]) == refusal(refused)
        assert [] == ids(await here.get("DetectedIssue", headers=acting(actor)))
    roster = await here.get(f"{PLAN}/$coordination-check", headers=acting(PLAN))
    assert ["MeasureReport"] == [one["resource"]["resourceType"] for one in roster.json()["entry"]]
    assert 200 == (await here.get(f"{MEMBER}/$coordination-check")).status_code


async def test_operations_on_others_tell_nothing_of_their_members(here: httpx.AsyncClient) -> None:
    caseload = (await here.get("PractitionerRole/hal/$caseload?detail=true", headers=acting(PLAN))).text
    assert "Patient/m2" not in caseload
    for asked in ("$caseload", "$everything", "$coordination-check", "$care-manager", "$lead", "$comprehensive-plan"):
        hidden, absent = [await here.get(f"Patient/{id}/{asked}", headers=acting(PLAN)) for id in ("m2", "not-there")]
        assert hidden.status_code == absent.status_code
        assert absent.text == hidden.text.replace("m2", "not-there")
    sought = {"resourceType": "Patient", "name": [{"family": SECRET}], "birthDate": "1950-01-02"}
    matching = {
        "resourceType": "Parameters",
        "parameter": [{"name": "resource", "resource": sought}],
    }
    found = (await here.post("Patient/$match", json=matching, headers=acting(PLAN))).json()
    assert [] == found.get("entry", [])
    assert [] != (await here.post("Patient/$match", json=matching, headers=acting(HAL))).json()["entry"]


async def test_search_of_who_acts_is_not_explained(here: httpx.AsyncClient) -> None:
    asked = "Patient?birthdate=1950-01-02&_explain=1"
    assert "candidates" in (await here.get(asked)).text or "steps" in (await here.get(asked)).text
    assert "steps" not in (await here.get(asked, headers=acting(PLAN))).text


async def test_steps_along_what_may_be_hidden_are_refused(here: httpx.AsyncClient) -> None:
    asked = "Observation?encounter:below=Encounter/e2"
    assert (403, ["forbidden"]) == refusal(await here.get(asked, headers=acting(PLAN)))
    assert 200 == (await here.get("Encounter?location:below=Location/1", headers=acting(PLAN))).status_code


async def test_patient_of_many_tasks_is_hidden_like_any(here: httpx.AsyncClient) -> None:
    of_many = [task(f"many-{number}", THEIRS, HOME) for number in range(1001)]
    await kept(here, *of_many)
    hidden = await here.get(THEIRS, headers=acting(PLAN))
    assert (404, ["not-found"]) == refusal(hidden)
    assert 200 == (await here.get(THEIRS, headers=acting(HAL))).status_code


async def test_condition_that_finds_many_takes_the_one_that_is_seen(here: httpx.AsyncClient) -> None:
    many = [observation(f"many-{number}", THEIRS) for number in range(30)]
    marked = {"identifier": [{"system": "urn:x", "value": "1"}]}
    await kept(here, *[one | marked for one in (*many, observation("many-mine", MEMBER))])
    answer = await here.delete("Observation?identifier=urn:x|1", headers=acting(PLAN))
    assert 204 == answer.status_code
    assert 410 == (await here.get("Observation/many-mine")).status_code
    assert 200 == (await here.get("Observation/many-1")).status_code


async def test_write_beside_the_end_of_an_enrolment_counts_only_if_it_came_first(here: httpx.AsyncClient) -> None:
    over = enrolled(MEMBER, "ny-mltcp", PLAN) | {"status": "entered-in-error"}
    writes = [
        here.put(f"Observation/race-{number}", json=observation(f"race-{number}", MEMBER), headers=acting(PLAN))
        for number in range(20)
    ]
    end = here.put(f"EpisodeOfCare/{over['id']}", json=over)
    answers = await asyncio.gather(*writes[:10], end, *writes[10:])
    ended = int(answers[10].json()["meta"]["versionId"])
    for answer in (*answers[:10], *answers[11:]):
        if answer.status_code == 201:
            assert int(answer.json()["meta"]["versionId"]) < ended
        else:
            assert (403, ["forbidden"]) == refusal(answer)
    late = await here.put("Observation/race-x", json=observation("race-x", MEMBER), headers=acting(PLAN))
    assert (403, ["forbidden"]) == refusal(late)


@pytest.mark.requirement("NY-06")
async def test_agreement_is_written_by_its_parties(here: httpx.AsyncClient) -> None:
    ended = asa(end=day(30))
    patch = [{"op": "replace", "path": "/status", "value": "terminated"}]
    json_patch = {"Content-Type": "application/json-patch+json"}
    for actor in (OTHER, OLA, MEMBER, "Organization/nobody"):
        headers = acting(actor)
        refused = [
            await here.put("Contract/asa", json=ended, headers=headers),
            await here.put("Contract/asa", json=asa(parties=(PLAN, OTHER)), headers=headers),
            await here.patch("Contract/asa", json=patch, headers=headers | json_patch),
            await here.delete("Contract/asa", headers=headers),
            await here.post("", json=transaction(entry("DELETE", "Contract/asa")), headers=headers),
            await here.post("Contract", json=asa(), headers=headers),
        ]
        assert [(403, ["forbidden"])] * 6 == [refusal(one) for one in refused]
    assert "end" not in (await here.get("Contract/asa")).json()["applies"]
    assert 201 == (await here.put("Contract/two", json=asa("two", (PLAN, OTHER)), headers=acting(OLA))).status_code
    assert 200 == (await here.put("Contract/asa", json=ended, headers=acting(HAL))).status_code
    assert 204 == (await here.delete("Contract/asa", headers=acting(PLAN))).status_code


@pytest.mark.requirement("NY-14")
async def test_enrollment_is_ended_by_who_manages_it(here: httpx.AsyncClient) -> None:
    home = enrolled(MEMBER, "ny-health-home", HOME)
    place = f"EpisodeOfCare/{home['id']}"
    ended = home | {"status": "finished", "period": {"start": "2025-01-01", "end": day(0)}}
    taken = home | {"managingOrganization": {"reference": PLAN}}
    for one in (ended, taken):
        assert (403, ["forbidden"]) == refusal(await here.put(place, json=one, headers=acting(PLAN)))
    assert (403, ["forbidden"]) == refusal(await here.delete(place, headers=acting(PAT)))
    assert (403, ["forbidden"]) == refusal(await here.put(place, json=taken, headers=acting(HOME)))
    assert "active" == (await here.get(place)).json()["status"]
    named = home | {"careManager": {"reference": "Practitioner/hal"}}
    assert 200 == (await here.put(place, json=named, headers=acting(PLAN))).status_code
    assert 200 == (await here.put(place, json=ended, headers=acting(HAL))).status_code
    assert 204 == (await here.delete(place)).status_code


@pytest.mark.requirement("NY-14")
async def test_organization_is_closed_by_itself_or_who_it_is_part_of(here: httpx.AsyncClient) -> None:
    home = (await here.get(HOME)).json()
    closed = home | {"active": False}
    for actor in (PLAN, PAT, MEMBER):
        assert (403, ["forbidden"]) == refusal(await here.put(HOME, json=closed, headers=acting(actor)))
        assert (403, ["forbidden"]) == refusal(await here.delete(HOME, headers=acting(actor)))
        moved = home | {"partOf": {"reference": PLAN}}
        assert (403, ["forbidden"]) == refusal(await here.put(HOME, json=moved, headers=acting(actor)))
    called = home | {"telecom": [{"system": "phone", "value": "1-212-555-0199"}]}
    assert 200 == (await here.put(HOME, json=called, headers=acting(PLAN))).status_code
    site = {"resourceType": "Organization", "id": "site", "name": "A site", "partOf": {"reference": HOME}}
    assert 201 == (await here.put("Organization/site", json=site, headers=acting(OTHER))).status_code
    assert 200 == (await here.put("Organization/site", json=site | {"active": False}, headers=acting(HAL))).status_code
    assert 200 == (await here.put(HOME, json=closed, headers=acting(HOME))).status_code


@pytest.mark.parametrize("name", ["ny-mltcp", "ny-map"])
async def test_program_is_written_by_the_local_system(here: httpx.AsyncClient, name: str) -> None:
    place = f"PlanDefinition/{name}"
    program = (await here.get(place)).json()
    copy = program | {"id": "mine", "url": f"{program['url']}-mine"}
    for actor in (PLAN, HAL, MEMBER):
        headers = acting(actor)
        for one in (program | {"status": "retired"}, program | {"title": "Mine"}):
            assert (403, ["forbidden"]) == refusal(await here.put(place, json=one, headers=headers))
        assert (403, ["forbidden"]) == refusal(await here.delete(place, headers=headers))
        assert (403, ["forbidden"]) == refusal(await here.put("PlanDefinition/mine", json=copy, headers=headers))
    draft = copy | {"status": "draft"}
    assert 201 == (await here.put("PlanDefinition/mine", json=draft, headers=acting(PLAN))).status_code
    assert (403, ["forbidden"]) == refusal(await here.put("PlanDefinition/mine", json=copy, headers=acting(PLAN)))
    assert 200 == (await here.put(place, json=program | {"status": "retired"})).status_code


@pytest.mark.requirement("NY-19")
async def test_what_a_partner_keeps_alone_is_written_by_it(here: httpx.AsyncClient) -> None:
    visit = {
        "resourceType": "Encounter",
        "id": "visit",
        "status": "finished",
        "class": {"code": "HH"},
        "subject": {"reference": MEMBER},
        "serviceProvider": {"reference": HOME},
    }
    theirs = [visit, plan("draft", MEMBER, HAL, status="draft"), care_team("team", MEMBER, HOME)]
    both = {**plan("both", MEMBER, HAL, contributor=[{"reference": PAT}]), "status": "draft"}
    await kept(here, *theirs, both, observation("nobodys", MEMBER))
    for one in theirs:
        place = f"{one['resourceType']}/{one['id']}"
        assert 200 == (await here.get(place, headers=acting(PLAN))).status_code
        mistaken = one | {"status": "entered-in-error"}
        assert (403, ["forbidden"]) == refusal(await here.put(place, json=mistaken, headers=acting(PLAN)))
        assert (403, ["forbidden"]) == refusal(await here.delete(place, headers=acting(PAT)))
        assert 204 == (await here.delete(place, headers=acting(HAL))).status_code
    for shared in ("CarePlan/both", "Observation/nobodys"):
        assert 204 == (await here.delete(shared, headers=acting(PLAN))).status_code


@pytest.mark.requirement("NY-06")
async def test_what_was_shared_is_told_to_nobody_once_the_agreement_has_ended(here: httpx.AsyncClient) -> None:
    await kept(here, asa())
    position = (await here.get("http://127.0.0.1/health")).json()["position"]
    asked = ("$coordination-check", "$comprehensive-plan")
    for name in asked:
        then = await here.get(f"{MEMBER}/{name}", params={"at": position}, headers=acting(HOME))
        assert 200 == then.status_code, then.text
    await kept(here, asa(status="terminated"))
    for name in asked:
        for query in ({}, {"at": position}, {"asOf": day(-1)}):
            response = await here.get(f"{MEMBER}/{name}", params=query, headers=acting(HOME))
            assert 422 == response.status_code, (name, query, response.text)
        assert 200 == (await here.get(f"{MEMBER}/{name}", params={"at": position})).status_code


@pytest.mark.requirement("NY-06")
async def test_who_has_the_member_no_more_learns_of_no_earlier_time(here: httpx.AsyncClient) -> None:
    mistaken = enrolled(MEMBER, "ny-health-home", OTHER) | {"id": "mistaken"}
    await kept(here, mistaken)
    position = (await here.get("http://127.0.0.1/health")).json()["position"]
    place, query = f"{MEMBER}/$lead", {"at": position}
    assert 200 == (await here.get(place, params=query, headers=acting(OTHER))).status_code
    await kept(here, mistaken | {"status": "entered-in-error"})
    for asked in ({}, query):  # the Task about the two enrollments is its own, and shows the Patient alone
        assert "parameter" not in (await here.get(place, params=asked, headers=acting(OTHER))).json()
