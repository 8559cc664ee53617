"""PractitionerRole/[id]/$caseload: how many members a case manager has, and how many more would be accepted."""

from __future__ import annotations

from server.coordination.caseload import caseload as counting
from server.coordination.caseload.caseload import Holding
from server.coordination.program.programs import Programs, active
from server.ledger import View
from server.operations.call import Answer, Call
from server.operations.parameters import Output, place
from server.outcome import Problem


async def caseload(call: Call) -> Answer:
    """The numbers as of a date; with detail the members."""
    view, now = await call.view()
    await call.here(view)
    known = await active(view)
    named = call.inputs.one("program")
    holdings = []
    for canonical in [named] if named else await _meant(view, call, known):
        at = known.instant(known.meant(canonical), call.inputs.one("asOf"), now)
        holdings.append(await counting.holding(view, call.reference, known, known.chosen(canonical, at), at))
    found = _together(holdings)
    outputs: list[Output] = [
        ("members", len(found.members)),
        ("reserved", found.reserved),
        ("limit", found.limit),
        ("remaining", found.remaining),
    ]
    if call.inputs.one("detail"):
        outputs += [("member", patient) for patient in found.members]
    return Answer(outputs)


async def _meant(view: View, call: Call, known: Programs) -> list[str]:
    """The program in which the manager has members; of one who has none, every one that the role is open to."""
    found = await counting.programs_of(view, call.reference, known)
    if not found:
        found = await counting.programs_open_to(view, call.reference, known)
    elif len(found) > 1:
        raise Problem.of("required", f"Name the program, one of: {', '.join(found)}", place("program"))
    if not found:
        raise Problem.of("required", "There is no program with case managers", place("program"))
    return found


def _together(holdings: list[Holding]) -> Holding:
    """What all of these say: several are of a manager who has nobody in any of them."""
    limits, remaining = {one.limit for one in holdings}, {one.remaining for one in holdings}
    first = holdings[0]
    return first._replace(
        limit=first.limit if len(limits) == 1 else None, remaining=first.remaining if len(remaining) == 1 else None
    )
