"""Advance: the Tasks that $advance writes: a step with its evidence, or the word that accepts or ends the transfer.

Whether they may be written so is judged like any other write of a Task.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from server.coordination import facts, period
from server.coordination.communication.letter import Letter
from server.coordination.facts import OPEN, Step, Transfer
from server.coordination.handoff import party
from server.coordination.handoff.evidence import Judge, issues, names
from server.coordination.handoff.made import Maker, Printed
from server.coordination.handoff.protocol import Protocol, begun_under
from server.coordination.handoff.request import consideration
from server.coordination.handoff.transfer import concept, conflict, put, text
from server.coordination.program.program import Part
from server.coordination.program.programs import active
from server.coordination.stored import read
from server.ledger import Change, Resource, View
from server.outcome import Issue, Problem

OUTCOMES = ("completed", "accepted", "rejected", "cancelled", "failed")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What $advance is asked for; `task` is a step, or the whole transfer."""

    task: str
    evidence: tuple[str, ...] = ()
    mode: str | None = None
    considerations: tuple[Resource, ...] = ()
    note: str | None = None
    outcome: str = "completed"
    actor: str | None = None
    seed: str = ""  # a UUID, which names what the server makes
    printed: Mapping[Letter, Printed] = field(default_factory=dict)


@dataclass(slots=True)
class Stage:
    """Where a transfer stands: what $advance is called on, and by what the transfer goes."""

    task: Resource
    parent: Resource
    transfer: Transfer
    protocol: Protocol
    step: Part | None  # that it is called on
    current: Part | None  # whose turn it is
    steps: dict[str | None, Step]  # by their code
    judge: Judge
    now: int


async def stage(view: View, task: str, now: int) -> Stage:
    """Read it. Problem unprocessable where the Task is none of a transfer, conflict where that has ended."""
    reference, code = task, None
    for step in map(Step.of, (await view.facts("step", [task]))[task]):
        if step.task == task:
            reference, code = step.transfer, step.code
    found = [
        one for one in map(Transfer.of, (await view.facts("transfer", [reference]))[reference]) if one.task == reference
    ]
    own, parent = await read(view, task), await read(view, reference)
    protocol = await begun_under(view, parent, await active(view), now) if parent else None
    if own is None or parent is None or not found or protocol is None:
        raise Problem.with_issues(
            "unprocessable", [Issue("not-supported", f"{task} is no transfer of a member, and no step of one")]
        )
    transfer = found[0]
    if not transfer.is_open:
        raise conflict(protocol, f"{reference} is {transfer.status} already.", task, "Task.status")
    people = await party.people(view, [transfer])
    parties = await party.taking_part(view, protocol, people, transfer, parent, now)
    steps = {step.code: step for step in map(Step.of, (await view.facts("step", [reference]))[reference])}
    tasks = frozenset({reference, task, *(step.task for step in steps.values())})
    judge = Judge(view, protocol, parties, transfer.patient, tasks)
    completed = {code for code, step in steps.items() if step.status == "completed"}
    current = next((step for step in protocol.steps if step.code not in completed), None)
    return Stage(own, parent, transfer, protocol, protocol.step(code), current, steps, judge, now)


async def advanced(view: View, wanted: Wanted, found: Stage, now: int) -> list[Change]:
    """The Tasks as they are to be; the first is the one to be answered."""
    if wanted.outcome == "completed":
        return await _completed(view, wanted, found if found.step else await _in_turn(view, wanted, found), now)
    if wanted.outcome == "accepted" and found.step is not None:
        return [put(found.task), put({**_noted(found.parent, wanted, found, now), "status": "accepted"})]
    return [put({**_noted(found.task, wanted, found, now), "status": wanted.outcome})]


async def _in_turn(view: View, wanted: Wanted, found: Stage) -> Stage:
    """The stage of the step whose turn it is, for who calls $advance on the whole transfer."""
    step = found.current and found.steps.get(found.current.code)
    task = await read(view, step.task) if step else None
    if task is None:
        why = f"{wanted.task} has no step that could be completed: it was taken over without them."
        raise conflict(found.protocol, why, wanted.task, "Task.status")
    return replace(found, task=task, step=found.current)


async def _completed(view: View, wanted: Wanted, found: Stage, now: int) -> list[Change]:
    step, task = found.step, found.task
    assert step, "of a stage in its turn"
    if task["status"] not in OPEN:
        own = f"Task/{task['id']}"
        raise conflict(found.protocol, f"{own} is {task['status']} already.", own, "Task.status")
    _check_considerations(wanted, step)
    output = [*task.get("output", ()), *await _outputs(view, wanted, found, step)]
    made, outputs = await _made(view, wanted, found, step, {**task, "output": output})
    output += outputs
    moment = text(now, found.protocol)
    done = {
        **_noted(task, wanted, found, now),
        "status": "completed",
        "executionPeriod": {"start": moment, **task.get("executionPeriod", {}), "end": moment},
        **({"output": output} if output else {}),
    }
    changes = [put(done), *made]
    if wanted.considerations:
        weighed = [one for one in map(consideration, wanted.considerations) if one not in found.parent.get("input", ())]
        changes.append(put({**found.parent, "input": [*found.parent.get("input", ()), *weighed]}))
    return changes


