"""ServiceRequest: an active service of the member.

https://hl7.org/fhir/R4/servicerequest.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from server.coordination.facts import item
from server.coordination.facts.element import bounds, literal, literals
from server.ledger import Fact, FactRow, Resource


class Service(NamedTuple):
    """An active ServiceRequest, or an activity of an active CarePlan that has begun or is booked."""

    source: str
    performers: list[str]
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Service:
        return cls(fact.source, *fact.data)


def rows(request: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one ServiceRequest."""
    member = literal(request.get("subject"), base_url, ("Patient",))
    if member is None:
        return
    if request.get("status") == "active" and not request.get("doNotPerform"):
        occurrence = request.get("occurrencePeriod") or bounds(request.get("occurrenceTiming"))
        yield from service(member, request.get("performer", ()), occurrence.get("end"), base_url)
    yield from item.service_request(request, member, base_url)


def service(member: str, links: Sequence[Resource], end: str | None, base_url: str) -> Iterator[FactRow]:
    """Who performs a service for a member, and until when."""
    if performers := literals(links, base_url):
        yield "service", member, [performers, end]
