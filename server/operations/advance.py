"""Task/[id]/$advance: a step of a transfer is completed with its evidence; or the transfer is accepted, or given up."""

from __future__ import annotations

from datetime import UTC, datetime

from server.coordination.handoff.advance import OUTCOMES, Wanted, advanced, stage
from server.ledger import Plan, View, micros
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.operations.provenance import provenance
from server.outcome import Problem
from server.repository import new_id


async def advance(call: Call) -> Answer:
    """The Task that the operation is called on, as it is then."""
    wanted = _wanted(call)
    now, provenance_id = datetime.now(UTC), new_id()
    override = call.inputs.one("override")

    async def decide(view: View) -> Plan:
        await call.here(view)
        at = micros(now)
        changes = await advanced(view, wanted, await stage(view, wanted.task, at), at)
        if override is not None:
            changes.append(provenance(call, changes, override, at, provenance_id))
        return Plan(changes)

    commit = await call.commit(decide, now)
    return Answer(version=commit.versions[0])


def _wanted(call: Call) -> Wanted:
    inputs = call.inputs
    outcome = inputs.one("outcome") or "completed"
    if outcome not in OUTCOMES:
        raise Problem.invalid(f"{outcome!r} is no outcome; there are {', '.join(OUTCOMES)}", place("outcome"))
    return Wanted(
        call.reference,
        tuple(inputs.all("evidence")),
        inputs.one("mode"),
        tuple(inputs.all("consideration")),
        inputs.one("note"),
        outcome,
        call.caller.actor,
    )
