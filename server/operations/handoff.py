"""Patient/[id]/$handoff: the member is to go to another case manager; the program's steps are opened."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from server.coordination.handoff.opening import EFFECTIVE
from server.coordination.handoff.request import Wanted, requested
from server.ledger import Plan, View, micros
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.operations.provenance import provenance
from server.outcome import Issue, Problem
from server.repository import new_id

PARAMETERS = {
    "Task.instantiatesCanonical": "program",
    "Task.owner": "to",
    "Task.reasonCode": "reason",
    "Task.input": "consideration",
    EFFECTIVE: "effective",
    "Task.requester": "requester",
    "Task.for": "program",
}


async def handoff(call: Call) -> Answer:
    """201 and the transfer's Task; its steps are `partOf` it."""
    inputs = call.inputs
    wanted = Wanted(
        call.reference,
        inputs.one("program"),
        inputs.one("to"),
        inputs.one("reason"),
        tuple(inputs.all("consideration")),
        inputs.one("effective"),
        inputs.one("requester"),
    )
    now, id, provenance_id = datetime.now(UTC), new_id(), new_id()
    override = inputs.one("override")

    async def decide(view: View) -> Plan:
        await call.here(view)
        changes = [requested(wanted, id)]
        if override is not None:
            changes.append(provenance(call, changes, override, micros(now), provenance_id))
        return Plan(changes)

    try:
        commit = await call.commit(decide, now)
    except Problem as problem:
        raise Problem(problem.kind, [_of_inputs(issue) for issue in problem.issues], problem.headers) from None
    return Answer(status=201, version=commit.versions[0])


def _of_inputs(issue: Issue) -> Issue:
    """What is refused of the Task that would be written is wrong with the inputs: the client sent no Task."""
    return replace(
        issue,
        expression=tuple(place(PARAMETERS[path]) if path in PARAMETERS else path for path in issue.expression),
        resources=(),
    )
