"""Parameters: an operation's inputs, read by its OperationDefinition, and its outputs, written by it.

https://hl7.org/fhir/R4/parameters.html, https://hl7.org/fhir/R4/operations.html

The OperationDefinition is the schema: what it does not name, what is missing and what has another type is refused, all
at once. In the place of a type it may list several (the extension operationdefinition-allowed-type).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from server.fhir import datatype
from server.fhir.body import Body
from server.fhir.definition import RESOURCE_TYPES
from server.fhir.reference import local
from server.ledger import Resource
from server.outcome import Issue, Problem
from server.validation.element import validate

ALLOWED_TYPE = "http://hl7.org/fhir/StructureDefinition/operationdefinition-allowed-type"
PROFILE = "http://hl7.org/fhir/StructureDefinition/"
FORM = frozenset({"_format", "_pretty"})  # the answer's, and no operation's own
WHOLE = frozenset({"integer", "positiveInt", "unsignedInt"})
CRITERION: Mapping[str, Any] = {"type": "string"}  # a search parameter, of which no definition lists all


class Given(NamedTuple):
    """One value: its type, and its JSON. A Reference to this server is given as "Type/id"."""

    type: str
    value: Any


class Inputs:
    """What an operation is given, by name."""

    def __init__(self, given: Mapping[str, list[Given]]) -> None:
        self.given = given

    def one(self, name: str) -> Any:
        """The value of a parameter that stands once: None where it does not."""
        found = self.typed(name)
        return found.value if found else None

    def all(self, name: str) -> list[Any]:
        """The values of a parameter that may stand several times."""
        return [found.value for found in self.given.get(name, ())]

    def typed(self, name: str) -> Given | None:
        found = self.given.get(name)
        return found[0] if found else None


def place(name: str) -> str:
    """Where a parameter stands, for OperationOutcome.issue.expression."""
    return f"Parameters.parameter.where(name='{name}')"


def read(
    definition: Mapping[str, Any],
    body: Body | None,
    query: Sequence[tuple[str, str]],
    base_url: str = "",
    *,
    searches: bool = False,
) -> Inputs:
    """The inputs of a request, from its body and from its query. Problem invalid (400) with all that is wrong.

    Where the operation `searches`, what it does not declare is a criterion: a string, to be read as search reads it.
    """
    declared = {one["name"]: one for one in definition["parameter"] if one["use"] == "in"}
    reader = _Reader(declared, base_url, searches)
    if body is not None:
        reader.body(body)
    for name, text in query:
        reader.text(name, text)
    reader.check()
    if reader.issues:
        raise Problem.with_issues("invalid", reader.issues)
    return Inputs(reader.given)


class _Reader:
    """Reads one request and collects what is wrong with it."""

    def __init__(self, declared: Mapping[str, Mapping[str, Any]], base_url: str, searches: bool = False) -> None:
        self.declared = declared
        self.base_url = base_url
        self.searches = searches
        self.given: dict[str, list[Given]] = {}
        self.issues: list[Issue] = []

    def wrong(self, code: str, diagnostics: str, name: str) -> None:
        self.issues.append(Issue(code, diagnostics, (place(name),)))

    def body(self, body: Body) -> None:
        if body.type != "Parameters":
            self.bare(body)
            return
        parameters = body.resource.get("parameter", [])
        simple = [one for one in parameters if not (isinstance(one, dict) and "resource" in one)]
        checked = body.resource | {"parameter": simple}
        issues = validate(checked if simple else {name: checked[name] for name in checked if name != "parameter"})
        if issues:
            raise Problem.with_issues("malformed", issues)
        for one in parameters:
            if one["name"] not in FORM:
                self.parameter(one)

    def bare(self, body: Body) -> None:
        """The resource itself is the body, where an operation takes one."""
        taking = [name for name, one in self.declared.items() if one.get("type") in RESOURCE_TYPES | {"Resource"}]
        if len(taking) != 1:
            raise Problem.invalid(f"The body is a {body.type}; an operation takes Parameters", f"{body.type[:80]}")
        self.given[taking[0]] = [Given(body.type, body.resource)]

    def parameter(self, one: Mapping[str, Any]) -> None:
        name = one["name"]
        declared = self.named(name)
        if declared is None:
            return
        found = next(_values(one), None)
        if "part" in declared:
            parts = one.get("part", ()) if found is None else self.as_part(declared, one, found)
            self.given.setdefault(name, []).append(Given("", self.inside(declared, parts)))
            return
        accepted = types(declared)
        if found is None or not _is_of(found, accepted):
            got = f"a {found.type}" if found else "nothing that has a value"
            self.wrong("value", f"{name} is {got}; it is {' or '.join(accepted)}", name)
        else:
            self.take(name, declared, found)

    def as_part(self, declared: Mapping[str, Any], one: Mapping[str, Any], found: Given) -> Sequence[Mapping[str, Any]]:
        """A value in the place of parts stands for the part of its type: 2 that are hired for a count of 2."""
        fitting = [part["name"] for part in declared["part"] if _is_of(found, types(part))]
        if len(fitting) != 1:
            parts = ", ".join(part["name"] for part in declared["part"])
            self.wrong("value", f"{declared['name']} is no {found.type}; it has the parts {parts}", declared["name"])
            return ()
        return [{**one, "name": fitting[0]}]

    def inside(self, declared: Mapping[str, Any], parts: Sequence[Mapping[str, Any]]) -> Inputs:
        """The parts of a parameter that has parts."""
        reader = _Reader({part["name"]: part for part in declared["part"]}, self.base_url)
        for part in parts:
            reader.parameter(part)
        reader.check()
        self.issues += reader.issues
        return Inputs(reader.given)

    def text(self, name: str, text: str) -> None:
        """A value as a query gives it."""
        declared = self.named(name)
        if declared is None:
            return
        accepted = types(declared)
        found = next((value for type in accepted if (value := _from_text(type, text))), None)
        if found is None:
            simple = [type for type in accepted if type in datatype.PRIMITIVES or type == "Reference"]
            why = f"{text[:80]!r} is none" if simple else "it does not fit a query: POST it in Parameters"
            self.wrong("value", f"{name} is {' or '.join(accepted)}; {why}", name)
        else:
            self.take(name, declared, found)

    def named(self, name: str) -> Mapping[str, Any] | None:
        declared = self.declared.get(name)
        if declared is None and self.searches:
            return CRITERION
        if declared is None:
            known = ", ".join(self.declared)
            self.wrong("not-supported", f"There is no parameter {name[:80]!r}; there are {known}", name[:80])
        return declared

    def take(self, name: str, declared: Mapping[str, Any], found: Given) -> None:
        if found.type == "Reference":
            link = local(found.value.get("reference", ""), self.base_url)
            targets = [profile.removeprefix(PROFILE) for profile in declared.get("targetProfile", ())]
            if link is None or (targets and link.type not in targets):
                accepted = " or ".join(targets) or "resource"
                self.wrong("value", f"{name} is a literal reference to a {accepted} of this server", name)
                return
            found = Given("Reference", f"{link.type}/{link.id}")
        self.given.setdefault(name, []).append(found)

    def check(self) -> None:
        """How often each parameter stands. One that was wrong is not said to be missing too."""
        named = {expression for issue in self.issues for expression in issue.expression}
        for name, declared in self.declared.items():
            count = len(self.given.get(name, ()))
            if count < declared["min"] and place(name) not in named:
                self.wrong("required", f"{name} is missing: {declared['documentation']}", name)
            if declared["max"] != "*" and count > int(declared["max"]):
                self.wrong("duplicate", f"{name} stands {count} times; once is all it takes", name)


def types(declared: Mapping[str, Any]) -> list[str]:
    """The types that a parameter's value may have."""
    allowed = [one["valueUri"] for one in declared.get("extension", ()) if one["url"] == ALLOWED_TYPE]
    return allowed or ([declared["type"]] if "type" in declared else [])


