"""Task/[id]/$respond: the other organization accepts a proposed lead, declines it, or proposes another."""

from __future__ import annotations

from datetime import UTC, datetime

from server.coordination.facts import Designation
from server.coordination.lead.request import RESPONSES, Wanted, answered, open_proposal, proposed
from server.ledger import Plan, View
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.operations.propose_lead import form_of, of_inputs
from server.outcome import Problem
from server.repository import new_id


async def respond(call: Call) -> Answer:
    """The proposal's Task; for a counter, 201 and the Task of the counter-proposal."""
    response = call.inputs.one("response")
    if response not in RESPONSES:
        known = ", ".join(RESPONSES)
        raise Problem.invalid(f"{response!r} is no response; there are {known}", place("response"))
    counters = response == "counter"
    _check(call, counters)
    form, stored = form_of(call.inputs.typed("form"))
    now, id = datetime.now(UTC), new_id()

    async def decide(view: View) -> Plan:
        await call.here(view)
        task, found = await open_proposal(view, call.reference)
        answer = answered(task, response, call.inputs.one("reason"))
        return Plan([proposed(_counter(call, found, form), id), answer, *stored] if counters else [answer])

    try:
        commit = await call.commit(decide, now)
    except Problem as problem:
        raise of_inputs(problem) from None
    return Answer(status=201 if counters else 200, version=commit.versions[0])


def _check(call: Call, counters: bool) -> None:
    """A counter-proposal has a lead and a form of its own; no other answer has."""
    for name in ("lead", "form"):
        if counters and call.inputs.one(name) is None:
            raise Problem.of("required", f"A counter-proposal has its own {name}", place(name))
        if not counters and call.inputs.one(name) is not None:
            raise Problem.invalid(f"Only a counter-proposal has a {name}", place(name))


def _counter(call: Call, found: Designation, form: str) -> Wanted:
    """The same member and program; the needs and the date where it gives no others."""
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
