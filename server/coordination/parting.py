"""Parting: what one organization proposed to another is over where the two have the member together no more.

https://hl7.org/fhir/R4/task-definitions.html#Task.status

Nobody could accept it any more, and whoever has the member next proposes anew. The commit that ends the enrolment
cancels it; the background look, what ends with time or with an organization that closes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.handoff.transfer import concept, put
from server.coordination.lead.agency import closed
from server.coordination.lead.terms import Terms, alike, every, pairs
from server.coordination.program.programs import Programs
from server.coordination.proposal import Kind, Proposed
from server.coordination.record import STATE
from server.coordination.stored import read_many
from server.coordination.write import AS_RECORDED, Write
from server.ledger import Change, View

LAPSED = f"{STATE}|lapsed"


async def parted(write: Write, kinds: Iterable[Kind[Any, Any]]) -> list[Change]:
    """Further changes: what waits about members whose enrolments a commit changes, and is over."""
    if write.context.override is AS_RECORDED or not write.of_type("EpisodeOfCare"):
        return []
    shared = [one for one in write.distinct() if len({each.organization for each in one.enrolments}) > 1]
    patients = [patient for member in shared for patient in member.patients]
    changes: list[Change] = []
    for kind in kinds if patients else ():
        rows = (await write.after.facts(kind.fact, patients)).values()
        changes += await lapsed(
            kind, write.after, [kind.of(row) for some in rows for row in some], write.programs, write.now
        )
    return changes


async def due(kind: Kind[Any, Any], view: View, waiting: Collection[str], programs: Programs, now: int) -> list[Change]:
    """The same of these Tasks."""
    rows = await view.facts(kind.fact, waiting)
    found = [kind.of(row) for task, some in rows.items() for row in some if row.source == task]
    return await lapsed(kind, view, found, programs, now)


async def lapsed(
    kind: Kind[Any, Any], view: View, found: Sequence[Proposed], programs: Programs, now: int
) -> list[Change]:
    """Those of the proposals that wait, as cancelled, whose two organizations have the member no more, nor will."""
    terms = {one.program.url: one for one in every(programs, now)}
    waiting = {one.task: one for one in found if one.is_open and one.program in terms}
    members = await assignment.members(view, {one.patient for one in waiting.values()}) if waiting else {}
    shut = set(await closed(view, {party for one in waiting.values() for party in _parties(one)})) if waiting else set()
    over = [
        task
        for task, one in waiting.items()
        if not shut.isdisjoint(_parties(one))
        or not _have(members[one.patient], _parties(one), terms[one.program], programs, now)
    ]
    tasks = await read_many(view, over) if over else {}
    made = [put({**one, "status": "cancelled", "businessStatus": concept(LAPSED)}) for one in tasks.values()]
    for change in made:
        change.is_derived = True
    return made


def _parties(found: Proposed) -> set[str]:
    return {str(found.proposer), str(found.answerer)}


def _have(member: Member, parties: set[str], terms: Terms, programs: Programs, now: int) -> bool:
    """True where the two have the member together now or later, in whichever program with such a partner."""
    both = [pair for pair in pairs(member, terms, alike(terms, programs, now)) if set(pair.organizations) == parties]
    return any(high > now for pair in both for _, high in pair.times)
