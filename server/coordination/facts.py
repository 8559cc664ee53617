"""Facts: what the rules and reports ask of a resource and no search parameter answers, as rows of JSON arrays.

Who holds whom, in which program, from when to when. `facts` is a pure function of one resource: the store keeps its
rows beside the search index, and `View.facts` finds them by kind and key.

    kind          key                       data
    member        Patient/1                 an enrolment, an assignment, an open transfer, a link to another record
    team          Patient/1                 a team of the member
    manager       PractitionerRole/7        every assignment that is held in the role
    role          PractitionerRole/7        the role itself
    role          Practitioner/7            every role of the person
    organization  Organization/3            the members with an episode there
    subject       CareTeam/5, EpisodeOfCare/5, Task/5   the member that it is about (a Task: of a transfer)
    transfer      Patient/1, PractitionerRole/7, Organization/3, Task/5   a transfer: whom, from, to, where, itself
    reservation   PractitionerRole/7        a transfer that is open, at who is to get the member
    step          Task/5                    a step of a transfer, at the transfer and at itself
    communication Patient/1                 a Communication about the member, or by the member
    plan          Patient/1                 an active CarePlan, and when its open activities were followed up
    review        Patient/1                 a completed review of the service plan: when it ended
    flag          Organization/3            a Flag on the breach of a limit there
    contact       Organization/3            a HealthcareService or an area's manager to call there
    home          Patient/1                 a home address
    area          postalCode|50309          an area with that in its address, by what tells most
    location      Location/9                whether it is an area, what it is part of, where it is
    related       Patient/1                 a RelatedPerson of the member
    service       Patient/1                 an active service of the member: by whom, and until when
    participant   Patient/1                 somebody else on an active team of the member, from when to when
    need          Patient/1                 a Flag that the member needs continuity; a RiskAssessment's levels
    place         Patient/1, Organization/3, HealthcareService/4   where it is: a position, an address, or Locations
    staff         Organization/3            a PractitionerRole there
    agreement     Organization/3, Contract/2   a Contract between organizations
    designation   Patient/1, Task/5, QuestionnaireResponse/4, Contract/2   a proposal of a member's lead
    program       *                         an active program, by the digest of its content

References are kept as "Patient/1" whatever form they came in: versioned and absolute ones are the same person.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from server.fhir import body, reference
from server.ledger import Fact, FactRow, Resource

BASE = "https://careplan-server.org/fhir"
PROGRAM_EXTENSION = f"{BASE}/StructureDefinition/program"
ENTERED_IN_ERROR = f"{BASE}/StructureDefinition/entered-in-error"
BREACH = f"{BASE}/StructureDefinition/caseload-breach"
RULE_KIND = f"{BASE}/CodeSystem/rule-kind"
TASK = f"{BASE}/CodeSystem/cm-task"
TRANSFER, STEP = f"{TASK}|case-manager-transfer", f"{TASK}|case-manager-transfer-step"  # Task.code
REVIEW = f"{TASK}|service-plan-review"
DESIGNATION = f"{TASK}|lead-designation"
DESIGNATION_TERM = f"{BASE}/CodeSystem/cm-designation"  # the type of Task.input and Task.output: lead, form, since …
TRANSFER_INPUT = f"{BASE}/CodeSystem/cm-transfer-input"  # Task.input.type: from, to, organization, effective
ALL_PROGRAMS = "*"
CONTINUITY = f"{BASE}/CodeSystem/cm-flag|continuity-required"
AREA_MANAGER = f"{BASE}/CodeSystem/cm-role|area-manager"

# what a member's fact is: the first of its data
ASSIGNMENT, ENROLMENT, LINK, MOVE = "assignment", "enrolment", "link", "move"


def facts(resource: Resource, base_url: str = "") -> list[FactRow]:
    """The rows of one resource. Absolute references under `base_url` are local ones."""
    of = _FACTS.get(resource["resourceType"])
    return list(of(resource, base_url)) if of else []


def tokens(concepts: list[Resource] | None) -> list[str]:
    """The codings of CodeableConcepts, each as "system|code"."""
    return [token(coding) for concept in concepts or () for coding in concept.get("coding", ()) if "code" in coding]


def token(coding: Mapping[str, Any]) -> str:
    return f"{coding.get('system', '')}|{coding['code']}"


def literal(link: Mapping[str, Any] | None, base_url: str = "", types: tuple[str, ...] = ()) -> str | None:
    """A Reference as "Type/id": None where it is no literal reference to this server, or to another type."""
    if not link or "reference" not in link:
        return None
    found = reference.local(link["reference"], base_url)
    if found is None or (types and found.type not in types):
        return None
    return f"{found.type}/{found.id}"


def digest(resource: Resource) -> str:
    """What tells one content of a program from another; id and meta, which the server sets, are no part of it."""
    content = {name: value for name, value in resource.items() if name not in ("id", "meta")}
    return hashlib.blake2b(body.dumps(content), digest_size=16).hexdigest()


def is_program(resource: Resource) -> bool:
    """A PlanDefinition of type eca-rule with an action of one of our rule kinds."""
    types = [coding.get("code") for coding in resource.get("type", {}).get("coding", ())]
    return "eca-rule" in types and any(
        coding.get("system") == RULE_KIND
        for action in resource.get("action", ())
        for code in action.get("code", ())
        for coding in code.get("coding", ())
    )


# As they are read back: the source, then a row's data in order


class Assignment(NamedTuple):
    """A CareTeam.participant that holds a PractitionerRole: who cares for the member, as what, from when to when."""

    team: str
    place: int  # CareTeam.participant[place]
    member: str
    manager: str
    roles: list[str]
    status: str | None  # the CareTeam's
    start: str | None
    end: str | None
    programs: list[str]  # that the CareTeam's extension names
    error: bool  # entered in error, with a reason

    @classmethod
    def of(cls, fact: Fact) -> Assignment:
        return cls(fact.source, *fact.data[1:])


class Enrolment(NamedTuple):
    """An EpisodeOfCare of a coded type."""

    episode: str
    types: list[str]
    organization: str | None  # None where no literal reference says which
    status: str
    start: str | None
    end: str | None
    history: list[tuple[str, str | None, str | None]]  # EpisodeOfCare.statusHistory: status, start, end
    manager: str | None  # EpisodeOfCare.careManager; "" where it is no literal reference

    @classmethod
    def of(cls, fact: Fact) -> Enrolment:
        return cls(fact.source, *fact.data[1:])


class Team(NamedTuple):
    """A CareTeam of a member."""

    reference: str
    status: str | None
    organizations: list[str]
    programs: list[str]

    @classmethod
    def of(cls, fact: Fact) -> Team:
        return cls(fact.source, *fact.data)


class Role(NamedTuple):
    """A PractitionerRole: a person at an organization."""

    reference: str
    practitioner: str | None
    organization: str | None
    active: bool
    start: str | None
    end: str | None
    codes: list[str]
    locations: list[str]

    @classmethod
    def of(cls, fact: Fact) -> Role:
        return cls(fact.source, *fact.data)


class Message(NamedTuple):
    """A Communication about a member, or by one, that took place. A recipient or answered one elsewhere is None."""

    communication: str
    sender: str | None
    recipients: list[str | None]
    sent: str | None
    received: str | None
    answers: list[str | None]  # Communication.inResponseTo

    @classmethod
    def of(cls, fact: Fact) -> Message:
        return cls(fact.source, *fact.data)


class Followed(NamedTuple):
    """An active CarePlan, and for each open activity that it describes itself, when it was followed up."""

    plan: str
    start: str | None
    end: str | None
    activities: list[tuple[int, list[str]]]  # CarePlan.activity[place], and its progress's times

    @classmethod
    def of(cls, fact: Fact) -> Followed:
        return cls(fact.source, *fact.data)


class Flag(NamedTuple):
    """A Flag on the breach of a limit: whose number is above which rule of which program, since when."""

    flag: str
    status: str
    subject: str
    program: str  # its url
    rule: str
    limit: int | None
    start: str | None

    @classmethod
    def of(cls, fact: Fact) -> Flag:
        return cls(fact.source, *fact.data)


OPEN = frozenset({"requested", "received", "accepted", "ready", "in-progress", "on-hold"})  # Task.status


class Transfer(NamedTuple):
    """A Task that moves a member from one case manager (`sender`) to another (`receiver`): PractitionerRoles both.

    `program` is the url without the version. Dates are as they were written; `ended` is when it was completed or given
    up, `due` when it should have been.
    """

    task: str
    program: str
    patient: str
    organization: str | None
    sender: str | None
    receiver: str
    status: str
    opened: str | None
    effective: str | None
    ended: str | None
    due: str | None
    reasons: list[str]  # tokens

    @property
    def is_open(self) -> bool:
        """True from the opening until it is completed or given up; a draft is none yet."""
        return self.status in OPEN

    @classmethod
    def of(cls, fact: Fact) -> Transfer:
        return cls(fact.source, *fact.data)


class Step(NamedTuple):
    """A Task that is one step of a transfer."""

    task: str
    transfer: str
    code: str | None  # a token
    status: str

    @classmethod
    def of(cls, fact: Fact) -> Step:
        return cls(fact.source, *fact.data)


class Related(NamedTuple):
    """A RelatedPerson of a member."""

    source: str
    relationships: list[str]
    active: bool
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Related:
        return cls(fact.source, *fact.data)


class Service(NamedTuple):
    """An active ServiceRequest, or an activity of an active CarePlan that has begun or is booked."""

    source: str
    performers: list[str]
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Service:
        return cls(fact.source, *fact.data)


class Participant(NamedTuple):
    """Somebody on an active CareTeam of the member who is no PractitionerRole with a coded role."""

    source: str
    reference: str
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Participant:
        return cls(fact.source, *fact.data)


class Contact(NamedTuple):
    """Whom to call at an organization: a HealthcareService, or the PractitionerRole that manages an area."""

    reference: str
    programs: list[str]  # HealthcareService.program
    areas: list[str]  # Locations; none: all of them
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Contact:
        return cls(fact.source, *fact.data)


class Home(NamedTuple):
    """A Patient's home address, its parts as ADDRESS names them."""

    patient: str
    address: tuple[str, ...]
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Home:
        return cls(fact.source, tuple(fact.data[0]), *fact.data[1:])


