"""Organization/[id]/$meeting-coverage: which goals meetings with a partner were about, and whom they discussed.

https://hl7.org/fhir/R4/measurereport.html
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

from server.coordination import period
from server.coordination.communication.meeting import GOALS, Meeting, Shared, meetings, shared
from server.coordination.facts import BASE
from server.coordination.lead.terms import every
from server.coordination.period import Interval
from server.coordination.program.programs import active
from server.fhir import body
from server.ledger import Resource, View
from server.operations.call import Answer, Call, aside
from server.operations.measure_report import Lists, concept, items, measure_report, score
from server.operations.parameters import place
from server.outcome import Issue, Problem
from server.search.query import parse

PROFILES = Path(__file__).resolve().parents[2] / "profiles"
MEASURE = json.loads((PROFILES / "Measure-meeting-coverage.json").read_text())
POPULATION = "http://terminology.hl7.org/CodeSystem/measure-population"
CODES = f"{BASE}/CodeSystem/meeting-coverage"
MOST = 10_000  # meetings of one report


async def meeting_coverage(call: Call) -> Answer:
    """A summary; with detail a subject-list, which names the meetings, and the members who were not discussed."""
    view, now = await call.view()
    await call.here(view)
    terms = list(every(await active(view), now))
    if not terms:
        why = "No program here has members together with another organization: none has a rule of the kind lead"
        raise Problem.with_issues("unprocessable", [Issue("not-supported", why)])
    zone = terms[0].zone
    over = call.inputs.one("period") or {}
    window = period.between(over.get("start"), over.get("end"), zone)
    if window.high <= window.low:
        raise Problem.invalid("The period ends before it starts", place("period"))
    as_of = call.inputs.one("asOf")
    until = period.starts(as_of, zone) if as_of else now
    window = Interval(window.low, min(window.high, until))
    partner: str | None = call.inputs.one("partner")

    async def answer(view: View) -> Answer:
        held = await meetings(view, await _appointments(view), window, zone)
        of = [one for one in held if one.is_of(call.reference, partner)]
        discussed = {member for one in of for member in one.members}
        members = await shared(view, terms, call.reference, partner, window, discussed)
        lists = Lists(bool(call.inputs.one("detail")))
        groups = [*_goals(of, lists), *_held(of, call.reference, partner, lists), _members(members, lists)]
        told = {**over, "end": over.get("end") or period.text(until, zone)}
        evidence = [one.reference for one in of]
        report = measure_report(
            MEASURE["url"], told, now, groups, lists, evidence, reporter=call.reference, improvement="increase"
        )
        return Answer(text=body.dumps(report))

    return await aside(view, answer)


async def _appointments(view: View) -> list[Resource]:
    asked = [("reason-code", f"{GOALS}|"), ("status", "fulfilled")]
    query = parse("Appointment", asked, base_url="", lenient=False)
    found = await view.search("Appointment", query.filter, MOST + 1)
    if len(found) > MOST:
        raise Problem.of("too_costly", f"More than {MOST} meetings took place: this report looks at no more")
    return [body.loads(version.body) for version in found if version.body]


def _goals(held: Sequence[Meeting], lists: Lists) -> list[Resource]:
    """A group for each goal that the Measure names: of the meetings, those that were about it."""
    codings = (group["code"]["coding"][0] for group in MEASURE["group"])
    goals = [coding["code"] for coding in codings if coding["system"] == GOALS]
    return [_group(GOALS, goal, _references(held), _references(_about(held, goal)), lists) for goal in goals]


def _about(held: Iterable[Meeting], goal: str) -> Iterable[Meeting]:
    return (one for one in held if f"{GOALS}|{goal}" in one.goals)


def _held(held: Sequence[Meeting], organization: str, partner: str | None, lists: Lists) -> list[Resource]:
    every = _references(held)
    attended = _references(one for one in held if one.is_attended(organization, partner))
    minuted = _references(one for one in held if one.has_minutes)
    return [_group(CODES, "attendance", every, attended, lists), _group(CODES, "minutes", every, minuted, lists)]


def _members(members: Sequence[Shared], lists: Lists) -> Resource:
    every, discussed = ([one.patient for one in members], [one.patient for one in members if one.is_discussed])
    return _group(CODES, "shared-members", every, discussed, lists)


def _references(held: Iterable[Meeting]) -> list[str]:
    return [one.reference for one in held]


def _group(system: str, code: str, every: Sequence[str], met: Sequence[str], lists: Lists) -> Resource:
    populations = [
        {"code": concept(POPULATION, name), "count": len(found), **lists.of(items(found))}
        for name, found in (("denominator", every), ("numerator", met))
    ]
    return {"code": concept(system, code), "population": populations, **score(len(met), len(every))}
