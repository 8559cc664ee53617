from __future__ import annotations

from typing import Any

import pytest

from server.coordination.program.plan_definition import RULE_OVERRIDE
from server.coordination.write import AS_RECORDED
from server.ledger import Resource
from server.outcome import Problem
from tests.coordination.handoff.transfers import (
    LEA,
    TELECOM,
    A,
    B,
    directory,
    opened,
    run,
    steps,
    transfer_of,
)
from tests.coordination.memory import IA_HCBS, Memory, assigned, coding, episode, location, patient, role, team

C = "PractitionerRole/c"


async def refused(memory: Memory, **more: Any) -> tuple[str, tuple[str, ...]]:
    """The kind of the Problem, and the place that it names."""
    with pytest.raises(Problem) as found:
        await opened(memory, **more)
    return found.value.kind, found.value.issues[0].expression


async def test_opening_completes_the_terms() -> None:
    memory = await directory()
    await opened(memory, effective="2026-04-01", actor=LEA)
    found = await transfer_of(memory, "Task/t")
    assert (IA_HCBS, "Patient/m1", "Organization/mco", A, B) == found[1:6]
    assert ("requested", "2026-03-10T13:00:00-05:00", "2026-04-01") == found[6:9]
    task = memory.get("Task/t")
    assert LEA == task["requester"]["reference"]
    assert "CareTeam/m1" == task["focus"]["reference"]
    owners = {code: one.get("owner", {}).get("reference") for code, one in (await steps(memory, "Task/t")).items()}
    assert {"1": LEA, "2": LEA, "3": A, "4": A, "5": B} == owners


@pytest.mark.requirement("IA-10")
async def test_opening_says_for_which_area() -> None:
    memory = await directory()
    home = patient("m1", address=[{"district": "Polk", "state": "IA"}])
    lea = role("lea", code=[coding("cm-role", "area-manager")], location=[{"reference": "Location/polk"}])
    await memory.put(location("polk", district="Polk", state="IA"), home, lea)
    await opened(memory, actor=LEA)
    assert {"reference": "Location/polk"} == memory.get("Task/t")["location"]


@pytest.mark.parametrize(
    ("kind", "place", "more"),
    [
        ("business_rule", "Task.owner", {"to": A}),
        ("business_rule", "Task.owner", {"to": "PractitionerRole/a2"}),
        ("business_rule", "Task.owner", {"to": "PractitionerRole/nobody"}),
        ("business_rule", "Task.owner", {"to": "PractitionerRole/gone"}),
        ("business_rule", "Task.for", {"to": "Practitioner/b"}),
        ("business_rule", "Task.reasonCode", {"reason": {"text": "Because"}}),
        ("business_rule", "Task.reasonCode", {"reason": coding("ia-transfer-reason", "other")}),
        ("business_rule", "Task.input", {"considerations": (coding("ia-reassign-consideration", "weather"),)}),
        ("business_rule", "Task.requester", {"requester": C}),
        ("business_rule", "Task.requester", {"requester": LEA, "actor": C}),
        ("business_rule", "Task.requester", {"requester": "PractitionerRole/elsewhere"}),
        ("conflict", "Task.for", {"member": "m4"}),
        ("business_rule", "Task.for", {"member": "nobody"}),
    ],
    ids=[
        *("the same", "the same person", "unknown", "left", "no role"),
        *("no code", "another code", "no consideration", "no area manager", "actor", "another plan's"),
        *("unassigned", "unknown member"),
    ],
)
@pytest.mark.requirement("IA-08", "IA-10")
async def test_opening_refuses(kind: str, place: str, more: dict[str, Any]) -> None:
    memory = await directory()
    manager = [coding("cm-role", "area-manager")]
    await memory.put(role("a2", "a"), role("gone", "c", active=False), role("elsewhere", "lea", "other", code=manager))
    found, expression = await refused(memory, **more)
    assert kind == found
    assert place in {expression[0], "Task.for"}


async def test_opening_stays_inside_the_organization_where_the_program_says_so() -> None:
    memory = await directory()
    free = {name: value for name, value in role("free", "c", telecom=TELECOM).items() if name != "organization"}
    await memory.put(role("there", "c", "other", telecom=TELECOM), free)
    assert ("business_rule", ("Task.owner",)) == await refused(memory, to="PractitionerRole/there")
    await opened(memory, to="PractitionerRole/free")
    program = memory.get("PlanDefinition/ia-hcbs")
    [rule] = [one for one in program["action"] if one["id"] == "IA-07"]
    kept = [one for one in rule["extension"] if "same-organization" not in str(one)]
    rules = [one | {"extension": kept} if one is rule else one for one in program["action"]]
    await memory.put(program | {"action": rules})
    await opened(memory, "m2", to="PractitionerRole/there", id="t2")


