"""Invariants of what defines searches, operations, measures, guides, maps and messages."""

from __future__ import annotations

from collections.abc import Mapping

from server.validation.invariant.condition import Invariant, Json, each, excludes, has, has_any, one_of, requires
from server.validation.invariant.structure_definition import REFERRING, is_times


def _parameter(it: Json) -> bool:
    valued = has_any(it, "value")
    return not (valued or "resource" in it) if "part" in it else valued != ("resource" in it)


def _stratified(it: Json) -> bool:
    named = ("code", "description", "criteria")
    return all(one_of(*named)(one) != ("component" in one) for one in each(it, "group", "stratifier"))


def _groupings(it: Json) -> bool:
    known = {one.get("id") for one in it.get("grouping", ())}
    return all(one.get("groupingId", None) in {None, *known} for one in it.get("resource", ()))


def _fhir_versions(it: Json) -> bool:
    known = set(it.get("fhirVersion", ()))
    return all(known.issuperset(one.get("fhirVersion", ())) for one in each(it, "definition", "resource"))


INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "Composition.section": (
        Invariant("cmp-1", one_of("text", "entry", "section"), "a section has a text, entries or sections"),
        Invariant("cmp-2", excludes("emptyReason", "entry"), "what has entries is not empty"),
    ),
    "ImplementationGuide": (Invariant("ig-2", _fhir_versions, "a resource's fhirVersion is one of the guide's"),),
    "ImplementationGuide.definition": (Invariant("ig-1", _groupings, "a groupingId is one of the groupings'"),),
    "Measure": (Invariant("mea-1", _stratified, "a stratifier is described, or has components"),),
    "MessageDefinition.focus": (
        Invariant(
            "md-1", lambda it: is_times(it.get("max", "*")) and it.get("max") != "0", "max is a number above 0, or *"
        ),
    ),
    "OperationDefinition.parameter": (
        Invariant("opd-1", one_of("type", "part"), "a parameter has a type or parts"),
        Invariant(
            "opd-2", lambda it: not has(it, "searchType") or it.get("type") == "string", "searchType is of a string"
        ),
        Invariant(
            "opd-3",
            lambda it: "targetProfile" not in it or it.get("type") in REFERRING,
            "targetProfile is of a Reference or a canonical",
        ),
    ),
    "Parameters.parameter": (Invariant("inv-1", _parameter, "a parameter has one of a value, a resource and parts"),),
    "SearchParameter": (
        Invariant("spd-1", requires("xpath", "xpathUsage"), "xpath needs its xpathUsage"),
        Invariant("spd-2", lambda it: "chain" not in it or it.get("type") == "reference", "a chain is of a reference"),
    ),
    "StructureMap.group.rule.target": (
        Invariant("smp-1", requires("element", "context"), "an element needs a context"),
        Invariant("smp-2", requires("context", "contextType"), "a context needs its type"),
    ),
}
