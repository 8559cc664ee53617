"""Attribution: whose a service or contact is that names nobody: of the organization that its writer acts for (NY-05).

https://hl7.org/fhir/R4/resource-definitions.html#Meta.tag

It gets the tag that says so (`ny-billing-party`), as a client may give it, in the commit that writes it.
"""

from __future__ import annotations

from collections.abc import Sequence

from server.coordination.actor import organizations
from server.coordination.facts import token
from server.coordination.facts.item import PARTY
from server.coordination.handoff.transfer import coding
from server.coordination.program.programs import active
from server.coordination.responsibility.check import When, are_checked, checks
from server.coordination.write import AS_RECORDED
from server.fhir.body import Body
from server.ledger import Change, Context, View, micros

NAMING = {  # where each type names whose it is
    "Communication": ("sender",),
    "Encounter": ("serviceProvider", "participant"),
    "ServiceRequest": ("performer", "requester"),
}
TAG = {party: tag for tag, party in PARTY.items()}


async def attributed(context: Context, changes: Sequence[Change], after: View) -> list[Change]:
    """These services and contacts with their tag, where their writer acts for one of the two that have the member."""
    unnamed = {change.reference: change for change in changes if not change.is_derived and _names_nobody(change)}
    if context.actor is None or context.override is AS_RECORDED or not unnamed:
        return []
    own = await organizations(after, context.actor, micros(context.now))
    if not own or not are_checked(await active(after)):
        return []
    members = {one: _member(change) for one, change in unnamed.items()}
    whose: dict[str, set[str]] = {}
    for check in await checks(after, sorted({*members.values()} - {""}), When(micros(context.now))):
        parties = {party for party in TAG if check.organization(party) in own}
        for patient in check.member.patients:
            whose.setdefault(patient, set()).update(parties)
    found = {one: whose.get(member, set()) for one, member in members.items()}
    return [
        _tagged(unnamed[one], TAG[party]) for one, parties in found.items() if len(parties) == 1 for party in parties
    ]


def _names_nobody(change: Change) -> bool:
    resource = change.resource
    if resource is None or change.type not in NAMING or any(name in resource for name in NAMING[change.type]):
        return False
    tags = (token(tag) for tag in resource.get("meta", {}).get("tag", ()) if "code" in tag)
    return PARTY.keys().isdisjoint(tags)


def _member(change: Change) -> str:
    """Of whom an item is; "" of what is none."""
    return next((key.partition(" ")[0] for kind, key, _ in change.facts or () if kind == "item"), "")


def _tagged(change: Change, tag: str) -> Change:
    resource = change.resource or {}
    meta = resource.get("meta", {})
    whole = {**resource, "meta": {**meta, "tag": [*meta.get("tag", ()), coding(tag)]}}
    return Change(change.method, change.type, change.id, whole, Body.of(whole).text(change.id), is_derived=True)
