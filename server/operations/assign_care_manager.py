"""Patient/[id]/$assign-care-manager: somebody becomes the member's case manager, under the caps, in one commit."""

from __future__ import annotations

from datetime import UTC, datetime

from server.coordination.care_manager import Wanted, assign
from server.ledger import Plan, View, micros
from server.operations.call import Answer, Call
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
    now, id = datetime.now(UTC), new_id()

    async def decide(view: View) -> Plan:
        await call.here(view)
        return await assign(view, wanted, micros(now), id)

    commit = await call.commit(decide, now)
    return Answer(status=201 if commit.appended else 200, version=commit.versions[0])
