"""Staff: a role or a person that assignments name stays: without them, who held whom could not be told.

https://hl7.org/fhir/R4/practitionerrole.html
"""

from __future__ import annotations

from server.coordination import assignment
from server.coordination.facts import Assignment
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
    for role, change in roles.items():
        named = [one for one in map(Assignment.of, held[role]) if not one.error and _counts(write, one)]
        if named:
            text = (
                f"{role} is the case manager of {len(named)} past or present assignments, such as {named[0].team}, and "
                "must be there with its Practitioner. End its period, or set active to false, instead."
            )
            place = Place(change.reference, "PractitionerRole.practitioner" if change.resource else change.type)
            issues.append(refusal(*write.programs.assigning(named[0].roles, write.now), text, place))
    return issues


def _is_nobody(change: Change) -> bool:
    return not any(kind == "role" and key.startswith("Practitioner/") for kind, key, _ in change.facts or ())


def _counts(write: Write, one: Assignment) -> bool:
    return not write.programs.roles.isdisjoint(one.roles)
