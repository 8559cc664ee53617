"""Everybody learns of the new case manager, over HTTP: inside the plan, the member or their people, the providers."""

from __future__ import annotations

import asyncio
import base64
import hashlib
from typing import Any

import httpx
import pytest

from server.coordination.communication.representative import ROLE
from server.operations import advance as operation
from server.printing.letter import Printed, printed
from server.validation.element import validate
from tests.answers import refusal
from tests.coordination.memory import IA_HCBS, coding, organization, patient, practitioner, role, shipped
from tests.scenarios.iowa import (
    ANN,
    BOB,
    LEA,
    LOCATION,
    MCO,
    MEMBER,
    advance,
    day,
    done,
    inside,
    kept,
    opened,
    parameters,
    put,
    puts,
    roster,
    sent,
    stored,
    told,
)

Json = dict[str, Any]
EMAIL = [{"system": "email", "value": "bob@mco.example"}]
PHONE = {"system": "phone", "value": "1-515-555-0199"}
EVA: Json = patient(
    "ann-0",
    name=[{"given": ["Eva"], "family": "Łu"}],
    birthDate="1990-01-01",
    address=[{"line": ["1 Elm St"], "city": "Ames", "state": "IA", "postalCode": "50010"}],
)
INTRODUCED = ("valueCode", "phone-notice-current-cm")


@pytest.fixture
async def iowa(client: httpx.AsyncClient) -> httpx.AsyncClient:
    """Ann has Eva, and others; Bob is to have her; Lea manages the area. The plan has a line to call."""
    lea = role("lea", mco=MCO, code=[coding("cm-role", "area-manager")])
    people = [practitioner("lea"), lea, *roster({"ann": 2, "bob": 1})]
    await kept(client, shipped(), organization(MCO) | {"telecom": [PHONE]}, *people)
    await put(client, EVA)
    return client


async def led_to_the_member(client: httpx.AsyncClient, **more: Any) -> list[Json]:
    """A transfer's steps, the first three completed."""
    _, tasks = await opened(client, **more)
    await done(client, tasks[0])
    await done(client, tasks[1], consideration=LOCATION)
    await done(client, tasks[2], *await inside(client))
    return tasks


async def introduced(client: httpx.AsyncClient, whom: str = MEMBER) -> str:
    return await stored(client, told(ANN, whom, medium="PHONE"))


async def told_the_member(client: httpx.AsyncClient, task: Json, whom: str = MEMBER) -> dict[str, list[Json]]:
    """Complete step 4: what its output names, by the evidence's code."""
    return await outputs(client, await done(client, task, await introduced(client, whom), mode=INTRODUCED))


async def outputs(client: httpx.AsyncClient, task: Json) -> dict[str, list[Json]]:
    found: dict[str, list[Json]] = {}
    for output in task.get("output", ()):
        if "valueReference" in output:
            code = output["type"]["coding"][0]["code"]
            found.setdefault(code, []).append((await client.get(output["valueReference"]["reference"])).json())
    return found


def text(document: Json) -> str:
    """The letter as HTML."""
    return base64.b64decode(document["content"][0]["attachment"]["data"]).decode()


async def letter(client: httpx.AsyncClient, task: Json, whom: str = MEMBER) -> tuple[Json, Json]:
    """Step 4's letter: its DocumentReference and its Communication."""
    document, communication = (await told_the_member(client, task, whom))["letter"]
    assert [] == validate(document) + validate(communication)
    return document, communication


def related(id: str, code: str, **more: Any) -> Json:
    return {
        "resourceType": "RelatedPerson",
        "id": id,
        "patient": {"reference": MEMBER},
        "relationship": [{"coding": [{"system": ROLE, "code": code}]}],
        "name": [{"given": ["Rosa"], "family": "Łu"}],
        "address": [{"line": ["PO Box 7"], "city": "Boone", "state": "IA", "postalCode": "50036"}],
        **more,
    }


# The letter


