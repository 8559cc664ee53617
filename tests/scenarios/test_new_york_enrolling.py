"""Enrolling waits for nobody, and opens nothing that another keeps: what an organization learns by it, and writes."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from server.search.keeper import OWN_ONLY, WRITER
from tests.answers import entry, ids, refusal, transaction
from tests.coordination.memory import BASE, patient
from tests.scenarios.iowa import Json, kept
from tests.scenarios.new_york import (
    HAL,
    HOME,
    MEMBER,
    OLA,
    OTHER,
    PAT,
    PLAN,
    ROOT,
    acting,
    asa,
    day,
    enrolled,
    new_york,
    organization,
    proposed,
    shipped,
)
from tests.scenarios.new_york_hidden import care_team, observation, plan, task

CLINIC = "Organization/clinic"
LEFT = "Patient/left"  # whom the Health Home had until yesterday, and the plan has
PATIENT = "Patient/of-clinic"  # whom a clinic has, without any program
MARK = {"url": OWN_ONLY, "valueBoolean": True}


def said(resource: Json) -> list[Json]:
    """What the server says of who acts."""
    found: list[Json] = resource.get("meta", {}).get("extension", [])
    return found


def by(*organizations: str) -> list[Json]:
    return [{"url": WRITER, "valueReference": {"reference": one}} for one in organizations]


@pytest.fixture
async def here(client: httpx.AsyncClient) -> httpx.AsyncClient:
    clinic = {"resourceType": "Organization", "id": "clinic", "name": "Clinic"}
    over = enrolled(LEFT, "ny-health-home", HOME, end=day(-5)) | {"status": "finished"}
    care = [
        clinic,
        patient("left"),
        over,
        enrolled(LEFT, "ny-mltcp", PLAN),
        plan("left-home", LEFT, HAL),
        plan("left-plan", LEFT, PAT),
        observation("left-clinic", LEFT, CLINIC),
        observation("left-nobodys", LEFT),
        patient("of-clinic", managingOrganization={"reference": CLINIC}),
        plan("clinics", PATIENT, CLINIC),
        enrolled(PATIENT, "diabetes", CLINIC),
    ]
    return await new_york(client, "ny-mltcp", *care)


async def put(client: httpx.AsyncClient, one: Json, actor: str, **headers: str) -> httpx.Response:
    return await client.put(f"{one['resourceType']}/{one['id']}", json=one, headers=acting(actor) | headers)


async def seen(client: httpx.AsyncClient, member: str, actor: str) -> set[str]:
    """The ids of what an actor finds of a member, in a list and by each id alike."""
    types = "CarePlan,CareTeam,Condition,EpisodeOfCare,Observation"
    found = (await client.get(f"?_type={types}&patient={member}&_count=100", headers=acting(actor))).json()
    for one in (each["resource"] for each in found.get("entry", ())):
        assert 200 == (await client.get(f"{one['resourceType']}/{one['id']}", headers=acting(actor))).status_code
    return {one["resource"]["id"] for one in found.get("entry", ())}


def again(id: str = "again", member: str = LEFT, **more: Any) -> Json:
    """The enrollment by another Health Home."""
    return enrolled(member, "ny-health-home", OTHER, start=day(-1)) | {"id": id} | more


# Enrolling


@pytest.mark.requirement("NY-04", "NY-06")
@pytest.mark.parametrize("actor", [OTHER, OLA])
async def test_health_home_enrols_who_left_another_and_sees_its_own(here: httpx.AsyncClient, actor: str) -> None:
    made = await put(here, again(), actor)
    assert (201, [MARK]) == (made.status_code, said(made.json()))
    assert 200 == (await here.get(LEFT, headers=acting(actor))).status_code
    assert ["left"] == ids(await here.get("Patient", headers=acting(actor)))
    assert 201 == (await put(here, plan("mine", LEFT, OLA), actor)).status_code
    shared = {"again", "left-ny-mltcp", "left-ny-health-home", "left-nobodys", "mine"}
    assert shared == await seen(here, LEFT, actor)
    await kept(here, asa("asa2", (PLAN, OTHER)))
    assert shared | {"left-plan"} == await seen(here, LEFT, actor)
    assert 404 == (await here.get("CarePlan/left-home", headers=acting(actor))).status_code


@pytest.mark.requirement("NY-04", "NY-06")
async def test_whoever_enrols_a_patient_of_a_clinic_sees_nothing_of_it(here: httpx.AsyncClient) -> None:
    assert 404 == (await here.get(PATIENT, headers=acting(OTHER))).status_code
    made = await put(here, again(member=PATIENT), OTHER)
    assert (201, [MARK]) == (made.status_code, said(made.json()))
    assert {"again"} == await seen(here, PATIENT, OTHER)
    assert 200 == (await here.get(PATIENT, headers=acting(OTHER))).status_code
    assert {"again", "clinics", "of-clinic-diabetes"} == await seen(here, PATIENT, CLINIC)


@pytest.mark.requirement("NY-04")
@pytest.mark.parametrize("tie", ["managingOrganization", "generalPractitioner", "CareTeam"])
async def test_ties_elsewhere_keep_nobody_from_enrolling(here: httpx.AsyncClient, tie: str) -> None:
    named: Json = {"reference": CLINIC}
    more = {"CareTeam": {}, "generalPractitioner": {tie: [named]}}.get(tie, {tie: named})
    team = care_team("team", "Patient/tied") | {"participant": [{"member": named}]}
    await kept(here, patient("tied", **more), *([team] if tie == "CareTeam" else []), plan("p", "Patient/tied", CLINIC))
    made = await put(here, again(member="Patient/tied"), OTHER)
    assert (201, [MARK]) == (made.status_code, said(made.json()))
    assert {"again"} == await seen(here, "Patient/tied", OTHER) - {"team"}
    assert 404 == (await here.get("CarePlan/p", headers=acting(OTHER))).status_code


@pytest.mark.requirement("NY-04")
async def test_two_at_once_are_a_task_or_refused_as_the_program_says(here: httpx.AsyncClient) -> None:
    """A member of another Health Home: the rule single-enrollment answers, not a 404."""
    second = again("second", MEMBER)
    program = shipped("ny-mltcp")
    rule = next(one for one in program["action"] if one["id"] == "NY-04-health-home")
    rule["extension"][0]["valueCode"] = "block"
    await kept(here, program)
    assert (422, ["business-rule"]) == refusal(await put(here, second, OTHER))
    over = enrolled(MEMBER, "ny-health-home", HOME, end=day(-2)) | {"status": "finished"}
    assert 200 == (await put(here, over, HAL)).status_code
    assert 201 == (await put(here, second, OTHER)).status_code


@pytest.mark.requirement("NY-04")
async def test_second_enrollment_is_a_task_of_whoever_enrols(here: httpx.AsyncClient) -> None:
    assert 201 == (await put(here, again("second", MEMBER), OTHER)).status_code
    overlap = f"{BASE}/CodeSystem/cm-task|enrollment-overlap"
    assert 1 == len(ids(await here.get("Task", params={"code": overlap, "patient": MEMBER})))
    assert {"second", "m1-ny-mltcp", "m1-ny-health-home"} == await seen(here, MEMBER, OTHER)


@pytest.mark.requirement("NY-06")
async def test_enrolling_who_is_not_there_is_refused(here: httpx.AsyncClient) -> None:
    assert (403, ["forbidden"]) == refusal(await put(here, again(member="Patient/not-there"), OTHER))
    for wrong in ({"status": "cancelled"}, {"managingOrganization": {"reference": HOME}}):
        assert (403, ["forbidden"]) == refusal(await put(here, again(**wrong), OTHER))
    elsewhere = enrolled(LEFT, "diabetes", OTHER)
    assert (403, ["forbidden"]) == refusal(await put(here, elsewhere, OTHER))


@pytest.mark.requirement("NY-04", "NY-06")
async def test_whoever_was_told_enrols_and_sees_all_of_the_member(here: httpx.AsyncClient) -> None:
    assert 201 == (await put(here, task("told", LEFT, OTHER), PLAN)).status_code
    await kept(here, asa("asa2", (PLAN, OTHER)))
    made = await put(here, again(), OTHER)
    assert (201, []) == (made.status_code, said(made.json()))
    assert {"left-home", "left-plan", "left-clinic"} <= await seen(here, LEFT, OTHER)


@pytest.mark.requirement("NY-06")
async def test_who_has_the_member_lets_in_who_enrolled_untold(here: httpx.AsyncClient) -> None:
    await kept(here, asa("asa2", (PLAN, OTHER)))
    await put(here, again(), OTHER)
    for wrote in (OTHER, OLA):  # not by itself: what it leaves out stays
        kept_so = await put(here, again() | {"careManager": {"reference": "Practitioner/ola"}}, wrote)
        assert (200, [MARK]) == (kept_so.status_code, said(kept_so.json()))
    opened = await put(here, again(), PLAN)
    assert (200, []) == (opened.status_code, said(opened.json()))
    assert {"left-clinic", "left-home", "left-plan"} <= await seen(here, LEFT, OTHER)
    stays = await put(here, again() | {"meta": {"extension": [MARK]}}, PLAN)
    assert [] == said(stays.json())


@pytest.mark.requirement("NY-06")
@pytest.mark.parametrize("by_whom", [HOME, CLINIC])
async def test_who_sees_its_own_alone_lets_nobody_in(here: httpx.AsyncClient, by_whom: str) -> None:
    await put(here, again(member=PATIENT), OTHER)
    if by_whom == HOME:
        await put(here, enrolled(PATIENT, "ny-health-home", HOME), HOME)
    answer = await put(here, again(member=PATIENT), by_whom)
    assert (200, [] if by_whom == CLINIC else [MARK]) == (answer.status_code, said(answer.json()))


CIN = f"{BASE}/sid/ny-cin"


@pytest.fixture
async def numbered(here: httpx.AsyncClient) -> httpx.AsyncClient:
    """A member of the plan alone, by a number that the Health Home has, too."""
    home = organization(OTHER) | {"identifier": [{"system": f"{BASE}/sid/ny-organization", "value": "H2"}]}
    member = patient("numbered") | {"identifier": [{"system": CIN, "value": "C1"}], "name": [{"family": "Lee"}]}
    await kept(here, home, member, enrolled("Patient/numbered", "ny-mltcp", PLAN))
    return here


@pytest.mark.requirement("NY-04")
async def test_member_is_enrolled_by_the_number_of_a_tracking_row(numbered: httpx.AsyncClient) -> None:
    row = "record,segment,cin,health_home,segment_type,start\nA,S1,{},H2,E,2026-02-01\n"
    headers = acting(OTHER) | {"Content-Type": "text/csv"}
    for cin, taken in (("C2", 0), ("C1", 1)):
        asked = {"table": "ny-tracking", "apply": "true"}
        answer = await numbered.post("$convert", params=asked, content=row.format(cin), headers=headers)
        told = {one["name"]: one.get("valueInteger") for one in answer.json()["parameter"]}
        assert taken == told["taken"], answer.text
    assert ["numbered"] == ids(await numbered.get("Patient", headers=acting(OTHER)))


@pytest.mark.requirement("NY-06")
async def test_number_finds_nobody_for_what_is_no_enrollment(numbered: httpx.AsyncClient) -> None:
    by_number, by_name = f"Patient?identifier={CIN}|C1", "Patient?family=Lee"
    mine = enrolled("Patient/x", "ny-health-home", OTHER)
    mine.pop("id")
    refused = [
        mine | {"patient": {"reference": by_name}},
        mine | {"patient": {"reference": by_number}, "status": "cancelled"},
        mine | {"patient": {"reference": by_number}, "managingOrganization": {"reference": HOME}},
        enrolled(by_number, "diabetes", OTHER) | {"id": "x"},
        observation("x", by_number, OTHER),
    ]
    for one in refused:
        one.pop("id", None)
        answer = await numbered.post(
            "", json=transaction(entry("POST", one["resourceType"], one)), headers=acting(OTHER)
        )
        assert 412 == answer.status_code, answer.text
    both = [mine | {"patient": {"reference": by_number}}, observation("x", by_number, OTHER)]
    both[1].pop("id")
    entries = [entry("POST", one["resourceType"], one) for one in both]
    assert 412 == (await numbered.post("", json=transaction(*entries), headers=acting(OTHER))).status_code
    assert 404 == (await numbered.get("Patient/numbered", headers=acting(OTHER))).status_code
    assert 200 == (await numbered.post("", json=transaction(entries[0]), headers=acting(OTHER))).status_code
    assert 200 == (await numbered.post("", json=transaction(entries[1]), headers=acting(OTHER))).status_code


# Nobody lets himself in


@pytest.mark.requirement("NY-06")
async def test_whoever_lets_itself_in_takes_nothing_from_those_who_have_the_member(here: httpx.AsyncClient) -> None:
    await kept(here, observation("by-clinic", MEMBER, CLINIC), plan("homes", MEMBER, HAL))
    before = {actor: await seen(here, MEMBER, actor) for actor in (PLAN, HOME)}
    assert [MARK] == said((await put(here, again("second", MEMBER), OTHER)).json())
    for actor in (PLAN, HOME):
        assert before[actor] | {"second"} == await seen(here, MEMBER, actor)
        record = (await here.get(MEMBER)).json()
        assert 200 == (await put(here, record | {"name": [{"family": actor}]}, actor)).status_code


@pytest.mark.requirement("NY-06")
async def test_no_write_opens_to_its_writer_what_others_keep(here: httpx.AsyncClient) -> None:
    await put(here, again(), OTHER)
    own = await seen(here, LEFT, OTHER)
    record = (await here.get(LEFT, headers=acting(OTHER))).json()
    team = care_team("mine", LEFT, OTHER) | {"participant": [{"member": {"reference": OLA}}]}
    assert 201 == (await put(here, team, OTHER)).status_code
    named: list[Json] = [{"generalPractitioner": [{"reference": OLA}]}, {"managingOrganization": {"reference": OTHER}}]
    for more in (*named, {"active": False}):
        assert (403, ["forbidden"]) == refusal(await put(here, record | more, OTHER))
    assert (403, ["forbidden"]) == refusal(await here.delete(LEFT, headers=acting(OTHER)))
    assert (403, ["forbidden"]) == refusal(await put(here, record | {"name": [{"family": "Mine"}]}, OTHER))
    claimed = record | {"managingOrganization": {"reference": PLAN}}
    assert 200 == (await put(here, claimed, PLAN)).status_code
    assert 201 == (await put(here, task("mine", LEFT, OTHER), OTHER)).status_code
    assert [MARK] == said((await put(here, again("more"), OTHER)).json())
    assert 200 == (await put(here, again("more", status="entered-in-error"), OTHER)).status_code
    assert own == await seen(here, LEFT, OTHER) - {"mine", "more"}
    for ended in ({"status": "entered-in-error"}, {"status": "cancelled"}):
        assert (403, ["forbidden"]) == refusal(await put(here, again(**ended), OTHER))
    assert (403, ["forbidden"]) == refusal(await here.delete("EpisodeOfCare/again", headers=acting(OTHER)))
    both = transaction(entry("DELETE", "EpisodeOfCare/again"), entry("DELETE", "EpisodeOfCare/more"))
    assert (403, ["forbidden"]) == refusal(await here.post("", json=both, headers=acting(OTHER)))
    assert own == await seen(here, LEFT, OTHER) - {"mine", "more"}


@pytest.mark.requirement("NY-06")
async def test_own_task_tells_nobody(here: httpx.AsyncClient) -> None:
    """Enrolled in error, taken back, and enrolled again by a Task that it made itself meanwhile."""
    await put(here, again(), OTHER)
    assert 201 == (await put(here, task("mine", LEFT, OTHER), OTHER)).status_code
    assert 200 == (await put(here, again(status="entered-in-error"), OTHER)).status_code
    assert 404 == (await here.get(LEFT, headers=acting(OTHER))).status_code
    assert [MARK] == said((await put(here, again(), OTHER)).json())


@pytest.mark.requirement("NY-06")
async def test_task_that_follows_from_its_own_write_tells_nobody(here: httpx.AsyncClient) -> None:
    """The Task to settle which of two Health Homes it is has the one as its owner that enrolled second."""
    second = again("second", MEMBER)
    assert [MARK] == said((await put(here, second, OTHER)).json())
    assert 1 == len(ids(await here.get("Task", params={"owner": OTHER})))
    assert 200 == (await put(here, second | {"status": "entered-in-error"}, OTHER)).status_code
    assert 404 == (await here.get(MEMBER, headers=acting(OTHER))).status_code
    assert [MARK] == said((await put(here, second, OTHER)).json())


@pytest.mark.requirement("NY-06")
async def test_who_is_told_of_a_patient_takes_no_place_on_its_team(here: httpx.AsyncClient) -> None:
    """A Task shows the Patient; who goes on enrols it."""
    await kept(here, task("told", LEFT, OTHER))
    record = (await here.get(LEFT, headers=acting(OTHER))).json()
    team = care_team("mine", LEFT, OTHER) | {"participant": [{"member": {"reference": OLA}}]}
    for one in (team, record | {"managingOrganization": {"reference": OTHER}}):
        assert (403, ["forbidden"]) == refusal(await put(here, one, OTHER))
    both = transaction(entry("PUT", "EpisodeOfCare/again", again()), entry("PUT", "CareTeam/mine", team))
    assert 200 == (await here.post("", json=both, headers=acting(OTHER))).status_code


@pytest.mark.requirement("NY-06")
@pytest.mark.parametrize("type", ["replaces", "replaced-by", "seealso"])
async def test_nobody_merges_a_record_that_it_does_not_see_all_of(here: httpx.AsyncClient, type: str) -> None:
    for other in (LEFT, "Patient/not-there"):
        link = [{"other": {"reference": other}, "type": type}]
        mine = patient("mine", managingOrganization={"reference": OTHER}) | {"link": link}
        assert (403, ["forbidden"]) == refusal(await put(here, mine, OTHER))
    assert 201 == (await put(here, again(), OTHER)).status_code
    mine = patient("mine", managingOrganization={"reference": OTHER})
    linked = mine | {"link": [{"other": {"reference": LEFT}, "type": type}]}
    assert (403, ["forbidden"]) == refusal(await put(here, linked, OTHER))
    assert 201 == (await put(here, mine, OTHER)).status_code
    assert (403, ["forbidden"]) == refusal(await put(here, linked, OTHER))
    two = patient("two") | {"link": [{"other": {"reference": "Patient/mine"}, "type": type}]}
    assert 201 == (await put(here, two, OTHER)).status_code


# Who had the member


@pytest.mark.requirement("NY-06", "NY-14")
async def test_health_home_that_lost_the_member_sees_its_own(here: httpx.AsyncClient) -> None:
    await kept(here, asa("asa2", (PLAN, OTHER)), again(), plan("left-other", LEFT, OLA), observation("now", LEFT))
    shared = {"again", "left-ny-mltcp", "left-ny-health-home"}
    assert shared | {"left-home"} == await seen(here, LEFT, HOME) == await seen(here, LEFT, HAL)
    assert 200 == (await here.get(LEFT, headers=acting(HAL))).status_code
    assert {"left-other", "left-plan", "now", "left-clinic"} <= await seen(here, LEFT, PLAN)
    for until in (day(-5), day(0)):  # by its period alone, from the day after next on
        await kept(here, enrolled(LEFT, "ny-health-home", HOME, end=until))
        assert (until == day(0)) == ("now" in await seen(here, LEFT, HOME))


@pytest.mark.requirement("NY-06")
async def test_last_one_keeps_the_whole_record(here: httpx.AsyncClient) -> None:
    """Nobody has the member any more: whoever had sees what they shared."""
    await kept(here, enrolled(LEFT, "ny-mltcp", PLAN, end=day(-5)) | {"status": "finished"})
    assert {"left-home", "left-plan", "left-clinic", "left-nobodys"} <= await seen(here, LEFT, HOME)


@pytest.mark.requirement("NY-06")
async def test_who_lost_the_member_enrols_it_again_and_sees_its_own(here: httpx.AsyncClient) -> None:
    await kept(here, again())
    assert [MARK] == said((await put(here, enrolled(LEFT, "ny-health-home", HOME), HOME)).json())
    assert "left-clinic" not in await seen(here, LEFT, HOME)


@pytest.mark.requirement("NY-06")
async def test_two_health_homes_at_once_see_their_own(here: httpx.AsyncClient) -> None:
    await kept(here, again("second", MEMBER), plan("homes", MEMBER, HAL), plan("others", MEMBER, OLA))
    episodes = {"second", "m1-ny-mltcp", "m1-ny-health-home"}
    assert episodes | {"homes"} == await seen(here, MEMBER, HOME)
    assert episodes | {"others"} == await seen(here, MEMBER, OTHER)
    await kept(here, again("second", MEMBER) | {"status": "cancelled"})
    assert "others" in await seen(here, MEMBER, HOME)


# Who wrote what names nobody


@pytest.mark.requirement("NY-06")
async def test_what_names_nobody_is_whose_it_is_that_wrote_it(here: httpx.AsyncClient) -> None:
    condition = {"resourceType": "Condition", "id": "c", "subject": {"reference": MEMBER}, "code": {"text": "Fall"}}
    made = await put(here, condition, PAT)
    assert by(PLAN) == said(made.json())
    assert 201 == (await put(here, observation("o", MEMBER), HOME)).status_code
    await kept(here, observation("systems", MEMBER))
    assert {"c", "o", "systems"} <= await seen(here, MEMBER, PLAN)
    assert await seen(here, MEMBER, PLAN) == await seen(here, MEMBER, HAL)
    await kept(here, asa(end=day(-1)))
    assert {"c", "systems"} == await seen(here, MEMBER, PLAN) - {"m1-ny-mltcp", "m1-ny-health-home"}
    assert {"o", "systems"} == await seen(here, MEMBER, HOME) - {"m1-ny-mltcp", "m1-ny-health-home"}
    assert 404 == (await here.get("Condition/c/_history", headers=acting(HAL))).status_code


@pytest.mark.requirement("NY-06")
async def test_writer_is_the_first_and_is_told_by_nobody_else(here: httpx.AsyncClient) -> None:
    sent = observation("o", MEMBER) | {"valueQuantity": {"value": 1, "unit": "kg"}}
    claimed = sent | {"meta": {"source": "urn:ehr", "extension": [*by(PLAN), {"url": "urn:x", "valueCode": "y"}]}}
    made = (await put(here, claimed, HOME)).json()
    assert [{"url": "urn:x", "valueCode": "y"}, *by(HOME)] == said(made)
    assert "urn:ehr" == made["meta"]["source"]
    other = (await put(here, sent | {"valueQuantity": {"value": 2, "unit": "kg"}}, PLAN)).json()
    assert by(HOME) == said(other)
    assert other == (await put(here, {name: one for name, one in other.items() if name != "meta"}, PAT)).json()
    patch = {**acting(PAT), "Content-Type": "application/json-patch+json"}
    taken = [{"op": "remove", "path": "/meta/extension"}, {"op": "replace", "path": "/status", "value": "amended"}]
    answer = await here.patch("Observation/o", json=taken, headers=patch)
    assert (200, by(HOME)) == (answer.status_code, said(answer.json()))
    assert [] == said((await put(here, sent, "")).json())


@pytest.mark.requirement("NY-06")
async def test_what_is_written_keeps_its_digits(here: httpx.AsyncClient) -> None:
    content = b'{"resourceType":"Observation","status":"final","code":{"text":"Weight"},"subject":{"reference":"%b"},'
    content = content % MEMBER.encode() + b'"valueQuantity":{"value": 70.10, "unit":"kg"}}'
    headers = acting(PLAN) | {"Content-Type": "application/fhir+json"}
    made = await here.post("Observation", content=content, headers=headers)
    assert b'"valueQuantity":{"value": 70.10, "unit":"kg"}' in made.content
    assert by(PLAN) == said(made.json())
    told = await here.get(f"Observation/{made.json()['id']}?_format=xml", headers=acting(PLAN))
    assert WRITER in told.text


@pytest.mark.requirement("NY-06")
async def test_one_organization_records_what_another_did(here: httpx.AsyncClient) -> None:
    """Without an agreement, too: what names a clinic, and is the plan's to see since it wrote it."""
    await kept(here, asa(end=day(-1)))
    made = await put(here, observation("o", MEMBER, CLINIC), PLAN)
    assert (201, by(PLAN)) == (made.status_code, said(made.json()))
    assert "o" in await seen(here, MEMBER, PLAN)
    assert "o" not in await seen(here, MEMBER, HOME)


