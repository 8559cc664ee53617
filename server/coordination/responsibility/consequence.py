"""Consequence: what a write calls for at the ledger's head, where two organizations have its member.

The DetectedIssues and Tasks of the members whom it is about are brought up to date in the same commit: of two who write
what both do, the second one's commit has the issue. Members whom one organization alone has cost one question.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from server.coordination.facts import OPEN as WAITING
from server.coordination.facts import Agreement, literal, tokens
from server.coordination.facts.detected_issue import OPEN, OVER, SETTLED, state
from server.coordination.lead.terms import of
from server.coordination.program.programs import active
from server.coordination.responsibility.check import When, are_checked, dual, is_checked
from server.coordination.responsibility.detected_issue import (
    SETTLEMENT,
    TASK,
    due,
    judged,
    mitigated,
    opened,
    put,
    task_of,
)
from server.coordination.stored import read
from server.coordination.write import AS_RECORDED
from server.fhir import body
from server.ledger import Change, Context, Resource, View, micros
from server.outcome import Problem

TOLD = frozenset({"CarePlan", "CareTeam", "Communication", "Encounter", "EpisodeOfCare", "ServiceRequest"})
MATTERS = TOLD | {"Contract", "DetectedIssue", "Patient", "PlanDefinition", "Task"}
MADE = frozenset({"DetectedIssue", "Task"})  # what a check writes, beside what others do
ABOUT = frozenset({"item", "member", "participant", "team"})  # kinds of fact whose key names the member
CLOSED = frozenset({"completed", "cancelled"})  # Task.status: whoever was to resolve it has
MANY = 200  # members whom a Contract or a program is about: of more, the background look sees to them

_PATIENT = re.compile(rb"Patient\\?/([A-Za-z0-9\-.]{1,64})")


async def coordinated(context: Context, before: View, changes: Sequence[Change], after: View) -> list[Change]:
    """Further changes: the issues and Tasks of those whom the changes are about."""
    written = [one for one in changes if one.type in MATTERS and not (one.is_derived and one.type in MADE)]
    if not written or context.override is AS_RECORDED:
        return []
    settled = [further for change in written for further in await _settled(context, change, after)]
    patients = await _concerned(before, written, after)
    if not patients or not are_checked(await active(after)):
        return settled
    now = micros(context.now)
    found = await judged(after, patients, When(now))
    done = {change.reference for change in settled}
    return settled + [one for one in await due(after, patients, found, now) if one.reference not in done]


# Whom it is about


async def _concerned(before: View, written: Sequence[Change], after: View) -> list[str]:
    """The members of these changes whom two organizations have, or had until now."""
    patients: set[str] = set()
    for change in written:
        if change.type in TOLD or change.type == "Patient":
            patients |= await _named(before, change)
    found = set(await dual(after, sorted(patients))) if patients else set()
    if any(change.type in {"EpisodeOfCare", "Patient"} and change.method != "POST" for change in written) and patients:
        found |= set(await dual(before, sorted(patients)))
    for change in written:
        if change.type == "Contract":
            found |= await _of_agreement(before, change, after)
        elif change.type == "PlanDefinition":
            found |= await _of_program(before, change, after)
    return sorted(found)


async def _named(before: View, change: Change) -> set[str]:
    """Whom a resource is about, and whom it may have been about before."""
    keys = {key.partition(" ")[0] for kind, key, _ in change.facts or () if kind in ABOUT}
    found = {key for key in keys if key.startswith("Patient/")}
    if change.method == "POST":
        return found
    version = await before.read(change.type, change.id)
    if version and version.body:
        found |= _mentioned(version.body)
    if change.type == "Patient" and found:
        found.add(change.reference)
    return found


def _mentioned(content: bytes) -> set[str]:
    """Every Patient that a resource's text refers to: more than its subject at most, and found without reading it."""
    if b"\\u00" in content:  # a letter may be written by its number
        content = body.dumps(body.loads(content))
    return {f"Patient/{id.decode()}" for id in _PATIENT.findall(content)}


async def _of_agreement(before: View, change: Change, after: View) -> set[str]:
    """The members whom the two organizations of a Contract have together, where these are not many."""
    rows = [data for kind, _, data in change.facts or () if kind == "agreement"]
    if change.method != "POST":
        stood = (await before.facts("agreement", [change.reference]))[change.reference]
        rows += [fact.data for fact in stood]
    found: set[str] = set()
    for parties in {tuple(sorted(Agreement(change.reference, *data).organizations)) for data in rows}:
        if len(parties) == 2:
            some = (await after.facts("organization", parties)).values()
            one, other = ({fact.data for fact in members} for members in some)
            found |= one & other
    return found if len(found) <= MANY else set()


async def _of_program(before: View, change: Change, after: View) -> set[str]:
    """The members who are in a program and with its partners, where these are not many."""
    programs = [dated.program for view in (before, after) for dated in (await active(view)).versions()]
    own = [one for one in programs if one.source == change.reference and is_checked(one)]
    partners = {str(terms.rule.parameters["partner"]) for one in own if (terms := of(one))}
    types = {type for one in own for type in one.types}
    rows = await after.facts("enrolled", partners | types) if partners else {}
    one_side, other = ({fact.data for type in some for fact in rows.get(type, ())} for some in (partners, types))
    found = one_side & other
    return found if len(found) <= MANY else set()


# What somebody resolved


async def _settled(context: Context, change: Change, after: View) -> list[Change]:
    """The issue of a Task that somebody ended or took up again, and the Task of an issue that somebody resolved."""
    resource = change.resource or {}
    if change.type == "Task" and TASK in tokens([resource.get("code", {})]):
        place = literal(resource.get("focus"), context.base_url) or ""
        issue = await read(after, place) if place.startswith("DetectedIssue/") else None
        if issue and task_of(issue["id"]) == change.id:
            return _followed(context, resource.get("status", ""), issue)
    if change.type == "DetectedIssue" and any(kind == "issue" for kind, _, _ in change.facts or ()):
        task = await read(after, f"Task/{task_of(change.id)}") if state(resource) == SETTLED else None
        if task and task.get("status") in WAITING:
            return [put({**task, "status": "completed"})]
    return []


def _followed(context: Context, status: str, issue: Resource) -> list[Change]:
    """An issue as its Task has it. Problem conflict for a Task of what is found no more."""
    if status in CLOSED and state(issue) == OPEN:
        return [put(mitigated(issue, SETTLEMENT, micros(context.now), context.actor))]
    if status in WAITING and state(issue) == SETTLED:
        return [put(opened(issue))]
    if status in WAITING and state(issue) == OVER:
        raise Problem.of(
            "conflict",
            f"What DetectedIssue/{issue['id']} says is found no more: its Task stays ended until it is found again",
            "Task.status",
        )
    return []
