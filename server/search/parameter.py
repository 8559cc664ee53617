"""SearchParameter: what each parameter of a resource type looks at, as JSON paths with known data types.

https://hl7.org/fhir/R4/searchparameter.html, https://hl7.org/fhir/R4/searchparameter-registry.html

The registry says it in FHIRPath, of which it uses a small, regular part. That part is followed through the element
table once, when a type is first used: unions fall apart, choices become their JSON names, casts choose among them. No
FHIRPath engine runs when a resource is indexed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol, TypeVar

from server.fhir.definition import RESOURCE_TYPES, Element, elements, search_parameters, value_set
from server.fhir.definition import SearchParameter as Definition
from server.ledger import IndexRow
from server.outcome import Issue, Problem
from server.search.filter import Filter

T = TypeVar("T")

# What a parameter type's file makes of a path and of a modifier:
Write = Callable[[Any, list[IndexRow], str], None]  # (a value, the rows to add to, our base URL)
Test = Callable[[str, str], Filter]  # (one value, still escaped, our base URL)


class Step(NamedTuple):
    """One JSON member on a path; of its items those where `where` holds, or the one at `at`."""

    name: str
    where: tuple[str, str] | None = None
    at: int | None = None


@dataclass(frozen=True, slots=True)
class Path:
    """A way from a resource to values of one data type."""

    steps: tuple[Step, ...] = ()
    type: str = ""
    owner: str = ""  # the type that the last step's element belongs to: "HumanName" for Patient.name.given
    target: str | None = None  # of `where(resolve() is X)`: only references to this type
    binding: str | None = None  # the value set that the element requires
    from_resource: bool = False  # of `%resource`: starts at the resource, not at the composite's element
    exists: tuple[str, ...] = ()  # the value is the boolean "one of these is there and is not false"
    is_list: bool = False  # there may be several values
    choice: str | None = None  # the choice that the last element is one of: "effective" for effectiveDateTime


class Composition(NamedTuple):
    """An element whose parts a composite parameter joins: its path, and for each component the paths from there."""

    path: Path
    parts: tuple[tuple[Path, ...], ...]


@dataclass(frozen=True, slots=True, eq=False)
class Parameter:
    """A search parameter of one resource type, ready to index and to match."""

    type: str  # the resource type
    code: str
    kind: str  # string, token, date …: SearchParameter.type
    index: str
    paths: tuple[Path, ...]
    targets: frozenset[str] = frozenset()  # of a reference, concrete types
    systems: frozenset[str] | None = frozenset()  # that `code` elements imply; None is any
    components: tuple[Parameter, ...] = ()  # of a composite: what each part is matched as
    compositions: tuple[Composition, ...] = ()  # of a composite: where the parts stand
    union: tuple[str, ...] = ()  # the indexes that hold this parameter's values, where other parameters have them all

    @property
    def indexes(self) -> tuple[str, ...]:
        return self.union or (self.index,)

    @property
    def is_single(self) -> bool:
        """Whether a resource has one value at most, in an index of its own."""
        places = {(path.steps[:-1], path.choice or path.steps[-1].name) for path in self.paths if path.steps}
        return len(places) == 1 and not self.union and not any(path.is_list for path in self.paths)

    @property
    def datatypes(self) -> frozenset[str]:
        return frozenset(path.type for path in self.paths)


TEXTS = frozenset({"_text", "_content"})  # of every type; what they look at is no element
_NO_PARAMETERS = MappingProxyType(
    {
        "_query": "no named queries are defined",
    }
)


class Unknown(Exception):  # noqa: N818 - not an error where the client is lenient
    """A name that the type does not have."""


@cache
def parameters(type_name: str) -> Mapping[str, Parameter]:
    """Code -> Parameter of a resource type. `_id` and `_lastUpdated` are of the stored version and have no rows."""
    found = {
        code: compiled(type_name, definition)
        for code, definition in search_parameters(type_name).items()
        if code not in TEXTS
    }
    return MappingProxyType({code: _without_own_rows(parameter, found) for code, parameter in found.items()})


class Custom(Protocol):
    """Parameters beside R4's own, and why others are none, by type and code."""

    @property
    def parameters(self) -> Mapping[tuple[str, str], Parameter]: ...

    @property
    def refused(self) -> Mapping[tuple[str, str], str]: ...


