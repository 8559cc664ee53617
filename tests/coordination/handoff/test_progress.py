from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from server.ledger import Resource
from server.outcome import Problem
from tests.coordination.handoff.transfers import (
    CONSIDERED,
    LEA,
    A,
    B,
    advanced,
    directory,
    inside,
    opened,
    participants,
    run,
    step,
    steps,
    told,
    transfer_of,
)
from tests.coordination.memory import Memory, assigned, coding, episode, patient, role, shipped, team

C = "PractitionerRole/c"
NOON = "2026-03-10T13:00:00-05:00"
PAST, LATER = "2025-01-01", "2026-06-01"


async def refused(memory: Memory, *resources: Resource | str, actor: str | None = None) -> str:
    """The kind of the Problem with which a plain write is refused."""
    with pytest.raises(Problem) as found:
        await memory.put(*resources, actor=actor)
    return found.value.kind


# The switch


@pytest.mark.requirement("IA-07")
async def test_switch_ends_the_one_as_the_other_begins() -> None:
    memory = await directory()
    await run(memory, await opened(memory))
    assert [(A, PAST, NOON), (B, NOON, None)] == participants(memory)
    assert "completed" == (await transfer_of(memory, "Task/t")).status


@pytest.mark.parametrize(
    ("effective", "expected"),
    [
        ("2026-03-10", "2026-03-10T00:00:00-05:00"),
        ("2026-03-20", "2026-03-20T00:00:00-05:00"),
        ("2026-03-10T09:00:00-05:00", "2026-03-10T09:00:00-05:00"),
        ("2026-03-09", "2026-03-09T00:00:00-05:00"),
        ("2025-06-01", "2025-06-01T00:00:00-05:00"),
    ],
    ids=["today", "to come", "this morning", "yesterday", "last year"],
)
async def test_switch_is_at_effective(effective: str, expected: str) -> None:
    memory = await directory()
    await run(memory, await opened(memory, effective=effective))
    assert [(A, PAST, expected), (B, expected, None)] == participants(memory)


async def test_switch_is_now_where_the_steps_were_done_after_effective() -> None:
    memory = await directory()
    transfer = await opened(memory, effective="2026-03-12")
    memory.now += timedelta(days=4)
    await run(memory, transfer)
    assert "2026-03-14T13:00:00-05:00" == participants(memory)[1][1]


async def test_switch_takes_the_place_of_one_that_was_to_come() -> None:
    memory = await directory()
    await run(memory, await opened(memory, effective="2026-04-01"))
    await run(memory, await opened(memory, to=C, id="t2"), following=C)
    assert [(A, PAST, NOON), (C, NOON, None)] == participants(memory)


@pytest.mark.parametrize("began", ["2026-03-10", "2026-03-10T11:00:00-05:00"])
async def test_switch_is_now_where_the_former_began_today(began: str) -> None:
    memory = await directory()
    await memory.put(team("m4", assigned(C, began)))
    await run(memory, await opened(memory, "m4", effective="2026-03-10"), member="m4", former=C)
    assert NOON == participants(memory, "m4")[1][1]


async def test_switch_tells_both_case_managers() -> None:
    memory = await directory()
    await run(memory, await opened(memory, requester=LEA))
    sent = [memory.get(one) for one in memory.versions if one.startswith("Communication/")]
    notices = [one for one in sent if one["sender"]["reference"] == LEA and "about" in one]
    assert [A, B] == sorted(link["reference"] for one in notices for link in one["recipient"])
    assert all("Manager b" in one["payload"][0]["contentString"] for one in notices)
    assert {"Task/t"} == {link["reference"] for one in notices for link in one["about"]}


# Who leaves, what ends, what changes meanwhile


async def test_a_receiver_who_left_gets_nobody_and_the_transfer_can_be_cancelled() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await run(memory, transfer, 4)
    await memory.put(role("b", active=False))
    with pytest.raises(Problem) as found:
        await run(memory, transfer)
    assert "conflict" == found.value.kind
    await advanced(memory, transfer, outcome="cancelled")
    assert [(A, PAST, None)] == participants(memory)
    await run(memory, await opened(memory, to=C, id="t2"), 2)


