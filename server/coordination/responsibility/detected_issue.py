"""DetectedIssue: what a coordination check found, as it is told and kept, and the Task of whoever resolves it.

https://hl7.org/fhir/R4/detectedissue.html

An id derives from what is found of whom: found again it is the same issue, and two that look at once write the same.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator

from server.coordination import facts, period
from server.coordination.handoff.transfer import coding, concept
from server.coordination.responsibility.check import Check, Finding
from server.fhir.body import Body
from server.ledger import Change, Resource

ISSUE = f"{facts.BASE}/CodeSystem/cm-issue"
TASK = f"{facts.TASK}|coordination-issue"
RESOLVER = f"{facts.BASE}/StructureDefinition/issue-resolver"
RESOLVED = concept(f"{ISSUE}|resolved")


def told(asked: Check, found: Iterable[Finding], now: int) -> list[Resource]:
    """A DetectedIssue for each finding."""
    return [_issue(asked, one, now) for one in found]


def _issue(asked: Check, found: Finding, now: int) -> Resource:
    parties = ((name, str(asked.organization(name))) for name in ("plan", "partner"))
    resolver = [{"url": RESOLVER, "valueReference": {"reference": found.resolver}}] if found.resolver else []
    return {
        "resourceType": "DetectedIssue",
        "id": _id(asked, found),
        **({"extension": resolver} if resolver else {}),
        "status": "final",
        "code": concept(f"{ISSUE}|{found.code}"),
        "patient": {"reference": asked.patient},
        "identifiedDateTime": period.text(now, asked.terms.zone),
        "implicated": [_implicated(one.reference, one.place, one.text) for one in found.items],
        "evidence": [*_sides(found, parties)],
        "detail": found.text,
        "reference": _source(found),
    }


def _id(asked: Check, found: Finding) -> str:
    what = [
        asked.patient,
        *asked.pair.organizations,
        found.code,
        *(f"{one.reference}#{one.place}" for one in found.items),
    ]
    return str(uuid.uuid5(uuid.NAMESPACE_URL, " ".join([ISSUE, *what])))


def _implicated(reference: str, place: str, text: str) -> Resource:
    return {"reference": reference, "display": f"{place}: {text}" if place else text}


def _source(found: Finding) -> str:
    return found.source if ":" in found.source else f"{facts.BASE}/{found.source}"


def _sides(found: Finding, parties: Iterable[tuple[str, str]]) -> Iterator[Resource]:
    """Whose items these are."""
    for name, organization in (*parties, (None, "Of neither alone")):
        own = dict.fromkeys(one.reference for one in found.items if one.party == name)
        if own:
            yield {"code": [{"text": organization}], "detail": [{"reference": one} for one in own]}


# As it is kept


def kept(
    asked: Check, issues: Iterable[Resource], stored: Iterable[Resource], tasks: Iterable[Resource], now: int
) -> list[Change]:
    """What is to be written: issues that are new, each with a Task; and those that are found no more, as resolved."""
    standing = {one["id"]: one for one in stored if "mitigation" not in one}
    there = {task["focus"]["reference"]: task for task in tasks if task.get("status") in facts.OPEN}
    found = {one["id"]: one for one in issues}
    changes: list[Change] = []
    for id, issue in found.items():
        if id not in standing:
            changes += [_put(issue), _put(_task(asked, issue, now))]
    for id in standing.keys() - found.keys():
        changes.append(_put(_resolved(standing[id], asked, now)))
        if task := there.get(f"DetectedIssue/{id}"):
            changes.append(_put({**task, "status": "completed"}))
    return changes


def _put(resource: Resource) -> Change:
    id = resource["id"]
    return Change("PUT", resource["resourceType"], id, resource, Body.of(resource).text(id))


def _task(asked: Check, issue: Resource, now: int) -> Resource:
    resolver = next((one["valueReference"] for one in issue.get("extension", ())), None)
    return {
        "resourceType": "Task",
        "id": str(uuid.uuid5(uuid.UUID(issue["id"]), "task")),
        "status": "requested",
        "intent": "order",
        "code": {"coding": [coding(TASK)]},
        "description": issue["detail"],
        "focus": {"reference": f"DetectedIssue/{issue['id']}"},
        "for": {"reference": asked.patient},
        "authoredOn": period.text(now, asked.terms.zone),
        **({"owner": resolver} if resolver else {}),
    }


def _resolved(issue: Resource, asked: Check, now: int) -> Resource:
    return {**issue, "mitigation": [{"action": RESOLVED, "date": period.text(now, asked.terms.zone)}]}
