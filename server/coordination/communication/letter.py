"""Letter: what the plan writes to the member, or to the parent or guardian, about the new case manager.

https://hl7.org/fhir/R4/documentreference.html, https://hl7.org/fhir/R4/communication.html

A Letter is plain strings, made from the directory at a view. `printing` makes HTML and PDF of it, which takes longer
than the ledger may be held: whoever commits makes the Letter again at the head, and prints again where it differs.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from server.coordination import period
from server.coordination.assignment import directory
from server.coordination.assignment.directory import Entry
from server.coordination.communication import demographics, template
from server.coordination.communication.representative import MEMBER, representative
from server.coordination.facts import Transfer
from server.coordination.program.program import Program
from server.fhir.body import Body
from server.ledger import Change, Resource, View, instant, micros
from server.outcome import Issue, Problem

MODE = "http://terminology.hl7.org/CodeSystem/v3-ParticipationMode"
CATEGORY = "http://terminology.hl7.org/CodeSystem/communication-category"
NOTICE = f"{CATEGORY}|notification"  # that somebody is told of something
LETTER = {"system": "http://loinc.org", "code": "51852-2", "display": "Letter"}


@dataclass(frozen=True, slots=True)
class Letter:
    """A letter, ready to be printed. The first line of `address` is the recipient's name."""

    patient: str
    about: str  # the transfer's Task
    organization: str | None
    recipient: str
    language: str  # BCP 47
    title: str
    date: str
    sender: tuple[str, ...]  # the plan's name, address and telecom, line by line
    address: tuple[str, ...]
    paragraphs: tuple[str, ...]


async def letter(view: View, program: Program, transfer: Transfer, parameters: Mapping[str, Any], at: int) -> Letter:
    """The letter about a transfer as it would be written at an instant (microseconds since the epoch).

    `parameters` are those of the program's letter. Problem business_rule where the directory lacks the new manager's
    name or telecom, or where nobody is there to be written to.
    """
    manager = await directory.manager(view, transfer.receiver, at, program.zone)
    if issues := [*unnamed(manager)]:
        raise Problem.with_issues("business_rule", issues)
    recipient = await representative(view, transfer.patient, at, parameters["majority"], program.zone)
    plan = await directory.plan(view, transfer.organization, program, transfer.patient, at)
    told = await _words(view, program, transfer, at, None, manager, plan)
    is_member = recipient.relationship == MEMBER
    told["recipient"] = recipient.name or ("Member" if is_member else f"Family of {told['member']}")
    return Letter(
        transfer.patient,
        transfer.task,
        transfer.organization,
        recipient.reference,
        parameters["letter-language"],
        "".join(template.filled([_line(parameters["letter-title"])], told)),
        day(at, program.zone),
        tuple(filter(None, (plan.name, *plan.address, ", ".join(plan.telecom)))),
        (told["recipient"], *recipient.address),
        template.filled(map(_line, parameters["letter-text" if is_member else "letter-text-representative"]), told),
    )


def _line(text: str) -> str:
    return " ".join(text.split())


async def words(
    view: View, program: Program, transfer: Transfer, at: int, effective: int | None = None
) -> dict[str, str]:
    """What the placeholders of a notice stand for; `effective` is the change's instant, once set.

    "" is what is not known. The new manager always is: a provider is told who it is, where no letter could be written.
    """
    manager = await directory.manager(view, transfer.receiver, at, program.zone)
    plan = await directory.plan(view, transfer.organization, program, transfer.patient, at)
    found = await _words(view, program, transfer, at, effective, manager, plan)
    known = {"manager": transfer.receiver, "telecom": found["contact"] or "no telecom on file"}
    return found | {name: word for name, word in known.items() if not found[name]}


async def _words(
    view: View, program: Program, transfer: Transfer, at: int, effective: int | None, manager: Entry, plan: Entry
) -> dict[str, str]:
    zone = program.zone
    former = await directory.manager(view, transfer.sender, at, zone)
    member = await directory.read(view, transfer.patient)
    if effective is None:
        effective = _to_come(transfer, at, zone)
    return {
        "recipient": "",
        "member": demographics.name(member.get("name"), at, zone) or "the member",
        "manager": manager.name,
        "telecom": " or ".join(manager.telecom),
        "former": former.name,
        "organization": plan.name,
        "contact": " or ".join(plan.telecom),
        "effective": "" if effective is None else day(effective, zone),
    }


def _to_come(transfer: Transfer, at: int, zone: str) -> int | None:
    """The day that is asked for, where it is not over: one that is over is not when the change will be."""
    if transfer.effective is None:
        return None
    wanted = period.starts(transfer.effective, zone)
    return wanted if wanted >= period.midnight(period.day(at, zone), zone) else None


def unnamed(manager: Entry) -> Iterator[Issue]:
    """Why nobody could be told whom to reach, and how."""
    if not manager.name:
        why = f"{manager.reference} has no name to be written: give its Practitioner a name that is in force"
        yield Issue("business-rule", why, ("Practitioner.name",))
    if not manager.telecom:
        why = f"{manager.reference} cannot be reached: give it a telecom (phone, sms or email) that is in force"
        yield Issue("business-rule", why, ("PractitionerRole.telecom",))


def day(at: int, zone: str) -> str:
    """A day as Americans write it: March 1, 2026."""
    date = period.day(at, zone)
    return f"{date:%B} {date.day}, {date.year}"


# As resources


def changes(letter: Letter, html: bytes, pdf: bytes, ids: tuple[str, str], now: datetime) -> list[Change]:
    """The letter's DocumentReference and the Communication that says it was sent by mail, with these ids."""
    sent = instant(micros(now))
    document_id, communication_id = ids
    plan = {"reference": letter.organization} if letter.organization else None
    document: Resource = {
        "resourceType": "DocumentReference",
        "id": document_id,
        "status": "current",
        "docStatus": "final",
        "type": {"coding": [LETTER]},
        "subject": {"reference": letter.patient},
        "date": sent,
        **({"author": [plan], "custodian": plan} if plan else {}),
        "description": letter.title,
        "content": [
            {"attachment": _attachment(letter, "text/html", html, sent)},
            {"attachment": _attachment(letter, "application/pdf", pdf, sent)},
        ],
        "context": {"related": [{"reference": letter.about}]},
    }
    communication: Resource = {
        "resourceType": "Communication",
        "id": communication_id,
        "status": "completed",
        "category": [{"coding": [{"system": CATEGORY, "code": "notification"}]}],
        "medium": [{"coding": [{"system": MODE, "code": "MAILWRIT"}]}],
        "subject": {"reference": letter.patient},
        "about": [{"reference": letter.about}],
        "sent": sent,
        "recipient": [{"reference": letter.recipient}],
        **({"sender": plan} if plan else {}),
        "payload": [{"contentReference": {"reference": f"DocumentReference/{document_id}"}}],
    }
    return [post(document), post(communication)]


def _attachment(letter: Letter, media_type: str, data: bytes, creation: str) -> Resource:
    return {
        "contentType": media_type,
        "language": letter.language,
        "data": base64.b64encode(data).decode(),
        "size": len(data),
        "hash": base64.b64encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode(),
        "title": letter.title,
        "creation": creation,
    }


def post(resource: Resource) -> Change:
    """A resource that is made here, to be written."""
    return Change("POST", resource["resourceType"], resource["id"], resource, Body.of(resource).text(resource["id"]))
