"""Programs: which version of which program is in force when. They are facts of the store, read at the head.

In force at an instant: active, its effectivePeriod holds the instant, the latest start, then the highest version.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from server.coordination import facts, period, stored
from server.coordination.period import Interval
from server.coordination.program.plan_definition import parse
from server.coordination.program.program import Program, Rule
from server.ledger import View
from server.outcome import Issue, Problem


class Dated(NamedTuple):
    """A program and when it is the one in force."""

    period: Interval
    program: Program


class Programs:
    """Every active program, by url, each version in its own time."""

    def __init__(self, programs: Sequence[Program]) -> None:
        self.by_url = {
            url: timeline([program for program in programs if program.url == url])
            for url in sorted({program.url for program in programs})
        }
        self.roles = frozenset(program.role for program in programs if program.role)
        self.kinds = frozenset(rule.kind for program in programs for rule in program.rules)
        self.leads = frozenset(rule.parameters["role"] for program in programs for rule in program.of_kind("lead"))

    def __iter__(self) -> Iterator[str]:
        return iter(self.by_url)

    def versions(self) -> Iterator[Dated]:
        """Every version of every program."""
        return (dated for found in self.by_url.values() for dated in found)

    def meant(self, canonical: str) -> str:
        """The url of the program that an operation names. Problem unprocessable where there is none."""
        url = canonical.partition("|")[0]
        if url not in self.by_url:
            raise _unknown(f"There is no active program {canonical}; there are: {', '.join(self.by_url) or 'none'}")
        return url

    def chosen(self, canonical: str, at: int) -> Program:
        """The program that an operation names, as it is at an instant, which has to be the version that it names."""
        program = self.near(self.meant(canonical), at)
        _, mark, version = canonical.partition("|")
        if mark and version != program.version:
            raise _unknown(f"In force at that time is {program.canonical}, not {canonical}")
        return program

    def at(self, url: str, at: int) -> Program | None:
        """The version in force at an instant."""
        return next((dated.program for dated in self.by_url.get(url, ()) if period.holds([dated.period], at)), None)

    def near(self, url: str, at: int) -> Program:
        """The version in force; where none is, the next to come; else the last. It says what a count then means."""
        dated = self.by_url[url]
        return next((one.program for one in dated if at < one.period.high), dated[-1].program)

    def instant(self, url: str, as_of: str | None, now: int) -> int:
        """An `asOf`: a date is its first instant in the program's time zone; now, where it is not given."""
        return period.starts(as_of, self.near(url, now).zone) if as_of else now

    def assigning(self, roles: Collection[str], at: int) -> tuple[Program, Rule]:
        """The program whose managers have one of these roles, and its rule about assignments."""
        for url in self.by_url:
            program = self.near(url, at)
            if program.assignment and program.role in roles:
                return program, program.assignment
        return next(
            (dated.program, dated.program.assignment)
            for url in self.by_url
            for dated in self.by_url[url]
            if dated.program.assignment and dated.program.role in roles
        )

    def in_force(self, kind: str, since: int) -> Iterator[tuple[Interval, Program, Rule]]:
        """Every rule of a kind, with when it is in force from an instant on."""
        for url in self.by_url:
            for dated in self.by_url[url]:
                for rule in dated.program.of_kind(kind):
                    low = max(dated.period.low, rule.period.low, since)
                    high = min(dated.period.high, rule.period.high)
                    if low < high:
                        yield Interval(low, high), dated.program, rule


def _unknown(diagnostics: str) -> Problem:
    return Problem.with_issues(
        "unprocessable", [Issue("not-found", diagnostics, ("Parameters.parameter.where(name='program')",))]
    )


def timeline(programs: Sequence[Program]) -> list[Dated]:
    """Which version of one program is in force when: the latest start, then the highest version."""
    ranked = sorted(programs, key=rank, reverse=True)
    taken: list[Interval] = []
    found: list[Dated] = []
    for program in ranked:
        found += [Dated(left, program) for left in period.difference([program.period], taken)]
        taken = period.union([*taken, program.period])
    return sorted(found, key=lambda dated: dated.period)


def rank(program: Program) -> tuple[int, list[tuple[int, int, str]]]:
    return program.period.low, version_key(program.version)


def version_key(version: str) -> list[tuple[int, int, str]]:
    """An order of versions in which 1.10.0 is after 1.9.0."""
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in re.split(r"[.\-+_]", version)]


async def active(view: View) -> Programs:
    """The active programs. Their content is read once for each digest; each commit asks only which there are."""
    found = (await view.facts("program", (facts.ALL_PROGRAMS,)))[facts.ALL_PROGRAMS]
    known = tuple(sorted((fact.source, str(fact.data)) for fact in found))
    cached = _PROGRAMS.get(known)
    if cached is None:
        read = []
        plans = await stored.read_many(view, [source for source, _ in known])
        for source, _ in known:
            program, issues = parse(plans[source])
            if program is None:
                raise Problem.of("internal", f"{source} is active, and no program: {issues[0].diagnostics}")
            read.append(program)
        if len(_PROGRAMS) > 64:
            _PROGRAMS.clear()
        cached = _PROGRAMS[known] = Programs(read)
    return cached


_PROGRAMS: dict[tuple[tuple[str, str], ...], Programs] = {}
