"""Agency: an organization whose care managers lead for a Health Home or a plan that it works for.

https://hl7.org/fhir/R4/organizationaffiliation.html, https://hl7.org/fhir/R4/organization-definitions.html#Organization.partOf

It is part of the other one, or affiliated with it; so is, in its turn, what that one is part of. Its care managers may
lead; what the two organizations agree on is not for the agency to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from server.coordination import period
from server.coordination.facts import Affiliation
from server.ledger import Fact, View

DEPTH = 10  # steps from an agency to whom it works for


async def worked_for(view: View, organization: str, at: int, zone: str) -> set[str]:
    """The organization itself and whom it works for at an instant, however far."""
    return (await working(view, [organization], at, zone))[organization]


async def working(view: View, organizations: Iterable[str], at: int, zone: str) -> dict[str, set[str]]:
    """The same of each of these: one question a step, however many they are."""
    given = list(organizations)
    wholes: dict[str, list[str]] = {}
    waiting = set(given)
    for _ in range(DEPTH):
        if not waiting:
            break
        rows = await view.facts("affiliation", waiting)
        wholes |= {agency: _engaging(some, at, zone) for agency, some in rows.items()}
        waiting = {whole for agency in rows for whole in wholes[agency]} - wholes.keys()
    return {one: _above(one, wholes) for one in given}


def _engaging(rows: Iterable[Fact], at: int, zone: str) -> list[str]:
    """Whom these affiliations are with at an instant."""
    found = map(Affiliation.of, rows)
    return [one.organization for one in found if period.holds([period.between(one.start, one.end, zone)], at)]


def _above(organization: str, wholes: Mapping[str, Sequence[str]]) -> set[str]:
    found, waiting = {organization}, [organization]
    while waiting:
        more = [one for one in wholes.get(waiting.pop(), ()) if one not in found]
        found.update(more)
        waiting += more
    return found


async def closed(view: View, organizations: Iterable[str]) -> list[str]:
    """Those of the organizations that are closed (Organization.active is false)."""
    found = await view.facts("closure", organizations)
    return sorted(one for one, rows in found.items() if rows)
