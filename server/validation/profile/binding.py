"""binding: whether a coded value is one of the value set's.

https://hl7.org/fhir/R4/terminologies.html#strength
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from server.outcome import Severity
from server.validation.profile.item import Item
from server.validation.profile.run import Check, Run
from server.validation.terminology import value_set

NAMED = 64  # characters of a client's code that a message repeats


def check(binding: Mapping[str, str], rule: str) -> Check | None:
    """The check of a binding; None where it asks for nothing that can be broken."""
    name, strength = binding.get("valueSet"), binding["strength"]
    most = binding.get("maxValueSet")
    if name is None or strength not in {"required", "extensible"}:
        return _bound(most, "error", rule) if most else None
    first = _bound(name, "error" if strength == "required" else "warning", rule)
    if not most:
        return first
    second = _bound(most, "error", rule)

    def both(item: Item, run: Run) -> None:
        first(item, run)
        second(item, run)

    return both


def _bound(name: str, severity: Severity, rule: str) -> Check:
    def bound(item: Item, run: Run) -> None:
        answer = holds(item, run, name)
        if answer is None:
            run.leave(f"{name} is not loaded, or not whole: what is bound to it is not checked", item.path)
        elif not answer and (severity == "error" or _is_coded(item.value)):
            words = f"{_told(item.value)} is not of {name}"
            run.say("code-invalid", item.path, words, rule, severity)

    return bound


def _is_coded(value: Any) -> bool:
    """Not a text alone, which an extensible binding lets stand."""
    return type(value) is str or "code" in value or "coding" in value


def holds(item: Item, run: Run, name: str) -> bool | None:
    """Whether a value is of a value set. None where that rests on what is not loaded.

    Of a CodeableConcept one coding has to be; without any, an extension may say why.
    """
    found = value_set.find(run.definitions, name)
    if item.value is None:
        return True  # an extension stands in the place of the value
    if found is None:
        return None
    if type(item.value) is str:
        return value_set.contains(run.definitions, found, None, item.value)
    if item.type == "CodeableConcept":
        answers = [_coding(run, found, coding) for coding in item.value.get("coding", ())]
        if not answers:
            return "extension" in item.value
        return True if True in answers else None if None in answers else False
    return _coding(run, found, item.value)


def _coding(run: Run, found: value_set.ValueSet, coding: Mapping[str, Any]) -> bool | None:
    code = coding.get("code")
    if code is None:
        return False
    return value_set.contains(run.definitions, found, coding.get("system", ""), code)


def _told(value: Any) -> str:
    if type(value) is str:
        return repr(value[:NAMED])
    codings = value.get("coding", [value] if "code" in value else []) if type(value) is dict else []
    names = [f"{one.get('system', '')}|{one.get('code', '')}"[: 2 * NAMED] for one in codings[:3]]
    return ", ".join(names) or "A text alone"
