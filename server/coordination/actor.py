"""Actor: for which organizations whoever acts does so."""

from __future__ import annotations

from server.coordination.assignment.assignment import left
from server.coordination.facts import Role
from server.ledger import View


async def organizations(view: View, actor: str, now: int) -> set[str]:
    """For whom somebody acts: an organization for itself, a person for where they are in a role now."""
    if actor.startswith("Organization/"):
        return {actor}
    if not actor.startswith(("PractitionerRole/", "Practitioner/")):
        return set()
    roles = map(Role.of, (await view.facts("role", [actor]))[actor])
    return {role.organization for role in roles if role.organization and not left(role, now, now, "UTC")}
