"""Program: a state's or a plan's rules, dated and cited, as `plan_definition` reads them from a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from server.coordination import facts
from server.coordination.period import Interval
from server.ledger import Change, Resource


class Override(NamedTuple):
    """Who may override a rule, somebody in one of the roles, and the coded reasons for it (empty: any)."""

    roles: frozenset[str]
    reasons: frozenset[str]


@dataclass(frozen=True, slots=True)
class Part:
    """An action inside a rule's action, such as a step: `code` is a token, `citation` "" where the rule's holds."""

    id: str
    code: str
    title: str
    parameters: Mapping[str, Any]
    parts: tuple[Part, ...] = ()
    citation: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """One action. `period` is when it is in force within its program."""

    id: str
    kind: str
    severity: str
    citation: str
    period: Interval
    override: Override | None
    parameters: Mapping[str, Any]
    triggers: frozenset[str]  # resource types; empty: every one that the kind looks at
    conditions: tuple[Callable[[Resource], Any], ...]
    parts: tuple[Part, ...] = ()

    def is_triggered(self, changes: Iterable[Change]) -> bool:
        """True where one of the changes is what the rule looks at."""
        return any(
            not self.triggers or (change.type in self.triggers and self._holds(change.resource)) for change in changes
        )

    def _holds(self, resource: Resource | None) -> bool:
        """A deletion, and a condition that fails, are looked at: no write escapes a rule by breaking it."""
        if resource is None:
            return True
        for condition in self.conditions:
            try:
                if condition(resource) != [True]:
                    return False
            except Exception:  # noqa: BLE001 - fhirpathpy raises what Python raises
                return True
        return True


@dataclass(frozen=True, slots=True)
class Program:
    """One business version of a program."""

    source: str  # "PlanDefinition/ia-hcbs"
    url: str
    version: str
    title: str
    zone: str
    period: Interval
    types: frozenset[str]  # EpisodeOfCare.type codings that enrol in it
    rules: tuple[Rule, ...]
    assignment: Rule | None = None  # the rule that says what an assignment of this program is
    role: str | None = None  # the CareTeam.participant.role of this program's managers

    @property
    def canonical(self) -> str:
        return f"{self.url}|{self.version}" if self.version else self.url

    def of_kind(self, kind: str) -> Iterator[Rule]:
        return (rule for rule in self.rules if rule.kind == kind)

    def cite(self, rule: Rule, part: Part | None = None) -> dict[str, Any]:
        """OperationOutcome.issue.details: which rule, or which part of it, in which version."""
        return {
            "coding": [{"system": facts.RULE_KIND, "code": rule.kind}],
            "text": f"{self.canonical}#{(part and part.id) or rule.id}",
        }
