"""Terms: what a rebalancing is asked for, and the limits that hold then.

https://hl7.org/fhir/R4/plandefinition.html
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from server.coordination.caseload import caseload
from server.coordination.program.kind import KINDS
from server.coordination.program.program import Program, Rule
from server.coordination.program.programs import Programs

LIMITLESS = 1_000_000


class Hire(NamedTuple):
    """Case managers who are only supposed: how many, where, from when on (microseconds since the epoch)."""

    number: int = 1
    location: str | None = None
    start: int | None = None


class Enrolling(NamedTuple):
    """Members who are to come: how many, and where they live."""

    number: int = 1
    location: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a rebalancing is asked for, beyond what is."""

    organization: str
    limit: int | None = None
    average: int | None = None
    hires: Sequence[Hire] = ()
    leaving: frozenset[str] = frozenset()  # PractitionerRoles
    enrolling: Sequence[Enrolling] = ()
    released: frozenset[str] = frozenset()  # Patients who may be moved though a Flag keeps them


@dataclass(frozen=True, slots=True)
class Terms:
    """By what a rebalancing goes, as of an instant."""

    program: Program
    rule: Rule | None
    asked: Asked
    at: int
    limit: int
    ceiling: int  # the least limit from now on: nobody gets more than it allows
    average: int | None

    @classmethod
    def of(cls, programs: Programs, program: Program, asked: Asked, at: int) -> Terms:
        rule = next((one for one in program.rules if one.kind == "rebalance"), None)
        average = _least(programs, program, at, "average") if asked.average is None else asked.average
        limit = asked.limit if asked.limit is not None else _least(programs, program, at, "manager")
        limit = LIMITLESS if limit is None else limit
        ceiling = limit if asked.limit is not None else min([limit, *_to_come(programs, program, at)])
        return cls(program, rule, asked, at, limit, ceiling, average)

    @property
    def given(self) -> Mapping[str, Any]:
        """The parameters of the program's rule."""
        return parameters(self.rule)


def parameters(rule: Rule | None) -> Mapping[str, Any]:
    """The rule's parameters; the defaults where the program has no such rule."""
    if rule is not None:
        return rule.parameters
    return {name: one.default for name, one in KINDS["rebalance"].parameters.items()}


def _least(programs: Programs, program: Program, at: int, level: str) -> int | None:
    limits = [rule.parameters["limit"] for _, rule in caseload.limits(programs, program.url, at, level)]
    return min(limits, default=None)


def _to_come(programs: Programs, program: Program, at: int) -> Iterator[int]:
    for _, version, rule in programs.in_force("caseload-cap", at):
        if version.url == program.url and rule.parameters["level"] == "manager" and rule.severity == "block":
            yield rule.parameters["limit"]
