"""The next case manager gets the member's whole file over HTTP, and nobody who has no business with it does."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from fhir.resources.R4B.bundle import Bundle

from server.coordination.member_file.member_file import references
from server.operations import member_file
from server.validation.element import validate
from tests.answers import refusal
from tests.coordination.memory import (
    assigned,
    coding,
    episode,
    organization,
    patient,
    practitioner,
    role,
    shipped,
    team,
)
from tests.scenarios.iowa import MCO, advance, done, inside, kept, manager, opened, roster, run

Json = dict[str, Any]
ANN, BOB = "PractitionerRole/ann", "PractitionerRole/bob"
EVA = {"reference": "Patient/eva"}
BASE_URL = "http://127.0.0.1/fhir"


def resource(type: str, id: str, /, **more: Any) -> Json:
    return {"resourceType": type, "id": id, **more}


def service(id: str, performer: str, member: Json = EVA) -> Json:
    return resource(
        "ServiceRequest", id, status="active", intent="order", subject=member, performer=[{"reference": performer}]
    )


def file_of_eva() -> list[Json]:
    """What is kept of Eva, whom Ann manages; and of Max, in whose care Eva takes part."""
    questionnaire = {"questionnaire": "http://example.org/Questionnaire/lsc", "status": "completed", "subject": EVA}
    max = {"reference": "Patient/max"}
    return [
        resource("Location", "office", name="Polk County office"),
        resource("Organization", "aide", name="Aides of Iowa", partOf={"reference": "Organization/holding"}),
        resource("Organization", "holding", name="Holding"),
        resource("Goal", "g", lifecycleStatus="active", subject=EVA, description={"text": "Stay at home <with> help"}),
        resource("CarePlan", "plan", status="active", intent="plan", subject=EVA, title="Service plan",
                 goal=[{"reference": "Goal/g"}], period={"start": "2026-01-01"}),
        resource("CarePlan", "past", status="completed", intent="plan", subject=EVA),
        resource("QuestionnaireResponse", "lsc-1", **questionnaire, authored="2025-02-01"),
        resource("QuestionnaireResponse", "lsc-2", **questionnaire, authored="2026-02-01"),
        resource("DocumentReference", "note", status="current", subject=EVA, date="2026-03-01T12:00:00Z",
                 author=[{"reference": ANN}], content=[{"attachment": {"url": "Binary/note", "title": "Home visit"}}]),
        resource("Binary", "note", contentType="text/plain", data="SGVsbG8="),
        service("aide", "Organization/aide"),
        resource("Task", "referral", status="in-progress", intent="order", **{"for": EVA}),
        resource("RelatedPerson", "mother", patient=EVA, name=[{"text": "Rosa Diaz"}]),
        resource("Flag", "f", status="active", subject=EVA, code={"text": "Lives alone"}),
        resource("CarePlan", "of-max", status="active", intent="plan", subject=max, contributor=[EVA],
                 activity=[{"detail": {"status": "in-progress", "performer": [EVA]}}]),
        resource("CareTeam", "of-max", status="active", subject=max, participant=[{"member": EVA}]),
        resource("Task", "review", status="in-progress", intent="order", **{"for": EVA},
                 focus={"reference": "List/all"}, basedOn=[{"reference": "QuestionnaireResponse/of-nobody"}]),
        resource("List", "all", status="current", mode="working", entry=[{"item": max}]),
        resource("QuestionnaireResponse", "of-nobody", status="completed"),
        resource("AuditEvent", "looked", type={"code": "rest"}, recorded="2026-03-01T12:00:00Z",
                 agent=[{"requestor": True}], source={"observer": {"display": "us"}},
                 entity=[{"what": EVA}, {"what": max}]),
        resource("Group", "all", type="person", actual=True, member=[{"entity": EVA}, {"entity": max}]),
    ]  # fmt: skip


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Eva is with Ann at mco; Bob is there too, Eve manages the area, and Zoe works elsewhere."""
    people: list[Json] = []
    for id, mco in (("ann", "mco"), ("bob", "mco"), ("zoe", "other")):
        people += [practitioner(id), role(id, mco=mco, location=[{"reference": "Location/office"}])]
    people += [practitioner("eve"), role("eve", code=[coding("cm-role", "area-manager")])]
    members = [patient("eva", name=[{"given": ["Eva"], "family": "Diaz"}], birthDate="1990-01-01"), patient("max")]
    enrolled = [episode("eva"), episode("max"), team("eva", assigned(ANN, "2026-01-01"))]
    for resources in ([shipped()], [organization(), organization("other"), *people, *members], enrolled, file_of_eva()):
        await kept(client, *resources)
    return client


async def asked(
    client: httpx.AsyncClient, actor: str | None = None, member: str = "eva", **query: Any
) -> httpx.Response:
    headers = {"X-Acting-As": actor} if actor else {}
    return await client.get(f"Patient/{member}/$member-file", params=query, headers=headers)


async def read(client: httpx.AsyncClient, **query: Any) -> Json:
    response = await asked(client, **query)
    assert 200 == response.status_code, response.text
    found: Json = response.json()
    return found


