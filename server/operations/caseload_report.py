"""Organization/[id]/$caseload-report: the statewide average and every case manager's number, as a MeasureReport.

https://hl7.org/fhir/R4/measurereport.html
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal

from server.coordination import period
from server.coordination.caseload_report import Breach, Held, Line, Report, Total, report, total
from server.coordination.facts import BASE
from server.coordination.period import Interval
from server.coordination.programs import active
from server.ledger import Resource, View, instant
from server.operations.call import Answer, Call, aside
from server.operations.parameters import place
from server.outcome import Problem
from server.search.filter import ALL

MEASURE = f"{BASE}/Measure/caseload"
IMPROVEMENT = "http://terminology.hl7.org/CodeSystem/measure-improvement-notation"
STRUCTURE = f"{BASE}/StructureDefinition"
MAX_ORGANIZATIONS = 10_000  # of those that a statewide total looks at
DAYS = {"unit": "days", "system": "http://unitsofmeasure.org", "code": "d"}


async def caseload_report(call: Call) -> Answer:
    """A summary; with detail a subject-list, which names the members and the teams that are the evidence."""
    view, now = await call.view()
    await call.here(view)
    known = await active(view)
    canonical = call.inputs.one("program")
    url = known.meant(canonical)
    over = call.inputs.one("period")
    window = period.between((over or {}).get("start"), (over or {}).get("end"), known.near(url, now).zone)
    if window.high <= window.low:
        raise Problem.invalid("The period ends before it starts", place("period"))
    as_of = call.inputs.one("asOf")
    at = known.instant(url, as_of, now) if as_of or not over else max(window.low, min(now, window.high - 1))
    if not over:
        window = Interval(at, at + 1)
    wanted, detail = known.chosen(canonical, at), bool(call.inputs.one("detail"))

    async def answer(view: View) -> Answer:
        made = await report(view, call.reference, known, wanted, at, window)
        if call.csv:
            return Answer(table=_table(made, detail))
        found = _measure_report(made, over, detail, now)
        if call.inputs.one("statewide"):
            organizations = [one.reference for one in await view.search("Organization", ALL, MAX_ORGANIZATIONS)]
            found["group"].append(_all_organizations(await total(view, organizations, known, wanted, at)))
        return Answer([("return", found)])

    return await aside(view, answer)


# As a MeasureReport


def _measure_report(made: Report, over: Resource | None, detail: bool, now: int) -> Resource:
    date = period.text(made.at, made.program.zone)
    contained: list[Resource] = []
    group = _group(made, bool(over), detail, contained)
    found: Resource = {
        "resourceType": "MeasureReport",
        **({"contained": contained} if contained else {}),
        "status": "complete",
        "type": "subject-list" if detail else "summary",
        "measure": MEASURE,
        "date": instant(now),
        "reporter": {"reference": made.organization},
        "period": over or {"start": date, "end": date},
        "improvementNotation": _concept(
            "http://terminology.hl7.org/CodeSystem/measure-improvement-notation", "decrease"
        ),
        "group": [group],
    }
    if detail:
        teams = sorted({team for line in made.lines for held in line.held for team in held.teams})
        if teams:
            found["evaluatedResource"] = [{"reference": team} for team in teams]
    return found


def _group(made: Report, over: bool, detail: bool, contained: list[Resource]) -> Resource:
    populations = [
        _population("members", made.members),
        _population("managers", made.managers),
        _population("unassigned", len(made.unassigned), made.unassigned if detail else None, contained),
    ]
    group: Resource = {
        **_extensions([_breach(made, breach) for breach in made.breaches]),
        "code": _concept(f"{BASE}/CodeSystem/caseload", "statewide-average"),
        "population": populations,
    }
    group |= _score(made.members, made.managers)
    if made.lines:
        strata = [_stratum(made, line, over, detail, contained) for line in made.lines]
        group["stratifier"] = [{"code": [_concept(f"{BASE}/CodeSystem/caseload", "manager")], "stratum": strata}]
    return group


def _all_organizations(found: Total) -> Resource:
    return {
        "code": _concept(f"{BASE}/CodeSystem/caseload", "all-organizations"),
        "population": [_population("members", found.members), _population("managers", found.managers)],
        **_score(found.members, found.managers),
    }


def _score(members: int, managers: int) -> Resource:
    """The average; none where there are no managers."""
    if not managers:
        return {}
    average = (Decimal(members) / managers).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    return {"measureScore": {"value": average.normalize() if average % 1 else int(average)}}


def _stratum(made: Report, line: Line, over: bool, detail: bool, contained: list[Resource]) -> Resource:
    extensions: list[Resource] = [
        {"url": f"{STRUCTURE}/caseload-manager", "valueReference": {"reference": reference}}
        for reference in (line.practitioner, *line.roles)
    ]
    if line.service_days is not None:
        extensions.append({"url": f"{STRUCTURE}/service-length", "valueQuantity": {"value": line.service_days, **DAYS}})
    extensions += [_length(held, detail) for held in line.held if held.days is not None]
    extensions += [_breach(made, breach) for breach in line.breaches]
    patients = [held.patient for held in line.held]
    populations = [
        _population("members", len(patients), patients if detail else None, contained),
        _population("individuals", line.individuals),
    ]
    if over:
        populations.append(_population("peak", line.peak))
    return {
        **_extensions(extensions),
        "value": {"text": f"{line.name} ({line.practitioner})" if line.name else line.practitioner},
        "population": populations,
    }


def _length(held: Held, detail: bool) -> Resource:
    quantity: Resource = {"value": held.days, **DAYS}
    if detail:
        member = {"url": f"{STRUCTURE}/assignment-member", "valueReference": {"reference": held.patient}}
        quantity = {"extension": [member], **quantity}
    return {"url": f"{STRUCTURE}/assignment-length", "valueQuantity": quantity}


def _population(
    code: str, count: int, patients: list[str] | None = None, contained: list[Resource] | None = None
) -> Resource:
    """A number of people; where they are to be named, with the contained List of them."""
    found: Resource = {"code": _concept(f"{BASE}/CodeSystem/caseload", code), "count": count}
    if patients and contained is not None:
        id = f"list-{len(contained) + 1}"
        items = [{"item": {"reference": patient}} for patient in patients]
        contained.append({"resourceType": "List", "id": id, "status": "current", "mode": "snapshot", "entry": items})
        found["subjectResults"] = {"reference": f"#{id}"}
    return found


def _breach(made: Report, breach: Breach) -> Resource:
    parts: list[Resource] = [
        {"url": "rule", "valueCanonical": f"{breach.program.canonical}#{breach.rule.id}"},
        {"url": "limit", "valueInteger": breach.rule.parameters["limit"]},
        {"url": "number", "valueInteger": breach.number},
        {"url": "date", "valueDateTime": period.text(breach.at, made.program.zone)},
    ]
    if breach.managers is not None:
        parts.append({"url": "managers", "valueInteger": breach.managers})
    return {"url": f"{STRUCTURE}/caseload-breach", "extension": parts}


def _extensions(found: list[Resource]) -> Resource:
    return {"extension": found} if found else {}


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


# As a table


def _table(made: Report, detail: bool) -> str:
    text = io.StringIO()
    csv.writer(text).writerows(_member_rows(made) if detail else _manager_rows(made))
    return text.getvalue()


def _manager_rows(made: Report) -> Iterator[list[object]]:
    yield ["practitioner", "name", "members", "individuals", "breach", "service days", "shortest assignment", "longest"]
    for line in made.lines:
        days = [held.days for held in line.held if held.days is not None]
        yield [
            line.practitioner,
            _plain(line.name),
            len(line.held),
            line.individuals,
            " ".join(breach.rule.id for breach in line.breaches),
            "" if line.service_days is None else line.service_days,
            min(days, default=""),
            max(days, default=""),
        ]


def _member_rows(made: Report) -> Iterator[list[object]]:
    yield ["member", "practitioner", "name", "team", "assignment days"]
    for line in made.lines:
        for held in line.held:
            days = "" if held.days is None else held.days
            yield [held.patient, line.practitioner, _plain(line.name), " ".join(held.teams), days]
    for patient in made.unassigned:
        yield [patient, "", "", "", ""]


def _plain(text: str) -> str:
    """A cell that no spreadsheet takes for a formula."""
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
