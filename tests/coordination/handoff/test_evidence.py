from __future__ import annotations

import copy
from typing import Any

import pytest

from server.ledger import Resource
from server.outcome import Problem
from tests.coordination.handoff.transfers import (
    CONSIDERED,
    LEA,
    A,
    B,
    directory,
    inside,
    introduced,
    opened,
    run,
    step,
    steps,
    told,
)
from tests.coordination.memory import Memory, coding, patient, role

C = "PractitionerRole/c"
MEMBER = "Patient/m1"


async def lacks(memory: Memory, code: str, *evidence: Resource | str, **more: Any) -> list[str]:
    """The ids of what a refusal names."""
    with pytest.raises(Problem) as found:
        await step(memory, "Task/t", code, *evidence, **more)
    assert "business_rule" == found.value.kind
    assert all(issue.expression == ("Task.output",) for issue in found.value.issues)
    return [str((issue.details or {})["text"]).rpartition("#")[2] for issue in found.value.issues]


async def at(until: int, **more: Any) -> Memory:
    """A transfer of m1 from a to b, with its first steps done."""
    memory = await directory()
    await opened(memory, **more)
    await run(memory, "Task/t", until)
    return memory


@pytest.mark.requirement("IA-16")
async def test_considerations_are_given_with_the_transfer_or_the_step() -> None:
    memory = await at(1)
    assert ["asked-for", "optional"] == [one["valueCode"] for one in (await steps(memory, "Task/t"))["2"]["input"]]
    await step(
        memory,
        "Task/t",
        "2",
        considerations=(CONSIDERED, coding("ia-reassign-consideration", "long-term-relationship")),
    )
    given = [one["valueCodeableConcept"] for one in memory.get("Task/t")["input"] if "valueCodeableConcept" in one]
    assert [CONSIDERED, coding("ia-reassign-consideration", "long-term-relationship")] == given
    memory = await at(1, considerations=(CONSIDERED,))
    await step(memory, "Task/t", "2")


@pytest.mark.requirement("IA-12")
async def test_the_decision_may_show_what_it_rests_on() -> None:
    memory = await at(1)
    flag = {
        "resourceType": "Flag",
        "id": "needs",
        "status": "active",
        "code": coding("cm-flag", "continuity-required"),
        "subject": {"reference": MEMBER},
    }
    await step(memory, "Task/t", "2", flag, told("meeting", LEA, A, B))
    given = (await steps(memory, "Task/t"))["2"]["output"]
    assert ["Flag/needs", "Communication/meeting"] == [one["valueReference"]["reference"] for one in given]


@pytest.mark.requirement("IA-16")
async def test_considerations_are_needed_where_the_program_says_how_many() -> None:
    memory = await directory()
    await memory.put(needing(memory.get("PlanDefinition/ia-hcbs")))
    await opened(memory)
    await run(memory, "Task/t", 1)
    assert ["IA-16"] == await lacks(memory, "2")
    memory = await at(1)
    await step(memory, "Task/t", "2")
    assert "planned" == memory.get("Task/t")["businessStatus"]["coding"][1]["code"]


def needing(program: Resource) -> Resource:
    """Iowa's program where a consideration has to be given."""
    found = copy.deepcopy(program)
    [transfer] = [one for one in found["action"] if one["id"] == "IA-07"]
    [weighing] = [item for one in transfer["action"] for item in one["action"] if item["id"] == "IA-16"]
    [number] = [one for one in weighing["extension"] if one["extension"][0]["valueCode"] == "min"]
    number["extension"][1]["valueInteger"] = 1
    return found


@pytest.mark.requirement("IA-16")
@pytest.mark.parametrize("code", ["1", "2"])
async def test_considerations_that_are_none_are_refused(code: str) -> None:
    memory = await at(int(code) - 1)
    with pytest.raises(Problem) as found:
        await step(memory, "Task/t", code, considerations=(coding("ia-reassign-consideration", "weather"),))
    assert "invalid" == found.value.kind


