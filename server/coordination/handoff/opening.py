"""Opening: what a transfer has to be when it begins, and what the server adds to it: its terms, and a Task a step.

The place at the receiving manager is held from here on: the cap counts open transfers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from server.coordination import facts, period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member, held
from server.coordination.facts import Assignment, Step, Transfer, literal
from server.coordination.handoff import party
from server.coordination.handoff.evidence import values
from server.coordination.handoff.party import Parties, People
from server.coordination.handoff.protocol import Protocol, of
from server.coordination.handoff.transfer import coding, concept, conflict, put, text
from server.coordination.program.program import Part
from server.coordination.program.programs import Programs
from server.coordination.write import Place, hint, overrides, refusal
from server.ledger import Change, Context, Resource, View, micros
from server.outcome import Issue, Problem

EFFECTIVE = "Task.input.where(type.coding.code = 'effective')"


class Opening(NamedTuple):
    """A transfer that a commit opens."""

    task: Resource
    reference: str
    protocol: Protocol
    member: Member
    organization: str
    former: Assignment  # which ends at the switch
    serving: set[str]  # the persons who are the member's case managers now, or are to be
    parties: Parties
    begins: int  # when it takes effect: now, or on the date that is given
    now: int


async def opened(
    context: Context,
    after: View,
    programs: Programs,
    people: People,
    task: Resource,
    transfer: Transfer,
    steps: Mapping[str, Step],
) -> list[Change]:
    """The transfer with its terms, and its steps. Problem where it may not be opened."""
    found = await _read(context, after, programs, people, task, transfer)
    await _check(context, after, found)
    asking = found.parties.of["requester"]
    found.parties.of["requester"] = [await party.opener(after, found.parties, one) or one for one in asking]
    version = await after.read(*found.protocol.program.source.split("/"))
    assert version, "an active program is there"
    whole = _whole(found, f"{version.reference}/_history/{version.position}")
    made = [_step(context, found, step) for step in found.protocol.steps]
    if foreign := sorted({step.task for step in steps.values()} - {f"Task/{one['id']}" for one in made}):
        why = f"The steps of a transfer are made by the server from the program's file; leave {foreign[0]} out."
        raise _refused(found.protocol, why, foreign[0], "Task.partOf")
    changes = [] if whole == task else [put(whole)]
    return changes if steps else [*changes, *map(put, made)]


async def _read(
    context: Context, after: View, programs: Programs, people: People, task: Resource, transfer: Transfer
) -> Opening:
    reference, now = transfer.task, micros(context.now)
    protocol = _protocol(programs, task, reference, now)
    if not transfer.patient or not transfer.receiver:
        wrong = "Task.owner" if transfer.patient else "Task.for"
        raise _refused(
            protocol,
            "A transfer is for a Patient, and its owner is the next case manager, a PractitionerRole: both are literal "
            "references to resources of this server.",
            reference,
            wrong,
        )
    begins = period.starts(transfer.effective, protocol.program.zone) if transfer.effective else now
    at = max(now, begins)
    member = people.members[transfer.patient]
    organizations = [
        one
        for one, times in assignment.enrolled_at(member, protocol.program).items()
        if period.holds(times, at) and period.holds(times, begins)
    ]
    if not organizations:
        raise _refused(
            protocol, f"{transfer.patient} has no episode of {protocol.program.title} then.", reference, "Task.for"
        )
    former = _handing_over(transfer, member, protocol, people, now, at)
    parties = await party.parties(
        after,
        protocol,
        people,
        transfer.patient,
        organizations[0],
        now,
        requester=literal(task.get("requester")) or context.actor,
        current_manager=former.manager,
        new_manager=transfer.receiver,
    )
    serving = _serving(member, protocol, people, now)
    return Opening(task, reference, protocol, member, organizations[0], former, serving, parties, begins, now)


def _handing_over(
    transfer: Transfer, member: Member, protocol: Protocol, people: People, now: int, at: int
) -> Assignment:
    """Whose assignment ends: that of the case manager of today, who must still be it when the transfer takes effect."""
    former, then = (_former(member, protocol, people, instant) for instant in (now, at))
    if former is None:
        raise conflict(
            protocol,
            f"{transfer.patient} has no case manager in {protocol.program.title} who could hand over; use "
            "Patient/$assign-care-manager.",
            transfer.task,
            "Task.for",
        )
    if then and people.person(then.manager) != people.person(former.manager):
        raise conflict(
            protocol,
            f"{then.manager} is to be {transfer.patient}'s case manager by then, from {then.start} on; let it take "
            "effect before that, or open it from there.",
            transfer.task,
            EFFECTIVE,
        )
    return former


def _refused(protocol: Protocol, why: str, task: str, path: str) -> Problem:
    return Problem.with_issues("business_rule", [refusal(protocol.program, protocol.rule, why, Place(task, path))])


def _protocol(programs: Programs, task: Resource, reference: str, now: int) -> Protocol:
    named = task.get("instantiatesCanonical")
    if named is None:
        with_transfers = [url for url in programs if of(programs.near(url, now))]
        raise Problem.with_issues(
            "unprocessable",
            [
                Issue(
                    "required",
                    f"A transfer names the program that it is of; there are {', '.join(with_transfers) or 'none'}",
                    ("Task.instantiatesCanonical",),
                    resources=(reference,),
                )
            ],
        )
    protocol = of(programs.chosen(named, now))
    if protocol is None or protocol.program.role is None:
        text = f"{named} has no transfers: it has no rule of the kind transfer"
        raise Problem.with_issues(
            "unprocessable", [Issue("not-supported", text, ("Task.instantiatesCanonical",), resources=(reference,))]
        )
    return protocol


def _former(member: Member, protocol: Protocol, people: People, now: int) -> Assignment | None:
    """The assignment in force, the latest where there are several."""
    role, zone = protocol.program.role, protocol.program.zone
    there = [
        one
        for one in member.assignments
        if role in one.roles and people.person(one.manager) and period.holds(held(one, zone), now)
    ]
    return max(there, key=lambda one: (period.starts(one.start, zone), one.team, one.place), default=None)


def _serving(member: Member, protocol: Protocol, people: People, now: int) -> set[str]:
    program = protocol.program
    return {
        str(people.person(one.manager))
        for one in member.assignments
        if program.role in one.roles
        and period.intersection(held(one, program.zone), [period.Interval(now, period.NEVER)])
    }


async def _check(context: Context, after: View, found: Opening) -> None:
    url = found.protocol.program.url
    others = [one for one in found.member.transfers if one.task != found.reference and one.program == url]
    if others:
        raise conflict(
            found.protocol,
            f"{found.member.patient} is in transfer already, to {others[0].receiver}: complete or cancel "
            f"{others[0].task} first.",
            found.reference,
            "Task.for",
        )
    issues = [*_receiver(found), *_begins(found), *_reason(found), *_considerations(found)]
    issues += await _opener(context, after, found)
    if issues:
        raise Problem.with_issues("business_rule", issues)


def _receiver(found: Opening) -> list[Issue]:
    parties, receiver = found.parties, found.parties.of["new-manager"][0]
    role = parties.roles.get(receiver)
    if role is None or role.practitioner is None:
        why = f"There is no {receiver}, or it names no Practitioner of this server."
    elif not all(parties.is_active(receiver, at) for at in (found.begins, max(found.now, found.begins))):
        why = f"{receiver} is not active then."
    elif found.protocol.rule.parameters["same-organization"] and role.organization not in (None, found.organization):
        why = f"{receiver} is of {role.organization}, and the member of {found.organization}: no transfer leaves it."
    elif role.practitioner in found.serving:
        why = f"{receiver} is the member's case manager already; a transfer is to somebody else."
    else:
        return []
    return [refusal(found.protocol.program, found.protocol.rule, why, Place(found.reference, "Task.owner"))]


def _begins(found: Opening) -> list[Issue]:
    """A transfer that took effect before today did so while the present case manager had the member."""
    program, former = found.protocol.program, found.former
    today = period.midnight(period.day(found.now, program.zone), program.zone)
    if found.begins >= today or found.begins > period.starts(former.start, program.zone):
        return []
    why = f"It takes effect after {former.start}, when {former.manager} got the member, and not before."
    return [refusal(program, found.protocol.rule, why, Place(found.reference, EFFECTIVE))]


def _reason(found: Opening) -> list[Issue]:
    accepted = found.protocol.rule.parameters["reason"]
    given = facts.tokens([found.task.get("reasonCode", {})])
    if given if not accepted else not set(accepted).isdisjoint(given):
        return []
    why = f"A transfer has a coded reason; accepted are {', '.join(accepted) or 'all that are coded'}."
    return [refusal(found.protocol.program, found.protocol.rule, why, Place(found.reference, "Task.reasonCode"))]


def _considerations(found: Opening) -> list[Issue]:
    """A consideration that is given is one of those that the program weighs."""
    known = found.protocol.considerations
    systems = {code.rpartition("|")[0] for code in known}
    wrong = [
        token
        for _, value in values(found.task.get("input", ()))
        if isinstance(value, dict)
        for token in facts.tokens([value])
        if token not in known and (token.rpartition("|")[0] in systems or known)
    ]
    if not wrong:
        return []
    why = f"{', '.join(wrong)} is no consideration; there are {', '.join(known) or 'none'}."
    return [refusal(found.protocol.program, found.protocol.rule, why, Place(found.reference, "Task.input"))]


async def _opener(context: Context, after: View, found: Opening) -> list[Issue]:
    """Who asks for the transfer may, and so may who writes it down."""
    opening = found.protocol.opening
    if opening is None:
        return []
    asking = dict.fromkeys([*found.parties.of["requester"], *([context.actor] if context.actor else [])])
    refused = [one for one in asking if not await party.may_open(after, found.parties, one)]
    if not refused or await overrides(context, after, opening):
        return []
    roles = " or ".join(role.rpartition("|")[2] for role in opening.parameters["requester-role"])
    area = ", for the area that the member lives in" if opening.parameters["requester-area"] else ""
    why = (
        f"{refused[0]} may not open this transfer: that takes an active PractitionerRole {roles} of "
        f"{found.organization}{area}.{hint(context, opening)}"
    )
    return [refusal(found.protocol.program, opening, why, Place(found.reference, "Task.requester"))]


# What is written


def _whole(found: Opening, content: str) -> Resource:
    """The transfer's Task with its terms; what a client wrote beside them stays."""
    protocol, rule = found.protocol, found.protocol.rule
    requester = found.parties.of["requester"]
    days = rule.parameters["due-days"]
    whole = {
        **found.task,
        "instantiatesCanonical": protocol.program.canonical,
        "instantiatesUri": content,
        "status": "requested",
        "businessStatus": {"coding": [coding(protocol.steps[0].code), *_state(rule.parameters["opened"])]},
        "intent": "order",
        "focus": {"reference": found.former.team},
        "authoredOn": text(found.now, protocol),
        **({"requester": {"reference": requester[0]}} if requester else {}),
        **_area(found),
        "input": _input(found),
    }
    whole.pop("executionPeriod", None)
    if days is not None:
        due = period.day(found.now, protocol.program.zone) + timedelta(days=days)
        whole["restriction"] = {**whole.get("restriction", {}), "period": {"end": due.isoformat()}}
    return whole


