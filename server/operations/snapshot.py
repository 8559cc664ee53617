"""StructureDefinition/$snapshot, StructureDefinition/[id]/$snapshot: the whole of a profile.

https://hl7.org/fhir/R4/structuredefinition-operation-snapshot.html
"""

from __future__ import annotations

from typing import Any

from server.fhir import body
from server.fhir.definition import page
from server.ledger import Resource
from server.operations.call import Answer, Call
from server.operations.parameters import place
from server.operations.terminology import answer, checked, not_loaded
from server.outcome import Issue, Problem
from server.validation.conformance import Definitions
from server.validation.profile import snapshot, structure
from server.validation.profile.structure import ElementDefinition


async def snapshot_of(call: Call) -> Answer:
    """The StructureDefinition, its snapshot made anew.

    Problem unprocessable (422) where its base is not loaded, or does not have an element that the differential names.
    """
    definition = await _definition(call)

    def ask(definitions: Definitions) -> snapshot.Whole:
        made = snapshot.whole(definitions, definition)
        if made is None:
            not_loaded(definitions, f"{definition.get('baseDefinition')} is not loaded", "unprocessable")
        return made or snapshot.Whole([], [])

    made = await answer(call, ask)
    if made.unknown:
        raise Problem.with_issues("unprocessable", [_unknown(definition, place) for place in made.unknown])
    elements = [_told(element) for element in made.elements]
    return Answer([("return", {**definition, "snapshot": {"element": elements}})])


def _unknown(definition: Resource, place: int) -> Issue:
    named = definition["differential"]["element"][place]
    text = f"{definition['baseDefinition']} has no element {named.get('id', named['path'])}, which this profile names"
    return Issue("not-found", text, (f"StructureDefinition.differential.element[{place}]",))


async def _definition(call: Call) -> Resource:
    if call.id:
        return body.parse((await call.repository.read(call.caller, call.type, call.id)).body or b"").resource
    given, url = call.inputs.one("definition"), call.inputs.one("url")
    if (given is None) == (url is None):
        raise Problem.invalid("Either definition or url says which profile is meant", place("definition"))
    if url is None:
        return dict(checked(given))
    known = await answer(call, lambda definitions: structure.find(definitions, url))
    if known is None:
        raise Problem.not_found(f"The profile {url} is not loaded", place("url"))
    type, _, id = known.source.partition("/")
    return body.parse((await call.repository.read(call.caller, type, id)).body or b"").resource


def _told(element: ElementDefinition) -> dict[str, Any]:
    """A snapshot's element has a definition; where the profile gives none, R4's own counts."""
    definition = {} if "definition" in element else {"definition": page(element["path"])}
    return {**element, **definition}
