"""PractitionerRole: a person at an organization.

https://hl7.org/fhir/R4/practitionerrole.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, literals, period, tokens
from server.coordination.facts.vocabulary import AREA_MANAGER
from server.ledger import Fact, FactRow, Resource


class Role(NamedTuple):
    """A PractitionerRole: a person at an organization."""

    reference: str
    practitioner: str | None
    organization: str | None
    active: bool
    start: str | None
    end: str | None
    codes: list[str]
    locations: list[str]

    @classmethod
    def of(cls, fact: Fact) -> Role:
        return cls(fact.source, *fact.data)


def rows(role: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one PractitionerRole."""
    practitioner = literal(role.get("practitioner"), base_url, ("Practitioner",))
    organization = literal(role.get("organization"), base_url)
    codes = tokens(role.get("code"))
    locations = literals(role.get("location", ()), base_url, ("Location",))
    data = [practitioner, organization, role.get("active", True), *period(role), codes, locations]
    yield "role", f"PractitionerRole/{role['id']}", data
    if practitioner:
        yield "role", practitioner, data
    if organization:
        yield "staff", organization, data
    if AREA_MANAGER in codes and locations and organization and role.get("telecom") and role.get("active", True):
        yield "contact", organization, [[], locations, *period(role)]
