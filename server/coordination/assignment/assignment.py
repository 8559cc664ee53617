"""Assignment: who is whose case manager, from when to when, and who counts as a member of what.

https://hl7.org/fhir/R4/careteam-definitions.html#CareTeam.participant
https://hl7.org/fhir/R4/episodeofcare-definitions.html#EpisodeOfCare.statusHistory

Records of one person that Patient.link merges are one Member. All functions read facts, in batches: one query a hop.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from server.coordination import period
from server.coordination.facts import ASSIGNMENT, ENROLMENT, LINK, MOVE, Assignment, Enrolment, Role, Transfer
from server.coordination.period import Interval
from server.coordination.program.program import Program
from server.coordination.program.programs import Programs
from server.ledger import Fact, View


@dataclass(slots=True)
class Member:
    """A person in care, whatever number of Patient records they have."""

    patients: list[str] = field(default_factory=list)
    replaced: tuple[str, ...] = ()  # those of the records that another one replaced
    assignments: list[Assignment] = field(default_factory=list)
    enrolments: list[Enrolment] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)  # that are open

    @property
    def patient(self) -> str:
        """The record that stands for the person."""
        if len(self.patients) == 1:
            return self.patients[0]
        return min(set(self.patients) - set(self.replaced) or self.patients)


async def members(view: View, patients: Iterable[str]) -> dict[str, Member]:
    """The Member of each Patient, those that a merge leads to included."""
    rows: dict[str, list[Fact]] = {}
    pending = set(patients)
    while pending:
        rows |= await view.facts("member", pending)
        linked = {fact.data[1] for key in pending for fact in rows[key] if fact.data[0] == LINK}
        pending = linked - rows.keys()
    found: dict[str, Member] = {}
    for patient in rows:
        if patient not in found:
            _gather(patient, Member(), rows, found)
    return found


def _gather(patient: str, member: Member, rows: Mapping[str, list[Fact]], found: dict[str, Member]) -> None:
    """Read a Patient's facts into its Member, and those of every record that is linked with it."""
    waiting = [patient]
    while waiting:
        patient = waiting.pop()
        if patient in found:
            continue
        found[patient] = member
        member.patients.append(patient)
        for fact in rows[patient]:
            kind = fact.data[0]
            if kind == ASSIGNMENT:
                member.assignments.append(Assignment.of(fact))
            elif kind == ENROLMENT:
                member.enrolments.append(Enrolment.of(fact))
            elif kind == MOVE:
                member.transfers.append(Transfer(fact.source, *fact.data[1:]))
            else:
                waiting.append(fact.data[1])
                if fact.data[2] == "replaced-by":
                    member.replaced += (patient,)


@dataclass(slots=True)
class Manager:
    """A Practitioner with every role of that person, and the assignments held in them."""

    practitioner: str
    roles: dict[str, Role] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)  # that are open, and bring a member


async def managers(view: View, practitioners: Iterable[str]) -> dict[str, Manager]:
    """Each Practitioner's roles and assignments."""
    found = {
        practitioner: Manager(practitioner, {fact.source: Role.of(fact) for fact in rows})
        for practitioner, rows in (await view.facts("role", set(practitioners))).items()
    }
    roles = [role for manager in found.values() for role in manager.roles]
    if not roles:
        return found
    held, coming = await view.facts("manager", roles), await view.facts("reservation", roles)
    for manager in found.values():
        for role in manager.roles:
            manager.assignments += map(Assignment.of, held[role])
            manager.transfers += map(Transfer.of, coming[role])
    return found


async def practitioners(view: View, roles: Iterable[str]) -> dict[str, str | None]:
    """The Practitioner of each PractitionerRole: None where there is no such role or it names nobody."""
    found = await view.facts("role", set(roles))
    return {role: Role.of(rows[0]).practitioner if rows else None for role, rows in found.items()}


def left(role: Role, at: int, now: int, zone: str) -> bool:
    """True where somebody is in the role no more: it has ended, or is inactive, which says since today and no earlier.

    Who left still holds what the CareTeams say until that is closed or transferred, but is nobody to call.
    """
    if at >= period.ends(role.end, zone):
        return True
    return not role.active and at >= period.midnight(period.day(now, zone), zone)


# What holds when


def since(low: int, assignments: Sequence[Assignment], starts: Mapping[str, str | None], at: int, zone: str) -> int:
    """From when a person has a member: not from before the roles (by their starts) in which the person does.

    A role that was made another person's keeps its assignments; its period's start says since when they are that one's.
    """
    start = min([period.starts(starts.get(one.manager), zone) for one in assignments])
    return start if low < start <= at else low


def held(assignment: Assignment, zone: str) -> list[Interval]:
    """When an assignment holds. A proposed team holds nobody yet; a suspended one only what had an end."""
    if assignment.error or assignment.status in {"proposed", "entered-in-error"}:
        return []
    if assignment.status == "suspended" and assignment.end is None:
        return []
    interval = period.between(assignment.start, assignment.end, zone)
    return [interval] if interval.low < interval.high else []


def together(assignments: Sequence[Assignment], zone: str) -> list[Interval]:
    """When a person has a member, whatever the roles and teams; periods that touch are one."""
    return period.union(interval for one in assignments for interval in held(one, zone))


