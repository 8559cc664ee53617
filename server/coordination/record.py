"""Record: what the server says in a proposal's Task is its own to say, and stays; so does on what it was proposed.

https://hl7.org/fhir/R4/task-definitions.html#Task.businessStatus

Task.businessStatus says what became of it, Task.output what came of it. Both follow from an answer, and nobody gives
that but by Task.status.
"""

from __future__ import annotations

from collections.abc import Iterable

from server.coordination import period
from server.coordination.facts import ACCEPTANCE_TERM, DESIGNATION_TERM, tokens
from server.ledger import Resource

STATE = DESIGNATION_TERM + "-state"  # Task.businessStatus
_KEPT = ("intent", "basedOn", "reasonCode")
_FILLED_IN = ("authoredOn", "businessStatus", "instantiatesCanonical", "owner", "reasonCode", "requester")
_INPUTS = frozenset({f"{ACCEPTANCE_TERM}|content", f"{DESIGNATION_TERM}|organization"})  # Task.input.type
_TERMS = frozenset({DESIGNATION_TERM, ACCEPTANCE_TERM})  # the systems of Task.output.type


def states(task: Resource) -> list[str]:
    """What is said to have become of it; a client's own codes and words may stand beside that."""
    return sorted(one for one in tokens([task.get("businessStatus", {})]) if one.startswith(f"{STATE}|"))


def altered(was: Resource, now: Resource, *, is_open: bool, is_answered: bool, is_accepted: bool) -> list[str]:
    """The elements that say otherwise than before. What an answer brings with it is not judged."""
    found = [name for name in _KEPT if was.get(name) != now.get(name)]
    if period.starts(was.get("authoredOn"), "UTC") != period.starts(now.get("authoredOn"), "UTC"):
        found.append("authoredOn")
    if not is_open and was.get("statusReason") != now.get("statusReason"):
        found.append("statusReason")
    if not is_answered and states(was) != states(now):
        found.append("businessStatus")
    if not is_accepted and _outcome(was) != _outcome(now):
        found.append("output")
    return found


def completed(was: Resource, now: Resource) -> Resource:
    """A proposal with what the server filled in, where whoever writes it anew leaves that out."""
    filled = {name: was[name] for name in _FILLED_IN if name in was and name not in now}
    there = {token for one in now.get("input", ()) for token in tokens([one["type"]])}
    inputs = [one for one in was.get("input", ()) if _INPUTS.intersection(tokens([one["type"]])) - there]
    whole = {**now, **filled, **({"input": [*now.get("input", ()), *inputs]} if inputs else {})}
    return {name: whole[name] for name in dict.fromkeys((*was, *whole)) if name in whole}  # the same is no new version


def others(given: Iterable[Resource]) -> list[Resource]:
    """Task.output, or what is as the server alone says it of Task.input, but for what the server says."""
    return [one for one in given if not _is_own(one)]


def _outcome(task: Resource) -> list[Resource]:
    return [one for one in task.get("output", ()) if _is_own(one)]


def _is_own(value: Resource) -> bool:
    return any(coding.get("system") in _TERMS for coding in value["type"].get("coding", ()))
