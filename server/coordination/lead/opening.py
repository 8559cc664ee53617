"""Opening: what has to hold where one organization proposes a member's lead to the other, then and at the end.

The gate (NY-06) is the agreement in force at the instant from which on the lead is to lead, and now, if later.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.agreement import agreement
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import DESIGNATION_TERM, Designation, Role
from server.coordination.handoff.transfer import concept
from server.coordination.lead import agency, form, terms
from server.coordination.lead.terms import Pair, Terms
from server.coordination.program.programs import Programs
from server.coordination.proposal import conflict, refused, terms_of, unprocessable
from server.coordination.stored import read
from server.coordination.write import Place, refusal
from server.ledger import Context, Resource, View, micros
from server.outcome import Issue, Problem


class Proposal(NamedTuple):
    """A designation and what it is judged by."""

    found: Designation
    terms: Terms
    member: Member
    pair: Pair
    start: int  # from when on the lead is to lead
    until: int  # when one of both has the member no more, as far as it is known; NEVER else
    lead: Role
    agreement: str | None  # None where the program asks for none on that day


def given(name: str) -> str:
    """Where a term stands in the Task."""
    return f"Task.input.where(type.coding.code = '{name}')"


async def judged(context: Context, after: View, programs: Programs, found: Designation) -> Proposal:
    """Everything that a designation has to be, as of now. Problem business_rule with all that it lacks."""
    now = micros(context.now)
    if not found.patient or not found.lead:
        path = given("lead") if found.patient else "Task.for"
        raise unprocessable(
            "It is for a Patient, and proposes a PractitionerRole: literal references", found.task, path
        )
    member = (await assignment.members(after, [found.patient]))[found.patient]
    meant = _terms(programs, member, found, now)
    start = starting(meant, found, now)
    meant = terms.of(programs.near(meant.program.url, start)) or meant
    pair = terms.pair_at(member, meant, start)
    if pair is None:
        raise refused(meant, meant.rule, _apart(member, meant, start), found.task, "Task.for")
    role = await _role(after, str(found.lead), pair, start, meant.zone)
    issues = [
        refusal(meant.program, meant.rule, why, Place(found.task, path))
        for path, why in (*_dated(meant, start), *_lead(role, pair, meant, found, start))
    ]
    issues += [
        refusal(meant.program, meant.rule, why, Place(found.task, path), part=meant.demand(terms.NEED))
        for path, why in _needs(meant, found)
    ]
    written = await read(after, found.form) if found.form else None
    person = role.practitioner if role else None
    wrong = await form.wrong(after, written, found, meant, member.patients, person, context.base_url)
    issues += [
        form.refused(meant, why, Place(found.form or found.task, path if found.form else given("form")))
        for path, why in wrong
    ]
    if over := await agency.closed(after, pair.organizations):
        why = f"{' and '.join(over)} is closed (Organization.active is false)."
        issues.append(refusal(meant.program, meant.rule, why, Place(found.task, "Task.for")))
    times = terms.together(member, meant, pair.organizations, terms.alike(meant, programs, now))
    if start < now and not period.holds(times, now):
        why = f"{member.patient} is with {' and '.join(pair.organizations)} no more: nobody is named for a time before."
        issues.append(refusal(meant.program, meant.rule, why, Place(found.task, given("effective"))))
    _check_order(member, meant, found, start, now)
    contract = await agreement.in_force(after, meant.program, pair.organizations, start)
    issues += await _unagreed(after, meant, pair, found, sorted({start, max(start, now)}))
    if issues or role is None:
        raise Problem.with_issues("business_rule", issues)
    held = terms.holding(times, start)
    return Proposal(found, meant, member, pair, start, held.high if held else period.NEVER, role, contract)


async def _unagreed(after: View, meant: Terms, pair: Pair, found: Designation, instants: Sequence[int]) -> list[Issue]:
    """Refused where the two have no agreement in force as the lead begins, or as they name one for a time before."""
    for at in instants:
        asks = period.holds([meant.agreement.period], at)
        if asks and await agreement.in_force(after, meant.program, pair.organizations, at) is None:
            why = (
                f"{' and '.join(pair.organizations)} have no agreement in force on {period.day(at, meant.zone)}: a "
                "Contract, executed, of both, on the program's template, whose time (applies) holds that day."
                f"{await agreement.lacking(after, meant.program, pair.organizations, at)}"
            )
            return [refusal(meant.program, meant.agreement, why, Place(found.task, given("effective")))]
    return []


def _terms(programs: Programs, member: Member, found: Designation, now: int) -> Terms:
    """Those of the program that is named; else of the one that the member is in."""
    if found.program:
        return terms_of(programs, found, now)
    known = list(terms.every(programs, now))
    meant = [one for one in known if terms.pair_at(member, one, starting(one, found, now))]
    meant = meant or [one for one in known if terms.is_enrolled(member, one)]
    if len(meant) != 1:
        names = ", ".join(one.program.url for one in meant or known) or "none"
        why = f"{found.patient} is in {'several programs' if meant else 'no program'} with leads; there are {names}"
        raise unprocessable(why, found.task, "Task.instantiatesCanonical")
    return meant[0]


def starting(meant: Terms, found: Designation, now: int) -> int:
    """`effective`; now, where none is given, or where it was to come and went by before it was accepted."""
    wanted = period.starts(found.effective, meant.zone) if found.effective else now
    opened = period.starts(found.opened, meant.zone) if found.opened else now
    return now if opened < wanted < now else wanted


def _apart(member: Member, meant: Terms, start: int) -> str:
    partner = meant.rule.parameters["partner"]
    return (
        f"{member.patient} is not with two organizations on {period.day(start, meant.zone)}: a lead is named where "
        f"there is an episode of {meant.program.title}, and one of {partner} at another organization."
    )


def _check_order(member: Member, meant: Terms, found: Designation, start: int, now: int) -> None:
    """Who led stays in the record: a lead begins later than the present one did, and after what has ended."""
    for one in terms.leads(member, meant):
        low, high = terms.leading(one, meant.zone)
        if low < now and max(low, start) < high and (start <= low or high <= now):
            raise conflict(
                f"{one.manager} led from {one.start} to {one.end or 'now'}: let it take effect after that.",
                found.task,
                given("effective"),
            )


async def _role(after: View, lead: str, pair: Pair, start: int, zone: str) -> Role | None:
    """The lead's role, at the one of the two organizations that it is at, or that its agency works for alone."""
    role = next((Role.of(row) for row in (await after.facts("role", [lead]))[lead]), None)
    if role is None or role.organization is None or role.organization in pair.organizations:
        return role
    engaging = set(pair.organizations) & await agency.worked_for(after, role.organization, start, zone)
    return role._replace(organization=engaging.pop()) if len(engaging) == 1 else role


