"""Actor: in which roles whoever acts does so, and for which organizations.

https://hl7.org/fhir/R4/practitionerrole.html
"""

from __future__ import annotations

from collections.abc import Sequence

from server.coordination import period
from server.coordination.facts import Role
from server.coordination.stored import read_many
from server.ledger import View


async def organizations(view: View, actor: str, now: int) -> set[str]:
    """For whom somebody acts: an organization for itself, a person for where they are in a role now."""
    if actor.startswith("Organization/"):
        return {actor}
    if not actor.startswith(("PractitionerRole/", "Practitioner/")):
        return set()
    known = [Role.of(row) for row in (await view.facts("role", [actor]))[actor]]
    return {role.organization for role in await held(view, known, now) if role.organization}


async def held(view: View, roles: Sequence[Role], now: int) -> list[Role]:
    """Those of the roles in which a person is now: of who is inactive (Practitioner.active) none."""
    present = [one for one in roles if one.active and period.holds([period.between(one.start, one.end, "UTC")], now)]
    persons = {one.practitioner for one in present if one.practitioner}
    there = await read_many(view, persons) if persons else {}
    gone = {one for one, person in there.items() if person.get("active") is False}
    return [one for one in present if one.practitioner not in gone]
