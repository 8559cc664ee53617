"""ValueSet/$validate-code, CodeSystem/$validate-code: whether a code is one of the set's, or one of the system's.

https://hl7.org/fhir/R4/valueset-operation-validate-code.html,
https://hl7.org/fhir/R4/codesystem-operation-validate-code.html
"""

from __future__ import annotations

from typing import NamedTuple

from server.operations.call import Answer, Call
from server.operations.parameters import Inputs
from server.operations.terminology import Coded, answer, coded, named, not_loaded, spoken
from server.outcome import Problem
from server.validation.conformance import Definitions
from server.validation.terminology import code_system, value_set
from server.validation.terminology.code_system import CodeSystem, Concept
from server.validation.terminology.value_set import ValueSet
from server.validation.terminology.version import Versions


class Found(NamedTuple):
    """The answer about one code; `result` is None where it rests on what is not loaded."""

    result: bool | None
    message: str | None = None
    display: str | None = None


async def validate_code(call: Call) -> Answer:
    """`result`, and why not. Problem unprocessable (422) where it rests on what is not loaded: nothing is guessed."""
    of_system = call.type == "CodeSystem"
    codes = coded(call.inputs, "version" if of_system else "systemVersion")
    if of_system:
        found = await _of_system(call, codes)
    else:
        found = await _of_value_set(call, codes)
    outputs = [("result", found.result), ("message", found.message), ("display", found.display)]
    return Answer(outputs)


async def _of_system(call: Call, codes: list[Coded]) -> Found:
    url = codes[0].system
    if not call.id and not (call.inputs.one("url") or call.inputs.one("codeSystem")):
        if url is None:
            raise Problem.of("required", "url, codeSystem or the coding's system says which code system is meant")
        given, name = None, f"{url}|{codes[0].version}" if codes[0].version else url
    else:
        given, name = await named(call, code_system.read, "codeSystem", "version")

    def ask(definitions: Definitions) -> Found:
        system = given or code_system.find(definitions, *name.partition("|")[::2])
        if system is None:
            not_loaded(definitions, f"The code system {name} is not loaded")
            return Found(None)
        return _best([_in_system(system, one, call.inputs) for one in codes], definitions, system.url)

    return await answer(call, ask)


async def _of_value_set(call: Call, codes: list[Coded]) -> Found:
    given, name = await named(call, value_set.read, "valueSet", "valueSetVersion")

    def ask(definitions: Definitions) -> Found:
        found = given or value_set.find(definitions, name)
        if found is None:
            not_loaded(definitions, f"The value set {name} is not loaded")
            return Found(None)
        return _best([_in_value_set(definitions, found, one, call.inputs) for one in codes], definitions, found.url)

    return await answer(call, ask)


def _best(answers: list[Found], definitions: Definitions, what: str) -> Found:
    """One coding that holds will do. One that cannot be told makes the answer untold."""
    for result in (True, None, False):
        found = next((one for one in answers if one.result is result), None)
        if found is not None:
            if result is None:
                not_loaded(definitions, f"{what} rests on what is not loaded, or not whole", "unprocessable")
            return found
    raise AssertionError("there is a code")


def _in_system(system: CodeSystem, asked: Coded, inputs: Inputs) -> Found:
    if asked.system not in (None, system.url):
        return Found(False, f"{asked} is of another code system than {system.url}")
    concept = system.find(asked.code)
    if concept is None:
        return Found(False if system.is_complete else None, f"{asked.code} is no code of {system.url}")
    return _judged(concept, asked, inputs)


def _in_value_set(definitions: Definitions, found: ValueSet, asked: Coded, inputs: Inputs) -> Found:
    versions = {asked.system: asked.version} if asked.system and asked.version else {}
    result = value_set.contains(Versions(definitions, versions), found, asked.system, asked.code)
    if not result:
        return Found(result, f"{asked} is not of {found.url or 'the value set'}")
    system = code_system.find(definitions, asked.system, asked.version) if asked.system else None
    concept = system.find(asked.code) if system else None
    return _judged(concept, asked, inputs) if concept else Found(True)


def _judged(concept: Concept, asked: Coded, inputs: Inputs) -> Found:
    """A display that is given is one of the concept's, in its language; an abstract code is valid unless refused."""
    if inputs.one("abstract") is False and concept.is_abstract:
        return Found(False, f"{asked.code} is abstract", concept.display)
    said = spoken(concept.designation, inputs.one("displayLanguage"))
    known: list[str | None] = [*said] or [concept.display, *(one.get("value") for one in concept.designation)]
    display = said[0] if said else concept.display
    if asked.display and any(known) and asked.display.casefold() not in {one.casefold() for one in known if one}:
        return Found(False, f"{asked.code} is {display!r}, not {asked.display[:200]!r}", display)
    return Found(True, None, display)
