"""$outcome-indicators: can members reach their case managers, and is the service plan looked after?

https://hl7.org/fhir/R4/measurereport.html

A MeasureReport for each Measure and organization, in a Bundle; on the type, of all organizations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction

from server.coordination import period
from server.coordination.caseload import census
from server.coordination.caseload.distribution import Distribution, distribution
from server.coordination.caseload.indicator import Asked, Indicator, Item, indicators
from server.coordination.facts import BASE
from server.coordination.program.programs import active
from server.fhir import body
from server.ledger import Resource, View
from server.operations.call import Answer, Call, aside
from server.operations.caseload_table import Row, table
from server.operations.measure_report import (
    CASELOAD,
    Lists,
    concept,
    extensions,
    items,
    link,
    measure_report,
    score,
    spread,
)
from server.operations.oversight import MAX_ORGANIZATIONS
from server.operations.parameters import place
from server.outcome import Problem
from server.search.filter import ALL

POPULATION = "http://terminology.hl7.org/CodeSystem/measure-population"
HOUR = 60  # minutes

Found = list[tuple[str, list[Indicator]]]  # by organization


async def outcome_indicators(call: Call) -> Answer:
    """A summary of each; with detail subject-lists, which name the Communications, Tasks and plans behind them."""
    return await answered(call, _bundle)


def _bundle(reports: list[Resource]) -> Resource:
    entries = {"entry": [{"resource": one} for one in reports]} if reports else {}
    return {"resourceType": "Bundle", "type": "collection", **entries}


async def answered(call: Call, written: Callable[[list[Resource]], Resource]) -> Answer:
    """The reports, put together by `written`; or a table."""
    view, now = await call.view()
    if call.id:
        await call.here(view)
    over = call.inputs.one("period") or {}
    known = await active(view)
    canonical = call.inputs.one("program")
    url = known.meant(canonical)
    window = period.between(over.get("start"), over.get("end"), known.near(url, now).zone)
    if window.high <= window.low:
        raise Problem.invalid("The period ends before it starts", place("period"))
    as_of = call.inputs.one("asOf")
    at = known.instant(url, as_of, now) if as_of else max(window.low, min(now, window.high - 1))
    told = over or {"end": period.text(at, known.near(url, now).zone)}
    hours = _window(call, "answerHours")
    asked = Asked(
        *(known.chosen(canonical, at), at, window),
        answer_minutes=None if hours is None else hours * HOUR,
        follow_up_days=_window(call, "followUpDays"),
    )

    async def answer(view: View) -> Answer:
        organizations = [call.reference] if call.id else await _organizations(view)
        counted, _ = await census.census(view, organizations, known, asked.program)
        found = [
            (organization, await indicators(view, one, asked))
            for organization, one in sorted(counted.items())
            if call.id or one.members
        ]
        for one in counted.values():
            one.let_go()
        if call.csv:
            return Answer(table=table(NAMES, _rows(found)))
        detail = bool(call.inputs.one("detail"))
        reports = [_report(organization, one, told, now, detail) for organization, every in found for one in every]
        return Answer(text=body.dumps(written(reports)))

    return await aside(view, answer)


def _window(call: Call, name: str) -> int | None:
    found: int | None = call.inputs.one(name)
    if found is not None and found < 0:
        raise Problem.invalid(f"{name} is 0 or more", place(name))
    return found


async def _organizations(view: View) -> list[str]:
    return [one.reference for one in await view.search("Organization", ALL, MAX_ORGANIZATIONS)]


def _report(organization: str, one: Indicator, over: Resource, now: int, detail: bool) -> Resource:
    lists = Lists(detail)
    group: Resource = {
        **extensions(spread(one.value, _times(one.items), one.unit)),
        "code": concept(CASELOAD, one.measure),
        "population": _populations(one.items, lists),
        **_score(one.items),
    }
    strata = [_stratum(one, person, lists) for person in _persons(one)]
    if strata:
        group["stratifier"] = [{"code": [concept(CASELOAD, "manager")], "stratum": strata}]
    evidence = sorted({reference for item in one.items for reference in item.evidence})
    measure = f"{BASE}/Measure/{one.measure}"
    return measure_report(
        measure, over, now, [group], lists, evidence, reporter=organization, improvement=one.improvement
    )


def _stratum(one: Indicator, person: str, lists: Lists) -> Resource:
    own = [item for item in one.items if item.person == person]
    return {
        **extensions([link("caseload-manager", person), *spread(one.value, _times(own), one.unit)]),
        "value": {"text": person},
        "population": _populations(own, lists),
        **_score(own),
    }


def _populations(found: list[Item], lists: Lists) -> list[Resource]:
    met = [item for item in found if item.counts]
    return [
        {
            "code": concept(POPULATION, code),
            "count": len(every),
            **lists.of(items(item.evidence[0] for item in every)),
        }
        for code, every in (("denominator", found), ("numerator", met))
    ]


def _score(found: list[Item]) -> Resource:
    return score(sum(item.counts for item in found), len(found))


def _times(found: Iterable[Item]) -> Distribution | None:
    return distribution(item.value for item in found if item.value is not None)


def _persons(one: Indicator) -> list[str]:
    return sorted({item.person for item in one.items if item.person})


NAMES = ("organization", "measure", "practitioner", "numerator", "denominator", "score", "median", "unit")


def _rows(found: Found) -> Iterator[Row]:
    """A row for each indicator, and for each case manager of it."""
    for organization, every in found:
        for one in every:
            yield _row(organization, one, None, one.items)
            for person in _persons(one):
                yield _row(organization, one, person, [item for item in one.items if item.person == person])


def _row(organization: str, one: Indicator, person: str | None, found: list[Item]) -> Row:
    met, times = sum(item.counts for item in found), _times(found)
    quotient = Fraction(met, len(found)) if found else None
    median = times.median if times else None
    return [organization, one.measure, person, met, len(found), quotient, median, one.unit if times else None]