class Location(NamedTuple):
    """A Location: whether it is an area, what it is part of, and where it is."""

    reference: str
    is_area: bool
    whole: str | None
    latitude: float | None
    longitude: float | None

    @classmethod
    def of(cls, fact: Fact) -> Location:
        return cls(fact.source, *fact.data)


class Place(NamedTuple):
    """Where a Patient, an Organization or a HealthcareService is, as far as it says."""

    source: str
    latitude: float | None
    longitude: float | None
    address: list[str]  # as ADDRESS names its parts
    locations: list[str]

    @classmethod
    def of(cls, fact: Fact) -> Place:
        return cls(fact.source, *fact.data)


class Need(NamedTuple):
    """What a member needs: continuity, while a Flag says so; a level, as a RiskAssessment found it."""

    source: str
    levels: list[str]  # tokens; none: continuity
    start: str | None
    end: str | None

    @classmethod
    def of(cls, fact: Fact) -> Need:
        return cls(fact.source, *fact.data)


class Agreement(NamedTuple):
    """A Contract of a coded type between organizations. `template` is what it is an instance of."""

    contract: str
    types: list[str]  # tokens
    status: str
    organizations: list[str]
    template: str | None
    start: str | None
    end: str | None
    signers: list[str]  # organizations and PractitionerRoles who signed, or in whose name somebody did

    @classmethod
    def of(cls, fact: Fact) -> Agreement:
        return cls(fact.source, *fact.data)


