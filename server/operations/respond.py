"""Task/[id]/$respond: the other organization accepts a proposed lead or plan, declines it, or proposes another."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from server.coordination.facts import Acceptance, Designation
from server.coordination.lead.request import RESPONSES, Wanted, answered, open_proposal, proposed
from server.coordination.plan.acceptance import PLAN
from server.coordination.plan.acceptance import proposed as proposed_plan
from server.coordination.proposal import waiting
from server.coordination.stored import read
from server.ledger import Change, Plan, View
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.operations.propose_lead import given_as, of_inputs
from server.outcome import Problem
from server.repository import new_id


async def respond(call: Call) -> Answer:
    """The proposal's Task; for a counter, 201 and the Task of the counter-proposal."""
    response = call.inputs.one("response")
    if response not in RESPONSES:
        known = ", ".join(RESPONSES)
        raise Problem.invalid(f"{response!r} is no response; there are {known}", place("response"))
    counters = response == "counter"
    _check_alone(call, counters)
    form, forms = given_as("QuestionnaireResponse", call.inputs.typed("form"))
    plan, plans = given_as("CarePlan", call.inputs.typed("plan"))
    now, id = datetime.now(UTC), new_id()

    async def decide(view: View) -> Plan:
        await call.here(view)
        if of_plan := await waiting(PLAN, view, call.reference):
            answer = answered(await read(view, call.reference) or {}, response, call.inputs.one("reason"))
            return Plan([_other_plan(call, of_plan, plan, id), answer, *plans] if counters else [answer])
        task, found = await open_proposal(view, call.reference)
        answer = answered(task, response, call.inputs.one("reason"))
        return Plan([proposed(_counter(call, found, form), id), answer, *forms] if counters else [answer])

    try:
        commit = await call.commit(decide, now)
    except Problem as problem:
        raise of_inputs(problem) from None
    return Answer(status=201 if counters else 200, version=commit.versions[0])


def _check_alone(call: Call, counters: bool) -> None:
    """No other answer than a counter-proposal has something of its own."""
    for name in ("lead", "form", "plan"):
        if not counters and call.inputs.one(name) is not None:
            raise Problem.invalid(f"Only a counter-proposal has a {name}", place(name))


def _check_has(call: Call, own: Sequence[str], others: Sequence[str]) -> None:
    """A counter-proposal has what a proposal has, and nothing of one of another kind."""
    for name in own:
        if call.inputs.one(name) is None:
            raise Problem.of("required", f"A counter-proposal has its own {name}", place(name))
    for name in others:
        if call.inputs.one(name) is not None:
            raise Problem.invalid(f"A counter-proposal of {own[0]} has no {name}", place(name))


def _other_plan(call: Call, found: Acceptance, plan: str, id: str) -> Change:
    _check_has(call, ("plan",), ("lead", "form"))
    return proposed_plan(found.patient, plan, id, found.program, found.answerer, found.task)


def _counter(call: Call, found: Designation, form: str) -> Wanted:
    """The same member and program; the needs and the date where it gives no others."""
    _check_has(call, ("lead", "form"), ("plan",))
    needs = tuple(call.inputs.all("primaryNeed")) or tuple(map(_concept, found.needs))
    return Wanted(
        str(found.patient),
        call.inputs.one("lead"),
        needs,
        form,
        call.inputs.one("effective") or found.effective,
        found.program,
        found.answerer,
        found.task,
    )


def _concept(need: str) -> dict[str, list[dict[str, str]]]:
    system, _, code = need.rpartition("|")
    return {"coding": [{"system": system, "code": code}]}
