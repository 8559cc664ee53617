"""Directory: who a case manager is and how to reach them; what a plan is called and whom to call there.

https://hl7.org/fhir/R4/practitionerrole.html, https://hl7.org/fhir/R4/organization.html
"""

from __future__ import annotations

from dataclasses import dataclass

from server.coordination import stored
from server.coordination.assignment import area
from server.coordination.assignment.assignment import practitioners
from server.coordination.assignment.contact import services
from server.coordination.communication import demographics
from server.coordination.facts import Contact
from server.coordination.program.program import Program
from server.ledger import Resource, View


@dataclass(frozen=True, slots=True)
class Entry:
    """Somebody, or a plan, as the directory has them; "" and empty where it says nothing."""

    reference: str
    name: str = ""
    telecom: tuple[str, ...] = ()
    address: tuple[str, ...] = ()


async def manager(view: View, role: str | None, at: int, zone: str) -> Entry:
    """A PractitionerRole: the person's name; how to reach them in the role, else at work."""
    found = await read(view, role)
    person = await read(view, (await practitioners(view, [role]))[role] if role else None)
    telecom = demographics.telecom(found.get("telecom"), at, zone)
    return Entry(
        role or "",
        demographics.name(person.get("name"), at, zone),
        telecom or demographics.telecom(person.get("telecom"), at, zone),
    )


async def plan(view: View, organization: str | None, program: Program, patient: str, at: int) -> Entry:
    """A managed care organization: whom a member calls is its service for the program there, else its own telecom."""
    found = await read(view, organization)
    points = [found.get("telecom"), *(contact.get("telecom") for contact in found.get("contact", ()))]
    if organization:
        contacts = map(Contact.of, (await view.facts("contact", [organization]))[organization])
        around = (await area.areas(view, [patient], at))[patient]
        for service in services(organization, [*contacts], program, around)[:1]:
            points.insert(0, (await read(view, service)).get("telecom"))
    telecoms = (demographics.telecom(one, at, program.zone) for one in points)
    return Entry(
        organization or "",
        " ".join(str(found.get("name", "")).split()),
        next(filter(None, telecoms), ()),
        demographics.address(found.get("address"), at, program.zone),
    )


async def read(view: View, reference: str | None) -> Resource:
    """A resource of this server; empty where there is none."""
    found = await stored.read(view, reference) if reference and "/" in reference else None
    return found or {}