@pytest.mark.requirement("IA-11")
async def test_contacts_about_the_reason_are_optional_and_asked_for_on_a_members_request() -> None:
    memory = await directory()
    await opened(memory, reason=coding("ia-transfer-reason", "member-request-conflict-or-grievance"))
    first = (await steps(memory, "Task/t"))["1"]
    assert [("IA-11", "asked-for")] == [(one["type"]["text"], one["valueCode"]) for one in first["input"]]
    await step(memory, "Task/t", "1", told("why", LEA, MEMBER, subject={"reference": MEMBER}))
    output = (await steps(memory, "Task/t"))["1"]["output"]
    assert [coding("ia-transfer-evidence", "reason-contact")] == [one["type"] for one in output]


@pytest.mark.requirement("IA-17", "IA-18")
@pytest.mark.parametrize(
    ("expected", "evidence"),
    [
        (["IA-17", "IA-18"], []),
        (["IA-17"], [inside()[1]]),
        (["IA-18"], [inside()[0]]),
        (["IA-17"], [told("1", LEA, A), inside()[1]]),
        (["IA-17"], [told("1", LEA, B), inside()[1]]),
        (["IA-17"], [inside()[0] | {"status": "in-progress"}, inside()[1]]),
        (["IA-17"], [inside()[0] | {"subject": {"reference": "Patient/m2"}}, inside()[1]]),
        (["IA-17"], [inside()[0] | {"about": [{"reference": "Task/other"}]}, inside()[1]]),
        (["IA-18"], [inside()[0], told("1", A, B)]),
        (["IA-18"], [inside()[0], told("1", C, B, medium="PHONE")]),
        (["IA-18"], [inside()[0], told("1", A, C, medium="PHONE")]),
    ],
    ids=[
        *("nothing", "warm only", "notice only", "former only", "next only", "not completed", "another member"),
        *("another task", "no medium", "not the former", "not the next"),
    ],
)
async def test_inside_both_are_told_and_the_former_passes_on(expected: list[str], evidence: list[Resource]) -> None:
    found = await lacks(await at(2), "3", *evidence)
    assert set(expected) <= set(found)


@pytest.mark.requirement("IA-17", "IA-18")
@pytest.mark.parametrize(
    "evidence",
    [
        inside(),
        inside()[::-1],
        [told("1", LEA, A), told("2", LEA, B), inside()[1]],
        [told("1", None, A, B), inside()[1]],
        [
            told("1", LEA, "Practitioner/a", "PractitionerRole/b2"),
            told("2", "Practitioner/a", "Practitioner/b", medium="FACE"),
        ],
        [inside()[0] | {"about": [{"reference": "Task/t"}], "subject": {"reference": MEMBER}}, inside()[1]],
    ],
    ids=["both", "in another order", "one by one", "no sender", "in other roles", "about the transfer"],
)
async def test_inside_takes_every_way_to_tell(evidence: list[Resource]) -> None:
    memory = await at(2)
    await memory.put(role("b2", "b"))
    await step(memory, "Task/t", "3", *evidence)


@pytest.mark.requirement("IA-20", "IA-21")
@pytest.mark.parametrize(
    ("evidence", "mode"),
    [
        (introduced(), None),
        (None, "phone-both"),
        (told("1", A, MEMBER, medium="PHONE"), "phone-both"),
        (told("1", A, MEMBER, medium="PHONE"), "in-person-both"),
        (told("1", A, B, medium="PHONE"), "phone-notice-current-cm"),
        (told("1", C, MEMBER, medium="PHONE"), "phone-notice-current-cm"),
        (told("1", A, MEMBER, medium="PHONE", status="in-progress"), "phone-notice-current-cm"),
    ],
    ids=[
        "no mode",
        "nothing",
        "phone without the next",
        "in person without the next",
        "not the member",
        "not the former",
        "not over yet",
    ],
)
async def test_introduction_is_with_whom_its_mode_says(evidence: Resource | None, mode: str | None) -> None:
    given = [evidence] if evidence else []
    assert ["IA-21"] == await lacks(await at(3), "4", *given, mode=mode)


@pytest.mark.requirement("IA-21")
@pytest.mark.parametrize("mode", ["in-person-both", "phone-both", "phone-notice-current-cm"])
async def test_introduction_is_in_one_of_three_modes(mode: str) -> None:
    memory = await at(3)
    sent = introduced() if mode != "phone-notice-current-cm" else told("1", A, MEMBER, medium="PHONE")
    await step(memory, "Task/t", "4", sent, mode=mode)
    modes = [
        one["valueCodeableConcept"]["coding"][0]["code"]
        for one in (await steps(memory, "Task/t"))["4"]["output"]
        if "valueCodeableConcept" in one
    ]
    assert [mode] == modes


