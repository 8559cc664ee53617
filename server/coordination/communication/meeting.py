"""Meeting: what the staff of two organizations that have members together met about, who came, and whom they discussed.

https://hl7.org/fhir/R4/appointment.html
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import BASE, literal, tokens
from server.coordination.lead.terms import Terms, pairs
from server.coordination.period import Interval
from server.coordination.responsibility.item import acting_for
from server.ledger import Resource, View

GOALS = f"{BASE}/CodeSystem/ny-meeting-goal"
CAME = "accepted"  # Appointment.participant.status of who was there
CHUNK = 1000  # members that are looked at together


class Meeting(NamedTuple):
    """An Appointment that took place: `goals` are tokens; `parties` whose staff was asked, `came` whose staff did."""

    reference: str
    goals: frozenset[str]
    parties: frozenset[str]
    came: frozenset[str]
    members: frozenset[str]
    has_minutes: bool

    def is_of(self, organization: str, partner: str | None) -> bool:
        """True of a meeting of the organization with its partner, or with anybody where none is named."""
        others = self.parties - {organization}
        return organization in self.parties and (partner in others if partner else bool(others))

    def is_attended(self, organization: str, partner: str | None) -> bool:
        """True where both were there."""
        others = self.came - {organization}
        return organization in self.came and (partner in others if partner else bool(others))


async def meetings(view: View, resources: Sequence[Resource], window: Interval, zone: str) -> list[Meeting]:
    """Those that began in the window, in the order in which they did."""
    inside = [one for one in resources if period.holds([window], period.starts(one.get("start"), zone))]
    links = {link for one in inside for link, _ in _participants(one)}
    known = await acting_for(view, (), links)
    ordered = sorted(inside, key=lambda one: (period.starts(one.get("start"), zone), one["id"]))
    return [_meeting(one, known) for one in ordered]


def _meeting(found: Resource, known: Mapping[str, set[str]]) -> Meeting:
    asked = [(known.get(link, set()), status) for link, status in _participants(found)]
    told = [link for one in found.get("supportingInformation", ()) if (link := literal(one))]
    return Meeting(
        f"Appointment/{found['id']}",
        frozenset(token for token in tokens(found.get("reasonCode")) if token.startswith(f"{GOALS}|")),
        frozenset(one for organizations, _ in asked for one in organizations),
        frozenset(one for organizations, status in asked if status == CAME for one in organizations),
        frozenset(link for link in told if link.startswith("Patient/")),
        any(link.startswith("DocumentReference/") for link in told),
    )


def _participants(found: Resource) -> Iterable[tuple[str, str]]:
    for one in found.get("participant", ()):
        if link := literal(one.get("actor"), types=("Organization", "Practitioner", "PractitionerRole")):
            yield link, one.get("status", "")


class Shared(NamedTuple):
    """A member whom both have: the record that stands for them, and whether a meeting discussed them."""

    patient: str
    is_discussed: bool


async def shared(
    view: View,
    terms: Sequence[Terms],
    organization: str,
    partner: str | None,
    window: Interval,
    discussed: Collection[str],
) -> list[Shared]:
    """The members whom the organization had together with its partner at some time of the window."""
    rows = await view.facts("organization", [organization, *([partner] if partner else [])])
    own = {str(row.data) for row in rows[organization]}
    waiting = iter(sorted(own & {str(row.data) for row in rows[partner]} if partner else own))
    found: dict[str, Shared] = {}
    while chunk := list(islice(waiting, CHUNK)):
        for member in (await assignment.members(view, chunk)).values():
            if _is_shared(member, terms, organization, partner, window):
                found[member.patient] = Shared(member.patient, not set(discussed).isdisjoint(member.patients))
    return [found[patient] for patient in sorted(found)]


def _is_shared(
    member: Member, terms: Sequence[Terms], organization: str, partner: str | None, window: Interval
) -> bool:
    both = [pair for one in terms for pair in pairs(member, one) if organization in pair.organizations]
    return any(
        partner in (None, pair.other(organization)) and bool(period.intersection(pair.times, [window])) for pair in both
    )
