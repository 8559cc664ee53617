"""Invariants of StructureDefinition and ElementDefinition: https://hl7.org/fhir/R4/structuredefinition.html"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from server.validation.invariant.condition import (
    Holds,
    Invariant,
    Json,
    distinct,
    each,
    has,
    has_any,
    one_of,
    requires,
)

HL7 = "http://hl7.org/fhir/StructureDefinition"
_PART = re.compile(r"[^\s.,:;'\"/|?!@#$%&*()\[\]{}]{1,64}(?:\[x\])?(?::[^\s.]+)?").fullmatch
_SLICE = re.compile(r"[a-zA-Z0-9/\-_\[\]@]+").fullmatch
REFERRING = frozenset({"Reference", "canonical"})
_VALUES = ("defaultValue", "fixed", "pattern", "example", "minValue", "maxValue", "maxLength", "binding")


def is_times(text: str) -> bool:
    return text == "*" or (text.isdecimal() and text.isascii())


def _least_and_most(it: Json) -> bool:
    most = it.get("max", "*")
    return most == "*" or not is_times(most) or it.get("min", 0) <= int(most)


def _of_one_type(prefix: str) -> Holds:
    return lambda it: len(it.get("type", ())) <= 1 or not has_any(it, prefix)


def _path(it: Json) -> bool:
    return all(map(_PART, it.get("path", "a").split(".")))


_ELEMENT = (
    Invariant("eld-2", _least_and_most, "min is not above max"),
    Invariant("eld-3", lambda it: is_times(it.get("max", "*")), "max is a number or *"),
    Invariant(
        "eld-5",
        lambda it: not has(it, "contentReference") or not any(has_any(it, name) for name in ("type", *_VALUES)),
        "beside contentReference stand no type, value, bound or binding",
    ),
    Invariant("eld-6", _of_one_type("fixed"), "a fixed value is of one type"),
    Invariant("eld-7", _of_one_type("pattern"), "a pattern is of one type"),
    Invariant(
        "eld-8", lambda it: not (has_any(it, "pattern") and has_any(it, "fixed")), "a value is fixed or a pattern"
    ),
    Invariant("eld-13", lambda it: distinct(one.get("code") for one in it.get("type", ())), "a type stands once"),
    Invariant("eld-14", lambda it: distinct(one.get("key") for one in it.get("constraint", ())), "a key stands once"),
    Invariant(
        "eld-15",
        lambda it: not (has_any(it, "defaultValue") and has(it, "meaningWhenMissing")),
        "a default and the meaning of what is missing do not stand together",
    ),
    Invariant(
        "eld-16", lambda it: bool(_SLICE(it.get("sliceName", "a"))), "a slice's name has A-Z a-z 0-9 / - _ [ ] @"
    ),
    Invariant(
        "eld-18",
        lambda it: it.get("isModifier") is not True or has(it, "isModifierReason"),
        "what modifies needs isModifierReason",
    ),
    Invariant("eld-19", _path, "a path has names, parted by full stops"),
    Invariant("eld-22", requires("sliceIsConstraining", "sliceName"), "sliceIsConstraining needs a sliceName"),
)


_BOUND = re.compile(r"https?:|urn:|https").match


def _of_type(name: str) -> Holds:
    return lambda it: not has(it, name) or it.get("code") in REFERRING


def _paths(it: Json, name: str) -> list[str]:
    return [element.get("path", "") for element in each(it, name, "element")]


def _ids(*names: str) -> Holds:
    return lambda it: all("id" in element for name in names for element in each(it, name, "element"))


def _distinct_ids(name: str) -> Holds:
    return lambda it: distinct(element.get("id", "") for element in each(it, name, "element"))


def _is_root(element: Json) -> bool:
    return "." not in element.get("path", "")


def _roots(it: Json, *names: str) -> Iterator[Json]:
    return (element for name in names for element in each(it, name, "element") if _is_root(element))


def _is_logical(it: Json) -> bool:
    return it.get("kind") == "logical"


def _of_the_type(it: Json) -> bool:
    paths, type = _paths(it, "snapshot"), it.get("type", "")
    return not paths or (
        (_is_logical(it) or paths[0] == type) and all(path.startswith(f"{paths[0]}.") for path in paths[1:])
    )


def _differential_of_the_type(it: Json) -> bool:
    paths, type = _paths(it, "differential"), it.get("type", "")
    root = paths[0].partition(".")[0] if paths else ""
    return not paths or (
        (_is_logical(it) or paths[0].startswith(type)) and all(path.startswith(f"{root}.") for path in paths[1:])
    )


def _untyped_root(name: str) -> Holds:
    def untyped(it: Json) -> bool:
        first = next(each(it, name, "element"), {"path": "."})
        return _is_logical(it) or (name == "differential" and not _is_root(first)) or "type" not in first

    return untyped


def _defaults(it: Json, *names: str) -> bool:
    return any(has_any(element, "defaultValue") for name in names for element in each(it, name, "element"))


_TYPE_CODE = re.compile(r"[a-zA-Z0-9.]+|http://hl7\.org/fhirpath/System\.[A-Z][A-Za-z]+").fullmatch


def _plain_types(it: Json) -> bool:
    codes = (one.get("code", "a") for name in ("differential", "snapshot") for one in each(it, name, "element", "type"))
    return not it.get("url", "").startswith(HL7) or all(map(_TYPE_CODE, codes))


_STRUCTURE = (
    Invariant(
        "sdf-1",
        lambda it: it.get("derivation") == "constraint" or distinct(_paths(it, "snapshot")),
        "a path stands once, but for constraints",
    ),
    Invariant(
        "sdf-4", lambda it: it.get("abstract") is True or has(it, "baseDefinition"), "what is not abstract has a base"
    ),
    Invariant(
        "sdf-5",
        lambda it: it.get("type") != "Extension" or it.get("derivation") == "specialization" or "context" in it,
        "an extension says where it may stand (context)",
    ),
    Invariant("sdf-6", one_of("snapshot", "differential"), "there is a snapshot or a differential"),
    Invariant("sdf-8", _of_the_type, "a snapshot begins with its type, and all else is below"),
    Invariant("sdf-8a", _differential_of_the_type, "a differential's elements are of the type"),
    Invariant(
        "sdf-9",
        lambda it: (
            not any({"label", "code", "requirements"} & one.keys() for one in _roots(it, "snapshot", "differential"))
        ),
        "the first element has no label, code and requirements",
    ),
    Invariant("sdf-14", _ids("snapshot", "differential"), "every element has an id"),
    Invariant("sdf-15", _untyped_root("snapshot"), "a snapshot's first element has no type"),
    Invariant("sdf-15a", _untyped_root("differential"), "a differential's first element has no type"),
    Invariant("sdf-16", _distinct_ids("snapshot"), "an element's id stands once in a snapshot"),
    Invariant("sdf-17", _distinct_ids("differential"), "an element's id stands once in a differential"),
    Invariant(
        "sdf-18",
        lambda it: not has(it, "contextInvariant") or it.get("type") == "Extension",
        "contextInvariant is of an extension",
    ),
    Invariant("sdf-19", _plain_types, "HL7's own definitions are of HL7's types"),
    Invariant(
        "sdf-21",
        lambda it: it.get("derivation") == "specialization" or not _defaults(it, "differential"),
        "only a specialization has default values",
    ),
    Invariant(
        "sdf-22",
        lambda it: not it.get("url", "").startswith(HL7) or not _defaults(it, "snapshot", "differential"),
        "HL7's own definitions have no default values",
    ),
    Invariant(
        "sdf-23",
        lambda it: not any(has(one, "sliceName") for one in _roots(it, "snapshot", "differential")),
        "the first element is no slice",
    ),
)


INVARIANTS: Mapping[str, tuple[Invariant, ...]] = {
    "ElementDefinition": _ELEMENT,
    "ElementDefinition.binding": (
        Invariant("eld-12", lambda it: bool(_BOUND(it.get("valueSet", "urn:"))), "a value set is named by http or urn"),
    ),
    "ElementDefinition.slicing": (
        Invariant(
            "eld-1", one_of("discriminator", "description"), "slices are told by a discriminator or a description"
        ),
    ),
    "ElementDefinition.type": (
        Invariant("eld-4", _of_type("aggregation"), "aggregation is of a Reference or a canonical"),
        Invariant("eld-17", _of_type("targetProfile"), "targetProfile is of a Reference or a canonical"),
    ),
    "StructureDefinition": _STRUCTURE,
    "StructureDefinition.differential": (
        Invariant(
            "sdf-20",
            lambda it: not any(_is_root(one) and "slicing" in one for one in it.get("element", ())),
            "the first element is not sliced",
        ),
    ),
    "StructureDefinition.mapping": (Invariant("sdf-2", one_of("name", "uri"), "a mapping has a name or a uri"),),
    "StructureDefinition.snapshot": (
        Invariant(
            "sdf-3",
            lambda it: all(has(one, name) for one in it.get("element", ()) for name in ("definition", "min", "max")),
            "a snapshot's elements have a definition, min and max",
        ),
        Invariant(
            "sdf-8b",
            lambda it: all("base" in one for one in it.get("element", ())),
            "a snapshot's elements have a base",
        ),
        Invariant(
            "sdf-10",
            lambda it: all(one_of("valueSet", "description")(one) for one in each(it, "element", "binding")),
            "a binding has a value set or a description",
        ),
    ),
}
