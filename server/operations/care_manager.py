"""Patient/[id]/$care-manager: who manages the member's case, or whom to call where nobody does."""

from __future__ import annotations

from collections.abc import Mapping

from server.coordination import stored
from server.coordination.assignment.care_manager import Serving, care_managers
from server.ledger import Resource
from server.operations.call import Answer, Call
from server.operations.parameters import Output


async def care_manager(call: Call) -> Answer:
    """One `assignment` for each program with a case manager; `contact` for each without."""
    view, now = await call.view()
    await call.here(view)
    found = await care_managers(view, call.reference, call.inputs.one("program"), call.inputs.one("asOf"), now)
    named = {reference for serving in found.serving for reference in (serving.practitioner, serving.manager)}
    resources = await stored.read_many(view, named.union(found.contacts))
    outputs: list[Output] = [("assignment", _assignment(serving, resources)) for serving in found.serving]
    return Answer(outputs + [("contact", resources.get(reference)) for reference in found.contacts])


def _assignment(serving: Serving, resources: Mapping[str, Resource]) -> list[Output]:
    return [
        ("program", serving.program),
        ("manager", serving.manager),
        ("practitioner", resources.get(serving.practitioner)),
        ("practitionerRole", resources.get(serving.manager)),
        ("careTeam", serving.team),
        ("since", serving.since),
        ("lead", serving.lead),
    ]
