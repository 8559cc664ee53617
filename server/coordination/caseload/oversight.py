"""Oversight: what the numbers call for: a Flag on each breach of a limit, and a Task where it is an average.

https://hl7.org/fhir/R4/flag.html, https://hl7.org/fhir/R4/task.html

A Flag stands from when the breach began, by the history of assignments, and is ended when it was over. One that the
history no longer bears out, since it was corrected, is entered in error. Ids derive from what a Flag is about, so that
two that look at once write the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from server.coordination import facts, period
from server.coordination.assignment.assignment import counted
from server.coordination.caseload import breach, caseload, census
from server.coordination.caseload.breach import Breach
from server.coordination.caseload.census import Census
from server.coordination.facts import BASE, Flag
from server.coordination.period import Interval, Step
from server.coordination.program.program import Program
from server.coordination.program.programs import Programs
from server.fhir import body
from server.fhir.body import Body
from server.ledger import Change, Resource, View, instant

CM_FLAG = f"{BASE}/CodeSystem/cm-flag"
CM_TASK = f"{BASE}/CodeSystem/cm-task"
BREACH = facts.BREACH
IDS = uuid.UUID("0f7c2a53-7d0e-5e43-9a53-0c4a5b1f6d02")  # the namespace of the ids of Flags and Tasks

Breaches = Mapping[str, list[Breach]]  # by subject: an Organization for its average, a Practitioner


@dataclass(frozen=True, slots=True)
class Look:
    """What is looked at: a program's limits at one organization, as of an instant."""

    organization: str
    programs: Programs
    wanted: Program
    now: int

    @property
    def past(self) -> Interval:
        return Interval(period.ALWAYS, self.now + 1)


async def breaches(view: View, look: Look, found: Census) -> Breaches:
    """Every breach until now of everybody in a census, over or not."""
    made = await _of_managers(view, look, found.loads())
    steps = (found.member_steps(), found.manager_steps())
    average = breach.caps(look.programs, look.wanted.url, "average")
    return {**made, look.organization: breach.of_average(average, *steps, look.past)}


async def breaches_of(view: View, look: Look, subjects: Collection[str]) -> Breaches:
    """The same of a few: their own members are read, and all of the organization's only for its average."""
    if look.organization in subjects:
        found, _ = await census.census(view, [look.organization], look.programs, look.wanted)
        every = await breaches(view, look, found[look.organization])
        return {subject: every.get(subject, []) for subject in subjects}
    times = await _times(view, look, subjects)
    return await _of_managers(view, look, {person: period.steps(lists) for person, lists in times.items()})


async def _of_managers(view: View, look: Look, loads: Mapping[str, list[Step]]) -> Breaches:
    return await breach.of_managers(view, look.organization, look.programs, look.wanted.url, loads, look.past)


async def _times(view: View, look: Look, persons: Iterable[str]) -> dict[str, list[list[Interval]]]:
    """When each member of each person counts at the organization."""
    return {
        person: [
            times
            for member, assignments in found.members
            for organization, times in counted(member, assignments, look.programs, look.wanted).items()
            if organization == look.organization
        ]
        for person, found in (await caseload.caseloads(view, persons)).items()
    }


# What is to be written


class _Place(NamedTuple):
    """What a Flag is about: who is above which limit of the program."""

    subject: str
    rule: str


@dataclass(slots=True)
class Due:
    """The changes that bring the Flags and Tasks up to date, and whom they are about."""

    changes: list[Change] = field(default_factory=list)
    subjects: set[str] = field(default_factory=set)


async def due(view: View, look: Look, found: Breaches, subjects: Collection[str] | None = None) -> Due:
    """What is to be written so that the Flags and Tasks, of these subjects or of all, say what holds."""
    flags = [Flag.of(fact) for fact in (await view.facts("flag", [look.organization]))[look.organization]]
    standing = {
        _Place(flag.subject, flag.rule): flag
        for flag in flags
        if flag.status == "active"
        and flag.program == look.wanted.url
        and (subjects is None or flag.subject in subjects)
    }
    current = {
        _Place(subject, one.rule.id): one
        for subject, every in found.items()
        for one in every
        if one.since <= look.now < one.until
    }
    made = Due()
    for place in sorted({*standing, *current}):
        if place in current:
            changes = await _standing(view, look, place, current[place], standing.get(place))
        else:
            changes = await _over(view, look, found.get(place.subject, ()), standing[place])
        if changes:
            made.changes += changes
            made.subjects.add(place.subject)
    return made


