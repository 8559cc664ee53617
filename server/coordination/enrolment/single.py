"""Single: what a member is in once at a time, such as one plan, or one Health Home.

https://hl7.org/fhir/R4/episodeofcare.html

Where the sources do not say that a second one is refused, it is a Task to settle which of them it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from server.coordination import facts, period
from server.coordination.assignment.assignment import COUNTED, enrolled
from server.coordination.enrolment.case import Case
from server.coordination.enrolment.offer import NEVER_WAS
from server.coordination.facts import Enrolment
from server.coordination.period import Interval
from server.coordination.program.program import Program
from server.coordination.write import AS_RECORDED, Place, hint, overrides, refusal
from server.outcome import Issue

OVERLAP = f"{facts.TASK}|enrollment-overlap"


async def judged(case: Case) -> list[Issue]:
    """Refuse a second enrolment, or ask who manages it to settle it; done once there is one."""
    issues: list[Issue] = []
    for program, rule in case.ruled("single-enrollment"):
        types = rule.parameters["type"]
        for one in _over(case, types):
            was = any(each.episode == one.episode and each.status not in NEVER_WAS for each in case.member.enrolments)
            await case.settle(OVERLAP, one, "completed" if was else "cancelled")
        if not case.enrolments(program.types):
            continue
        begun = {one.episode for one in case.begun(types, COUNTED)}
        seconds = dict(_seconds(case, case.enrolments(types), types, program))
        for one in case.enrolments(types):
            other = seconds.get(one.episode)
            if other is None:
                await case.settle(OVERLAP, one)
            elif one.episode in begun and case.context.override is not AS_RECORDED:
                why = f"{one.episode} enrols {case.member.patient} while {other.episode} does: it is one at a time."
                if rule.severity == "task":
                    await case.ask(OVERLAP, one, program, f"{why} Settle which; end the other (period.end).")
                elif not await overrides(case.context, case.before, rule):
                    text = f"{why} End the other first.{hint(case.context, rule)}"
                    issues.append(refusal(program, rule, text, Place(one.episode, "EpisodeOfCare.type")))
    return issues


def _over(case: Case, types: Sequence[str]) -> list[Enrolment]:
    """Enrolments of the commit that were and are not any more, whatever became of them."""
    standing = {one.episode for one in case.enrolments(types)}
    mine = (one for one in case.were if not set(types).isdisjoint(one.types))
    return [one for one in mine if one.episode in case.written and one.episode not in standing]


def _seconds(
    case: Case, found: Sequence[Enrolment], types: Sequence[str], program: Program
) -> Iterator[tuple[str, Enrolment]]:
    """(an episode, another one of another kind or organization that goes on beside it from now on)."""
    ahead = [Interval(case.now, period.NEVER)]
    times = {one.episode: period.intersection(enrolled(one, program.zone, COUNTED), ahead) for one in found}
    for one in found:
        for other in found:
            if _whose(one, types) != _whose(other, types) and period.intersection(
                times[one.episode], times[other.episode]
            ):
                yield one.episode, other


def _whose(one: Enrolment, types: Sequence[str]) -> tuple[str | None, frozenset[str]]:
    return one.organization, frozenset(types).intersection(one.types)
