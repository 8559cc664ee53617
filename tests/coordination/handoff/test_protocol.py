"""Another program's transfer, in three steps of its own, by its file alone."""

from __future__ import annotations

from typing import Any

import pytest

from server.coordination.facts import Step
from server.coordination.handoff import advance
from server.coordination.program.plan_definition import RULE_PARAMETER, parse
from server.ledger import Plan, Resource, View, micros
from server.outcome import Problem
from tests.coordination.handoff.transfers import TELECOM, A, B, opened, participants, told, transfer_of
from tests.coordination.memory import Memory, assigned, organization, patient, practitioner, role, shipped, team

SYSTEM = "https://plans.example.org/CodeSystem"
PROGRAM = "https://plans.example.org/PlanDefinition/north"


def coding(system: str, code: str) -> Resource:
    return {"system": f"{SYSTEM}/{system}", "code": code}


def part(system: str, code: str, *inside: Resource, **parameters: Any) -> Resource:
    """An action inside a rule's; each parameter's value, or a list of them."""
    given = [
        {"url": RULE_PARAMETER, "extension": [{"url": "name", "valueCode": name.replace("_", "-")}, _value(one)]}
        for name, values in parameters.items()
        for one in (values if isinstance(values, list) else [values])
    ]
    made: Resource = {"extension": given, "title": code.title(), "code": [{"coding": [coding(system, code)]}]}
    return made | ({"action": list(inside)} if inside else {})


def _value(value: Any) -> Resource:
    kinds = {bool: "valueBoolean", int: "valueInteger", dict: "valueCoding", str: "valueCode"}
    return {"url": "value", kinds[type(value)]: value}


def north(*steps: Resource) -> Resource:
    """A program with its own enrolment, role, reasons and steps; who opens a transfer is nobody's rule."""
    plan = shipped() | {"id": "north", "url": PROGRAM, "version": "2.0.0", "name": "North"}
    plan["useContext"][0]["valueCodeableConcept"] = {"coding": [coding("program", "north")]}
    assignment, transfer = [one for one in plan["action"] if one["id"] in {"IA-01", "IA-07"}]
    assignment["extension"][1]["extension"][1]["valueCoding"] = coding("role", "navigator")
    transfer["extension"] = [
        transfer["extension"][0],
        *part("x", "x", reason=[coding("why", "moved")], due_days=14, completed=coding("state", "over"))["extension"],
    ]
    transfer["action"] = list(steps)
    return plan | {"action": [assignment, transfer]}


ASK = part(
    "step", "ask", part("evidence", "question", resource="QuestionnaireResponse"), owner="new-manager", accepts=True
)
MEET = part(
    "step",
    "meet",
    part("evidence", "visit", resource="Encounter", status="finished"),
    owner="current-manager",
    switches=True,
)
CLOSE = part("step", "close", part("evidence", "call", min=0, resource="Communication"), owner="new-manager")


async def ledger(*steps: Resource) -> Memory:
    memory = Memory()
    await memory.put(north(*steps), organization())
    for id in "ab":
        await memory.put(practitioner(id), role(id, telecom=TELECOM))
    enrolment = {
        "resourceType": "EpisodeOfCare",
        "id": "m1",
        "status": "active",
        "type": [{"coding": [coding("program", "north")]}],
        "patient": {"reference": "Patient/m1"},
        "managingOrganization": {"reference": "Organization/mco"},
        "period": {"start": "2025-01-01"},
    }
    navigator = assigned(A) | {"role": [{"coding": [coding("role", "navigator")]}]}
    await memory.put(patient("m1"), enrolment, team("m1", navigator))
    return memory


