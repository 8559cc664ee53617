"""The groups of a caseload report's MeasureReport: an organization's numbers, its series, and the total of them all.

https://hl7.org/fhir/R4/measurereport-definitions.html#MeasureReport.group
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from server.coordination import period
from server.coordination.caseload.breach import Breach
from server.coordination.caseload.distribution import distribution, how_often
from server.coordination.caseload.report import Held, Line, Report, Total
from server.coordination.caseload.series import Point, by_manager
from server.coordination.caseload.transfer_report import Transfers
from server.ledger import Resource
from server.operations.measure_report import (
    CASELOAD,
    STRUCTURE,
    Lists,
    concept,
    extensions,
    items,
    link,
    population,
    quantity,
    score,
    spread,
)


class Shown(NamedTuple):
    """What of a report is shown: its peaks where it is over a period, and who is behind each number with detail."""

    over: bool
    lists: Lists


def organization(made: Report, shown: Shown) -> Resource:
    """One organization: the average, and a stratum for each case manager."""
    lists = shown.lists
    held = [each for line in made.lines for each in line.held]
    holding = [line.practitioner for line in made.lines if line.held]
    found: Resource = {
        **extensions(
            [
                link("report-organization", made.organization),
                *(breach(made, one) for one in made.breaches),
                *_spreads(made, held),
            ]
        ),
        "code": concept(CASELOAD, "statewide-average"),
        "population": [
            population("members", made.members, lists.of(_members(made, held)) if lists.wanted else None),
            population("managers", made.managers, lists.of(items(holding))),
            population("unassigned", len(made.unassigned), lists.of(items(made.unassigned))),
        ],
        **score(made.members, made.managers),
    }
    if made.lines:
        found["stratifier"] = [
            {"code": [concept(CASELOAD, "manager")], "stratum": [_stratum(made, line, shown) for line in made.lines]},
            {"code": [concept(CASELOAD, "members-held")], "stratum": list(_how_often(made, lists))},
        ]
    return found


def _spreads(made: Report, held: list[Held]) -> list[Resource]:
    """IA-26, IA-27 and IA-28 over all managers."""
    lines = [line for line in made.lines if line.held]
    service = [line.service_days for line in lines if line.service_days is not None]
    return [
        *spread("members", distribution(len(line.held) for line in lines)),
        *spread("individuals", distribution(len(line.individuals) for line in lines)),
        *spread("assignment-length", distribution(each.days for each in held if each.days is not None), "d"),
        *spread("service-length", distribution(service), "d"),
    ]


def _how_often(made: Report, lists: Lists) -> Iterator[Resource]:
    """How many managers hold how many members."""
    holding = [line for line in made.lines if line.held]
    for number, count in how_often(len(line.held) for line in holding):
        who = [line.practitioner for line in holding if len(line.held) == number] if lists.wanted else []
        yield {"value": {"text": str(number)}, "population": [population("managers", count, lists.of(items(who)))]}


def _stratum(made: Report, line: Line, shown: Shown) -> Resource:
    lists = shown.lists
    found = [link("caseload-manager", reference) for reference in (line.practitioner, *line.roles)]
    for name, days in (("service-length", line.service_days), ("employment-length", line.employment_days)):
        if days is not None:
            found.append({"url": f"{STRUCTURE}/{name}", "valueQuantity": quantity(days, "d")})
    found += [_length(held, lists.wanted) for held in line.held if held.days is not None]
    found += [breach(made, one) for one in line.breaches]
    populations = [
        population("members", len(line.held), lists.of(_members(made, line.held)) if lists.wanted else None),
        population("individuals", len(line.individuals), lists.of(items(line.individuals))),
    ]
    if shown.over:
        populations.append(population("peak", line.peak))
    return {
        **extensions(found),
        "value": {"text": f"{line.name} ({line.practitioner})" if line.name else line.practitioner},
        "population": populations,
    }


def _members(made: Report, held: list[Held]) -> list[Resource]:
    """Each member with the assignment that is the evidence."""
    return [
        {
            "extension": [
                {
                    "url": f"{STRUCTURE}/assignment-evidence",
                    "extension": [
                        *({"url": "careTeam", "valueReference": {"reference": team}} for team in each.teams),
                        *_since(made, each),
                    ],
                }
            ],
            "item": {"reference": each.patient},
        }
        for each in held
    ]


def _since(made: Report, held: Held) -> list[Resource]:
    if held.since is None:
        return []
    return [{"url": "since", "valueDateTime": period.text(held.since, made.program.zone)}]


def _length(held: Held, detail: bool) -> Resource:
    found = quantity(held.days or 0, "d")
    if detail:
        found = {"extension": [link("assignment-member", held.patient)], **found}
    return {"url": f"{STRUCTURE}/assignment-length", "valueQuantity": found}


def breach(made: Report, one: Breach) -> Resource:
    """Which limit, the number above it at its worst, since when, and where it is over, until when."""
    zone = made.program.zone
    parts: list[Resource] = [
        {"url": "rule", "valueCanonical": f"{one.program.canonical}#{one.rule.id}"},
        {"url": "limit", "valueInteger": one.limit},
        {"url": "number", "valueInteger": one.number},
        {"url": "date", "valueDateTime": period.text(one.since, zone)},
    ]
    if one.managers is not None:
        parts.append({"url": "managers", "valueInteger": one.managers})
    if one.until < made.window.high:
        parts.append({"url": "end", "valueDateTime": period.text(one.until, zone)})
    return {"url": f"{STRUCTURE}/caseload-breach", "extension": parts}


def over_time(made: Report, points: list[Point], detail: bool) -> Resource:
    """The series: a stratum for each date; with detail one for each manager on each date too."""
    zone = made.program.zone
    stratifiers = [
        {"code": [concept(CASELOAD, "date")], "stratum": [_point(point, zone) for point in points]},
    ]
    if detail:
        strata = [
            {
                "component": [
                    {"code": concept(CASELOAD, "manager"), "value": {"text": person}},
                    {"code": concept(CASELOAD, "date"), "value": {"text": period.text(point.at, zone)}},
                ],
                "population": [population("members", count)],
            }
            for person, counts in by_manager(made, [point.at for point in points]).items()
            for point, count in zip(points, counts, strict=True)
        ]
        if strata:
            codes = [concept(CASELOAD, "manager"), concept(CASELOAD, "date")]
            stratifiers.append({"code": codes, "stratum": strata})
    return {
        **extensions([link("report-organization", made.organization)]),
        "code": concept(CASELOAD, "series"),
        "stratifier": stratifiers,
    }


def _point(point: Point, zone: str) -> Resource:
    return {
        "value": {"text": period.text(point.at, zone)},
        "population": [
            population("members", point.members),
            population("managers", point.managers),
            population("unassigned", point.unassigned),
            population("highest", point.highest),
            population("above-limit", point.above),
        ],
        **score(point.members, point.managers),
    }


def transfers(organization: str, found: Transfers, names: Mapping[str, str], lists: Lists) -> Resource:
    """How often members were transferred: by reason, by all but one, by case manager, and with detail by member."""
    reasons = found.reasons()
    stratifiers = [
        *_stratifier(
            [{"value": _reason(one), "population": _moves(found.of(one), lists)} for one in reasons], "reason"
        ),
        *_stratifier(
            [{"value": _reason(one), "population": _moves(found.but(one), lists)} for one in reasons], "all-but-reason"
        ),
        *_stratifier(list(_by_manager(found, names, lists)), "manager"),
        *_stratifier(list(_by_manager_and_reason(found, lists)), "manager", "reason"),
        *_stratifier(list(_by_member(found, lists)) if lists.wanted else [], "member"),
    ]
    return {
        **extensions([link("report-organization", organization)]),
        "code": concept(CASELOAD, "transfers"),
        "population": _moves(found, lists),
        **({"stratifier": stratifiers} if stratifiers else {}),
    }


def _stratifier(strata: list[Resource], *codes: str) -> list[Resource]:
    return [{"code": [concept(CASELOAD, code) for code in codes], "stratum": strata}] if strata else []


def _reason(token: str) -> Resource:
    system, _, code = token.partition("|")
    return {"coding": [{"system": system, "code": code} if system else {"code": code}]}


def _moves(found: Transfers, lists: Lists) -> list[Resource]:
    named = {"opened": found.opened, "completed": found.completed, "given-up": found.given_up, "open": found.open}
    again, members = found.again(), sorted(found.members())
    return [
        *(
            population(code, len(every), lists.of(items(one.transfer.task for one in every)))
            for code, every in named.items()
        ),
        population("members-transferred", len(members), lists.of(items(members))),
        population("members-transferred-again", len(again), lists.of(items(again))),
    ]


def _by_manager(found: Transfers, names: Mapping[str, str], lists: Lists) -> Iterator[Resource]:
    for person in found.persons():
        name = names.get(person)
        yield {
            **extensions([link("caseload-manager", person)]),
            "value": {"text": f"{name} ({person})" if name else person},
            "population": _ways(found, person, lists),
        }


def _by_manager_and_reason(found: Transfers, lists: Lists) -> Iterator[Resource]:
    for reason in found.reasons():
        own = found.of(reason)
        for person in own.persons():
            yield {
                "component": [
                    {"code": concept(CASELOAD, "manager"), "value": {"text": person}},
                    {"code": concept(CASELOAD, "reason"), "value": _reason(reason)},
                ],
                "population": _ways(own, person, lists),
            }


def _ways(found: Transfers, person: str, lists: Lists) -> list[Resource]:
    away = [one.transfer.task for one in found.completed if one.sender == person]
    here = [one.transfer.task for one in found.completed if one.receiver == person]
    return [
        population("away", len(away), lists.of(items(away))),
        population("here", len(here), lists.of(items(here))),
    ]


def _by_member(found: Transfers, lists: Lists) -> Iterator[Resource]:
    for member, count in sorted(found.members().items()):
        tasks = [one.transfer.task for one in found.completed if one.member == member]
        yield {"value": {"text": member}, "population": [population("completed", count, lists.of(items(tasks)))]}


def all_organizations(found: Total) -> Resource:
    """The total of the state."""
    return {
        "code": concept(CASELOAD, "all-organizations"),
        "population": [population("members", found.members), population("managers", found.managers)],
        **score(found.members, found.managers),
    }