@pytest.mark.requirement("IA-21")
async def test_introduction_is_in_one_mode_alone() -> None:
    memory = await at(3)
    fourth = (await steps(memory, "Task/t"))["4"]
    type = coding("ia-transfer-evidence", "introduction")
    both = [{"type": type, "valueCodeableConcept": coding("ia-handoff-mode", "in-person-both")}]
    await memory.put(fourth | {"output": both})
    assert ["IA-21"] == await lacks(memory, "4", introduced(), mode="phone-both")


@pytest.mark.requirement("IA-20", "IA-21")
async def test_introduction_is_to_the_guardian_where_there_is_one() -> None:
    memory = await at(3)
    guardian = {
        "resourceType": "RelatedPerson",
        "id": "g",
        "patient": {"reference": MEMBER},
        "relationship": [
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-RoleCode", "code": "GUARD"}]}
        ],
        "name": [{"text": "Gail"}],
    }
    await memory.put(guardian)
    assert ["IA-21"] == await lacks(memory, "4", introduced(), mode="phone-both")
    visit = {
        "resourceType": "Encounter",
        "id": "v",
        "status": "finished",
        "class": {"code": "HH"},
        "subject": {"reference": MEMBER},
        "participant": [{"individual": {"reference": one}} for one in (A, B, "RelatedPerson/g")],
    }
    await step(memory, "Task/t", "4", visit, mode="in-person-both")


async def test_introduction_in_an_unknown_mode_is_invalid() -> None:
    with pytest.raises(Problem) as found:
        await step(await at(3), "Task/t", "4", introduced(), mode="by-post")
    assert "invalid" == found.value.kind


@pytest.mark.requirement("IA-22", "IA-23")
async def test_letter_and_first_contacts_are_made_where_none_are_given() -> None:
    memory = await at(3)
    await step(memory, "Task/t", "4", introduced(), mode="phone-both")
    output = (await steps(memory, "Task/t"))["4"]["output"]
    found = [
        (one["type"]["coding"][0]["code"], one["valueReference"]["reference"].partition("/")[0])
        for one in output
        if "valueReference" in one
    ]
    assert [
        ("introduction", "Communication"),
        ("letter", "DocumentReference"),
        ("letter", "Communication"),
        ("first-contacts", "CommunicationRequest"),
    ] == found


@pytest.mark.requirement("IA-23")
async def test_first_contacts_are_with_the_member() -> None:
    memory = await at(3)
    visit = {
        "resourceType": "Appointment",
        "id": "v",
        "status": "booked",
        "participant": [{"actor": {"reference": one}, "status": "accepted"} for one in (B, "Patient/m2")],
    }
    assert ["IA-23"] == await lacks(memory, "4", introduced(), visit, mode="phone-both")
    await memory.put({**visit, "participant": [{"actor": {"reference": one}} for one in (B, MEMBER)]})
    await step(memory, "Task/t", "4", introduced(), "Appointment/v", mode="phone-both")


@pytest.mark.requirement("IA-21", "IA-22")
async def test_a_letter_that_cannot_be_written_hides_nothing_else() -> None:
    memory = await at(3)
    await memory.put(role("b"))
    with pytest.raises(Problem) as found:
        await step(memory, "Task/t", "4", introduced())
    cited = [str((issue.details or {})["text"]).rpartition("#")[2] for issue in found.value.issues]
    assert ["IA-21", "IA-22"] == cited


@pytest.mark.requirement("IA-22", "IA-23")
async def test_a_plain_write_of_the_step_needs_the_letter_and_the_contacts() -> None:
    memory = await at(3)
    await memory.put(introduced())
    type = coding("ia-transfer-evidence", "introduction")
    output = [
        {"type": type, "valueReference": {"reference": "Communication/introduction"}},
        {"type": type, "valueCodeableConcept": coding("ia-handoff-mode", "phone-both")},
    ]
    fourth = (await steps(memory, "Task/t"))["4"] | {"status": "completed", "output": output}
    with pytest.raises(Problem) as found:
        await memory.put(fourth)
    assert ["IA-22", "IA-23"] == [str((issue.details or {})["text"]).rpartition("#")[2] for issue in found.value.issues]


