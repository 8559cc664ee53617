"""Acceptance: one organization proposes a plan of care to the other, and as that one accepts, it is the plan of both.

https://hl7.org/fhir/R4/task.html, https://hl7.org/fhir/R4/careplan-definitions.html#CarePlan.replaces

A Task (plan-acceptance) whose focus is a draft CarePlan. What is accepted is what was proposed: a plan that says
something else by then has to be proposed anew. With the acceptance, in one commit, the plan is active, and those that
it replaces are over.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.agreement import agreement
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import ACCEPTANCE, ACCEPTANCE_TERM, Acceptance, literal
from server.coordination.handoff.transfer import concept, put
from server.coordination.lead.judgement import ACCEPTING, ANSWERS, GIVEN_UP, LEGAL
from server.coordination.lead.opening import STATE, conflict, organizations, unprocessable
from server.coordination.lead.terms import Pair, Terms, every, pair_at
from server.coordination.plan import shared
from server.coordination.plan.content import content
from server.coordination.program.programs import Programs
from server.coordination.responsibility.item import acting_for
from server.coordination.stored import localized, read, read_many
from server.coordination.write import AS_RECORDED, Place, refusal
from server.fhir.body import Body
from server.ledger import Change, Context, Fact, Resource, View, micros
from server.outcome import Problem

ENDS_AS = {"draft": "revoked", "active": "completed", "on-hold": "completed"}  # of a plan that another one replaces


class Proposal(NamedTuple):
    """A plan that is proposed, and what it is judged by."""

    found: Acceptance
    terms: Terms
    member: Member
    pair: Pair
    plan: Resource
    agreement: str | None
    now: int
    base_url: str


async def told_apart(before: View, changes: Sequence[Change]) -> tuple[list[Change], list[Change]]:
    """(the Tasks that propose a plan or did, the others)."""
    loose = [change.reference for change in changes if change.method != "POST" and not change.facts]
    found = await before.facts("acceptance", loose) if loose else {}
    own = {one for one, rows in found.items() if rows} | {one.reference for one in changes if _of(one)}
    return [one for one in changes if one.reference in own], [one for one in changes if one.reference not in own]


def _of(change: Change) -> Acceptance | None:
    own = ("acceptance", change.reference)
    rows = (Fact(*row, change.reference) for row in change.facts or () if row[:2] == own)
    return next(map(Acceptance.of, rows), None)


async def judged(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Change]:
    """Further changes of the Tasks that propose plans. What a load takes over as recorded is let be."""
    if context.override is AS_RECORDED:
        return []
    waiting = [change for change in changes if not change.is_derived]
    stored = [change.reference for change in waiting if change.method != "POST"]
    rows = await before.facts("acceptance", stored) if stored else {}
    further: list[Change] = []
    for change in waiting:
        own = [Acceptance.of(row) for row in rows.get(change.reference, ()) if row.source == change.reference]
        further += await _judged(context, after, programs, change, next(iter(own), None), _of(change))
    for change in further:
        change.is_derived = True
    return further


async def _judged(
    context: Context, after: View, programs: Programs, change: Change, was: Acceptance | None, now: Acceptance | None
) -> list[Change]:
    task = change.resource
    if was is None or was.status == "draft":
        if task is None or now is None or now.status == "draft" or (was and now.status in GIVEN_UP):
            return []
        return await _opened(context, after, programs, task, now)
    _check_kept(was, now)
    if task is None or now is None or was.status == now.status:
        return []
    if not was.is_open:
        raise conflict(f"{was.task} is {was.status}, and stays so: propose a plan anew.", was.task)
    if now.status not in ANSWERS:
        raise conflict(f"A proposal does not become {now.status}. Legal are {LEGAL}.", was.task)
    await _check_who(context, after, programs, was, now.status)
    if now.status in ACCEPTING:
        await _check_same(after, was)
        return await _accepted(after, task, await _proposal(context, after, programs, was))
    return await _put_down(after, programs, task, was, now.status, micros(context.now))


def _check_kept(was: Acceptance, now: Acceptance | None) -> None:
    """What was proposed stays as it was, for whoever reads it later."""
    if now is None:
        raise conflict(f"{was.task} is kept: to withdraw a proposal set it to cancelled.", was.task, "Task")
    if was.terms != now.terms:
        why = f"What {was.task} proposes stays as it was: counter it, or withdraw it and propose anew."
        raise conflict(why, was.task, "Task")


async def _check_who(context: Context, after: View, programs: Programs, was: Acceptance, status: str) -> None:
    whose = was.answerer if ANSWERS[status] == "answerer" else was.proposer
    if context.actor is None or whose in await organizations(after, context.actor):
        return
    why = f"{context.actor} does not act for {whose}, whose word that is."
    raise _refused(_terms_of(programs, was, micros(context.now)), why, was.task, "Task.status")


async def _check_same(after: View, was: Acceptance) -> None:
    """What is accepted is what was proposed."""
    plan = await read(after, str(was.plan))
    if plan is None or content(plan) != was.content:
        why = f"{was.plan} says something else than what was proposed: withdraw the proposal, and propose it anew."
        raise conflict(why, was.task, "Task.focus")


# Opening


async def _opened(context: Context, after: View, programs: Programs, task: Resource, found: Acceptance) -> list[Change]:
    """The proposal with all that it says by itself. Problem where it may not be made."""
    if found.status != "requested":
        raise unprocessable(f"A proposal begins as requested, not as {found.status}", found.task, "Task.status")
    proposal = await _proposal(context, after, programs, found)
    await _check_alone(after, proposal)
    proposer = await _proposer(context, after, proposal)
    for named, wanted, path in (
        (found.proposer, proposer, "Task.requester"),
        (found.answerer, proposal.pair.other(proposer), "Task.owner"),
    ):
        if named not in (None, wanted):
            both = " and ".join(proposal.pair.organizations)
            raise _refused(proposal.terms, f"{found.patient}'s plan is of {both}: here is {wanted}.", found.task, path)
    whole = _whole(task, proposal, proposer)
    return [] if whole == task else [put(whole)]


async def _proposal(context: Context, after: View, programs: Programs, found: Acceptance) -> Proposal:
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
        raise _refused(meant, why, found.task, "Task.for")
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
    return Proposal(found, meant, member, pair, plan, contract, now, context.base_url)


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


async def _check_alone(after: View, proposal: Proposal) -> None:
    """One proposal at a time."""
    rows = (await after.facts("acceptance", proposal.member.patients)).values()
    others = (one for found in rows for one in map(Acceptance.of, found))
    waiting = sorted(one.task for one in others if one.is_open and one.task != proposal.found.task)
    if waiting:
        why = (
            f"A plan for {proposal.found.patient} is proposed already: answer {waiting[0]} first (accept, decline or "
            "counter), or let who proposed it withdraw it."
        )
        raise conflict(why, proposal.found.task, "Task.for")


async def _proposer(context: Context, after: View, proposal: Proposal) -> str:
    """The organization that is named, or of who acts; of the local system, the program's own."""
    if context.actor is None:
        return proposal.found.proposer or proposal.pair.plan
    own = [one for one in proposal.pair.organizations if one in await organizations(after, context.actor)]
    named = [one for one in own if proposal.found.proposer in (None, one)]
    if not named:
        who = proposal.found.proposer or " or ".join(proposal.pair.organizations)
        why = f"{context.actor} does not act for {who}, which is whose it is to propose."
        raise _refused(proposal.terms, why, proposal.found.task, "Task.requester")
    return named[0]


