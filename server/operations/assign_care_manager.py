"""Patient/[id]/$assign-care-manager: somebody becomes the member's case manager, under the caps, in one commit."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from server.coordination.assignment.assign import STANDS, Wanted, assign
from server.ledger import Plan, View, micros
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.operations.provenance import provenance
from server.outcome import Problem
from server.repository import new_id


async def assign_care_manager(call: Call) -> Answer:
    """201 and the CareTeam; 200 and the same CareTeam where it says so already."""
    inputs = call.inputs
    wanted = Wanted(
        call.reference,
        inputs.one("program"),
        inputs.one("manager"),
        inputs.one("start"),
        inputs.one("end"),
        inputs.one("reason"),
    )
    now, id, provenance_id = datetime.now(UTC), new_id(), new_id()
    override = inputs.one("override")

    async def decide(view: View) -> Plan:
        await call.here(view)
        plan = await assign(view, wanted, micros(now), id)
        if override is not None and plan.output != STANDS:
            plan.changes.append(provenance(call, plan.changes, override, micros(now), provenance_id))
        return plan

    try:
        commit = await call.commit(decide, now)
    except Problem as problem:
        raise _of_inputs(problem) from None
    return Answer(status=201 if commit.appended else 200, version=commit.versions[0])


def _of_inputs(problem: Problem) -> Problem:
    """What a rule refuses of the team that would be written is wrong with the inputs: the client sent no team."""
    issues = [
        replace(issue, expression=(place("manager"),), resources=()) if any(issue.resources) else issue
        for issue in problem.issues
    ]
    return Problem(problem.kind, issues, problem.headers)
