"""Offer: a program that is offered to every member who is eligible for it, and the answer, which a Consent records.

https://hl7.org/fhir/R4/task.html, https://hl7.org/fhir/R4/consent.html

The server makes the Task in the commit that makes a member eligible. Its end is the member's answer, or that there is
nothing to offer any more.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Mapping

from server.coordination import facts, period
from server.coordination.enrolment.case import Case
from server.coordination.enrolment.eligibility import latest
from server.coordination.facts import OPEN, Decision, Enrolment, Offer, Related, literal, tokens
from server.coordination.handoff.transfer import ENDED, concept
from server.coordination.program.program import Program, Rule
from server.coordination.write import AS_RECORDED, Place, refusal
from server.ledger import Change, Fact, View
from server.outcome import Issue, Problem

STATE = f"{facts.BASE}/CodeSystem/cm-offer-state"
ACCEPTED, DECLINED, ENROLLED = (f"{STATE}|{code}" for code in ("accepted", "declined", "enrolled"))
ANSWERED = frozenset({"completed", "rejected"})  # Task.status
NEVER_WAS = frozenset({"cancelled", "entered-in-error"})  # EpisodeOfCare.status


async def judged(case: Case) -> list[Issue]:
    """Offer what is to be offered, follow up what was answered, and refuse to enrol who declined."""
    issues: list[Issue] = []
    for program, rule in case.ruled("offer"):
        plans = [one for one in case.enrolments(program.types) if case.is_going_on(one, program.zone)]
        issues += await _declined(case, program, rule) if plans else []
        await _followed(case, program, rule, plans)
    return issues


async def _declined(case: Case, program: Program, rule: Rule) -> list[Issue]:
    """Enrolments in what the member declined, and has not agreed to since."""
    begun = case.begun([rule.parameters["program"]])
    if not begun or not case.decisions or case.context.override is AS_RECORDED:
        return []
    standing, issues = await _standing(case), []
    for one in begun:
        at = max(case.now, period.starts(one.start, program.zone))
        known = [each for each in case.decisions if each.is_declined or _permits(each, standing, at, program.zone)]
        decision = _last(known, rule, program.zone)
        if decision and decision.is_declined:
            why = (
                f"{case.member.patient} declined it ({decision.consent}); an enrolment takes a later Consent, of "
                f"category {rule.parameters['consent']}, that permits it then (provision.period), of the member or of "
                "who stands for them (performer)."
            )
            issues.append(refusal(program, rule, why, Place(one.episode, "EpisodeOfCare.status")))
    return issues


def _permits(decision: Decision, standing: Collection[str], at: int, zone: str) -> bool:
    """True of a Consent that is in force, of who may decide."""
    is_theirs = not set(standing).isdisjoint(decision.performers)
    return is_theirs and period.holds([period.between(decision.start, decision.end, zone)], at)


def _last(decisions: list[Decision], rule: Rule, zone: str) -> Decision | None:
    """What the member decided last about what the rule offers."""
    about = [one for one in decisions if one.counts and rule.parameters["consent"] in one.categories]
    return max(about, key=lambda one: (period.starts(one.when, zone), one.consent), default=None)


async def _followed(case: Case, program: Program, rule: Rule, plans: list[Enrolment]) -> None:
    home = [
        one
        for one in case.enrolments([rule.parameters["program"]])
        if case.is_going_on(one, program.zone) and one.status != "onhold"
    ]
    found = latest(case.evidence, rule.parameters["code"], case.now, program.zone)
    is_due = bool(plans and found and found.value is True and not home)
    offers = [one for one in case.offers if one.program in {"", program.url} and one.status != "cancelled"]
    for one in offers:
        await _kept(case, one, home, is_due)
        if not home and ENROLLED in one.state:
            await _given_back(case, one, is_due)
    plan = next((one for one in plans if one.organization), None)
    if is_due and plan and found and not any(one.status in OPEN | ANSWERED for one in offers):
        _made(case, program, rule, plan, found.source)


async def _kept(case: Case, one: Offer, home: list[Enrolment], is_due: bool) -> None:
    """An offer that is open ends with its reason; one that was accepted is followed by the enrolment."""
    is_followed = home and ENROLLED not in one.state and (one.status in OPEN or ACCEPTED in one.state)
    if one.status not in OPEN and not is_followed:
        return
    stored = await case.there(one.task) or {}
    if is_followed:
        output = {"type": concept(ENROLLED), "valueReference": {"reference": home[0].episode}}
        whole = {**stored, "status": "completed", "businessStatus": concept(ENROLLED)}
        case.write({**whole, "output": [*stored.get("output", ()), output]})
    elif not is_due:
        case.write({**stored, "status": "cancelled"})


async def _given_back(case: Case, one: Offer, is_due: bool) -> None:
    """An offer that an enrolment ended which never was: it waits again, or is as the member answered it."""
    stored = await case.there(one.task) or {}
    told = [given for given in stored.get("output", ()) if ENROLLED in tokens([given["type"]])]
    enrolled = {literal(given.get("valueReference")) for given in told}
    if any(each.episode in enrolled and each.status not in NEVER_WAS for each in case.member.enrolments):
        return
    rest = {name: value for name, value in stored.items() if name not in {"businessStatus", "output"}}
    output = [given for given in stored.get("output", ()) if given not in told]
    if one.consents:
        case.write({**rest, "businessStatus": concept(ACCEPTED), "output": output})
    elif is_due:
        case.write({**rest, "status": "requested", **({"output": output} if output else {})})


def _made(case: Case, program: Program, rule: Rule, plan: Enrolment, evidence: str) -> None:
    text = rule.parameters["description"] or "Offer it to the member, and record the answer as a Consent"
    task = {
        "resourceType": "Task",
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"{facts.OFFER} {program.url} {plan.episode} {evidence}")),
        "instantiatesCanonical": program.canonical,
        "status": "requested",
        "intent": "order",
        "code": concept(facts.OFFER),
        "description": text,
        "focus": {"reference": plan.episode},
        "for": {"reference": case.member.patient},
        "authoredOn": period.text(case.now, program.zone),
        "owner": {"reference": plan.organization},
        "reasonReference": {"reference": evidence},
    }
    case.write(task)


# The answer


async def answered(case: Case, changes: list[Change], known: dict[str, Offer]) -> list[Issue]:
    """What the commit's own Tasks say of offers: ended by an answer alone, which a Consent bears out."""
    rules = {program.url: (program, rule) for program, rule in case.ruled("offer")}
    issues: list[Issue] = []
    for change in changes:
        was, now = known.get(change.reference), of(change)
        one = now or was
        ruled = (rules.get(one.program) if one else None) or next(iter(rules.values()), None)
        if ruled and not change.is_derived and case.context.override is not AS_RECORDED:
            issues += await _answered(case, *ruled, change, was, now)
    return issues