def _dated(meant: Terms, start: int) -> Iterator[tuple[str, str]]:
    if not period.holds([meant.rule.period], start):
        day = period.day(start, meant.zone)
        yield given("effective"), f"{meant.program.title} has no rule in force on {day} by which a lead is named."


def _lead(role: Role | None, pair: Pair, meant: Terms, found: Designation, start: int) -> Iterator[tuple[str, str]]:
    if role is None or role.practitioner is None:
        yield given("lead"), f"There is no {found.lead}, or it names no Practitioner of this server."
    elif role.organization not in pair.organizations:
        yield (
            given("lead"),
            f"{found.lead} is at {role.organization or 'no organization'}; the lead is a care manager of "
            f"{' or '.join(pair.organizations)}, "
            "or of an agency that works for one of them (Organization.partOf, OrganizationAffiliation).",
        )
    elif not role.active or not period.holds([period.between(role.start, role.end, meant.zone)], start):
        yield given("lead"), f"{found.lead} is not active then."


def _needs(meant: Terms, found: Designation) -> Iterator[tuple[str, str]]:
    accepted = meant.rule.parameters["need"]
    if set(accepted).isdisjoint(found.needs):
        yield (
            given("primary-need"),
            f"It rests on the member's primary needs, coded; accepted are {', '.join(accepted)}.",
        )


# What is written


def told(task: Resource, proposal: Proposal) -> Resource:
    """What the Task says of what follows from what was proposed."""
    return {
        "reasonCode": task.get("reasonCode") or concept(proposal.found.needs[0]),
        "input": [*_others(task), term("organization", {"reference": proposal.lead.organization})],
    }


def _others(task: Resource) -> list[Resource]:
    """Task.input but for what the server says itself."""
    own = f"{DESIGNATION_TERM}|organization"
    return [one for one in task.get("input", ()) if concept(own)["coding"][0] not in one["type"].get("coding", ())]


def term(name: str, value: object, member: str = "valueReference") -> Resource:
    return {"type": concept(f"{DESIGNATION_TERM}|{name}"), member: value}
