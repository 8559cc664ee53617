"""Write: what the care rules see of one commit: its changes, and the members whom they concern, before and after."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from server.coordination.actor import held
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member
from server.coordination.facts import Assignment, Role, Transfer, token
from server.coordination.program.program import Part, Program, Rule
from server.coordination.program.programs import Programs
from server.ledger import Change, Context, View, micros
from server.outcome import Issue

# What `careplan load --as-recorded` gives as its override: breaches that exist already are admitted, and reported.
# This object itself is meant, not its content: no request can give it.
AS_RECORDED: dict[str, Any] = {
    "coding": [{"system": "https://careplan-server.org/fhir/CodeSystem/override-reason", "code": "as-recorded"}]
}


class Place(NamedTuple):
    """Where something is wrong: a resource that is written ("" for what is none), and the FHIRPath in it."""

    resource: str  # "CareTeam/5"
    path: str


_DECIDING = {
    "EpisodeOfCare": "EpisodeOfCare",
    "Patient": "Patient.link",
    "PractitionerRole": "PractitionerRole.practitioner",
    "Task": "Task.owner",
}


@dataclass(slots=True)
class Write:
    """One commit as the rules judge it: whom it concerns (`members`, after it), and what it overwrites (`stored`)."""

    context: Context
    before: View
    changes: Sequence[Change]
    after: View
    programs: Programs
    members: dict[str, Member]
    stored: frozenset[str]  # the CareTeams and EpisodeOfCares of its changes that were there, with a member
    now: int
    _earlier: dict[str, Member] | None = None
    _persons: dict[str, str | None] | None = None
    _teams: dict[str, list[Assignment]] | None = None
    _were: dict[str, list[Assignment]] | None = None

    def of_type(self, type: str) -> list[Change]:
        return [change for change in self.changes if change.type == type]

    async def earlier(self) -> dict[str, Member]:
        """The members as they were before."""
        if self._earlier is None:
            self._earlier = await assignment.members(self.before, set(self.members))
        return self._earlier

    async def persons(self, *roles: str) -> dict[str, str | None]:
        """The Practitioner, after the commit, of each role that the members' assignments name, and of these."""
        if self._persons is None:
            named = {one.manager for member in self.distinct() for one in member.assignments}
            named |= {one.receiver for member in self.distinct() for one in member.transfers}
            roles, self._persons = (*named, *roles), {}
        if missing := [one for one in roles if one not in self._persons]:
            self._persons |= await assignment.practitioners(self.after, missing)
        return self._persons

    def of_team(self, team: str) -> list[Assignment]:
        """A team's assignments after the commit."""
        if self._teams is None:
            self._teams = self._by_team(self.distinct())
        return self._teams.get(team, [])

    async def was_of_team(self, team: str) -> list[Assignment]:
        """A team's assignments before the commit."""
        if self._were is None:
            self._were = self._by_team({id(one): one for one in (await self.earlier()).values()}.values())
        return self._were.get(team, [])

    def _by_team(self, members: Iterable[Member]) -> dict[str, list[Assignment]]:
        found: dict[str, list[Assignment]] = {}
        for member in members:
            for one in member.assignments:
                if not self.programs.roles.isdisjoint(one.roles):
                    found.setdefault(one.team, []).append(one)
        return found

    def distinct(self) -> list[Member]:
        return list({id(member): member for member in self.members.values()}.values())

    def places(self, assignments: Iterable[Assignment]) -> list[Place]:
        """Where the commit writes these assignments; where it writes none of them, what it writes that makes them."""
        given = list(assignments)
        written = {change.reference for change in self.of_type("CareTeam")}
        found = [Place(one.team, f"CareTeam.participant[{one.place}]") for one in given if one.team in written]
        roles = {one.manager for one in given}
        members = {id(self.members[one.member]) for one in given if one.member in self.members}
        return found or [
            Place(change.reference, _DECIDING[change.type])
            for change in self.changes
            if change.type == "Task"
            or (change.type in _DECIDING and (change.reference in roles or id(self._member(change)) in members))
        ]

    def _member(self, change: Change) -> Member | None:
        """Whom a Patient or an EpisodeOfCare is about."""
        patient = next((data for kind, _, data in change.facts or () if kind == "subject"), change.reference)
        return self.members.get(patient)

    async def overrides(self, rule: Rule) -> bool:
        """True where the commit gives a reason to override the rule, and whoever acts may."""
        return await overrides(self.context, self.before, rule)

    def hint(self, rule: Rule) -> str:
        """What an override of the rule takes, as a sentence of its refusal."""
        return hint(self.context, rule)


