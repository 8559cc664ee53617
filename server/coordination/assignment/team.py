"""Team: what holds for a CareTeam's assignments: they name persons, are closed and never overwritten, one at a time.

https://hl7.org/fhir/R4/careteam.html

A participant whose role is that of a program's managers is an assignment. One that has begun stays: it can be closed,
and a mistake is marked as one, with a reason: by the modifier extension entered-in-error on the participant or the
team, or by the team's status and the reason of the commit's Provenance.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise

from server.coordination import period
from server.coordination.assignment.assignment import Member, held, practitioners, serving
from server.coordination.facts import ENTERED_IN_ERROR, Assignment, is_entered_in_error, tokens
from server.coordination.period import Interval
from server.coordination.program.program import Program, Rule
from server.coordination.write import Place, Write, refusal
from server.fhir.body import Body
from server.ledger import Change, Fact, Resource
from server.outcome import Issue

# A team made inactive


async def closings(write: Write) -> list[Change]:
    """A team made inactive holds nobody: its open assignments end now, in the same commit."""
    found = []
    for change in write.of_type("CareTeam"):
        if change.resource is None or change.resource.get("status") != "inactive":
            continue
        ended = {
            assignment.place: await _end(write, assignment)
            for assignment in write.of_team(change.reference)
            if _is_open(write, assignment)
        }
        if ended:
            found.append(_closed(change, change.resource, ended))
    return found


def _is_open(write: Write, assignment: Assignment) -> bool:
    when = _period(write, assignment)
    return not assignment.error and when.high > max(when.low, write.now)


async def _end(write: Write, assignment: Assignment) -> str:
    """Now; where the client sends an assignment open that was closed before, as it was."""
    for stored in await write.was_of_team(assignment.team):
        if _stands_for(write, assignment, stored) and stored.end and _period(write, stored).high <= write.now:
            return stored.end
    zone = _zone(write, assignment)
    start = period.starts(assignment.start, zone)
    if start > write.now and assignment.start and len(assignment.start) > 10:
        return assignment.start
    return period.text(max(start, write.now), zone)


def _closed(change: Change, team: Resource, ended: Mapping[int, str]) -> Change:
    participants = [
        {**one, "period": {**one.get("period", {}), "end": ended[index]}} if index in ended else one
        for index, one in enumerate(team["participant"])
    ]
    closed = {**team, "participant": participants}
    return Change(change.method, change.type, change.id, closed, Body.of(closed).text(change.id))


# Who is meant


async def references(write: Write) -> list[Issue]:
    """An assignment names a member and a person: what cannot be told apart cannot be counted."""
    issues: list[Issue] = []
    for change in write.of_type("CareTeam"):
        if change.resource is not None and not is_entered_in_error(change.resource):
            issues += await _unresolved(write, change, change.resource)
    return issues


async def _unresolved(write: Write, change: Change, team: Resource) -> list[Issue]:
    needing = [
        (index, participant, roles)
        for index, participant in enumerate(team.get("participant", ()))
        if not write.programs.roles.isdisjoint(roles := tokens(participant.get("role")))
        and not is_entered_in_error(participant)
    ]
    if not needing:
        return []
    if not any(kind == "subject" for kind, _, _ in change.facts or ()):
        text = f"{change.reference} has a case manager; its subject is a literal reference to a Patient of this server."
        place = Place(change.reference, "CareTeam.subject")
        return [refusal(*write.programs.assigning(needing[0][2], write.now), text, place)]
    found = (Fact(kind, key, data, change.reference) for kind, key, data in change.facts or () if kind == "manager")
    named = {one.place: one.manager for one in map(Assignment.of, found)}
    persons = await write.persons(*named.values())
    return [
        refusal(
            *write.programs.assigning(roles, write.now),
            f"{change.reference}: a case manager is given as a literal reference to a PractitionerRole of this server "
            f"that names its Practitioner; {_given(participant, named.get(index))}.",
            Place(change.reference, f"CareTeam.participant[{index}].member"),
        )
        for index, participant, roles in needing
        if index not in named or not persons[named[index]]
    ]


def _given(participant: Resource, role: str | None) -> str:
    if role:
        return f"{role} is not there, or names none"
    member = participant.get("member", {})
    if "reference" in member:
        return f"this one is {member['reference']!r}"
    return f"this one has {' and '.join(member) or 'no member'} alone, which could be anybody"


# A mistake


async def marked(write: Write) -> list[Issue]:
    """A mistake is marked where nobody overlooks it, and with its reason: any other mark would say nothing."""
    issues = []
    for change in write.of_type("CareTeam"):
        team = change.resource or {}
        participants = team.get("participant", ())
        roles = {token for one in participants for token in tokens(one.get("role"))} & write.programs.roles
        elements = (("CareTeam", team), *((f"CareTeam.participant[{n}]", one) for n, one in enumerate(participants)))
        for path, element in elements:
            if roles and _is_badly_marked(element):
                text = (
                    f"{path} of {change.reference}: entered-in-error is a modifierExtension ({ENTERED_IN_ERROR}), and "
                    "its valueCodeableConcept says why."
                )
                place = Place(change.reference, path)
                issues.append(refusal(*write.programs.assigning(roles, write.now), text, place))
    return issues


def _is_badly_marked(element: Resource) -> bool:
    marks = (*element.get("extension", ()), *element.get("modifierExtension", ()))
    return any(one["url"] == ENTERED_IN_ERROR for one in marks) and not is_entered_in_error(element)


# Closed, never overwritten

_NEVER_HELD = {"proposed", "entered-in-error"}


async def kept(write: Write) -> list[Issue]:
    """An assignment that has begun is still there afterwards: as it was, closed, or marked as a mistake."""
    written = {change.reference: change for change in write.of_type("CareTeam") if change.reference in write.stored}
    if not written:
        return []
    issues = []
    for stored in _every(await write.earlier()):
        change = written.get(stored.team)
        if change is not None and _has_begun(write, stored) and (found := _loss(write, change, stored)):
            path, text = found
            who = f"{stored.manager} was {stored.member}'s case manager from {stored.start or 'the beginning'} on"
            text = (
                f"{change.reference}: {who}, and {text}. An assignment is closed (participant.period.end) and never "
                f"overwritten; a mistake is marked with its reason (modifierExtension {ENTERED_IN_ERROR}; or the "
                "team's status entered-in-error, and a Provenance with the reason in the header X-Provenance)."
            )
            place = Place(change.reference, path)
            issues.append(refusal(*write.programs.assigning(stored.roles, write.now), text, place))
    return issues


def _has_begun(write: Write, stored: Assignment) -> bool:
    if stored.error or stored.status in _NEVER_HELD or write.programs.roles.isdisjoint(stored.roles):
        return False
    when = _period(write, stored)
    return when.low <= write.now and when.low < when.high


def _loss(write: Write, change: Change, stored: Assignment) -> tuple[str, str] | None:
    """Where and how a commit loses an assignment: None where one that it leaves stands for it."""
    if change.resource is None:
        return "CareTeam", "a deletion would drop that"
    losses = [
        _change_of(write, stored, one)
        for one in write.of_team(change.reference)
        if _stands_for(write, one, stored) and _is_one_person(write, one, stored)
    ]
    if not losses:
        return "CareTeam.participant", "no participant says so any more"
    return None if None in losses else losses[0]


def _change_of(write: Write, stored: Assignment, now: Assignment) -> tuple[str, str] | None:
    if now.error or (now.status == "entered-in-error" and write.context.override):
        return None
    if now.status in _NEVER_HELD:
        return "CareTeam.status", f"the team's status would now be {now.status}"
    was, when = _period(write, stored), _period(write, now)
    place = f"CareTeam.participant[{now.place}].period"
    if was.high <= write.now and when.high != was.high:
        return place, f"ended on {stored.end}"
    if when.high < when.low:
        return place, "cannot have ended before that"
    return None


def _stands_for(write: Write, now: Assignment, stored: Assignment) -> bool:
    """True where one is the other, whatever its end: the same team, person, begin, and all that it was in a program."""
    needed = write.programs.roles.intersection(stored.roles)
    return (
        stored.team == now.team
        and stored.manager == now.manager
        and bool(needed)
        and needed.issubset(now.roles)
        and _period(write, stored).low == _period(write, now).low
    )


def _is_one_person(write: Write, one: Assignment, other: Assignment) -> bool:
    """A team may follow its member to the record that replaces the former one, and nowhere else."""
    return one.member == other.member or write.members[one.member] is write.members.get(other.member)


# One at a time


async def exclusive(write: Write) -> list[Issue]:
    """From now on a member has one case manager in a program at a time: one ends as the next begins."""
    issues = []
    several = [member for member in write.distinct() if len(member.assignments) > 1]
    if not several:
        return []
    for window, program, rule in write.programs.in_force("assignment", write.now):
        if not rule.parameters["exclusive"] or not rule.is_triggered(write.changes) or await write.overrides(rule):
            continue
        issues += [issue for member in several if (issue := await _doubled(write, member, window, program, rule))]
    return issues


async def _doubled(write: Write, member: Member, window: Interval, program: Program, rule: Rule) -> Issue | None:
    now = serving(member, await write.persons(), write.programs, program)
    twice = period.intersection(_twice(now), [window])
    if not twice:
        return None
    new = period.difference(twice, await _twice_before(write, member, program))
    if not new:
        return None
    at = new[0].low
    both = sorted(person for person, intervals in now.items() if period.holds(intervals, at))
    text = (
        f"{member.patient} would have {len(both)} case managers on {period.day(at, program.zone)}: "
        f"{' and '.join(both)}. Accepted is one at a time: end the former as the next starts, or use $handoff."
        f"{write.hint(rule)}"
    )
    holding = [one for one in member.assignments if program.role in one.roles]
    at_once = [one for one in holding if period.holds(held(one, program.zone), at)]
    return refusal(program, rule, text, *write.places(at_once))


async def _twice_before(write: Write, member: Member, program: Program) -> list[Interval]:
    earlier = await write.earlier()
    formers = {id(earlier[one]): earlier[one] for one in member.patients if one in earlier}.values()
    roles = [one.manager for former in formers for one in former.assignments]
    persons = await practitioners(write.before, roles)
    return period.union(
        interval for former in formers for interval in _twice(serving(former, persons, write.programs, program))
    )


def _twice(serving: Mapping[str, list[Interval]]) -> list[Interval]:
    """When two or more serve."""
    steps = period.steps(serving.values())
    return period.union(Interval(step.at, following.at) for step, following in pairwise(steps) if step.number > 1)


def _every(members: Mapping[str, Member]) -> Iterable[Assignment]:
    for member in {id(one): one for one in members.values()}.values():
        yield from member.assignments


def _zone(write: Write, assignment: Assignment) -> str:
    """The time zone in which an assignment's dates are read: that of the program with its role."""
    return write.programs.assigning(assignment.roles, write.now)[0].zone


def _period(write: Write, assignment: Assignment) -> Interval:
    return period.between(assignment.start, assignment.end, _zone(write, assignment))
