"""Organization: where it is, what it is part of, and that it is closed.

https://hl7.org/fhir/R4/organization.html
"""

from __future__ import annotations

from collections.abc import Iterator

from server.coordination.facts.address import address_parts, geolocation
from server.coordination.facts.element import literal
from server.ledger import FactRow, Resource


def rows(organization: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Organization."""
    own, whole = f"Organization/{organization['id']}", literal(organization.get("partOf"), base_url, ("Organization",))
    if whole:
        yield "affiliation", own, [whole, None, None]
    if organization.get("active") is False:
        yield "closure", own, None
    for address in organization.get("address", ()):
        if any(parts := address_parts(address)) and "end" not in address.get("period", {}):
            yield "place", own, [*(geolocation(address) or (None, None)), parts, []]