def searched(type_name: str, code: str, custom: Custom | None = None) -> Parameter:
    """The parameter that a search names. Raises Unknown, with what the type has."""
    found = parameters(type_name).get(code)
    if found is None and custom is not None:
        found = custom.parameters.get((type_name, code))
    if found is None:
        if code in _NO_PARAMETERS:
            raise Unknown(f"{code!r} is not supported: {_NO_PARAMETERS[code]}")
        if custom is not None and (type_name, code) in custom.refused:
            raise Unknown(custom.refused[type_name, code])
        known = ", ".join(sorted(parameters(type_name)))
        raise Unknown(f"{type_name} has no search parameter {code!r}; it has {known}")
    return found


def followed(type_name: str, link: str, custom: Custom | None = None) -> tuple[Parameter, Sequence[str]]:
    """What a chain's step follows, "subject" or "subject:Patient": the parameter, and the types that it may lead to."""
    code, _, named = link.partition(":")
    parameter = searched(type_name, code, custom)
    if parameter.kind != "reference" or "Reference" not in parameter.datatypes:
        raise Problem.invalid(f"{code!r} of {type_name} names no resources, so that nothing can follow its dot")
    targets = sorted(parameter.targets)
    if named and named not in targets:
        raise Problem.invalid(f"{code!r} of {type_name} names no {named!r}; it names {', '.join(targets)}")
    return parameter, [named] if named else targets


def referring(type_name: str, name: str, custom: Custom | None = None) -> tuple[str, Parameter, str]:
    """What "_has:Observation:patient:code" goes through: the type, its parameter that names this one, and the rest."""
    _, source, code, rest = (*name.split(":", 3), "", "", "")[:4]
    if source not in RESOURCE_TYPES or not code or not rest:
        raise Problem.invalid(f"{name!r} is incomplete; accepted is such as _has:Observation:patient:code")
    parameter = searched(source, code, custom)
    if parameter.kind != "reference" or type_name not in parameter.targets:
        raise Problem.invalid(f"{code!r} of {source} does not name {type_name}")
    return source, parameter, rest


def through(targets: Iterable[str], read: Callable[[str], T]) -> list[tuple[str, T]]:
    """The rest of a chain as each type reads it that has it; where none has, the first reason why it is wrong."""
    found: list[tuple[str, T]] = []
    refused: list[Exception] = []
    for target in targets:
        try:
            found.append((target, read(target)))
        except Unknown as unknown:
            refused.append(unknown)
        except Problem as problem:
            if problem.kind != "invalid":
                raise
            refused.insert(0, problem)
    if not found:
        raise refused[0]
    return found


def not_supported(parameter: Parameter, modifier: str, *accepted: str) -> Problem:
    """A modifier that changes the meaning may not be ignored, whatever the client prefers: 400."""
    known = ", ".join(f":{name}" for name in (*accepted, "missing"))
    kind = f"{parameter.code!r} of {parameter.type}, which is searched as {parameter.kind}"
    return Problem.with_issues("invalid", [Issue("not-supported", f":{modifier} does not work on {kind}; {known} do")])


def values(element: Any, steps: Sequence[Step]) -> Iterator[Any]:
    """What stands at the end of the steps from an element."""
    if not steps:
        yield element
        return
    found = element.get(steps[0].name)
    if found is not None:
        for item in chosen(found, steps[0]):
            yield from values(item, steps[1:])


