"""Deletion: a plan that both accepted stays in the record, and an active one of both is deleted by neither alone.

https://hl7.org/fhir/R4/http.html#delete

It ends by its status, of which the other organization is told, and as it was accepted either makes it active again.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.facts import Acceptance, literal
from server.coordination.lead.terms import Terms, every, pairs
from server.coordination.plan import shared
from server.coordination.program.programs import Programs
from server.coordination.stored import read_many
from server.coordination.write import AS_RECORDED, Place, refusal
from server.ledger import Change, Context, Resource, View, micros
from server.outcome import Issue

HOW = "end it by its status (completed, revoked, entered-in-error), or propose one that replaces it."


async def kept(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Issue]:
    """Refuse the deletion of these CarePlans where they are of two organizations together."""
    gone = [change.reference for change in changes if change.resource is None]
    known = list(every(programs, micros(context.now)))
    if not gone or not known or context.override is AS_RECORDED:
        return []
    rows = await after.facts("acceptance", gone)
    found = [one for some in rows.values() for one in map(Acceptance.of, some) if one.status == "completed"]
    issues: dict[str, Issue | None] = {str(one.plan): _accepted(one, known) for one in found}
    if context.actor is not None:
        stored = await read_many(before, [one for one in gone if one not in issues])
        for plan, resource in stored.items():
            issues[plan] = await _active(before, plan, resource, known, micros(context.now))
    return [issue for issue in issues.values() if issue]


def _accepted(found: Acceptance, known: Sequence[Terms]) -> Issue:
    terms = next((one for one in known if one.program.url == found.program), known[0])
    why = f"{found.plan} was accepted by both, {found.proposer} and {found.answerer} ({found.task}), and is kept: {HOW}"
    return _refused(terms, str(found.plan), why)


async def _active(before: View, plan: str, resource: Resource, known: Sequence[Terms], now: int) -> Issue | None:
    """Refused where it is the active plan of two that have the member together now."""
    subject = literal(resource.get("subject"), types=("Patient",))
    if subject is None or resource.get("status") != "active":
        return None
    member = (await assignment.members(before, [subject]))[subject]
    for terms in known:
        for pair in pairs(member, terms) if shared.rule_of(terms, now) else ():
            one = (await shared.standing(before, member, pair, terms.zone)).get(plan)
            if one and len(one.of) == 2 and period.holds(pair.times, now):
                why = f"{plan} is the active plan of both, {' and '.join(pair.organizations)}: {HOW}"
                return _refused(terms, plan, why)
    return None


def _refused(terms: Terms, plan: str, why: str) -> Issue:
    rule = next(terms.program.of_kind("shared-plan"), terms.rule)
    return refusal(terms.program, rule, why, Place(plan, "CarePlan"))
