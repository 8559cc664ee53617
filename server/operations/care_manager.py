"""Patient/[id]/$care-manager: who manages the member's case, or whom to call where nobody does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.coordination.care_manager import Serving, care_managers
from server.fhir import body
from server.ledger import Resource, View
from server.operations.call import Answer, Call
from server.operations.parameters import Output


async def care_manager(call: Call) -> Answer:
    """One `assignment` for each program with a case manager; `contact` for each without."""
    view, now = await call.view()
    await call.here(view)
    found = await care_managers(view, call.reference, call.inputs.one("program"), call.inputs.one("asOf"), now)
    outputs: list[Output] = [("assignment", await _assignment(view, serving)) for serving in found.serving]
    contacts = [await _resource(view, reference) for reference in found.contacts]
    return Answer(outputs + [("contact", contact) for contact in contacts])


async def _assignment(view: View, serving: Serving) -> list[Output]:
    return [
        ("program", serving.program),
        ("manager", serving.manager),
        ("practitioner", await _resource(view, serving.practitioner)),
        ("practitionerRole", await _resource(view, serving.manager)),
        ("careTeam", serving.team),
        ("since", serving.since),
        ("lead", serving.lead),
    ]


async def _resource(view: View, reference: str) -> Resource | None:
    version = await view.read(*reference.split("/"))
    found: Mapping[str, Any] | None = body.parse(version.body).resource if version and version.body else None
    return dict(found) if found else None
