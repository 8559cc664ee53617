"""Patient/[id]/$coordination-check: what two organizations do for a member twice, wrongly, or not at all."""

from __future__ import annotations

from datetime import UTC, datetime

from server.coordination.responsibility import detected_issue
from server.coordination.responsibility.check import Check, check, findings
from server.coordination.responsibility.item import TYPES
from server.fhir import body
from server.ledger import Plan, Resource, View, micros
from server.operations.call import Answer, Call
from server.outcome import Problem
from server.search import compartment
from server.search.filter import Equal, Filter
from server.search.parameter import parameters

MOST = 5000  # resources of one type


async def coordination_check(call: Call) -> Answer:
    """A Bundle of DetectedIssues. A POST as of now keeps them too, with a Task for each, and resolves what is over."""
    now = datetime.now(UTC)
    found: list[Resource] = []
    if not call.writes or any(call.inputs.typed(name) for name in ("asOf", "at", "period")):
        view, at = await call.view()
        await call.here(view)
        asked = await _asked(view, call, at)
        found = await _issues(view, asked, at) if asked else []
        return _answer(call, found)

    async def decide(view: View) -> Plan:
        await call.here(view)
        at = micros(now)
        asked = await _asked(view, call, at)
        if asked is None:
            return Plan([], [])
        issues = await _issues(view, asked, at)
        stored = await of_member(view, asked, "DetectedIssue")
        tasks = [one for one in await of_member(view, asked, "Task") if "focus" in one]
        return Plan(detected_issue.kept(asked, issues, stored, tasks, at), issues)

    commit = await call.commit(decide, now)
    return _answer(call, commit.output)


async def _asked(view: View, call: Call, at: int) -> Check | None:
    return await check(view, call.reference, call.inputs.one("period"), call.inputs.one("asOf"), at)


async def _issues(view: View, asked: Check, at: int) -> list[Resource]:
    resources = [one for type in TYPES for one in await of_member(view, asked, type)]
    return detected_issue.told(asked, await findings(view, asked, resources), at)


async def of_member(view: View, asked: Check, type: str) -> list[Resource]:
    """The member's resources of a type."""
    found: list[Resource] = []
    for patient in asked.member.patients:
        versions = await view.search(type, _filter(patient, type), MOST + 1)
        if len(versions) > MOST:
            raise Problem.of("too_costly", f"{patient} has more than {MOST} resources of the type {type}")
        found += [body.loads(version.body or b"") for version in versions]
    return found


def _filter(patient: str, type: str) -> Filter:
    """Tasks are in no compartment of R4's."""
    if type == "Task":
        return Equal(parameters(type)["patient"].index, (patient,))
    return compartment.filter(patient, type)


def _answer(call: Call, issues: list[Resource]) -> Answer:
    entries = [{"fullUrl": f"{call.base_url}/DetectedIssue/{one['id']}", "resource": one} for one in issues]
    return Answer(
        [("return", {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})})]
    )
