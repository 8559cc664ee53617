"""Owner: what is written by those alone whose it is, whoever else sees it.

An enrollment is its managing organization's, an organization its own, an agreement its parties', what a coordination
check found whose it is to resolve, what somebody was told who was told, and a program of the server the local system's.
https://hl7.org/fhir/R4/security.html#access
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import NamedTuple

from server.coordination.agreement.expiry import EXPIRY
from server.coordination.communication.letter import NOTICE
from server.coordination.enrolment.single import OVERLAP
from server.coordination.facts import BASE, is_program, tokens
from server.coordination.lead.review import REVIEW
from server.coordination.responsibility.detected_issue import RESOLVER, TASK
from server.coordination.rule import PROPOSED
from server.fhir.reference import local
from server.ledger import Change, Resource
from server.outcome import Problem

# What an owner alone writes of a type; all that there is of one that has no row
ELEMENTS: Mapping[str, tuple[str, ...]] = {
    "Communication": ("subject", "about", "category", "sent", "recipient", "sender", "payload"),
    "EpisodeOfCare": ("status", "period", "managingOrganization", "patient", "type"),
    "Organization": ("active", "identifier", "name", "alias", "type", "partOf"),
    "Task": ("status", "owner", "focus", "for", "code"),
}
SAID_BEFORE = frozenset({"Communication", "DetectedIssue", "Organization", "Task"})  # it is whose what stands says
ASKED = frozenset({OVERLAP, EXPIRY, REVIEW, *(kind.dispute for kind in PROPOSED)})  # of an organization, by the server
PUBLISHED = frozenset({"CodeSystem", "ConceptMap", "Questionnaire", "StructureDefinition", "ValueSet"})
PARTIES = 2  # organizations, from which on a Contract is an agreement between them


class Owned(NamedTuple):
    """Whose a resource is: any of these organizations may write it; nobody's without them."""

    owners: frozenset[str]
    element: str  # that says so


def check_owned(actor: str, organizations: Collection[str], before: Resource | None, change: Change) -> None:
    """Problem forbidden (403) for a change of what is another's, before it or after it."""
    after = change.resource
    if change.type == "PlanDefinition":
        _check_program(actor, before, after)
    if change.type in PUBLISHED:
        _check_published(actor, before, after)
    if not _touches(change.type, before, after):
        return
    for said in (before, after):
        found = _owned(said) if said and not (said is after and change.type in SAID_BEFORE) else None
        if found and found.owners and found.owners.isdisjoint({actor, *organizations}):
            raise Problem.of(
                "forbidden",
                f"{change.reference} is written by who acts for {' or '.join(sorted(found.owners))} alone, and "
                f"{actor} does not",
                _touched(change.type, before, after) or found.element,
            )


def _check_program(actor: str, before: Resource | None, after: Resource | None) -> None:
    if any(said and said.get("status") == "active" and is_program(said) for said in (before, after)):
        raise Problem.of(
            "forbidden",
            f"A program's rules hold for all organizations: the local system writes one that is active, {actor} may "
            "write a draft",
            "PlanDefinition.status",
        )


def _check_published(actor: str, before: Resource | None, after: Resource | None) -> None:
    """What programs name is no organization's: their forms, codes and profiles."""
    for said in (before, after):
        if said and said.get("status") == "active" and str(said.get("url", "")).startswith(f"{BASE}/"):
            raise Problem.of(
                "forbidden",
                f"{said['url']} is what the programs of all organizations rest on: the local system writes it, "
                f"{actor} may write one under a URL of its own",
                f"{said['resourceType']}.url",
            )


def _touched(type: str, before: Resource | None, after: Resource | None) -> str | None:
    """The first element of an owner's that a change is of."""
    if before is None or after is None:
        return None
    return next((f"{type}.{name}" for name in ELEMENTS.get(type, ()) if before.get(name) != after.get(name)), None)


def _touches(type: str, before: Resource | None, after: Resource | None) -> bool:
    """Whether a change is of what an owner alone writes."""
    elements = ELEMENTS.get(type)
    if elements is None or before is None or after is None:
        return True
    return any(before.get(element) != after.get(element) for element in elements)


def _owned(resource: Resource) -> Owned | None:
    type = resource["resourceType"]
    if type == "Contract":
        parties = _organizations(*resource.get("subject", ()))
        return Owned(parties, "Contract.subject") if len(parties) >= PARTIES else None
    if type == "EpisodeOfCare":
        return Owned(_organizations(resource.get("managingOrganization", {})), "EpisodeOfCare.managingOrganization")
    if type == "OrganizationAffiliation":
        said = next(
            (name for name in ("organization", "participatingOrganization") if name in resource), "organization"
        )
        return Owned(_organizations(resource.get(said, {})), f"OrganizationAffiliation.{said}")
    if type == "Organization":
        above = _organizations(resource.get("partOf", {}))
        return Owned(above | {f"Organization/{resource['id']}"}, "Organization.partOf")
    if type == "Task" and TASK in tokens([resource.get("code", {})]):
        return Owned(_named(resource.get("owner", {})), "Task.owner")
    if type == "Communication" and NOTICE in tokens(resource.get("category")):
        return Owned(_organizations(*resource.get("recipient", ())), "Communication.recipient")
    if type == "Task" and not ASKED.isdisjoint(tokens([resource.get("code", {})])):
        return Owned(_organizations(resource.get("owner", {})), "Task.owner")
    if type == "DetectedIssue":
        resolvers = [one.get("valueReference", {}) for one in resource.get("extension", ()) if one["url"] == RESOLVER]
        return Owned(_named(*resolvers), "DetectedIssue.extension")
    return None


def _organizations(*links: Resource) -> frozenset[str]:
    return frozenset(one for one in _named(*links) if one.startswith("Organization/"))


def _named(*links: Resource) -> frozenset[str]:
    found = (local(link.get("reference", "")) for link in links)
    return frozenset(f"{one.type}/{one.id}" for one in found if one)