class Designation(NamedTuple):
    """A Task by which one organization (`proposer`) proposes a member's lead to another (`answerer`).

    `program` is the url without the version; `organization` is the lead's; `since` is from when on the lead leads,
    once it is accepted.
    """

    task: str
    program: str
    patient: str
    proposer: str | None
    answerer: str | None
    status: str
    lead: str | None
    organization: str | None
    form: str | None
    agreement: str | None
    effective: str | None
    needs: list[str]  # tokens
    since: str | None
    opened: str | None

    @property
    def is_open(self) -> bool:
        """True until it is answered or withdrawn; a draft is none yet."""
        return self.status in OPEN

    @property
    def terms(self) -> tuple[Any, ...]:
        """What was proposed, to whom."""
        return self[1:5] + self[6:9] + (self.effective, self.needs)

    @classmethod
    def of(cls, fact: Fact) -> Designation:
        return cls(fact.source, *fact.data)


# A function for each type


def _care_team(team: Resource, base_url: str) -> Iterator[FactRow]:
    member = literal(team.get("subject"), base_url, ("Patient",))
    if member is None:
        return
    status, programs, in_error = team.get("status"), programs_named(team), is_entered_in_error(team)
    organizations = [literal(link, base_url) for link in team.get("managingOrganization", ())]
    yield "subject", f"CareTeam/{team['id']}", member
    yield "team", member, [status, [found for found in organizations if found], programs]
    for place, participant in enumerate(team.get("participant", ())):
        roles = tokens(participant.get("role"))
        manager = literal(participant.get("member"), base_url, ("PractitionerRole",))
        error = in_error or is_entered_in_error(participant)
        if manager is None or not roles:
            if status == "active" and not error:
                yield from _participant(participant, member, base_url)
            continue
        data = [ASSIGNMENT, place, member, manager, roles, status, *_period(participant), programs, error]
        yield "member", member, data
        yield "manager", manager, data


