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
    enrolled      system|code               the members with an episode of that type
    subject       CareTeam/5, EpisodeOfCare/5, Task/5   the member that it is about (a Task: of a transfer)
    transfer      Patient/1, PractitionerRole/7, Organization/3, Task/5   a transfer: whom, from, to, where, itself
    reservation   PractitionerRole/7        a transfer that is open, at who is to get the member
    step          Task/5                    a step of a transfer, at the transfer and at itself
    communication Patient/1                 a Communication about the member, or by the member
    item          Patient/1                 what is ordered or planned for the member, by whom, from when to when
    item          Patient/1 2026-11         a contact with the member in a month, or a service of a month or two
    issue         Patient/1                 a DetectedIssue that a coordination check made, and whether it is over
    plan          Patient/1                 an active CarePlan: whose it is, when its open activities were followed up
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
    responsible   Contract/2                a URL under our base that its appendices name, as a reference
    document      DocumentReference/1, Binary/1   a Contract of whose documents it is one
    designation   Patient/1, Task/5, QuestionnaireResponse/4, Contract/2   a proposal of a member's lead
    evidence      Patient/1, Observation/6  what is said of the member by a code of ours; the same at itself
    consent       Patient/1, Consent/8      what the member agreed to or declined
    coverage      Patient/1                 an active Coverage of a kind of ours
    offer         Patient/1, Task/5         a Task that offers the member a program
    acceptance    Patient/1, Task/5, CarePlan/2   a proposal of a member's plan of care
    affiliation   Organization/3            for whom the organization works: what it is part of, or who engages it
    closure       Organization/3            that it is closed
    program       *                         an active program, by the digest of its content
    questionnaire https://…/Questionnaire/1  a Questionnaire of that url: its version and status

References are kept as "Patient/1" whatever form they came in: versioned and absolute ones are the same person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from server.coordination.facts import (
    care_plan,
    care_team,
    communication,
    consent,
    contract,
    coverage,
    detected_issue,
    encounter,
    episode_of_care,
    evidence,
    flag,
    healthcare_service,
    location,
    organization,
    organization_affiliation,
    patient,
    plan_definition,
    practitioner_role,
    questionnaire,
    related_person,
    risk_assessment,
    service_request,
    task,
)
from server.coordination.facts.acceptance import Acceptance
from server.coordination.facts.address import ADDRESS, GEOLOCATION, Place, address_keys, address_parts
from server.coordination.facts.care_plan import Followed
from server.coordination.facts.care_team import Assignment, Participant, Team, is_entered_in_error, programs_named
from server.coordination.facts.communication import Message
from server.coordination.facts.consent import Decision
from server.coordination.facts.contract import Agreement
from server.coordination.facts.coverage import Cover
from server.coordination.facts.designation import Designation
from server.coordination.facts.detected_issue import Found
from server.coordination.facts.element import literal, token, tokens
from server.coordination.facts.episode_of_care import Enrolment
from server.coordination.facts.evidence import Evidence
from server.coordination.facts.flag import Flag
from server.coordination.facts.healthcare_service import Contact
from server.coordination.facts.item import Told
from server.coordination.facts.location import Location
from server.coordination.facts.offer import Offer
from server.coordination.facts.organization_affiliation import Affiliation
from server.coordination.facts.patient import Home
from server.coordination.facts.plan_definition import digest, is_program
from server.coordination.facts.practitioner_role import Role
from server.coordination.facts.related_person import Related
from server.coordination.facts.risk_assessment import Need
from server.coordination.facts.service_request import Service
from server.coordination.facts.transfer import OPEN, Step, Transfer, transfer_inputs
from server.coordination.facts.vocabulary import (
    ACCEPTANCE,
    ACCEPTANCE_TERM,
    ALL_PROGRAMS,
    AREA_MANAGER,
    ASSIGNMENT,
    BASE,
    BREACH,
    CONTINUITY,
    DESIGNATION,
    DESIGNATION_TERM,
    ENROLMENT,
    ENTERED_IN_ERROR,
    ISSUE,
    ISSUE_RULE,
    LINK,
    MOVE,
    OFFER,
    PROGRAM_EXTENSION,
    RESOLVED,
    REVIEW,
    RULE_KIND,
    SEGMENT_END,
    STEP,
    TASK,
    TRANSFER,
    TRANSFER_INPUT,
)
from server.ledger import FactRow, Resource

__all__ = (
    "ACCEPTANCE",
    "ACCEPTANCE_TERM",
    "ADDRESS",
    "ALL_PROGRAMS",
    "AREA_MANAGER",
    "ASSIGNMENT",
    "BASE",
    "BREACH",
    "CONTINUITY",
    "DESIGNATION",
    "DESIGNATION_TERM",
    "ENROLMENT",
    "ENTERED_IN_ERROR",
    "GEOLOCATION",
    "ISSUE",
    "ISSUE_RULE",
    "LINK",
    "MOVE",
    "OFFER",
    "OPEN",
    "PROGRAM_EXTENSION",
    "RESOLVED",
    "REVIEW",
    "RULE_KIND",
    "SEGMENT_END",
    "STEP",
    "TASK",
    "TRANSFER",
    "TRANSFER_INPUT",
    "Acceptance",
    "Affiliation",
    "Agreement",
    "Assignment",
    "Contact",
    "Cover",
    "Decision",
    "Designation",
    "Enrolment",
    "Evidence",
    "Flag",
    "Followed",
    "Found",
    "Home",
    "Location",
    "Message",
    "Need",
    "Offer",
    "Participant",
    "Place",
    "Related",
    "Role",
    "Service",
    "Step",
    "Team",
    "Told",
    "Transfer",
    "address_keys",
    "address_parts",
    "digest",
    "facts",
    "is_entered_in_error",
    "is_program",
    "literal",
    "programs_named",
    "token",
    "tokens",
    "transfer_inputs",
)


def facts(resource: Resource, base_url: str = "") -> list[FactRow]:
    """The rows of one resource. Absolute references under `base_url` are local ones."""
    of = _FACTS.get(resource["resourceType"])
    return list(of(resource, base_url)) if of else []


_FACTS: dict[str, Callable[[Resource, str], Iterator[FactRow]]] = {
    "CarePlan": care_plan.rows,
    "CareTeam": care_team.rows,
    "Communication": communication.rows,
    "Condition": evidence.condition,
    "Consent": consent.rows,
    "Contract": contract.rows,
    "Coverage": coverage.rows,
    "DetectedIssue": detected_issue.rows,
    "Encounter": encounter.rows,
    "EpisodeOfCare": episode_of_care.rows,
    "Flag": flag.rows,
    "HealthcareService": healthcare_service.rows,
    "Location": location.rows,
    "Observation": evidence.observation,
    "Organization": organization.rows,
    "OrganizationAffiliation": organization_affiliation.rows,
    "Patient": patient.rows,
    "PlanDefinition": plan_definition.rows,
    "PractitionerRole": practitioner_role.rows,
    "Questionnaire": questionnaire.rows,
    "QuestionnaireResponse": evidence.answers,
    "RelatedPerson": related_person.rows,
    "RiskAssessment": risk_assessment.rows,
    "ServiceRequest": service_request.rows,
    "Task": task.rows,
}
