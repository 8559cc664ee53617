"""X-Provenance: who writes, and on what grounds, stored in the commit that it is of.

https://hl7.org/fhir/R4/provenance.html#header
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from server.fhir import body
from server.fhir.body import Body
from server.interactions.exchange import Request
from server.ledger import Change
from server.outcome import Issue, Problem
from server.repository import new_id
from server.validation.element import validate

HEADER = b"x-provenance"
PLACE = "http.X-Provenance"


@dataclass(frozen=True, slots=True)
class Provenance:
    """A Provenance whose target is what the commit writes."""

    id: str
    resource: Mapping[str, Any]

    @property
    def override(self) -> Mapping[str, Any] | None:
        """The coded reason, where a rule may allow one: the first that is given."""
        return next(iter(self.resource.get("reason", ())), None)

    def change(self, written: Sequence[Change]) -> Change:
        targets = [{"reference": change.reference} for change in written]
        made = Body.of({**self.resource, "target": targets, "id": self.id})
        return Change("POST", made.type, self.id, made.resource, made.text(self.id))


def provenance(request: Request) -> Provenance | None:
    """The header's Provenance. Problem where it is none (400) or breaks its type's rules (422)."""
    header = request.headers.get(HEADER)
    if header is None:
        return None
    try:
        resource = body.parse(header).resource
    except Problem as problem:
        raise Problem.malformed(f"X-Provenance: {problem.issues[0].diagnostics}", PLACE) from None
    if resource["resourceType"] != "Provenance":
        raise Problem.invalid("X-Provenance is a Provenance", PLACE)
    issues = validate({**resource, "target": [{"display": "what is written"}]})
    if issues:
        raise Problem.with_issues("unprocessable", [_of_header(issue) for issue in issues])
    return Provenance(new_id(), resource)


def _of_header(issue: Issue) -> Issue:
    return Issue(issue.code, f"X-Provenance: {issue.diagnostics}", (PLACE,), issue.severity, issue.details)
