"""$coordination-check: what two organizations do for a member twice, wrongly, or not at all.

Of one member (Patient/[id]), or of every member whom an organization has together with another (Organization/[id]).
"""

from __future__ import annotations

from datetime import UTC, datetime

from server.coordination import period
from server.coordination.actor import organizations
from server.coordination.facts import BASE, ISSUE
from server.coordination.responsibility.check import When
from server.coordination.responsibility.detected_issue import Judged, as_kept, due, issues_of, judged
from server.coordination.write import Place, refusal
from server.ledger import Plan, Resource, View, instant, micros
from server.operations import roster
from server.operations.call import Answer, Call
from server.operations.roster import Asked, Roster
from server.outcome import Problem

READING = ("asOf", "at", "period")  # what is asked about another time than now is read, and not kept
SHOWN = 1000  # issues of a roster that are answered, where nobody says how many
COORDINATION = f"{BASE}/CodeSystem/coordination"


async def coordination_check(call: Call) -> Answer:
    """A Bundle of DetectedIssues. A POST as of now keeps them too, with a Task for each, and resolves what is over."""
    if call.type == "Organization":
        return _answer(call, await _roster(call))
    return _answer(call, await (_kept(call) if _is_kept(call) else _read(call)))


def _is_kept(call: Call) -> bool:
    return call.writes and not any(call.inputs.typed(name) for name in READING)


def _answer(call: Call, found: list[Resource]) -> Answer:
    entries = [{"fullUrl": f"{call.base_url}/{one['resourceType']}/{one['id']}", "resource": one} for one in found]
    return Answer(
        [("return", {"resourceType": "Bundle", "type": "collection", **({"entry": entries} if entries else {})})]
    )


# One member


async def _read(call: Call) -> list[Resource]:
    view, now = await call.view()
    await call.here(view)
    found = await _agreed(call, view, await judged(view, [call.reference], _when(call, now)), micros(datetime.now(UTC)))
    return issues_of(await as_kept(view, found))


async def _agreed(call: Call, view: View, found: list[Judged], now: int) -> list[Judged]:
    """Problem business_rule (422) where a caller would learn of an organization that shares nothing with its own.

    Of a period those that share are told, also where others had the member before them.
    """
    shared = await roster.told(await call.present(view), call.caller, found, now)
    alone = next((one.asked for one in found if not any(one is each for each in shared)), None)
    if alone is not None and not (alone.is_period and shared):
        why = f"{' and '.join(alone.pair.organizations)} have no agreement in force, under which they share."
        issue = refusal(alone.terms.program, alone.terms.agreement, why, Place("", "Patient"))
        raise Problem.with_issues("business_rule", [issue])
    return shared


def _when(call: Call, now: int) -> When:
    return When(now, call.inputs.one("asOf"), call.inputs.one("period"))


async def _kept(call: Call) -> list[Resource]:
    now = datetime.now(UTC)

    async def decide(view: View) -> Plan:
        await call.here(view)
        found = await _agreed(call, view, await judged(view, [call.reference], When(micros(now))), micros(now))
        changes = await due(view, [call.reference], found, micros(now))
        return Plan(changes, issues_of(await as_kept(view, found)))

    output: list[Resource] = (await call.commit(decide, now)).output
    return output


# A roster


async def _roster(call: Call) -> list[Resource]:
    """The numbers as a MeasureReport, and the first of the issues."""
    now = datetime.now(UTC)
    if call.inputs.typed("at"):
        raise Problem.invalid("A roster is checked as it is; give asOf for what held at another time", "at")
    await _check_may(call)
    shown = call.inputs.one("count")
    program = call.inputs.one("program")
    asked = Asked(
        call.reference,
        program.partition("|")[0] if program else None,
        call.inputs.one("cursor"),
        SHOWN if shown is None else shown,
    )
    if _is_kept(call):
        found = await roster.kept(call.repository, call.caller, asked, call.watch)
    else:
        found = await roster.read(call.repository, call.caller, asked, _when(call, micros(now)), call.watch)
    return [_report(call, found, now), *found.issues]


async def _check_may(call: Call) -> None:
    """Somebody of that organization, or the local system. Problem not_found or forbidden."""
    view = await call.repository.view(call.caller)
    await call.here(view)
    actor = call.caller.actor
    if actor is not None and call.reference not in await organizations(view, actor, micros(datetime.now(UTC))):
        raise Problem.of("forbidden", f"{actor} does not act for {call.reference}")


def _report(call: Call, found: Roster, now: datetime) -> Resource:
    day = period.day(micros(now), "UTC").isoformat()
    numbers = {"members": found.members, "concerned": found.concerned, "written": found.written}
    return {
        "resourceType": "MeasureReport",
        "id": call.id,
        "status": "complete",
        "type": "summary",
        "measure": f"{BASE}/Measure/coordination|1.0.0",
        "subject": {"reference": call.reference},
        "date": instant(micros(now)),
        "period": {"start": day, "end": day},
        "group": [
            {
                "code": _concept(COORDINATION, "coordination-check"),
                "population": [
                    *({"code": _concept(COORDINATION, code), "count": number} for code, number in numbers.items()),
                    *({"code": _concept(ISSUE, code), "count": found.found[code]} for code in sorted(found.found)),
                ],
            }
        ],
    }


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}