async def test_a_requester_stands_in_for_a_sender_who_left() -> None:
    memory = await directory()
    transfer = await opened(memory, requester=LEA)
    await memory.put(role("a", period={"end": "2026-03-01"}))
    await run(memory, transfer, 2)
    await step(memory, transfer, "3", told("1", LEA, B), told("2", LEA, B, medium="EMAILWRIT"), actor=LEA)
    both = told("3", LEA, "Patient/m1", B)
    await step(memory, transfer, "4", both, mode="in-person-both", actor=LEA)
    await step(memory, transfer, "5")
    assert [(A, PAST, NOON), (B, NOON, None)] == participants(memory)


async def test_who_may_open_stands_in_for_a_sender_who_left_where_nobody_asked() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await memory.put(role("a", active=False), role("other", "c"))
    await run(memory, transfer, 2)
    with pytest.raises(Problem) as found:
        await step(memory, transfer, "3", told("1", LEA, B), told("2", C, B, medium="PHONE"))
    assert "business_rule" == found.value.kind
    await step(memory, transfer, "3", told("1", LEA, B), told("2", LEA, B, medium="PHONE"), actor=LEA)
    await step(memory, transfer, "4", told("3", LEA, "Patient/m1", B), mode="in-person-both", actor=LEA)


async def test_a_receiver_who_left_is_named_before_what_a_letter_lacks() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await run(memory, transfer, 3)
    await memory.put(role("b", active=False))
    with pytest.raises(Problem) as found:
        await step(memory, transfer, "4", told("3", A, "Patient/m1", B), mode="phone-both")
    assert "conflict" == found.value.kind


@pytest.mark.parametrize("gone", ["PractitionerRole/b", "Practitioner/b"])
async def test_a_receiver_is_not_deleted_while_the_transfer_is_open(gone: str) -> None:
    memory = await directory()
    transfer = await opened(memory)
    assert "business_rule" == await refused(memory, gone)
    await advanced(memory, transfer, outcome="cancelled")
    await memory.put("PractitionerRole/b", "Practitioner/b")


async def test_an_episode_that_ended_keeps_the_transfer_from_being_completed() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await run(memory, transfer, 2)
    await memory.put(episode("m1", end="2026-03-01", status="finished"))
    with pytest.raises(Problem) as found:
        await run(memory, transfer)
    assert "conflict" == found.value.kind
    await advanced(memory, transfer, outcome="failed")


async def test_a_merged_member_is_transferred_on_the_record_that_is_left() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await memory.put(patient("m4", link=[{"other": {"reference": "Patient/m1"}, "type": "replaces"}]))
    with pytest.raises(Problem) as found:
        await opened(memory, "m4", id="t2")
    assert "conflict" == found.value.kind
    await run(memory, transfer)
    assert [(A, PAST, NOON), (B, NOON, None)] == participants(memory)


async def test_a_team_made_inactive_meanwhile_gives_way_to_another() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await memory.put(memory.get("CareTeam/m1") | {"status": "inactive"})
    await run(memory, transfer)
    assert [(A, PAST, NOON)] == participants(memory)
    teams = [
        memory.get(one)
        for one in memory.versions
        if one.startswith("CareTeam/") and "Patient/m1" in str(memory.get(one))
    ]
    (new,) = [one for one in teams if one["id"] != "m1"]
    assert [(B, NOON, None)] == participants(memory, new["id"])


async def test_a_former_who_was_replaced_beside_is_not_ended() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await run(memory, transfer, 4)
    from server.coordination.write import AS_RECORDED

    await memory.put(team("m1", assigned(A, PAST, "2026-03-05"), assigned(C, "2026-03-06")), override=AS_RECORDED)
    with pytest.raises(Problem) as found:
        await run(memory, transfer)
    assert "conflict" == found.value.kind