def section(file: Json, title: str) -> list[str]:
    sections = file["entry"][0]["resource"]["section"]
    found = next(one for one in sections if one["title"] == title)
    return [entry["reference"] for entry in found.get("entry", ())]


def held(file: Json) -> set[str]:
    return {entry["fullUrl"].removeprefix(f"{BASE_URL}/") for entry in file["entry"]}


@pytest.mark.requirement("IA-19")
async def test_the_file_is_one_document_with_everything_of_the_member(iowa: httpx.AsyncClient) -> None:
    file = await read(iowa)
    assert [] == validate(file)
    Bundle.model_validate(file)
    assert ("document", "Composition") == (file["type"], file["entry"][0]["resource"]["resourceType"])
    assert "urn:ietf:rfc:3986" == file["identifier"]["system"]
    assert ["QuestionnaireResponse/lsc-2"] == section(file, "Current assessment")
    assert ["CarePlan/plan"] == section(file, "Current service plan")
    assert ["DocumentReference/note"] == section(file, "Documentation of the case managers")
    assert ["Goal/g"] == section(file, "Goals")
    assert {"CareTeam/eva", "EpisodeOfCare/eva"} == set(section(file, "Case managers and care team"))
    assert {"ServiceRequest/aide", "Task/referral", "Task/review"} == set(section(file, "Services and referrals"))
    assert ["RelatedPerson/mother"] == section(file, "Contacts")
    assert {"CarePlan/past", "QuestionnaireResponse/lsc-1"} == set(section(file, "Earlier assessments and plans"))


@pytest.mark.requirement("IA-19")
async def test_whoever_the_file_names_is_in_it_and_no_other_member(iowa: httpx.AsyncClient) -> None:
    file = await read(iowa)
    named = {"PractitionerRole/ann", "Practitioner/ann", "Organization/mco", "Location/office", "Binary/note"}
    assert {*named, "Organization/aide", "Organization/holding"} <= held(file)
    assert "QuestionnaireResponse/of-nobody" in held(file)
    not_hers = {"Patient/max", "CarePlan/of-max", "CareTeam/of-max", "Group/all", "List/all", "AuditEvent/looked"}
    assert set() == {*not_hers, "Practitioner/bob"} & held(file)
    assert "Patient/max" not in str(file)
    assert set() == set(references(file["entry"][0]["resource"], BASE_URL)) - held(file)
    assert len(file["entry"]) == len(held(file))


async def test_the_narrative_says_who_has_the_member_and_holds_no_markup_of_a_name(iowa: httpx.AsyncClient) -> None:
    composition = (await read(iowa))["entry"][0]["resource"]
    narratives = " ".join(one["text"]["div"] for one in composition["section"])
    assert "<td>Manager ann</td><td>PractitionerRole/ann</td><td>2026-01-01</td>" in narratives
    assert "Stay at home &lt;with&gt; help" in narratives
    assert "Member file of Eva Diaz" == composition["title"]


@pytest.mark.requirement("IA-19")
@pytest.mark.parametrize("actor", [ANN, "Practitioner/ann", "PractitionerRole/eve", "Organization/mco"])
async def test_who_has_the_member_or_oversees_it_may_see_the_file(iowa: httpx.AsyncClient, actor: str) -> None:
    assert 200 == (await asked(iowa, actor)).status_code
    assert 200 == (await asked(iowa, actor, **{"for": actor})).status_code


@pytest.mark.requirement("IA-19")
@pytest.mark.parametrize("actor", [BOB, "PractitionerRole/zoe", "Organization/other", "Patient/max", "Practitioner/x"])
async def test_nobody_else_may_and_a_hidden_member_looks_like_an_absent_one(
    iowa: httpx.AsyncClient, actor: str
) -> None:
    hidden, absent = await asked(iowa, actor), await asked(iowa, actor, member="nobody")
    assert (403, 403) == (hidden.status_code, absent.status_code)
    assert "forbidden" == hidden.json()["issue"][0]["code"]
    assert hidden.text.replace("Patient/eva", "") == absent.text.replace("Patient/nobody", "")


async def test_the_file_is_made_for_nobody_who_may_not_see_it(iowa: httpx.AsyncClient) -> None:
    assert 403 == (await asked(iowa, ANN, **{"for": BOB})).status_code
    assert 403 == (await asked(iowa, **{"for": BOB})).status_code
    file = await read(iowa, **{"for": ANN})
    assert f"For {ANN}" in file["entry"][0]["resource"]["text"]["div"]


async def test_an_earlier_date_or_position_opens_no_file_to_who_may_not_see_it_now(iowa: httpx.AsyncClient) -> None:
    before = (await iowa.get("CareTeam/eva")).headers["etag"].strip('W/"')
    await kept(iowa, team("eva", assigned(ANN, "2026-01-01", "2026-02-01")))
    assert 403 == (await asked(iowa, ANN)).status_code
    assert 403 == (await asked(iowa, ANN, asOf="2026-01-15")).status_code
    assert 403 == (await asked(iowa, ANN, at=before)).status_code


