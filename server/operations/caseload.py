"""PractitionerRole/[id]/$caseload: how many members a case manager has, and how many more would be accepted."""

from __future__ import annotations

from server.coordination import caseload as counting
from server.coordination.programs import active
from server.ledger import View
from server.operations.call import Answer, Call
from server.operations.parameters import Output, place
from server.outcome import Problem


async def caseload(call: Call) -> Answer:
    """The numbers as of a date; with detail the members."""
    view, now = await call.view()
    await call.here(view)
    known = await active(view)
    canonical = call.inputs.one("program") or await _only(view, call)
    at = known.instant(known.meant(canonical), call.inputs.one("asOf"), now)
    found = await counting.holding(view, call.reference, known, known.chosen(canonical, at), at)
    outputs: list[Output] = [
        ("members", len(found.members)),
        ("reserved", found.reserved),
        ("limit", found.limit),
        ("remaining", found.remaining),
    ]
    if call.inputs.one("detail"):
        outputs += [("member", patient) for patient in found.members]
    return Answer(outputs)


async def _only(view: View, call: Call) -> str:
    """The program that is meant where none is named."""
    found = await counting.programs_of(view, call.reference, await active(view))
    if len(found) != 1:
        raise Problem.of("required", f"Name the program, one of: {', '.join(found)}", place("program"))
    return found[0]