@pytest.mark.parametrize("version", ["1.0.0", "1.1.0"])
async def test_a_transfer_goes_by_the_program_that_it_began_under(version: str) -> None:
    memory = await directory()
    transfer = await opened(memory)
    changed = shipped() | {"version": version}
    rule = next(one for one in changed["action"] if one["id"] == "IA-07")
    rule["action"] = rule["action"][-2:]
    await memory.put(changed)
    assert list("12345") == sorted(await steps(memory, transfer))
    await run(memory, transfer)
    assert list("45") == sorted(await steps(memory, await opened(memory, "m2", id="t2")))


async def test_a_transfer_is_held_to_its_steps_where_the_program_is_retired() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await memory.put(memory.get("PlanDefinition/ia-hcbs") | {"status": "retired"})
    second = (await steps(memory, transfer))["2"]
    assert "conflict" == await refused(memory, second | {"status": "completed"})
    await advanced(memory, transfer, outcome="cancelled")


async def test_nobody_is_switched_to_in_a_program_that_is_retired() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await run(memory, transfer, 4)
    program = memory.get("PlanDefinition/ia-hcbs")
    await memory.put(program | {"status": "retired"})
    with pytest.raises(Problem) as found:
        await step(memory, transfer, "5")
    assert ("conflict", ("Task.status",)) == (found.value.kind, found.value.issues[0].expression)
    await memory.put(program)
    await step(memory, transfer, "5")


# Plain writes


@pytest.mark.parametrize(
    "changed",
    [
        {"owner": {"reference": C}},
        {"for": {"reference": "Patient/m2"}},
        {"reasonCode": coding("ia-transfer-reason", "ratio-realignment")},
        {"authoredOn": "2026-01-01"},
        {"requester": {"reference": C}},
        {"input": []},
        {"instantiatesUri": "PlanDefinition/ia-hcbs/_history/2"},
        {"instantiatesCanonical": "https://elsewhere.example.org/PlanDefinition/1"},
        {"code": {"text": "Something else"}},
        {"status": "completed"},
        {"status": "in-progress"},
        {"status": "draft"},
    ],
    ids=lambda changed: next(iter(changed)),
)
async def test_terms_of_a_transfer_stay(changed: dict[str, Any]) -> None:
    memory = await directory()
    transfer = await opened(memory)
    assert "conflict" == await refused(memory, memory.get(transfer) | changed)


async def test_a_transfer_can_be_noted_upon() -> None:
    memory = await directory()
    transfer = await opened(memory)
    noted = memory.get(transfer) | {"note": [{"text": "Call in the morning"}], "priority": "urgent"}
    await memory.put(noted, actor=LEA)
    assert noted == memory.get(transfer)


@pytest.mark.parametrize("which", ["transfer", "step"])
async def test_tasks_of_a_transfer_are_not_deleted(which: str) -> None:
    memory = await directory()
    transfer = await opened(memory)
    task = f"Task/{(await steps(memory, transfer))['3']['id']}"
    assert "conflict" == await refused(memory, transfer if which == "transfer" else task)
    await advanced(memory, transfer, outcome="cancelled")
    assert "conflict" == await refused(memory, transfer if which == "transfer" else task)


@pytest.mark.parametrize(
    "changed",
    [
        {"partOf": [{"reference": "Task/t2"}]},
        {"partOf": []},
        {"businessStatus": coding("ia-transfer-step", "4")},
        {"code": {"text": "Something else"}},
        {"for": {"reference": "Patient/m2"}},
    ],
    ids=["another's", "nobody's", "another step", "code", "for"],
)
async def test_a_step_stays_a_step(changed: dict[str, Any]) -> None:
    memory = await directory()
    third = (await steps(memory, await opened(memory)))["3"]
    await opened(memory, "m2", id="t2")
    assert "conflict" == await refused(memory, third | changed)


async def test_there_is_no_step_beside_the_programs() -> None:
    memory = await directory()
    third = (await steps(memory, await opened(memory)))["3"]
    another = third | {"id": "another", "businessStatus": coding("ia-transfer-step", "6")}
    assert "conflict" == await refused(memory, another)


