"""Organization/[id]/$unassigned: what waits for a supervisor, as a searchset: each entry says why and since when.

https://hl7.org/fhir/R4/bundle.html#searchset
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from server.coordination import period, stored
from server.coordination.caseload.unassigned import ORDER, Finding, findings, urgency
from server.coordination.facts import BASE
from server.coordination.lead import lacking, terms
from server.coordination.program.program import Program
from server.coordination.program.programs import active
from server.ledger import Resource, View
from server.operations.call import Answer, Call, aside
from server.operations.parameters import place
from server.outcome import Issue, Problem, outcome

ATTENTION = f"{BASE}/StructureDefinition/attention"
CODES = f"{BASE}/CodeSystem/attention"
COUNT = 1_000  # findings of each kind that are answered
MAX_COUNT = 10_000


async def unassigned(call: Call) -> Answer:
    """The most urgent first; `total` counts all that there are, and an OperationOutcome how many of each kind."""
    view, now = await call.view()
    await call.here(view)
    known = await active(view)
    canonical = call.inputs.one("program")
    at = known.instant(known.meant(canonical), call.inputs.one("asOf"), now)
    wanted, kinds, count = known.chosen(canonical, at), _kinds(call), call.inputs.one("count") or COUNT
    leads = terms.of(wanted)
    if wanted.assignment is None and leads is None:
        why = f"{wanted.canonical} has no case managers and no leads: no rule of the kind assignment or lead"
        raise Problem.with_issues("unprocessable", [Issue("not-supported", why, (place("program"),))])
    if count > MAX_COUNT:
        raise Problem.invalid(f"At most {MAX_COUNT} of each kind are answered at once", place("count"))

    async def answer(view: View) -> Answer:
        managed = await findings(view, call.reference, known, wanted, at, now) if wanted.assignment else []
        led = await lacking.findings(view, call.reference, leads, at, now) if leads else []
        asked = [one for one in sorted([*managed, *led], key=urgency) if one.why in kinds]
        return Answer([("return", await _bundle(view, asked, count, wanted, call.base_url))])

    return await aside(view, answer)


def _kinds(call: Call) -> frozenset[str]:
    """The kinds of finding that are asked for; all of them where none is named."""
    named = [given.value for given in call.inputs.given.get("why", ())]
    unknown = sorted(set(named) - set(ORDER))
    if unknown:
        raise Problem.invalid(f"There is no {unknown[0][:80]!r}; there are {', '.join(ORDER)}", place("why"))
    return frozenset(named or ORDER)


async def _bundle(view: View, found: Sequence[Finding], count: int, program: Program, base_url: str) -> Resource:
    totals = Counter(one.why for one in found)
    shown = [one for why in ORDER for one in [each for each in found if each.why == why][:count]]
    reasons: dict[str, list[Resource]] = {}
    for one in shown:
        reasons.setdefault(one.reference, []).append(_attention(one, program))
    resources = await stored.read_many(view, reasons)
    entries = [
        _entry(f"{base_url}/{reference}", resources[reference], extensions)
        for reference, extensions in reasons.items()
        if reference in resources
    ]
    if totals:
        told = outcome(_told(why, totals[why], count) for why in ORDER if totals[why])
        entries.append({"resource": told, "search": {"mode": "outcome"}})
    total = len({one.reference for one in found})
    return {"resourceType": "Bundle", "type": "searchset", "total": total, **({"entry": entries} if entries else {})}


def _entry(url: str, resource: Resource, extensions: Sequence[Resource]) -> Resource:
    return {"extension": extensions, "fullUrl": url, "resource": resource, "search": {"mode": "match"}}


def _attention(one: Finding, program: Program) -> Resource:
    parts: list[Resource] = [{"url": "why", "valueCoding": {"system": CODES, "code": one.why}}]
    if one.since is not None:
        parts.append({"url": "since", "valueDateTime": period.text(one.since, program.zone)})
    if one.about is not None:
        parts.append({"url": "about", "valueReference": {"reference": one.about}})
    if one.number is not None and one.limit is not None:
        parts += [{"url": "number", "valueInteger": one.number}, {"url": "limit", "valueInteger": one.limit}]
    return {"url": ATTENTION, "extension": parts}


def _told(why: str, total: int, count: int) -> Issue:
    """How many of a kind there are, and where they are more than are answered, how many are."""
    more = f", of which these are the first {count}" if total > count else ""
    details: dict[str, Any] = {"coding": [{"system": CODES, "code": why}], "text": f"{total} {why}"}
    return Issue("informational", f"{total} of {why}{more}", severity="information", details=details)
