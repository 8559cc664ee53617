"""Transfer: one transfer as it is before and after a commit: its Task, the steps' Tasks, and how they are written.

https://hl7.org/fhir/R4/task.html
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from server.coordination import period
from server.coordination.facts import OPEN, Step, Transfer
from server.coordination.handoff.protocol import Protocol
from server.coordination.program import Part
from server.fhir import body
from server.fhir.body import Body
from server.ledger import Change, Fact, Resource, View
from server.outcome import Issue, Problem

ENDED = frozenset({"completed", "cancelled", "rejected", "failed", "entered-in-error"})
GIVEN_UP = ENDED - {"completed"}

ANYBODY = ("requester", "current-manager", "new-manager")
BY_WORD = {  # a status that somebody gives the transfer -> from which, by whom; all others follow from its steps
    "received": (frozenset({"requested"}), ("new-manager",)),
    "accepted": (frozenset({"requested", "received"}), ("new-manager",)),
    "rejected": (OPEN, ("new-manager",)),
    "cancelled": (OPEN, ("requester",)),
    "entered-in-error": (OPEN, ("requester",)),
    "failed": (OPEN, ANYBODY),
}


@dataclass(slots=True)
class Side:
    """What is known of transfers on one side of a commit; whole Tasks are read only where they are looked at."""

    view: View
    written: Mapping[str, Change]  # the commit's own, where this is the side after it
    transfers: dict[str, Transfer] = field(default_factory=dict)
    steps: dict[str, dict[str, Step]] = field(default_factory=dict)  # of each transfer, by the step's code

    async def task(self, reference: str) -> Resource | None:
        change = self.written.get(reference)
        if change is not None:
            return change.resource
        version = await self.view.read(*reference.split("/"))
        return body.parse(version.body).resource if version and version.body else None

    async def there(self, reference: str) -> Resource:
        task = await self.task(reference)
        assert task, "a fact is of a resource that is there"
        return task


async def sides(before: View, after: View, changes: Sequence[Change]) -> tuple[list[str], Side, Side]:
    """The transfers that a commit writes something of, as they are before and after it."""
    written = {change.reference: change for change in changes if change.type == "Task"}
    stored = [reference for reference, change in written.items() if change.method != "POST"]
    steps = await before.facts("step", stored) if stored else {}
    found = {step.transfer for rows in steps.values() for step in map(Step.of, rows)}
    for reference, change in written.items():
        rows = [Fact(kind, key, data, reference) for kind, key, data in change.facts or ()]
        found |= {Step.of(row).transfer for row in rows if row.kind == "step"}
        found |= {reference for row in rows if row.kind == "transfer"}
    stored_transfers = await before.facts("transfer", [*found, *stored])
    found |= {reference for reference in stored if any(row.source == reference for row in stored_transfers[reference])}
    references = sorted(found - {""})
    return references, await _side(before, references, {}), await _side(after, references, written)


async def _side(view: View, references: Iterable[str], written: Mapping[str, Change]) -> Side:
    side = Side(view, written)
    for reference, rows in (await view.facts("transfer", references)).items():
        for row in rows:
            if row.source == reference:
                side.transfers[reference] = Transfer.of(row)
    for reference, rows in (await view.facts("step", references)).items():
        side.steps[reference] = {
            step.code or "": step
            for step in map(Step.of, rows)
            if step.task != reference and step.transfer == reference
        }
    return side


# How its Tasks are written


def put(task: Resource) -> Change:
    return Change("PUT", "Task", task["id"], task, Body.of(task).text(task["id"]))


def coding(token: str) -> dict[str, str]:
    """A token as a Coding."""
    system, _, code = token.rpartition("|")
    return {"system": system, "code": code} if system else {"code": code}


def name(part: Part) -> str:
    """A step as a person names it."""
    return f"{part.code.rpartition('|')[2]} ({part.title})"


def concept(token: str, text: str | None = None) -> dict[str, Any]:
    """A token as a CodeableConcept."""
    return {"coding": [coding(token)], **({"text": text} if text else {})}


def conflict(protocol: Protocol, diagnostics: str, task: str, path: str) -> Problem:
    """Not in a state to do it; the refusal names the rule that says so."""
    text = f"{diagnostics} Rule {protocol.rule.id} of {protocol.program.canonical}."
    details = protocol.program.cite(protocol.rule)
    return Problem.with_issues("conflict", [Issue("conflict", text, (path,), details=details, resources=(task,))])


def text(at: int, protocol: Protocol) -> str:
    return period.text(at, protocol.program.zone)
