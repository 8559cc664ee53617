"""Patient/[id]/$propose-lead: one of two organizations proposes who is to lead the member's care."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from server.coordination.lead.opening import given
from server.coordination.lead.request import Wanted, proposed
from server.coordination.program.programs import active
from server.fhir.body import Body
from server.ledger import Change, Plan, View, micros
from server.operations.call import Answer, Call
from server.operations.parameters import Given, place
from server.outcome import Issue, Problem
from server.repository import new_id
from server.validation.element import validate

PARAMETERS = {
    given("lead"): "lead",
    given("primary-need"): "primaryNeed",
    given("form"): "form",
    given("effective"): "effective",
    "Task.instantiatesCanonical": "program",
    "Task.requester": "requester",
}


async def propose_lead(call: Call) -> Answer:
    """201 and the Task for the other organization; the form is stored in the same commit where it is given whole."""
    form, stored = given_as("QuestionnaireResponse", call.inputs.typed("form"))
    wanted = Wanted(
        call.reference,
        call.inputs.one("lead"),
        tuple(call.inputs.all("primaryNeed")),
        form,
        call.inputs.one("effective"),
        call.inputs.one("program"),
        call.inputs.one("requester"),
    )
    now, id = datetime.now(UTC), new_id()

    async def decide(view: View) -> Plan:
        await call.here(view)
        if wanted.program:
            programs = await active(view)
            start = programs.instant(programs.meant(wanted.program), wanted.effective, micros(now))
            programs.chosen(wanted.program, start)
        return Plan([proposed(wanted, id), *stored])

    try:
        commit = await call.commit(decide, now)
    except Problem as problem:
        raise of_inputs(problem) from None
    return Answer(status=201, version=commit.versions[0])


def given_as(type: str, found: Given | None) -> tuple[str, list[Change]]:
    """What is given by reference or whole: its reference, and the change that stores it.

    Problem invalid with all that is wrong in it.
    """
    if found is None or found.type == "Reference":
        return (found.value if found else ""), []
    id = new_id()
    sent = Body.of({**found.value, "id": id})
    if issues := validate(sent.resource):
        raise Problem.with_issues("invalid", issues)
    return f"{type}/{id}", [Change("POST", type, id, sent.resource, sent.text(id))]


def of_inputs(problem: Problem) -> Problem:
    """What is refused of the Task that would be written is wrong with the inputs: the client sent no Task."""
    return Problem(problem.kind, [_of_input(issue) for issue in problem.issues], problem.headers)


def _of_input(issue: Issue) -> Issue:
    places = (place(PARAMETERS[path]) if path in PARAMETERS else path for path in issue.expression)
    return replace(issue, expression=tuple(places), resources=())
