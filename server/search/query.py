"""Query: a search's parameters, read into a filter and how the answer shall be.

https://hl7.org/fhir/R4/search.html

A name is compiled once (`criterion`), a value is read each time. All that is wrong is said at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from math import prod

from server.ledger import Resource
from server.outcome import Issue, Problem
from server.search import (
    compartment,
    concepts,
    date,
    expression,
    extract,
    include,
)
from server.search.criterion import MAX_NAME, compiled, is_window, too_costly
from server.search.custom import NONE, Definitions
from server.search.escaping import split
from server.search.filter import And, Chain, Equal, Filter, Has, Hierarchy, Ids, Not, Or
from server.search.include import Include
from server.search.parameter import Parameter, Unknown, searched

TYPE = "_type"
MAX_TESTS = 4096  # values times the ways to each
MAX_NODES = 400  # of the filter: an engine takes so many terms in one statement
MAX_KEYS = 8192
MAX_SORTS = 8
MAX_WINDOW = 64  # values of a date's criteria, multiplied
MAX_INCLUDES = 64
FEW_TESTS = 16  # which are never too much

TOTALS = ("none", "estimate", "accurate")
CONTAINED = ("false", "true", "both")
CONTAINED_TYPES = ("container", "contained")
SUMMARIES = ("true", "text", "data", "count", "false")


@dataclass(frozen=True, slots=True)
class Sort:
    """One key of the order. `value` reads it from a resource where the index is not in the values' order."""

    code: str
    index: str  # "" for _id and _lastUpdated
    descending: bool = False
    value: Callable[[Resource], bytes | None] | None = None


@dataclass(slots=True)
class Query:
    """What was asked. `applied` is what the self link shows; `ignored` warns of what was left out.

    `others` are further types that are searched too, each with its filter; `asks` is True where a filter asks a
    terminology, which `concepts.resolved` does.
    """

    type: str
    filter: Filter = field(default_factory=lambda: And(()))
    others: tuple[tuple[str, Filter], ...] = ()
    sort: tuple[Sort, ...] = ()
    count: int | None = None
    total: str = "none"
    include: tuple[Include, ...] = ()
    revinclude: tuple[Include, ...] = ()
    elements: tuple[str, ...] = ()
    summary: str | None = None
    explain: bool = False
    asks: bool = False
    contained: str = "false"
    contained_type: str = "container"
    applied: tuple[tuple[str, str], ...] = ()
    ignored: tuple[Issue, ...] = ()


def parse(
    types: str | Sequence[str],
    parameters: Sequence[tuple[str, str]],
    *,
    base_url: str,
    lenient: bool,
    within: str | None = None,
    custom: Definitions = NONE,
) -> Query:
    """Read the parameters of a search of one type or of several, percent-decoded; `within` a compartment: "Patient/1".

    `custom` are the parameters that are searched beside R4's own.

    Raises Problem invalid (400) with every value that cannot be read and, unless lenient, every unknown name;
    too_costly (413) where the search would explode.
    """
    if isinstance(types, str):
        return _Parser((types,), base_url, lenient, custom).parse(parameters, within)
    return _Parser(tuple(types), base_url, lenient, custom, several=True).parse(parameters, within)


def types_of(parameters: Iterable[tuple[str, str]], accepted: Iterable[str]) -> tuple[str, ...]:
    """The types that `_type` names, each once; all that are accepted where it names none."""
    named = list(dict.fromkeys(type for name, value in parameters if name == TYPE for type in value.split(",") if type))
    accepted = sorted(accepted)
    if unknown := [type for type in named if type not in accepted]:
        raise Problem.invalid(
            f"{', '.join(unknown)[:MAX_NAME]} is no type that can be searched here; {', '.join(accepted)} are",
            f"http.{TYPE}",
        )
    return tuple(named or accepted)