@pytest.mark.requirement("IA-22")
async def test_the_letter_is_written_from_the_directory_in_the_commit_of_its_step(iowa: httpx.AsyncClient) -> None:
    tasks = await led_to_the_member(iowa, effective=("valueDate", day(7)))
    document, communication = await letter(iowa, tasks[3])
    page = text(document)
    for part in (
        "Manager bob",
        "bob@mco.example",
        "Eva Łu",
        "1 Elm St",
        "Ames, IA 50010",
        PHONE["value"],
        "MCO ia-molina",
    ):
        assert part in page
    assert ("MAILWRIT", "completed") == (communication["medium"][0]["coding"][0]["code"], communication["status"])
    assert [{"reference": MEMBER}] == communication["recipient"]
    assert {"reference": f"Organization/{MCO}"} == communication["sender"]
    assert f"DocumentReference/{document['id']}" == communication["payload"][0]["contentReference"]["reference"]
    step = (await iowa.get(f"Task/{tasks[3]['id']}")).json()
    assert {step["meta"]["versionId"]} == {one["meta"]["versionId"] for one in (document, communication)}


@pytest.mark.requirement("IA-22")
async def test_the_letter_is_one_content_as_html_and_as_pdf(iowa: httpx.AsyncClient) -> None:
    document, _ = await letter(iowa, (await led_to_the_member(iowa))[3])
    attachments = [content["attachment"] for content in document["content"]]
    assert ["text/html", "application/pdf"] == [one["contentType"] for one in attachments]
    for one in attachments:
        data = base64.b64decode(one["data"])
        assert (len(data), hashlib.sha1(data).digest(), "en") == (
            one["size"],
            base64.b64decode(one["hash"]),
            one["language"],
        )
        assert "Your new case manager" == one["title"]
    assert base64.b64decode(attachments[1]["data"]).startswith(b"%PDF-")


@pytest.mark.requirement("IA-22")
@pytest.mark.parametrize(
    ("place", "changed"),
    [
        ("Practitioner.name", {"resourceType": "Practitioner", "id": "bob", "telecom": EMAIL}),
        ("PractitionerRole.telecom", role("bob", mco=MCO)),
    ],
)
async def test_step_4_is_refused_without_the_new_managers_name_or_telecom(
    iowa: httpx.AsyncClient, place: str, changed: Json
) -> None:
    tasks = await led_to_the_member(iowa)
    if place.startswith("PractitionerRole"):
        await put(iowa, practitioner("bob"))
    await put(iowa, changed)
    before = (await iowa.get("_history", params={"_count": 1})).json()["entry"][0]["resource"]["meta"]["versionId"]
    call = await introduced(iowa)
    response = await advance(iowa, tasks[3], call, mode=INTRODUCED)
    assert (422, ["business-rule"]) == refusal(response)
    [issue] = response.json()["issue"]
    assert ([place], f"{IA_HCBS}|1.0.0#IA-22") == (issue["expression"], issue["details"]["text"])
    after = (await iowa.get("_history", params={"_count": 1})).json()["entry"][0]["resource"]["meta"]["versionId"]
    assert int(before) + 1 == int(after)
    own = await stored(iowa, told(None, MEMBER, medium="MAILWRIT"))
    response = await advance(iowa, tasks[3], call, own, mode=INTRODUCED)
    assert (422, ["business-rule"]) == refusal(response)
    assert "IA-22" in response.text


async def test_a_letter_that_a_client_gives_is_taken_and_none_is_made(iowa: httpx.AsyncClient) -> None:
    tasks = await led_to_the_member(iowa)
    own = await stored(iowa, told(None, MEMBER, medium="MAILWRIT"))
    step = await done(iowa, tasks[3], await introduced(iowa), own, mode=INTRODUCED)
    assert [own.partition("/")[2]] == [one["id"] for one in (await outputs(iowa, step))["letter"]]
    assert 0 == (await iowa.get("DocumentReference", params={"_total": "accurate"})).json()["total"]