def _area(found: Opening) -> dict[str, Resource]:
    """The area of whoever asks for it, where they have one and the client names none."""
    roles = [found.parties.roles[one] for one in found.parties.of["requester"] if one in found.parties.roles]
    places = [place for role in roles for place in role.locations]
    return {"location": {"reference": places[0]}} if len(places) == 1 and "location" not in found.task else {}


def _state(token: str | None) -> list[dict[str, str]]:
    return [coding(token)] if token else []


def _input(found: Opening) -> list[Resource]:
    """The terms, then what else was given."""
    given = facts.transfer_inputs(found.task)
    terms: list[Resource] = [
        _term("from", "valueReference", {"reference": found.former.manager}),
        _term("to", "valueReference", {"reference": found.parties.of["new-manager"][0]}),
        _term("organization", "valueReference", {"reference": found.organization}),
    ]
    if effective := given.get("effective"):
        terms.append(_term("effective", "valueDate" if len(effective) <= 10 else "valueDateTime", effective))
    rest = [one for one in found.task.get("input", ()) if not _is_term(one)]
    return [*terms, *rest]


def _term(name: str, member: str, value: Any) -> Resource:
    return {"type": concept(f"{facts.TRANSFER_INPUT}|{name}"), member: value}


def _is_term(given: Resource) -> bool:
    return any(token.startswith(f"{facts.TRANSFER_INPUT}|") for token in facts.tokens([given.get("type", {})]))