class _Parser:
    def __init__(
        self, types: tuple[str, ...], base_url: str, lenient: bool, custom: Definitions, several: bool = False
    ) -> None:
        self.query = Query(types[0])
        self.custom = custom
        self.several = several
        self.base_url = base_url
        self.lenient = lenient
        self.filters: dict[str, list[Filter]] = {type: [] for type in types}
        self.sizes: dict[str, tuple[int, int]] = {}  # nodes and keys of each type's filter
        self.applied: list[tuple[str, str]] = []
        self.issues: list[Issue] = []
        self.ignored: list[Issue] = []
        self.tests = 0
        self.repeated: set[str] = set()
        self.windows: dict[str, list[list[str]]] = {}  # the values of each criterion, by the parameter's name

    def parse(self, parameters: Iterable[tuple[str, str]], within: str | None) -> Query:
        if within is not None:
            for type, filters in self.filters.items():
                filters.append(compartment.filter(within, type))
        asked = [(name, value) for name, value in parameters if value.strip(",") and name not in IGNORED]
        times = Counter(name for name, _ in asked)
        self.repeated = {name for name in times if times[name] > 1}
        for name, value in asked:
            self._read(name, value)
        self._bind_windows()
        query = self.query
        if query.contained != "false" and (len(self.filters) > 1 or query.sort or query.include or query.revinclude):
            why = "What is contained is searched by one type, unsorted, and includes nothing"
            self.issues.append(Issue("not-supported", why, ("http._contained",)))
        if self.issues:
            raise Problem.with_issues("invalid", self.issues)
        found = [filters[0] if len(filters) == 1 else And(tuple(filters)) for filters in self.filters.values()]
        query.filter = found[0]
        if len(found) > 1:
            query.others = tuple(zip(self.filters, found, strict=True))[1:]
        query.applied, query.ignored = tuple(self.applied), tuple(self.ignored)
        return query

    def _read(self, name: str, value: str) -> None:
        try:
            if control := CONTROLS.get(name.partition(":")[0]):
                control(self, name, value)
            else:
                self._criterion(name, value)
            self.applied.append((name, value))
        except Unknown as unknown:
            self._unknown(name, str(unknown))
        except Problem as problem:
            issues = [replace(issue, expression=(f"http.{name}",)) for issue in problem.issues]
            if problem.kind != "invalid":
                raise Problem.with_issues(problem.kind, issues) from None
            self.issues += issues

    def _criterion(self, name: str, value: str) -> None:
        criteria = [compiled(type, name, self.custom) for type in self.filters]
        values = [each for each in split(value, ",") if each]
        for criterion in criteria:
            self.tests += criterion.ways * len(values)
        if self.tests > MAX_TESTS:
            raise too_costly(f"The search makes more than {MAX_TESTS} tests, values times the types of a chain")
        made = [criterion.filter(values, self.base_url) for criterion in criteria]
        if name in self.repeated and all(is_window(type, name, self.custom) for type in self.filters):
            self.windows.setdefault(name, []).append(values)
        else:
            self._add(made, self.tests <= FEW_TESTS)

    def _bind_windows(self) -> None:
        """Dates that are asked for several times, from and until: where a resource has but one, the same meets all."""
        for name, criteria in self.windows.items():
            # many values at once are met one criterion after the other
            each = [criteria] if prod(map(len, criteria)) <= MAX_WINDOW else [[values] for values in criteria]
            for together in each:
                made = [date.together(searched(type, name, self.custom), together) for type in self.filters]
                self._add(made, are_few=False)

    def _add(self, made: Sequence[Filter], are_few: bool) -> None:
        """One more condition: a filter for each of the types."""
        if not are_few:
            for type, filter in zip(self.filters, made, strict=True):
                self._check_size(type, filter)
        for filters, filter in zip(self.filters.values(), made, strict=True):
            filters.append(filter)
            self.query.asks = self.query.asks or concepts.asks(filter)

    def _check_size(self, type: str, filter: Filter) -> None:
        nodes, keys = self.sizes[type] = _grown(filter, *self.sizes.get(type, (0, 0)))
        if nodes > MAX_NODES or keys > MAX_KEYS:
            raise too_costly("The search asks for too much at once; give fewer values, or the types of a chain")

    def _unknown(self, name: str, diagnostics: str) -> None:
        if self.lenient:
            self.ignored.append(Issue("not-supported", f"{diagnostics}. It was ignored", (f"http.{name}",), "warning"))
        else:
            self.issues.append(Issue("invalid", diagnostics, (f"http.{name}",)))

    def sort(self, name: str, value: str) -> None:
        _plain(name)
        keys = value.split(",")
        if len(keys) + len(self.query.sort) > MAX_SORTS:
            raise Problem.invalid(f"At most {MAX_SORTS} sort keys are taken")
        if len(self.filters) > 1 and not extract.VERSIONED.issuperset(key.removeprefix("-") for key in keys):
            raise Problem.invalid("Several types have no other order than _id and _lastUpdated in common")
        self.query.sort += tuple(_sort(self.query.type, key, self.custom) for key in keys)

    def count(self, name: str, value: str) -> None:
        _plain(name)
        if not (value.isascii() and value.isdigit() and len(value) <= 9):
            raise Problem.invalid(f"{value!r} is no count; accepted is a number of resources a page, such as 50")
        self.query.count = int(value)

    def total(self, name: str, value: str) -> None:
        self.query.total = _one_of(TOTALS, name, value)

    def summary(self, name: str, value: str) -> None:
        self.query.summary = _one_of(SUMMARIES, name, value)

    def elements(self, name: str, value: str) -> None:
        _plain(name)
        self.query.elements += tuple(element for element in value.replace(" ", "").split(",") if element)

    def include(self, name: str, value: str) -> None:
        self.query.include += self._include(name, value, self.query.include, reverse=False)

    def revinclude(self, name: str, value: str) -> None:
        self.query.revinclude += self._include(name, value, self.query.revinclude, reverse=True)

    def _include(self, name: str, value: str, before: Sequence[Include], *, reverse: bool) -> tuple[Include, ...]:
        modifier = name.partition(":")[2]
        if modifier not in ("", "iterate"):
            raise Problem.invalid(f":{modifier} is not known here; :iterate is")
        found = include.parse(value, tuple(self.filters), bool(modifier), reverse, self.custom)
        new = tuple(each for each in found if each not in before)
        if len(before) + len(new) > MAX_INCLUDES:
            raise Problem.invalid(f"At most {MAX_INCLUDES} includes are taken")
        return new

    def filter(self, name: str, value: str) -> None:
        _plain(name)
        self._add([expression.compile(type, value, self.base_url, self.custom) for type in self.filters], are_few=False)

    def type(self, name: str, value: str) -> None:
        """What `types_of` has read."""
        _plain(name)
        if not self.several:
            raise Unknown(f"{TYPE} is for searches of several types: GET [base]?{TYPE}=Patient,CarePlan")

    def contained(self, name: str, value: str) -> None:
        self.query.contained = _one_of(CONTAINED, name, value)

    def contained_type(self, name: str, value: str) -> None:
        self.query.contained_type = _one_of(CONTAINED_TYPES, name, value)

    def explain(self, name: str, value: str) -> None:
        self.query.explain = _one_of(("1", "true", "0", "false"), name, value) in ("1", "true")