@pytest.mark.requirement("NY-06", "NY-16")
async def test_form_that_an_operation_stores_is_its_writers(here: httpx.AsyncClient) -> None:
    await proposed(here)
    stored = (await here.get("QuestionnaireResponse")).json()["entry"][0]["resource"]
    assert by(PLAN) == said(stored)
    assert 201 == (await put(here, again("second", MEMBER), OTHER)).status_code
    assert [] == ids(await here.get("QuestionnaireResponse", headers=acting(OTHER)))
    assert [stored["id"]] == ids(await here.get("QuestionnaireResponse", headers=acting(PLAN)))


async def test_patient_and_local_system_are_no_writers(here: httpx.AsyncClient) -> None:
    for actor in ("", MEMBER):
        assert [] == said((await put(here, observation(f"o{len(actor)}", MEMBER), actor)).json())


# Who acts


@pytest.mark.parametrize("over", [{"active": False}, {"period": {"end": day(-3)}}, {"period": {"start": day(3)}}])
async def test_role_that_is_not_held_acts_for_nobody(here: httpx.AsyncClient, over: Json) -> None:
    role = (await here.get(HAL)).json()
    await kept(here, role | over)
    for actor in (HAL, "Practitioner/hal"):
        assert 404 == (await here.get(MEMBER, headers=acting(actor))).status_code
        assert [] == ids(await here.get("Patient", headers=acting(actor)))
        assert (403, ["forbidden"]) == refusal(await put(here, observation("o", MEMBER), actor))


