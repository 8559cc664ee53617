"""HealthcareService: whom to call at an organization.

https://hl7.org/fhir/R4/healthcareservice.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, literals, tokens
from server.ledger import Fact, FactRow, Resource


class Contact(NamedTuple):
    """Whom to call at an organization: a HealthcareService, or the PractitionerRole that manages an area."""

    reference: str
    programs: list[str]  # HealthcareService.program
    areas: list[str]  # Locations; none: all of them
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Contact:
        return cls(fact.source, *fact.data)


def rows(service: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one HealthcareService."""
    organization = literal(service.get("providedBy"), base_url)
    if organization and service.get("telecom") and service.get("active", True):
        areas = literals(service.get("coverageArea", ()), base_url, ("Location",))
        yield "contact", organization, [tokens(service.get("program")), areas, None, None]
    if locations := literals(service.get("location", ()), base_url, ("Location",)):
        yield "place", f"HealthcareService/{service['id']}", [None, None, [], locations]
