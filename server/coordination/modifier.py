"""Modifier extension: what may turn around what a resource says. Who does not understand one does not act on it.

https://hl7.org/fhir/R4/extensibility.html#modifierExtension

A resource is stored and given back whatever it carries. What the care rules would count by is another matter.
"""

from __future__ import annotations

from collections.abc import Iterator

from server.coordination.assignment.episode import program_of
from server.coordination.facts import ENTERED_IN_ERROR, tokens
from server.coordination.program.program import Program, Rule
from server.coordination.write import Place, Write, refusal
from server.ledger import Change, Resource
from server.outcome import Issue

UNDERSTOOD = frozenset({ENTERED_IN_ERROR})
PARTS = {"CareTeam": "participant", "EpisodeOfCare": "statusHistory"}  # the elements that the rules look into


async def understood(write: Write) -> list[Issue]:
    """An assignment or an enrolment says nothing that the rules do not understand, and that may undo the rest."""
    issues = []
    for change in write.changes:
        unknown = list(_unknown(change.resource)) if change.resource and change.type in PARTS else []
        if unknown and (by := _counted_by(write, change)) is not None:
            issues += [_refusal(change, *by, path, url) for path, url in unknown]
    return issues


def _refusal(change: Change, program: Program, rule: Rule, path: str, url: str) -> Issue:
    text = (
        f"{change.reference}: the modifierExtension {url[:200]!r} may turn around what {path} says, and no rule here "
        "understands it, so that nobody could be counted by it. Say it otherwise, or leave it out."
    )
    return refusal(program, rule, text, Place(change.reference, path))


def _unknown(resource: Resource) -> Iterator[tuple[str, str]]:
    """(the place of the element, the URL) of each modifierExtension that is not understood."""
    type = resource["resourceType"]
    parts = resource.get(PARTS[type], ())
    for path, element in ((type, resource), *((f"{type}.{PARTS[type]}[{n}]", one) for n, one in enumerate(parts))):
        for extension in element.get("modifierExtension", ()):
            if extension["url"] not in UNDERSTOOD:
                yield path, extension["url"]


def _counted_by(write: Write, change: Change) -> tuple[Program, Rule] | None:
    """The program, and its rule, by which a resource is counted."""
    resource = change.resource or {}
    if change.type == "EpisodeOfCare":
        return program_of(write, tokens(resource.get("type")))
    named = {token for one in resource.get("participant", ()) for token in tokens(one.get("role"))}
    roles = named & write.programs.roles
    return write.programs.assigning(roles, write.now) if roles else None
