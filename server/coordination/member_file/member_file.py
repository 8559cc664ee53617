"""Member file: everything that is kept of a member, as one document that a person can read from the beginning.

https://hl7.org/fhir/R4/documents.html, https://hl7.org/fhir/R4/composition.html

Pure: resources in, a Bundle out. Sections have the LOINC codes that C-CDA gives them, where there is one.
"""

from __future__ import annotations

import uuid
from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from server.coordination import facts, period
from server.coordination.communication import demographics
from server.coordination.narrative import narrative, paragraphs, table
from server.fhir import bundle
from server.ledger import Resource, instant

NAMESPACE = uuid.UUID("0b7c1c6e-51a5-5d2b-8f0e-3a4e6a1f7c55")  # of the documents' identifiers
LOINC = "http://loinc.org"
TITLE = "Member file"
TYPE = ("18761-7", "Transfer summary note")
CURRENT_PLANS = frozenset({"active", "on-hold"})
ANSWERED = frozenset({"completed", "amended"})


class Section(NamedTuple):
    """A section: its title, the resource types that stand in it, and its LOINC code with display."""

    title: str
    types: tuple[str, ...]
    code: tuple[str, str] | None = None


TEAM = Section(
    "Case managers and care team", ("EpisodeOfCare", "CareTeam"), ("85847-2", "Patient Care team information")
)
NOTES = Section(
    "Documentation of the case managers",
    ("DocumentReference", "ClinicalImpression", "Composition"),
    ("34109-9", "Note"),
)
ASSESSMENT = Section("Current assessment", ("QuestionnaireResponse", "RiskAssessment"), ("51848-0", "Evaluation note"))
PLAN = Section("Current service plan", ("CarePlan",), ("18776-5", "Plan of care note"))
EARLIER = Section("Earlier assessments and plans", ())
OTHER = Section("Other important information", ())
SECTIONS = (
    TEAM,
    NOTES,
    ASSESSMENT,
    PLAN,
    Section("Goals", ("Goal",), ("61146-7", "Goals")),
    Section("Problems and alerts", ("Condition", "Flag", "DetectedIssue"), ("11450-4", "Problem list - Reported")),
    Section("Services and referrals", ("ServiceRequest", "RequestGroup", "DeviceRequest", "NutritionOrder", "Task")),
    Section(
        "Contacts",
        ("RelatedPerson", "Communication", "CommunicationRequest", "Encounter", "Appointment", "AppointmentResponse"),
    ),
    Section("Allergies", ("AllergyIntolerance",), ("48765-2", "Allergies and adverse reactions Document")),
    Section(
        "Medicines",
        ("MedicationRequest", "MedicationStatement", "MedicationDispense", "MedicationAdministration"),
        ("10160-0", "History of Medication use Narrative"),
    ),
    Section("Coverage", ("Coverage",), ("48768-6", "Payment sources Document")),
    EARLIER,
    OTHER,
)
_OF_TYPE = {type: section for section in SECTIONS for type in section.types}


class Manager(NamedTuple):
    """Who has or had the member: the role, the person's name, from when to when."""

    role: str
    name: str
    start: str | None
    end: str | None


@dataclass(slots=True)
class File:
    """What a document is made of. `own` are the member's resources, `others` what they name, each by its reference."""

    patient: Resource
    own: dict[str, Resource]
    others: dict[str, Resource]
    managers: list[Manager]
    organizations: list[str]
    at: int  # business time, in microseconds since the epoch
    now: int
    position: int
    zone: str
    recipient: str | None = None
    base_url: str = ""

    def called(self, reference: str) -> str:
        """Whom or what a reference leads to, by name; the reference itself where the file does not have it."""
        local = facts.literal({"reference": reference}, self.base_url) or reference
        mine = {f"Patient/{self.patient['id']}": self.patient}
        found: Resource = ChainMap(mine, self.own, self.others).get(local, {})
        if "practitioner" in found and "reference" in found["practitioner"]:
            return self.called(found["practitioner"]["reference"])
        names = found.get("name", ())
        return (names if isinstance(names, str) else demographics.name(names, self.at, self.zone)) or local


def document(file: File) -> Resource:
    """A document Bundle: the Composition, the Patient, the member's resources by section, and what they name."""
    reference = f"Patient/{file.patient['id']}"
    name = f"{reference} {file.position} {file.at} {file.recipient or ''}"
    id = str(uuid.uuid5(NAMESPACE, name))
    sections = placed(file)
    entries = [
        composition(file, id, sections),
        file.patient,
        *(resource for section in SECTIONS for resource in sections[section.title]),
        *file.others.values(),
    ]
    return bundle.document(file.base_url, id, instant(file.now), entries)


# Which resource stands where


