"""Criterion: a parameter's name, compiled into what it makes of values: chains, `_has`, modifiers, and the test itself.

https://hl7.org/fhir/R4/search.html#chaining, https://hl7.org/fhir/R4/search.html#modifiers

`subject:Patient.identifier` is two steps and a token's test. A name is compiled once and remembered.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

from server.outcome import Issue, Problem
from server.search import (
    bundled,
    composite,
    date,
    extract,
    near,
    number,
    quantity,
    reference,
    string,
    text,
    token,
    uri,
)
from server.search.custom import Definitions
from server.search.escaping import unescape
from server.search.filter import And, Chain, Filter, Has, Ids, Not, Present, either
from server.search.parameter import TEXTS, Parameter, Test, Unknown, followed, referring, searched, through

MAX_STEPS = 8  # of a chain
MAX_WAYS = 128  # resource types that an untyped chain may go through, all steps together
MAX_NAME = 512  # characters
# The lists that R4 calls functional, and the code of the Lists, each some patient's, that are current for it
LIST_CODES = "http://terminology.hl7.org/CodeSystem/list-example-use-codes"
CURRENT: Mapping[str, str] = {
    "$current-problems": "problems",
    "$current-medications": "medications",
    "$current-allergies": "allergies",
}


class Criterion(NamedTuple):
    """A compiled name: what it makes of a parameter's values, and how many tests that is for each."""

    filter: Callable[[list[str], str], Filter]  # (values, our base URL)
    ways: int = 1


@lru_cache(maxsize=2048)
def compiled(type: str, name: str, custom: Definitions) -> Criterion:
    """What a name means for a type. Unknown where it means nothing, Problem too_costly (413) where it would explode."""
    if len(name) > MAX_NAME:
        raise Unknown(f"{name[:40]!r}… is no search parameter")
    return _Compiler(custom).compile(type, name, 0)


class _Compiler:
    """One name's steps. Each type is asked once for each rest of the name, however many ways lead there."""

    def __init__(self, custom: Definitions) -> None:
        self.custom = custom
        self.known: dict[tuple[str, str], Criterion | Exception] = {}

    def compile(self, type: str, name: str, steps: int) -> Criterion:
        if (type, name) not in self.known:
            try:
                self.known[type, name] = self._step(type, name, steps)
            except (Unknown, Problem) as refused:
                self.known[type, name] = refused
        found = self.known[type, name]
        if isinstance(found, Exception):
            raise found
        return found

    def _step(self, type: str, name: str, steps: int) -> Criterion:
        link, dot, rest = name.partition(".")
        if not dot and not name.startswith("_has:"):
            return _last(type, name, self.custom)
        if steps == MAX_STEPS:
            raise too_costly(f"A chain takes at most {MAX_STEPS} steps")
        if name.startswith("_has:"):
            return self._has(type, name, steps + 1)
        return self._chain(type, link, rest, steps + 1)

    def _chain(self, type: str, link: str, rest: str, steps: int) -> Criterion:
        """`subject:Patient.name`: what the reference names satisfies the rest; untyped, each type that has the rest."""
        code, _, named = link.partition(":")
        if type == "Bundle" and code in bundled.BEGINS and named in ("", bundled.BEGINS[code]):
            begins = self.compile(bundled.BEGINS[code], rest, steps)
            return Criterion(partial(_begun, code, begins), begins.ways)
        parameter, targets = followed(type, link, self.custom)
        found = through(targets, lambda target: self.compile(target, rest, steps))
        ways = sum(criterion.ways for _, criterion in found)
        if ways > MAX_WAYS:
            raise too_costly(
                f"{link}.{rest} goes through more than {MAX_WAYS} types; name one: {parameter.code}:Patient.{rest}"
            )
        return Criterion(partial(_chained, parameter.index, found), ways)

    def _has(self, type: str, name: str, steps: int) -> Criterion:
        """`_has:Observation:patient:code`: a resource that names this one by a parameter satisfies the rest."""
        source, parameter, rest = referring(type, name, self.custom)
        inner = self.compile(source, rest, steps)
        return Criterion(partial(_had, source, parameter.index, inner), inner.ways)


def is_window(type: str, name: str, custom: Definitions) -> bool:
    """Whether a name is that of a date which a resource has once."""
    if {":", "."}.intersection(name) or name in extract.VERSIONED or name == "_list" or name in TEXTS:
        return False
    parameter = searched(type, name, custom)
    return parameter.kind == "date" and parameter.is_single


