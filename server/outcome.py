"""OperationOutcome: what went wrong, where, by which rule, and what would be accepted.

https://hl7.org/fhir/R4/operationoutcome.html

A Problem is raised by its kind (`raise Problem.conflict("...")`); the table `KINDS` alone knows which issue type and
HTTP status a kind has.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

Severity = Literal["fatal", "error", "warning", "information"]


class Kind(NamedTuple):
    issue: str  # http://hl7.org/fhir/issue-type
    status: int  # HTTP status


KINDS: dict[str, Kind] = {
    "malformed": Kind("structure", 400),  # not JSON, not FHIR's JSON, a bad Parameters or query
    "invalid": Kind("invalid", 400),
    "required": Kind("required", 400),
    "unauthenticated": Kind("login", 401),
    "forbidden": Kind("forbidden", 403),
    "not_found": Kind("not-found", 404),
    "not_supported": Kind("not-supported", 405),
    "not_acceptable": Kind("not-supported", 406),
    "slow": Kind("timeout", 408),
    "conflict": Kind("conflict", 409),
    "duplicate": Kind("duplicate", 409),
    "gone": Kind("deleted", 410),
    "precondition_failed": Kind("conflict", 412),
    "multiple_matches": Kind("multiple-matches", 412),
    "too_costly": Kind("too-costly", 413),
    "too_long": Kind("too-long", 414),
    "unsupported_media": Kind("not-supported", 415),
    "unprocessable": Kind("processing", 422),
    "business_rule": Kind("business-rule", 422),
    "precondition_required": Kind("required", 428),
    "internal": Kind("exception", 500),
    "not_implemented": Kind("not-supported", 501),
    "unavailable": Kind("transient", 503),
    "throttled": Kind("throttled", 503),
    "timeout": Kind("timeout", 503),
    "no_store": Kind("no-store", 507),
}


@dataclass(frozen=True, slots=True)
class Issue:
    """One OperationOutcome.issue. `expression` holds FHIRPath places, or `http.<part>` for headers and parameters.

    Where a commit writes several resources, `resources` holds, for each place, which one it is in: "CareTeam/5".
    """

    code: str
    diagnostics: str
    expression: tuple[str, ...] = ()
    severity: Severity = "error"
    details: dict[str, Any] | None = None
    resources: tuple[str, ...] = ()

    def to_resource(self) -> dict[str, Any]:
        """As OperationOutcome.issue's JSON."""
        issue: dict[str, Any] = {"severity": self.severity, "code": self.code}
        if self.details:
            issue["details"] = self.details
        issue["diagnostics"] = self.diagnostics
        if self.expression:
            issue["expression"] = list(self.expression)
        return issue


@dataclass(slots=True)
class Problem(Exception):  # noqa: N818 - the field's word for it; an OperationOutcome is not an "error"
    """A refusal that the client can act on. Raise through a kind: `Problem.conflict("…", "Task.status")`."""

    kind: str
    issues: list[Issue] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        return KINDS[self.kind].status

    @property
    def passes(self) -> bool:
        """Whether the same may be taken at another time."""
        return "Retry-After" in self.headers or self.kind in {"throttled", "timeout"}

    def __str__(self) -> str:
        return f"{self.kind}: " + "; ".join(issue.diagnostics for issue in self.issues)

    def to_resource(self) -> dict[str, Any]:
        """As an OperationOutcome's JSON."""
        return outcome(self.issues)

    @classmethod
    def of(
        cls,
        kind: str,
        diagnostics: str,
        *expression: str,
        details: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> Problem:
        issue = Issue(KINDS[kind].issue, diagnostics, expression, details=details)
        return cls(kind, [issue], headers or {})

    @classmethod
    def with_issues(cls, kind: str, issues: Iterable[Issue]) -> Problem:
        return cls(kind, list(issues))

    @classmethod
    def malformed(cls, diagnostics: str, *expression: str) -> Problem:
        return cls.of("malformed", diagnostics, *expression)

    @classmethod
    def invalid(cls, diagnostics: str, *expression: str) -> Problem:
        return cls.of("invalid", diagnostics, *expression)

    @classmethod
    def not_found(cls, diagnostics: str, *expression: str) -> Problem:
        return cls.of("not_found", diagnostics, *expression)

    @classmethod
    def gone(cls, diagnostics: str, *expression: str) -> Problem:
        return cls.of("gone", diagnostics, *expression)

    @classmethod
    def conflict(cls, diagnostics: str, *expression: str) -> Problem:
        return cls.of("conflict", diagnostics, *expression)

    @classmethod
    def business_rule(cls, diagnostics: str, *expression: str, details: dict[str, Any] | None = None) -> Problem:
        return cls.of("business_rule", diagnostics, *expression, details=details)


def outcome(issues: Iterable[Issue]) -> dict[str, Any]:
    """An OperationOutcome of these issues, in their order."""
    return {"resourceType": "OperationOutcome", "issue": [issue.to_resource() for issue in issues]}