def _terms(programs: Programs, member: Member, found: Acceptance, now: int) -> Terms:
    if found.program:
        return _terms_of(programs, found, now)
    known = list(every(programs, now))
    meant = [one for one in known if pair_at(member, one, now)]
    if len(meant) != 1:
        names = ", ".join(one.program.url for one in meant or known) or "none"
        why = f"{found.patient} is with two organizations in {'several programs' if meant else 'no program'}; there are"
        raise unprocessable(f"{why} {names}", found.task, "Task.instantiatesCanonical")
    return meant[0]


def _terms_of(programs: Programs, found: Acceptance, now: int) -> Terms:
    known = {one.program.url: one for one in every(programs, now)}
    if found.program not in known:
        why = f"In {found.program} no two organizations work together; in {', '.join(known) or 'none'} they do"
        raise unprocessable(why, found.task, "Task.instantiatesCanonical")
    return known[found.program]


def _refused(found: Terms, why: str, task: str, path: str) -> Problem:
    rule = next(found.program.of_kind("shared-plan"), found.rule)
    return Problem.with_issues("business_rule", [refusal(found.program, rule, why, Place(task, path))])


def _whole(task: Resource, proposal: Proposal, proposer: str) -> Resource:
    """The Task with what follows from what was proposed; what a client wrote beside it stays."""
    program = proposal.terms.program
    return {
        **task,
        "instantiatesCanonical": program.canonical,
        "status": "requested",
        "businessStatus": concept(f"{STATE}|proposed"),
        "intent": "proposal",
        "authoredOn": period.text(proposal.now, program.zone),
        "requester": {"reference": proposer},
        "owner": {"reference": proposal.pair.other(proposer)},
        "input": [*_others(task.get("input", ())), _term("content", "valueString", content(proposal.plan))],
    }