async def test_the_evidence_of_a_completed_step_stays() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await run(memory, transfer, 3)
    third = (await steps(memory, transfer))["3"]
    assert "conflict" == await refused(memory, {name: one for name, one in third.items() if name != "output"})
    assert "conflict" == await refused(memory, third | {"status": "in-progress"})
    await memory.put(third | {"note": [{"text": "They talked for an hour"}]})


@pytest.mark.parametrize("status", ["rejected", "cancelled", "failed", "requested"])
async def test_a_completed_step_gives_nothing_up(status: str) -> None:
    memory = await directory()
    transfer = await opened(memory)
    await run(memory, transfer, 1)
    first = (await steps(memory, transfer))["1"]
    assert "conflict" == await refused(memory, first | {"status": status})


async def test_steps_that_are_completed_in_one_commit_go_in_their_order() -> None:
    memory = await directory()
    transfer = await opened(memory, considerations=(CONSIDERED,))
    found = await steps(memory, transfer)
    done = [found[code] | {"status": "completed"} for code in "21"]
    await memory.put(*done)
    assert "1 2" == " ".join(
        code for code, one in sorted((await steps(memory, transfer)).items()) if one["status"] == "completed"
    )


async def test_evidence_brings_the_state_on_before_the_step_is_completed() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await run(memory, transfer, 2)
    await memory.put(*inside())
    third = (await steps(memory, transfer))["3"]
    given = [
        {"type": coding("ia-transfer-evidence", code), "valueReference": {"reference": f"Communication/{id}"}}
        for code, id in (("internal-notice", "inside"), ("warm-transfer", "warm"))
    ]
    await memory.put(third | {"status": "in-progress", "output": given})
    assert ["3", "internal-notified"] == [one["code"] for one in memory.get(transfer)["businessStatus"]["coding"]]
    await step(memory, transfer, "3")


# By whom, and to which end


@pytest.mark.parametrize(
    ("status", "who", "others"),
    [
        ("accepted", B, [A, LEA, C]),
        ("rejected", B, [A, LEA, C]),
        ("cancelled", LEA, [A, B, C]),
        ("entered-in-error", LEA, [A, B, C]),
        ("failed", A, [C, "Patient/m1"]),
    ],
)
async def test_a_word_is_for_who_may_say_it(status: str, who: str, others: list[str]) -> None:
    memory = await directory()
    transfer = await opened(memory, requester=LEA)
    said = memory.get(transfer) | {"status": status}
    for other in others:
        assert "business_rule" == await refused(memory, said, actor=other)
    await memory.put(said, actor=who)
    assert status == memory.get(transfer)["status"]


async def test_a_step_goes_on_and_never_back() -> None:
    memory = await directory()
    transfer = await opened(memory)
    first = (await steps(memory, transfer))["1"]
    for status in ("received", "ready", "in-progress", "on-hold", "in-progress"):
        await memory.put(first | {"status": status})
    for status in ("draft", "requested", "accepted"):
        with pytest.raises(Problem) as found:
            await memory.put(first | {"status": status})
        assert "conflict" == found.value.kind
        assert "Legal are on-hold, completed" in found.value.issues[0].diagnostics
    await memory.put(first | {"status": "completed"})


async def test_an_acceptance_is_not_taken_back() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await memory.put(memory.get(transfer) | {"status": "accepted"})
    for status in ("requested", "received"):
        assert "conflict" == await refused(memory, memory.get(transfer) | {"status": status})


async def test_a_transfer_is_written_by_who_takes_part() -> None:
    memory = await directory()
    transfer = await opened(memory, requester=LEA)
    noted = memory.get(transfer) | {"description": "Seen"}
    for actor in (C, "Patient/m1", "Practitioner/c"):
        assert "business_rule" == await refused(memory, noted, actor=actor)
    for actor in (LEA, A, B):
        await memory.put(noted | {"description": actor}, actor=actor)