def _participant(participant: Resource, member: str, base_url: str) -> Iterator[FactRow]:
    found = literal(participant.get("member"), base_url, ("Organization", "Practitioner", "PractitionerRole"))
    if found:
        yield "participant", member, [found, *_period(participant)]


def programs_named(team: Resource) -> list[str]:
    """The programs that a CareTeam says it is for, their versions left off."""
    return [
        extension["valueCanonical"].partition("|")[0]
        for extension in team.get("extension", ())
        if extension["url"] == PROGRAM_EXTENSION and "valueCanonical" in extension
    ]


def is_entered_in_error(element: Resource) -> bool:
    """True where a CareTeam or one of its participants is marked as a mistake, with a reason."""
    return any(
        extension["url"] == ENTERED_IN_ERROR and extension.get("valueCodeableConcept")
        for extension in element.get("modifierExtension", ())
    )


def _episode(episode: Resource, base_url: str) -> Iterator[FactRow]:
    types = tokens(episode.get("type"))
    member = literal(episode.get("patient"), base_url, ("Patient",))
    if member is None or not types:
        return
    organization = _identity(episode.get("managingOrganization"), base_url)
    history = [[past.get("status", ""), *_period(past)] for past in episode.get("statusHistory", ())]
    manager = literal(episode["careManager"], base_url) or "" if "careManager" in episode else None
    data = [ENROLMENT, types, organization, episode.get("status", ""), *_period(episode), history, manager]
    yield "subject", f"EpisodeOfCare/{episode['id']}", member
    yield "member", member, data
    if organization:
        yield "organization", organization, member


def _patient(patient: Resource, base_url: str) -> Iterator[FactRow]:
    own = f"Patient/{patient['id']}"
    for address in patient.get("address", ()):
        if address.get("use", "home") == "home" and any(parts := address_parts(address)):
            yield "home", own, [parts, *_period(address)]
            if "end" not in address.get("period", {}) and (where := _geolocation(address)):
                yield "place", own, [*where, [], []]
    for link in patient.get("link", ()):
        other = literal(link.get("other"), base_url, ("Patient",))
        if other is None or other == own or link.get("type") not in _INVERSE:
            continue
        yield "member", own, [LINK, other, link["type"]]
        yield "member", other, [LINK, own, _INVERSE[link["type"]]]


