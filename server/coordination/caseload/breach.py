"""Breach: when a number is above a limit of the program, from when to when. Limits are compared in integers.

Nothing is a breach before its limit is in force. A limit that another version of the program takes over unchanged is
the same breach: it began when the number first passed it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from server.coordination import period
from server.coordination.caseload import caseload
from server.coordination.caseload.caseload import Cap, Caseload
from server.coordination.period import Interval, Step
from server.coordination.program.program import Program, Rule
from server.coordination.program.programs import Programs
from server.ledger import View


class Breach(NamedTuple):
    """From `since` to before `until` a number is above a limit; `number` is the worst in the time looked at."""

    program: Program
    rule: Rule
    since: int
    until: int  # NEVER where no end is known
    number: int
    managers: int | None = None  # of an average, at its worst

    @property
    def limit(self) -> int:
        return int(self.rule.parameters["limit"])


def caps(programs: Programs, url: str, level: str) -> list[Cap]:
    """A program's limits of a level ("manager" or "average"), in all time, the earliest first."""
    found = (Cap(*each) for each in programs.in_force("caseload-cap", period.ALWAYS))
    return sorted(
        (cap for cap in found if cap.program.url == url and cap.rule.parameters["level"] == level),
        key=lambda cap: cap.window,
    )


_Counted = tuple[Cap, list[list[Step]]]  # a limit, and what it limits: members; of an average, managers too


async def of_managers(
    view: View, organization: str, programs: Programs, url: str, loads: Mapping[str, list[Step]], window: Interval
) -> dict[str, list[Breach]]:
    """Each manager's breaches that touch the window; under a limit on the members of all programs, by all of them."""
    found = caps(programs, url, "manager")
    own = [cap for cap in found if cap.rule.parameters["counted"] == "program"]
    if len(own) == len(found):
        return {person: of_manager(own, steps, window) for person, steps in loads.items()}
    made = {}
    for person, every in (await caseload.caseloads(view, loads)).items():
        there = Caseload(every.manager, every.members)  # a place that a transfer holds is no member yet
        counted = [
            (cap, [loads[person] if cap in own else _of_all(there, organization, programs, cap)]) for cap in found
        ]
        made[person] = _touching(counted, window)
    return made


def _of_all(there: Caseload, organization: str, programs: Programs, cap: Cap) -> list[Step]:
    found = caseload.counts(there, programs, cap.program, cap.rule, cap.window.low)
    return period.steps(found.get(organization, []))


def of_manager(found: Sequence[Cap], steps: list[Step], window: Interval) -> list[Breach]:
    """The breaches of one manager's number that touch the window."""
    if not found or max((step.number for step in steps), default=0) <= min(cap.limit for cap in found):
        return []
    return _touching([(cap, [steps]) for cap in found], window)


def of_average(found: Sequence[Cap], members: list[Step], managers: list[Step], window: Interval) -> list[Breach]:
    """The breaches of an average that touch the window."""
    return _touching([(cap, [members, managers]) for cap in found], window)


def _touching(found: Sequence[_Counted], window: Interval) -> list[Breach]:
    joined: list[tuple[_Counted, Interval]] = []
    for one, spell in ((each, spell) for each in found for spell in _spells(*each)):
        same = next(
            (n for n, ((of, _), last) in enumerate(joined) if of.rule.id == one[0].rule.id and last.high == spell.low),
            None,
        )
        if same is None:
            joined.append((one, spell))
        else:
            joined[same] = (one, Interval(joined[same][1].low, spell.high))
    breaches = []
    for (cap, lists), spell in joined:
        looked_at = Interval(max(spell.low, window.low), min(spell.high, window.high))
        if looked_at.low < looked_at.high:
            number, managers = _worst(lists, looked_at)
            breaches.append(Breach(cap.program, cap.rule, *spell, number, managers))
    return breaches


def _spells(cap: Cap, lists: list[list[Step]]) -> Iterator[Interval]:
    """Each time without a break in which the number is above the limit."""
    low: int | None = None
    for at, numbers in period.sweep(lists, cap.window):
        is_above = numbers[0] > cap.limit * (numbers[1] if len(numbers) > 1 else 1)
        if is_above and low is None:
            low = at
        elif not is_above and low is not None:
            yield Interval(low, at)
            low = None
    if low is not None:
        yield Interval(low, cap.window.high)


def _worst(lists: list[list[Step]], window: Interval) -> tuple[int, int | None]:
    """The highest number; of an average, the one with the highest quotient, compared without a division."""
    number, managers = 0, 1
    for _, (here, *of) in period.sweep(lists, window):
        among = of[0] if of else 1
        if here * managers > number * among:
            number, managers = here, among
    return number, managers if len(lists) > 1 else None