def _step(context: Context, found: Opening, step: Part) -> Resource:
    parties = found.parties
    owner = [*parties.of[step.parameters["owner"]], found.organization]  # which finds somebody, where nobody asks
    requester = parties.of["requester"]
    reasons = facts.tokens([found.task.get("reasonCode", {})])
    return {
        "resourceType": "Task",
        "id": context.derive(f"{found.reference} {step.code}"),
        "instantiatesCanonical": found.protocol.program.canonical,
        "partOf": [{"reference": found.reference}],
        "status": "requested",
        "businessStatus": concept(step.code),
        "intent": "order",
        "code": concept(facts.STEP),
        "description": step.title,
        "focus": {"reference": found.former.team},
        "for": found.task["for"],
        "authoredOn": text(found.now, found.protocol),
        **({"requester": {"reference": requester[0]}} if requester else {}),
        "owner": {"reference": owner[0]},
        **_needs(step.parts, reasons),
    }


def _needs(items: Sequence[Part], reasons: Sequence[str]) -> dict[str, list[Resource]]:
    """Task.input: what evidence the step takes, with the requirement's id."""
    needs = [{"type": concept(item.code, item.id or None), "valueCode": _need(item, reasons)} for item in items]
    return {"input": needs} if needs else {}


def _need(item: Part, reasons: Sequence[str]) -> str:
    """How much an evidence is needed."""
    if item.parameters["made"]:
        return "by-server"
    if item.parameters["min"]:
        return "required"
    return "asked-for" if not set(item.parameters["asked-for"]).isdisjoint(reasons) else "optional"
