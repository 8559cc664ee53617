"""Patient/[id]/$lead: who leads the member's care, of which organization, since when, on what form and agreement."""

from __future__ import annotations

from server.coordination.lead.who import lead as leading
from server.operations.call import Answer, Call


async def lead(call: Call) -> Answer:
    """Nothing where nobody leads."""
    view, now = await call.view()
    await call.here(view)
    found = await leading(view, call.reference, call.inputs.one("asOf"), now)
    if found is None:
        return Answer()
    return Answer(
        [
            ("lead", found.role),
            ("organization", found.organization),
            ("since", found.since),
            ("form", found.form),
            ("agreement", found.agreement),
            ("left", found.has_left or None),
        ]
    )