async def test_histories_list_no_patient_whom_nobody_has(here: httpx.AsyncClient) -> None:
    made = (await here.post("Patient", json={"resourceType": "Patient"}, headers=acting(OTHER))).json()
    for asked in ("_history", "Patient/_history", "Patient"):
        found = (await here.get(asked, headers=acting(PLAN))).json()
        assert made["id"] not in [one["fullUrl"].rpartition("/")[2] for one in found["entry"]]
    mine = (await here.get(f"Patient/{made['id']}/_history", headers=acting(OTHER))).json()
    assert 1 == len(mine["entry"])
    assert 204 == (await here.delete(f"Patient/{made['id']}", headers=acting(OTHER))).status_code
    assert made["id"] not in (await here.get("_history", headers=acting(PLAN))).text


# What is whose


async def test_affiliation_is_written_by_the_organization_that_has_the_other(here: httpx.AsyncClient) -> None:
    agency: Json = {
        "resourceType": "OrganizationAffiliation",
        "id": "a",
        "active": True,
        "organization": {"reference": HOME},
        "participatingOrganization": {"reference": CLINIC},
    }
    for actor in (CLINIC, OTHER, PAT):
        assert (403, ["forbidden"]) == refusal(await put(here, agency, actor))
    assert 201 == (await put(here, agency, HAL)).status_code
    for actor in (CLINIC, OTHER):
        assert (403, ["forbidden"]) == refusal(await put(here, agency | {"active": False}, actor))
        taken = agency | {"organization": {"reference": actor}}
        assert (403, ["forbidden"]) == refusal(await put(here, taken, actor))
    assert 200 == (await put(here, agency | {"active": False}, HOME)).status_code


@pytest.mark.parametrize("name", ["Questionnaire-ny-care-planning-coordination", "CodeSystem-ny-service"])
async def test_what_programs_rest_on_is_written_by_the_local_system(here: httpx.AsyncClient, name: str) -> None:
    shared: Json = json.loads((ROOT / "profiles" / f"{name}.json").read_text())
    mine = shared | {"id": "mine", "url": "urn:mine"}
    assert 201 == (await put(here, mine, PLAN)).status_code
    await kept(here, shared)
    for one in (shared | {"status": "retired"}, shared | {"title": "Mine"}, mine | {"url": shared["url"]}):
        assert (403, ["forbidden"]) == refusal(await put(here, one, PLAN))
    assert (403, ["forbidden"]) == refusal(
        await here.delete(f"{shared['resourceType']}/{shared['id']}", headers=acting(PLAN))
    )


async def test_refusal_names_the_element_that_is_anothers(here: httpx.AsyncClient) -> None:
    home = (await here.get(HOME)).json()
    for name, value in (("name", "Mine"), ("active", False), ("partOf", {"reference": OTHER})):
        refused = (await put(here, home | {name: value}, OTHER)).json()
        assert [f"Organization.{name}"] == refused["issue"][0]["expression"]
