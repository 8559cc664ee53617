"""Staff: a role or a person that assignments name stays who they are: else who held whom could not be told.

https://hl7.org/fhir/R4/practitionerrole.html
"""

from __future__ import annotations

from server.coordination.assignment import assignment
from server.coordination.facts import Assignment, Transfer
from server.coordination.write import Place, Write, refusal
from server.ledger import Change
from server.outcome import Issue


async def kept(write: Write) -> list[Issue]:
    """Refuse to delete, or to part from its person, a role that is named; and to delete the person."""
    roles = {change.reference: change for change in write.of_type("PractitionerRole") if _is_nobody(change)}
    persons = {change.reference: change for change in write.of_type("Practitioner") if change.resource is None}
    if persons:
        for person, manager in (await assignment.managers(write.after, persons)).items():
            roles |= dict.fromkeys(manager.roles, persons[person])
    issues = []
    held = await write.after.facts("manager", roles) if roles else {}
    coming = await write.after.facts("reservation", roles) if roles else {}
    for role, change in roles.items():
        if coming[role]:
            issues += _to_come(write, change, Transfer.of(coming[role][0]))
        named = [one for one in map(Assignment.of, held[role]) if not one.error and _counts(write, one)]
        if named:
            text = (
                f"{role} is the case manager of {len(named)} past or present assignments, such as {named[0].team}, and "
                "must be there with its Practitioner. End its period, or set active to false, instead."
            )
            place = Place(change.reference, "PractitionerRole.practitioner" if change.resource else change.type)
            issues.append(refusal(*write.programs.assigning(named[0].roles, write.now), text, place))
    return issues


def _to_come(write: Write, change: Change, transfer: Transfer) -> list[Issue]:
    """A role to which a member is being transferred."""
    if transfer.program not in write.programs:
        return []
    program = write.programs.near(transfer.program, write.now)
    rule = next(program.of_kind("transfer"), None)
    if rule is None:
        return []
    text = f"{transfer.receiver} is to get {transfer.patient}: complete or give up {transfer.task} first."
    return [refusal(program, rule, text, Place(change.reference, change.type))]


async def same(write: Write) -> list[Issue]:
    """Refuse to make a role another person's that has assignments which are over: they would have been that person's.

    Those that are open go over to the person, under the caps: the role's period says from when their length counts.
    """
    written = [change.reference for change in write.of_type("PractitionerRole") if not _is_nobody(change)]
    if not written:
        return []
    was = await assignment.practitioners(write.before, written)
    now = await assignment.practitioners(write.after, written)
    changed = [role for role in written if was[role] and was[role] != now[role]]
    issues = []
    held = await write.after.facts("manager", changed) if changed else {}
    for role in changed:
        over = [one for one in map(Assignment.of, held[role]) if _counts(write, one) and _is_over(write, one)]
        if not over:
            continue
        program, rule = write.programs.assigning(over[0].roles, write.now)
        if await write.overrides(rule):
            continue
        text = (
            f"{role} was {was[role]} in {len(over)} assignments that are over, such as {over[0].team}; as {now[role]} "
            f"it would say that they were {now[role]}'s. Make a role of its own for the other person; where the role "
            "named the wrong person, mark those assignments as entered in error first."
        )
        issues.append(refusal(program, rule, text, Place(role, "PractitionerRole.practitioner")))
    return issues


def _is_over(write: Write, one: Assignment) -> bool:
    """True where somebody was held by it, and is not any more: one entered in error never was."""
    zone = write.programs.assigning(one.roles, write.now)[0].zone
    return any(interval.high <= write.now for interval in assignment.held(one, zone))


def _is_nobody(change: Change) -> bool:
    return not any(kind == "role" and key.startswith("Practitioner/") for kind, key, _ in change.facts or ())


def _counts(write: Write, one: Assignment) -> bool:
    return not write.programs.roles.isdisjoint(one.roles)