@pytest.mark.parametrize("named", ["actor", "requester"])
async def test_opening_takes_the_person_as_the_role_that_may(named: str) -> None:
    memory = await directory()
    await opened(memory, **{named: "Practitioner/lea"})
    assert LEA == memory.get("Task/t")["requester"]["reference"]
    assert LEA == (await steps(memory, "Task/t"))["1"]["owner"]["reference"]


async def test_steps_of_who_asks_are_the_organizations_where_nobody_is_named() -> None:
    memory = await directory()
    await opened(memory)
    owners = {code: one["owner"]["reference"] for code, one in (await steps(memory, "Task/t")).items()}
    assert {"1": "Organization/mco", "2": "Organization/mco", "3": A, "4": A, "5": B} == owners


async def test_opening_is_from_who_has_the_member_when_it_takes_effect() -> None:
    memory = await directory()
    await run(memory, await opened(memory, effective="2026-04-01"))
    place = "Task.input.where(type.coding.code = 'effective')"
    assert ("conflict", (place,)) == await refused(memory, to=C, effective="2026-05-01", id="t2")
    await opened(memory, to=C, effective="2026-03-20", id="t2")


async def test_opening_after_it_took_effect_is_for_the_time_of_the_present_manager() -> None:
    memory = await directory()
    place = "Task.input.where(type.coding.code = 'effective')"
    assert ("business_rule", (place,)) == await refused(memory, effective="2025-01-01")  # the present one's first day
    assert ("business_rule", ("Task.for",)) == await refused(memory, effective="2024-03-09")  # before the episode
    await memory.put(role("b", period={"start": "2026-02-01"}, telecom=TELECOM))
    assert ("business_rule", ("Task.owner",)) == await refused(memory, effective="2026-01-31")
    await opened(memory, effective="2026-02-01")


@pytest.mark.requirement("IA-06")
async def test_opening_is_once_for_a_member() -> None:
    memory = await directory()
    await opened(memory)
    assert ("conflict", ("Task.for",)) == await refused(memory, id="t2", to=C)
    with pytest.raises(Problem) as found:
        await memory.put(memory.get("Task/t") | {"id": "t3"}, "Task/unknown")
    assert "conflict" == found.value.kind


@pytest.mark.requirement("IA-04")
async def test_opening_holds_the_place() -> None:
    memory = await directory(limit=2)
    await memory.put(team("m4", assigned(B)))
    await opened(memory)
    assert ("business_rule", ("Task.owner",)) == await refused(memory, member="m2", id="t2")
    with pytest.raises(Problem):
        await memory.put(team("m5", assigned(B)))
    await opened(memory, "m2", to=C, id="t2")


async def test_opening_holds_the_place_from_when_it_is_effective() -> None:
    memory = await directory(limit=2)
    await memory.put(team("m4", assigned(B)), team("m5", assigned(B, "2025-01-01", "2026-04-30")))
    assert "business_rule" == (await refused(memory))[0]
    await opened(memory, effective="2026-05-01")
    assert "business_rule" == (await refused(memory, member="m2", id="t2", effective="2026-06-01"))[0]


async def test_opening_frees_the_place_of_a_member_whose_episode_ended() -> None:
    memory = await directory(limit=2)
    await memory.put(team("m4", assigned(B)))
    await opened(memory)
    assert "business_rule" == (await refused(memory, member="m2", id="t2"))[0]
    await memory.put(episode("m1", end="2026-03-01", status="finished"))
    await opened(memory, "m2", id="t2")


async def test_opening_is_of_a_manager_who_left() -> None:
    memory = await directory()
    await memory.put(role("a", active=False))
    await opened(memory)


async def test_opening_is_to_a_new_hire_from_the_first_day() -> None:
    memory = await directory()
    await memory.put(role("new", "c", period={"start": "2026-04-01"}, telecom=TELECOM))
    assert "business_rule" == (await refused(memory, to="PractitionerRole/new"))[0]
    transfer = await opened(memory, to="PractitionerRole/new", effective="2026-04-01")
    await run(memory, transfer, 2)


