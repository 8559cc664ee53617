"""Person: whoever leads stays who they are, there, and of the organization for which both have named them.

https://hl7.org/fhir/R4/practitionerrole.html

A lead is named as a PractitionerRole. Made another person's, or another organization's, it would name another lead, on
whom nobody agreed; without it, its person, the member or the organizations, `$lead` would point at nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from server.coordination.assignment import assignment
from server.coordination.facts import Assignment, Role
from server.coordination.lead.terms import SINGLE, Terms, every, is_enrolled, leading, leads
from server.coordination.program.programs import Programs
from server.coordination.write import AS_RECORDED, Place, refusal
from server.ledger import Change, Context, View, micros
from server.outcome import Issue

_Lead = tuple[Terms, Assignment]
BATCH = 500  # members that are read at a time
HOW = (
    "Who leads is named by both organizations: propose the next one (Patient/$propose-lead, Task/$respond); a role can "
    "be made inactive, or its period ended."
)


async def same(
    context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs
) -> list[Issue]:
    """Refuse what would make the lead of a member somebody else, or nobody who is there."""
    if context.override is AS_RECORDED or not programs.leads:
        return []
    now = micros(context.now)
    judged = _Judged(after, list(every(programs, now)), now)
    roles = [change for change in changes if change.type == "PractitionerRole"]
    was, are = await _said(before, roles), await _said(after, roles)
    issues = [await judged.role(one, was[one.reference], are[one.reference]) for one in roles]
    issues += [await judged.deletion(one) for one in changes if one.resource is None and one not in roles]
    return [issue for issue in issues if issue]


async def _said(view: View, changes: Sequence[Change]) -> dict[str, Role | None]:
    """What is said of each role; None where there is none."""
    found = await view.facts("role", [change.reference for change in changes]) if changes else {}
    return {role: next(map(Role.of, rows), None) for role, rows in found.items()}


class _Judged:
    """Who leads after a commit, in the programs in which somebody leads."""

    def __init__(self, after: View, programs: Sequence[Terms], now: int) -> None:
        self.after, self.programs, self.now = after, programs, now

    async def role(self, change: Change, was: Role | None, now: Role | None) -> Issue | None:
        """A role of another person, or of none, whenever it led; of another organization, as long as it leads."""
        own = change.reference
        if was is None:
            return None
        if now is None or now.practitioner != was.practitioner:
            place = "PractitionerRole.practitioner" if change.resource else change.type
            return self._refused(change, await self._held([own]), place)
        if now.organization != was.organization:
            return self._refused(change, self._coming(await self._held([own])), "PractitionerRole.organization")
        return None

    async def deletion(self, change: Change) -> Issue | None:
        """Of a person, whenever they led; of a member or an organization, as long as somebody leads."""
        own, found = change.reference, list[_Lead]()
        if change.type == "Practitioner":
            found = await self._held([row.source for row in (await self.after.facts("role", [own]))[own]])
        elif change.type == "Patient":
            found = self._coming(await self._of([own]))
        elif change.type == "Organization":
            found = await self._at(own)
        return self._refused(change, found, change.type)

    async def _held(self, roles: Sequence[str]) -> list[_Lead]:
        """By what these roles lead, or led."""
        rows = (await self.after.facts("manager", roles)).values() if roles else ()
        held = [Assignment.of(row) for some in rows for row in some]
        named = {(one.team, one.place) for one in held}
        found = await self._of({one.member for one in held}) if held else []
        return [(terms, one) for terms, one in found if (one.team, one.place) in named]

    async def _of(self, patients: Iterable[str]) -> list[_Lead]:
        """By what somebody leads these, or led."""
        members = (await assignment.members(self.after, patients)).values()
        return [
            (terms, one)
            for member in {id(found): found for found in members}.values()
            for terms in self.programs
            if is_enrolled(member, terms)
            for one in leads(member, terms)
            if (when := leading(one, terms.zone)).low < when.high
        ]

    async def _at(self, organization: str) -> list[_Lead]:
        """By what somebody leads members of an organization, or one of its staff does."""
        staff = [row.source for row in (await self.after.facts("staff", [organization]))[organization]]
        found = self._coming(await self._held(staff))
        rows = (await self.after.facts("organization", [organization]))[organization]
        patients = sorted({str(row.data) for row in rows})
        for start in range(0, len(patients), BATCH):
            found = found or self._coming(await self._of(patients[start : start + BATCH]))
        return found

    def _coming(self, found: Iterable[_Lead]) -> list[_Lead]:
        """Those of now, and of later."""
        return [(terms, one) for terms, one in found if leading(one, terms.zone).high > self.now]

    def _refused(self, change: Change, found: Sequence[_Lead], place: str) -> Issue | None:
        if not found:
            return None
        terms, one = found[0]
        until = f" to {one.end}" if one.end else ""
        why = f"{change.reference}: {one.manager} is {one.member}'s lead from {one.start} on{until}. {HOW}"
        part = None if change.resource else terms.demand(SINGLE)
        return refusal(terms.program, terms.rule, why, Place(change.reference, place), part=part)
