"""Representative: to whom is said what concerns a member: the guardian, a minor's parent, else the member.

https://hl7.org/fhir/R4/relatedperson.html, http://terminology.hl7.org/CodeSystem/v3-RoleCode
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from server.coordination import period, stored
from server.coordination.assignment import assignment
from server.coordination.communication import demographics
from server.coordination.facts import Related, tokens
from server.fhir import datatype
from server.ledger import Resource, View
from server.outcome import Problem

ROLE = "http://terminology.hl7.org/CodeSystem/v3-RoleCode"
GUARDIANS = frozenset(
    {f"{ROLE}|GUARD", "http://terminology.hl7.org/CodeSystem/v3-RoleClass|GUARD"}
    | {"http://terminology.hl7.org/CodeSystem/v2-0063|GRD"}
)
_PARENTS = ("PRN", "NPRN", "MTH", "NMTH", "FTH", "NFTH", "NFTHF", "GESTM", "ADOPTP", "ADOPTM", "ADOPTF")
_IN_PLACE = ("PRNFOST", "MTHFOST", "FTHFOST", "STPPRN", "STPMTH", "STPFTH")
PARENTS = {f"{ROLE}|{code}": rank for rank, code in enumerate((*_PARENTS, *_IN_PLACE))} | {
    f"http://terminology.hl7.org/CodeSystem/v2-0063|{code}": 0 for code in ("PAR", "MTH", "FTH")
}
MEMBER, GUARDIAN, PARENT = "member", "guardian", "parent"


@dataclass(frozen=True, slots=True)
class Recipient:
    """Who is told, with name and address as they are written on a letter."""

    reference: str  # "Patient/1" or "RelatedPerson/2"
    name: str
    address: tuple[str, ...]
    telecom: tuple[str, ...]
    relationship: str  # member, guardian or parent
    alike: tuple[str, ...] = ()  # everybody who stands for the member as well as this one, who is the first


class _Candidate(NamedTuple):
    rank: int
    start: int  # the later the better, negated
    source: str


async def representative(view: View, patient: str, at: int, majority: int = 18, zone: str = "UTC") -> Recipient:
    """Whom to tell at an instant. Problem business_rule where a minor has nobody, a guardian is no RelatedPerson, or
    the member has died: nothing is written to them any more.

    `majority` is the age in years from which a member without a guardian speaks for themselves. A birth date of which
    only the year or the month is known makes nobody an adult before the last day that it may mean. Nobody's age is
    guessed: who has no birth date is told themselves.
    """
    member = (await assignment.members(view, [patient]))[patient]
    person = await _read(view, member.patient)
    _check_living(member.patient, person, at, zone)
    related = await view.facts("related", member.patients)
    everyone = [Related.of(fact) for facts in related.values() for fact in facts]
    there = [one for one in everyone if one.active and period.holds([period.between(one.start, one.end, zone)], at)]
    if guardians := _ranked(there, dict.fromkeys(GUARDIANS, 0), zone):
        return await _recipient(view, guardians, GUARDIAN, at, zone)
    _check_contacts(member.patient, person, at, zone)
    if is_minor(person.get("birthDate"), at, majority, zone):
        parents = _ranked(there, PARENTS, zone)
        if not parents:
            raise _no_parent(member.patient, majority)
        return await _recipient(view, parents, PARENT, at, zone)
    others = (one for one in member.patients if one != member.patient)
    return await _recipient(view, [member.patient, *others], MEMBER, at, zone)


def is_minor(birth_date: str | None, at: int, majority: int, zone: str) -> bool:
    """True before the day on which a member surely is `majority` years old."""
    born = datatype.date(birth_date) if birth_date else None
    if born is None:
        return False
    last = date.fromordinal((born.high - 1) // datatype.DAY + datatype.EPOCH_DAY)
    today = period.day(at, zone)
    return (today.year - last.year - ((today.month, today.day) < (last.month, last.day))) < majority


def _ranked(there: list[Related], ranks: dict[str, int], zone: str) -> list[str]:
    """Those with such a relationship, by its rank; of equals, the one who came last is first."""
    found = [
        _Candidate(
            min(ranks[code] for code in one.relationships if code in ranks), -period.starts(one.start, zone), one.source
        )
        for one in there
        if any(code in ranks for code in one.relationships)
    ]
    return [one.source for one in sorted(found)]


async def _recipient(view: View, alike: list[str], relationship: str, at: int, zone: str) -> Recipient:
    person = await _read(view, alike[0])
    return Recipient(
        alike[0],
        demographics.name(person.get("name"), at, zone),
        demographics.address(person.get("address"), at, zone),
        demographics.telecom(person.get("telecom"), at, zone),
        relationship,
        tuple(alike),
    )


def _check_living(patient: str, person: Resource, at: int, zone: str) -> None:
    died = person.get("deceasedDateTime")
    if person.get("deceasedBoolean") or (died and period.starts(died, zone) <= at):
        place = "Patient.deceasedDateTime" if died else "Patient.deceasedBoolean"
        raise Problem.business_rule(f"{patient} has died: there is nobody to be told; cancel what this is for", place)


def _check_contacts(patient: str, person: Resource, at: int, zone: str) -> None:
    """A guardian who is only a Patient.contact cannot be named by what is sent: never take the member instead."""
    for index, contact in enumerate(person.get("contact", ())):
        when = contact.get("period", {})
        if GUARDIANS.isdisjoint(tokens(contact.get("relationship"))):
            continue
        if period.holds([period.between(when.get("start"), when.get("end"), zone)], at):
            raise Problem.business_rule(
                f"A contact of {patient} is a guardian, and what is sent names its recipient by a resource: add the "
                "guardian as a RelatedPerson with the relationship GUARD",
                f"Patient.contact[{index}]",
            )


def _no_parent(patient: str, majority: int) -> Problem:
    return Problem.business_rule(
        f"{patient} is under {majority}, and neither a guardian nor a parent is on file: add a RelatedPerson with the "
        f"relationship GUARD or PRN (of {ROLE}), active now",
        "Patient.birthDate",
    )


async def _read(view: View, reference: str) -> Resource:
    return await stored.read(view, reference) or {}
