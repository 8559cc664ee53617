"""Policy: what becomes of a write that does not conform to a profile that it declares, type by type.

https://hl7.org/fhir/R4/resource.html#Meta.profile

A profile in meta.profile is a claim. Under `enforce` a false one is refused, at every door; under `warn` it is stored,
and who asks for an OperationOutcome is told; under `off` nobody looks.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple

from server.fhir.definition import RESOURCE_TYPES
from server.ledger import Change, Context, Resource, View
from server.outcome import Issue, Problem
from server.validation.conformance import Asked, Definitions, Read, answered
from server.validation.profile import judgement

LEVELS = ("off", "warn", "enforce")
REMEMBERED = 1024  # combinations of profiles

Judge = Callable[[View, Change], Awaitable[list[Issue]]]


class Policy(NamedTuple):
    """`level` holds for every type that `types` does not name."""

    level: str
    types: Mapping[str, str]

    def of(self, type: str) -> str:
        return self.types.get(type, self.level)


ENFORCE = Policy("enforce", {})


def parse(text: str) -> Policy:
    """`enforce`, or `warn,CarePlan=enforce,Observation=off`. ValueError where it is neither."""
    level, types = "", {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        type_name, equals, named = part.partition("=")
        chosen = named if equals else part
        if chosen not in LEVELS or (equals and type_name not in RESOURCE_TYPES):
            raise ValueError(f"{part!r}: a level is {', '.join(LEVELS)}; one of a type is Type=level")
        if equals:
            types[type_name] = chosen
        else:
            level = chosen
    if not level:
        raise ValueError(f"one level, {', '.join(LEVELS)}, holds for all types that are not named")
    return Policy(level, types)


def claiming(policy: Policy, change: Change) -> bool:
    """Whether a change is one to judge."""
    return change.resource is not None and policy.of(change.type) != "off" and judgement.claims(change.resource)


async def judged(view: View, change: Change) -> list[Issue]:
    """What is found of a change's resource. Found once; and again only where a definition became another since."""
    resource = change.resource
    assert resource is not None, "a deletion declares nothing"

    def ask(definitions: Definitions) -> list[Issue]:
        return definitions.remembered(change.judged, "", lambda within: judgement.judge(within, resource))

    return await answered(view, ask, _memory(resource))


_MEMORIES: dict[tuple[str, ...], dict[Asked, Read]] = {}


def _memory(resource: Resource) -> dict[Asked, Read]:
    """What resources of the same claims needed before."""
    key = tuple(sorted(claim.profile for one, place in judgement.within(resource) for claim in judgement.declared(one)))
    if len(_MEMORIES) >= REMEMBERED:
        _MEMORIES.clear()
    return _MEMORIES.setdefault(key, {})


async def enforced(policy: Policy, context: Context, before: View, changes: Sequence[Change], after: View) -> None:
    """The rule at the ledger's head. Problem unprocessable (422) with all that contradicts what resources declare."""
    found: list[Issue] = []
    for change in changes:
        if claiming(policy, change) and policy.of(change.type) == "enforce":
            issues = await judged(after, change)
            if any(issue.severity == "error" for issue in issues):
                found += [_placed(issue, change) for issue in issues if issue.severity != "information"]
    if found:
        raise Problem.with_issues("unprocessable", found)


def _placed(issue: Issue, change: Change) -> Issue:
    resources = (change.reference,) * len(issue.expression)
    return Issue(issue.code, issue.diagnostics, issue.expression, issue.severity, issue.details, resources)
