"""Escalation: what two organizations do not settle in the days that a file gives is for both liaisons.

https://hl7.org/fhir/R4/task.html

A proposal that is countered is the same dispute: the days are counted from the first. What is settled, whatever way, is
nothing for the liaisons any more.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Sequence
from typing import TypeVar

from server.coordination import facts, period
from server.coordination.assignment import assignment
from server.coordination.facts import OPEN, Role, literal
from server.coordination.handoff.transfer import concept, put
from server.coordination.lead.terms import Terms, every
from server.coordination.program.programs import Programs
from server.coordination.proposal import Judged, Kind, Proposed
from server.coordination.stored import read_many
from server.ledger import Change, Resource, View

LIAISON = f"{facts.BASE}/CodeSystem/cm-role|liaison"
DAY = 86_400_000_000  # microseconds
LONGEST = 100  # counter-proposals that are followed back

F = TypeVar("F", bound=Proposed)
J = TypeVar("J", bound=Judged)


async def due(kind: Kind[F, J], view: View, waiting: Collection[str], programs: Programs, now: int) -> list[Change]:
    """A Task for each of both about every one of these open proposals that waits too long, where there is none yet."""
    terms = {one.program.url: one for one in every(programs, now)}
    rows = await view.facts(kind.fact, waiting)
    found = [kind.of(row) for task, some in rows.items() for row in some if row.source == task]
    first = await _firsts(view, [one.task for one in found])
    made: dict[str, Change] = {}
    for one in found:
        if one.is_open and one.program in terms and one.task in first:
            for change in await _of(kind, view, one, first[one.task], terms[one.program], now):
                made[change.reference] = change
    there = await read_many(view, made) if made else {}
    return [change for task, change in made.items() if task not in there]


async def _firsts(view: View, tasks: Iterable[str]) -> dict[str, Resource]:
    """The proposal that each one's chain of counter-proposals began with."""
    first = await read_many(view, tasks)
    for _ in range(LONGEST):
        former = {task: link for task, one in first.items() if (link := _countered(one))}
        found = await read_many(view, former.values()) if former else {}
        if not found:
            break
        first |= {task: found[link] for task, link in former.items() if link in found}
    return first


def _countered(task: Resource) -> str | None:
    return next((literal(link, types=("Task",)) for link in task.get("basedOn", ())), None)


async def _of(kind: Kind[F, J], view: View, found: F, first: Resource, terms: Terms, now: int) -> list[Change]:
    days = kind.rule(terms).parameters["answer-days"]
    if days is None or period.starts(first.get("authoredOn"), terms.zone) + days * DAY > now:
        return []
    made, parties = [], (str(found.proposer), str(found.answerer))
    owners = await liaisons(view, parties, now)
    for organization, other in (parties, parties[::-1]):
        task = {
            "resourceType": "Task",
            "id": _id(kind, first, organization),
            "status": "requested",
            "intent": "order",
            "code": concept(kind.dispute),
            "description": f"{kind.unsettled} is not settled with {other} after {days} days",
            "focus": {"reference": found.task},
            "for": {"reference": found.patient},
            "authoredOn": period.text(now, terms.zone),
            "owner": {"reference": owners[organization]},
        }
        made.append(put(task))
    return made


def _id(kind: Kind[F, J], first: Resource, organization: str | None) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{kind.dispute} {first['id']} {organization}"))


async def liaisons(view: View, organizations: Collection[str], now: int) -> dict[str, str]:
    """The liaison of each organization; itself, where it has none, or several."""
    rows = await view.facts("staff", organizations)
    staff = {one: [role for role in map(Role.of, some) if LIAISON in role.codes] for one, some in rows.items()}
    there = {one: [role for role in some if not assignment.left(role, now, now, "UTC")] for one, some in staff.items()}
    return {one: some[0].reference if len(some) == 1 else one for one, some in there.items()}


async def settled(kind: Kind[F, J], view: View, disputes: Iterable[Resource]) -> list[Change]:
    """These open Tasks of liaisons, as completed, where no proposal for the member waits any more."""
    found = [(one, str(literal(one.get("for")))) for one in disputes]
    rows = await view.facts(kind.fact, {member for _, member in found}) if found else {}
    waiting = {member for member, some in rows.items() if any(kind.of(row).is_open for row in some)}
    return [put({**one, "status": "completed"}) for one, member in found if member not in waiting]


async def answered(kind: Kind[F, J], found: Sequence[tuple[Change, F | None]], after: View) -> list[Change]:
    """The same of the disputes about what these Tasks answer or withdraw; each is given with what it was."""
    over = [was for change, was in found if was and was.is_open and not _is_open(kind.found(change))]
    first = await _firsts(after, [one.task for one in over]) if over else {}
    ids = [f"Task/{_id(kind, first[one.task], party)}" for one in over for party in (one.proposer, one.answerer)]
    there = (await read_many(after, ids)).values() if ids else ()
    closed = await settled(kind, after, (one for one in there if one["status"] in OPEN))
    for change in closed:
        change.is_derived = True
    return closed


def _is_open(found: Proposed | None) -> bool:
    return found is not None and found.is_open