_INVERSE = {"replaced-by": "replaces", "replaces": "replaced-by"}


def _practitioner_role(role: Resource, base_url: str) -> Iterator[FactRow]:
    practitioner = literal(role.get("practitioner"), base_url, ("Practitioner",))
    organization = literal(role.get("organization"), base_url)
    codes = tokens(role.get("code"))
    locations = _locations(role.get("location"), base_url)
    data = [practitioner, organization, role.get("active", True), *_period(role), codes, locations]
    yield "role", f"PractitionerRole/{role['id']}", data
    if practitioner:
        yield "role", practitioner, data
    if organization:
        yield "staff", organization, data
    if AREA_MANAGER in codes and locations and organization and role.get("telecom") and role.get("active", True):
        yield "contact", organization, [[], locations, *_period(role)]


def _healthcare_service(service: Resource, base_url: str) -> Iterator[FactRow]:
    organization = literal(service.get("providedBy"), base_url)
    if organization and service.get("telecom") and service.get("active", True):
        areas = _locations(service.get("coverageArea"), base_url)
        yield "contact", organization, [tokens(service.get("program")), areas, None, None]
    if locations := _locations(service.get("location"), base_url):
        yield "place", f"HealthcareService/{service['id']}", [None, None, [], locations]


def _organization(organization: Resource, base_url: str) -> Iterator[FactRow]:
    for address in organization.get("address", ()):
        if any(parts := address_parts(address)) and "end" not in address.get("period", {}):
            yield "place", f"Organization/{organization['id']}", [*(_geolocation(address) or (None, None)), parts, []]


GEOLOCATION = "http://hl7.org/fhir/StructureDefinition/geolocation"


def _geolocation(element: Resource) -> tuple[float, float] | None:
    """The position that R4's extension gives an address: (latitude, longitude)."""
    for extension in element.get("extension", ()):
        if extension.get("url") == GEOLOCATION:
            parts = {part.get("url"): part.get("valueDecimal") for part in extension.get("extension", ())}
            if parts.get("latitude") is not None and parts.get("longitude") is not None:
                return float(parts["latitude"]), float(parts["longitude"])
    return None


def _locations(links: list[Resource] | None, base_url: str) -> list[str]:
    found = (literal(link, base_url, ("Location",)) for link in links or ())
    return [location for location in found if location]


_AREAS = {
    "http://terminology.hl7.org/CodeSystem/location-physical-type|area",
    "http://terminology.hl7.org/CodeSystem/location-physical-type|jdn",
}
ADDRESS = ("postalCode", "city", "district", "state")  # what tells most first
_ZIP_PLUS_4 = re.compile(r"([0-9]{5})-?[0-9]{4}", re.ASCII)


def address_parts(address: Resource) -> list[str]:
    """What ADDRESS names of an address, as it is compared: "Polk County" is polk, "50309-1234" is 50309."""
    parts = {name: " ".join(address.get(name, "").casefold().split()) for name in ADDRESS}
    parts["district"] = parts["district"].removesuffix(" county")
    if plus := _ZIP_PLUS_4.fullmatch(parts["postalCode"]):
        parts["postalCode"] = plus[1]
    return list(parts.values())


def address_keys(parts: Iterable[str]) -> list[str]:
    """The keys under which an area with one of these parts may be found."""
    return [f"{name}|{part}" for name, part in zip(ADDRESS, parts, strict=True) if part]


def _location(location: Resource, base_url: str) -> Iterator[FactRow]:
    is_area = _is_area(location)
    position = location.get("position", {})
    where = [float(position[name]) if name in position else None for name in ("latitude", "longitude")]
    whole = literal(location.get("partOf"), base_url, ("Location",))
    yield "location", f"Location/{location['id']}", [is_area, whole, *where]
    keys = address_keys(parts := address_parts(location.get("address", {})))
    if is_area and keys and location.get("status", "active") == "active":
        yield "area", keys[0], parts


