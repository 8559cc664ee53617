"""DetectedIssue: what a coordination check found, as it is told and kept, and the Task of whoever resolves it.

https://hl7.org/fhir/R4/detectedissue.html

An id derives from what is found of whom: found again, of more items or fewer, it is the same issue, and two that look
at once write the same. What somebody resolved stays so until there is an item more; what is found no more is resolved
by the check.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from server.coordination import facts, period
from server.coordination.agreement.agreement import may_share
from server.coordination.facts import ISSUE, ISSUE_RULE, RESOLVED, Found
from server.coordination.facts.detected_issue import OPEN, OVER, SETTLED, digest
from server.coordination.handoff.transfer import coding, concept
from server.coordination.responsibility.check import Check, When, checks
from server.coordination.responsibility.finding import Finding, findings
from server.coordination.stored import read_many
from server.fhir.body import Body
from server.ledger import Change, Resource, View

TASK = f"{facts.TASK}|coordination-issue"
RESOLVER = f"{facts.BASE}/StructureDefinition/issue-resolver"
NAMED = f"{facts.BASE}/CodeSystem/issue"  # the same codes, by the name that the requirements have for them
SETTLEMENT = f"{ISSUE}|settled"  # DetectedIssue.mitigation.action: whose it was to resolve has done so


class Judged(NamedTuple):
    """A check, and what it found as DetectedIssues."""

    asked: Check
    issues: list[Resource]


async def judged(view: View, patients: Collection[str], when: When) -> list[Judged]:
    """What is found of these members, whether it is kept or not."""
    asked = await checks(view, patients, when)
    found = await findings(view, asked)
    return [
        Judged(one, [issue(one, finding, when.now) for finding in own]) for one, own in zip(asked, found, strict=True)
    ]


async def agreed(view: View, found: Sequence[Judged], at: int) -> list[Judged]:
    """What may be told to one of both organizations: of a pair that shares members, as of an instant."""
    known: dict[tuple[str, tuple[str, str]], bool] = {}
    for one in found:
        program, parties = one.asked.terms.program, one.asked.pair.organizations
        if (program.canonical, parties) not in known:
            known[program.canonical, parties] = await may_share(view, program, parties, at)
    return [one for one in found if known[one.asked.terms.program.canonical, one.asked.pair.organizations]]


async def as_kept(view: View, found: Sequence[Judged]) -> list[Judged]:
    """The same, each issue that somebody resolved with what was done about it: one of no more items than then."""
    records = {one for each in found if each.issues for one in each.asked.member.patients}
    rows = (await view.facts("issue", records)).values() if records else ()
    settled = [one.issue for some in rows for one in map(Found.of, some) if one.state == SETTLED]
    stored = await read_many(view, settled) if settled else {}
    return [
        each._replace(issues=[_as_kept(one, stored.get(f"DetectedIssue/{one['id']}")) for one in each.issues])
        for each in found
    ]


def _as_kept(issue: Resource, stored: Resource | None) -> Resource:
    if stored is None or not _items(issue) <= _items(stored):
        return issue
    return issue | {name: stored[name] for name in ("status", "identifiedDateTime", "mitigation") if name in stored}


def issue(asked: Check, found: Finding, now: int) -> Resource:
    """A finding as a DetectedIssue."""
    program = asked.terms.program
    resolver = [{"url": RESOLVER, "valueReference": {"reference": found.resolver}}] if found.resolver else []
    links = [{"url": ISSUE_RULE, "valueCanonical": f"{program.canonical}#{rule.id}"} for rule in found.rules]
    cited = " ".join(f"Rule {rule.id} of {program.canonical}. Source: {rule.citation}." for rule in found.rules)
    return {
        "resourceType": "DetectedIssue",
        "id": _id(asked, found),
        "extension": resolver + links,
        "status": "final",
        "code": {"coding": [coding(f"{system}|{found.code}") for system in (ISSUE, NAMED)]},
        "patient": {"reference": asked.patient},
        "identifiedDateTime": period.text(now, asked.terms.zone),
        "implicated": [_implicated(one.reference, one.place, one.text) for one in found.items],
        "evidence": [*_sides(asked, found)],
        "detail": f"{found.text} {cited}",
        "reference": found.source if ":" in found.source else f"{facts.BASE}/{found.source}",
    }


def _id(asked: Check, found: Finding) -> str:
    what = [asked.patient, asked.terms.program.url, *asked.pair.organizations, found.code, found.what]
    return str(uuid.uuid5(uuid.NAMESPACE_URL, " ".join([ISSUE, *what])))


def _implicated(reference: str, place: str, text: str) -> Resource:
    return {"reference": reference, "display": f"{place}: {text}" if place else text}


def _sides(asked: Check, found: Finding) -> Iterator[Resource]:
    """Whose items these are."""
    parties = ((name, str(asked.organization(name))) for name in ("plan", "partner"))
    for name, organization in (*parties, (None, "Of neither alone")):
        own = dict.fromkeys(one.reference for one in found.items if name in one.parties)
        if own:
            yield {"code": [{"text": organization}], "detail": [{"reference": one} for one in own]}


# As it is kept


async def due(view: View, patients: Collection[str], found: Sequence[Judged], now: int) -> list[Change]:
    """What is to be written so that the issues of these members, and their Tasks, say what is found."""
    made = {one["id"]: (each.asked, one) for each in found for one in each.issues}
    records = {one for each in found for one in each.asked.member.patients}.union(patients)
    rows = (await view.facts("issue", records)).values()
    standing = {one.issue.partition("/")[2]: one for some in rows for one in map(Found.of, some)}
    moved = [id for id, (_, issue) in made.items() if _is_other(standing.get(id), issue)]
    ended = [id for id, one in standing.items() if id not in made and one.state != OVER]
    places = [place for id in (*moved, *ended) for place in _places(id)]
    stored = await read_many(view, places) if places else {}
    changes: list[Change] = []
    for id in moved:
        changes += _brought_up(*made[id], standing.get(id), stored, now)
    for id in ended:
        changes += _ended(id, standing[id].state, stored, now)
    return changes


def _is_other(known: Found | None, issue: Resource) -> bool:
    return known is None or known.state == OVER or known.digest != digest(issue)


def _places(id: str) -> tuple[str, str]:
    return f"DetectedIssue/{id}", f"Task/{task_of(id)}"


def task_of(issue: str) -> str:
    """The id of an issue's Task."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{TASK} {issue}"))


