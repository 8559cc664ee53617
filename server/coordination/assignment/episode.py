"""Episode: what holds for the enrolments of a program's members.

https://hl7.org/fhir/R4/episodeofcare.html

CareTeam is the one truth about who manages: EpisodeOfCare.careManager may repeat it, never contradict it.
"""

from __future__ import annotations

from server.coordination import period
from server.coordination.assignment.assignment import COUNTED, enrolled, held, serving
from server.coordination.facts import Enrolment, tokens
from server.coordination.program.program import Program, Rule
from server.coordination.write import Place, Write, refusal
from server.ledger import Change
from server.outcome import Issue

_WITHDRAWN = {"entered-in-error", "cancelled"}


async def named(write: Write) -> list[Issue]:
    """An enrolment names its member and the organization that manages it: caps count for each organization."""
    issues = []
    for change in write.of_type("EpisodeOfCare"):
        found = program_of(write, tokens((change.resource or {}).get("type")))
        if found is None or change.resource is None or change.resource.get("status") in _WITHDRAWN:
            continue
        enrolment = _after(write, change)
        if enrolment is None:
            text = f"{change.reference}: an enrolment's patient is a literal reference to a Patient of this server."
            issues.append(refusal(*found, text, Place(change.reference, "EpisodeOfCare.patient")))
        elif enrolment.organization is None:
            text = f"{change.reference}: an enrolment names its managing organization by a literal reference."
            issues.append(refusal(*found, text, Place(change.reference, "EpisodeOfCare.managingOrganization")))
    return issues


async def past(write: Write) -> list[Issue]:
    """A statusHistory is past: one that reaches into time to come would hide the status that holds then."""
    issues = []
    for change in write.of_type("EpisodeOfCare"):
        if not (change.resource or {}).get("statusHistory"):
            continue
        enrolment = _after(write, change)
        found = program_of(write, enrolment.types) if enrolment else None
        if enrolment is None or found is None or enrolment.status in _WITHDRAWN:
            continue
        zone = found[0].zone
        today = period.ends(period.day(write.now, zone).isoformat(), zone)
        latest = max(today, period.starts(enrolment.start, zone))
        for index, (status, start, end) in enumerate(enrolment.history):
            if period.starts(start, zone) > latest or (end and period.ends(end, zone) > latest):
                text = (
                    f"{change.reference}: statusHistory says {status} from {start or 'the beginning'} to "
                    f"{end or 'an open end'}. It is of the statuses that the enrolment had until today; the present "
                    "one is status, and what is to come is written when it comes."
                )
                place = Place(change.reference, f"EpisodeOfCare.statusHistory[{index}].period")
                issues.append(refusal(*found, text, place))
    return issues


async def kept(write: Write) -> list[Issue]:
    """An enrolment in which a case manager served is not deleted: it is finished, or entered in error."""
    deleted = {change.reference for change in write.of_type("EpisodeOfCare") if change.resource is None}
    if not deleted:
        return []
    issues = []
    for member in {id(one): one for one in (await write.earlier()).values()}.values():
        for enrolment in member.enrolments:
            found = program_of(write, enrolment.types)
            if enrolment.episode not in deleted or found is None:
                continue
            program, rule = found
            begun = [period.Interval(period.ALWAYS, write.now + 1)]
            when = period.intersection(enrolled(enrolment, program.zone, COUNTED), begun)
            persons = await write.persons(*(one.manager for one in member.assignments))
            serves = serving(member, persons, write.programs, program)
            if any(period.intersection(intervals, when) for intervals in serves.values()):
                text = (
                    f"{enrolment.episode} says where and when {member.patient} was in {program.title} with a case "
                    "manager. It can be finished (status and period.end) or entered in error, not deleted."
                )
                issues.append(refusal(program, rule, text, Place(enrolment.episode, "EpisodeOfCare")))
    return issues


async def care_manager(write: Write) -> list[Issue]:
    """EpisodeOfCare.careManager is set to nobody but whom the assignment in force names."""
    setting = [
        (change, enrolment)
        for change in write.of_type("EpisodeOfCare")
        if (enrolment := _after(write, change)) and enrolment.manager is not None
    ]
    if not setting:
        return []
    before = await _before(write)
    issues = []
    for change, enrolment in setting:
        found = program_of(write, enrolment.types)
        if found and enrolment.status != "entered-in-error" and before.get(change.reference) != enrolment.manager:
            issues += await _contradiction(write, change, enrolment, *found)
    return issues


async def _contradiction(
    write: Write, change: Change, enrolment: Enrolment, program: Program, rule: Rule
) -> list[Issue]:
    whole = period.between(enrolment.start, enrolment.end, program.zone)
    at = max(whole.low, min(write.now, whole.high - 1))
    said = enrolment.manager or ""
    persons = await write.persons(*[said] if said.startswith("PractitionerRole/") else [])
    in_force = {
        str(persons[one.manager])
        for one in write.members[_member(change)].assignments
        if program.role in one.roles and period.holds(held(one, program.zone), at)
    }
    if persons.get(said, said) in in_force:
        return []
    text = (
        f"{change.reference}: careManager is {said or 'no literal reference'}, and the case manager on "
        f"{period.day(at, program.zone)} is {' and '.join(sorted(in_force)) or 'nobody'}. CareTeam says who: use "
        "Patient/$assign-care-manager, or leave careManager out."
    )
    return [refusal(program, rule, text, Place(change.reference, "EpisodeOfCare.careManager"))]


def program_of(write: Write, types: list[str]) -> tuple[Program, Rule] | None:
    """The program that an episode of these types enrols in, where it has case managers."""
    for url in write.programs:
        program = write.programs.near(url, write.now)
        if program.assignment and not program.types.isdisjoint(types):
            return program, program.assignment
    return None


def _member(change: Change) -> str:
    return next(str(data) for kind, _, data in change.facts or () if kind == "subject")


def _after(write: Write, change: Change) -> Enrolment | None:
    if not any(kind == "subject" for kind, _, _ in change.facts or ()):
        return None
    enrolments = write.members[_member(change)].enrolments
    return next(enrolment for enrolment in enrolments if enrolment.episode == change.reference)


async def _before(write: Write) -> dict[str, str | None]:
    """Each episode's careManager before."""
    return {
        enrolment.episode: enrolment.manager
        for member in (await write.earlier()).values()
        for enrolment in member.enrolments
        if enrolment.status != "entered-in-error"
    }
