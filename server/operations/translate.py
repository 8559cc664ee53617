"""ConceptMap/$translate: what a code is in another code system.

https://hl7.org/fhir/R4/conceptmap-operation-translate.html
"""

from __future__ import annotations

from collections.abc import Iterator

from server.ledger import Resource
from server.operations.call import Answer, Call
from server.operations.parameters import Output
from server.operations.terminology import Coded, coded, named, not_loaded
from server.outcome import Problem
from server.validation.conformance import Definitions, answered, maps_of
from server.validation.terminology import concept_map
from server.validation.terminology.concept_map import UNRELATED, ConceptMap, Match


async def translate(call: Call) -> Answer:
    """`result` and each `match`; by the map that is named, or by all that map from the code's system."""
    codes = [one for one in coded(call.inputs) if one.system is not None]
    if not codes:
        raise Problem.of("required", "A code is translated from its system")
    maps, names = await _maps(call, codes)
    matches = await answered(
        await call.repository.view(call.caller),
        lambda definitions: list(_matches(call, definitions, maps, names, codes)),
    )
    related = [match for match in matches if match.equivalence not in UNRELATED]
    message = None if related else f"No map that is loaded translates {', '.join(map(str, codes))}"
    outputs: list[Output] = [("result", bool(related)), ("message", message)]
    return Answer(outputs + [("match", _told(match)) for match in matches])


async def _maps(call: Call, codes: list[Coded]) -> tuple[list[ConceptMap], list[str]]:
    """The map that is named, or the canonicals of those that are of the codes' systems."""
    if call.id or call.inputs.one("url") or call.inputs.one("conceptMap"):
        given, name = await named(call, concept_map.read, "conceptMap", "conceptMapVersion")
        return ([given], []) if given else ([], [name])
    systems = sorted({one.system for one in codes if one.system})
    return [], await maps_of(await call.repository.view(call.caller), systems)


def _matches(
    call: Call, definitions: Definitions, maps: list[ConceptMap], names: list[str], codes: list[Coded]
) -> Iterator[Match]:
    found = list(maps)
    for name in names:
        known = concept_map.find(definitions, name)
        if known is not None:
            found.append(known)
        elif call.inputs.one("url"):
            not_loaded(definitions, f"The concept map {name} is not loaded")
    reverse, target = bool(call.inputs.one("reverse")), call.inputs.one("targetsystem")
    depends = [(one.one("element"), one.one("concept")) for one in call.inputs.all("dependency")]
    for one in found:
        if _is_of(one, call, reverse):
            for asked in codes:
                yield from concept_map.translations(
                    definitions, one, asked.system or "", asked.code, target, reverse=reverse, depends=depends
                )


def _is_of(found: ConceptMap, call: Call, reverse: bool) -> bool:
    """Whether it maps between the value sets that are named."""
    ends = (found.target, found.source) if reverse else (found.source, found.target)
    return all(call.inputs.one(name) in (None, end) for name, end in zip(("source", "target"), ends, strict=True))


def _told(match: Match) -> list[Output]:
    concept = {"system": match.system, "code": match.code, "display": match.display}
    return [
        ("equivalence", match.equivalence),
        ("concept", {name: value for name, value in concept.items() if value} or None),
        *(("product", _product(one)) for one in match.products),
        ("source", match.source or None),
    ]


def _product(one: Resource) -> list[Output]:
    """Another element that the translation fills."""
    concept = {"system": one.get("system"), "code": one.get("value"), "display": one.get("display")}
    return [("element", one.get("property")), ("concept", {name: value for name, value in concept.items() if value})]
