"""File access: who may see a member's whole file, now: who has the member, who is to have them, and who sees to that.

Whoever acts is asked for as they are now, at the ledger's head, whatever date or position the file is wanted of.
"""

from __future__ import annotations

from datetime import datetime

from server.coordination.assignment import assignment
from server.coordination.assignment.area import covers
from server.coordination.assignment.assignment import Member, held
from server.coordination.assignment.care_manager import ENROLLED
from server.coordination.communication.letter import post
from server.coordination.facts import AREA_MANAGER, Role, Transfer
from server.coordination.period import holds
from server.coordination.program.programs import Programs, active
from server.ledger import Change, Resource, View, instant, micros

ACCEPTED = frozenset({"accepted", "ready", "on-hold", "in-progress"})  # Task.status of a transfer since its acceptance
ACTIVITY = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
REASON = "http://terminology.hl7.org/CodeSystem/v3-ActReason"


async def may_see(view: View, patient: str, who: str, now: int) -> bool:
    """True where a PractitionerRole, Practitioner or Organization may see the whole file of a Patient.

    The case manager, or who leads; the next one from the acceptance of the transfer on; the one before, where the
    program's transfers have `former-access`; the organization, and its area managers whose area the member lives in. A
    person may in any of their roles that may; a role that has ended, or is inactive, may not.
    """
    member = (await assignment.members(view, [patient]))[patient]
    programs = await active(view)
    organizations = _organizations(member, programs, now)
    if who in organizations:
        return True
    roles = [role for role in await _roles(view, who) if not assignment.left(role, now, now, _zone(programs, now))]
    own = {role.reference for role in roles}
    if not own:
        return False
    if _has(member, own, programs, now) or await _transferred(view, member, own, programs, now):
        return True
    managing = [role for role in roles if AREA_MANAGER in role.codes and role.organization in organizations]
    return any([await covers(view, role.reference, member.patients) for role in managing])


def _zone(programs: Programs, now: int) -> str:
    return next((programs.near(url, now).zone for url in programs), "UTC")


async def _roles(view: View, who: str) -> list[Role]:
    if not who.startswith(("PractitionerRole/", "Practitioner/")):
        return []
    return [Role.of(fact) for fact in (await view.facts("role", [who]))[who]]


def _organizations(member: Member, programs: Programs, now: int) -> set[str]:
    """Where the member is enrolled now."""
    zone = _zone(programs, now)
    return {
        one.organization
        for one in member.enrolments
        if one.organization and holds(assignment.enrolled(one, zone, ENROLLED), now)
    }


def _has(member: Member, roles: set[str], programs: Programs, now: int) -> bool:
    """True where one of these roles is the member's case manager, in whatever program, or leads the member's care."""
    zone, managing = _zone(programs, now), programs.roles | programs.leads
    return any(
        one.manager in roles and not managing.isdisjoint(one.roles) and holds(held(one, zone), now)
        for one in member.assignments
    )


async def _transferred(view: View, member: Member, roles: set[str], programs: Programs, now: int) -> bool:
    """True where the member is being transferred to one of these roles, or was from one who keeps the access."""
    found = await view.facts("transfer", member.patients)
    transfers = [Transfer.of(fact) for facts in found.values() for fact in facts]
    return any(
        (one.receiver in roles and one.status in ACCEPTED)
        or (one.sender in roles and one.status == "completed" and _is_kept(one, programs, now))
        for one in transfers
    )


def _is_kept(transfer: Transfer, programs: Programs, now: int) -> bool:
    """True where the program leaves the former case manager the file."""
    if transfer.program not in programs.by_url:
        return False
    rule = next(programs.near(transfer.program, now).of_kind("transfer"), None)
    return bool(rule and rule.parameters["former-access"])


def granted(transfer: str, patient: str, receiver: str, actor: str | None, id: str, now: datetime) -> Change:
    """The Provenance of the commit that opens the file to the next case manager. https://hl7.org/fhir/R4/provenance.html

    Its targets are the transfer's Task and the Patient whose file it is.
    """
    who = {"reference": actor} if actor else {"display": "The local system"}
    made: Resource = {
        "resourceType": "Provenance",
        "id": id,
        "target": [{"reference": transfer}, {"reference": patient}],
        "recorded": instant(micros(now)),
        "reason": [{"coding": [{"system": REASON, "code": "COORDINATION"}], "text": "Case manager transfer"}],
        "activity": {
            "coding": [{"system": ACTIVITY, "code": "UPDATE"}],
            "text": "Access to the member's file granted to the next case manager",
        },
        "agent": [
            {
                "type": {
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/provenance-participant-type",
                            "code": "enterer",
                        }
                    ]
                },
                "who": who,
            },
            {
                "type": {
                    "coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]
                },
                "who": {"reference": receiver},
            },
        ],
    }
    return post(made)