async def test_a_letter_with_a_name_that_no_font_has_is_refused_and_says_what_would_do(iowa: httpx.AsyncClient) -> None:
    tasks = await led_to_the_member(iowa)
    await put(iowa, EVA | {"name": [{"use": "usual", "text": "王小明"}]})
    call = await introduced(iowa)
    response = await advance(iowa, tasks[3], call, mode=INTRODUCED)
    assert (422, ["business-rule"]) == refusal(response)
    assert "U+738B" in response.text
    await put(iowa, EVA | {"name": [{"use": "usual", "text": "王小明"}, {"use": "official", "text": "Wang Xiaoming"}]})
    step = await done(iowa, tasks[3], call, mode=INTRODUCED)
    assert "Wang Xiaoming" in text((await outputs(iowa, step))["letter"][0])


@pytest.mark.parametrize("name", ["Nguyễn Thị Ánh", "Ђорђе Ćosić", "မောင်အောင်ဆန်း", '<b>Eva</b> & "Co" {manager}'])
async def test_names_are_printed_as_they_are(iowa: httpx.AsyncClient, name: str) -> None:
    tasks = await led_to_the_member(iowa)
    await put(iowa, EVA | {"name": [{"text": name}]})
    document, _ = await letter(iowa, tasks[3])
    page = text(document)
    assert name.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;") in page
    assert "<b>" not in page