async def test_the_file_is_read_at_one_position(iowa: httpx.AsyncClient) -> None:
    now = await read(iowa)
    position = (await iowa.get("Flag/f")).headers["etag"].strip('W/"')
    await kept(iowa, service("later", "Organization/aide"))
    assert "ServiceRequest/later" in held(await read(iowa))
    then = await read(iowa, at=position)
    assert held(now).difference(one for one in held(now) if "Composition" in one) <= held(then)
    assert "ServiceRequest/later" not in held(then)


async def test_merged_records_are_one_file(iowa: httpx.AsyncClient) -> None:
    twin = {"reference": "Patient/twin"}
    await kept(
        iowa,
        patient("twin", active=False),
        service("of-twin", "Organization/aide", twin),
        patient("eva", link=[{"other": twin, "type": "replaces"}]),
    )
    assert {"Patient/twin", "ServiceRequest/of-twin"} <= held(await read(iowa))


async def test_nothing_is_cut_short(iowa: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = len((await read(iowa))["entry"]) - 1
    monkeypatch.setattr(member_file, "MAX_RESOURCES", whole)
    assert whole == len((await read(iowa))["entry"]) - 1
    monkeypatch.setattr(member_file, "MAX_RESOURCES", whole - 1)
    refused = await asked(iowa)
    assert (413, "too-costly") == (refused.status_code, refused.json()["issue"][0]["code"])


async def test_the_file_of_who_is_not_there_is_not_found(iowa: httpx.AsyncClient) -> None:
    assert 404 == (await asked(iowa, member="nobody")).status_code


# From the acceptance of a transfer


@pytest.fixture
async def transferred(client: httpx.AsyncClient) -> tuple[httpx.AsyncClient, Json, list[Json]]:
    """A transfer of ann-0 from Ann to Bob, its first two steps completed."""
    lea = role("lea", mco=MCO, code=[coding("cm-role", "area-manager")])
    people = [practitioner("lea"), lea, *roster({"ann": 3, "bob": 2})]
    await kept(client, shipped(), organization(MCO), *people)
    task, tasks = await opened(client)
    await run(client, tasks, 2)
    return client, task, tasks


async def status(client: httpx.AsyncClient, actor: str) -> int:
    return (await asked(client, actor, member="ann-0")).status_code


@pytest.mark.requirement("IA-19")
async def test_the_next_manager_may_see_the_file_from_the_commit_of_the_acceptance_on(
    transferred: tuple[httpx.AsyncClient, Json, list[Json]],
) -> None:
    client, task, tasks = transferred
    assert (200, 403) == (await status(client, ANN), await status(client, BOB))
    step = await done(client, tasks[2], *await inside(client))
    assert (200, 200) == (await status(client, ANN), await status(client, BOB))
    found = (await client.get("Provenance", params={"target": f"Task/{task['id']}"})).json()["entry"]
    granted = [one["resource"] for one in found if "Patient/ann-0" in str(one["resource"]["target"])]
    assert [step["meta"]["versionId"]] == [one["meta"]["versionId"] for one in granted]
    assert BOB in [agent["who"].get("reference") for agent in granted[0]["agent"]]
    file = (await asked(client, BOB, member="ann-0", **{"for": BOB})).json()
    assert f"Task/{task['id']}" in section(file, "Case managers and care team")


@pytest.mark.requirement("IA-19")
async def test_a_transfer_that_is_given_up_closes_the_file_again(
    transferred: tuple[httpx.AsyncClient, Json, list[Json]],
) -> None:
    client, task, tasks = transferred
    await done(client, tasks[2], *await inside(client))
    assert 200 == await status(client, BOB)
    await done(client, task, outcome=("valueCode", "cancelled"))
    assert 403 == await status(client, BOB)


@pytest.mark.requirement("IA-19")
@pytest.mark.parametrize(("keeps", "expected"), [(True, 200), (False, 403)])
async def test_the_former_manager_keeps_the_file_where_the_program_says_so(
    client: httpx.AsyncClient, keeps: bool, expected: int
) -> None:
    program = shipped()
    rule = next(one for one in program["action"] if one["id"] == "IA-07")
    for extension in rule["extension"]:
        if extension.get("extension", [{}])[0].get("valueCode") == "former-access":
            extension["extension"][1]["valueBoolean"] = keeps
    people = roster({"ann": 3, "bob": 2})
    await kept(client, program, organization(MCO), *people)
    _, tasks = await opened(client)
    await run(client, tasks)
    assert [BOB] == await manager(client)
    assert (200, expected) == (await status(client, BOB), await status(client, ANN))


async def test_a_role_that_may_not_complete_the_step_gets_no_file_by_trying(
    transferred: tuple[httpx.AsyncClient, Json, list[Json]],
) -> None:
    client, _, tasks = transferred
    outsider = [practitioner("zoe"), role("zoe", mco="other")]
    await kept(client, *outsider)
    response = await advance(client, tasks[2], *await inside(client), actor="PractitionerRole/zoe")
    assert (404, ["not-found"]) == refusal(response)
    assert (403, 403) == (await status(client, "PractitionerRole/zoe"), await status(client, BOB))
