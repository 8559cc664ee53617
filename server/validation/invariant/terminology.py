"""Invariants of CodeSystem, ConceptMap, NamingSystem and ValueSet."""

from __future__ import annotations

from collections.abc import Mapping

from server.validation.invariant.condition import (
    Invariant,
    Json,
    below,
    distinct,
    excludes,
    has,
    lacks,
    one_of,
    requires,
    where,
)


def _preferred(it: Json) -> bool:
    return distinct(one.get("type") for one in it.get("uniqueId", ()) if one.get("preferred") is True)


INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "CodeSystem": (
        Invariant("csd-1", lambda it: distinct(one.get("code") for one in below(it, "concept")), "a code stands once"),
    ),
    "ConceptMap.group.element.target": (
        Invariant(
            "cmd-1",
            where("equivalence", ["narrower", "inexact"], one_of("comment")),
            "narrower and inexact need a comment",
        ),
    ),
    "ConceptMap.group.unmapped": (
        Invariant("cmd-2", where("mode", ["fixed"], one_of("code")), "the mode fixed needs a code"),
        Invariant("cmd-3", where("mode", ["other-map"], one_of("url")), "the mode other-map needs a url"),
    ),
    "NamingSystem": (
        Invariant(
            "nsd-1",
            lambda it: it.get("kind") != "root" or all(one.get("type") != "uuid" for one in it.get("uniqueId", ())),
            "a root is named by no uuid",
        ),
        Invariant("nsd-2", _preferred, "one id of a type is preferred"),
    ),
    "ValueSet.compose.include": (
        Invariant("vsd-1", one_of("valueSet", "system"), "there is a system or a value set"),
        Invariant(
            "vsd-2",
            lambda it: has(it, "system") or lacks("concept", "filter")(it),
            "concepts and filters need a system",
        ),
        Invariant("vsd-3", excludes("concept", "filter"), "there are concepts or filters, not both"),
    ),
    "ValueSet.expansion.contains": (
        Invariant("vsd-6", one_of("code", "display"), "there is a code or a display"),
        Invariant("vsd-9", lambda it: has(it, "code") or it.get("abstract") is True, "what has no code is abstract"),
        Invariant("vsd-10", requires("code", "system"), "a code needs its system"),
    ),
}
