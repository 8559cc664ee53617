"""Amendment: what is refused, and what is kept, when a program is written.

A malformed program is refused with the place and the reason. One that is changed in place from a later date on keeps
its earlier version, as a resource of its own, for the dates before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from server.coordination import facts, period
from server.coordination.program.plan_definition import parse
from server.coordination.program.program import Program
from server.coordination.program.programs import rank
from server.fhir import body
from server.fhir.body import Body
from server.ledger import Change, Context, Resource, View
from server.outcome import Issue, Problem


async def checked(context: Context, before: View, changes: Sequence[Change], after: View) -> list[Change]:
    """Refuse a malformed program; keep, as versions of their own, those that a change in place would overwrite."""
    issues: list[Issue] = []
    written: list[Program] = []
    kept: list[Change] = []
    for change in changes:
        if change.resource is None:
            continue
        if change.facts:
            program, found = parse(change.resource)
            issues += [replace(issue, resources=(change.reference,) * len(issue.expression)) for issue in found]
            written += [program] if program else []
        kept += await _earlier(context, before, change.reference, change.resource)
    if not issues and written:
        issues = await _equals(after, written)
    if issues:
        raise Problem.with_issues("unprocessable", issues)
    there = {change.reference for change in changes}
    return [change for change in kept if change.reference not in there]


async def _equals(after: View, written: list[Program]) -> list[Issue]:
    """Two versions of which neither is the one in force."""
    found = await after.facts("program", (facts.ALL_PROGRAMS,))
    issues = []
    for fact in found[facts.ALL_PROGRAMS]:
        other = await _active(after, fact.source)
        issues += [
            Issue(
                "duplicate",
                f"{other.source} is {other.canonical} too, from the same date on: neither would be the one in force. "
                "Give this one another version, a later effectivePeriod.start, or end the other's effectivePeriod.",
                ("PlanDefinition.version",),
                resources=(program.source,),
            )
            for program in written
            if other and other.source != program.source and other.url == program.url and _equal(program, other)
        ]
    return issues


def _equal(one: Program, other: Program) -> bool:
    return rank(one) == rank(other) and one.period.low < other.period.high and other.period.low < one.period.high


async def _active(view: View, source: str) -> Program | None:
    stored = await _stored(view, source)
    return parse(stored)[0] if stored and stored.get("status") == "active" and facts.is_program(stored) else None


async def _stored(view: View, source: str) -> Resource | None:
    version = await view.read(*source.split("/"))
    return None if version is None or version.body is None else body.parse(version.body).resource


async def _earlier(context: Context, before: View, source: str, plan: Resource) -> list[Change]:
    """The version that a change in place replaces, for the dates before the change holds."""
    replaced = await _active(before, source)
    start = plan.get("effectivePeriod", {}).get("start")
    if replaced is None or start is None or plan.get("url") != replaced.url:
        return []
    until = period.starts(start, replaced.zone)
    if until <= replaced.period.low:
        return []
    stored = await _stored(before, source)
    assert stored is not None, "it was just read"
    version = replaced.version
    if version == plan.get("version", ""):
        version = f"{version}-until-{start[:10]}".lstrip("-")
    end = period.text(min(replaced.period.high, until), replaced.zone)
    kept = {
        **stored,
        "id": context.derive(f"{source} before {start}"),
        "version": version,
        "effectivePeriod": {**stored.get("effectivePeriod", {}), "end": end},
    }
    return [Change("PUT", "PlanDefinition", kept["id"], kept, Body.of(kept).text(kept["id"]))]
