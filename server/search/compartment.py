"""compartment: what belongs to one patient, encounter, practitioner, related person or device.

https://hl7.org/fhir/R4/compartmentdefinition.html
"""

from __future__ import annotations

from collections.abc import Iterable

from server.fhir import definition
from server.outcome import Problem
from server.search.filter import ALL, Chain, Equal, Filter, Ids, Not, either
from server.search.parameter import parameters

COMPARTMENTS = ("Device", "Encounter", "Patient", "Practitioner", "RelatedPerson")


def types(compartment: str) -> frozenset[str]:
    """The resource types that may be in a compartment of this type."""
    return frozenset(type for type, codes in definition.compartment(compartment).items() if codes) | {compartment}


def filter(within: str, type: str) -> Filter:
    """The resources of a type that are in the compartment of "Patient/1". Problem not_found where none ever is."""
    compartment, _, id = within.partition("/")
    if type not in types(compartment):
        raise Problem.not_found(
            f"No {type} is ever in the compartment of a {compartment}; {', '.join(sorted(types(compartment)))} are"
        )
    own: list[Filter] = [Ids((id,))] if type == compartment else []
    searched = parameters(type)
    named = [Equal(searched[code].index, (within,)) for code in definition.compartment(compartment).get(type, ())]
    return either([*own, *named])


def of_any(compartment: str, type: str, codes: Iterable[str] = ()) -> Filter:
    """The resources of a type that are in the compartment of any, or that name one by one of these parameters too."""
    if type == compartment:
        return ALL
    named = [*definition.compartment(compartment).get(type, ()), *codes]
    found = either([Chain(parameters(type)[code].index, compartment, ALL) for code in named])
    return Not(Not(found))  # most do: an engine walks the type and tests each, so that a page costs what it shows
