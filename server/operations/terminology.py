"""What the terminology operations share: the coded value that is given, and the definition that is meant.

https://hl7.org/fhir/R4/terminology-service.html
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

from server.fhir import body, datatype
from server.ledger import Resource, View
from server.operations.call import Call
from server.operations.parameters import Inputs, place
from server.outcome import Issue, Problem
from server.validation.conformance import Definitions, answered
from server.validation.element import validate

T = TypeVar("T")
Answering = Callable[[Definitions], T]


class Coded(NamedTuple):
    """One code that is asked about; without a system where the client gave none."""

    system: str | None
    code: str
    display: str | None = None
    version: str = ""

    @classmethod
    def of(cls, coding: Mapping[str, Any]) -> Coded:
        return cls(coding.get("system"), coding.get("code", ""), coding.get("display"), coding.get("version", ""))

    def __str__(self) -> str:
        return f"{self.system or ''}|{self.code}"


def coded(inputs: Inputs, version: str = "version") -> list[Coded]:
    """The codes of `code` (and `system`), `coding` or `codeableConcept`. Problem invalid (400) but for one of them."""
    code, coding, concept = (inputs.one(name) for name in ("code", "coding", "codeableConcept"))
    if sum(one is not None for one in (code, coding, concept)) != 1:
        raise Problem.invalid("One of code (with its system), coding and codeableConcept says what is asked about")
    if code is not None:
        found = [Coded(inputs.one("system"), code, inputs.one("display"), inputs.one(version) or "")]
    else:
        found = [Coded.of(one) for one in ([coding] if coding is not None else concept.get("coding", ()))]
    if not found or not all(one.code for one in found):
        raise Problem.invalid("Nothing is coded in what is given", place("coding" if coding else "codeableConcept"))
    return found


async def named(call: Call, read: Callable[[Resource], T], given: str, version: str) -> tuple[T | None, str]:
    """The definition that is meant: the resource of the URL or of a parameter, read; or else its canonical.

    Problem required (400) where neither is given, malformed (400) where what is given breaks its type's rules.
    """
    if call.id:
        stored = await call.here(await state(call))
        return read(body.parse(stored.body or b"").resource), ""
    resource = call.inputs.one(given)
    if resource is not None:
        return read(checked(resource)), ""
    url = call.inputs.one("url")
    if url is None:
        raise Problem.of("required", f"url or {given} says which {call.type} is meant", place("url"))
    number = call.inputs.one(version)
    return None, f"{url}|{number}" if number and "|" not in url else url


def checked(resource: Resource) -> Resource:
    """A definition that a client gives. Problem malformed (400) where it cannot be read; its invariants are its own."""
    issues = [issue for issue in validate(resource) if issue.severity == "error" and issue.code != "invariant"]
    if issues:
        raise Problem.with_issues("malformed", issues)
    return resource


async def answer(call: Call, ask: Answering[T]) -> T:
    """The answer of a function of what is loaded."""
    return await answered(await state(call), ask)


async def state(call: Call) -> View:
    """What is loaded now, or was at the end of the parameter `date`."""
    given = call.inputs.one("date")
    if given is None:
        return await call.repository.view(call.caller)
    interval = datatype.date_time(given)
    assert interval, "validated"
    return await call.repository.view(call.caller, await call.repository.position_at(call.caller, interval.high - 1))


def spoken(designations: Iterable[Resource], language: str | None) -> list[str]:
    """What a code is called in a language."""
    return [one["value"] for one in designations if language and one.get("language") == language]


def not_loaded(definitions: Definitions, what: str, kind: str = "not_found") -> None:
    """Problem not_found (404), or unprocessable (422), where what is named is not loaded, and not merely unasked."""
    if definitions.whole:
        raise Problem.with_issues(kind, [Issue("not-found", what)])
