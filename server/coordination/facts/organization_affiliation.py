"""OrganizationAffiliation: one organization works for another, as an agency does for a Health Home.

https://hl7.org/fhir/R4/organizationaffiliation.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from server.coordination.facts.element import literal, period
from server.ledger import Fact, FactRow, Resource


class Affiliation(NamedTuple):
    """For whom an organization works, from when to when: what it is part of, or who engages it."""

    source: str
    organization: str
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Affiliation:
        return cls(fact.source, *fact.data)


def rows(affiliation: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one OrganizationAffiliation."""
    whole = literal(affiliation.get("organization"), base_url, ("Organization",))
    agency = literal(affiliation.get("participatingOrganization"), base_url, ("Organization",))
    if whole and agency and affiliation.get("active", True):
        yield "affiliation", agency, [whole, *period(affiliation)]