@pytest.mark.parametrize(
    "changed",
    [
        {"for": {"display": "Somebody"}},
        {"owner": {"reference": "Practitioner/b"}},
        {"owner": {"display": "Bob"}},
        {"instantiatesCanonical": "https://elsewhere.example.org/PlanDefinition/1"},
        {"instantiatesCanonical": f"{IA_HCBS}|0.9"},
        {"status": "completed"},
        {"status": "cancelled"},
    ],
    ids=["for", "owner no role", "owner", "program", "version", "completed", "cancelled"],
)
async def test_opening_plainly_is_held_to_the_same(changed: dict[str, Any]) -> None:
    memory = await directory()
    with pytest.raises(Problem):
        await memory.put(plain() | changed)


async def test_opening_plainly_makes_the_steps() -> None:
    memory = await directory()
    await memory.put(plain() | {"description": "Ann leaves the area", "status": "in-progress"})
    assert list("12345") == sorted(await steps(memory, "Task/p"))
    assert "Ann leaves the area" == memory.get("Task/p")["description"]
    assert "requested" == memory.get("Task/p")["status"]
    await run(memory, "Task/p")


async def test_opening_makes_its_own_steps() -> None:
    memory = await directory()
    await opened(memory, "m2", id="other")
    own = (await steps(memory, "Task/other"))["1"] | {"id": "own", "partOf": [{"reference": "Task/p"}]}
    with pytest.raises(Problem) as found:
        await memory.put(plain(), own)
    assert "business_rule" == found.value.kind
    with pytest.raises(Problem) as found:
        await memory.put(own)
    assert "unprocessable" == found.value.kind


async def test_a_draft_is_no_transfer_until_it_is_requested() -> None:
    memory = await directory(limit=2)
    await memory.put(team("m4", assigned(B)), team("m5", assigned(B)))
    await memory.put(plain() | {"status": "draft"})
    assert {} == await steps(memory, "Task/p")
    with pytest.raises(Problem):
        await memory.put(plain())
    await memory.put(team("m5", assigned(B, "2025-01-01", "2026-03-09")))
    await memory.put(plain())
    await run(memory, "Task/p")


async def test_recorded_transfers_are_taken_over_as_they_are() -> None:
    memory = await directory(limit=2)
    done = plain() | {"status": "completed", "executionPeriod": {"end": "2026-01-01"}}
    await memory.put(done, override=AS_RECORDED)
    assert done == memory.get("Task/p")


def plain() -> Resource:
    """A transfer as a client writes it that knows no operation."""
    return {
        "resourceType": "Task",
        "id": "p",
        "instantiatesCanonical": IA_HCBS,
        "status": "requested",
        "intent": "order",
        "code": coding("cm-task", "case-manager-transfer"),
        "for": {"reference": "Patient/m1"},
        "owner": {"reference": B},
        "reasonCode": coding("ia-transfer-reason", "area-member-needs"),
    }


async def test_opening_asks_little_however_many_are_opened_at_once() -> None:
    memory = await directory(limit=10)
    asked = []
    for number in (1, 8):
        written = [
            plain() | {"id": f"p{number}-{index}", "for": {"reference": f"Patient/m{index}"}}
            for index in range(number, 2 * number)
        ]
        if number == 8:
            for index in range(7, 16):
                await memory.put(patient(f"m{index}"), episode(f"m{index}"))
                await memory.put(team(f"m{index}", assigned(A if index < 11 else C)))
        before = memory.queries
        await memory.put(*written)
        asked.append(memory.queries - before)
    assert asked[0] + 2 >= asked[1]


@pytest.mark.requirement("IA-10")
async def test_opening_is_overridden_where_the_program_lets_somebody() -> None:
    memory = await directory()
    program = memory.get("PlanDefinition/ia-hcbs")
    rule = next(one for one in program["action"] if one["id"] == "IA-10")
    who = {"url": "role", "valueCoding": coding("cm-role", "cbcm")["coding"][0]}
    rule["extension"].append({"url": RULE_OVERRIDE, "extension": [who]})
    await memory.put(program)
    assert "business_rule" == (await refused(memory, actor=C))[0]
    reason = coding("override-reason", "emergency")
    await memory.put(plain(), actor=C, override=reason)
    assert C == memory.get("Task/p")["requester"]["reference"]


async def test_a_role_that_is_to_get_a_member_is_kept() -> None:
    memory = await directory()
    await opened(memory)
    with pytest.raises(Problem) as found:
        await memory.put(B)
    assert "business_rule" == found.value.kind


@pytest.mark.requirement("IA-04")
async def test_a_place_is_held_at_whoever_a_role_is_by_now() -> None:
    memory = await directory(limit=2)
    await memory.put(team("m4", assigned(C)), team("m5", assigned(C)))
    await opened(memory)
    with pytest.raises(Problem) as found:
        await memory.put(role("b", "c", telecom=TELECOM))
    assert "business_rule" == found.value.kind
