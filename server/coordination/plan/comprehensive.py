"""Comprehensive plan: what two organizations plan and order for a member, as one plan that a person can read.

https://hl7.org/fhir/R4/documents.html, https://hl7.org/fhir/R4/careplan.html

Every item says where it comes from. Where both have the same service, both are told, and where they contradict each
other, side by side: nothing is chosen. What a person reads has the fields of New York's plan (ADJ-11, ADJ-13), as far
as they are on record.
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
from server.coordination.plan.conflict import (
    Conflict,
    activity_of,
    described,
    detail_of,
    needs_of,
    target_text,
)
from server.coordination.plan.words import concept
from server.coordination.responsibility.check import Check
from server.coordination.responsibility.item import PARTIES, Item
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
    conflicts: Sequence[Conflict]
    beside: Sequence[Resource]  # what the sources name: goals, organizations, people; and the teams of both
    supports: Sequence[Resource]  # RelatedPersons
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
    def zone(self) -> str:
        return self.asked.terms.zone

    @property
    def id(self) -> str:
        return str(uuid.uuid5(NAMESPACE, f"{TITLE} {self.reference} {self.position} {self.at}"))

    @property
    def care_plans(self) -> list[Resource]:
        return [one for one in self.sources.values() if one["resourceType"] == "CarePlan"]


def document(plan: Plan) -> Resource:
    """The Composition, the one CarePlan, the member, and all that these name."""
    whole = one_plan(plan)
    named = [*plan.sources.values(), *plan.beside, *plan.supports, *plan.issues]
    return bundle.document(
        plan.base_url, plan.id, instant(plan.now), [_composition(plan, whole), whole, plan.patient, *named]
    )


# The one CarePlan


def one_plan(plan: Plan) -> Resource:
    """Active where both have agreed on one already; else a draft of one, to replace the plans that it is of."""
    merged: Resource = {
        "resourceType": "CarePlan",
        "id": plan.id,
        "status": "active" if plan.is_agreed else "draft",
        "intent": "plan",
        "title": TITLE,
        "subject": {"reference": plan.reference},
        "created": period.text(plan.now, plan.zone),
        "contributor": [{"reference": one} for one in plan.asked.pair.organizations],
    }
    if not plan.is_agreed and plan.care_plans:
        merged["replaces"] = [{"reference": f"CarePlan/{one['id']}"} for one in plan.care_plans]
    for name in LISTS:
        if together := _together(plan.care_plans, name):
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
    """One service, as its source has it, with the source, and whose it is; what came from a source keeps that one."""
    source = plan.sources[item.reference]
    own: Resource = activity_of(item, source) if item.place else {"reference": {"reference": item.reference}}
    if any(one["url"] == SOURCE for one in own.get("extension", ())):
        return own
    told: list[Resource] = [{"url": "source", "valueReference": {"reference": item.reference, "display": item.text}}]
    if party := plan.asked.organization(item.party):
        told.append({"url": "organization", "valueReference": {"reference": party}})
    return {**own, "extension": [*own.get("extension", ()), {"url": SOURCE, "extension": told}]}


# The document's first page


def _composition(plan: Plan, whole: Resource) -> Resource:
    authors = [{"reference": one} for one in plan.asked.pair.organizations]
    called = demographics.name(plan.patient.get("name"), plan.at, plan.zone) or plan.reference
    opening = [
        f"{TITLE} of {called}",
        f"As of {period.text(plan.at, plan.zone)}; position {plan.position} of the ledger.",
        f"Of {' and '.join(map(_name(plan), plan.asked.pair.organizations))}.",
        "Agreed on as one plan." if plan.is_agreed else "Put together of what each of both has; not agreed on as one.",
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
    yield _section("Plan", paragraphs([_leading(plan), *_plans(plan)]), [f"CarePlan/{whole['id']}"])
    yield _section("Services and who coordinates them", _side_by_side(plan), dict.fromkeys(plan.sources))
    goals = _of_type(plan, "Goal")
    rows = ((what(one), str(one.get("lifecycleStatus", "")), _until(one)) for one in goals)
    yield _section("Goals", table(("Goal", "Status", "Target"), rows), _references(goals))
    settled = ((one["detail"], one["code"]["coding"][0]["code"]) for one in plan.issues)
    issues = _references(plan.issues)
    yield _section("To be settled", table(("What", "Kind"), settled), issues)
    both = map(_name(plan), plan.asked.pair.organizations)
    differing = ((one.about, *map(one.of, PARTIES)) for one in plan.conflicts)
    items = dict.fromkeys(each.item.reference for one in plan.conflicts for each in one.statements)
    yield _section("What contradicts", table(("About", *both), differing), items)
    yield _section("Member", table(("What", "On record"), _member(plan)), [plan.reference])
    yield _section("Services in full", table(_SERVICE, _in_full(plan)), dict.fromkeys(plan.sources))
    teams = _of_type(plan, "CareTeam")
    known = [*_references(teams), *([plan.reference] if "generalPractitioner" in plan.patient else [])]
    yield _section("Care team", table(("Who", "As", "Reached by"), dict.fromkeys(_people(plan, teams))), known)
    supports = [*_supports(plan)]
    told = dict.fromkeys(reference for reference, *_ in supports)
    yield _section("Informal supports", table(("Who", "Reached by"), (row for _, *row in supports)), told)


def _of_type(plan: Plan, type: str) -> list[Resource]:
    return [one for one in plan.beside if one["resourceType"] == type]


def _references(found: Iterable[Resource]) -> list[str]:
    return [f"{one['resourceType']}/{one['id']}" for one in found]


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
    reached = _reached(plan, plan.lead.role)
    return f"{_name(plan)(plan.lead.role)}{f' ({reached})' if reached else ''} leads since {plan.lead.since}."


def _plans(plan: Plan) -> Iterator[str]:
    """The plans that it is put together of, whose each is, and which other ones each names."""
    name = _name(plan)
    for one in plan.care_plans:
        links = [literal(link) for link in (one.get("author", {}), *one.get("contributor", ()))]
        of = " and ".join(name(link) for link in links if link)
        beside = [link for each in one.get("supportingInfo", ()) if (link := literal(each, types=("CarePlan",)))]
        linked = f", linked with {' and '.join(beside)}" if beside else ""
        title = f" ({one['title']})" if "title" in one else ""
        yield f"CarePlan/{one['id']}{title}, {one.get('status')}{f', of {of}' if of else ''}{linked}."


def _side_by_side(plan: Plan) -> str:
    """A row for each service, with what each of both has of it."""
    rows: dict[str, dict[str | None, list[str]]] = {}
    for item in plan.services:
        row = plan.asked.row(item)
        place = f"{item.reference}{f' {item.place}' if item.place else ''}"
        for party in item.parties:
            rows.setdefault(row.title if row else item.text, {}).setdefault(party, []).append(place)
    name = _name(plan)
    head = ("Service", name(plan.asked.pair.plan), name(plan.asked.pair.partner), "Neither")
    return table(
        head,
        ((title, *("; ".join(of.get(one, ())) for one in (*PARTIES, None))) for title, of in rows.items()),
    )


def _until(goal: Resource) -> str:
    return "; ".join(filter(None, map(target_text, goal.get("target", ()))))


def _member(plan: Plan) -> Iterator[tuple[str, str]]:
    """Who the plan is of, and for which time."""
    patient, at, zone = plan.patient, plan.at, plan.zone
    when = [one["period"] for one in plan.care_plans if "period" in one]
    languages = [concept(one.get("language", {})) for one in patient.get("communication", ())]
    given = (
        ("Name", demographics.name(patient.get("name"), at, zone)),
        ("Born", patient.get("birthDate", "")),
        ("Address", ", ".join(demographics.address(patient.get("address"), at, zone))),
        ("Reached by", "; ".join(_points(patient))),
        ("Language", ", ".join(languages)),
        ("Authorized", "; ".join(f"{one.get('start', '')} to {one.get('end', 'no end')}" for one in when)),
        ("Issued", period.text(plan.now, zone)),
    )
    yield from ((name, text) for name, text in given if text)


def _points(patient: Resource) -> list[str]:
    return [one["value"] for one in patient.get("telecom", ()) if one.get("value") and one.get("use") != "old"]


_SERVICE = ("Service", "Of", "Scope", "Amount and frequency", "Provider", "Authorized", "For the need", "Goals")


def _in_full(plan: Plan) -> Iterator[tuple[str, ...]]:
    name = _name(plan)
    for item in plan.services:
        source = plan.sources[item.reference]
        told, detail = described(item, plan.sources), detail_of(item, source)
        row = plan.asked.row(item)
        party = plan.asked.organization(item.party)
        providers = [one.get("display") or name(literal(one) or "") for one in detail.get("performer", ())]
        yield (
            row.title if row else item.text,
            name(party) if party else "",
            (row.scope if row else None) or "not allocated",
            ", ".join(filter(None, (told["amount"], told["frequency"]))),
            ", ".join(filter(None, providers)),
            _authorized(plan, item, told["period"]),
            ", ".join(dict.fromkeys(name(text) for _, text in needs_of(item, source))),
            ", ".join(name(literal(one) or "") for one in detail.get("goal", ())),
        )


def _authorized(plan: Plan, item: Item, when: str) -> str:
    """For which time, by what, and of a request by whom."""
    requester = literal(plan.sources[item.reference].get("requester"))
    by = f"by {_name(plan)(requester)}" if requester else ""
    return " ".join(filter(None, (when, f"({item.reference})", by)))


def _people(plan: Plan, teams: Iterable[Resource]) -> Iterator[tuple[str, str, str]]:
    """The member's PCP, and who is on the teams now."""
    name = _name(plan)
    for link in plan.patient.get("generalPractitioner", ()):
        who = literal(link) or ""
        yield link.get("display") or name(who), "primary care provider", _reached(plan, who)
    for one in (each for team in teams for each in team.get("participant", ())):
        who = literal(one.get("member")) or ""
        if _is_now(plan, one.get("period", {})):
            called = one.get("member", {}).get("display") or name(who)
            yield called, ", ".join(map(concept, one.get("role", ()))), _reached(plan, who)