CONTROLS: Mapping[str, Callable[[_Parser, str, str], None]] = {
    "_sort": _Parser.sort,
    "_count": _Parser.count,
    "_total": _Parser.total,
    "_summary": _Parser.summary,
    "_elements": _Parser.elements,
    "_include": _Parser.include,
    "_revinclude": _Parser.revinclude,
    "_explain": _Parser.explain,
    "_contained": _Parser.contained,
    "_containedType": _Parser.contained_type,
    "_filter": _Parser.filter,
    TYPE: _Parser.type,
}
IGNORED = frozenset({"_format", "_pretty"})  # the representation's, not the search's


def _grown(filter: Filter, nodes: int, keys: int) -> tuple[int, int]:
    """(nodes, keys) with those of a filter added."""
    match filter:
        case And(filters) | Or(filters):
            for part in filters:
                nodes, keys = _grown(part, nodes, keys)
            return nodes + 1, keys
        case Not(inner) | Chain(filter=inner) | Has(filter=inner):
            return _grown(inner, nodes + 1, keys)
        case Equal(keys=found) | Ids(found) | Hierarchy(roots=found):
            return nodes + 1, keys + len(found)
    return nodes + 1, keys


def _sort(type: str, key: str, custom: Definitions) -> Sort:
    code, descending = key.removeprefix("-"), key.startswith("-")
    if code in extract.VERSIONED:
        return Sort(code, "", descending)
    parameter = searched(type, code, custom)
    if parameter.kind == "composite":
        raise Problem.invalid(f"{code!r} is composite and has no order; sort by its parts")
    if parameter.kind in _IN_ORDER and not parameter.union:
        return Sort(code, parameter.index, descending)
    return Sort(code, parameter.index, descending, partial(_sort_key, parameter, descending))


_IN_ORDER = frozenset({"string", "date", "number", "quantity", "uri"})  # whose index is in the values' order


def _sort_key(parameter: Parameter, descending: bool, resource: Resource) -> bytes | None:
    return extract.sort_key(resource, parameter, descending)


def _one_of(accepted: Sequence[str], name: str, value: str) -> str:
    _plain(name)
    if value not in accepted:
        raise Problem.invalid(f"{value!r} is not among {', '.join(accepted)}")
    return value


def _plain(name: str) -> None:
    if ":" in name:
        raise Problem.invalid(f"{name.partition(':')[0]} takes no modifier")
