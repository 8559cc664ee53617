"""CareTeam: who holds the member, as what, from when to when.

https://hl7.org/fhir/R4/careteam.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, literals, period, tokens
from server.coordination.facts.vocabulary import ASSIGNMENT, ENTERED_IN_ERROR, PROGRAM_EXTENSION
from server.ledger import Fact, FactRow, Resource


class Assignment(NamedTuple):
    """A CareTeam.participant that holds a PractitionerRole: who cares for the member, as what, from when to when."""

    team: str
    place: int  # CareTeam.participant[place]
    member: str
    manager: str
    roles: list[str]
    status: str | None  # the CareTeam's
    start: str | None
    end: str | None
    programs: list[str]  # that the CareTeam's extension names
    error: bool  # entered in error, with a reason

    @classmethod
    def of(cls, fact: Fact) -> Assignment:
        return cls(fact.source, *fact.data[1:])


class Team(NamedTuple):
    """A CareTeam of a member."""

    reference: str
    status: str | None
    organizations: list[str]
    programs: list[str]

    @classmethod
    def of(cls, fact: Fact) -> Team:
        return cls(fact.source, *fact.data)


class Participant(NamedTuple):
    """Somebody on an active CareTeam of the member who is no PractitionerRole with a coded role."""

    source: str
    reference: str
    start: str | None
    end: str | None
    roles: list[str]
    place: int  # CareTeam.participant[place]

    @classmethod
    def of(cls, fact: Fact) -> Participant:
        return cls(fact.source, *fact.data)


def rows(team: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one CareTeam."""
    member = literal(team.get("subject"), base_url, ("Patient",))
    if member is None:
        return
    status, programs, in_error = team.get("status"), programs_named(team), is_entered_in_error(team)
    organizations = literals(team.get("managingOrganization", ()), base_url)
    yield "subject", f"CareTeam/{team['id']}", member
    yield "team", member, [status, organizations, programs]
    for place, participant in enumerate(team.get("participant", ())):
        roles = tokens(participant.get("role"))
        manager = literal(participant.get("member"), base_url, ("PractitionerRole",))
        error = in_error or is_entered_in_error(participant)
        if manager is None or not roles:
            if status == "active" and not error:
                yield from _participant(participant, place, member, base_url)
            continue
        data = [ASSIGNMENT, place, member, manager, roles, status, *period(participant), programs, error]
        yield "member", member, data
        yield "manager", manager, data


def _participant(participant: Resource, place: int, member: str, base_url: str) -> Iterator[FactRow]:
    found = literal(participant.get("member"), base_url, ("Organization", "Practitioner", "PractitionerRole"))
    if found:
        yield "participant", member, [found, *period(participant), tokens(participant.get("role")), place]


def programs_named(team: Resource) -> list[str]:
    """The programs that a CareTeam says it is for, their versions left off."""
    return [
        extension["valueCanonical"].partition("|")[0]
        for extension in team.get("extension", ())
        if extension["url"] == PROGRAM_EXTENSION and "valueCanonical" in extension
    ]


def is_entered_in_error(element: Resource) -> bool:
    """True where a CareTeam or one of its participants is marked as a mistake, with a reason."""
    return any(
        extension["url"] == ENTERED_IN_ERROR and extension.get("valueCodeableConcept")
        for extension in element.get("modifierExtension", ())
    )