def placed(file: File) -> dict[str, list[Resource]]:
    """Each of the member's resources in its section, by the section's title, the newest first."""
    latest = _latest_assessments(file)
    found: dict[str, list[Resource]] = {section.title: [] for section in SECTIONS}
    for reference, resource in file.own.items():
        section = _OF_TYPE.get(resource["resourceType"], OTHER)
        if (section is ASSESSMENT and reference not in latest) or (section is PLAN and not _is_current(file, resource)):
            section = EARLIER
        elif resource["resourceType"] == "Task" and _is_transfer(resource):
            section = TEAM
        found[section.title].append(resource)
    for resources in found.values():
        resources.sort(key=lambda one: (one["resourceType"], one["id"]))
        resources.sort(key=lambda one: _starts(when(one), file.zone), reverse=True)
    return found


def _latest_assessments(file: File) -> set[str]:
    """Of each questionnaire and each kind of risk the last answers until then; of others none is the current one."""
    latest: dict[str, tuple[int, str]] = {}
    for reference, resource in file.own.items():
        if resource["resourceType"] == "QuestionnaireResponse" and resource.get("status") in ANSWERED:
            kind = str(resource.get("questionnaire", "")).partition("|")[0]
        elif resource["resourceType"] == "RiskAssessment" and resource.get("status") not in {
            "entered-in-error",
            "cancelled",
        }:
            kind = f"RiskAssessment {_concept(resource.get('code')) or _concept(resource.get('method'))}"
        else:
            continue
        made = _starts(when(resource), file.zone)
        if made <= file.at:
            latest[kind] = max(latest.get(kind, (made, reference)), (made, reference))
    return {reference for _, reference in latest.values()}


def _is_current(file: File, plan: Resource) -> bool:
    over = plan.get("period", {})
    return plan.get("status") in CURRENT_PLANS and period.holds(
        [period.between(over.get("start"), over.get("end"), file.zone)], file.at
    )


def _is_transfer(task: Resource) -> bool:
    return not {facts.TRANSFER, facts.STEP}.isdisjoint(facts.tokens([task.get("code", {})]))


def _starts(date: str, zone: str) -> int:
    return period.starts(date or None, zone)


# The Composition


def composition(file: File, id: str, sections: Mapping[str, Sequence[Resource]]) -> Resource:
    """The table of contents, with a narrative that says who has the member since when and what there is."""
    called = demographics.name(file.patient.get("name"), file.at, file.zone) or f"Patient/{file.patient['id']}"
    authors = [{"reference": one} for one in file.organizations] or [{"display": "careplan-server"}]
    return {
        "resourceType": "Composition",
        "id": id,
        "text": narrative(_opening(file, called)),
        "status": "final",
        "type": {"coding": [_coding(TYPE)]},
        "subject": {"reference": f"Patient/{file.patient['id']}"},
        "date": instant(file.now),
        "author": authors,
        "title": f"{TITLE} of {called}",
        **({"custodian": authors[0]} if file.organizations else {}),
        "section": [_section(file, section, sections[section.title]) for section in SECTIONS],
    }


def _coding(code: tuple[str, str]) -> Resource:
    return {"system": LOINC, "code": code[0], "display": code[1]}


def _section(file: File, section: Section, resources: Sequence[Resource]) -> Resource:
    made: Resource = {"title": section.title}
    if section.code:
        made["code"] = {"coding": [_coding(section.code)]}
    parts = [_managers(file)] if section is TEAM else []
    made["text"] = narrative("".join([*parts, _rows(file, resources)]))
    if resources:
        made["entry"] = [{"reference": f"{one['resourceType']}/{one['id']}"} for one in resources]
    else:
        made["emptyReason"] = {
            "coding": [{"system": "http://terminology.hl7.org/CodeSystem/list-empty-reason", "code": "unavailable"}]
        }
    return made


# Narrative


def _opening(file: File, called: str) -> str:
    born = file.patient.get("birthDate")
    lines = [f"{TITLE} of {called}" + (f", born {born}" if born else "")]
    lines.append(f"As of {period.text(file.at, file.zone)}; position {file.position} of the ledger.")
    if file.recipient:
        lines.append(f"For {file.recipient}.")
    return paragraphs(lines)


def _managers(file: File) -> str:
    if not file.managers:
        return "<p>No case manager is on record.</p>"
    rows = (
        (one.name or one.role, one.role, one.start or "from the beginning", one.end or "no end")
        for one in file.managers
    )
    return table(("Case manager", "Role", "Since", "Until"), rows)


def _rows(file: File, resources: Sequence[Resource]) -> str:
    if not resources:
        return "<p>Nothing is on record.</p>"
    rows = ((one["resourceType"], what(one, file.called), str(one.get("status", "")), when(one)) for one in resources)
    return table(("Kind", "What", "Status", "Date"), rows)


