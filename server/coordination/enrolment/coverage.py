"""Coverage: the kind of plan that a member is covered by is that of the program that they are enrolled in.

https://hl7.org/fhir/R4/coverage.html

A kind that no program names says nothing; nor does a member without a Coverage.
"""

from __future__ import annotations

from collections.abc import Iterator

from server.coordination import period
from server.coordination.assignment.assignment import COUNTED, enrolled
from server.coordination.enrolment.case import Case
from server.coordination.facts import Cover, Enrolment
from server.coordination.period import Interval
from server.coordination.program.program import Program, Rule
from server.coordination.write import AS_RECORDED, Place, refusal
from server.outcome import Issue


def judged(case: Case) -> list[Issue]:
    """Refuse an enrolment and a Coverage, whichever is written, that contradict one another from now on."""
    ruled = list(case.ruled("coverage"))
    if not case.covers or case.context.override is AS_RECORDED:
        return []
    return [
        issue for program, rule in ruled for issue in _contradicted(case, program, rule, _others(ruled, program.url))
    ]


def _others(ruled: list[tuple[Program, Rule]], url: str) -> frozenset[str]:
    """The kinds of plan of the other programs."""
    return frozenset(kind for program, rule in ruled if program.url != url for kind in rule.parameters["type"])


def _contradicted(case: Case, program: Program, rule: Rule, others: frozenset[str]) -> Iterator[Issue]:
    own = rule.parameters["type"]
    begun = {one.episode for one in case.begun(program.types, COUNTED)}
    for one in case.enrolments(program.types):
        times = period.intersection(enrolled(one, program.zone, COUNTED), [Interval(case.now, period.NEVER)])
        for cover in case.covers:
            if one.episode not in begun and cover.coverage not in case.written:
                continue
            if not others.isdisjoint(cover.types) and period.intersection(times, [_time(cover, program.zone)]):
                written, path = _place(case, one, cover)
                why = (
                    f"{cover.coverage} is of {', '.join(sorted(others.intersection(cover.types)))} while {one.episode} "
                    f"enrols {case.member.patient} in {program.title}, whose Coverage.type is {' or '.join(own)}. End "
                    "the one or the other first (period.end, or its status), or write both in one transaction."
                )
                yield refusal(program, rule, why, Place(written, path))


def _place(case: Case, one: Enrolment, cover: Cover) -> tuple[str, str]:
    if one.episode in case.written:
        return one.episode, "EpisodeOfCare.type"
    return cover.coverage, "Coverage.type"


def _time(cover: Cover, zone: str) -> Interval:
    return period.between(cover.start, cover.end, zone)
