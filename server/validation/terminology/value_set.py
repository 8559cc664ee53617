"""ValueSet: whether a code is one of a set's, and which codes a set has, over the definitions that are loaded.

https://hl7.org/fhir/R4/valueset.html#compositions

An answer that rests on a definition which is not loaded is neither yes nor no: it is None, and never guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from server.fhir import pattern
from server.ledger import Resource
from server.outcome import Problem
from server.validation.conformance import Definitions
from server.validation.terminology import code_system
from server.validation.terminology.code_system import CodeSystem, Concept

MOST = 50_000  # codes that one expansion looks at
LONGEST = 256  # characters of a code that a pattern is held against
LOOKED = 4 * MOST  # codes that it looks at, those included that come twice


class Member(NamedTuple):
    """One code of an expansion."""

    system: str
    code: str
    display: str | None
    concept: Concept | None = None  # where its code system is loaded


class Where(NamedTuple):
    """An include's filter: https://hl7.org/fhir/R4/valueset-filter-operator.html"""

    property: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class Clause:
    """An include or an exclude."""

    system: str
    version: str
    concepts: dict[str, str | None]  # code -> display; empty where none is listed
    filters: tuple[Where, ...]
    value_sets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ValueSet:
    """A value set that is read: what it is composed of, or else the expansion that it came with."""

    url: str
    version: str
    name: str
    include: tuple[Clause, ...]
    exclude: tuple[Clause, ...]
    resource: Resource = field(default_factory=dict)


@dataclass(slots=True)
class Lacking:
    """The definitions that an expansion would have needed, and what it has made and looked at so far."""

    names: set[str] = field(default_factory=set)
    made: dict[str, list[Member] | None] = field(default_factory=dict)
    looked: int = 0


def read(resource: Resource) -> ValueSet:
    """A ValueSet's content."""
    compose = resource.get("compose", {})
    include = tuple(map(_clause, compose.get("include", ())))
    if not include:
        include = tuple(_expanded(resource.get("expansion", {}).get("contains", ())))
    return ValueSet(
        resource.get("url", ""),
        resource.get("version", ""),
        resource.get("title") or resource.get("name") or "",
        include,
        tuple(map(_clause, compose.get("exclude", ()))),
        resource,
    )


def _clause(row: Resource) -> Clause:
    return Clause(
        row.get("system", ""),
        row.get("version", ""),
        {one["code"]: one.get("display") for one in row.get("concept", ())},
        tuple(Where(one["property"], one["op"], one["value"]) for one in row.get("filter", ())),
        tuple(row.get("valueSet", ())),
    )


def _expanded(contains: Iterable[Resource]) -> Iterator[Clause]:
    listed: dict[tuple[str, str], dict[str, str | None]] = {}
    waiting = list(contains)
    while waiting:
        row = waiting.pop(0)
        waiting = row.get("contains", []) + waiting
        if "code" in row and not row.get("abstract"):
            listed.setdefault((row.get("system", ""), row.get("version", "")), {})[row["code"]] = row.get("display")
    return (Clause(system, version, concepts, (), ()) for (system, version), concepts in listed.items())


def find(definitions: Definitions, name: str) -> ValueSet | None:
    """The value set that is loaded under a canonical."""
    known = definitions.find("ValueSet", name, read)
    found: ValueSet | None = known.read if known else None
    return found


# Membership

# Of one code, by value set; None while that is being asked, for sets may import one another
Answers = dict[str, bool | None]


def contains(
    definitions: Definitions,
    value_set: ValueSet,
    system: str | None,
    code: str,
    answers: Answers | None = None,
) -> bool | None:
    """Whether a code is in the set. Without a system (an element of type code) any system's code does.

    None where that rests on what is not loaded.
    """
    asked = {} if answers is None else answers
    included = _any(_has(definitions, clause, system, code, asked) for clause in value_set.include)
    if included is False:
        return False
    excluded = _any(_has(definitions, clause, system, code, asked) for clause in value_set.exclude)
    return _all([included, None if excluded is None else not excluded])


def _has(definitions: Definitions, clause: Clause, system: str | None, code: str, answers: Answers) -> bool | None:
    if clause.system and system not in (None, clause.system):
        return False
    own = _in_system(definitions, clause, code) if clause.system else True
    if own is False:
        return False
    return _all([own, *(_imported(definitions, name, system, code, answers) for name in clause.value_sets)])


def _imported(definitions: Definitions, name: str, system: str | None, code: str, answers: Answers) -> bool | None:
    if name not in answers:
        answers[name] = None
        found = find(definitions, name)
        answers[name] = contains(definitions, found, system, code, answers) if found else None
    return answers[name]


def _in_system(definitions: Definitions, clause: Clause, code: str) -> bool | None:
    if clause.concepts:
        return code in clause.concepts
    system = code_system.find(definitions, clause.system, clause.version)
    if system is None:
        return None
    concept = system.find(code)
    if concept is None:
        return False if system.is_complete else None
    try:
        return all(_selects(one, system)(concept) for one in clause.filters)
    except Problem:  # a filter that is not spoken, which an expansion tells of
        return None


def _any(answers: Iterable[bool | None]) -> bool | None:
    """Yes where one is yes; no where all are no."""
    found = list(answers)
    return True if True in found else None if None in found else False


def _all(answers: Iterable[bool | None]) -> bool | None:
    found = list(answers)
    return False if False in found else None if None in found else True


# Filters


