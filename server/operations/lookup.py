"""CodeSystem/$lookup: what a code means.

https://hl7.org/fhir/R4/codesystem-operation-lookup.html
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from server.operations.call import Answer, Call
from server.operations.parameters import Given, Output
from server.operations.terminology import Coded, answer, coded, not_loaded, spoken
from server.outcome import Problem
from server.validation.conformance import Definitions
from server.validation.terminology import code_system
from server.validation.terminology.code_system import CodeSystem, Concept


async def lookup(call: Call) -> Answer:
    """Names, designations and properties. Problem not_found (404) for a code or a system that is not loaded."""
    asked = coded(call.inputs)[0]
    if asked.system is None:
        raise Problem.of("required", "A code is looked up in its system")
    properties = {one.value for one in call.inputs.given.get("property", ())}
    language = call.inputs.one("displayLanguage")
    return Answer(await answer(call, lambda definitions: list(_told(definitions, asked, properties, language))))


def _told(definitions: Definitions, asked: Coded, properties: set[str], language: str | None) -> Iterator[Output]:
    system = code_system.find(definitions, asked.system or "", asked.version)
    concept = system.find(asked.code) if system else None
    if system is None or concept is None:
        not_loaded(definitions, f"{asked} is not loaded")
        return
    yield "name", system.name
    yield "version", system.version or None
    yield "display", next(iter(spoken(concept.designation, language)), concept.display or concept.code)
    for one in concept.designation:
        yield "designation", [(name, one.get(name)) for name in ("language", "use", "value")]
    for code, value in _properties(system, concept):
        if not properties or code in properties:
            yield "property", [("code", code), ("value", value)]


def _properties(system: CodeSystem, concept: Concept) -> Iterator[tuple[str, Given]]:
    if concept.definition:
        yield "definition", Given("string", concept.definition)
    for outer in concept.above:
        yield "parent", Given("code", outer)
    for inner in system.below.get(concept.code, ()):
        yield "child", Given("code", inner)
    for one in concept.properties:
        name, value = next(((name, value) for name, value in one.items() if name.startswith("value")), ("", None))
        if value is not None and one["code"] not in {"parent", "child"}:
            yield one["code"], Given(_type(name), value)


def _type(name: str) -> Any:
    type = name.removeprefix("value")
    return type if type == "Coding" else type[0].lower() + type[1:]