def _is_area(location: Resource) -> bool:
    """True of an area by its physicalType; of what has none, where its address is a whole county or state."""
    if "physicalType" in location:
        return not _AREAS.isdisjoint(tokens([location["physicalType"]]))
    given = {name for name, value in location.get("address", {}).items() if value}
    return given.isdisjoint({"line", "text", "city", "postalCode"}) and not given.isdisjoint({"district", "state"})


def _related_person(related: Resource, base_url: str) -> Iterator[FactRow]:
    member = literal(related.get("patient"), base_url, ("Patient",))
    if member:
        active = related.get("active", True)
        yield "related", member, [tokens(related.get("relationship")), active, *_period(related)]


def _service_request(request: Resource, base_url: str) -> Iterator[FactRow]:
    member = literal(request.get("subject"), base_url, ("Patient",))
    if member and request.get("status") == "active" and not request.get("doNotPerform"):
        occurrence = request.get("occurrencePeriod") or _bounds(request.get("occurrenceTiming"))
        yield from _service(member, request.get("performer", ()), occurrence.get("end"), base_url)


def _care_plan(plan: Resource, base_url: str) -> Iterator[FactRow]:
    member = literal(plan.get("subject"), base_url, ("Patient",))
    if member is None or plan.get("status") != "active":
        return
    followed: list[tuple[int, list[str]]] = []  # each open activity that the plan itself describes, and when it was
    services: list[FactRow] = []
    for place, activity in enumerate(plan.get("activity", ())):
        detail = activity.get("detail")
        if detail is None or (status := detail.get("status")) not in _OPEN_ACTIVITY:
            continue
        progress = activity.get("progress", ())
        followed.append((place, [note["time"] for note in progress if "time" in note]))
        if status in _UNDER_WAY and "performer" in detail and not detail.get("doNotPerform"):
            scheduled = detail.get("scheduledPeriod") or _bounds(detail.get("scheduledTiming"))
            services += _service(member, detail["performer"], scheduled.get("end"), base_url)
    yield "plan", member, [*_period(plan), followed]
    yield from services


_OPEN_ACTIVITY = frozenset({"not-started", "scheduled", "in-progress", "on-hold"})
_UNDER_WAY = frozenset({"scheduled", "in-progress"})


def _bounds(timing: Resource | None) -> Resource:
    bounds: Resource = (timing or {}).get("repeat", {}).get("boundsPeriod", {})
    return bounds


def _service(member: str, links: Sequence[Resource], end: str | None, base_url: str) -> Iterator[FactRow]:
    performers = [found for link in links if (found := literal(link, base_url))]
    if performers:
        yield "service", member, [performers, end]


def _plan_definition(plan: Resource, base_url: str) -> Iterator[FactRow]:
    if plan.get("status") == "active" and is_program(plan):
        yield "program", ALL_PROGRAMS, digest(plan)


def _task(task: Resource, base_url: str) -> Iterator[FactRow]:
    codes = tokens([task["code"]]) if "code" in task else ()
    if TRANSFER in codes:
        yield from _transfer(task, base_url)
    elif STEP in codes:
        yield from _step(task, base_url)
    elif REVIEW in codes:
        yield from _review(task, base_url)
    elif DESIGNATION in codes:
        yield from _designation(task, base_url)


def _review(task: Resource, base_url: str) -> Iterator[FactRow]:
    member, ended = literal(task.get("for"), base_url, ("Patient",)), task.get("executionPeriod", {}).get("end")
    if member and ended and task.get("status") == "completed":
        yield "review", member, ended