def enrolled(enrolment: Enrolment, zone: str, statuses: frozenset[str]) -> list[Interval]:
    """When an episode was in one of the statuses: by its statusHistory, else by its status and period.

    The present status holds after the last past one, or from where the history's open end begins. A finished episode
    without a history was active over its period, which then needs an end.
    """
    whole = period.between(enrolment.start, enrolment.end, zone)
    if enrolment.status == "entered-in-error":
        return []
    if not enrolment.history:
        status = enrolment.status
        if status == "finished" and enrolment.end is not None:
            status = "active"
        return period.union([whole]) if status in statuses else []
    past = []
    tail = period.ALWAYS
    for status, start, end in enrolment.history:
        interval = period.between(start, end, zone)
        if end is None:
            tail = max(tail, interval.low)
            continue
        tail = max(tail, interval.high)
        if status in statuses:
            past.append(interval)
    if enrolment.status in statuses:
        past.append(Interval(tail, period.NEVER))
    return period.intersection(period.union(past), period.union([whole]))


COUNTED = frozenset({"planned", "active"})  # a planned episode reserves its place from its start
ACTIVE = frozenset({"active"})


def counted(
    member: Member,
    assignments: Sequence[Assignment],
    programs: Programs,
    program: Program,
    statuses: frozenset[str] = COUNTED,
) -> dict[str, list[Interval]]:
    """When a member counts, by these assignments, in a program: for each organization that has the episode.

    A CareTeam's program extension only says which, where the member is in several: it hides nothing from the others.
    """
    organizations = enrolled_at(member, program, statuses)
    if not organizations:
        return {}
    joined = holding(member, assignments, programs, program)
    found = {organization: period.intersection(joined, times) for organization, times in organizations.items()}
    return {organization: intervals for organization, intervals in found.items() if intervals}


def reserved(member: Member, transfer: Transfer, program: Program) -> dict[str, list[Interval]]:
    """When an open transfer holds a place at who is to get the member, for each organization of an episode."""
    if transfer.program != program.url:
        return {}
    low = max(period.starts(transfer.opened, program.zone), period.starts(transfer.effective, program.zone))
    return {
        organization: times
        for organization, found in enrolled_at(member, program).items()
        if (times := period.intersection(found, [Interval(low, period.NEVER)]))
    }


def enrolled_at(member: Member, program: Program, statuses: frozenset[str] = COUNTED) -> dict[str, list[Interval]]:
    """When a member is enrolled in a program, for each organization."""
    return enrolled_as(member, program.types, program.zone, statuses)


def enrolled_as(
    member: Member, types: Collection[str], zone: str, statuses: frozenset[str] = COUNTED
) -> dict[str, list[Interval]]:
    """When a member has an episode of one of these types (tokens), for each organization."""
    found, wanted = dict[str, list[Interval]](), frozenset(types)
    for enrolment in member.enrolments:
        if enrolment.organization and not wanted.isdisjoint(enrolment.types):
            found.setdefault(enrolment.organization, []).extend(enrolled(enrolment, zone, statuses))
    return {organization: times for organization, one in found.items() if (times := period.union(one))}


def holding(member: Member, assignments: Sequence[Assignment], programs: Programs, program: Program) -> list[Interval]:
    """When the assignments are ones of the program, as far as a CareTeam's extension says which."""
    found: list[Interval] = []
    for assignment in assignments:
        if program.role not in assignment.roles:
            continue
        intervals = held(assignment, program.zone)
        if intervals and assignment.programs and program.url not in assignment.programs:
            intervals = period.difference(intervals, _elsewhere(member, assignment, programs))
        found += intervals
    return period.union(found)


def _elsewhere(member: Member, assignment: Assignment, programs: Programs) -> list[Interval]:
    """When the member is enrolled in a program that the assignment's team names, and that has such managers."""
    found = []
    for url in assignment.programs:
        for dated in programs.by_url.get(url, ()):
            if dated.program.role in assignment.roles:
                for enrolment in member.enrolments:
                    if not dated.program.types.isdisjoint(enrolment.types):
                        found += period.intersection(
                            enrolled(enrolment, dated.program.zone, COUNTED), [Interval(*dated.period)]
                        )
    return period.union(found)


def in_program(member: Member, program: Program, statuses: frozenset[str] = COUNTED) -> list[Interval]:
    """When a member is enrolled in a program, at whatever organization."""
    return period.union(
        interval
        for enrolment in member.enrolments
        if not program.types.isdisjoint(enrolment.types)
        for interval in enrolled(enrolment, program.zone, statuses)
    )


def serving(
    member: Member, persons: Mapping[str, str | None], programs: Programs, program: Program
) -> dict[str, list[Interval]]:
    """When each Practitioner is the member's manager in a program."""
    by_person: dict[str, list[Assignment]] = {}
    for assignment in member.assignments:
        person = persons.get(assignment.manager)
        if person and program.role in assignment.roles:
            by_person.setdefault(person, []).append(assignment)
    return {
        person: period.union(
            interval for intervals in counted(member, assignments, programs, program).values() for interval in intervals
        )
        for person, assignments in by_person.items()
    }