async def step(memory: Memory, code: str, *evidence: Resource, actor: str | None = None, **more: Any) -> None:
    for one in evidence:
        await memory.put(one)
    found = [Step.of(fact) for fact in (await memory.facts("step", ["Task/t"]))["Task/t"]]
    task = next(one.task for one in found if one.code == f"{SYSTEM}/step|{code}")
    references = tuple(f"{one['resourceType']}/{one['id']}" for one in evidence)
    wanted = advance.Wanted(task, references, actor=actor, seed="6a0f2a6e-0f5c-5d0c-9a43-6f6f0f6a7d11", **more)

    async def decide(view: View) -> Plan:
        at = micros(memory.now)
        return Plan(await advance.advanced(view, wanted, await advance.stage(view, task, at), at))

    await memory.commit(decide, actor)


MOVED = {"coding": [coding("why", "moved")]}
QUESTION = {
    "resourceType": "QuestionnaireResponse",
    "id": "q",
    "status": "completed",
    "questionnaire": "https://plans.example.org/q",
}
VISIT = {
    "resourceType": "Encounter",
    "id": "v",
    "status": "finished",
    "class": {"code": "HH"},
    "subject": {"reference": "Patient/m1"},
}


@pytest.mark.requirement("IA-07")
async def test_three_steps_of_another_program_need_no_code() -> None:
    memory = await ledger(ASK, MEET, CLOSE)
    await opened(memory, program=PROGRAM, reason=MOVED, actor=A)
    assert "2026-03-24" == (await transfer_of(memory, "Task/t")).due
    assert [coding("step", "ask")] == memory.get("Task/t")["businessStatus"]["coding"]
    await step(memory, "ask", QUESTION, actor=B)
    assert "accepted" == memory.get("Task/t")["status"]
    await step(memory, "meet", VISIT, actor=A)
    now = "2026-03-10T13:00:00-05:00"
    assert [(A, "2025-01-01", now), (B, now, None)] == participants(memory)
    assert "in-progress" == memory.get("Task/t")["status"]
    await step(memory, "close", told("c", B, "Patient/m1"), actor=B)
    assert "completed" == memory.get("Task/t")["status"]
    assert [coding("step", "close"), coding("state", "over")] == memory.get("Task/t")["businessStatus"]["coding"]


async def test_what_was_switched_is_not_given_up() -> None:
    memory = await ledger(ASK, MEET, CLOSE)
    await opened(memory, program=PROGRAM, reason=MOVED)
    await step(memory, "ask", QUESTION)
    await step(memory, "meet", VISIT)
    with pytest.raises(Problem) as found:
        await step(memory, "close", outcome="cancelled")
    assert "conflict" == found.value.kind
    await step(memory, "close")


async def test_reasons_are_the_programs() -> None:
    memory = await ledger(ASK, MEET, CLOSE)
    with pytest.raises(Problem) as found:
        await opened(memory, program=PROGRAM)
    assert ("Task.reasonCode",) == found.value.issues[0].expression


@pytest.mark.parametrize(
    "steps",
    [
        (),
        (ASK, CLOSE),
        (MEET, MEET | {"code": CLOSE["code"]}),
        (ASK, ASK, MEET),
        (MEET, part("step", "other")),
        (MEET, part("step", "other", owner="somebody")),
        (
            MEET,
            part("step", "other", part("evidence", "x", made="letter", resource="Communication"), owner="requester"),
        ),
        (MEET, part("step", "other", part("evidence", "x", joint_mode=coding("mode", "both")), owner="requester")),
        (MEET, part("step", "other", part("evidence", "x", made="first-contacts"), owner="requester")),
        (MEET, part("step", "other", {"title": "No code"}, owner="requester")),
    ],
    ids=["none", "no switch", "two", "equal", "no owner", "owner", "letter", "joint", "made", "code"],
)
def test_steps_that_cannot_be_done_are_refused(steps: tuple[Resource, ...]) -> None:
    program, issues = parse(north(*steps))
    assert program is None
    assert all(issue.expression[0].startswith("PlanDefinition.action[1]") for issue in issues)


def test_three_steps_are_read() -> None:
    program, issues = parse(north(ASK, MEET, CLOSE))
    assert [] == issues
    assert program
