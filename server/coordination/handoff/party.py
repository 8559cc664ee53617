"""Party: who takes part in a transfer: who asked for it, the present case manager, the next one; and who acts.

A person is the same in every PractitionerRole of theirs. Where the present case manager has left, whoever asked for the
transfer, or the organization, stands in. In the requester's place everybody can act who may open such a transfer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from server.coordination import period
from server.coordination.assignment import assignment
from server.coordination.assignment.area import covers
from server.coordination.assignment.assignment import Member
from server.coordination.communication.representative import Recipient
from server.coordination.facts import Role, Transfer, literal
from server.coordination.handoff.protocol import Protocol
from server.ledger import Resource, View


@dataclass(slots=True)
class Parties:
    """The references of each party, and the roles that tell who is the same person."""

    protocol: Protocol
    patients: list[str]
    organization: str | None
    of: dict[str, list[str]]  # by the party's name
    roles: dict[str, Role]
    now: int
    has_left: bool = False  # the present case manager
    told: Recipient | None = None  # in the member's place, or the member, once it has been looked for
    untold: str = ""  # why there is nobody to be told

    def person(self, reference: str) -> str:
        role = self.roles.get(reference)
        return role.practitioner if role and role.practitioner else reference

    def are(self, reference: str, party: str) -> bool:
        """True where a reference names one of the party."""
        return self.person(reference) in {self.person(one) for one in self.of[party]}

    def is_active(self, reference: str, at: int) -> bool:
        """True where a PractitionerRole is there, and in service at an instant."""
        role = self.roles.get(reference)
        zone = self.protocol.program.zone
        return bool(role and role.active and period.holds([period.between(role.start, role.end, zone)], at))


@dataclass(frozen=True, slots=True)
class People:
    """Whom the transfers of one commit concern, read at once: members by Patient, and roles."""

    members: Mapping[str, Member]
    roles: dict[str, Role]

    def person(self, role: str) -> str | None:
        return self.roles[role].practitioner if role in self.roles else None


async def people(view: View, transfers: Iterable[Transfer], actor: str | None = None) -> People:
    """The transfers' members, and everybody whom these and the transfers name."""
    given = list(transfers)
    members = await assignment.members(view, [one.patient for one in given if one.patient])
    wanted = {one.manager for member in members.values() for one in member.assignments}
    wanted |= {role for one in given for role in (one.sender, one.receiver, actor) if role}
    roles = await view.facts("role", {one for one in wanted if one.startswith("PractitionerRole/")})
    return People(members, {role: Role.of(rows[0]) for role, rows in roles.items() if rows})


async def parties(
    view: View,
    protocol: Protocol,
    people: People,
    patient: str,
    organization: str | None,
    now: int,
    **named: str | None,
) -> Parties:
    """Each party by its name, with `_` for a hyphen: current_manager="PractitionerRole/7"."""
    of = {name.replace("_", "-"): [reference] if reference else [] for name, reference in named.items()}
    patients = people.members[patient].patients
    found = Parties(protocol, patients, organization, of | {"member": patients}, people.roles, now)
    await known(view, found, [reference for references in of.values() for reference in references])
    sender = found.of["current-manager"]
    if sender and not found.is_active(sender[0], now):
        found.has_left = True
        found.of["current-manager"] = [*sender, *found.of["requester"], *([organization] if organization else [])]
    return found


async def taking_part(
    view: View, protocol: Protocol, people: People, transfer: Transfer, task: Resource, now: int
) -> Parties:
    """The parties of a transfer that has begun; `task` is its Task."""
    return await parties(
        view,
        protocol,
        people,
        transfer.patient,
        transfer.organization,
        now,
        requester=literal(task.get("requester")),
        current_manager=transfer.sender,
        new_manager=transfer.receiver,
    )


async def known(view: View, found: Parties, references: Iterable[str]) -> None:
    """Read who these references are, those that are not known yet."""
    wanted = {one for one in references if one.startswith("PractitionerRole/") and one not in found.roles}
    if wanted:
        for reference, rows in (await view.facts("role", wanted)).items():
            found.roles.update((reference, Role.of(row)) for row in rows[:1])


async def admit(view: View, found: Parties, references: Iterable[str]) -> None:
    """Take into the place of a present case manager who has left those who may open such a transfer."""
    persons = [one for one in references if one.startswith(("PractitionerRole/", "Practitioner/"))]
    for one in persons:
        if not found.are(one, "current-manager") and await may_open(view, found, one):
            found.of["current-manager"].append(one)


async def may_act(view: View, found: Parties, actor: str | None, as_one_of: Iterable[str]) -> bool:
    """True where who acts is of one of the parties. The local system (None) may do all."""
    if actor is None:
        return True
    wanted = list(as_one_of)
    await known(view, found, [actor])
    if any(found.are(actor, party) for party in wanted):
        return True
    stands_in = "requester" in wanted or (found.has_left and "current-manager" in wanted)
    return stands_in and await may_open(view, found, actor)


async def may_open(view: View, found: Parties, reference: str) -> bool:
    """True where somebody has a role, at the member's organization and area, in which transfers are opened."""
    return await opener(view, found, reference) is not None


async def opener(view: View, found: Parties, reference: str) -> str | None:
    """The role in which somebody may open such a transfer: of a person, which of theirs. None where there is none."""
    if found.protocol.opening is None:
        return reference
    roles = [reference]
    if reference.startswith("Practitioner/"):
        rows = (await view.facts("role", [reference]))[reference]
        found.roles |= {row.source: Role.of(row) for row in rows}
        roles = [row.source for row in rows]
    await known(view, found, roles)
    for role in roles:
        if await _opens(view, found, role):
            return role
    return None


async def _opens(view: View, found: Parties, reference: str) -> bool:
    opening = found.protocol.opening
    role = found.roles.get(reference)
    if opening is None or role is None or not found.is_active(reference, found.now):
        return False
    if role.organization != found.organization:
        return False
    if set(opening.parameters["requester-role"]).isdisjoint(role.codes):
        return False
    return not opening.parameters["requester-area"] or bool(await covers(view, reference, found.patients))