def chosen(value: Any, step: Step) -> Sequence[Any]:
    """The items of a member's value that the step leads to; JSON's null, where only an extension stands, is none."""
    items = value if isinstance(value, list) else [value]
    if step.at is not None:
        items = items[step.at : step.at + 1]
    if step.where:
        name, expected = step.where
        items = [item for item in items if item.get(name) == expected]
    return [item for item in items if item is not None]


def has_value(element: Any) -> bool:
    """Whether an element says anything; a complex one with only extensions says why it does not."""
    return not (isinstance(element, Mapping) and element.keys() <= _NO_VALUE)


_NO_VALUE = {"id", "extension"}


def follow(expression: str, type_name: str) -> tuple[Path, ...]:
    """The paths of a FHIRPath expression as the registry writes them, from `type_name`. ValueError for any other."""
    return tuple(dict.fromkeys(path for part in expression.split("|") for path in _follow(part.strip(), type_name)))


def compiled(type_name: str, definition: Definition) -> Parameter:
    """A definition as it is searched. ValueError where its expression is not of the registry's kind."""
    kind = definition.type
    paths = follow(definition.expression, type_name)
    if kind == "composite":
        return _composite(type_name, definition, paths)
    paths = tuple(path for path in paths if path.type in SEARCHED[kind])
    return Parameter(
        type=type_name,
        code=definition.code,
        kind=kind,
        index=f"{type_name}.{definition.code}",
        paths=paths,
        targets=RESOURCE_TYPES if definition.target == ("Resource",) else frozenset(definition.target),
        systems=_systems(paths),
    )


def _composite(type_name: str, definition: Definition, roots: tuple[Path, ...]) -> Parameter:
    parts = _CROSSWISE.get((type_name, definition.code), definition.component)
    components = [compiled(type_name, search_parameters(type_name)[code]) for code, _ in parts]
    compositions = [
        Composition(
            root,
            tuple(
                _part(type_name, root, part, expression)
                for part, (_, expression) in zip(components, parts, strict=True)
            ),
        )
        for root in roots
    ]
    return Parameter(
        type=type_name,
        code=definition.code,
        kind="composite",
        index=f"{type_name}.{definition.code}",
        paths=roots,
        components=tuple(
            replace(
                part,
                index="",
                paths=tuple(path for composition in compositions for path in composition.parts[position]),
            )
            for position, part in enumerate(components)
        ),
        compositions=tuple(compositions),
    )


def _part(type_name: str, root: Path, part: Parameter, expression: str) -> tuple[Path, ...]:
    if expression.startswith("%resource"):
        found = follow(expression.replace("%resource", type_name, 1), type_name)
        found = tuple(replace(path, from_resource=True) for path in found)
    else:
        found = follow(expression, root.type)
    return tuple(path for path in found if path.type in SEARCHED[part.kind])


def _systems(paths: Iterable[Path]) -> frozenset[str] | None:
    if any(path.type == "boolean" for path in paths):
        return frozenset({"http://terminology.hl7.org/CodeSystem/special-values"})
    bindings = {path.binding for path in paths if path.type == "code"}
    known = [value_set(binding) if binding else {} for binding in bindings]
    return frozenset().union(*known) if all(known) else None


# A registry entry that says other than it means: its two expressions stand crosswise.
_CROSSWISE = {("DocumentReference", "relationship"): (("relatesto", "target"), ("relation", "code"))}

_TEXTS = frozenset({"string", "markdown", "code", "id", "uri", "url", "canonical"})

