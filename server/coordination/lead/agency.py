"""Agency: an organization whose care managers lead for a Health Home or a plan that it works for.

https://hl7.org/fhir/R4/organizationaffiliation.html, https://hl7.org/fhir/R4/organization-definitions.html#Organization.partOf

It is part of the other one, or affiliated with it; so is, in its turn, what that one is part of. Its care managers may
lead; what the two organizations agree on is not for the agency to say.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.coordination import period
from server.coordination.facts import Affiliation
from server.ledger import View

DEPTH = 10  # steps from an agency to whom it works for


async def worked_for(view: View, organization: str, at: int, zone: str) -> set[str]:
    """The organization itself and whom it works for at an instant, however far."""
    found, waiting = {organization}, [organization]
    for _ in range(DEPTH):
        if not waiting:
            break
        rows = (await view.facts("affiliation", waiting)).values()
        waiting = [
            one.organization
            for some in rows
            for one in map(Affiliation.of, some)
            if one.organization not in found and period.holds([period.between(one.start, one.end, zone)], at)
        ]
        found.update(waiting)
    return found


async def closed(view: View, organizations: Iterable[str]) -> list[str]:
    """Those of the organizations that are closed (Organization.active is false)."""
    found = await view.facts("closure", organizations)
    return sorted(one for one, rows in found.items() if rows)