def _transfer(task: Resource, base_url: str) -> Iterator[FactRow]:
    own = f"Task/{task['id']}"
    member = literal(task.get("for"), base_url, ("Patient",))
    receiver = literal(task.get("owner"), base_url, ("PractitionerRole",))
    given = transfer_inputs(task)
    sender, organization = (literal(given.get(name), base_url) for name in ("from", "organization"))
    data = [
        task.get("instantiatesCanonical", "").partition("|")[0],
        member,
        organization,
        sender,
        receiver,
        task.get("status", ""),
        task.get("authoredOn"),
        given.get("effective"),
        task.get("executionPeriod", {}).get("end"),
        task.get("restriction", {}).get("period", {}).get("end"),
        tokens([task["reasonCode"]]) if "reasonCode" in task else [],
    ]
    if member is None or receiver is None:
        yield "transfer", own, data
        return
    yield "subject", own, member
    for key in dict.fromkeys((own, member, sender, receiver, organization)):
        if key:
            yield "transfer", key, data
    if data[5] in OPEN:
        yield "member", member, [MOVE, *data]
        yield "reservation", receiver, data


def transfer_inputs(task: Resource) -> dict[str, Any]:
    """What a transfer is given (Task.input), by the codes of cm-transfer-input; the last of several."""
    return {
        coding["code"]: next((value for name, value in given.items() if name.startswith("value")), None)
        for given in task.get("input", ())
        for coding in given.get("type", {}).get("coding", ())
        if coding.get("system") == TRANSFER_INPUT and "code" in coding
    }


def _designation(task: Resource, base_url: str) -> Iterator[FactRow]:
    own, member = f"Task/{task['id']}", literal(task.get("for"), base_url, ("Patient",))
    given = [*_terms(task.get("input", ())), *_terms(task.get("output", ()))]
    named = {name: one.get("valueReference") for name, one in given}
    needs = [one.get("valueCodeableConcept", {}) for name, one in given if name == "primary-need"]
    times = {name: one.get("valueDate") or one.get("valueDateTime") for name, one in given}
    form = literal(named.get("form"), base_url, ("QuestionnaireResponse",))
    agreement = literal(named.get("agreement"), base_url, ("Contract",))
    data = [
        task.get("instantiatesCanonical", "").partition("|")[0],
        member,
        literal(task.get("requester"), base_url, ("Organization",)),
        literal(task.get("owner"), base_url, ("Organization",)),
        task.get("status", ""),
        literal(named.get("lead"), base_url, ("PractitionerRole",)),
        literal(named.get("organization"), base_url, ("Organization",)),
        form,
        agreement,
        times.get("effective"),
        sorted(tokens(needs or [task.get("reasonCode", {})])),
        times.get("since"),
        task.get("authoredOn"),
    ]
    if member:
        yield "subject", own, member
    for key in (own, member, form, agreement):
        if key:
            yield "designation", key, data


def _terms(values: Iterable[Resource]) -> Iterator[tuple[str, Resource]]:
    """Task.input or Task.output by the codes of cm-designation."""
    for given in values:
        for coding in given["type"].get("coding", ()):
            if coding.get("system") == DESIGNATION_TERM and "code" in coding:
                yield coding["code"], given


def _step(task: Resource, base_url: str) -> Iterator[FactRow]:
    own = f"Task/{task['id']}"
    wholes = [found for link in task.get("partOf", ()) if (found := literal(link, base_url, ("Task",)))]
    if member := literal(task.get("for"), base_url, ("Patient",)):
        yield "subject", own, member
    code = next(iter(tokens([task["businessStatus"]])), None) if "businessStatus" in task else None
    for key in dict.fromkeys((own, *wholes)):
        yield "step", key, [wholes[0] if wholes else "", code, task.get("status", "")]


def _communication(communication: Resource, base_url: str) -> Iterator[FactRow]:
    if communication.get("status") not in {"completed", "in-progress"}:
        return
    sender = literal(communication.get("sender"), base_url)
    about = literal(communication.get("subject"), base_url, ("Patient",))
    member = about or (sender if sender and sender.startswith("Patient/") else None)
    if member is None:
        return
    recipients = [literal(link, base_url) for link in communication.get("recipient", ())]
    answered = [literal(link, base_url, ("Communication",)) for link in communication.get("inResponseTo", ())]
    yield (
        "communication",
        member,
        [sender, recipients, communication.get("sent"), communication.get("received"), answered],
    )


