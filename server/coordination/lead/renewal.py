"""Renewal: a lead that was to lapse goes on where the end of an enrolment is put off before it comes.

https://hl7.org/fhir/R4/episodeofcare-definitions.html#EpisodeOfCare.period

An enrolment is often written with an end, and renewed. What both agreed on holds until the one of both has the member
no more; so it does of who is to lead only after the end that was put off. What has lapsed already stays so.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.assignment.assignment import Member
from server.coordination.facts import Assignment, Designation
from server.coordination.lead.terms import Terms, lasting, leading, together
from server.coordination.period import Interval


class Held(NamedTuple):
    """By what somebody leads, or was to: when the two that agreed on it have the member, before a commit and after."""

    one: Assignment
    found: Designation
    before: Sequence[Interval]
    after: Sequence[Interval]


def parties(found: Designation) -> set[str]:
    """The two that agreed."""
    return {str(found.proposer), str(found.answerer)}


def held(
    one: Assignment, found: Designation, was: Member, member: Member, terms: Terms, types: Collection[str]
) -> Held:
    before, after = (together(each, terms, parties(found), types) for each in (was, member))
    return Held(one, found, before, after)


def renewed(
    given: Sequence[Held], coming: Sequence[Assignment], named: Sequence[Designation], terms: Terms, now: int
) -> Mapping[tuple[str, int], int]:
    """Until when each of these leads, whose end was put off, by team and place: the next one begins, if earlier."""
    until = {(one.one.team, one.one.place): at for one in given if (at := _put_off(one, named, terms, now))}
    lows = [
        low
        for one in coming
        for low, high in (leading(one, terms.zone),)
        if low < high or (one.team, one.place) in until
    ]
    for one in coming:
        own, low = (one.team, one.place), leading(one, terms.zone).low
        if own in until:
            until[own] = min([until[own], *(other for other in lows if other > low)])
    return until


def _put_off(given: Held, named: Sequence[Designation], terms: Terms, now: int) -> int | None:
    """The present end, where the lead lapsed by a former one that has not come yet."""
    low, high = leading(given.one, terms.zone)
    present = lasting(given.after, low, now)
    if present is None or given.one.status not in (None, "active"):
        return None
    former = [one.high for one in given.before if max(present.low, now) < one.high < present.high]
    lapsed = high in former if low < high else any(end <= low for end in former)
    return present.high if lapsed and (low < high or not _gave_way(given.found, named, terms)) else None


def _gave_way(found: Designation, named: Sequence[Designation], terms: Terms) -> bool:
    """True where both agreed later on somebody who leads from before then on."""
    low, opened = period.starts(found.since, terms.zone), period.starts(found.opened, terms.zone)
    return any(
        period.starts(one.opened, terms.zone) > opened and period.starts(one.since, terms.zone) <= low for one in named
    )
