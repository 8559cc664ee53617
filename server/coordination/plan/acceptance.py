"""Acceptance: one organization proposes a plan of care to the other, and as that one accepts, it is the plan of both.

https://hl7.org/fhir/R4/task.html, https://hl7.org/fhir/R4/careplan-definitions.html#CarePlan.replaces

A Task (plan-acceptance) whose focus is a draft CarePlan. What is accepted is what was proposed: a plan that says
something else by then has to be proposed anew. With the acceptance, in one commit, the plan is active, and those that
it replaces are over.
"""

from __future__ import annotations

from typing import NamedTuple

from server.coordination import period
from server.coordination.agreement import agreement
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import ACCEPTANCE, ACCEPTANCE_TERM, TASK, Acceptance, literal
from server.coordination.handoff.transfer import concept, put
from server.coordination.lead.terms import Pair, Terms, every, pair_at
from server.coordination.plan import shared
from server.coordination.plan.content import content
from server.coordination.program.program import Rule
from server.coordination.program.programs import Programs
from server.coordination.proposal import Kind, check_between, conflict, refused, terms_of, unprocessable, written
from server.coordination.record import STATE, others
from server.coordination.responsibility.item import acting_for
from server.coordination.stored import localized, read, read_many
from server.coordination.write import Place, refusal
from server.fhir.body import Body
from server.ledger import Change, Context, Resource, View, micros
from server.outcome import Problem

ENDS_AS = {"draft": "revoked", "active": "completed", "on-hold": "completed"}  # of a plan that another one replaces


class Proposal(NamedTuple):
    """A plan that is proposed, and what it is judged by."""

    terms: Terms
    member: Member
    pair: Pair
    plan: Resource
    agreement: str | None
    now: int
    base_url: str


# Proposed


async def _judged(context: Context, after: View, programs: Programs, found: Acceptance) -> Proposal:
    """Everything that a proposal has to be, as of now. Problem business_rule with all that it lacks."""
    now = micros(context.now)
    plan = await read(after, found.plan) if found.plan else None
    if not found.patient or plan is None:
        path = "Task.focus" if found.patient else "Task.for"
        raise unprocessable("It is for a Patient, and its focus is a CarePlan of this server", found.task, path)
    member = (await assignment.members(after, [found.patient]))[found.patient]
    meant = _terms(programs, member, found, now)
    pair = pair_at(member, meant, now)
    if pair is None:
        why = f"{member.patient} is not with two organizations now: there are no two to agree on a plan."
        raise refused(meant, _rule(meant), why, found.task, "Task.for")
    issues = [
        refusal(meant.program, meant.rule, why, Place(str(found.plan), path))
        for path, why in await _wrong(after, member, meant, pair, localized(plan, context.base_url), now)
    ]
    contract = await agreement.in_force(after, meant.program, pair.organizations, now)
    if contract is None and period.holds([meant.agreement.period], now):
        why = f"{' and '.join(pair.organizations)} have no agreement in force now, under which a plan is shared."
        issues.append(refusal(meant.program, meant.agreement, why, Place(found.task, "Task.for")))
    if issues:
        raise Problem.with_issues("business_rule", issues)
    return Proposal(meant, member, pair, plan, contract, now, context.base_url)


async def _wrong(
    after: View, member: Member, meant: Terms, pair: Pair, plan: Resource, now: int
) -> list[tuple[str, str]]:
    """Why a plan is none that two can accept: (place, why)."""
    own, found = f"CarePlan/{plan['id']}", list[tuple[str, str]]()
    if literal(plan.get("subject")) not in member.patients:
        found.append(("CarePlan.subject", f"{own} is not about {member.patient}."))
    if plan.get("status") != "draft":
        why = f"{own} is {plan.get('status')}: what is proposed is a draft; a change of an active plan is a draft that"
        found.append(("CarePlan.status", f"{why} replaces it."))
    whose = await _whose(after, member, plan)
    if missing := sorted(set(pair.organizations) - whose):
        found.append(("CarePlan.contributor", f"{' and '.join(missing)} is not among its contributors: it is of both."))
    if shared.rule_of(meant, now):
        replaced = {literal(link) for link in plan.get("replaces", ())}
        at = meant.zone
        for other, one in (await shared.standing(after, member, pair, at)).items():
            when = period.between(plan.get("period", {}).get("start"), plan.get("period", {}).get("end"), at)
            if other not in replaced and period.intersection([one.when], [when]):
                why = f"{other} is active for the same time: let this one replace it (replaces)."
                found.append(("CarePlan.replaces", why))
    return found