def _contract(contract: Resource, base_url: str) -> Iterator[FactRow]:
    types = tokens([contract["type"]]) if "type" in contract else []
    if not types:
        return
    organizations = list(_parties(contract.get("subject", ()), base_url, ("Organization",)))
    signing = [
        link
        for signer in contract.get("signer", ())
        for link in (signer["party"], *(one["onBehalfOf"] for one in signer["signature"] if "onBehalfOf" in one))
    ]
    applies = contract.get("applies", {})
    data = [
        types,
        contract.get("status", ""),
        organizations,
        contract.get("instantiatesUri"),
        applies.get("start"),
        applies.get("end"),
        list(_parties(signing, base_url, ("Organization", "PractitionerRole"))),
    ]
    for key in (f"Contract/{contract['id']}", *organizations):
        yield "agreement", key, data


def _parties(links: Iterable[Resource], base_url: str, types: tuple[str, ...]) -> Iterable[str]:
    found = (literal(link, base_url, types) for link in links)
    return dict.fromkeys(one for one in found if one)


def _flag(flag: Resource, base_url: str) -> Iterator[FactRow]:
    member = literal(flag.get("subject"), base_url, ("Patient",))
    if member and flag.get("status") == "active" and CONTINUITY in tokens([flag.get("code", {})]):
        yield "need", member, [[], *_period(flag)]
    for extension in flag.get("extension", ()):
        if extension["url"] == BREACH:
            yield from _breach(flag, {part["url"]: part for part in extension.get("extension", ())}, base_url)


def _breach(flag: Resource, parts: Mapping[str, Resource], base_url: str) -> Iterator[FactRow]:
    organization = literal(parts.get("organization", {}).get("valueReference"), base_url)
    subject = literal(flag.get("subject"), base_url)
    canonical, _, rule = parts.get("rule", {}).get("valueCanonical", "").partition("#")
    if organization and subject:
        limit, (began, _) = parts.get("limit", {}).get("valueInteger"), _period(flag)
        data = [flag.get("status", ""), subject, canonical.partition("|")[0], rule, limit, began]
        yield "flag", organization, data


def _risk_assessment(found: Resource, base_url: str) -> Iterator[FactRow]:
    member = literal(found.get("subject"), base_url, ("Patient",))
    levels = tokens([one["qualitativeRisk"] for one in found.get("prediction", ()) if "qualitativeRisk" in one])
    if member and levels and found.get("status") in {"final", "amended", "corrected"}:
        occurrence = found.get("occurrenceDateTime") or found.get("occurrencePeriod", {}).get("start")
        yield "need", member, [levels, occurrence, None]


_FACTS: dict[str, Callable[[Resource, str], Iterator[FactRow]]] = {
    "CarePlan": _care_plan,
    "CareTeam": _care_team,
    "Communication": _communication,
    "Contract": _contract,
    "EpisodeOfCare": _episode,
    "Flag": _flag,
    "HealthcareService": _healthcare_service,
    "Location": _location,
    "Organization": _organization,
    "Patient": _patient,
    "PlanDefinition": _plan_definition,
    "PractitionerRole": _practitioner_role,
    "RelatedPerson": _related_person,
    "RiskAssessment": _risk_assessment,
    "ServiceRequest": _service_request,
    "Task": _task,
}


def _period(element: Resource) -> tuple[str | None, str | None]:
    period = element.get("period", {})
    return period.get("start"), period.get("end")


def _identity(link: Resource | None, base_url: str) -> str | None:
    """Who an organization is: one of this server's, or one that an absolute URL names elsewhere."""
    found = literal(link, base_url)
    if found or link is None:
        return found
    url: str = link.get("reference", "")
    is_elsewhere = url.startswith(("http://", "https://")) and not reference.is_under(url, base_url)
    return url.partition("/_history/")[0] if is_elsewhere else None