def of(change: Change) -> Offer | None:
    """The offer that a change writes."""
    rows = (Fact(*row, change.reference) for row in change.facts or () if row[:2] == ("offer", change.reference))
    return next(map(Offer.of, rows), None)


async def _answered(
    case: Case, program: Program, rule: Rule, change: Change, was: Offer | None, now: Offer | None
) -> list[Issue]:
    if was and (now is None or now.patient != was.patient):
        raise _conflict(f"{was.task} is kept, and about {was.patient}: an offer ends by the member's answer.", change)
    if was and now and was.status in ENDED and was[3:] != now[3:]:
        raise _conflict(f"{was.task} is {was.status}, and what was answered stays so.", change)
    if now and now.status not in ENDED and _states(now) != _states(was):
        raise _conflict(f"What became of {now.task} the server says (businessStatus), as it is answered.", change)
    if now is None or (was and was.status == now.status):
        return []
    if now.status not in ENDED:
        return []
    if now.status not in ANSWERED:
        why = f"{now.task} ends by the member's answer (completed, or rejected), not as {now.status}."
        return [refusal(program, rule, why, Place(now.task, "Task.status"))]
    return await _decided(case, program, rule, change, now)


def _states(one: Offer | None) -> set[str]:
    """What the server says became of an offer."""
    return {state for state in (one.state if one else ()) if state.startswith(f"{STATE}|")}