@pytest.mark.requirement("IA-17", "IA-18", "IA-21")
@pytest.mark.parametrize(
    "type", [{"text": "Evidence"}, {"coding": [{"system": "https://client.example.org", "code": "x"}]}]
)
async def test_evidence_of_another_type_is_what_it_fits(type: Resource) -> None:
    memory = await at(2)
    third = (await steps(memory, "Task/t"))["3"] | {"status": "completed"}
    notice, warm = ({"type": type, "valueReference": {"reference": f"Communication/{id}"}} for id in ("inside", "warm"))
    await memory.put(*inside())
    for some in ([warm], [notice], []):
        with pytest.raises(Problem) as found:
            await memory.put(third | {"output": some})
        assert "business_rule" == found.value.kind
    await memory.put(third | {"output": [warm, notice]})
    fourth = (await steps(memory, "Task/t"))["4"]
    output = [
        {"type": type, "valueReference": {"reference": "Communication/introduction"}},
        {"type": type, "valueCodeableConcept": coding("ia-handoff-mode", "phone-both")},
    ]
    await memory.put(introduced(), fourth | {"status": "in-progress", "output": output})
    await step(memory, "Task/t", "4")


@pytest.mark.requirement("IA-21")
@pytest.mark.parametrize("type", [coding("ia-transfer-evidence", "introduction"), {"text": "Mode"}])
@pytest.mark.parametrize(
    "mode",
    [{"valueCode": "phone-both"}, {"valueCoding": coding("ia-handoff-mode", "phone-both")["coding"][0]}],
    ids=["code", "Coding"],
)
async def test_a_mode_is_a_code_however_it_is_written(type: Resource, mode: Resource) -> None:
    memory = await at(3)
    introduction = {"type": type, "valueReference": {"reference": "Communication/introduction"}}
    fourth = (await steps(memory, "Task/t"))["4"] | {"status": "in-progress"}
    await memory.put(introduced(), fourth | {"output": [introduction, {"type": type, **mode}]})
    await step(memory, "Task/t", "4")


def service(*performers: str, **more: Any) -> Resource:
    return {
        "resourceType": "ServiceRequest",
        "id": "s",
        "status": "active",
        "intent": "order",
        "subject": {"reference": MEMBER},
        "performer": [{"reference": one} for one in performers],
        **more,
    }


@pytest.mark.requirement("IA-24")
async def test_every_provider_who_is_not_told_is_told_by_the_server() -> None:
    memory = await at(4)
    await memory.put(service("Organization/home", "Organization/meals", "PractitionerRole/nurse"))
    await step(memory, "Task/t", "5", told("told", A, "Organization/meals"))
    output = (await steps(memory, "Task/t"))["5"]["output"]
    sent = [
        memory.get(one["valueReference"]["reference"])
        for one in output
        if one["type"] == coding("ia-transfer-evidence", "provider-notice")
    ]
    reached = [(one["sender"]["reference"], one["recipient"][0]["reference"]) for one in sent]
    assert [(A, "Organization/meals"), (B, "Organization/home"), (B, "PractitionerRole/nurse")] == reached


@pytest.mark.requirement("IA-24")
async def test_a_plain_write_of_the_step_names_the_providers_who_are_not_told() -> None:
    memory = await at(4)
    await memory.put(service("Organization/home"))
    with pytest.raises(Problem) as found:
        await memory.put((await steps(memory, "Task/t"))["5"] | {"status": "completed"})
    assert "Organization/home" in found.value.issues[0].diagnostics


@pytest.mark.parametrize("evidence", ["Communication/none", "Patient/m1"], ids=["unknown", "another type"])
async def test_evidence_that_is_none_is_invalid(evidence: str) -> None:
    with pytest.raises(Problem) as found:
        await step(await at(2), "Task/t", "3", evidence)
    assert "invalid" == found.value.kind


async def test_evidence_of_a_merged_record_is_the_members() -> None:
    memory = await at(2)
    await memory.put(patient("m4", link=[{"other": {"reference": MEMBER}, "type": "replaces"}]))
    about = {"subject": {"reference": "Patient/m4"}}
    await step(memory, "Task/t", "3", *(one | about for one in inside()))