async def test_advance_of_the_transfer_is_of_the_step_whose_turn_it_is() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await advanced(memory, transfer)
    await advanced(memory, transfer, considerations=(CONSIDERED,))
    await advanced(memory, transfer, *inside())
    found = await steps(memory, transfer)
    assert ["completed"] * 3 + ["requested"] * 2 == [found[code]["status"] for code in "12345"]


async def test_a_person_may_act_in_any_role_and_as_themselves() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await memory.put(role("b2", "b"))
    await memory.put(memory.get(transfer) | {"status": "received"}, actor="PractitionerRole/b2")
    await memory.put(memory.get(transfer) | {"status": "accepted"}, actor="Practitioner/b")


async def test_steps_are_for_who_completes_them() -> None:
    memory = await directory()
    transfer = await opened(memory, requester=LEA)
    for actor in (A, B, C):
        with pytest.raises(Problem) as found:
            await step(memory, transfer, "1", actor=actor)
        assert "business_rule" == found.value.kind
    await step(memory, transfer, "1", actor=LEA)
    await step(memory, transfer, "2", considerations=(CONSIDERED,), actor=LEA)
    await step(memory, transfer, "3", *inside(), actor=A)


async def test_what_ended_stays_ended() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await run(memory, transfer, 1)
    await advanced(memory, transfer, outcome="rejected", note="Too far away")
    found = await steps(memory, transfer)
    assert ["completed", *["cancelled"] * 4] == [found[code]["status"] for code in "12345"]
    ended = memory.get(transfer)
    assert "Too far away" == ended["statusReason"]["text"]
    assert NOON == ended["executionPeriod"]["end"]
    for status in ("requested", "cancelled", "accepted", "completed"):
        assert "conflict" == await refused(memory, ended | {"status": status})
    assert "conflict" == await refused(memory, found["2"] | {"status": "requested"})


async def test_a_step_that_fails_fails_the_transfer() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await step(memory, transfer, "1", outcome="failed")
    found = await steps(memory, transfer)
    assert "failed" == memory.get(transfer)["status"]
    assert ["failed", *["cancelled"] * 4] == [found[code]["status"] for code in "12345"]


async def test_a_word_of_acceptance_comes_before_the_step_that_implies_it() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await step(memory, transfer, "1", outcome="accepted", actor=B)
    assert "accepted" == memory.get(transfer)["status"]
    assert "requested" == (await steps(memory, transfer))["1"]["status"]
    await run(memory, transfer)


async def test_time_goes_on_between_the_steps() -> None:
    memory = await directory()
    transfer = await opened(memory)
    await run(memory, transfer, 1)
    memory.now += timedelta(days=3)
    await run(memory, transfer)
    assert {"start": NOON, "end": "2026-03-13T13:00:00-05:00"} == memory.get(transfer)["executionPeriod"]


# Beside it


@pytest.mark.parametrize(
    "changed",
    [
        team("m1", assigned(A, PAST, "2026-03-09"), assigned(B, "2026-03-10")),
        team("m1", assigned(A, PAST, "2026-03-09"), assigned(C, "2026-03-10")),
        team("m1", assigned(A, PAST, LATER), assigned(C, "2026-06-02")),
        team("two", assigned(C, "2026-03-11"), subject={"reference": "Patient/m1"}),
    ],
    ids=["the switch", "a third", "later", "on another team"],
)
async def test_hold_refuses_another_manager_while_a_transfer_is_open(changed: Resource) -> None:
    memory = await directory()
    transfer = await opened(memory)
    assert "business_rule" == await refused(memory, changed)
    await advanced(memory, transfer, outcome="cancelled")
    if changed["id"] != "two":
        await memory.put(changed)


async def test_hold_lets_the_former_be_closed_and_corrected() -> None:
    memory = await directory()
    await opened(memory)
    await memory.put(team("m1", assigned(A, PAST, LATER), name="Edited"))
    await memory.put(team("m1", assigned(A, PAST, "2026-03-09")))
