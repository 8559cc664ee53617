"""Terms: what a program's file says about leads, and between whom one is named."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import NamedTuple

from server.coordination import period
from server.coordination.agreement import agreement
from server.coordination.assignment.assignment import COUNTED, Member, enrolled_as
from server.coordination.facts import BASE, Assignment
from server.coordination.period import Interval
from server.coordination.program.program import Part, Program, Rule
from server.coordination.program.programs import Programs

DEMAND = f"{BASE}/CodeSystem/lead-demand"
FORM, NEED, SINGLE = "form", "primary-need", "single"  # codes of it
TOGETHER = COUNTED | {"onhold"}  # EpisodeOfCare.status: what is on hold ends nothing


class Terms(NamedTuple):
    """A program with its rule about leads, and the one about the agreement that they rest on."""

    program: Program
    rule: Rule
    agreement: Rule

    @property
    def role(self) -> str:
        """The CareTeam.participant.role of a lead."""
        return str(self.rule.parameters["role"])

    @property
    def zone(self) -> str:
        return self.program.zone

    def demand(self, name: str) -> Part | None:
        """What the rule demands of a lead, as a part with an id and a source of its own; None where it has none."""
        return next((part for part in self.rule.parts if part.code == f"{DEMAND}|{name}"), None)


class Pair(NamedTuple):
    """Two organizations that both have the member enrolled, and when: the program's own, and its partner."""

    plan: str
    partner: str
    times: list[Interval]

    @property
    def organizations(self) -> tuple[str, str]:
        return self.plan, self.partner

    def other(self, organization: str) -> str:
        return self.partner if organization == self.plan else self.plan


def of(program: Program) -> Terms | None:
    """None where the program names no leads."""
    rule, contract = next(program.of_kind("lead"), None), agreement.rule_of(program)
    return Terms(program, rule, contract) if rule and contract else None


def every(programs: Programs, now: int) -> Iterator[Terms]:
    """Those of each program, in the version of now."""
    for url in programs:
        if terms := of(programs.near(url, now)):
            yield terms


def alike(terms: Terms, programs: Programs, now: int) -> frozenset[str]:
    """The types of episode of each program with such a lead, named with such a partner: one goes on in another."""
    kin = [one for one in every(programs, now) if one.role == terms.role]
    found = (one.program.types for one in kin if one.rule.parameters["partner"] == terms.rule.parameters["partner"])
    return terms.program.types.union(*found)


def pairs(member: Member, terms: Terms, types: Collection[str] = ()) -> list[Pair]:
    """Whoever has the member together, ever; the plan by episodes of the program, or of these types."""
    plans = _enrolled(member, types or terms.program.types, terms)
    partners = _enrolled(member, {terms.rule.parameters["partner"]}, terms)
    found = [
        Pair(plan, partner, period.intersection(times, others))
        for plan, times in plans.items()
        for partner, others in partners.items()
        if plan != partner
    ]
    return [pair for pair in found if pair.times]


def _enrolled(member: Member, types: Collection[str], terms: Terms) -> dict[str, list[Interval]]:
    """When each organization has the member; an episode that ended as one that goes on does, until the next begins."""
    found = enrolled_as(member, types, terms.zone, TOGETHER)
    episodes = [one for one in member.enrolments if one.organization and not set(types).isdisjoint(one.types)]
    going_on = set(terms.rule.parameters["continues"])
    for one in episodes:
        if going_on.isdisjoint(one.endings) or one.status == "entered-in-error":
            continue
        low = period.starts(one.start, terms.zone)
        begins = [start for other in episodes if (start := period.starts(other.start, terms.zone)) > low]
        until = Interval(low, min(begins, default=period.NEVER))
        found[str(one.organization)] = period.union([*found.get(str(one.organization), ()), until])
    return found


def together(member: Member, terms: Terms, parties: Collection[str], types: Collection[str]) -> list[Interval]:
    """When these two have the member, by episodes of these types."""
    both = [pair for pair in pairs(member, terms, types) if set(pair.organizations) == set(parties)]
    return [times for pair in both for times in pair.times]


def lasting(times: Collection[Interval], low: int, now: int) -> Interval | None:
    """The time in which a lead who began at an instant leads on: where that is of none by now, the present one."""
    return holding(times, low) or holding(times, max(low, now))


def holding(times: Collection[Interval], at: int) -> Interval | None:
    """The one of these intervals that holds an instant."""
    return next((one for one in times if one.low <= at < one.high), None)


def pair_at(member: Member, terms: Terms, at: int) -> Pair | None:
    return next((pair for pair in pairs(member, terms) if period.holds(pair.times, at)), None)


def is_enrolled(member: Member, terms: Terms) -> bool:
    """True where the member is, was or is to be in the program."""
    return any(not terms.program.types.isdisjoint(one.types) for one in member.enrolments)


def leads(member: Member, terms: Terms) -> list[Assignment]:
    """What CareTeams say about the member's leads, whatever program they are for: there is one lead at a time."""
    return [one for one in member.assignments if terms.role in one.roles]


def leading(one: Assignment, zone: str) -> Interval:
    """When somebody leads by one participant; empty where nobody does. In a team that is over, an end has to say so."""
    counts = one.status in {None, "active"} or (one.status in {"inactive", "suspended"} and one.end)
    return period.between(one.start, one.end, zone) if counts and not one.error else NOT_AT_ALL


NOT_AT_ALL = Interval(0, 0)