def _brought_up(
    asked: Check, issue: Resource, known: Found | None, stored: Mapping[str, Resource], now: int
) -> list[Change]:
    """An issue that is new, found again, or of other items than before."""
    before, task = (stored.get(place, {}) for place in _places(issue["id"]))
    has_more = not _items(issue) <= _items(before)
    if known and known.state == SETTLED and not has_more:
        return []
    is_open = known is not None and known.state == OPEN
    kept = {name: value for name, value in before.items() if name not in {"mitigation", "meta"}}
    first = {"identifiedDateTime": before["identifiedDateTime"]} if is_open and "identifiedDateTime" in before else {}
    changes = [put({**kept, **issue, **first})]
    if task.get("status") in facts.OPEN:
        changes.append(put({**_kept(task), **_task(asked, issue, now), **_progress(task)}))
    elif not is_open or has_more or not task:
        changes.append(put({**_kept(task), **_task(asked, issue, now)}))
    return changes


def _items(issue: Resource) -> set[str]:
    """Which resources it is about."""
    return {one["reference"] for one in issue.get("implicated", ()) if "reference" in one}


def _kept(task: Resource) -> Resource:
    """A Task without what is said anew."""
    return {name: value for name, value in task.items() if name not in {"meta", "owner", "executionPeriod"}}


def _progress(task: Resource) -> Resource:
    return {name: task[name] for name in ("status", "authoredOn", "executionPeriod") if name in task}


def _task(asked: Check, issue: Resource, now: int) -> Resource:
    resolver = next(one["valueReference"] for one in issue["extension"] if one["url"] == RESOLVER)
    return {
        "resourceType": "Task",
        "id": task_of(issue["id"]),
        "instantiatesCanonical": asked.terms.program.canonical,
        "status": "requested",
        "intent": "order",
        "code": {"coding": [coding(TASK)]},
        "description": issue["detail"],
        "focus": {"reference": f"DetectedIssue/{issue['id']}"},
        "for": {"reference": asked.patient},
        "authoredOn": period.text(now, asked.terms.zone),
        "owner": resolver,
    }


def _ended(id: str, state: str, stored: Mapping[str, Resource], now: int) -> list[Change]:
    """An issue that is found no more, whoever resolved it, and its Task where nobody ended that."""
    issue, task = (stored.get(place) for place in _places(id))
    if issue is None:
        return []
    changes = [put(mitigated(issue, RESOLVED, now))]
    if state == OPEN and task and task["status"] in facts.OPEN:
        changes.append(put({**task, "status": "completed"}))
    return changes


def mitigated(issue: Resource, action: str, now: int, author: str | None = None) -> Resource:
    """The issue, with one thing more that was done about it."""
    done = {"action": concept(action), "date": period.text(now, "UTC")}
    by = {"author": {"reference": author}} if author and author.startswith("Practitioner") else {}
    return {**issue, "mitigation": [*issue.get("mitigation", ()), done | by]}


def opened(issue: Resource) -> Resource:
    """The issue, without the last thing that was done about it: that did not hold."""
    kept = {name: value for name, value in issue.items() if name != "mitigation"}
    earlier = issue.get("mitigation", [])[:-1]
    return {**kept, "status": "final", **({"mitigation": earlier} if earlier else {})}


def put(resource: Resource) -> Change:
    id = resource["id"]
    return Change("PUT", resource["resourceType"], id, resource, Body.of(resource).text(id), is_derived=True)


def issues_of(found: Sequence[Judged]) -> list[Resource]:
    return [issue for one in found for issue in one.issues]
