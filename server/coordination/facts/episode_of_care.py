"""EpisodeOfCare: a member's enrolment in a program.

https://hl7.org/fhir/R4/episodeofcare.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from server.coordination.facts.element import identity, literal, period, tokens
from server.coordination.facts.vocabulary import ENROLMENT, SEGMENT_END
from server.ledger import Fact, FactRow, Resource


class Enrolment(NamedTuple):
    """An EpisodeOfCare of a coded type."""

    episode: str
    types: list[str]
    organization: str | None  # None where no literal reference says which
    status: str
    start: str | None
    end: str | None
    history: list[tuple[str, str | None, str | None]]  # EpisodeOfCare.statusHistory: status, start, end
    manager: str | None  # EpisodeOfCare.careManager; "" where it is no literal reference
    endings: Sequence[str] = ()  # tokens: why it ended, as its extension segment-end says

    @classmethod
    def of(cls, fact: Fact) -> Enrolment:
        return cls(fact.source, *fact.data[1:])


def rows(episode: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one EpisodeOfCare."""
    types = tokens(episode.get("type"))
    member = literal(episode.get("patient"), base_url, ("Patient",))
    if member is None or not types:
        return
    organization = identity(episode.get("managingOrganization"), base_url)
    history = [[past.get("status", ""), *period(past)] for past in episode.get("statusHistory", ())]
    manager = literal(episode["careManager"], base_url) or "" if "careManager" in episode else None
    told = [one for one in episode.get("extension", ()) if one["url"] == SEGMENT_END]
    endings = tokens([one["valueCodeableConcept"] for one in told if "valueCodeableConcept" in one])
    data = [ENROLMENT, types, organization, episode.get("status", ""), *period(episode), history, manager, endings]
    yield "subject", f"EpisodeOfCare/{episode['id']}", member
    yield "member", member, data
    for type in types:
        yield "enrolled", type, member
    if organization:
        yield "organization", organization, member
