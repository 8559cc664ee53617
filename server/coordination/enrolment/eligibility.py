"""Eligibility: what is known of a member's need, and whether a program is for it.

https://hl7.org/fhir/R4/observation.html, https://hl7.org/fhir/R4/flag.html,
https://ucum.org/ucum

Evidence on file that does not pass refuses the enrolment; where there is none yet a Flag on the member says so until it
comes. The program's file may be stricter, or more lenient.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Any

from server.coordination import facts, period
from server.coordination.enrolment.case import Case
from server.coordination.facts import Enrolment, Evidence
from server.coordination.program.program import Program, Rule
from server.coordination.write import AS_RECORDED, Place, hint, overrides, refusal
from server.outcome import Issue

LACKING = f"{facts.BASE}/CodeSystem/cm-flag|eligibility-evidence"
DAYS = {"d": Decimal(1), "wk": Decimal(7), "mo": Decimal("30.4375"), "a": Decimal("365.25")}  # as UCUM defines them
ACCEPTED = "days (UCUM d; an integer is one of days), weeks (wk), months (mo, 30.4375 days) and years (a, 365.25 days)"
COMPARATORS: dict[str, tuple[Callable[[Any, Any], bool], str, frozenset[str]]] = {
    # how it compares, in words, and the Quantity.comparators whose values all lie on that side
    "gt": (operator.gt, "more than", frozenset({">", ">="})),
    "ge": (operator.ge, "at least", frozenset({">", ">="})),
    "lt": (operator.lt, "less than", frozenset({"<", "<="})),
    "le": (operator.le, "at most", frozenset({"<", "<="})),
}


async def judged(case: Case) -> list[Issue]:
    """Refuse an enrolment whose evidence does not pass by the rule of its first day; flag who has none."""
    issues: list[Issue] = []
    for one in case.member.enrolments:
        for program, rule in case.ruled("eligibility", one.start):
            if not program.types.isdisjoint(one.types):
                issues += await _judged(case, program, rule, one, one in case.begun(program.types))
    return issues


async def _judged(case: Case, program: Program, rule: Rule, one: Enrolment, is_begun: bool) -> list[Issue]:
    if not case.is_going_on(one, program.zone):
        await case.clear(LACKING, one, program)
        return []
    start = period.starts(one.start, program.zone)
    at = start if is_begun and start > period.ALWAYS else max(start, case.now)
    found = latest(case.evidence, codes(rule), at, program.zone)
    if found and passes(found, rule):
        await case.clear(LACKING, one, program)
    elif is_begun:
        return await _lacking(case, program, rule, one, found)
    elif (had := latest(case.had, codes(rule), at, program.zone)) and passes(had, rule):
        await _taken_away(case, program, rule, one, found)
    return []


async def _taken_away(case: Case, program: Program, rule: Rule, one: Enrolment, found: Evidence | None) -> None:
    """What an enrolment rests on is corrected, or taken back: whoever is enrolled stays so, with a Flag."""
    if case.context.override is not AS_RECORDED and (found or rule.parameters["missing"] != "admit"):
        await case.warn(LACKING, one, program, f"{one.episode}: {_told(rule, found)} It is for {_needed(rule)}.")


async def _lacking(case: Case, program: Program, rule: Rule, one: Enrolment, found: Evidence | None) -> list[Issue]:
    """It refuses, warns, or lets it be, as the program's file says."""
    why = f"{one.episode}: {_told(rule, found)} {program.title} is for {_needed(rule)}."
    if case.context.override is AS_RECORDED:
        return []
    refuses = rule.severity == "block" if found else rule.parameters["missing"] == "refuse"
    if not refuses:
        if found or rule.parameters["missing"] == "flag":
            await case.warn(LACKING, one, program, why)
        return []
    if await overrides(case.context, case.before, rule):
        return []
    return [refusal(program, rule, why + hint(case.context, rule), Place(one.episode, "EpisodeOfCare.status"))]


def _needed(rule: Rule) -> str:
    known = ", ".join(sorted(codes(rule)))
    words = COMPARATORS[rule.parameters["comparator"]][1]
    return f"an expected need of {words} {rule.parameters['limit']} days, by evidence of {known}"


def _told(rule: Rule, found: Evidence | None) -> str:
    if found is None:
        return "there is no evidence of the member's expected need."
    number = days(found)
    if number is None:
        said = "no number" if found.value is None else repr(found.said)
        return f"{found.source} says {said}, which cannot be read in days; accepted are {ACCEPTED}."
    same = found.unit == "d"
    return f"{found.source} says {found.said}{'' if same else f', which is {number.normalize():f} days'}."


def codes(rule: Rule) -> frozenset[str]:
    """What evidence of the rule is coded by: tokens, and the item of a questionnaire as "url#linkId"."""
    item = rule.parameters.get("item")
    asked = [f"{rule.parameters['questionnaire'].partition('|')[0]}#{item}"] if item else []
    return frozenset([*rule.parameters["code"], *asked])


def latest(evidence: Iterable[Evidence], codes: Collection[str], at: int, zone: str) -> Evidence | None:
    """The latest until the end of that day; where all is later, the latest of all."""
    counting = [one for one in evidence if one.counts and not frozenset(codes).isdisjoint(one.codes)]
    until = period.midnight(period.day(at, zone) + timedelta(days=1), zone)
    known = [one for one in counting if period.starts(one.when, zone) < until]
    return max(known or counting, key=lambda one: (period.starts(one.when, zone), one.source), default=None)


def days(found: Evidence) -> Decimal | None:
    """The number of days; None where it is no number, or in a unit that is no time of days."""
    if not isinstance(found.value, str) or found.unit not in DAYS:
        return None
    return Decimal(found.value) * DAYS[found.unit]


def passes(found: Evidence, rule: Rule) -> bool:
    """True where whatever the evidence may mean is on the right side of the limit."""
    number = days(found)
    compare, _, sides = COMPARATORS[rule.parameters["comparator"]]
    limit = rule.parameters["limit"]
    if number is None or (found.comparator and found.comparator not in sides):
        return False
    return compare(number, limit) or (found.comparator in {">", "<"} and number == limit)
