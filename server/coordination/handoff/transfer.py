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
from server.coordination.program.program import Part
from server.coordination.stored import read
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


# A step's Task.status goes on in this order, whatever is left out; work that waits (on-hold) goes on.
ONWARD = ("draft", "requested", "received", "accepted", "ready", "on-hold", "in-progress", "completed")


def following(status: str) -> list[str]:
    """What a step of this status may become, the transfer's end apart."""
    later = ONWARD[ONWARD.index(status) + 1 :]
    return ["on-hold", *later] if status == "in-progress" else [*later]


@dataclass(slots=True)
class Side:
    """What is known of transfers on one side of a commit; whole Tasks are read only where they are looked at."""

    view: View
    written: Mapping[str, Change]  # the commit's own, where this is the side after it
    transfers: dict[str, Transfer] = field(default_factory=dict)
    steps: dict[str, dict[str, Step]] = field(default_factory=dict)  # of each transfer, by the step's code

    async def task(self, reference: str) -> Resource | None:
        change = self.written.get(reference)
        return await read(self.view, reference) if change is None else change.resource

    async def there(self, reference: str) -> Resource:
        task = await self.task(reference)
        assert task, "a fact is of a resource that is there"
        return task


async def sides(before: View, after: View, changes: Sequence[Change]) -> tuple[list[str], Side, Side]:
    """The transfers that a commit writes something of, as they are before and after it."""
    written = {change.reference: change for change in changes}
    made = [Fact(*row, change.reference) for change in changes for row in change.facts or ()]
    stored = [change.reference for change in changes if change.method != "POST"]
    own = [row for rows in (await before.facts("step", stored)).values() for row in rows] if stored else []
    found = {Step.of(row).transfer for row in (*own, *made) if row.kind == "step"}
    found |= {row.source for row in made if row.kind == "transfer"}
    transfers = [row for rows in (await before.facts("transfer", found.union(stored))).values() for row in rows]
    found |= {row.source for row in transfers if row.source == row.key}
    references = sorted(found - {""})
    steps = [row for rows in (await before.facts("step", references)).values() for row in rows]
    was = _side(Side(before, {}), references, [*transfers, *steps])
    kept = [row for row in (*transfers, *steps) if row.source not in written]
    return references, was, _side(Side(after, written), references, [*kept, *made])


def _side(side: Side, references: Iterable[str], rows: Sequence[Fact]) -> Side:
    side.steps = {reference: {} for reference in references}
    for row in rows:
        if row.kind == "transfer" and row.source == row.key:
            side.transfers[row.source] = Transfer.of(row)
        elif row.kind == "step" and row.key in side.steps and row.source != row.key:
            step = Step.of(row)
            if step.transfer == row.key:
                side.steps[row.key][step.code or ""] = step
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