async def _decided(case: Case, program: Program, rule: Rule, change: Change, now: Offer) -> list[Issue]:
    """Completed with a Consent of the member, or of who stands for them; declined for a reason."""
    decision = await _decision(case.after, now)
    lacking = await _lacking(case, rule, decision, program.zone)
    if lacking or decision is None:
        why = (
            f"{now.task}: the answer is a Consent in Task.output (valueReference), {lacking}: of the member, of "
            f"category {rule.parameters['consent']}, active or rejected, with provision.type permit or deny, and "
            "performer the member or a RelatedPerson of theirs."
        )
        return [refusal(program, rule, why, Place(now.task, "Task.output"))]
    if now.status == "rejected" and not decision.is_declined:
        why = f"{now.task} is rejected, and {decision.consent} permits it: complete it."
        return [refusal(program, rule, why, Place(now.task, "Task.status"))]
    accepted = set(rule.parameters["reason"])
    if decision.is_declined and not (now.is_reasoned and (not accepted or accepted.intersection(now.reasons))):
        known = ", ".join(sorted(accepted)) or "any, coded or in words"
        why = f"{now.task}: what is declined is declined for a reason (statusReason); accepted are {known}."
        return [refusal(program, rule, why, Place(now.task, "Task.statusReason"))]
    task = change.resource or {}
    state = concept(DECLINED if decision.is_declined else ACCEPTED)
    if task.get("businessStatus") != state:
        case.write({**task, "businessStatus": state})
        told = now._replace(state=tokens([state]))
        case.offers = [told if one.task == now.task else one for one in case.offers]
    return []


async def _decision(view: View, now: Offer) -> Decision | None:
    found = await view.facts("consent", now.consents)
    return next((Decision.of(row) for one in now.consents for row in found[one]), None)


async def _lacking(case: Case, rule: Rule, decision: Decision | None, zone: str) -> str:
    """What keeps a Consent from being the answer, in words; "" where nothing does."""
    if decision is None:
        return "and there is none"
    if decision.patient not in case.member.patients:
        return f"and {decision.consent} is of {decision.patient}"
    if not decision.counts or rule.parameters["consent"] not in decision.categories:
        return f"and {decision.consent} is {decision.status}, of {', '.join(decision.categories)}, {decision.type}"
    if not (await _standing(case)).intersection(decision.performers):
        return f"and {decision.consent} is of nobody who may decide"
    is_over = not decision.is_declined and case.now >= period.ends(decision.end, zone)
    return f"and {decision.consent} is over" if is_over else ""


async def _standing(case: Case) -> set[str]:
    """Who may decide: the member, and every RelatedPerson of theirs who is one now."""
    rows = (await case.after.facts("related", case.member.patients)).values()
    related = [Related.of(row) for found in rows for row in found]
    now = [one for one in related if one.active and period.holds([period.between(one.start, one.end, "UTC")], case.now)]
    return {*case.member.patients, *(one.source for one in now)}


# The evidence of an answer


def check_kept(case: Case, changes: Mapping[str, Change], known: Mapping[str, Decision]) -> None:
    """What an offer was answered by stays what was decided. Problem conflict where a commit has it otherwise."""
    answers = {consent: one.task for one in case.offers if one.status in ANSWERED for consent in one.consents}
    for consent, task in answers.items():
        change, was = changes.get(consent), known.get(consent)
        if change is None or was is None or change.is_derived or case.context.override is AS_RECORDED:
            continue
        now = next(
            (Decision(change.reference, *data) for kind, _, data in change.facts or () if kind == "consent"), None
        )
        is_ended = now is not None and not was.is_declined and now == was._replace(status=now.status, end=now.end)
        if now != was and not is_ended:
            why = (
                f"{change.reference} is the answer of {task}, and stays what was decided; a later decision is another "
                "Consent. One that permits may end (status, provision.period.end)."
            )
            raise _conflict(why, change, "Consent")


def _conflict(why: str, change: Change, path: str = "Task.status") -> Problem:
    return Problem.with_issues("conflict", [Issue("conflict", why, (path,), resources=(change.reference,))])