async def test_what_the_letter_says_is_what_the_directory_says_at_the_commit(
    iowa: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bob's number changes while the letter is printed: it is printed again."""
    tasks = await led_to_the_member(iowa)
    numbers = ["1-515-555-0001", "1-515-555-0002"]

    async def slowly(letter: Any) -> Printed:
        found = await printed(letter)
        if numbers:
            await put(iowa, role("bob", mco=MCO, telecom=[{"system": "phone", "value": numbers.pop()}]))
        return found

    monkeypatch.setattr(operation, "printed", slowly)
    document, _ = await letter(iowa, tasks[3])
    assert "1-515-555-0001" in text(document)
    assert "1-515-555-0002" not in text(document)


async def test_a_letter_is_sent_once_when_the_request_is_sent_twice(iowa: httpx.AsyncClient) -> None:
    tasks = await led_to_the_member(iowa)
    call = await introduced(iowa)
    body = parameters(mode=INTRODUCED, evidence=("valueReference", {"reference": call}))
    answers = [
        await iowa.post(f"Task/{tasks[3]['id']}/$advance", json=body, headers={"Idempotency-Key": "once"})
        for _ in range(2)
    ]
    assert [200, 200] == [one.status_code for one in answers]
    assert answers[0].text == answers[1].text
    assert 1 == (await iowa.get("DocumentReference", params={"_total": "accurate"})).json()["total"]


async def test_of_two_who_complete_the_step_at_once_one_sends_the_letter(iowa: httpx.AsyncClient) -> None:
    tasks = await led_to_the_member(iowa)
    call = await introduced(iowa)
    answers = await asyncio.gather(*(advance(iowa, tasks[3], call, mode=INTRODUCED) for _ in range(4)))
    assert [200, 409, 409, 409] == sorted(one.status_code for one in answers)
    assert 1 == (await iowa.get("DocumentReference", params={"_total": "accurate"})).json()["total"]


# To whom


@pytest.mark.requirement("IA-20", "IA-22")
@pytest.mark.parametrize(
    ("birth_date", "person"),
    [("1990-01-01", related("g", "GUARD")), ("2020-01-01", related("m", "MTH")), ("2020-01-01", related("g", "GUARD"))],
)
async def test_the_letter_goes_to_the_guardian_or_a_minors_parent(
    iowa: httpx.AsyncClient, birth_date: str, person: Json
) -> None:
    await kept(iowa, EVA | {"birthDate": birth_date}, person)
    reference = f"RelatedPerson/{person['id']}"
    document, communication = await letter(iowa, (await led_to_the_member(iowa))[3], reference)
    assert [{"reference": reference}] == communication["recipient"]
    assert all(part in text(document) for part in ("Rosa Łu", "PO Box 7", "Eva Łu has a new case manager"))
    assert "1 Elm St" not in text(document)


@pytest.mark.requirement("IA-20")
async def test_the_introduction_of_a_member_who_has_a_guardian_is_the_guardians(iowa: httpx.AsyncClient) -> None:
    await put(iowa, related("g", "GUARD"))
    tasks = await led_to_the_member(iowa)
    response = await advance(iowa, tasks[3], await introduced(iowa, MEMBER), mode=INTRODUCED)
    assert (422, ["business-rule"]) == refusal(response)
    assert "RelatedPerson/g" in response.text
    assert f"{IA_HCBS}|1.0.0#IA-21" == response.json()["issue"][0]["details"]["text"]


@pytest.mark.requirement("IA-20")
@pytest.mark.parametrize(
    ("born", "codes"),
    [(-365 * 40, ("GUARD", "GUARD")), (-365 * 10, ("MTH", "FTH")), (-365 * 10, ("PRN", "STPPRN"))],
)
@pytest.mark.parametrize("told", ["one", "two"])
async def test_any_of_two_guardians_or_parents_can_be_told(
    iowa: httpx.AsyncClient, born: int, codes: tuple[str, str], told: str
) -> None:
    await put(iowa, EVA | {"birthDate": day(born)})
    await put(iowa, related("one", codes[0]))
    await put(iowa, related("two", codes[1]))
    tasks = await led_to_the_member(iowa)
    _, communication = await letter(iowa, tasks[3], f"RelatedPerson/{told}")
    assert 1 == len(communication["recipient"])


@pytest.mark.requirement("IA-20")
async def test_a_minor_whom_nobody_stands_for_is_refused_until_somebody_does(iowa: httpx.AsyncClient) -> None:
    await put(iowa, EVA | {"birthDate": day(-365 * 10)})
    tasks = await led_to_the_member(iowa)
    response = await advance(iowa, tasks[3], await introduced(iowa), mode=INTRODUCED)
    refused_as(response, "IA-21", "IA-22")
    assert all("RelatedPerson" in issue["diagnostics"] for issue in response.json()["issue"])
    await put(iowa, related("m", "MTH"))
    _, communication = await letter(iowa, tasks[3], "RelatedPerson/m")
    assert [{"reference": "RelatedPerson/m"}] == communication["recipient"]


# Inside the plan, and the introduction


def refused_as(response: httpx.Response, *ids: str) -> None:
    assert 422 == response.status_code, response.text
    assert [f"{IA_HCBS}|1.0.0#{id}" for id in ids] == [one["details"]["text"] for one in response.json()["issue"]]


@pytest.mark.requirement("IA-17", "IA-18")
@pytest.mark.parametrize(
    ("missing", "calls"),
    [
        (["IA-17", "IA-18"], []),
        (["IA-18"], [(LEA, [ANN, BOB], None)]),
        (["IA-17"], [(LEA, [ANN], None), (ANN, [BOB], "PHONE")]),
        (["IA-18"], [(LEA, [ANN, BOB], None), (LEA, [BOB], "PHONE")]),
        (["IA-18"], [(LEA, [ANN, BOB], None), (ANN, [BOB], None)]),
        ([], [(LEA, [ANN], None), (LEA, [BOB], None), (ANN, [BOB], "EMAILWRIT")]),
    ],
)
async def test_step_3_needs_both_managers_told_and_a_warm_transfer_with_its_medium(
    iowa: httpx.AsyncClient, missing: list[str], calls: list[tuple[str, list[str], str | None]]
) -> None:
    _, tasks = await opened(iowa)
    await done(iowa, tasks[0])
    await done(iowa, tasks[1], consideration=LOCATION)
    evidence = [await stored(iowa, told(sender, *whom, medium=medium)) for sender, whom, medium in calls]
    response = await advance(iowa, tasks[2], *evidence)
    if missing:
        refused_as(response, *missing)
    else:
        assert 200 == response.status_code, response.text


@pytest.mark.requirement("IA-21")
@pytest.mark.parametrize(
    ("is_enough", "mode", "call"),
    [
        (False, None, told(ANN, MEMBER, BOB, medium="PHONE")),
        (False, "phone-both", told(ANN, MEMBER, medium="PHONE")),
        (False, "in-person-both", told(ANN, MEMBER, medium="FACE")),
        (False, "phone-notice-current-cm", told(BOB, MEMBER, medium="PHONE")),
        (False, "phone-notice-current-cm", told(ANN, BOB, medium="PHONE")),
        (True, "phone-both", told(ANN, MEMBER, BOB, medium="PHONE")),
        (True, "in-person-both", told(ANN, MEMBER, BOB, medium="FACE")),
        (True, "phone-notice-current-cm", told(ANN, MEMBER, medium="PHONE")),
    ],
)
async def test_the_introduction_is_in_exactly_one_mode_with_both_managers_where_it_says_so(
    iowa: httpx.AsyncClient, is_enough: bool, mode: str | None, call: Json
) -> None:
    tasks = await led_to_the_member(iowa)
    more = {"mode": ("valueCode", mode)} if mode else {}
    response = await advance(iowa, tasks[3], await stored(iowa, call), **more)
    if is_enough:
        assert 200 == response.status_code, response.text
    else:
        refused_as(response, "IA-21")


@pytest.mark.requirement("IA-21")
async def test_a_mode_that_is_none_is_refused_with_those_that_there_are(iowa: httpx.AsyncClient) -> None:
    tasks = await led_to_the_member(iowa)
    response = await advance(iowa, tasks[3], await introduced(iowa), mode=("valueCode", "by-pigeon"))
    assert 400 == response.status_code
    assert "phone-both" in response.text


# First contacts


@pytest.mark.requirement("IA-23")
@pytest.mark.parametrize(("effective", "expected"), [(None, 0), (7, 7)])
async def test_first_contacts_are_the_new_managers_from_the_switch_on(
    iowa: httpx.AsyncClient, effective: int | None, expected: int
) -> None:
    more = {"effective": ("valueDate", day(effective))} if effective else {}
    tasks = await led_to_the_member(iowa, **more)
    [first] = (await told_the_member(iowa, tasks[3]))["first-contacts"]
    assert [] == validate(first)
    assert ({"reference": BOB}, [{"reference": MEMBER}]) == (first["sender"], first["recipient"])
    assert {"start"} == first["occurrencePeriod"].keys()
    assert first["occurrencePeriod"]["start"].startswith(day(expected))


# The providers


def service(id: str, *performers: str, status: str = "active") -> Json:
    return {
        "resourceType": "ServiceRequest",
        "id": id,
        "status": status,
        "intent": "order",
        "subject": {"reference": MEMBER},
        "performer": [{"reference": one} for one in performers],
    }


@pytest.mark.requirement("IA-24")
async def test_every_provider_with_active_services_is_told_and_listed(iowa: httpx.AsyncClient) -> None:
    await sent(
        iowa,
        puts(
            service("1", "Organization/aide", "PractitionerRole/nurse"),
            service("2", "Organization/aide", ANN, "Practitioner/bob"),
            service("3", "Organization/past", status="completed"),
        ),
    )
    tasks = await led_to_the_member(iowa)
    await told_the_member(iowa, tasks[3])
    notices = (await outputs(iowa, await done(iowa, tasks[4])))["provider-notice"]
    assert ["Organization/aide", "PractitionerRole/nurse"] == sorted(
        one["recipient"][0]["reference"] for one in notices
    )
    for one in notices:
        assert [] == validate(one)
        assert {"reference": BOB} == one["sender"]
        assert all(part in one["payload"][0]["contentString"] for part in ("Manager bob", "bob@mco.example", "Eva Łu"))
        assert "sent" in one


@pytest.mark.requirement("IA-24")
async def test_a_provider_whom_somebody_told_is_not_told_again(iowa: httpx.AsyncClient) -> None:
    await put(iowa, service("1", "Organization/aide", "Organization/meals"))
    tasks = await led_to_the_member(iowa)
    await told_the_member(iowa, tasks[3])
    call = await stored(iowa, told(ANN, "Organization/aide", medium="PHONE"))
    notices = (await outputs(iowa, await done(iowa, tasks[4], call)))["provider-notice"]
    assert ["Organization/aide", "Organization/meals"] == sorted(one["recipient"][0]["reference"] for one in notices)


@pytest.mark.requirement("IA-24")
async def test_a_member_without_services_has_nobody_to_be_told(iowa: httpx.AsyncClient) -> None:
    tasks = await led_to_the_member(iowa)
    await told_the_member(iowa, tasks[3])
    assert "provider-notice" not in await outputs(iowa, await done(iowa, tasks[4]))


@pytest.mark.requirement("IA-24")
async def test_a_notice_says_who_it_is_even_where_the_directory_says_no_more(iowa: httpx.AsyncClient) -> None:
    await put(iowa, service("1", "Organization/aide"))
    tasks = await led_to_the_member(iowa)
    await told_the_member(iowa, tasks[3])
    await kept(iowa, {"resourceType": "Practitioner", "id": "bob"}, role("bob", mco=MCO))
    [notice] = (await outputs(iowa, await done(iowa, tasks[4])))["provider-notice"]
    assert BOB in notice["payload"][0]["contentString"]


async def switched(client: httpx.AsyncClient, task: Json) -> httpx.Response:
    """Step 5 completed by a plain PUT: nothing is made for it."""
    whole = (await client.get(f"Task/{task['id']}")).json()
    return await put(client, whole | {"status": "completed"})


@pytest.mark.requirement("IA-24")
async def test_a_plain_update_is_refused_while_a_provider_is_untold(iowa: httpx.AsyncClient) -> None:
    await put(iowa, service("1", "Organization/aide"))
    tasks = await led_to_the_member(iowa)
    await told_the_member(iowa, tasks[3])
    response = await switched(iowa, tasks[4])
    assert (422, ["business-rule"]) == refusal(response)
    assert all(part in response.text for part in ("IA-24", "Organization/aide"))
    await put(iowa, service("1", "Organization/aide", status="completed"))
    assert 200 == (await switched(iowa, tasks[4])).status_code


@pytest.mark.parametrize("by", [done, switched])
async def test_both_managers_are_told_at_the_switch_whatever_door_it_came_through(
    iowa: httpx.AsyncClient, by: Any
) -> None:
    tasks = await led_to_the_member(iowa)
    await told_the_member(iowa, tasks[3])
    await by(iowa, tasks[4])
    step = (await iowa.get(f"Task/{tasks[4]['id']}")).json()
    notices = [one for made in (await outputs(iowa, step)).values() for one in made]
    assert {ANN, BOB} == {one["recipient"][0]["reference"] for one in notices}
    for one in notices:
        assert [] == validate(one)
        assert "Manager bob (bob@mco.example) is the case manager of Eva Łu." in one["payload"][0]["contentString"]
        assert step["meta"]["versionId"] == one["meta"]["versionId"]


# The texts are the program's


def with_text(name: str, value: str) -> Json:
    """Iowa's program, each text of that name another."""
    program = shipped()
    for rule in program["action"]:
        for action in (item for step in rule.get("action", ()) for item in (step, *step.get("action", ()))):
            for extension in action.get("extension", ()):
                parts = extension.get("extension", ())
                if any(part.get("valueCode") == name for part in parts):
                    next(part for part in parts if part["url"] == "value")["valueString"] = value
    return program


async def test_the_text_of_the_letter_is_the_programs(iowa: httpx.AsyncClient) -> None:
    await put(iowa, with_text("letter-text", "Hola {recipient}:\n\t{manager}, {telecom}"))
    document, _ = await letter(iowa, (await led_to_the_member(iowa))[3])
    assert "Hola Eva Łu: Manager bob, bob@mco.example" in text(document)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("letter-text", "Call {phone}"),
        ("letter-text", "{manager} {telecom} {manager.__class__}"),
        ("letter-text", "You have a new case manager"),
        ("letter-text-representative", "{manager} from {effective} on, {telecom}"),
        ("letter-title", "New: {who}"),
        ("letter-title", "New from {effective} on"),
        ("notice-text", "Dear {recipient}, it is {manager}"),
        ("notice-text", "From {effective}: {manager}"),
    ],
)
async def test_a_text_that_could_not_be_filled_is_refused_with_its_place(
    iowa: httpx.AsyncClient, name: str, value: str
) -> None:
    response = await put(iowa, with_text(name, value))
    assert 422 == response.status_code
    places = [place for issue in response.json()["issue"] for place in issue["expression"]]
    assert places
    assert all(place.startswith("PlanDefinition.action[") for place in places)