async def _whose(after: View, member: Member, plan: Resource) -> set[str]:
    links = {found for link in (plan.get("author"), *plan.get("contributor", ())) if (found := literal(link))}
    return {of for found in (await acting_for(after, member.patients, links)).values() for of in found}


def _rule(terms: Terms) -> Rule:
    return next(terms.program.of_kind("shared-plan"), terms.rule)


def _terms(programs: Programs, member: Member, found: Acceptance, now: int) -> Terms:
    if found.program:
        return terms_of(programs, found, now)
    known = list(every(programs, now))
    meant = [one for one in known if pair_at(member, one, now)]
    if len(meant) != 1:
        names = ", ".join(one.program.url for one in meant or known) or "none"
        why = f"{found.patient} is with two organizations in {'several programs' if meant else 'no program'}; there are"
        raise unprocessable(f"{why} {names}", found.task, "Task.instantiatesCanonical")
    return meant[0]


def _told(task: Resource, proposal: Proposal) -> Resource:
    return {"input": [*others(task.get("input", ())), _term("content", "valueString", content(proposal.plan))]}


def _term(name: str, member: str, value: object) -> Resource:
    return {"type": concept(f"{ACCEPTANCE_TERM}|{name}"), member: value}


# Accepted


async def _accepted(context: Context, after: View, programs: Programs, task: Resource, was: Acceptance) -> list[Change]:
    """The Task with its outcome, the plan, which is active, and those that it replaces, which are over."""
    await _check_same(after, was)
    proposal = await _judged(context, after, programs, was)
    check_between(proposal, _rule(proposal.terms), was)
    since = _term("since", "valueDateTime", period.text(proposal.now, proposal.terms.zone))
    told = [_term("agreement", "valueReference", {"reference": proposal.agreement})] if proposal.agreement else []
    done = {
        **task,
        "status": "completed",
        "businessStatus": concept(f"{STATE}|accepted"),
        "output": [*others(task.get("output", ())), since, *told],
    }
    active = _plan({**proposal.plan, "status": "active"})
    return [put(done), active, *await _replaced(after, proposal)]


async def _check_same(after: View, was: Acceptance) -> None:
    """What is accepted is what was proposed."""
    plan = await read(after, str(was.plan))
    if plan is None or content(plan) != was.content:
        why = f"{was.plan} says something else than what was proposed: withdraw the proposal, and propose it anew."
        raise conflict(why, was.task, "Task.focus")


async def _replaced(after: View, proposal: Proposal) -> list[Change]:
    """The plans of the two that it takes the place of."""
    links = [literal(link, proposal.base_url, ("CarePlan",)) for link in proposal.plan.get("replaces", ())]
    found = await read_many(after, [link for link in links if link])
    over = []
    for plan in found.values():
        own = localized(plan, proposal.base_url)
        is_theirs = not (await _whose(after, proposal.member, own)).isdisjoint(proposal.pair.organizations)
        about = literal(own.get("subject")) in proposal.member.patients
        if is_theirs and about and plan.get("status") in ENDS_AS:
            over.append(_plan({**plan, "status": ENDS_AS[plan["status"]]}))
    return over


def _plan(plan: Resource) -> Change:
    return Change("PUT", "CarePlan", plan["id"], plan, Body.of(plan).text(plan["id"]))


PLAN: Kind[Acceptance, Proposal] = Kind(
    noun="plan",
    code=ACCEPTANCE,
    dispute=f"{TASK}|plan-dispute",
    unsettled="The plan of both",
    fact="acceptance",
    of=Acceptance.of,
    rule=_rule,
    reasons=lambda terms: (),
    judged=_judged,
    proposer=lambda found: found.pair.plan,
    told=_told,
    accepted=_accepted,
)


# As $comprehensive-plan and $respond write it


def proposed(
    patient: str,
    plan: str,
    id: str,
    program: str | None = None,
    requester: str | None = None,
    counters: str | None = None,
) -> Change:
    """The proposal's Task. What it lacks the judgement adds."""
    return put({**written(id, ACCEPTANCE, patient, program, requester, counters), "focus": {"reference": plan}})