def _others(given: Iterable[Resource]) -> list[Resource]:
    """Task.input or Task.output but for what the server says itself."""
    return [
        one
        for one in given
        if not any(coding.get("system") == ACCEPTANCE_TERM for coding in one["type"].get("coding", ()))
    ]


def _term(name: str, member: str, value: object) -> Resource:
    return {"type": concept(f"{ACCEPTANCE_TERM}|{name}"), member: value}


# Answers


async def _accepted(after: View, task: Resource, proposal: Proposal) -> list[Change]:
    """The Task with its outcome, the plan, which is active, and those that it replaces, which are over."""
    since = _term("since", "valueDateTime", period.text(proposal.now, proposal.terms.zone))
    told = [_term("agreement", "valueReference", {"reference": proposal.agreement})] if proposal.agreement else []
    done = {
        **task,
        "status": "completed",
        "businessStatus": concept(f"{STATE}|accepted"),
        "output": [*_others(task.get("output", ())), since, *told],
    }
    active = _plan({**proposal.plan, "status": "active"})
    return [put(done), active, *await _replaced(after, proposal)]


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


async def _put_down(
    after: View, programs: Programs, task: Resource, was: Acceptance, status: str, now: int
) -> list[Change]:
    """Declined with a reason, or countered by another proposal in the same commit; withdrawn; received is no answer."""
    if status == "received":
        return []
    state = "withdrawn"
    if status == "rejected":
        rows = (await after.facts("acceptance", [was.patient]))[was.patient]
        others = (one for one in map(Acceptance.of, rows) if one.is_open and one.proposer == was.answerer)
        state = "countered" if any(others) else "declined"
        if state == "declined" and not task.get("statusReason"):
            why = "A proposal is declined for a reason (statusReason), coded or in words."
            raise _refused(_terms_of(programs, was, now), why, was.task, "Task.statusReason")
    whole = {**task, "businessStatus": concept(f"{STATE}|{state}")}
    return [] if whole == task else [put(whole)]


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
    return put(
        {
            "resourceType": "Task",
            "id": id,
            **({"instantiatesCanonical": program} if program else {}),
            **({"basedOn": [{"reference": counters}]} if counters else {}),
            "status": "requested",
            "intent": "proposal",
            "code": concept(ACCEPTANCE),
            "focus": {"reference": plan},
            "for": {"reference": patient},
            **({"requester": {"reference": requester}} if requester else {}),
        }
    )


async def open_proposal(view: View, task: str) -> Acceptance | None:
    """The plan that a Task proposes; None where it proposes none. Problem conflict where it is answered."""
    rows = (await view.facts("acceptance", [task]))[task]
    found = next((one for one in map(Acceptance.of, rows) if one.task == task), None)
    if found and not found.is_open:
        raise conflict(f"{task} is {found.status} already.", task)
    return found