def _supports(plan: Plan) -> Iterator[tuple[str, str, str]]:
    """(where it is on record, who, how reached) of the member's related people, and of whom the Patient names now."""
    contacts = [one for one in plan.patient.get("contact", ()) if _is_now(plan, one.get("period", {}))]
    found = [(f"RelatedPerson/{one['id']}", what(one), one) for one in plan.supports]
    found += [(plan.reference, _contact(plan, one), one) for one in contacts]
    for reference, who, one in found:
        points = demographics.telecom(one.get("telecom"), plan.at, plan.zone, demographics.PRIVATE_USES)
        yield reference, who, "; ".join(points)


def _contact(plan: Plan, contact: Resource) -> str:
    """Whom a Patient.contact is: the person, else the organization, and what they are to the member."""
    organization = contact.get("organization", {})
    named = organization.get("display") or _name(plan)(literal(organization) or "")
    called = demographics.name_text(contact.get("name", {})) or named
    return ", ".join(filter(None, (called, *map(concept, contact.get("relationship", ())))))


def _is_now(plan: Plan, when: Resource) -> bool:
    return period.holds([period.between(when.get("start"), when.get("end"), plan.zone)], plan.at)


def _reached(plan: Plan, reference: str) -> str:
    """How somebody is reached: in the role, else as a person."""
    found = _known(plan).get(reference, {})
    points = demographics.telecom(found.get("telecom"), plan.at, plan.zone)
    person = literal(found.get("practitioner"))
    return "; ".join(points) or (_reached(plan, person) if person else "")


def _known(plan: Plan) -> dict[str, Resource]:
    return {f"{one['resourceType']}/{one['id']}": one for one in plan.beside}


class _name:  # noqa: N801 - reads as a function
    """What a reference is called in the document; the reference itself where it has no name there."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.known = _known(plan)

    def __call__(self, reference: str) -> str:
        found = self.known.get(reference, {})
        if "practitioner" in found:
            return self(literal(found["practitioner"]) or reference)
        if found.get("resourceType") in {"Condition", "Goal", "Observation"}:
            return what(found) or reference
        names = found.get("name", ())
        if isinstance(names, str):
            return names
        return demographics.name(names, self.plan.at, self.plan.zone) or reference