_NAMED_BY = (
    "title", "name", "description", "topic", "type", "code", "vaccineCode", "medicationCodeableConcept", "category",
    "questionnaire", "serviceType", "relationship", "class", "activity",
)  # fmt: skip
_TOLD_BY = ("medium", "topic", "reasonCode", "note", "payload")
_DATED_BY = (
    "date", "sent", "received", "authored", "authoredOn", "effectiveDateTime", "occurrenceDateTime", "recordedDate",
    "performedDateTime", "onsetDateTime", "startDate", "dateAsserted", "assertedDate", "issued", "recorded", "created",
    "start", "effectivePeriod", "occurrencePeriod", "performedPeriod", "period", "identifiedDateTime", "whenHandedOver",
)  # fmt: skip


def what(resource: Resource, called: Callable[[str], str] = str) -> str:
    """A resource in a few words, "" where it has none. `called` names whom a reference leads to."""
    type = resource["resourceType"]
    if type == "RelatedPerson":
        names = map(demographics.name_text, resource.get("name", ()))
        return ", ".join(filter(None, [next(names, ""), _concept(resource.get("relationship"))]))
    if type in {"Communication", "CommunicationRequest"}:
        told = [_named([resource.get("sender")], "from", called), _named(resource.get("recipient", ()), "to", called)]
        return " ".join(filter(None, [*told, *(_words(resource.get(name)) for name in _TOLD_BY)]))
    said = next(filter(None, (_words(resource.get(name)) for name in _NAMED_BY)), "")
    by = _named([*resource.get("performer", ()), *_participants(resource)], "by", called)
    return " ".join(filter(None, [said, by]))


def _participants(resource: Resource) -> list[Any]:
    """Who takes part in an encounter, an appointment or a team."""
    return [
        one.get("individual") or one.get("actor") or one.get("member")
        for one in resource.get("participant", ())
        if isinstance(one, dict)
    ]


def _named(links: Iterable[Any], preposition: str, called: Callable[[str], str]) -> str:
    found = (link.get("actor", link) for link in links if isinstance(link, dict))
    names = [link.get("display") or called(link["reference"]) for link in found if {"display", "reference"} & {*link}]
    return f"{preposition} {' and '.join(names)}" if names else ""


def _words(value: Any) -> str:
    """A text, a coded concept, a note or what was said: the first of several."""
    first = next(iter(value), None) if isinstance(value, list) else value
    if isinstance(first, str):
        return first
    if isinstance(first, dict) and "contentString" in first:
        return str(first["contentString"])
    return _concept(first)


def _concept(value: Any) -> str:
    """A CodeableConcept, a Coding, or the first of several, as a person reads it."""
    concept = next(iter(value), None) if isinstance(value, list) else value
    if not isinstance(concept, dict):
        return ""
    codings = [concept, *concept.get("coding", ())]
    texts = (one.get(name) for name in ("text", "display", "code") for one in codings)
    return next((text for text in texts if isinstance(text, str)), "")


def when(resource: Resource) -> str:
    """A resource's own date, as it is written; "" where it has none."""
    for name in _DATED_BY:
        value = resource.get(name)
        date = value.get("start") if isinstance(value, dict) else value
        if isinstance(date, str):
            return date
    return ""


# What the resources name


def references(resource: Any, base_url: str) -> Iterator[str]:
    """Every local reference in a resource, and every local url of an attachment, as "Type/id"."""
    if isinstance(resource, dict):
        for name, value in resource.items():
            if name in ("reference", "url") and isinstance(value, str):
                found = facts.literal({"reference": value}, base_url)
                if found:
                    yield found
            elif isinstance(value, dict | list):
                yield from references(value, base_url)
    elif isinstance(resource, list):
        for item in resource:
            yield from references(item, base_url)


_SUBJECTS = ("subject", "patient", "beneficiary", "for", "individual")


def is_of_another(resource: Resource, patients: Iterable[str], base_url: str) -> bool:
    """True where a resource is about another member: this one only takes part in it. A Provenance is about each."""
    own = set(patients)
    if resource["resourceType"] == "Provenance":
        return bool(_patients(resource.get("target"), base_url) - own)
    about = {one for name in _SUBJECTS for one in _patients(resource.get(name), base_url)}
    return bool(about) and about.isdisjoint(own)


def _patients(value: Any, base_url: str) -> set[str]:
    return {found for link in _links(value) if (found := facts.literal(link, base_url, ("Patient",)))}


def _links(value: Any) -> list[Resource]:
    found = value if isinstance(value, list) else [value]
    return [one for one in found if isinstance(one, dict) and "reference" in one]