def _check_considerations(wanted: Wanted, step: Part) -> None:
    accepted = [code for item in step.parts for code in item.parameters["code"]]
    given = facts.tokens(list(wanted.considerations))
    wrong = [code for code in given if code not in accepted]
    if wrong or len(given) < len(wanted.considerations):
        why = f"{names(wrong) or 'A text'} is no consideration of this step; there are {names(accepted) or 'none'}"
        raise _invalid(why, "consideration")


async def _made(
    view: View, wanted: Wanted, found: Stage, step: Part, task: Resource
) -> tuple[list[Change], list[Resource]]:
    """What the server makes for a step whose turn it is, and Task.output for it.

    Nothing for a next case manager who has left: such a step is refused for that, not for what could not be made.
    """
    begins = max(found.now, period.starts(found.transfer.effective, found.protocol.program.zone))
    if step is not found.current or not found.judge.parties.is_active(found.transfer.receiver, begins):
        return [], []
    given = await found.judge.given(step, found.parent, task)
    maker = Maker(view, found.judge, found.transfer, wanted.printed, wanted.seed, found.now)
    changes: list[Change] = []
    outputs: list[Resource] = []
    for item in step.parts:
        try:
            made = await maker.make(item, given[item.code])
        except Problem as problem:
            raise await _with_all(problem, wanted, found, step, task) from None
        changes += made
        outputs += [{"type": concept(item.code), "valueReference": {"reference": one.reference}} for one in made]
    return changes, outputs


async def _with_all(problem: Problem, wanted: Wanted, found: Stage, step: Part, task: Resource) -> Problem:
    """Why something cannot be made, and beside it all that is to be given."""
    if problem.kind != "business_rule":
        return problem
    parent = {**found.parent, "input": [*found.parent.get("input", ()), *map(consideration, wanted.considerations)]}
    lacks = await found.judge.lacking(step, parent, task)
    outstanding = [lack for lack in lacks if not lack.item.parameters["made"]]
    return Problem(problem.kind, [*issues(found.protocol, outstanding, f"Task/{task['id']}"), *problem.issues])


def _noted(task: Resource, wanted: Wanted, found: Stage, now: int) -> Resource:
    if not wanted.note:
        return task
    who = {"authorReference": {"reference": wanted.actor}} if wanted.actor else {"authorString": "The local system"}
    note = {**who, "time": text(now, found.protocol), "text": wanted.note}
    reason = {} if wanted.outcome in {"completed", "accepted"} else {"statusReason": {"text": wanted.note}}
    return {**task, **reason, "note": [*task.get("note", ()), note]}


async def _outputs(view: View, wanted: Wanted, found: Stage, step: Part) -> list[Resource]:
    """Task.output: each resource under what it is evidence of, and the mode."""
    served: set[str] = set()
    outputs = []
    for reference in dict.fromkeys(wanted.evidence):
        item = await _item(view, reference, found, step, served)
        served.add(item.code)
        outputs.append({"type": concept(item.code), "valueReference": {"reference": reference}})
    if wanted.mode is not None:
        outputs.append(_mode(wanted.mode, step))
    return outputs


async def _item(view: View, reference: str, found: Stage, step: Part, served: set[str]) -> Part:
    """What a resource is evidence of: what it fits, else what takes its type."""
    resource = await read(view, reference)
    if resource is None:
        raise _invalid(f"There is no {reference}", "evidence")
    taking = [item for item in step.parts if resource["resourceType"] in item.parameters["resource"]]
    if not taking:
        accepted = sorted({type for item in step.parts for type in item.parameters["resource"]})
        why = f"{reference} is no evidence of this step; that is {' or '.join(accepted) or 'nothing'}"
        raise _invalid(why, "evidence")
    return (await found.judge.fitting(step, resource, served) or taking)[0]


def _mode(code: str, step: Part) -> Resource:
    modes = {mode.rpartition("|")[2]: (item, mode) for item in step.parts for mode in item.parameters["mode"]}
    if code not in modes:
        raise _invalid(f"{code!r} is no mode of this step; there are {', '.join(modes) or 'none'}", "mode")
    item, mode = modes[code]
    return {"type": concept(item.code), "valueCodeableConcept": concept(mode)}


def _invalid(diagnostics: str, name: str) -> Problem:
    return Problem.invalid(diagnostics, f"Parameters.parameter.where(name='{name}')")