async def _standing(view: View, look: Look, place: _Place, one: Breach, flag: Flag | None) -> list[Change]:
    """The Flag of a breach that holds, and where it is new its Task."""
    since = period.text(one.since, look.wanted.zone)
    if flag is not None and (flag.start, flag.limit) == (since, one.limit):
        return []
    id = flag.flag.partition("/")[2] if flag else _id(look, place, since)
    before = await _read(view, "Flag", id)
    made = _flag(look, place, one, id)
    made["extension"] += [other for other in before.get("extension", ()) if other["url"] != BREACH]
    changes = [_put({**before, **made, "period": {"start": since}})]
    if one.managers is not None and flag is None:
        changes += await _task(view, look, one, id)
    return changes


def _id(look: Look, place: _Place, since: str) -> str:
    name = f"{look.wanted.url}#{place.rule} {look.organization} {place.subject} {since}"
    return str(uuid.uuid5(IDS, name))


def _flag(look: Look, place: _Place, one: Breach, id: str) -> Resource:
    is_average = one.managers is not None
    code = "caseload-average-breach" if is_average else "caseload-breach"
    what = f"More than {one.limit} members {'for each case manager on average' if is_average else ''}".rstrip()
    return {
        "resourceType": "Flag",
        "id": id,
        "extension": [
            {
                "url": BREACH,
                "extension": [
                    {"url": "rule", "valueCanonical": f"{one.program.canonical}#{one.rule.id}"},
                    {"url": "limit", "valueInteger": one.limit},
                    {"url": "organization", "valueReference": {"reference": look.organization}},
                ],
            }
        ],
        "status": "active",
        "category": [_concept("http://terminology.hl7.org/CodeSystem/flag-category", "admin")],
        "code": {**_concept(CM_FLAG, code), "text": what},
        "subject": {"reference": place.subject},
    }


async def _task(view: View, look: Look, one: Breach, flag: str) -> list[Change]:
    """The Task that asks the organization to bring its average within the limit; opened again where it was closed."""
    id = str(uuid.uuid5(IDS, f"task {flag}"))
    before = await _read(view, "Task", id)
    managers = one.managers or 0
    since = period.text(one.since, look.wanted.zone)
    made: Resource = {
        "resourceType": "Task",
        "id": id,
        "instantiatesCanonical": one.program.canonical,
        "status": "requested",
        "intent": "order",
        "code": _concept(CM_TASK, "caseload-breach"),
        "description": f"{one.number} members with {managers} case managers, more than {one.limit} on average, since "
        f"{since[:10]}. Rule {one.rule.id} of {one.program.canonical}. Source: {one.rule.citation}.",
        "focus": {"reference": f"Flag/{flag}"},
        "for": {"reference": look.organization},
        "executionPeriod": {"start": since},
        "authoredOn": instant(look.now),
        "lastModified": instant(look.now),
        "owner": {"reference": look.organization},
    }
    return [_put({**before, **made} if before else made)]


async def _over(view: View, look: Look, every: Iterable[Breach], flag: Flag) -> list[Change]:
    """The end of a Flag: when the breach was over; where the history bears it out no more, in error."""
    zone = look.wanted.zone
    start = period.starts(flag.start, zone)
    ends = [one.until for one in every if one.rule.id == flag.rule and one.until <= look.now and one.until > start]
    return await _ended(view, flag, period.text(min(ends), zone) if ends else None, look.now)


async def without_program(view: View, organizations: Iterable[str], programs: Programs, now: int) -> list[Change]:
    """The end of the Flags of programs that were taken back, or deleted: they are in force at no date."""
    flags = [Flag.of(fact) for facts in (await view.facts("flag", organizations)).values() for fact in facts]
    return [
        change
        for flag in flags
        if flag.status == "active" and flag.program not in programs
        for change in await _ended(view, flag, None, now)
    ]


async def _ended(view: View, flag: Flag, end: str | None, now: int) -> list[Change]:
    """A Flag at its end, or without one in error, and its Task where nobody ended that."""
    stored = await _read(view, *flag.flag.split("/"))
    when = {**({"start": flag.start} if flag.start else {}), "end": end}
    ended: Resource = {"status": "inactive", "period": when} if end else {"status": "entered-in-error"}
    changes = [_put({**stored, **ended})]
    task = await _read(view, "Task", str(uuid.uuid5(IDS, f"task {stored['id']}")))
    if task and task["status"] in facts.OPEN:
        closed: Resource = {"status": "completed", "executionPeriod": when} if end else {"status": "cancelled"}
        changes.append(_put({**task, **closed, "lastModified": instant(now)}))
    return changes


async def _read(view: View, type: str, id: str) -> Resource:
    """The resource as it stands; empty where there is none."""
    version = await view.read(type, id)
    return body.parse(version.body).resource if version and version.body else {}


def _put(resource: Resource) -> Change:
    return Change("PUT", resource["resourceType"], resource["id"], resource, Body.of(resource).text(resource["id"]))


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}
