"""Contact: whom a member without a case manager calls (IA-25)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment import area
from server.coordination.facts import Contact
from server.coordination.program.program import Program
from server.fhir import body
from server.ledger import View


class Without(NamedTuple):
    """A program in which a member has no case manager who can be called, where enrolled, and when."""

    program: Program
    organizations: list[str]
    at: int


async def contacts(view: View, patient: str, without: Sequence[Without]) -> list[str]:
    """Each organization's service for the member's area, else for all areas, else itself; then the area's manager."""
    known = await view.facts("contact", {organization for one in without for organization in one.organizations})
    found: list[str] = []
    for program, organizations, at in without:
        around = (await area.areas(view, [patient], at))[patient]
        for organization in organizations:
            there = [
                one
                for one in map(Contact.of, known[organization])
                if period.holds([period.between(one.start, one.end, program.zone)], at)
            ]
            found += services(organization, there, program, around)
            found += _nearest([one for one in there if one.reference.startswith("PractitionerRole/")], around)
    return list(dict.fromkeys(found))


def services(organization: str, there: Sequence[Contact], program: Program, around: Sequence[str]) -> list[str]:
    """Whom to call at an organization: its services for the program, else those that name none, else itself."""
    offered = [one for one in there if one.reference.startswith("HealthcareService/")]
    own = [one for one in offered if not program.types.isdisjoint(one.programs)]
    general = [one for one in offered if not one.programs]
    itself = [organization] if organization.startswith("Organization/") else []
    return _covering(own, around) or _covering(general, around) or itself


def _covering(found: Sequence[Contact], around: Sequence[str]) -> list[str]:
    """Those for the areas around a member, else for all areas; of a member of no known area, any."""
    of_all = [one.reference for one in found if not one.areas]
    return _nearest(found, around) or of_all or ([] if around else [one.reference for one in found])


def _nearest(contacts: Sequence[Contact], around: Sequence[str]) -> list[str]:
    """Those for the first of the areas that has any."""
    for area_around in around:
        if found := [one.reference for one in contacts if area_around in one.areas]:
            return found
    return []


async def organization_of(view: View, patient: str) -> list[str]:
    """Of who is in no program, the organization that keeps the record."""
    version = await view.read(*patient.split("/"))
    link = body.parse(version.body).resource.get("managingOrganization", {}) if version and version.body else {}
    return [link["reference"]] if link.get("reference", "").startswith("Organization/") else []
