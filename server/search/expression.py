"""_filter: a search as one expression: `name co "pet" and (birthdate ge 2014 or not(active eq true))`.

https://hl7.org/fhir/R4/search_filter.html

and and or have no precedence over one another: they are taken from left to right.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from server.outcome import Problem
from server.search import composite, date, number, quantity, reference, string, token, uri
from server.search.filter import And, Chain, Equal, Filter, Has, Ids, Not, Or, Present, Range, Updated, either
from server.search.parameter import Custom, Parameter, Unknown, followed, referring, searched, through
from server.search.prefix import PREFIXES

MAX_DEPTH = 32  # of parentheses
MAX_COMPARISONS = 100
MAX_TESTS = 4096  # with all types that a path may lead through
MAX_STEPS = 8  # of a path
SYSTEMS: Mapping[str, str] = {  # that the specification names in short
    "loinc": "http://loinc.org",
    "snomed": "http://snomed.info/sct",
    "rxnorm": "http://www.nlm.nih.gov/research/umls/rxnorm",
    "ucum": "http://unitsofmeasure.org",
}
OPERATORS: Mapping[str, frozenset[str]] = {
    "string": frozenset({"eq", "ne", "co", "sw", "ew", "gt", "lt", "ge", "le", "pr"}),
    "number": PREFIXES | {"pr"},
    "quantity": PREFIXES | {"pr"},
    "date": PREFIXES | {"co", "po", "pr"},
    "token": frozenset({"eq", "ne", "ss", "sb", "in", "ni", "pr"}),
    "reference": frozenset({"re", "eq", "pr"}),
    "uri": frozenset({"eq", "ne", "pr"}),
    "composite": frozenset({"eq"}),
    "special": frozenset({"pr"}),
}
# What the specification names in two parts, and the composite parameter that tests both in one element.
PARTS: Mapping[tuple[str, str], tuple[str, tuple[str, str]]] = {
    ("Group", "characteristic"): ("characteristic-value", ("code", "value")),
    ("DocumentReference", "relatesTo"): ("relationship", ("target", "code")),
}

_EXAMPLE = 'name co "pet" and birthdate ge 2014-10-10'
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_:-]*")
_WORD = re.compile(r"[a-z]+")
_TOKEN = re.compile(r"[^\s)\]]+")
_SPACE = re.compile(r"\s*")


class Step(NamedTuple):
    """One name of a path, and what the resource that it leads to must satisfy beside the rest."""

    name: str
    within: Expression | None = None


@dataclass(frozen=True, slots=True)
class Comparison:
    path: tuple[Step, ...]
    operator: str
    value: str


@dataclass(frozen=True, slots=True)
class Logical:
    operator: str  # and, or
    of: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Negation:
    of: Expression


Expression = Comparison | Logical | Negation


def compile(type: str, text: str, base_url: str, custom: Custom | None = None) -> Filter:
    """The filter of one type that an expression stands for. Problem invalid (400), too_costly (413)."""
    try:
        return _Compiler(base_url, custom).compile(type, parse(text), 0)
    except Unknown as unknown:
        raise Problem.invalid(str(unknown)) from None


def parse(text: str) -> Expression:
    """Read an expression. Problem invalid (400) with the place where it cannot be read on."""
    return _Reader(text).read()


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text.strip()
        self.at = 0
        self.comparisons = 0

    def read(self) -> Expression:
        found = self.expression(0)
        if self.at < len(self.text):
            raise self.refused("and, or, or the end")
        return found

    def expression(self, depth: int) -> Expression:
        if depth > MAX_DEPTH:
            raise Problem.of("too_costly", f"The filter has more than {MAX_DEPTH} expressions within one another")
        found = self.term(depth)
        while operator := next((word for word in ("and", "or") if self.word(word)), None):
            before = found.of if isinstance(found, Logical) and found.operator == operator else (found,)
            found = Logical(operator, (*before, self.term(depth)))
        return found

    def term(self, depth: int) -> Expression:
        if self.mark("("):
            return self.closed(")", depth)
        if self.text.startswith("not", self.at) and self.text[self.at + 3 :].lstrip()[:1] == "(":
            self.skip(3)
            self.mark("(")
            return Negation(self.closed(")", depth))
        self.comparisons += 1
        if self.comparisons > MAX_COMPARISONS:
            raise Problem.of("too_costly", f"A filter makes at most {MAX_COMPARISONS} comparisons")
        return Comparison(self.path(depth), self.operator(), self.value())

    def closed(self, mark: str, depth: int) -> Expression:
        found = self.expression(depth + 1)
        if not self.mark(mark):
            raise self.refused(mark)
        return found

    def path(self, depth: int) -> tuple[Step, ...]:
        steps = []
        while True:
            name = self.matched(_NAME, "the name of a search parameter")
            within = self.closed("]", depth) if self.text.startswith("[", self.at) and self.mark("[") else None
            steps.append(Step(name, within))
            if not self.text.startswith(".", self.at):
                break
            self.at += 1
        if len(steps) > MAX_STEPS:
            raise Problem.of("too_costly", f"A path takes at most {MAX_STEPS} names")
        if steps[-1].within is not None:
            raise self.refused("a dot and a name, after a filter in brackets")
        self.skip(0)
        return tuple(steps)

    def operator(self) -> str:
        start = self.at
        found = self.matched(_WORD, "an operator, such as eq")
        if not any(found in operators for operators in OPERATORS.values()):
            self.at = start
            raise self.refused(f"an operator: {', '.join(sorted(frozenset().union(*OPERATORS.values())))}")
        self.skip(0)
        return found

    def value(self) -> str:
        if self.text.startswith('"', self.at):
            try:
                found, self.at = json.JSONDecoder().raw_decode(self.text, self.at)
            except ValueError:
                raise self.refused("a string of JSON, with its end") from None
        else:
            found = self.matched(_TOKEN, "a value")
        self.skip(0)
        return str(found)

    def matched(self, pattern: re.Pattern[str], expected: str) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise self.refused(expected)
        self.at = found.end()
        return found[0]

    def word(self, word: str) -> bool:
        after = self.at + len(word)
        if self.text.startswith(word, self.at) and self.text[after : after + 1] in {"", " ", "(", "\t", "\n"}:
            self.skip(len(word))
            return True
        return False

    def mark(self, mark: str) -> bool:
        self.skip(0)
        if self.text.startswith(mark, self.at):
            self.skip(1)
            return True
        return False

    def skip(self, count: int) -> None:
        found = _SPACE.match(self.text, self.at + count)
        self.at = found.end() if found else self.at + count

    def refused(self, expected: str) -> Problem:
        rest = self.text[self.at : self.at + 40] or "the end"
        return Problem.invalid(f"At character {self.at + 1}, {rest!r}, {expected} was expected; such as {_EXAMPLE}")


class _Compiler:
    def __init__(self, base_url: str, custom: Custom | None) -> None:
        self.base_url = base_url
        self.custom = custom
        self.tests = 0

    def compile(self, type: str, expression: Expression, steps: int) -> Filter:
        match expression:
            case Negation(inner):
                return Not(self.compile(type, inner, steps))
            case Logical(operator, parts):
                made = tuple(self.compile(type, part, steps) for part in parts)
                return And(made) if operator == "and" else Or(made)
            case Comparison(path, operator, value):
                return self.path(type, path, operator, value, steps)

    def path(self, type: str, path: Sequence[Step], operator: str, value: str, steps: int) -> Filter:
        first, rest = path[0], path[1:]
        if first.name.startswith("_has:"):
            return self.has(type, path, operator, value, steps + 1)
        if not rest:
            self.tests += 1
            if self.tests > MAX_TESTS:
                raise Problem.of(
                    "too_costly", "The filter goes through too many types; name them: subject:Patient.name"
                )
            return self.compared(type, first.name, operator, value)
        if (type, first.name) in PARTS:
            return self.parts(type, first, rest, operator, value)
        if steps + len(path) > MAX_STEPS:
            raise Problem.of("too_costly", f"Paths take at most {MAX_STEPS} names, one within another")
        return self.chain(type, first, rest, operator, value, steps)

    def has(self, type: str, path: Sequence[Step], operator: str, value: str, steps: int) -> Filter:
        """`_has:Observation:patient:code eq …`: a resource that names this one by a parameter satisfies the rest."""
        if steps + len(path) > MAX_STEPS:
            raise Problem.of("too_costly", f"Paths take at most {MAX_STEPS} names, one within another")
        source, parameter, name = referring(type, path[0].name, self.custom)
        inner = self.path(source, (path[0]._replace(name=name), *path[1:]), operator, value, steps)
        return Has(source, parameter.index, inner)

    def chain(self, type: str, step: Step, rest: Sequence[Step], operator: str, value: str, steps: int) -> Filter:
        parameter, targets = followed(type, step.name, self.custom)

        def within(target: str) -> Filter:
            inner = self.path(target, rest, operator, value, steps + 1)
            if step.within is not None:
                inner = And((self.compile(target, step.within, steps + 1), inner))
            return Chain(parameter.index, target, inner)

        return either([found for _, found in through(targets, within)])

    def compared(self, type: str, code: str, operator: str, value: str) -> Filter:
        if code == "_id":
            return _identified(operator, value)
        parameter = searched(type, code, self.custom)
        if operator not in OPERATORS[parameter.kind]:
            raise _not_for(operator, f"{code} of {type}, a {parameter.kind}", OPERATORS[parameter.kind])
        if operator == "pr":
            return _present(parameter, value)
        return _COMPARED[parameter.kind](parameter, operator, value, self.base_url)

    def parts(self, type: str, step: Step, rest: Sequence[Step], operator: str, value: str) -> Filter:
        """`relatesTo[code eq replaces].target re DocumentReference/1`: both parts of one element."""
        code, (first, second) = PARTS[type, step.name]
        match step.within, rest:
            case Comparison((Step(name, None),), "eq", other), (Step(last, None),) if {name, last} == {first, second}:
                pair = (other, value) if name == first else (value, other)
            case _:
                raise Problem.invalid(f"{step.name} of {type} is asked such as {step.name}[{first} eq …].{second} eq …")
        if operator not in {"eq", "re"}:
            raise _not_for(operator, f"{step.name}.{rest[0].name}", frozenset({"eq", "re"}))
        return composite.test(searched(type, code), None)("$".join(map(_short, pair)), self.base_url)


def _identified(operator: str, value: str) -> Filter:
    if operator not in {"eq", "ne"}:
        raise _not_for(operator, "_id", frozenset({"eq", "ne"}))
    found = Ids((value,))
    return found if operator == "eq" else Not(found)


def _present(parameter: Parameter, value: str) -> Filter:
    if value not in {"true", "false"}:
        raise Problem.invalid(f"{value!r} is no answer to pr; true and false are")
    present = Updated(None, None) if parameter.code == "_lastUpdated" else either(list(map(Present, parameter.indexes)))
    return present if value == "true" else Not(present)


def _string(parameter: Parameter, operator: str, value: str, base_url: str) -> Filter:
    if parameter.code == "phonetic":
        return string.test(parameter, None)(_escaped(value), base_url)
    return either([string.compared(index, operator, value) for index in parameter.indexes])


def _date(parameter: Parameter, operator: str, value: str, base_url: str) -> Filter:
    if parameter.code == "_lastUpdated":
        return date.updated(("" if operator in {"co", "po"} else operator) + value, base_url)
    if operator in {"co", "po"}:
        return either([date.related(index, operator, value) for index in parameter.indexes])
    return date.test(parameter, None)(operator + value, base_url)


def _number(parameter: Parameter, operator: str, value: str, base_url: str) -> Filter:
    return number.test(parameter, None)(operator + value, base_url)


def _quantity(parameter: Parameter, operator: str, value: str, base_url: str) -> Filter:
    amount, bar, unit = value.partition("|")
    return quantity.test(parameter, None)(operator + amount + bar + _short(unit), base_url)


_MODIFIERS = {"ss": "below", "sb": "above", "in": "in", "ni": "in"}


def _token(parameter: Parameter, operator: str, value: str, base_url: str) -> Filter:
    found = token.test(parameter, _MODIFIERS.get(operator))(_short(value), base_url)
    if operator == "ne":
        if value.endswith("|"):
            raise Problem.invalid(f"{value!r} has no code for ne to compare; ask for not({parameter.code} eq {value})")
        return _others(found)
    return Not(found) if operator == "ni" else found


def _reference(parameter: Parameter, operator: str, value: str, base_url: str) -> Filter:
    return reference.test(parameter, None)(_escaped(value), base_url)


def _uri(parameter: Parameter, operator: str, value: str, base_url: str) -> Filter:
    found = uri.test(parameter, None)(_escaped(value), base_url)
    return _others(found) if operator == "ne" else found


def _composite(parameter: Parameter, operator: str, value: str, base_url: str) -> Filter:
    return composite.test(parameter, None)(value, base_url)


_COMPARED: Mapping[str, Callable[[Parameter, str, str, str], Filter]] = {
    "string": _string,
    "date": _date,
    "number": _number,
    "quantity": _quantity,
    "token": _token,
    "reference": _reference,
    "uri": _uri,
    "composite": _composite,
}

_FIRST_KEY, _AFTER_KEYS = b"\0", b"\xff" * 256


def _others(filter: Filter) -> Filter:
    """A row of the same index with another key: what ne asks of codes and URIs."""
    match filter:
        case Or(filters):
            return Or(tuple(map(_others, filters)))
        case Range(index, low, high):
            return Or((Range(index, _FIRST_KEY, low), Range(index, high, _AFTER_KEYS)))
        case Equal(index, keys):
            ends = [_FIRST_KEY]
            for key in sorted(key for key in keys if isinstance(key, bytes)):
                ends += [key, key + b"\0"]
            ends.append(_AFTER_KEYS)
            return Or(tuple(Range(index, low, high) for low, high in zip(ends[::2], ends[1::2], strict=True)))
    return Not(filter)


def _short(value: str) -> str:
    """A token or a unit with its system written out, where the specification has a short name for it."""
    system, bar, code = value.partition("|")
    return f"{SYSTEMS[system]}|{code}" if bar and system in SYSTEMS else value


def _escaped(value: str) -> str:
    return re.sub(r"([\\,$|])", r"\\\1", value)


def _not_for(operator: str, what: str, accepted: frozenset[str]) -> Problem:
    problem = Problem.invalid(f"{operator} does not compare {what}; {', '.join(sorted(accepted))} do")
    return Problem.with_issues("invalid", [replace(issue, code="not-supported") for issue in problem.issues])
