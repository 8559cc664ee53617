"""Comprehensive plan: what two organizations plan and order for a member, as one plan that a person can read.

https://hl7.org/fhir/R4/documents.html, https://hl7.org/fhir/R4/careplan.html

Every item says where it comes from. Where both have the same service, both are told, side by side: nothing is chosen.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from server.coordination import facts, period
from server.coordination.communication import demographics
from server.coordination.facts import literal
from server.coordination.lead.who import Lead
from server.coordination.member_file.member_file import LOINC, NAMESPACE, what
from server.coordination.narrative import narrative, paragraphs, table
from server.coordination.responsibility.check import Check
from server.coordination.responsibility.item import Item
from server.fhir import bundle
from server.ledger import Resource, instant

SOURCE = f"{facts.BASE}/StructureDefinition/plan-item-source"
TITLE = "Comprehensive plan of care"
TYPE = {"coding": [{"system": LOINC, "code": "18776-5", "display": "Plan of care note"}]}
LISTS = ("addresses", "careTeam", "goal")  # of CarePlan, what is in any of both is in the one


@dataclass(frozen=True, slots=True)
class Plan:
    """What the document is made of: the sources (CarePlans and ServiceRequests, by reference), and what was found."""

    asked: Check
    patient: Resource
    sources: dict[str, Resource]
    services: Sequence[Item]
    issues: Sequence[Resource]  # DetectedIssues
    beside: Sequence[Resource]  # what the sources name: goals, teams, organizations, people
    lead: Lead | None
    is_agreed: bool  # there is one active plan, which is of both
    at: int
    now: int
    position: int
    base_url: str

    @property
    def reference(self) -> str:
        return f"Patient/{self.patient['id']}"

    @property
    def id(self) -> str:
        return str(uuid.uuid5(NAMESPACE, f"{TITLE} {self.reference} {self.position} {self.at}"))


def document(plan: Plan) -> Resource:
    """The Composition, the one CarePlan, the member, and all that these name."""
    whole = one_plan(plan)
    entries = [_composition(plan, whole), whole, plan.patient, *plan.sources.values(), *plan.beside, *plan.issues]
    return bundle.document(plan.base_url, plan.id, instant(plan.now), entries)


# The one CarePlan


def one_plan(plan: Plan) -> Resource:
    """Active where both have agreed on one already; else a draft of one."""
    care_plans = [one for one in plan.sources.values() if one["resourceType"] == "CarePlan"]
    merged: Resource = {
        "resourceType": "CarePlan",
        "id": plan.id,
        "status": "active" if plan.is_agreed else "draft",
        "intent": "plan",
        "title": TITLE,
        "subject": {"reference": plan.reference},
        "created": period.text(plan.now, plan.asked.terms.zone),
        "contributor": [{"reference": one} for one in plan.asked.pair.organizations],
    }
    for name in LISTS:
        if together := _together(care_plans, name):
            merged[name] = together
    if plan.lead and plan.lead.form:
        merged["supportingInfo"] = [{"reference": plan.lead.form}]
    if activities := [_activity(plan, one) for one in plan.services]:
        merged["activity"] = activities
    return merged


def _together(care_plans: Iterable[Resource], name: str) -> list[Resource]:
    """The references of all of them, each once."""
    links = [link for one in care_plans for link in one.get(name, ())]
    return list({literal(link) or str(link): link for link in links}.values())


def _activity(plan: Plan, item: Item) -> Resource:
    """One service, as its source has it, with the source, and whose it is."""
    source = plan.sources[item.reference]
    party = plan.asked.organization(item.party)
    told: list[Resource] = [{"url": "source", "valueReference": {"reference": item.reference, "display": item.text}}]
    if party:
        told.append({"url": "organization", "valueReference": {"reference": party}})
    own = {"reference": {"reference": item.reference}}
    if item.place:
        own = source["activity"][int(item.place.removeprefix("activity[").removesuffix("]"))]
    extensions = [*own.get("extension", ()), {"url": SOURCE, "extension": told}]
    return {**own, "extension": extensions}


# The document's first page


def _composition(plan: Plan, whole: Resource) -> Resource:
    zone, authors = plan.asked.terms.zone, [{"reference": one} for one in plan.asked.pair.organizations]
    called = demographics.name(plan.patient.get("name"), plan.at, zone) or plan.reference
    opening = [
        f"{TITLE} of {called}",
        f"As of {period.text(plan.at, zone)}; position {plan.position} of the ledger.",
        f"Of {' and '.join(map(_name(plan), plan.asked.pair.organizations))}.",
        "Agreed on as one plan." if plan.is_agreed else "Put together of what each of both has; not agreed on yet.",
    ]
    return {
        "resourceType": "Composition",
        "id": plan.id,
        "text": narrative(paragraphs(opening)),
        "status": "final" if plan.is_agreed else "preliminary",
        "type": TYPE,
        "subject": {"reference": plan.reference},
        "date": instant(plan.now),
        "author": authors,
        "title": f"{TITLE} of {called}",
        "section": list(_sections(plan, whole)),
    }


def _sections(plan: Plan, whole: Resource) -> Iterator[Resource]:
    yield _section("Plan", paragraphs([_leading(plan)]), [f"CarePlan/{whole['id']}"])
    yield _section("Services and who coordinates them", _side_by_side(plan), dict.fromkeys(plan.sources))
    goals = [one for one in plan.beside if one["resourceType"] == "Goal"]
    rows = ((what(one) or one["id"], str(one.get("lifecycleStatus", ""))) for one in goals)
    yield _section("Goals", table(("Goal", "Status"), rows), [f"Goal/{one['id']}" for one in goals])
    settled = ((one["detail"], one["code"]["coding"][0]["code"]) for one in plan.issues)
    issues = [f"DetectedIssue/{one['id']}" for one in plan.issues]
    yield _section("To be settled", table(("What", "Kind"), settled), issues)


def _section(title: str, text: str, entries: Iterable[str]) -> Resource:
    found = [{"reference": one} for one in entries]
    empty = {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": "nilknown"}]}
    return {
        "title": title,
        "text": narrative(text if found else "<p>Nothing is on record.</p>"),
        **({"entry": found} if found else {"emptyReason": empty}),
    }


def _leading(plan: Plan) -> str:
    if plan.lead is None:
        return "No lead care manager is named."
    return f"{_name(plan)(plan.lead.role)} leads since {plan.lead.since}."


def _side_by_side(plan: Plan) -> str:
    """A row for each service, with what each of both has of it."""
    rows: dict[str, dict[str | None, list[str]]] = {}
    for item in plan.services:
        row = plan.asked.table.find(item.codes, min(item.when.high, plan.asked.window.high) - 1)
        place = f"{item.reference}{f' {item.place}' if item.place else ''}"
        rows.setdefault(row.title if row else item.text, {}).setdefault(item.party, []).append(place)
    name = _name(plan)
    head = ("Service", name(plan.asked.pair.plan), name(plan.asked.pair.partner), "Neither")
    return table(
        head,
        ((title, *("; ".join(of.get(one, ())) for one in ("plan", "partner", None))) for title, of in rows.items()),
    )


class _name:  # noqa: N801 - reads as a function
    """What a reference is called in the document; the reference itself where it has no name there."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.known = {f"{one['resourceType']}/{one['id']}": one for one in plan.beside}

    def __call__(self, reference: str) -> str:
        found = self.known.get(reference, {})
        if "practitioner" in found:
            return self(literal(found["practitioner"]) or reference)
        names = found.get("name", ())
        if isinstance(names, str):
            return names
        return demographics.name(names, self.plan.at, self.plan.asked.terms.zone) or reference