async def overrides(context: Context, before: View, rule: Rule) -> bool:
    """True where a commit gives a reason to override the rule, and whoever acts may."""
    reason = context.override
    if reason is None:
        return False
    if reason is AS_RECORDED:
        return True
    given = {token(coding) for coding in reason.get("coding", ()) if "code" in coding}
    if rule.override is None or not given or (rule.override.reasons and given.isdisjoint(rule.override.reasons)):
        return False
    return context.actor is None or not rule.override.roles.isdisjoint(await _codes(context, before, context.actor))


async def _codes(context: Context, before: View, actor: str) -> set[str]:
    """The codes of the PractitionerRole that acts, or of each of the Practitioner; none of one that was left."""
    known = [Role.of(fact) for fact in (await before.facts("role", [actor]))[actor]]
    return {code for role in await held(before, known, micros(context.now)) for code in role.codes}


def hint(context: Context, rule: Rule) -> str:
    """What an override of the rule takes, as a sentence of its refusal; nothing where none is possible or asked."""
    if rule.override is None:
        return " This rule allows no override." if context.override is not None else ""
    roles = " or ".join(sorted(rule.override.roles))
    reasons = " or ".join(sorted(rule.override.reasons)) or "any coded one"
    return f" An override takes somebody in the role {roles}, and a reason: {reasons}."


async def read(context: Context, before: View, changes: Sequence[Change], after: View, programs: Programs) -> Write:
    """Find whom the changes concern, in a query for each side."""
    patients = {data for change in changes for kind, _, data in change.facts or () if kind == "subject"}
    about = [change.reference for change in changes if change.method != "POST" and change.type in _ABOUT]
    found = await before.facts("subject", about) if about else {}
    patients |= {fact.data for facts in found.values() for fact in facts}
    patients |= await _relinked(before, changes)
    patients |= await _taken_over(before, changes, after)
    members = await assignment.members(after, patients) if patients else {}
    stored = frozenset(reference for reference, facts in found.items() if facts)
    return Write(context, before, changes, after, programs, members, stored, micros(context.now))


_ABOUT = {"CareTeam", "EpisodeOfCare"}


async def _relinked(before: View, changes: Sequence[Change]) -> set[str]:
    """Patients that these changes merge or part."""
    written = [change for change in changes if change.type == "Patient"]
    was: dict[str, set[str]] = {change.reference: set() for change in written}
    stored = [change.reference for change in written if change.method != "POST"]
    if stored:
        for patient, found in (await before.facts("member", stored)).items():
            was[patient] = {fact.data[1] for fact in found if fact.source == patient}
    concerned: set[str] = set()
    for change in written:
        links = {data[1] for kind, key, data in change.facts or () if (kind, key) == ("member", change.reference)}
        if links != was[change.reference]:
            concerned |= {change.reference, *links, *was[change.reference]}
    return concerned


async def _taken_over(before: View, changes: Sequence[Change], after: View) -> set[str]:
    """Patients whose case manager, now or to come, is another person, since a PractitionerRole is."""
    written = [change.reference for change in changes if change.type == "PractitionerRole" and change.method != "POST"]
    if not written:
        return set()
    was, now = await assignment.practitioners(before, written), await assignment.practitioners(after, written)
    changed = [role for role in written if now[role] and now[role] != was[role]]
    if not changed:
        return set()
    held, coming = await after.facts("manager", changed), await after.facts("reservation", changed)
    return {Assignment.of(fact).member for facts in held.values() for fact in facts} | {
        Transfer.of(fact).patient for facts in coming.values() for fact in facts
    }


def refusal(program: Program, rule: Rule, diagnostics: str, *places: Place, part: Part | None = None) -> Issue:
    """An issue that names the rule, or that part of it: which program, in which version, and its source."""
    named, source = (part and part.id) or rule.id, (part and part.citation) or rule.citation
    text = f"{diagnostics} Rule {named} of {program.canonical}. Source: {source}."
    resources, expression = zip(*places, strict=True) if places else ((), ())
    return Issue("business-rule", text, expression, details=program.cite(rule, part), resources=resources)