def _selects(where: Where, system: CodeSystem) -> Callable[[Concept], bool]:
    """A filter as a test of a concept. Problem unprocessable for one that is not spoken."""
    made = _OPERATORS.get(where.op)
    if made is None:
        raise Problem.of("unprocessable", f"The filter operator {where.op[:40]!r} is not known")
    return made(where, system)


def _is_a(where: Where, system: CodeSystem) -> Callable[[Concept], bool]:
    codes = {where.value, *system.descendants(where.value)}
    return lambda concept: concept.code in codes


def _descendent_of(where: Where, system: CodeSystem) -> Callable[[Concept], bool]:
    codes = set(system.descendants(where.value))
    return lambda concept: concept.code in codes


def _is_not_a(where: Where, system: CodeSystem) -> Callable[[Concept], bool]:
    within = _is_a(where, system)
    return lambda concept: not within(concept)


def _generalizes(where: Where, system: CodeSystem) -> Callable[[Concept], bool]:
    codes = {where.value, *system.ancestors(where.value)}
    return lambda concept: concept.code in codes


def _equals(where: Where, system: CodeSystem) -> Callable[[Concept], bool]:
    return lambda concept: where.value in _texts(concept, where.property)


def _in(where: Where, system: CodeSystem) -> Callable[[Concept], bool]:
    values = {part.strip() for part in where.value.split(",")}
    return lambda concept: not values.isdisjoint(_texts(concept, where.property))


def _not_in(where: Where, system: CodeSystem) -> Callable[[Concept], bool]:
    within = _in(where, system)
    return lambda concept: not within(concept)


def _exists(where: Where, system: CodeSystem) -> Callable[[Concept], bool]:
    wanted = where.value == "true"
    return lambda concept: bool(_texts(concept, where.property)) is wanted


def _regex(where: Where, system: CodeSystem) -> Callable[[Concept], bool]:
    try:
        bounded = pattern.bounded(where.value)
    except ValueError as error:
        raise Problem.of("unprocessable", f"The pattern {where.value[:80]!r} {error}") from None
    return lambda concept: any(
        len(text) <= LONGEST and bounded.fullmatch(text) for text in _texts(concept, where.property)
    )


_OPERATORS: dict[str, Callable[[Where, CodeSystem], Callable[[Concept], bool]]] = {
    "=": _equals,
    "is-a": _is_a,
    "descendent-of": _descendent_of,
    "is-not-a": _is_not_a,
    "generalizes": _generalizes,
    "in": _in,
    "not-in": _not_in,
    "exists": _exists,
    "regex": _regex,
}


def _texts(concept: Concept, name: str) -> list[str]:
    """A concept's property as a filter compares it; some are there without being declared."""
    if name in {"code", "concept"}:
        return [concept.code]
    if name == "display":
        return [concept.display] if concept.display else []
    if name == "parent":
        return list(concept.above)
    return [_text(value) for value in concept.values(name)]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value.get("code")) if isinstance(value, dict) else str(value)


# Expansion


def members(definitions: Definitions, value_set: ValueSet, lacking: Lacking) -> list[Member]:
    """Every code of the set, in its order, each once. What is not loaded is named in `lacking`, and left out.

    Problem too_costly (413) beyond MOST codes.
    """
    found: dict[tuple[str, str], Member] = {}
    for clause in value_set.include:
        for member in _members(definitions, clause, lacking):
            found.setdefault((member.system, member.code), member)
            lacking.looked += 1
            if len(found) > MOST or lacking.looked > LOOKED:
                raise Problem.of("too_costly", f"{value_set.url} has, or looks at, more than {MOST:,} codes")
    for clause in value_set.exclude:
        for system, code in list(found):
            excluded = _has(definitions, clause, system, code, {})
            if excluded is None:
                lacking.names.add(clause.system or ", ".join(clause.value_sets))
            if excluded:
                del found[system, code]
    return list(found.values())


def _members(definitions: Definitions, clause: Clause, lacking: Lacking) -> Iterable[Member]:
    imported = [(name, find(definitions, name)) for name in clause.value_sets]
    absent = {name for name, found in imported if found is None}
    if absent:
        lacking.names |= absent
        return []
    sets = [(name, found) for name, found in imported if found]
    if clause.system:
        own = _of_system(definitions, clause, lacking)
    else:
        own = _of_set(definitions, *sets.pop(0), lacking) if sets else []
    return [one for one in own if all(contains(definitions, each, one.system, one.code) for _, each in sets)]


def _of_set(definitions: Definitions, name: str, found: ValueSet, lacking: Lacking) -> Iterable[Member]:
    """An imported set's codes, made once; a set that is being made already leads back to itself."""
    if name not in lacking.made:
        lacking.made[name] = None
        lacking.made[name] = members(definitions, found, lacking)
    made = lacking.made[name]
    if made is None:
        lacking.names.add(f"{name} (value sets import one another)")
    return made or []


def _of_system(definitions: Definitions, clause: Clause, lacking: Lacking) -> Iterable[Member]:
    system = code_system.find(definitions, clause.system, clause.version)
    if clause.concepts:
        return (_listed(clause.system, code, display, system) for code, display in clause.concepts.items())
    if system is None or not system.is_complete:
        lacking.names.add(f"{clause.system}|{clause.version}" if clause.version else clause.system)
        return []
    tests = [_selects(one, system) for one in clause.filters]
    return (
        Member(clause.system, concept.code, concept.display, concept)
        for concept in system.concepts.values()
        if all(test(concept) for test in tests)
    )


def _listed(url: str, code: str, display: str | None, system: CodeSystem | None) -> Member:
    concept = system.find(code) if system else None
    return Member(url, code, display or (concept.display if concept else None), concept)