def _chained(index: str, targets: Sequence[tuple[str, Criterion]], values: list[str], base_url: str) -> Filter:
    return either([Chain(index, target, criterion.filter(values, base_url)) for target, criterion in targets])


def _begun(code: str, begins: Criterion, values: list[str], base_url: str) -> Filter:
    return bundled.within(code, begins.filter(values, base_url))


def _had(source: str, index: str, inner: Criterion, values: list[str], base_url: str) -> Filter:
    return Has(source, index, inner.filter(values, base_url))


def _last(type: str, name: str, custom: Definitions) -> Criterion:
    """The end of a chain, or a name that is none: a parameter and its modifier."""
    code, _, modifier = name.partition(":")
    if code in extract.VERSIONED:
        return _versioned(code, modifier)
    if code == "_list":
        return _listed(modifier)
    if code in TEXTS:
        return _texts(code, modifier)
    parameter = searched(type, code, custom)
    if modifier == "missing" and parameter.kind != "composite":
        return Criterion(partial(_missing, parameter))
    test = _TESTS[parameter.kind](parameter, modifier or None)
    return Criterion(partial(_none_of if modifier in ("not", "not-in") else _any_of, test))


_TESTS: Mapping[str, Callable[[Parameter, str | None], Test]] = {
    "string": string.test,
    "token": token.test,
    "date": date.test,
    "number": number.test,
    "quantity": quantity.test,
    "reference": reference.test,
    "uri": uri.test,
    "composite": composite.test,
    "special": near.test,
}


def _any_of(test: Test, values: list[str], base_url: str) -> Filter:
    if len(values) == 1:
        return test(values[0], base_url)
    return either([test(value, base_url) for value in values])


def _none_of(test: Test, values: list[str], base_url: str) -> Filter:
    return Not(_any_of(test, values, base_url))


def _missing(parameter: Parameter, values: list[str], base_url: str) -> Filter:
    if values not in (["true"], ["false"]):
        raise Problem.invalid(f"{','.join(values)!r} is no answer to :missing; true and false are")
    present = either([Present(index) for index in parameter.indexes])
    return Not(present) if values == ["true"] else present


def _versioned(code: str, modifier: str) -> Criterion:
    """_id and _lastUpdated, which the stored version tells."""
    if code == "_lastUpdated" and not modifier:
        return Criterion(partial(_any_of, date.updated))
    if code == "_id" and modifier in ("", "not"):
        return Criterion(_not_ids if modifier else _ids)
    works = "; :not does" if code == "_id" else ""
    raise Problem.with_issues("invalid", [Issue("not-supported", f":{modifier} does not work on {code!r}{works}")])


def _ids(values: list[str], base_url: str) -> Filter:
    return Ids(tuple(dict.fromkeys(map(unescape, values))))


def _not_ids(values: list[str], base_url: str) -> Filter:
    return Not(_ids(values, base_url))


def _listed(modifier: str) -> Criterion:
    """_list: what the items of a List name. https://hl7.org/fhir/R4/search.html#list"""
    if modifier:
        raise Problem.invalid("_list takes no modifier")
    return Criterion(_in_lists)


def _in_lists(values: list[str], base_url: str) -> Filter:
    named = dict.fromkeys(unescape(value).removeprefix("List/") for value in values)
    ids = tuple(name for name in named if not name.startswith("$"))
    lists: list[Filter] = [Ids(ids)] if ids else []
    lists += [_current(name, base_url) for name in named if name.startswith("$")]
    return Has("List", "List.item", either(lists))


def _current(name: str, base_url: str) -> Filter:
    """The Lists that a functional name stands for. https://hl7.org/fhir/R4/lifecycle.html#current"""
    if name not in CURRENT:
        known = ", ".join(CURRENT)
        raise Problem.invalid(f"{name[:MAX_NAME]!r} is no list kept here; the id of a List is, and {known} are")
    status, code = (token.test(searched("List", parameter), None) for parameter in ("status", "code"))
    return And((status("current", base_url), code(f"{LIST_CODES}|{CURRENT[name]}", base_url)))


def _texts(code: str, modifier: str) -> Criterion:
    if modifier:
        raise Problem.invalid(f"{code} takes no modifier")
    return Criterion(partial(_any_of, text.test(code)))


def too_costly(diagnostics: str) -> Problem:
    return Problem.of("too_costly", diagnostics)