def _values(one: Mapping[str, Any]) -> Iterator[Given]:
    for name, value in one.items():
        if name == "resource":
            yield Given(value.get("resourceType", "") if isinstance(value, dict) else "", value)
        elif name.startswith("value"):
            type = name.removeprefix("value")
            primitive = type[0].lower() + type[1:]
            yield Given(primitive if primitive in datatype.PRIMITIVES else type, value)


def _is_of(given: Given, accepted: Sequence[str]) -> bool:
    if "Resource" in accepted and given.type in RESOURCE_TYPES:
        return True
    return any(
        given.type == type
        or given.type in datatype.NARROWER.get(type, ())
        or (given.type in WHOLE and type in WHOLE and datatype.PRIMITIVES[type].conforms(given.value))
        for type in accepted
    )


def _from_text(type: str, text: str) -> Given | None:
    if type == "Reference":
        return Given(type, {"reference": text})
    primitive = datatype.PRIMITIVES.get(type)
    if primitive is None:
        return None
    value: Any = text
    if type == "boolean":
        value = {"true": True, "false": False}.get(text)
    elif type in {"integer", "positiveInt", "unsignedInt"}:
        value = int(text) if len(text) < 12 and text.removeprefix("-").isdecimal() and text.isascii() else None
    elif type == "decimal":
        value = datatype.decimal(text)
    return Given(type, value) if primitive.conforms(value) else None


# Outputs

Output = tuple[str, Any]


def written(definition: Mapping[str, Any], outputs: Iterable[Output]) -> Resource:
    """The answer: Parameters; where the one output is named return and is a resource, that output itself."""
    declared = {one["name"]: one for one in definition["parameter"] if one["use"] == "out"}
    found = list(outputs)
    if list(declared) == ["return"] and _is_resource(types(declared["return"])[0]):
        resource: Resource = found[0][1]
        return resource
    parameters = [_written(declared[name], value) for name, value in found if value is not None]
    return {"resourceType": "Parameters", **({"parameter": parameters} if parameters else {})}


def _written(declared: Mapping[str, Any], value: Any) -> dict[str, Any]:
    name = declared["name"]
    if "part" in declared:
        parts = {part["name"]: part for part in declared["part"]}
        return {"name": name, "part": [_written(parts[inner], item) for inner, item in value if item is not None]}
    type = types(declared)[0]
    if isinstance(value, Given):  # one of several types that it may have
        type, value = value
    if _is_resource(type):
        return {"name": name, "resource": value}
    if type == "Reference" and isinstance(value, str):
        value = {"reference": value}
    return {"name": name, f"value{type[0].upper()}{type[1:]}": value}


def _is_resource(type: str) -> bool:
    return type == "Resource" or type in RESOURCE_TYPES
