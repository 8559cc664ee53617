"""Patient/[id]/$member-file: everything that is kept of a member, for the next case manager, in one document.

https://hl7.org/fhir/R4/documents.html, https://hl7.org/fhir/R4/compartmentdefinition-patient.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.assignment import Member, held
from server.coordination.assignment.care_manager import ENROLLED
from server.coordination.communication import demographics
from server.coordination.facts import literal
from server.coordination.member_file import access as file_access
from server.coordination.member_file.member_file import File, Manager, document, is_of_another, references
from server.coordination.program.programs import Programs, active
from server.fhir import body
from server.ledger import Resource, Version, View, micros
from server.operations.call import Answer, Call, aside
from server.outcome import Problem
from server.search import compartment
from server.search.filter import Equal, Filter, Ids
from server.search.parameter import parameters

MAX_RESOURCES = 10_000
MAX_BYTES = 64 * 1024 * 1024
# Of a member, and yet in no compartment of R4's
BESIDE = {"Contract": "subject", "Device": "patient", "GuidanceResponse": "patient", "Task": "patient"}
# In the compartment, and full of other members; who looked at what is for auditors
OF_MANY = frozenset({"AuditEvent", "Group", "Patient", "Person"})
DIRECTORY = frozenset(
    {"Device", "HealthcareService", "Location", "Medication", "Organization", "Practitioner", "PractitionerRole"}
)
# What the member's own resources name and is to be in the file: the care that says not whose it is, and attachments;
# no lists, reports and histories of others, which a resource may name too
NAMED = (
    DIRECTORY
    | (compartment.types("Patient") - OF_MANY - {"List", "MeasureReport", "Provenance", "Schedule"})
    | {"Binary"}
)


async def member_file(call: Call) -> Answer:
    """A Bundle of type document, read at one position. Problem forbidden for whoever may not see the file."""
    recipient = call.inputs.one("for")
    now = micros(datetime.now(UTC))
    head = await call.repository.view(call.caller)
    for who in filter(None, (call.caller.actor, recipient)):
        if not await file_access.may_see(head, call.reference, who, now):
            raise Problem.of(
                "forbidden",
                f"{who} may not see the file of {call.reference}: its case manager may, or who leads, the next one "
                "since accepting the transfer, its area manager and its organization",
            )
    view, now = await call.view()
    await call.here(view)

    async def answer(view: View) -> Answer:
        file = await _read(view, call.reference, call.inputs.one("asOf"), now, call.base_url)
        file.recipient = recipient
        return Answer([("return", document(file))])

    return await aside(view, answer)


async def _read(view: View, patient: str, as_of: str | None, now: int, base_url: str) -> File:
    """Everything of one member: a search for each type, whatever there is of it."""
    member = (await assignment.members(view, [patient]))[patient]
    programs = await active(view)
    zone = next((programs.near(url, now).zone for url in programs), "UTC")
    at = period.starts(as_of, zone) if as_of else now
    gathered = _Gathered()
    for one in member.patients:
        gathered.add(await view.search("Patient", Ids((one.partition("/")[2],)), 1))
    for type in sorted((compartment.types("Patient") | BESIDE.keys()) - OF_MANY):
        for one in member.patients:
            gathered.add(await view.search(type, _filter(one, type), gathered.room))
    for reference, resource in list(gathered.found.items()):
        if is_of_another(resource, member.patients, base_url):
            del gathered.found[reference]
    own = dict(gathered.found)
    await _follow(view, gathered, member.patients, base_url)  # after `own` is known: what is named stands apart
    others = {reference: resource for reference, resource in gathered.found.items() if reference not in own}
    whole = own.pop(patient)
    managers = _managers(member, gathered.found, programs, at, zone, base_url)
    return File(
        whole, own, others, managers, _organizations(member, at, zone), at, now, view.position, zone, base_url=base_url
    )


class _Gathered:
    """Resources by their references, so many and no more. Problem too_costly beyond that: no file is cut short."""

    def __init__(self) -> None:
        self.found: dict[str, Resource] = {}
        self.bytes = 0

    @property
    def room(self) -> int:
        """How many to ask for: one more than there is room for."""
        return MAX_RESOURCES + 1 - len(self.found)

    def add(self, versions: Iterable[Version]) -> None:
        for version in versions:
            if version.body is None or version.reference in self.found:
                continue
            self.bytes += len(version.body)
            if len(self.found) == MAX_RESOURCES or self.bytes > MAX_BYTES:
                raise Problem.of(
                    "too_costly",
                    f"The file has more than {MAX_RESOURCES} resources or {MAX_BYTES >> 20} MB, which is too much for "
                    "one document; search the Patient's compartment by type instead",
                )
            self.found[version.reference] = body.parse(version.body).resource


def _filter(patient: str, type: str) -> Filter:
    if type in BESIDE:
        return Equal(parameters(type)[BESIDE[type]].index, (patient,))
    return compartment.filter(patient, type)


async def _follow(view: View, gathered: _Gathered, patients: list[str], base_url: str) -> None:
    """Add what the resources name, and what that names in its turn; nothing of another member."""
    waiting = list(gathered.found.values())
    while waiting:
        named = {
            reference
            for resource in waiting
            for reference in references(resource, base_url)
            if _is_followed(resource, reference.partition("/")[0]) and reference not in gathered.found
        }
        before = set(gathered.found)
        for type in sorted({reference.partition("/")[0] for reference in named}):
            ids = tuple(sorted(one.partition("/")[2] for one in named if one.startswith(f"{type}/")))
            found = await view.search(type, Ids(ids), min(len(ids), gathered.room))
            gathered.add(one for one in found if not _is_foreign(one, patients, base_url))
        waiting = [resource for reference, resource in gathered.found.items() if reference not in before]


def _is_followed(source: Resource, type: str) -> bool:
    """The directory's entries lead only to others of the directory: not to all that a place or a plan has."""
    return type in (DIRECTORY if source["resourceType"] in DIRECTORY else NAMED)


def _is_foreign(version: Version, patients: list[str], base_url: str) -> bool:
    return version.body is None or is_of_another(body.parse(version.body).resource, patients, base_url)


def _organizations(member: Member, at: int, zone: str) -> list[str]:
    """Where the member is enrolled then, as far as this server has them."""
    there = {
        one.organization
        for one in member.enrolments
        if one.organization and period.holds(assignment.enrolled(one, zone, ENROLLED), at)
    }
    return sorted(one for one in there if one.startswith("Organization/"))


def _managers(
    member: Member, found: Mapping[str, Resource], programs: Programs, at: int, zone: str, base_url: str
) -> list[Manager]:
    """Who has and had the member until then, the present one first."""
    managing = programs.roles | programs.leads
    there = [
        (interval, one)
        for one in member.assignments
        if not managing.isdisjoint(one.roles)
        for interval in held(one, zone)
        if interval.low <= at
    ]
    there.sort(key=lambda pair: pair[0], reverse=True)
    named = (
        Manager(one.manager, _name(one.manager, found, at, zone, base_url), one.start, one.end) for _, one in there
    )
    return list(dict.fromkeys(named))  # the teams of both organizations say who leads


def _name(role: str, found: Mapping[str, Resource], at: int, zone: str, base_url: str) -> str:
    person = literal(found.get(role, {}).get("practitioner"), base_url) or ""
    return demographics.name(found.get(person, {}).get("name"), at, zone)
