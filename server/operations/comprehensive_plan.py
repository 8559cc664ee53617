"""Patient/[id]/$comprehensive-plan: what both organizations plan and order for a member, as one plan to read."""

from __future__ import annotations

from collections.abc import Iterable

from server.coordination import period, stored
from server.coordination.agreement import agreement
from server.coordination.facts import literal
from server.coordination.lead.opening import organizations
from server.coordination.lead.who import Lead, lead
from server.coordination.plan import shared as shared_plan
from server.coordination.plan.comprehensive import LISTS, Plan, document
from server.coordination.responsibility.check import Check, check, findings, services
from server.coordination.responsibility.detected_issue import told
from server.coordination.write import Place, refusal
from server.ledger import Resource, View
from server.operations.call import Answer, Call
from server.operations.coordination_check import of_member
from server.outcome import Issue, Problem

PLANNED = ("CarePlan", "ServiceRequest")


async def comprehensive_plan(call: Call) -> Answer:
    """A Bundle of type document, read at one position. Problem forbidden for whoever acts for neither."""
    view, now = await call.view()
    await call.here(view)
    asked = await check(view, call.reference, None, call.inputs.one("asOf"), now)
    await _check_may_see(call, view, asked)
    if asked is None:
        why = f"{call.reference} is not with two organizations then: there is nothing to put together"
        raise Problem.with_issues("unprocessable", [Issue("required", why)])
    at = asked.window.high - 1
    await _check_agreement(view, asked, at)
    resources = [one for type in PLANNED for one in await of_member(view, asked, type)]
    found = await findings(view, asked, resources)
    listed = await services(view, asked, resources)
    sources = {
        f"{one['resourceType']}/{one['id']}": one
        for one in resources
        if f"{one['resourceType']}/{one['id']}" in {item.reference for item in listed}
    }
    patient = (await stored.read_many(view, [call.reference]))[call.reference]
    leading = await lead(view, call.reference, period.text(at, asked.terms.zone), now)
    plan = Plan(
        asked,
        patient,
        sources,
        listed,
        told(asked, found, now),
        await _beside(view, asked, sources.values(), leading),
        leading,
        await _is_agreed(view, asked),
        at,
        now,
        view.position,
        call.base_url,
    )
    return Answer([("return", document(plan))])


async def _check_may_see(call: Call, view: View, asked: Check | None) -> None:
    """Somebody who acts for one of both organizations, and the member. The local system may all."""
    actor = call.caller.actor
    if actor is None or actor == call.reference:
        return
    if asked is None or (await organizations(view, actor)).isdisjoint(asked.pair.organizations):
        raise Problem.of("forbidden", f"{actor} acts for neither of two organizations that have {call.reference}")


async def _check_agreement(view: View, asked: Check, at: int) -> None:
    """A member's plan is shared under an agreement."""
    pair, terms = asked.pair, asked.terms
    if await agreement.in_force(view, terms.program, pair.organizations, at) is None:
        why = f"{' and '.join(pair.organizations)} have no agreement in force then, under which a plan is shared."
        raise Problem.with_issues("business_rule", [refusal(terms.program, terms.agreement, why, Place("", "Patient"))])


async def _beside(view: View, asked: Check, sources: Iterable[Resource], leading: Lead | None) -> list[Resource]:
    """What the plans name, and the two organizations and the lead by name."""
    links = [
        link for one in sources if one["resourceType"] == "CarePlan" for name in LISTS for link in one.get(name, ())
    ]
    named = [*asked.pair.organizations, *(one for link in links if (one := literal(link)))]
    if leading:
        named += [leading.role, *([leading.form] if leading.form else [])]
    found = await stored.read_many(view, dict.fromkeys(named))
    person = literal(found.get(leading.role, {}).get("practitioner")) if leading else None
    return list((found | await stored.read_many(view, [person] if person else [])).values())


async def _is_agreed(view: View, asked: Check) -> bool:
    """True where there is one active plan, which is of both."""
    plans = await shared_plan.plans(view, asked.member, asked.pair)
    return [set(asked.pair.organizations)] == list(plans.values())
