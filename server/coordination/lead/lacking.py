"""Lacking: the members whom an organization has together with another, and whom nobody leads, or who has left.

There must be a lead wherever two organizations have a member (NY-14, NY-20); that there is none yet, or none any more,
is no fault of a write.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.caseload.unassigned import LEAD_LEFT, NO_LEAD, Finding
from server.coordination.facts import Role
from server.coordination.lead.review import left
from server.coordination.lead.terms import Pair, Terms, leading, leads, pair_at
from server.coordination.lead.who import leading_at
from server.ledger import View

CHUNK = 500  # members that are looked at together


async def findings(view: View, organization: str, terms: Terms, at: int, now: int) -> list[Finding]:
    """Of every member of the organization, whichever of both it is, as of an instant."""
    rows = (await view.facts("organization", [organization]))[organization]
    patients, found = sorted({str(row.data) for row in rows}), list[Finding]()
    for start in range(0, len(patients), CHUNK):
        some = await assignment.members(view, patients[start : start + CHUNK])
        shared = [(one, pair) for one in _distinct(some.values()) if (pair := pair_at(one, terms, at))]
        own = [(one, pair) for one, pair in shared if organization in pair.organizations]
        found += await _of(view, own, terms, at, now)
    return list({one.reference: one for one in found}.values())


def _distinct(members: Iterable[Member]) -> list[Member]:
    return list({id(one): one for one in members}.values())


async def _of(view: View, own: Sequence[tuple[Member, Pair]], terms: Terms, at: int, now: int) -> list[Finding]:
    led = [(member, pair, leading_at(member, terms, at)) for member, pair in own]
    rows = await view.facts("role", {one.manager for _, _, one in led if one}) if led else {}
    roles = {role: Role.of(some[0]) for role, some in rows.items() if some}
    found = []
    for member, pair, one in led:
        if one is None:
            found.append(Finding(NO_LEAD, member.patient, _since(member, pair, terms, at)))
        elif (role := roles.get(one.manager)) and left(role, None, at, now, terms.zone):
            end = period.ends(role.end, terms.zone)
            found.append(Finding(LEAD_LEFT, member.patient, end if end <= at else None, one.manager))
    return found


def _since(member: Member, pair: Pair, terms: Terms, at: int) -> int | None:
    """When the last lead ended, or both had the member."""
    led = period.union(leading(one, terms.zone) for one in leads(member, terms))
    low = next(low for low, high in period.difference(pair.times, led) if low <= at < high)
    return None if low == period.ALWAYS else low
