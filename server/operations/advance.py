"""Task/[id]/$advance: a step of a transfer is completed with its evidence; or the transfer is accepted, or given up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from server.coordination.communication.letter import Letter
from server.coordination.handoff.advance import OUTCOMES, Wanted, advanced, stage
from server.coordination.handoff.made import Printed, Unprinted
from server.ledger import Plan, View, micros
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.operations.provenance import provenance
from server.outcome import Problem
from server.printing.letter import printed
from server.repository import new_id

PRINTINGS = 4  # a letter is printed again where the directory changes meanwhile


async def advance(call: Call) -> Answer:
    """The step's Task, as it is then; the transfer's, where the whole of it is accepted or given up."""
    now, provenance_id = datetime.now(UTC), new_id()
    override = call.inputs.one("override")
    letters: dict[Letter, Printed] = {}
    wanted = _wanted(call, new_id(), letters)

    async def decide(view: View) -> Plan:
        await call.here(view)
        at = micros(now)
        changes = await advanced(view, wanted, await stage(view, wanted.task, at), at)
        if override is not None:
            changes.append(provenance(call, changes, override, at, provenance_id))
        return Plan(changes)

    for _ in range(PRINTINGS):
        try:
            commit = await call.commit(decide, now)
        except Unprinted as unprinted:
            letters[unprinted.letter] = await printed(unprinted.letter)
        else:
            return Answer(version=commit.versions[0])
    raise Problem.conflict("What the letter says changed each time that it was printed: send this again")


def _wanted(call: Call, seed: str, letters: Mapping[Letter, Printed]) -> Wanted:
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
        seed,
        letters,
    )
