"""Notice: who is told of a new case manager, beside the member, and what the new manager is to do first.

https://hl7.org/fhir/R4/communication.html, https://hl7.org/fhir/R4/communicationrequest.html
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.communication.letter import CATEGORY, MODE, post
from server.coordination.facts import Participant, Role, Service
from server.ledger import Change, Resource, View, instant, micros

NOT_TOLD = frozenset({"Device", "Patient"})  # performers who are no providers


async def providers(
    view: View, patient: str, at: int, zone: str, managers: Iterable[str] = (), role: str | None = None
) -> list[str]:
    """Who serves the member at an instant, in order; none who is one of the `managers`.

    A service is an active ServiceRequest, or an activity of an active CarePlan that is scheduled or in progress; who is
    on an active CareTeam serves too, but for those in `role`, the program's case managers. The managers are
    PractitionerRoles, who are told apart; they are the same in every other role of theirs.
    """
    member = (await assignment.members(view, [patient]))[patient]
    performers = await _performers(view, member, at, zone) | await _participants(view, member, at, zone, role)
    return sorted(performers - await _same(view, managers))


async def _performers(view: View, member: Member, at: int, zone: str) -> set[str]:
    found = await view.facts("service", member.patients)
    services = [Service.of(fact) for facts in found.values() for fact in facts]
    return {
        performer
        for service in services
        if at < period.ends(service.end, zone)
        for performer in service.performers
        if performer.partition("/")[0] not in NOT_TOLD
    }


async def _participants(view: View, member: Member, at: int, zone: str, role: str | None) -> set[str]:
    found = (await view.facts("participant", member.patients)).values()
    others = [Participant.of(fact) for facts in found for fact in facts]
    assigned = [one for one in member.assignments if one.status == "active" and role not in one.roles]
    return {one.reference for one in others if period.holds([period.between(one.start, one.end, zone)], at)} | {
        one.manager for one in assigned if period.holds(assignment.held(one, zone), at)
    }


async def _same(view: View, managers: Iterable[str]) -> set[str]:
    """Everything that names these persons: their roles, and themselves."""
    persons = {person for person in (await assignment.practitioners(view, managers)).values() if person}
    roles = await view.facts("role", persons)
    return {*managers, *persons, *(Role.of(fact).reference for facts in roles.values() for fact in facts)}


def notice(
    patient: str, about: str, sender: str, recipient: str, text: str, id: str, now: datetime, medium: str = "ELECTRONIC"
) -> Change:
    """One recipient was told by one Communication. `about` is the transfer's Task; `medium` of v3-ParticipationMode."""
    made: Resource = {
        "resourceType": "Communication",
        "id": id,
        "status": "completed",
        "category": [{"coding": [{"system": CATEGORY, "code": "notification"}]}],
        "medium": [{"coding": [{"system": MODE, "code": medium}]}],
        "subject": {"reference": patient},
        "about": [{"reference": about}],
        "sent": instant(micros(now)),
        "recipient": [{"reference": recipient}],
        "sender": {"reference": sender},
        "payload": [{"contentString": text}],
    }
    return post(made)


def first_contacts(
    patient: str, about: str, manager: str, recipient: str, since: int, zone: str, id: str, now: datetime
) -> Change:
    """The new manager's usual contacts with the member, from the switch on; until when is nobody's rule."""
    made: Resource = {
        "resourceType": "CommunicationRequest",
        "id": id,
        "status": "active",
        "subject": {"reference": patient},
        "about": [{"reference": about}],
        "occurrencePeriod": {"start": period.text(since, zone)},
        "authoredOn": instant(micros(now)),
        "requester": {"reference": manager},
        "recipient": [{"reference": recipient}],
        "sender": {"reference": manager},
    }
    return post(made)
