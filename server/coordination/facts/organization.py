"""Organization: where it is.

https://hl7.org/fhir/R4/organization.html
"""

from __future__ import annotations

from collections.abc import Iterator

from server.coordination.facts.address import address_parts, geolocation
from server.ledger import FactRow, Resource


def rows(organization: Resource, base_url: str) -> Iterator[FactRow]:
    """The facts of one Organization."""
    for address in organization.get("address", ()):
        if any(parts := address_parts(address)) and "end" not in address.get("period", {}):
            yield "place", f"Organization/{organization['id']}", [*(geolocation(address) or (None, None)), parts, []]
