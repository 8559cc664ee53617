"""Escalation: who leads is not settled in the days that the program's file gives: it is for the liaisons of both then.

A proposal that is countered is the same dispute: the days are counted from the first. What is settled, whatever way, is
nothing for the liaisons any more.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

from server.coordination import facts, period
from server.coordination.facts import Designation, Role, literal
from server.coordination.handoff.transfer import concept, put
from server.coordination.lead.terms import Terms, every
from server.coordination.program.programs import Programs
from server.coordination.stored import read
from server.ledger import Change, Resource, View

DISPUTE = f"{facts.TASK}|lead-dispute"
LIAISON = f"{facts.BASE}/CodeSystem/cm-role|liaison"
DAY = 86_400_000_000  # microseconds
LONGEST = 100  # counter-proposals that are followed back


async def due(view: View, waiting: Iterable[str], programs: Programs, now: int) -> list[Change]:
    """A Task for each of both about every one of these open proposals that waits too long, where there is none yet."""
    terms = {one.program.url: one for one in every(programs, now)}
    found: list[Change] = []
    for task, rows in (await view.facts("designation", waiting)).items():
        own = next((one for one in map(Designation.of, rows) if one.task == task and one.is_open), None)
        if own and own.program in terms:
            found += await _of(view, own, terms[own.program], now)
    return found


async def _of(view: View, found: Designation, terms: Terms, now: int) -> list[Change]:
    days = terms.rule.parameters["answer-days"]
    first = await _first(view, found.task)
    if days is None or first is None:
        return []
    if period.starts(first.get("authoredOn"), terms.zone) + days * DAY > now:
        return []
    made = []
    for organization, other in ((found.proposer, found.answerer), (found.answerer, found.proposer)):
        id = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{DISPUTE} {first['id']} {organization}"))
        if await read(view, f"Task/{id}") is None:
            owner = await _liaison(view, str(organization))
            made.append(put(_task(id, found, owner, str(other), days, terms, now)))
    return made


async def _first(view: View, task: str) -> Resource | None:
    """The proposal that a chain of counter-proposals began with."""
    found = await read(view, task)
    for _ in range(LONGEST):
        former = [literal(link, types=("Task",)) for link in (found or {}).get("basedOn", ())]
        before = await read(view, former[0]) if former and former[0] else None
        if before is None:
            break
        found = before
    return found


async def _liaison(view: View, organization: str) -> str:
    """The organization's liaison; itself, where it has none, or several."""
    staff = map(Role.of, (await view.facts("staff", [organization]))[organization])
    liaisons = [role.reference for role in staff if role.active and LIAISON in role.codes]
    return liaisons[0] if len(liaisons) == 1 else organization


def _task(id: str, found: Designation, owner: str, other: str, days: int, terms: Terms, now: int) -> Resource:
    return {
        "resourceType": "Task",
        "id": id,
        "status": "requested",
        "intent": "order",
        "code": concept(DISPUTE),
        "description": f"Who leads is not settled with {other} after {days} days",
        "focus": {"reference": found.task},
        "for": {"reference": found.patient},
        "authoredOn": period.text(now, terms.zone),
        "owner": {"reference": owner},
    }


async def settled(view: View, disputes: Iterable[Resource]) -> list[Change]:
    """These open Tasks of liaisons, as completed, where no proposal for the member waits any more."""
    members = {str(literal(one.get("for"))): one for one in disputes}
    rows = await view.facts("designation", members)
    open = {member for member, found in rows.items() if any(one.is_open for one in map(Designation.of, found))}
    done = (one for one in disputes if literal(one.get("for")) not in open)
    return [put({**one, "status": "completed"}) for one in done]