# Search parameter type -> the data types that it can search; a path to any other (the text of an
# `Immunization.occurrence` that is searched as a date) has no values for it.
SEARCHED: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        "string": _TEXTS | {"HumanName", "Address"},
        "token": _TEXTS | {"Coding", "CodeableConcept", "Identifier", "ContactPoint", "boolean"},
        "date": frozenset({"date", "dateTime", "instant", "Period", "Timing"}),
        "number": frozenset({"integer", "positiveInt", "unsignedInt", "decimal", "Range"}),
        "quantity": frozenset(
            {"Quantity", "Age", "Duration", "Money", "Count", "Distance", "Range", "SampledData"},
        ),
        "reference": frozenset({"Reference", "canonical", "uri", "Resource"}),
        "uri": frozenset({"uri", "url", "canonical", "oid", "uuid"}),
        "special": frozenset({"Location.position"}),
        "composite": frozenset(),
    }
)

_CAST = re.compile(r"\((.+) as (\w+)\)")
_EXISTS = re.compile(r"(.+)\.exists\(\) and \1 != false")
_STEP = re.compile(r"\.?(?:(\w+)(?:\(((?:[^()]|\(\))*)\))?|\[(\d+)\])")
_EQUALS = re.compile(r"(\w+)='([^']*)'")
_RESOLVES = re.compile(r"resolve\(\) is (\w+)")


def _follow(expression: str, type_name: str) -> list[Path]:
    if match := _EXISTS.fullmatch(expression):
        names = tuple(path.steps[-1].name for path in _follow(match[1], type_name))
        return [Path(type="boolean", exists=names)]
    expression = _CAST.sub(r"\1.as(\2)", expression)
    found = [Path(type=type_name)]
    for position, (name, argument, index) in enumerate(_steps(expression)):
        if index:
            found = [_last(path, at=int(index)) for path in found]
        elif name == "as":
            found = [path for path in found if path.type == argument[0].lower() + argument[1:] or path.type == argument]
        elif name == "where" and (match := _RESOLVES.fullmatch(argument)):
            found = [replace(path, target=match[1]) for path in found]
        elif name == "where" and (match := _EQUALS.fullmatch(argument)):
            found = [_last(path, where=(match[1], match[2])) for path in found]
        elif argument:
            raise ValueError(f"{expression}: {name}() is not followed")
        elif position > 0 or name not in {type_name, "Resource", "DomainResource"}:
            found = [longer for path in found for longer in _down(path, name)]
        if not found:
            raise ValueError(f"{expression}: nothing is at {name or index}")
    return found


def _steps(expression: str) -> Iterator[tuple[str, str, str]]:
    at = 0
    while at < len(expression):
        match = _STEP.match(expression, at)
        if not match:
            raise ValueError(f"{expression}: not followed from {expression[at:]!r}")
        yield match[1] or "", match[2] or "", match[3] or ""
        at = match.end()


def _last(path: Path, *, where: tuple[str, str] | None = None, at: int | None = None) -> Path:
    return replace(path, steps=(*path.steps[:-1], Step(path.steps[-1].name, where, at)))


def _down(path: Path, name: str) -> Iterable[Path]:
    try:
        members = elements(path.type).values()
    except KeyError:
        return
    for element in members:
        if name in (element.name, element.choice):
            yield _to(path, element)


def _to(path: Path, element: Element) -> Path:
    return replace(
        path,
        steps=(*path.steps, Step(element.name)),
        type=element.types[0],
        owner=path.type,
        binding=element.binding,
        is_list=path.is_list or element.max != 1,
        choice=element.choice,
    )


def _without_own_rows(parameter: Parameter, others: Mapping[str, Parameter]) -> Parameter:
    """Where other parameters have all the values (Observation's combo-code: code, component-code), read theirs."""
    parts = [
        other
        for other in others.values()
        if other.kind == parameter.kind and _values(other) and _values(other) < _values(parameter)
    ]
    if sum(len(_values(part)) for part in parts) != len(_values(parameter)):
        return parameter
    if frozenset().union(*map(_values, parts)) != _values(parameter):
        return parameter
    return replace(parameter, union=tuple(part.index for part in parts))


def _values(parameter: Parameter) -> frozenset[Path | Composition]:
    return frozenset(parameter.compositions or parameter.paths)
